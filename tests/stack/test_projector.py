"""The projector on a real Postgres: whatever order, copies and batches the log has, the tables say the same."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from projecting import Bench, copy, delivery, story, traffic

from projections import generations
from runtime.problems import Retry
from tests.given import NOON, SECOND

ANSWERED = """
    +00:00 call.started direction=inbound from=+254712345678 to=+254711000100
    +00:10 queue.entered queue=support
    +00:40 queue.left queue=support reason=answered
    +00:40 leg.answered leg=agent kind=agent agent=amina queue=support
    +01:40 leg.ended leg=agent agent=amina
    +01:40 call.ended ended_by=agent
"""


# ---------------------------------------------------------------- one set, one result


def test_any_order_copies_and_batches_come_to_the_same_tables(another: Callable[[], Bench]) -> None:
    set_of = traffic(7, 25)
    first = another()
    first.project(set_of)
    want = first.tables()
    assert len(want["journeys"]) > 10
    assert first.true().calls > 25
    for seed, batches in ((1, 8), (2, 40), (3, 100)):
        rng = random.Random(seed)
        order = [*set_of, *(copy(one, later=3600 * SECOND) for one in rng.sample(set_of, len(set_of) // 3))]
        rng.shuffle(order)
        other = another()
        if seed == 2:  # nothing remembered between batches
            other.projector().memory.most = 0
        other.project(order, batches=batches, seed=seed)
        assert other.tables() == want, (seed, batches)
        other.true()


def test_a_story_arrives_event_by_event(bench: Bench) -> None:
    for n, one in enumerate(story(ANSWERED), 1):
        bench.project([one])
        assert bench.journey()["events"] == n
    told = bench.journey()
    assert (told["outcome"], told["durations"]["queue_ms"], told["durations"]["talk_ms"]) == ("answered", 30_000, 60_000)
    bench.true()


def test_a_refold_that_changes_nothing_writes_nothing(bench: Bench) -> None:
    events = story(ANSWERED)
    bench.project(events)
    tables = ("journeys", "calls", "legs", "segments", "queue_visits")
    before = [bench.rows(f"SELECT xmin::text, ctid::text FROM g1.{name} ORDER BY 2") for name in tables]
    bench.project([copy(one) for one in events], batches=3)
    bench.project([copy(events[0], later=-5 * SECOND)])  # received earlier, but it has a time of its own
    assert [bench.rows(f"SELECT xmin::text, ctid::text FROM g1.{name} ORDER BY 2") for name in tables] == before


# ---------------------------------------------------------------- copies and conflicts


def copies(bench: Bench) -> int:
    return int(bench.rows("SELECT count(*) FROM safiri.journal_copies")[0][0])


def test_spooled_and_published_is_one_receipt_another_request_is_a_copy(bench: Bench) -> None:
    one = story("+0 call.started")[0]
    bench.project([one, one])
    bench.project([one])
    assert (bench.journey()["events"], copies(bench)) == (1, 0)
    bench.project([copy(one), copy(one)])
    assert (bench.journey()["events"], copies(bench)) == (1, 2)


@pytest.mark.parametrize("batches", [1, 3])
def test_of_two_bodies_the_first_received_stands_whichever_is_projected_first(bench: Bench, batches: int) -> None:
    late, early, later = story("""
        +0 call.started from=+254712000002 id=x received=+20
        +0 call.started from=+254712000001 id=x received=+10
        +0 call.started from=+254712000003 id=x received=+30
    """)
    bench.project([late, early, later], batches=batches)
    told = bench.journey()
    assert (told["caller"], told["events"], [one["code"] for one in told["anomalies"]]) == ("+254712000001", 3, ["conflicting_copy"] * 2)
    bench.true()


def test_an_earlier_copy_of_a_conflicting_body_makes_it_stand(bench: Bench) -> None:
    first, second = story("+0 call.started from=+254712000001 id=x received=+10\n+0 call.started from=+254712000002 id=x received=+20")
    bench.project([first, second])
    bench.project([copy(second, later=-15 * SECOND)])
    assert bench.journey()["caller"] == "+254712000002"
    bench.true()


PBX = b'{"sessionId": "HD_1", "callSessionState": "Ringing", "callerNumber": "+254712345678", "destinationNumber": "+254711000100"}'


@pytest.mark.parametrize("order", [(9, 4), (4, 9), (9, 4, 6)])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_body_without_a_time_happened_when_its_first_copy_was_received(bench: Bench, order: tuple[int, ...], at_once: bool) -> None:
    came = [delivery(PBX, received=NOON + after * SECOND, provider="sautikit") for after in order]
    if at_once:
        bench.project(came)
    else:
        for one in came:
            bench.project([one])
    assert bench.journey()["started_at"] == "2026-09-01T12:00:04.000Z"
    bench.true()


def test_an_earlier_copy_beside_something_new_of_the_same_call(bench: Bench) -> None:
    bench.project([delivery(PBX, received=NOON + 9 * SECOND, provider="sautikit")])
    over = PBX.replace(b"Ringing", b"Completed")
    bench.project(
        [delivery(PBX, received=NOON + 4 * SECOND, provider="sautikit"), delivery(over, received=NOON + 30 * SECOND, provider="sautikit")]
    )
    assert bench.journey()["started_at"] == "2026-09-01T12:00:04.000Z"
    bench.true()


# ---------------------------------------------------------------- links


def test_a_late_link_merges_and_old_addresses_stay_valid(bench: Bench) -> None:
    bench.project(story("+0 call.started @a\n+9 call.ended @a\n+5 call.started @b\n+8 call.ended @b"))
    before = dict(bench.rows("SELECT call_sid, journey_id FROM live.call_index"))
    assert len(set(before.values())) == 2
    bench.project(story("+6 call.linked @b to_call_sid=a"))
    told = bench.journey()
    index = {sid: (own, now) for sid, own, now in bench.rows("SELECT call_sid, own_id, journey_id FROM live.call_index")}
    assert told["journey_id"] == before["a"]
    assert index == {"a": (before["a"], before["a"]), "b": (before["b"], before["a"])}
    bench.project(story("+20 call.unlinked @b to_call_sid=a id=undo"))
    assert dict(bench.rows("SELECT call_sid, journey_id FROM live.call_index")) == before
    bench.true()


def test_a_chain_of_links_in_one_batch_and_one_by_one(another: Callable[[], Bench]) -> None:
    events = story("".join(f"+{n} call.started @c{n}\n+{n} call.linked @c{n} to_call_sid=c{n - 1}\n" for n in range(1, 8)))
    found = []
    for batches in (1, 4, 14):
        one = another()
        one.project(random.Random(batches).sample(events, len(events)), batches=batches)
        one.true()
        found.append(one.tables())
    assert found[0] == found[1] == found[2]
    assert len(found[0]["journeys"]) == 1


def test_tenants_never_meet(bench: Bench) -> None:
    for tenant in ("default", "other"):
        bench.project([delivery(b'{"type":"call.started","call_sid":"a","occurred_at":"2026-09-01T12:00:00Z"}', tenant=tenant)])
        bench.project(
            [delivery(b'{"type":"call.linked","call_sid":"a","to_call_sid":"b","occurred_at":"2026-09-01T12:00:00Z"}', tenant=tenant)]
        )
    assert [tenant for (tenant,) in bench.rows("SELECT tenant FROM live.journeys ORDER BY 1")] == ["default", "other"]
    assert len({one["journey_id"] for one in bench.journeys()}) == 2


def test_tables_of_another_version_are_not_written(bench: Bench) -> None:
    (made,) = story("+00:00 call.started direction=inbound")
    records, projector = bench.log([made]), bench.projector()
    (ours,) = bench.rows("UPDATE safiri.generations SET fingerprint = 'older' WHERE state = 'live' RETURNING n, fingerprint")
    with pytest.raises(Retry, match="safiri migrate"):
        projector.project(records)
    assert bench.rows("SELECT count(*) FROM safiri.journal") == [(0,)]
    bench.rows("UPDATE safiri.generations SET fingerprint = %s WHERE n = %s RETURNING n", generations.fingerprint(), ours[0])
    projector.project(records)
    assert len(bench.journeys()) == 1
