"""What the projector does later changes nothing in a closed period: not late events, not plans, not a rebuild."""

from __future__ import annotations

import json
from typing import Any

import psycopg
from projecting import Bench, priced, settle, story, traffic

from api.money import closing, re_rate, re_rated
from api.money.charged import COLUMNS, charged
from api.money.periods import Period
from calls.rating.plan import parse
from projections.rebuild import rebuild
from runtime.posted_plans import append
from tests.given import NOON, SECOND

DAY = 24 * 3600 * SECOND
PERIOD = Period("acme", NOON - DAY, NOON + DAY)
LATER = NOON + 40 * DAY
KNOWN = """
    +0 call.started @known direction=inbound from=+254712345678 to=+254711000100
    +10 leg.started @known leg=a kind=agent to=+254720000001 agent=amina queue=support
    +20 leg.answered @known leg=a
    +81 leg.ended @known leg=a
    +02:00 call.ended @known
"""
LATE = """
    +60 leg.started @known id=late-1 leg=b kind=external to=+254720000009
    +65 leg.answered @known id=late-2 leg=b
    +110 leg.ended @known id=late-3 leg=b
    +0 call.started @new direction=outbound from=+254711000100 to=+254720000001
    +5 call.answered @new
    +66 call.ended @new
"""
COVERS_ALL = """
currency = "KES"
timezone = "Africa/Nairobi"
[[versions]]
version = "all"
valid_from = 2026-02-01T00:00:00Z
[[versions.rules]]
steps = [{ from_s = 0, rate_minor = 999, per_s = 60, increment_s = 1 }]
"""


def rated(bench: Bench, version: str, against: str | None = None) -> Any:
    asked = re_rate.Asked("default", PERIOD, "acme-ke", version, "Africa/Nairobi", against)
    name = re_rate.made(bench.url, asked, now=LATER)
    return json.loads(b"".join(re_rated.told(bench.url, "default", name)))


def closed_ones(bench: Bench) -> list[tuple[Any, ...]]:
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    return bench.rows(f"SELECT {names} FROM {charged()} h WHERE account = 'acme' ORDER BY call_sid, leg")


def posted(bench: Bench, text: str) -> None:
    with psycopg.connect(bench.url, autocommit=True) as connection:
        append(connection, "default", parse(text, name="acme-ke"), now=lambda: LATER)
    settle(bench.made[0])


def test_a_closed_period_stands_whatever_comes(bench: Bench) -> None:
    priced(bench)
    bench.project([*traffic(6, 60), *story(KNOWN)], batches=5)
    before = rated(bench, "2026-01")
    assert (before["differing"], before["legs"], before["correction"]) == (0, [], False)
    assert before["re_rated"] > 60
    assert before["unrated"] == before["unrated_before"] == len(before["unrated_legs"]) > 0
    asked = closing.Asked("default", PERIOD, anyway=True)
    closed = closing.close(bench.url, asked, now=LATER, complete_through=None)
    assert closed["total_minor"] == before["before_minor"] > 0
    rows = closed_ones(bench)
    assert not any(closing.one(bench.url, "default", closed["id"])["late"].values())

    bench.project(story(LATE))
    posted(bench, COVERS_ALL)
    rebuild(bench.url)
    assert closed_ones(bench) == rows
    assert closing.close(bench.url, asked, now=LATER + DAY, complete_through=None) == closed
    late = closing.one(bench.url, "default", closed["id"])["late"]
    assert (late["new"], late["gone"]) == (2, 0)
    assert 0 < late["changed"] <= before["unrated"]  # the new version rates what no rule covered, not what nothing can rate

    correction = rated(bench, "2026-01")
    assert (correction["correction"], correction["new"], correction["before_minor"]) == (True, 2, closed["total_minor"])
    assert {(one["call_sid"], one["leg"]) for one in correction["legs"]} >= {("known", "b"), ("new", "caller")}
    other = rated(bench, "all", against=correction["id"])
    assert (other["unrated"], other["before_minor"], other["new"]) == (before["unrated"] - late["changed"], correction["after_minor"], 0)
    assert closed_ones(bench) == rows
