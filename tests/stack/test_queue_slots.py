"""Sums of queues by quarter of an hour: at every moment what single visits, legs and talks come to, whoever changed what in which order."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import psycopg
import pytest
from numbers_asked import Numbers
from projecting import Bench, copy, cut, delivery, patiently, settle, story

from calls.clock import rfc3339
from calls.envelope import Envelope
from calls.metrics.slots import COLUMNS, EDGES_S, SLOT_US
from projections import generations, queue_slots, store
from projections.adding import LATER, REBUILT
from projections.beside import Beside, Work
from projections.project import Projector
from projections.rebuild import rebuild
from runtime import clock
from tests.given import NOON, SECOND

DAY = 24 * 3600 * SECOND
LATEST = NOON + 1000 * DAY  # every sum is old by then
LONGEST = "".join(random.Random(1).choices("📞📟📠🎧", k=500))  # a name of two kilobytes, which is in every index
WAITED = "count(*) FILTER (WHERE outcome = '{0}' AND wait_ms <= {1} * 1000)"
OF_VISITS = {
    "offered": "count(*)",
    "answered": "count(*) FILTER (WHERE outcome = 'answered')",
    "abandoned": "count(*) FILTER (WHERE outcome = 'abandoned')",
    "flowed_out": "count(*) FILTER (WHERE outcome IN ('timeout', 'overflow', 'transferred', 'callback'))",
    "timed_out": "count(*) FILTER (WHERE outcome = 'timeout')",
    "refused": "count(*) FILTER (WHERE outcome IN ('closed', 'full'))",
    '"full"': "count(*) FILTER (WHERE outcome = 'full')",
    "waiting": "count(*) FILTER (WHERE outcome = 'waiting')",
    "wait_answered": "sum(wait_ms) FILTER (WHERE outcome = 'answered')",
    "wait_abandoned": "sum(wait_ms) FILTER (WHERE outcome = 'abandoned')",
    "wait_all": "sum(wait_ms)",
} | {f"{name}_{edge}": WAITED.format(name, edge) for name in ("answered", "abandoned") for edge in EDGES_S}
OF_LEGS = {"handled": "count(*)"}
OF_SEGMENTS = {kind: f"sum(duration_ms) FILTER (WHERE kind = '{kind}')" for kind in ("talk", "hold")}


def _counted(table: str, at: str, sums: dict[str, str]) -> str:
    said = ", ".join(f"{sums.get(name, '0')} AS {name}" for name in [*OF_VISITS, *OF_LEGS, *OF_SEGMENTS])
    slot = f"date_bin('15 minutes', {at}, '2000-01-01Z'::timestamptz)"
    return f"SELECT tenant, queue, {slot} AS slot, {said} FROM live.{table} WHERE queue IS NOT NULL AND {at} IS NOT NULL GROUP BY 1, 2, 3"


ONE_BY_ONE = " UNION ALL ".join([  # from the rows of visits, legs and segments
    _counted("queue_visits", "entered_at", OF_VISITS),
    _counted("legs", "cohort_at", OF_LEGS),
    _counted("segments", "cohort_at", OF_SEGMENTS),
])  # fmt: skip
QUOTED = [f'"{name}"' for name in COLUMNS]
RIGHT = (
    f"SELECT tenant, queue, slot, {', '.join(f'coalesce(sum({name}), 0)::bigint' for name in QUOTED)} FROM ({ONE_BY_ONE}) t "
    "GROUP BY tenant, queue, slot ORDER BY tenant, queue, slot"
)


def summed(bench: Bench) -> list[tuple[Any, ...]]:
    return bench.rows(f"{generations.facts(queue_slots.TABLE, 'live')} ORDER BY tenant, queue, slot")


def right(bench: Bench) -> None:
    """Asserts that the sums are what the facts come to."""
    assert summed(bench) == bench.rows(RIGHT)


def shards(bench: Bench) -> list[int]:
    return [shard for (shard,) in bench.rows("SELECT DISTINCT shard FROM live.queue_slots ORDER BY 1")]


# ---------------------------------------------------------------- stories


def queued(seed: int, calls: int) -> list[Envelope]:
    """Deliveries of calls that wait, over three hours in four queues of two tenants: copies, late ones, links that merge; in no order."""
    rng = random.Random(seed)
    made = [one for n in range(calls) for one in _call(rng, f"{seed}-{n:03}", f"{seed}-{rng.randrange(calls):03}")]
    made += [copy(one, later=rng.randrange(-5, 90) * SECOND) for one in rng.sample(made, len(made) // 6)]
    rng.shuffle(made)
    return made


def _call(rng: random.Random, sid: str, other: str) -> list[Envelope]:
    at, tenant = NOON + rng.randrange(3 * 3600) * SECOND + rng.randrange(1000) * 1000, rng.choice(["default", "default", "other"])
    queue, wait, talk = rng.choice(["support", "sales", "été 📞", LONGEST]), rng.choice([0, 5, 20, 61, 700]), rng.randrange(1, 1000)

    def said(type_: str, after: int, **fields: Any) -> Envelope:
        event = {"type": type_, "call_sid": sid, "occurred_at": rfc3339(at + after * SECOND), **fields}
        return delivery(json.dumps(event).encode(), received=at + after * SECOND, tenant=tenant)

    reason = rng.choice(["answered", "answered", "abandoned", "timeout", "overflow", "closed", "full", "callback"])
    told = [said("call.started", 0, direction="inbound"), said("queue.entered", 1, queue=queue)]
    told += [said("queue.left", 1 + wait, queue=queue, reason=reason)] if rng.random() > 0.1 else []
    if reason == "answered":
        told += [
            said("leg.answered", 1 + wait, leg="a", kind="agent", agent="amina"), said("hold.started", 2 + wait, leg="a"),
            said("hold.ended", 3 + wait, leg="a"), said("leg.ended", 4 + wait + talk, leg="a"),
        ]  # fmt: skip
    told.append(said("call.ended", 5 + wait + talk))
    extra = [
        said("call.linked", 2, to_call_sid=other), said("call.unlinked", 3, to_call_sid=other), said("queue.entered", 900, queue="sales"),
        said("queue.left", 1, queue=queue, reason="transferred", event_id="early"), said("call.linked", 2, alias=f"HD_{other}"),
    ]  # fmt: skip
    return [one for one in told if rng.random() > 0.08] + rng.sample(extra, rng.choice([0, 0, 1, 2]))


# ---------------------------------------------------------------- always right


@pytest.mark.parametrize("seed", [1, 2])
def test_after_every_batch_the_sums_are_what_the_facts_come_to(bench: Bench, seed: int) -> None:
    log = bench.log(queued(seed, 30))
    first, second = bench.projector(), bench.projector()
    for n, batch in enumerate(cut(log, 10, seed)):
        for projector, of in ((first, 0), (second, 1)):
            share = [record for record in batch if record.partition % 2 == of]
            patiently(projector, share)
            patiently(projector, share)  # Kafka gave it again
        if n % 5 == 4:
            first.compact(until=LATEST)
        right(bench)
    assert len(summed(bench)) > 15
    bench.true()
    rebuild(bench.url)
    assert shards(bench) == [REBUILT]
    right(bench)


def test_two_projectors_and_a_gatherer_at_once(bench: Bench) -> None:
    log = bench.log(queued(4, 100))
    projectors = [bench.projector() for _ in range(3)]
    done = threading.Event()

    def work(projector: Projector, of: int) -> None:
        for batch in cut([record for record in log if record.partition % 2 == of], 25):
            patiently(projector, batch)

    def gather() -> None:
        while not done.wait(0.01):
            projectors[2].compact(until=LATEST)

    with ThreadPoolExecutor() as pool:
        gathering = pool.submit(gather)
        workers = [pool.submit(work, projectors[of], of) for of in (0, 1)]
        wait(workers)
        done.set()
    for one in (*workers, gathering):
        one.result()
    right(bench)
    bench.true()


def test_a_batch_that_fails_at_the_end_adds_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.project(queued(5, 10))
    before, projector, log = summed(bench), bench.projector(), bench.log(queued(6, 10))
    with monkeypatch.context() as patched:
        patched.setattr("projections.bookkeeping.count", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            projector.project(log)
    assert summed(bench) == before
    projector.project(log)
    right(bench)


STORY = """
    +0 call.started @a
    +5 queue.entered @a queue=support
    +9 queue.left @a queue=support reason=abandoned
    +9 call.ended @a
