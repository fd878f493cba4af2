"""Charges in the tables: by the plan that the account names, by what was known when a leg was heard of, and again where nothing covered it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from projecting import Bench, copy, settle, story

from calls.clock import Micros
from calls.rating.plan import parse
from projections import generations, rebuild, tariffs
from projections.schema import migrate
from runtime.posted_plans import append
from runtime.settings import Account, Settings
from tests.given import NOON, SECOND

DAY = 86_400 * SECOND
CALLED = """
    +0 call.started direction=inbound from=+254712345678 to=+254711000100
    +0 call.answered
    +10 leg.started leg=a kind=agent to=+254720000001 agent=amina queue=support
    +20 leg.answered leg=a
    +81 leg.ended leg=a
    +02:00 call.ended
"""
RATED = [("caller", 240, "1"), ("a", 305, "1")]


def named(bench: Bench, plan: str | None = "acme-ke", *, now: Micros = 1) -> None:
    """From `now` on the account has this plan."""
    migrate(Settings(accounts={"acme": Account(provider="neutral", rate_plan=plan)}), bench.url, now=now)


def version(name: str, minute: int, *, since: str = "2026-01-01T00:00:00Z", prefix: str = "254") -> str:
    step = f"steps = [{{ from_s = 0, rate_minor = {minute}, per_s = 60, increment_s = 1 }}]"
    return (
        f'[[versions]]\nversion = "{name}"\nvalid_from = {since}\n[[versions.rules]]\napplies = {{ direction = "inbound" }}\n'
        f"steps = [{{ from_s = 0, rate_minor = {minute - 180}, per_s = 60, increment_s = 1 }}]\n"
        f'[[versions.rules]]\napplies = {{ direction = "outbound", prefix = "{prefix}" }}\n{step}\n'
    )


def posted(bench: Bench, *versions: str, at: Micros, plan: str = "acme-ke") -> None:
    """Then, as somebody posts it; and what it makes due is folded."""
    text = 'currency = "KES"\ntimezone = "Africa/Nairobi"\n' + "".join(versions)
    with psycopg.connect(bench.url, autocommit=True) as connection:
        append(connection, "default", parse(text, name=plan), now=lambda: at)
    settle(bench.made[0] if bench.made else bench.projector())


def charges(bench: Bench, *columns: str) -> list[tuple[Any, ...]]:
    asked = ", ".join(columns or ("leg", "amount_minor", "version"))
    return bench.rows(f"SELECT {asked} FROM live.charges ORDER BY call_sid, started_at, leg DESC")


def test_a_leg_that_is_over_is_charged_in_table_and_page(bench: Bench) -> None:
    named(bench)
    posted(bench, version("1", 300), at=NOON - DAY)
    bench.project(story(CALLED), batches=4)
    assert charges(bench) == RATED
    told = bench.journey()["charges"]
    assert [(one["leg"], one["amount_minor"], one["version"]) for one in told] == RATED
    assert told[1]["working"] == [
        {"what": "61 s from the answer to the end", "exact": "0"},
        {"what": "61 × 1 s at 300 a minute", "exact": "305"},
    ]
    assert charges(bench, "leg", "plan", '"to"', "own", "queue", "agent", "talk_ms", "ring_ms") == [
        ("caller", "acme-ke", "+254711000100", "+254711000100", None, None, 120_000, 0),
        ("a", "acme-ke", "+254720000001", "+254711000100", "support", "amina", 61_000, 10_000),
    ]
    bench.true()


def test_an_account_without_a_plan_has_no_charges(bench: Bench) -> None:
    bench.project(story(CALLED))
    assert (charges(bench), bench.journey()["charges"]) == ([], [])


def test_a_plan_posted_later_rates_what_waited_for_it(bench: Bench) -> None:
    named(bench)
    bench.project(story(CALLED))
    assert charges(bench, "leg", "amount_minor", "currency", "why") == [
        ("caller", None, "", "there is no plan acme-ke yet"), ("a", None, "", "there is no plan acme-ke yet"),
    ]  # fmt: skip
    assert bench.journey()["charges"][0]["unrated"] == "there is no plan acme-ke yet"
    posted(bench, version("1", 300, prefix="255"), at=NOON + DAY)
    assert charges(bench) == [("caller", 240, "1"), ("a", None, "1")]
    posted(bench, version("2", 600, since="2026-02-01T00:00:00Z"), at=NOON + 2 * DAY)
    assert charges(bench) == [("caller", 240, "1"), ("a", 610, "2")]
    bench.true()


def test_a_version_dated_back_changes_no_charge(bench: Bench) -> None:
    named(bench)
    posted(bench, version("1", 300), at=NOON - DAY)
    bench.project(story(CALLED))
    posted(bench, version("2", 600, since="2026-08-01T00:00:00Z"), at=NOON + DAY)
    assert bench.rows("SELECT 1 FROM safiri.deferred") == []
    bench.project([copy(one, later=2 * DAY) for one in story(CALLED)] + story("+02:05 recording.ready id=r"))  # folded once more
    assert charges(bench) == RATED
    bench.project(story("+0 call.started @next direction=inbound received=+2880:00\n+60 call.ended @next received=+2881:00"))
    assert charges(bench)[-1] == ("caller", 0, "2")
    bench.true()


def test_a_receivers_clock_that_is_ahead_changes_no_charge(bench: Bench) -> None:
    """What was rated before the version came was received before it, whatever the clocks say."""
    named(bench)
    posted(bench, version("1", 300), at=NOON - DAY)
    bench.project(story(CALLED))
    posted(bench, version("2", 600, since="2026-08-01T00:00:00Z"), at=NOON - SECOND)
    bench.project(story("+02:05 recording.ready id=r"))
    assert charges(bench) == RATED
    bench.true()


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 0, 2]])
def test_calls_plans_and_their_names_in_any_order(bench: Bench, order: Sequence[int]) -> None:
    def came() -> None:
        bench.project(story(CALLED), batches=3, seed=7)

    steps = [lambda: named(bench, now=NOON + DAY), lambda: posted(bench, version("1", 300), at=NOON + DAY), came]
    for n in order:
        steps[n]()
    settle(bench.projector())
    assert charges(bench) == RATED
    bench.true()


def test_a_name_that_comes_later_is_for_what_had_none(bench: Bench) -> None:
    posted(bench, version("1", 300), at=1)
    posted(bench, version("1", 600), at=1, plan="other-ke")
    bench.project(story(CALLED))
    named(bench, now=NOON + DAY)
    assert bench.rows("SELECT call_sid FROM safiri.deferred") == [("call-1",)]
    settle(bench.made[0])
    assert charges(bench) == RATED
    named(bench, "other-ke", now=NOON + 2 * DAY)
    assert bench.rows("SELECT call_sid FROM safiri.deferred") == []
    bench.true()


def test_what_waits_is_folded_before_two_generations_are_compared(bench: Bench) -> None:
    bench.project(story(CALLED))
    named(bench, "sautikit-ke", now=NOON + DAY)
    bench.true()
    assert charges(bench) == [("caller", 0, "2026-01"), ("a", 305, "2026-01")]


def test_a_plan_and_a_name_that_come_during_a_rebuild_are_in_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    named(bench)
    bench.project(story(CALLED + "+0 call.started @else account=other direction=inbound\n+60 call.ended @else account=other"))
    filled = rebuild.Rebuild._settle

    def late(run: rebuild.Rebuild) -> None:
        filled(run)
        text = 'currency = "KES"\n' + version("1", 300)
        both = Settings(accounts={name: Account(provider="neutral", rate_plan="acme-ke") for name in ("acme", "other")})
        with psycopg.connect(bench.url, autocommit=True) as connection:
            append(connection, "default", parse(text, name="acme-ke"), now=lambda: NOON + DAY)
        migrate(both, bench.url, now=NOON + DAY)

    monkeypatch.setattr(rebuild.Rebuild, "_settle", late)
    bench.true()
    assert charges(bench) == [*RATED, ("caller", 0, "1")]


def test_plans_are_read_again_only_where_one_was_posted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    named(bench)
    asked: list[str] = []
    read = tariffs.plans_of
    monkeypatch.setattr(tariffs, "plans_of", lambda connection, tenant: asked.append(tenant) or read(connection, tenant))
    for n in range(3):
        bench.project(story(f"+0 call.started @c{n}"))
    assert asked == ["default"]
    posted(bench, version("1", 300), at=NOON)
    bench.project(story("+0 call.started @d"))
    assert asked == ["default", "default"]


def test_a_plan_waits_for_those_who_project(bench: Bench) -> None:
    """Nobody rates a leg by what was known before a version came and writes it after that."""
    bench.projector()
    with psycopg.connect(bench.url) as projecting:
        projecting.execute("SELECT pg_advisory_xact_lock_shared(%s)", (generations.GATE,))
        with (
            psycopg.connect(bench.url, autocommit=True, options="-c lock_timeout=50") as connection,
            pytest.raises(psycopg.errors.LockNotAvailable),
        ):
            append(connection, "default", parse('currency = "KES"\n' + version("1", 300), name="acme-ke"))
