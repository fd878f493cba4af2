"""A month of a real call centre, read as neutral events: whatever order it comes in, the journeys are its calls.

The month is not part of the project (tests/outside.py). What its figures must be is in test_bank.py.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bank
import psycopg
import pytest
from projecting import Bench, copy, cut, delivery, settle
from whole import Stack

from calls.clock import parse_time
from calls.envelope import Envelope
from projections import generations
from projections.bisecting import project_bisecting

SHARE = 8_000  # events of the month that the orders are tried on

pytestmark = [bank.NEEDED, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def share() -> list[dict[str, Any]]:
    """The first calls of the month, whole."""
    month = [json.loads(line) for line in bank.events(1)]
    some = {event["call_sid"] for event in month[:SHARE]}
    return [event for event in month if event["call_sid"] in some]


def envelopes(events: list[dict[str, Any]]) -> list[Envelope]:
    return [delivery(json.dumps(event).encode(), received=parse_time(event["occurred_at"]) or 0, account="bank") for event in events]


def expected(events: list[dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """call -> (events, outcome, wait, talk), straight from the events; nothing is smoothed."""
    calls: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for event in events:
        calls[event["call_sid"]][event["type"]] = event

    def between(call: dict[str, dict[str, Any]], first: str, last: str) -> int:
        return ((parse_time(call[last]["occurred_at"]) or 0) - (parse_time(call[first]["occurred_at"]) or 0)) // 1000

    def told(call: dict[str, dict[str, Any]]) -> tuple[Any, ...]:
        outcome = "answered" if "leg.answered" in call else "abandoned_in_queue" if "queue.left" in call else "abandoned_in_menu"
        wait = between(call, "queue.entered", "queue.left") if "queue.left" in call else None
        return len(call), outcome, wait, between(call, "leg.answered", "leg.ended") if "leg.ended" in call else 0

    return {sid: told(call) for sid, call in calls.items()}


SEEN = (
    "SELECT c.call_sid, j.events, j.outcome, j.max_wait_ms, j.talk_ms, j.complete "
    "FROM live.journeys j JOIN live.calls c USING (tenant, journey_id) WHERE j.account = 'bank'"
)


def digests(url: str) -> dict[str, str]:
    """Table -> a digest of its rows in order of their keys."""
    with psycopg.connect(url) as connection:
        found = {}
        for table in generations.TABLES:
            mark = hashlib.sha256()
            for (line,) in connection.execute(f"SELECT t::text FROM ({generations.facts(table, 'live')}) t ORDER BY t::text"):
                mark.update(line.encode())
            found[table.name] = mark.hexdigest()
        return found


def projected(bench: Bench, made: list[Envelope], size: int) -> dict[str, str]:
    projector = bench.projector()
    for batch in cut(bench.log(made), max(1, len(made) // size), seed=size):
        project_bisecting(projector, list(batch))
    settle(projector)
    return digests(bench.url)


def test_shuffled_in_blocks_with_copies_it_is_the_same_month(another: Callable[[], Bench], share: list[dict[str, Any]]) -> None:
    made = envelopes(share)
    straight = another()
    want = projected(straight, made, 2000)
    seen = {sid: tuple(rest[:4]) for sid, *rest in straight.rows(SEEN)}
    assert seen == expected(share)
    rng = random.Random(9)
    blocks = [made[n : n + 700] for n in range(0, len(made), 700)]
    rng.shuffle(blocks)
    mixed = [one for block in blocks for one in rng.sample(block, len(block))]
    mixed += [copy(one) for one in rng.sample(made, len(made) // 20)]
    assert projected(another(), mixed, 1500) == want
    assert straight.true().calls == len(seen)


def test_imported_twice_it_is_once(stack: Stack, tmp_path: Path, share: list[dict[str, Any]]) -> None:
    first = {event["call_sid"] for event in share[:4_000]}
    some = [event for event in share if event["call_sid"] in first]
    path = tmp_path / "january.ndjson.gz"
    with gzip.open(path, "wt") as out:
        out.writelines(json.dumps(event) + "\n" for event in some)
    counts = [json.loads(stack.cli("import", str(path), "--account", "bank", "--format", "neutral", "--json")) for _ in range(2)]
    assert [Counter(one) for one in counts] == [
        Counter(read=len(some), accepted=len(some), duplicate=0, quarantined=0), Counter(read=len(some), accepted=0, duplicate=len(some), quarantined=0)
    ]  # fmt: skip
    stack.fresh()
    sids = {event["call_sid"] for event in some}
    seen = {sid: tuple(rest[:4]) for sid, *rest in stack.execute(SEEN) if sid in sids}
    assert seen == expected(some)