"""


def test_a_late_link_moves_nothing_twice(bench: Bench) -> None:
    other = STORY.replace("@a", "@b")
    bench.project(story(STORY))
    bench.project(story(other))
    assert [row[3] for row in summed(bench)] == [2]
    bench.project(story("+6 call.linked @b to_call_sid=a id=link"))
    assert len(bench.journeys()) == 1
    right(bench)
    bench.project(story("+20 call.unlinked @b to_call_sid=a id=undo"))
    assert len(bench.journeys()) == 2
    right(bench)
    bench.true()


def test_a_visit_that_moves_to_another_quarter_leaves_nothing_behind(bench: Bench) -> None:
    bench.project(story("+1000 queue.entered queue=q received=+5000"))
    bench.project(story("+10 queue.entered queue=q id=early"))  # the entry that counts is the first
    right(bench)
    assert len(summed(bench)) == 1
    numbers, asked = Numbers(bench), {"interval": "15m", "group_by": "queue"}
    assert numbers.ask("queue.offered,handle.aht", **asked)["rows"] == numbers.ask("queue.offered,handle.aht", raw=True, **asked)["rows"]
    assert [row["interval_start"] for row in numbers.ask("queue.offered", **asked)["rows"]] == ["2026-09-01T12:00:00.000Z"]
    numbers.engine.dispose()
    assert bench.made[0].compact(until=LATEST) > 0
    assert len(bench.rows("SELECT FROM live.queue_slots")) == 1


def test_what_changes_nothing_writes_nothing(bench: Bench) -> None:
    events = story(STORY)
    bench.project(events)
    before = bench.rows("SELECT xmin::text, ctid::text FROM g1.queue_slots")
    bench.project([copy(one) for one in events], batches=3)
    bench.project(story("+7 recording.ready @a recording_id=r id=r"))  # the journey changes, what it adds does not
    assert bench.rows("SELECT xmin::text, ctid::text FROM g1.queue_slots") == before


def test_a_fold_that_fails_takes_its_sums_away_until_it_succeeds(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.project(story(STORY))
    with monkeypatch.context() as patched:
        patched.setattr("projections.refold.fold", lambda *_: 1 / 0)
        bench.project(story("+12 call.answered @a id=x"))
    assert summed(bench) == []
    bench.project(story("+13 call.answered @a id=y"))
    assert len(summed(bench)) == 1
    right(bench)


def test_a_large_journey_is_added_when_it_is_folded(bench: Bench) -> None:
    bench.project(story("+0 call.started\n" + "".join(f"+{n} bot.turn leg=bot\n" for n in range(600))))
    bench.made[0].project(bench.log(story("+700 queue.entered queue=q id=last")))
    assert summed(bench) == []
    settle(bench.made[0])
    assert shards(bench) == [LATER]
    right(bench)
    bench.true()


def test_many_rows_travel_by_copy(bench: Bench) -> None:
    text = "\n".join(f"+{n * 900} call.started @c{n}\n+{n * 900} queue.entered @c{n} queue=q" for n in range(150))
    bench.project(story(text))
    assert len(summed(bench)) == 150
    bench.project(story(text.replace("queue.entered", "queue.left").replace("queue=q", "queue=q reason=abandoned id=left")))
    right(bench)


# ---------------------------------------------------------------- shards


def test_a_batch_adds_to_the_shard_of_its_smallest_partition(bench: Bench) -> None:
    log = bench.log(queued(7, 40))
    projector = bench.projector()
    for of in range(4):
        projector.project([record for record in log if record.partition == of])
    assert shards(bench) == [0, 1, 2, 3]
    right(bench)


def test_old_sums_become_one_row_each_and_young_ones_stay(bench: Bench) -> None:
    bench.project(queued(8, 60), batches=12)
    projector, before = bench.made[0], summed(bench)
    middle = NOON + 4 * SLOT_US
    assert projector.compact(until=middle) > 0
    assert projector.compact(until=middle) == 0
    assert summed(bench) == before
    old, young = (bench.rows(f"SELECT shard FROM live.queue_slots WHERE slot {sign} to_timestamp({middle / 1e6})") for sign in ("<", ">="))
    assert {shard for (shard,) in old} == {REBUILT}
    assert REBUILT not in {shard for (shard,) in young}
    assert bench.rows("SELECT tenant, queue, slot FROM live.queue_slots WHERE shard = -1 GROUP BY 1, 2, 3 HAVING count(*) > 1") == []
    bench.true()


def test_gathering_waits_for_nobody(bench: Bench) -> None:
    bench.project(story(STORY))
    with psycopg.connect(bench.url) as busy:
        busy.execute("UPDATE g1.queue_slots SET offered = offered + 1")
        assert bench.made[0].compact(until=LATEST) == 0
        busy.rollback()
    assert bench.made[0].compact(until=LATEST) == 1


def test_a_projector_gathers_beside_its_log(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projections.beside.COMPACT_S", 0.01)
    monkeypatch.setattr("projections.beside.AGE", clock.now() - LATEST)
    bench.project(queued(10, 10))
    projector = bench.made[0]

    async def gather() -> None:
        one_at_a_time, gathered = asyncio.Lock(), asyncio.Event()

        async def run(work: Work) -> int:
            async with one_at_a_time:
                done = await asyncio.to_thread(work, projector)
            if shards(bench) == [REBUILT]:
                gathered.set()
            return done

        beside = Beside(run, lambda: 0.0)
        beside.start()
        await gathered.wait()
        beside.stop()

    asyncio.run(asyncio.wait_for(gather(), 60))
    right(bench)


# ---------------------------------------------------------------- rebuilding


def test_one_changed_sum_is_named(bench: Bench) -> None:
    bench.project(story(STORY))
    with psycopg.connect(bench.url) as connection:
        connection.execute("UPDATE g1.queue_slots SET abandoned_10 = 7")
    (found,) = rebuild(bench.url, verify=True).differences
    assert (found.table, found.column, found.live, found.rebuilt) == ("queue_slots", "abandoned_10", 7, 1)
    assert found.key == {"tenant": "default", "queue": "support", "slot": "2026-09-01T12:00:00+00:00"}


@pytest.mark.parametrize(("name", "lost"), [
    ("queue_slots", "UPDATE g1.queue_slots SET offered = 9"), ("journeys", "DELETE FROM g1.journeys"),
    ("queue_slots", "UPDATE g1.journeys SET slots = ''"),
])  # fmt: skip
def test_sums_and_what_journeys_added_are_rebuilt_together(bench: Bench, name: str, lost: str) -> None:
    """Else the next change of a journey would take away what another table's rows never had."""
    bench.project(story(STORY))
    with psycopg.connect(bench.url) as connection:
        connection.execute(lost)
    rebuild(bench.url, projection=name)
    bench.project(
        story("+6 queue.left @a queue=support reason=timeout id=earlier\n+5 call.started @b\n+6 queue.entered @b queue=support id=2")
    )
    right(bench)
    bench.true()


