"""Agents' time: reported states and the stretches of their legs → what each agent did at every instant, by local day.

Pure: any order, duplication or lateness of what is put in gives the same. Of what happens at once, talk outranks hold, hold
outranks ringing, and ringing what was reported. Talk and hold imply being logged in; a leg that rings somebody who is logged out
does not. Every instant is taken at its whole millisecond, so lengths add up exactly wherever they are cut.

A day is *active* where a state, or the begin or end of a stretch, lies in it. What an active day says speaks for all the time up to
the next one: an agent who is paused for years without an event has one long interval, not thousands of days.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from heapq import heappop, heappush
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo

import msgspec

from calls.clock import Micros, to_datetime, to_micros
from calls.events import StateOfAgent

VERSION = 1  # of the meaning of agents' time: a change makes `safiri migrate` rebuild
LONGEST: Micros = 48 * 3_600_000_000  # of an interval or talk that is counted into quarters of an hour
REACH_MS = 3_600_000  # wrap-up is that of a talk which ended at most so long before it was reported
QUARTER = 900_000  # ms
IMPLIED = -2  # `lasts_ms` of a state that nobody reported
AgentTime: TypeAlias = Literal["talking", "hold", "ringing", "wrap_up", "paused", "available", "communicating"]
STATES: tuple[AgentTime, ...] = ("talking", "hold", "ringing", "wrap_up", "paused", "available", "communicating")
SLOT_COLUMNS = (*STATES, "logged_in", "talk")
Ms: TypeAlias = int


class State(msgspec.Struct, frozen=True, order=True):
    """An agent was reported in this state. In reading order: of several at one instant the last stands.

    `lasts_ms`: then it is over without a word, and the agent available again (-1: not said).
    """

    at: Micros
    event_id: str
    account: str
    state: StateOfAgent
    reason: str = ""
    lasts_ms: int = -1


class Stretch(msgspec.Struct, frozen=True):
    """Of a leg of the agent: talk or hold with a caller, or ringing. `ended_at` None: still open."""

    kind: Literal["talk", "hold", "ring"]
    started_at: Micros
    ended_at: Micros | None
    journey_id: str = ""
    call_sid: str = ""
    leg: str = ""
    queue: str | None = None
    cohort_at: Micros | None = None

    @property
    def start(self) -> Ms:
        return self.started_at // 1000

    @property
    def end(self) -> Ms | None:
        return None if self.ended_at is None else self.ended_at // 1000

    @property
    def counts(self) -> bool:
        """It has a length."""
        return self.ended_at is None or self.ended_at // 1000 > self.started_at // 1000


class Interval(msgspec.Struct):
    """[started_at, ended_at) in one state. The names are those of the stretch that it is, or of the talk that is wrapped up."""

    state: AgentTime
    started_at: Micros
    ended_at: Micros | None
    reason: str | None = None
    journey_id: str | None = None
    call_sid: str | None = None
    leg: str | None = None
    queue: str | None = None
    cohort_at: Micros | None = None

    @property
    def in_slots(self) -> bool:
        return self.ended_at is not None and self.ended_at - self.started_at <= LONGEST


class Day(msgspec.Struct):
    """An active day, which speaks for [started_at, ended_at); `slots`: quarter of an hour (µs) -> ms by SLOT_COLUMNS."""

    day: date
    started_at: Micros
    ended_at: Micros | None
    intervals: list[Interval]
    slots: dict[Micros, list[int]]

    @property
    def shift_started_at(self) -> Micros | None:
        return self.intervals[0].started_at if self.intervals else None

    @property
    def shift_ended_at(self) -> Micros | None:
        return self.intervals[-1].ended_at if self.intervals else None


def days(
    states: Iterable[State], stretches: Iterable[Stretch], *, zone: str, since: Micros | None = None, until: Micros | None = None
) -> list[Day]:
    """The active days that begin in [since, until), in order. Both are begins of local days of `zone`; None = no bound.

    What lies before `since` is only carried in (of it the last state, the last ended talk and what still runs are enough);
    `until` is the next active day, where one is known.
    """
    told, ran = _until_over(sorted(set(states))), sorted({one for one in stretches if one.counts}, key=_order)
    low, high = (since if since is not None else -(1 << 62)) // 1000, (until if until is not None else 1 << 62) // 1000
    instants = {one.at // 1000 for one in told if one.lasts_ms != IMPLIED}
    instants.update(one.start for one in ran)
    instants.update(one.end for one in ran if one.end is not None)
    within = sorted(at for at in instants if low <= at < high)
    found = _active(within, zone)
    if not found:
        return []
    edges = [at for _, at in found]
    implied = {one.at // 1000 for one in told if edges[0] <= one.at // 1000 < high}
    parts = _cut(_moments(told, ran, at=sorted({*within, *edges, *implied})), edges, high if until is not None else None)
    ends = [*edges[1:], high if until is not None else None]
    made = [
        Day(day, start * 1000, None if end is None else end * 1000, part, {})
        for (day, start), end, part in zip(found, ends, parts, strict=True)
    ]
    _count(made, [one for one in ran if one.kind == "talk"], edges)
    return made


def _order(one: Stretch) -> tuple[Micros, str, str, str, str, int, str, int]:
    """The first of several that run at once is the one whose the time is."""
    return (
        one.started_at, one.journey_id, one.call_sid, one.leg, one.kind, -1 if one.ended_at is None else one.ended_at,
        one.queue or "", one.cohort_at or 0,
    )  # fmt: skip


def _until_over(told: list[State]) -> list[State]:
    """`told`, and that the agent is available again where a state of known length is over before another one was reported."""
    made: list[State] = []
    for n, one in enumerate(told):
        made.append(one)
        over = one.at + one.lasts_ms * 1000
        if one.lasts_ms >= 0 and (n + 1 == len(told) or told[n + 1].at // 1000 > over // 1000):
            made.append(State(over, one.event_id, one.account, "available", lasts_ms=IMPLIED))
    return made


# ---------------------------------------------------------------- local days


@lru_cache(maxsize=4096)
def day_start(day: date, zone: str) -> Micros:
    """The first instant of a local day."""
    return to_micros(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)))


def day_of(at: Micros, zone: str) -> date:
    """The local day that `at` lies in, also where the clocks are put back over midnight."""
    day = to_datetime(at).astimezone(ZoneInfo(zone)).date()
    if at < day_start(day, zone):
        return day - timedelta(days=1)
    following = day + timedelta(days=1)
    return following if at >= day_start(following, zone) else day


def _active(instants: list[Ms], zone: str) -> list[tuple[date, Ms]]:
    """The days of sorted instants, and when each begins."""
    found: list[tuple[date, Ms]] = []
    following: Ms = -(1 << 62)
    for at in instants:
        if at >= following:
            day = day_of(at * 1000, zone)
            found.append((day, day_start(day, zone) // 1000))
            following = day_start(day + timedelta(days=1), zone) // 1000
    return found


# ---------------------------------------------------------------- what the agent did from each instant on

Did: TypeAlias = tuple[AgentTime, str | None, Stretch | None]


class _Running:
    """The stretches of one kind that run at an instant; instants must be asked in order."""

    def __init__(self, stretches: list[Stretch]) -> None:
        self._coming, self._next = stretches, 0
        self._heap: list[tuple[int, Stretch]] = []

    def first(self, at: Ms) -> Stretch | None:
        """The one that began first."""
        while self._next < len(self._coming) and self._coming[self._next].start <= at:
            heappush(self._heap, (self._next, self._coming[self._next]))
            self._next += 1
        while self._heap:
            end = self._heap[0][1].end
            if end is None or end > at:
                return self._heap[0][1]
            heappop(self._heap)
        return None


def _moments(told: list[State], ran: list[Stretch], *, at: list[Ms]) -> Iterator[tuple[Ms, Did | None]]:
    """(instant, what the agent did from it until the next one; None: was logged out)."""
    talks = [one for one in ran if one.kind == "talk"]
    talk, hold, ring = (_Running([one for one in ran if one.kind == kind]) for kind in ("talk", "hold", "ring"))
    over = sorted((one for one in talks if one.end is not None), key=lambda one: (one.end, *_order(one)))
    times, ends = [one.at // 1000 for one in told], [one.end or 0 for one in over]
    for instant in at:
        talking, holding, ringing = talk.first(instant), hold.first(instant), ring.first(instant)
        n = bisect_right(times, instant)
        state = told[n - 1] if n else None
        if talking or holding:
            yield instant, ("talking" if talking else "hold", None, talking or holding)
        elif state is None or state.state == "offline":
            yield instant, None
        elif ringing:
            yield instant, ("ringing", None, ringing)
        else:
            n = bisect_right(ends, instant)
            yield instant, _reported(state, over[n - 1] if n else None)


def _reported(state: State, last: Stretch | None) -> Did:
    """What a state means while no leg says more. `last`: the talk that ended last."""
    kind, reason = state.state, state.reason or None
    if kind == "talking":
        return "communicating", reason, None
    if kind == "wrap_up" and last is not None and last.end is not None and state.at // 1000 - last.end <= REACH_MS:
        return "wrap_up", reason, last
    assert kind != "offline", "logged out is no interval"
    return kind, reason, None


def _cut(moments: Iterable[tuple[Ms, Did | None]], edges: list[Ms], until: Ms | None) -> list[list[Interval]]:
    """The intervals of each active day: equal neighbours are one, but none crosses the begin of an active day."""
    parts: list[list[Interval]] = [[] for _ in edges]
    begins = set(edges)
    since, doing, n = 0, None, -1
    for at, did in moments:
        edge = at in begins
        if did != doing or edge:
            if doing is not None:
                parts[n].append(_interval(doing, since, at))
            since, doing = at, did
        n += edge
    if doing is not None:
        parts[n].append(_interval(doing, since, until))
    return parts


def _interval(did: Did, start: Ms, end: Ms | None) -> Interval:
    state, reason, whose = did
    made = Interval(state, start * 1000, None if end is None else end * 1000, reason)
    if whose is not None:
        made.journey_id, made.call_sid, made.leg, made.queue = whose.journey_id, whose.call_sid, whose.leg, whose.queue
        made.cohort_at = whose.cohort_at
    return made


# ---------------------------------------------------------------- sums by quarter of an hour


def _count(made: list[Day], talks: list[Stretch], edges: list[Ms]) -> None:
    logged_in, talk = SLOT_COLUMNS.index("logged_in"), SLOT_COLUMNS.index("talk")
    for day in made:
        for one in day.intervals:
            if one.ended_at is not None and one.in_slots:
                _add(day, one.started_at // 1000, one.ended_at // 1000, columns=(STATES.index(one.state), logged_in))
    for stretch in talks:
        if stretch.ended_at is None or stretch.end is None or stretch.ended_at - stretch.started_at > LONGEST:
            continue
        for day in made[max(0, bisect_right(edges, stretch.start) - 1) : bisect_left(edges, stretch.end)]:
            end = stretch.end if day.ended_at is None else min(stretch.end, day.ended_at // 1000)
            _add(day, max(stretch.start, day.started_at // 1000), end, columns=(talk,))
    for day in made:
        day.slots = dict(sorted(day.slots.items()))


def _add(day: Day, start: Ms, end: Ms, *, columns: tuple[int, ...]) -> None:
    while start < end:
        slot = start - start % QUARTER
        until = min(end, slot + QUARTER)
        sums = day.slots.setdefault(slot * 1000, [0] * len(SLOT_COLUMNS))
        for column in columns:
            sums[column] += until - start
        start = until
