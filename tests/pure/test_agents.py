"""Agents' time: every instant in exactly one state, whatever came first, and however the days are folded apart."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.agents import SLOT_COLUMNS, Day, Interval, State, Stretch, day_of, day_start, days

NAIROBI, BERLIN, ST_JOHNS = "Africa/Nairobi", "Europe/Berlin", "America/St_Johns"
MINUTE, HOUR = 60_000_000, 3_600_000_000
MIDNIGHT = 1_309_726_800_000_000  # 2011-07-04 in Nairobi


def at(clock: str, day: int = 0) -> int:
    """`08:30` or `08:30:00.250` of a day in Nairobi, in µs."""
    hours, minutes, *rest = clock.split(":")
    return MIDNIGHT + (day * 24 + int(hours)) * HOUR + int(minutes) * MINUTE + round(float(rest[0] if rest else 0) * 1_000_000)


def states(text: str, day: int = 0) -> list[State]:
    """`08:00 available, 08:30 paused lunch`."""
    told = [one.split() for one in text.split(",")]
    return [State(at(when, day), f"{day}-{n}", "acme", state, " ".join(why)) for n, (when, state, *why) in enumerate(told)]  # type: ignore[arg-type]


def stretch(kind: str, start: str, end: str | None, name: str = "call", day: int = 0, **more: Any) -> Stretch:
    began = at(start, day)
    return Stretch(
        kind, began, at(end, day) if end else None, f"jn_{name}", name, "a", **({"queue": "q", "cohort_at": began - MINUTE} | more)
    )  # type: ignore[arg-type]


def folded(told: Sequence[State], ran: Sequence[Stretch] = (), zone: str = NAIROBI) -> list[Day]:
    """The days; asserts that order and copies change nothing, and that any part of them folds to itself."""
    found = days(told, ran, zone=zone)
    for seed in range(3):
        rng = random.Random(seed)
        shuffled, more = [*told, *told], [*ran, *ran]
        rng.shuffle(shuffled), rng.shuffle(more)
        assert days(shuffled, more, zone=zone) == found
    for first in range(len(found)):
        for last in range(first + 1, len(found) + 1):
            until = found[last].started_at if last < len(found) else None
            assert days(told, ran, zone=zone, since=found[first].started_at, until=until) == found[first:last]
    return found


def shown(day: Day) -> list[str]:
    """`08:00-08:30 available`, with the call."""
    return [
        f"{clock(one.started_at)}-{clock(one.ended_at)} {one.state}" + (f" {one.call_sid}" if one.call_sid else "") for one in day.intervals
    ]


def clock(instant: int | None) -> str:
    return "" if instant is None else datetime.fromtimestamp((instant + 3 * HOUR) / 1e6, UTC).strftime("%H:%M")


def minutes(day: Day) -> dict[str, float]:
    return {name: sum(sums[n] for sums in day.slots.values()) / 60_000 for n, name in enumerate(SLOT_COLUMNS)}


SHIFT = "08:00 available, 08:30 paused, 08:45 available, 09:25 wrap_up, 09:28 available, 10:00 offline, 10:30 available, 12:10 wrap_up, 12:12 available, 13:00 offline"


def test_a_shift_by_hand() -> None:
    (day,) = folded(states(SHIFT), [stretch("talk", "09:10", "09:25", "one"), stretch("talk", "11:50", "12:10", "two")])
    assert shown(day) == [
        "08:00-08:30 available", "08:30-08:45 paused", "08:45-09:10 available", "09:10-09:25 talking one", "09:25-09:28 wrap_up one",
        "09:28-10:00 available", "10:30-11:50 available", "11:50-12:10 talking two", "12:10-12:12 wrap_up two", "12:12-13:00 available",
    ]  # fmt: skip
    assert minutes(day) == {
        "talking": 35, "hold": 0, "ringing": 0, "wrap_up": 5, "paused": 15, "available": 215, "communicating": 0, "logged_in": 270, "talk": 35,
    }  # fmt: skip
    assert (clock(day.shift_started_at), clock(day.shift_ended_at)) == ("08:00", "13:00")
    wrap = day.intervals[4]
    assert (wrap.journey_id, wrap.queue, wrap.cohort_at) == ("jn_one", "q", at("09:09"))


@pytest.mark.parametrize(("told", "ran", "want"), [
    ("", [("talk", "10:00", "10:10", "a"), ("talk", "10:05", "10:15", "b"), ("talk", "10:15", "10:16", "c")],
     ["10:00-10:10 talking a", "10:10-10:15 talking b", "10:15-10:16 talking c"]),  # overlaps count once, each instant for the first of them
    ("", [("ring", "10:00", "10:10", "a")], []),  # a phone rings at nobody's desk
    ("09:00 available, 11:00 offline", [("ring", "10:00", "10:10", "a")], ["09:00-10:00 available", "10:00-10:10 ringing a", "10:10-11:00 available"]),
    ("09:00 available, 11:00 offline", [("ring", "10:00", "10:20", "a"), ("hold", "10:10", "10:30", "b"), ("talk", "10:15", "10:18", "c")],
     ["09:00-10:00 available", "10:00-10:10 ringing a", "10:10-10:15 hold b", "10:15-10:18 talking c", "10:18-10:30 hold b", "10:30-11:00 available"]),
    ("09:00 talking, 09:10 ringing, 09:20 offline", [], ["09:00-09:10 communicating", "09:10-09:20 ringing"]),
    ("09:00 available, 09:05 available, 09:10 paused", [("talk", "10:00", None, "a")], ["09:00-09:10 available", "09:10-10:00 paused", "10:00- talking a"]),
    ("09:00 wrap_up, 09:05 offline", [], ["09:00-09:05 wrap_up"]),
    ("09:00 wrap_up, 09:05 offline", [("talk", "08:50", "09:01", "a")], ["08:50-09:01 talking a", "09:01-09:05 wrap_up a"]),  # the leg's end was seen later
    ("09:00 wrap_up, 09:05 offline", [("talk", "07:50", "07:59", "a")], ["07:50-07:59 talking a", "09:00-09:05 wrap_up"]),  # too long ago to be of that call
    ("09:00 available, 09:30 offline", [("talk", "09:10", "09:10", "a"), ("talk", "09:20", "09:15", "b")], ["09:00-09:30 available"]),  # no length
])  # fmt: skip
def test_what_outranks_what(told: str, ran: list[tuple[str, str, str | None, str]], want: list[str]) -> None:
    found = folded(states(told) if told else [], [stretch(*one) for one in ran])
    assert [line for day in found for line in shown(day)] == want


def test_reasons_part_what_is_otherwise_one() -> None:
    (day,) = folded(states("09:00 paused lunch, 09:30 paused lunch, 10:00 paused training, 11:00 offline"))
    assert [(one.reason, clock(one.started_at)) for one in day.intervals] == [("lunch", "09:00"), ("training", "10:00")]


def test_a_state_of_known_length_is_over_without_a_word() -> None:
    told = [
        State(at("23:50"), "1", "a", "wrap_up", "", 20 * 60_000),
        State(at("09:00", 1), "2", "a", "wrap_up", "", 600_000),
        State(at("09:05", 1), "3", "a", "offline"),
    ]
    assert [shown(one) for one in folded(told)] == [
        ["23:50-00:00 wrap_up"],
        ["00:00-00:10 wrap_up", "00:10-09:00 available", "09:00-09:05 wrap_up"],
    ]


def test_over_midnight_in_nairobi() -> None:
    found = folded([*states("22:00 available"), *states("02:00 offline", day=1)], [stretch("talk", "23:50", "24:10")])
    assert [one.day for one in found] == [date(2011, 7, 4), date(2011, 7, 5)]
    assert [shown(one) for one in found] == [
        ["22:00-23:50 available", "23:50-00:00 talking call"], ["00:00-00:10 talking call", "00:10-02:00 available"],
    ]  # fmt: skip
    assert [(clock(one.shift_started_at), clock(one.shift_ended_at)) for one in found] == [("22:00", "00:00"), ("00:00", "02:00")]
    assert [minutes(one)["talk"] for one in found] == [10, 10]


def test_years_without_an_event_are_one_long_interval() -> None:
    found = folded([*states("08:00 paused"), *states("09:00 offline", day=3000)])
    assert [len(one.intervals) for one in found] == [1, 1]
    long = found[0].intervals[0]
    assert (long.ended_at, long.in_slots, found[0].slots) == (found[1].started_at, False, {})
    assert found[0].shift_ended_at == found[1].shift_started_at


def test_only_the_last_day_is_open() -> None:
    found = folded([*states("08:00 available"), *states("09:00 paused", day=2)], [stretch("talk", "10:00", None)])
    assert [one.ended_at for one in found] == [found[1].started_at, None]
    assert [shown(one) for one in found] == [["08:00-10:00 available", "10:00-00:00 talking call"], ["00:00- talking call"]]
    assert found[1].shift_ended_at is None and minutes(found[0])["talk"] == 0  # an open talk is read from the segments


def test_a_day_of_25_hours() -> None:
    begin = day_start(date(2001, 10, 28), BERLIN)
    found = folded([State(begin, "1", "a", "available"), State(begin + 25 * HOUR, "2", "a", "offline")], zone=BERLIN)
    assert [(one.day, minutes(one)["logged_in"]) for one in found] == [(date(2001, 10, 28), 1500), (date(2001, 10, 29), 0)]


@pytest.mark.parametrize("zone", [NAIROBI, BERLIN, ST_JOHNS, "America/Havana", "Atlantic/Azores", "Africa/Monrovia", "UTC"])
def test_every_instant_is_in_the_day_that_begins_before_it(zone: str) -> None:
    rng = random.Random(zone)
    turn = day_start(date(2006, 10, 29), ST_JOHNS)  # there the clocks went back at one minute past midnight
    for instant in [turn + n * MINUTE for n in range(-90, 90)] + [rng.randrange(7_000_000_000_000_000) for _ in range(300)]:
        day = day_of(instant, zone)
        assert day_start(day, zone) <= instant < day_start(date.fromordinal(day.toordinal() + 1), zone)


# ---------------------------------------------------------------- whatever comes

INSTANTS = st.integers(0, 4 * 24 * 60).map(lambda n: MIDNIGHT + n * MINUTE + n * 137)
STATES = st.builds(
    State, at=INSTANTS, event_id=st.sampled_from("abc"), account=st.sampled_from(["x", "y"]),
    state=st.sampled_from(["offline", "available", "paused", "wrap_up", "ringing", "talking"]), reason=st.sampled_from(["", "lunch"]),
)  # fmt: skip
STRETCHES = st.builds(
    Stretch, kind=st.sampled_from(["talk", "hold", "ring"]), started_at=INSTANTS, ended_at=st.none() | INSTANTS, journey_id=st.sampled_from("jk"),
    call_sid=st.sampled_from("pq"), leg=st.just("a"), queue=st.sampled_from([None, "q"]), cohort_at=st.none() | INSTANTS,
)  # fmt: skip


@given(st.lists(STATES, max_size=12), st.lists(STRETCHES, max_size=8), st.sampled_from([NAIROBI, BERLIN]))
def test_the_time_is_parted_and_nothing_is_lost(told: list[State], ran: list[Stretch], zone: str) -> None:
    found = folded(told, ran, zone)
    intervals = [one for day in found for one in day.intervals]
    assert all(one.ended_at is None or one.started_at < one.ended_at for one in intervals)
    assert all(a.ended_at is not None and a.ended_at <= b.started_at for a, b in itertools.pairwise(intervals)), "overlap"
    for day in found:
        assert all(
            day.started_at <= one.started_at and (day.ended_at is None or (one.ended_at or 1 << 62) <= day.ended_at)
            for one in day.intervals
        )
    edges = {
        edge // 1000 for one in [*told, *ran] for edge in ([one.at] if isinstance(one, State) else [one.started_at, one.ended_at or 0])
    }
    for instant in sorted(edges):
        assert _doing(intervals, instant) == _expected(told, ran, instant), instant
    _sums(found, intervals, ran)


def _doing(intervals: list[Interval], ms: int) -> str | None:
    (one,) = [one for one in intervals if one.started_at // 1000 <= ms < (one.ended_at or 1 << 62) // 1000] or [None]
    return one.state if one else None


def _expected(told: list[State], ran: list[Stretch], ms: int) -> str | None:
    """The rules, instant by instant."""
    runs = {one.kind for one in ran if one.started_at // 1000 <= ms < (1 << 62 if one.ended_at is None else one.ended_at) // 1000}
    last = max((one for one in told if one.at // 1000 <= ms), default=None)
    reported = None if last is None or last.state == "offline" else last.state
    if last is not None and 0 <= last.lasts_ms <= ms - last.at // 1000:
        reported = "available"
    for kind, state in (("talk", "talking"), ("hold", "hold")):
        if kind in runs:
            return state
    if reported is None:
        return None
    return "ringing" if "ring" in runs else "communicating" if reported == "talking" else reported


def _sums(found: list[Day], intervals: list[Interval], ran: list[Stretch]) -> None:
    for n, name in enumerate(SLOT_COLUMNS[:-1]):
        want = [one for one in intervals if one.in_slots and name in (one.state, "logged_in")]
        assert sum(sums[n] for day in found for sums in day.slots.values()) == sum(
            ((one.ended_at or 0) - one.started_at) // 1000 for one in want
        )
    over = {one for one in ran if one.kind == "talk" and one.counts and one.ended_at and one.ended_at - one.started_at <= 48 * HOUR}
    talk = sum(sums[-1] for day in found for sums in day.slots.values())
    assert talk == sum((one.end or 0) - one.start for one in over)
    if all(one in over for one in ran if one.kind == "talk" and one.counts):
        assert sum(sums[0] for day in found for sums in day.slots.values()) <= talk, "busy more than it talks"
