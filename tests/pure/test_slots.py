"""What a journey adds to the sums of its queues: examples, and that it is what the measures of the same names say."""

from __future__ import annotations

from typing import Any

import pytest

from calls.clock import rfc3339
from calls.journey import Journey
from calls.metrics.measures import MEASURES
from calls.metrics.slots import COLUMNS, EDGES_S, WITHIN, Slot, contributions, pack, slot_of, unpack
from projections.adding import Change
from projections.queue_slots import AGGREGATE, packed, slots
from tests.given import NOON, given, journeys


def told(slot: Slot) -> dict[str, int]:
    """The columns that are not 0; the waits within edges as `answered within`: the first edge."""
    amounts = {name: amount for name, amount in zip(COLUMNS, slot.amounts, strict=True) if amount}
    for name in WITHIN:
        edges = [edge for edge in EDGES_S if amounts.pop(f"{name}_{edge}", 0)]
        assert edges == list(EDGES_S[len(EDGES_S) - len(edges) :]), "who waited no longer than 5 s waited no longer than 10 s"
        if edges:
            amounts[f"{name}_within"] = edges[0]
    return amounts


def added(story: str) -> dict[tuple[str, str], dict[str, int]]:
    """(beginning of the quarter of an hour, queue) -> what is not 0."""
    return {((rfc3339(one.start) or "")[11:16], one.queue): told(one) for one in contributions(given(story))}


# ---------------------------------------------------------------- examples

ANSWERED = """
    +00:00 call.started direction=inbound
    +14:50 queue.entered queue=support
    +15:02 queue.left queue=support reason=answered
    +15:02 leg.answered leg=a kind=agent agent=amina
    +15:30 hold.started leg=a
    +15:40 hold.ended leg=a
    +16:02 leg.ended leg=a
    +16:02 call.ended
"""


def test_talk_is_counted_into_the_quarter_of_an_hour_of_the_entry() -> None:
    assert added(ANSWERED) == {
        ("12:00", "support"): {
            "offered": 1, "answered": 1, "handled": 1, "wait_answered": 12_000, "wait_all": 12_000, "talk": 50_000, "hold": 10_000,
            "answered_within": 15,
        }
    }  # fmt: skip


@pytest.mark.parametrize(("reason", "counts"), [
    ("abandoned", {"abandoned": 1, "wait_abandoned": 7_000, "abandoned_within": 10}),
    ("timeout", {"flowed_out": 1, "timed_out": 1}),
    ("overflow", {"flowed_out": 1}), ("transferred", {"flowed_out": 1}), ("callback", {"flowed_out": 1}),
    ("closed", {"refused": 1}), ("full", {"refused": 1, "full": 1}),
])  # fmt: skip
def test_every_way_out_of_a_queue(reason: str, counts: dict[str, int]) -> None:
    story = f"+0 call.started\n+1 queue.entered queue=q\n+8 queue.left queue=q reason={reason}\n+8 call.ended"
    assert added(story) == {("12:00", "q"): {"offered": 1, "wait_all": 7_000, **counts}}


def test_what_is_open_adds_no_time() -> None:
    assert added("+0 call.started\n+1 queue.entered queue=q") == {("12:00", "q"): {"offered": 1, "waiting": 1}}
    talking = ANSWERED.partition("+15:40")[0]
    (open_,) = added(talking).values()
    assert (open_["handled"], open_["talk"], "hold" in open_) == (1, 28_000, False)


@pytest.mark.parametrize(("wait_ms", "edge"), [(0, 5), (5_000, 5), (5_001, 10), (20_000, 20), (600_000, 600), (600_001, None)])
def test_an_edge_counts_who_waited_exactly_so_long(wait_ms: int, edge: int | None) -> None:
    story = f"+0 call.started\n+0 queue.entered queue=q\n+{wait_ms / 1000:.3f} queue.left queue=q reason=abandoned\n+700 call.ended"
    (one,) = added(story).values()
    assert one.get("abandoned_within") == edge