def test_a_large_rebuild_lays_a_queues_sums_beside_each_other(another: Callable[[], Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projections.rebuild.BATCH", 5)
    bench = another()
    bench.project(queued(9, 40))
    rebuild(bench.url)
    laid = bench.rows("SELECT tenant, queue, slot FROM g2.queue_slots ORDER BY ctid")
    assert laid == sorted(laid)
    right(bench)


# ---------------------------------------------------------------- the price


def test_a_query_of_one_queue_and_one_of_one_day_use_an_index(bench: Bench) -> None:
    with psycopg.connect(bench.url) as connection:
        names, zeros = ", ".join(QUOTED), ", ".join("1" for _ in QUOTED)
        connection.execute(
            f"INSERT INTO g1.queue_slots (tenant, queue, slot, shard, {names}) SELECT 'default', 'q' || n % 50, "
            f"'2026-06-01Z'::timestamptz + n / 50 * interval '15 minutes', -1, {zeros} FROM generate_series(0, 19999) AS n"
        )
        connection.execute("ANALYZE g1.queue_slots")

        def plan(where: str) -> str:
            found = connection.execute(f"EXPLAIN SELECT sum(offered) FROM live.queue_slots WHERE tenant = 'default' AND {where}")
            return "\n".join(line for (line,) in found)

        assert "queue_slots_pkey" in plan("queue = 'q7' AND slot >= '2026-06-01' AND slot < '2026-06-04'")
        assert "queue_slots_tenant_slot_idx" in plan("slot >= '2026-06-02' AND slot < '2026-06-02 06:00'")
    assert len(store.SLOTS.names) == 4 + len(COLUMNS)