def test_several_queues_and_quarters_of_one_caller() -> None:
    assert added("""
        +00:00 call.started
        +01:00 queue.entered queue=sales
        +16:00 queue.left queue=sales reason=timeout
        +16:00 queue.entered queue=support
        +17:00 queue.left queue=support reason=abandoned
        +18:00 queue.entered queue=support
        +19:00 queue.left queue=support reason=abandoned
        +19:00 call.ended
    """) == {
        ("12:00", "sales"): {"offered": 1, "flowed_out": 1, "timed_out": 1, "wait_all": 900_000},
        ("12:15", "support"): {"offered": 2, "abandoned": 2, "wait_abandoned": 120_000, "wait_all": 120_000, "abandoned_within": 60},
    }  # fmt: skip


def test_without_a_queue_there_is_nothing() -> None:
    story = "+0 call.started\n+1 leg.answered leg=a kind=agent agent=amina\n+9 leg.ended leg=a\n+9 call.ended"
    assert contributions(given(story)) == []
    assert packed(given(story)) == b""


def test_a_person_who_was_asked_for_by_queue_but_answers_no_visit_is_counted_at_the_answer() -> None:
    story = "+16:00 call.started\n+16:01 leg.answered leg=a kind=agent queue=q\n+16:09 leg.ended leg=a\n+16:09 call.ended"
    assert added(story) == {("12:15", "q"): {"handled": 1, "talk": 8_000}}


# ---------------------------------------------------------------- the same as the measures


def test_every_column_is_a_measure_or_one_within_an_edge() -> None:
    measures = {name for name in COLUMNS if name in MEASURES}
    edges = {f"{name}_{edge}" for name in WITHIN for edge in EDGES_S}
    assert measures | edges == set(COLUMNS)
    assert all(MEASURES[name].source in ("visits", "handles", "stretches") for name in measures)
    assert AGGREGATE.sums == COLUMNS


# ---------------------------------------------------------------- packed, and summed


def test_packed_and_back() -> None:
    (slot,) = contributions(given(ANSWERED))
    assert unpack(pack([slot])) == [slot]
    assert len(pack([slot])) < 100
    assert unpack(b"") == []


def test_names_are_kept_as_a_column_can_hold_them() -> None:
    journey = given("+0 call.started\n+1 queue.entered queue=q")
    journey.queue_visits[0].queue = "a\0\ud800"
    assert [one.queue for one in slots(journey)] == ["a\ufffd?"]


@pytest.mark.parametrize(("at", "start"), [(0, 0), (1, 0), (899_999_999, 0), (900_000_000, 900_000_000), (-1, -900_000_000)])
def test_a_quarter_of_an_hour_begins_at_its_first_instant(at: int, start: int) -> None:
    assert slot_of(at) == start


def change(*, now: list[Journey], before: list[Journey] = []) -> list[Any]:  # noqa: B006  never changed
    made = Change()
    for one in now:
        made.add(one.tenant, slots(one))
    for one in before:
        made.take(one.tenant, slots(one))
    return made.rows(3)


def test_a_change_is_what_is_added_now_without_what_was_added_before() -> None:
    waiting = given("+0 call.started\n+1 queue.entered queue=q")
    gone = given("+0 call.started\n+1 queue.entered queue=q\n+4 queue.left queue=q reason=abandoned\n+4 call.ended")
    assert change(now=[gone], before=[gone]) == []
    (row,) = change(now=[gone], before=[waiting])
    assert row[:4] == ("default", "q", NOON, 3)
    amounts = dict(zip(COLUMNS, row[4:], strict=True))
    assert (amounts["offered"], amounts["waiting"], amounts["abandoned"], amounts["wait_all"]) == (0, -1, 1, 3000)


def test_many_journeys_of_one_quarter_are_one_row() -> None:
    several = journeys("\n".join(f"+{n} call.started @c{n}\n+{n} queue.entered queue=q @c{n}" for n in range(3)))
    (row,) = change(now=several)
    assert row[:5] == ("default", "q", NOON, 3, 3)
