"""What is known of agents in ranges of their time: the states and stretches that the fold of these days needs, and what lies round them.

Many ranges are read with one statement each, so that a pass over many agents costs a handful of round trips.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

import msgspec
import psycopg

from calls.agents import LONGEST, REACH_MS, State, Stretch, day_of, day_start
from calls.clock import Micros, to_datetime, to_micros
from projections.agent_marks import OF_AGENTS, Agent, Range
from projections.segments import long

NEVER: Micros = 7_258_118_400_000_000  # the year 2200, after all that can be reported
AT_ONCE = 3000  # facts of one range that are folded in one transaction; the rest of it is marked again


class Span(msgspec.Struct):
    """Days [first, last] of an agent (last None: all from there on) that are to be folded, and what is known of that time."""

    agent: Agent
    zone: str
    first: date
    last: date | None
    known: dict[date, bytes] = {}  # the digests of these days' rows as they stand
    states: list[State] = []
    stretches: list[Stretch] = []
    following: date | None = None  # the next day after them on which something is known

    @property
    def start(self) -> Micros:
        return day_start(self.first, self.zone)

    @property
    def end(self) -> Micros:
        return NEVER if self.last is None else day_start(date.fromordinal(self.last.toordinal() + 1), self.zone)

    @property
    def until(self) -> Micros | None:
        return None if self.following is None else day_start(self.following, self.zone)


_ASKED = "unnest(%s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[]) WITH ORDINALITY AS a (tenant, agent, low, high, n)"
_RUN = "s.agent, s.kind, s.started_at, s.ended_at, s.journey_id, s.call_sid, s.leg, s.queue, s.cohort_at"
_LONG = long("s.")
# All states at the instant of the last one before: which of them stands is not for the database's order of texts to say.
_STATES = f"""
SELECT a.n, s.at, s.event_id, s.account, s.state, s.reason, s.lasts_ms
FROM {_ASKED} CROSS JOIN LATERAL (
  SELECT coalesce(max(b.at), a.low) AS since FROM agent_states b WHERE b.tenant = a.tenant AND b.agent = a.agent AND b.at < a.low) carried
JOIN agent_states s ON s.tenant = a.tenant AND s.agent = a.agent AND s.at >= carried.since AND s.at < a.high
"""
_STRETCHES = f"""
SELECT a.n, x.* FROM {_ASKED} CROSS JOIN LATERAL (
  SELECT {_RUN} FROM segments s WHERE s.tenant = a.tenant AND s.agent = a.agent AND {OF_AGENTS} AND NOT {_LONG}
    AND s.started_at >= a.low AND s.started_at < a.high
  UNION ALL
  SELECT {_RUN} FROM segments s WHERE s.tenant = a.tenant AND s.agent = a.agent AND {OF_AGENTS} AND {_LONG} AND s.started_at < a.high
) x
"""
_FOLLOWING = f"""
SELECT a.n, least(
  (SELECT min(s.at) FROM agent_states s WHERE s.tenant = a.tenant AND s.agent = a.agent AND s.at >= a.high),
  (SELECT s.started_at FROM segments s WHERE s.tenant = a.tenant AND s.agent = a.agent AND {OF_AGENTS} AND s.started_at >= a.high
   ORDER BY s.started_at LIMIT 1)) FROM {_ASKED}
"""
_BOUND = f"""
SELECT a.n, least(
  (SELECT s.at FROM agent_states s WHERE s.tenant = a.tenant AND s.agent = a.agent AND s.at >= a.low AND s.at < a.high
   ORDER BY s.at OFFSET {AT_ONCE} LIMIT 1),
  (SELECT s.started_at FROM segments s WHERE s.tenant = a.tenant AND s.agent = a.agent AND s.started_at >= a.low AND s.started_at < a.high
   ORDER BY s.started_at OFFSET {AT_ONCE} LIMIT 1)) FROM {_ASKED}
"""
_KNOWN = f"""
SELECT a.n, d.day, d.digest FROM {_ASKED} JOIN agent_days d ON d.tenant = a.tenant AND d.agent = a.agent
AND d.day_started_at >= a.low AND d.day_started_at < a.high
"""
_BEFORE = f"""
SELECT a.n, d.day FROM {_ASKED} CROSS JOIN LATERAL (SELECT b.day FROM agent_days b
WHERE b.tenant = a.tenant AND b.agent = a.agent AND b.day_started_at < a.low ORDER BY b.day DESC LIMIT 1) d
"""
_RESET = f"""
SELECT a.n, (SELECT s.state FROM agent_states s WHERE s.tenant = a.tenant AND s.agent = a.agent AND s.at <= a.high
  ORDER BY s.at DESC LIMIT 1),
  (SELECT min(s.at) FROM agent_states s WHERE s.tenant = a.tenant AND s.agent = a.agent AND s.at > a.high) FROM {_ASKED}
"""


Asked = Sequence[tuple[Micros, Micros]]


def _ask(cursor: psycopg.Cursor[Any], question: str, agents: Iterable[Agent], asked: Asked) -> list[Any]:
    """Rows that begin with the place (from 0) in `agents` of what they belong to."""
    told = list(agents)
    values = (
        [one for one, _ in told],
        [one for _, one in told],
        [to_datetime(low) for low, _ in asked],
        [to_datetime(high) for _, high in asked],
    )
    cursor.execute(question, values)
    return [(n - 1, *rest) for n, *rest in cursor.fetchall()]


def reach(cursor: psycopg.Cursor[Any], marked: Sequence[tuple[Agent, Range, bool]]) -> list[Range]:
    """How far each mark (agent, range, whether a state changed) changes an agent's time.

    A state holds until the next one. A talk may be the one that later wrap-up is of, and that holds until the next state.
    """
    found: list[Range] = [(low, None if high is None else high + (0 if carries else REACH_MS * 1000)) for _, (low, high), carries in marked]
    looked = [(low, NEVER if high is None else high) for low, high in found]
    for n, state, following in _ask(cursor, _RESET, (agent for agent, _, _ in marked), looked):
        (start, end), carries = found[n], marked[n][2]
        if end is not None and (carries or state == "wrap_up"):
            found[n] = (start, None if following is None else to_micros(following))
    return found


def read(cursor: psycopg.Cursor[Any], spans: Sequence[Span]) -> list[tuple[Agent, Range]]:
    """Fills in what is known of `spans`; returns the ranges that had to be left for another transaction.

    A day that was not there before shortens the day before it, so that is folded with it.
    """
    if not spans:
        return []
    marked = [one.first for one in spans]
    _days_there(cursor, spans)
    left = _bounded(cursor, spans, marked)
    for n, *told in _ask(cursor, _STATES, _agents(spans), [(one.start, one.end) for one in spans]):
        at, event_id, account, state, reason, lasts_ms = told
        spans[n].states.append(State(to_micros(at), event_id, account, state, reason or "", -1 if lasts_ms is None else lasts_ms))
    for n, *told in _ask(cursor, _STRETCHES, _agents(spans), [(_low(one), one.end) for one in spans]):
        spans[n].stretches.append(_stretch(*told[1:]))
    for n, at in _ask(cursor, _FOLLOWING, _agents(spans), [(one.end, one.end) for one in spans]):
        _follow(spans[n], None if at is None else to_micros(at))
    return left


def _agents(spans: Sequence[Span]) -> list[Agent]:
    return [one.agent for one in spans]


def _days_there(cursor: psycopg.Cursor[Any], spans: Sequence[Span]) -> None:
    before = dict(_ask(cursor, _BEFORE, _agents(spans), [(one.start, one.end) for one in spans]))
    lows = [day_start(before[n], one.zone) if n in before else one.start for n, one in enumerate(spans)]
    for n, day, digest in _ask(cursor, _KNOWN, _agents(spans), [(low, one.end) for low, one in zip(lows, spans, strict=True)]):
        spans[n].known[day] = digest
    for n, one in enumerate(spans):
        if n not in before:
            continue
        if one.first in one.known or any(_folds(other, one.agent, before[n]) for other in spans):
            del one.known[before[n]]
        else:
            one.first = before[n]


def _folds(span: Span, agent: Agent, day: date) -> bool:
    """Whether that day of that agent is one of the span's."""
    return span.agent == agent and span.first <= day and (span.last is None or day <= span.last)


def _bounded(cursor: psycopg.Cursor[Any], spans: Sequence[Span], marked: Sequence[date]) -> list[tuple[Agent, Range]]:
    left: list[tuple[Agent, Range]] = []
    for n, at in _ask(cursor, _BOUND, _agents(spans), [(one.start, one.end) for one in spans]):
        one = spans[n]
        if at is None:
            continue
        cut = max(
            day_of(to_micros(at), one.zone), date.fromordinal(marked[n].toordinal() + 1)
        )  # one marked day at least: no pass is for nothing
        if one.last is None or cut <= one.last:
            left.append((one.agent, (day_start(cut, one.zone), None if one.last is None else day_start(one.last, one.zone))))
            one.last = date.fromordinal(cut.toordinal() - 1)
            one.known = {day: digest for day, digest in one.known.items() if day < cut}
    return left


def _low(span: Span) -> Micros:
    """From where short stretches matter: what may still run at the span's start, and the talk of which wrap-up is carried into it."""
    carried = [one.at for one in span.states if one.at < span.start and one.state == "wrap_up"]
    return max(0, min([span.start, *carried]) - REACH_MS * 1000 - LONGEST - 1000)


def _stretch(kind: Any, start: Any, end: Any, *names: Any) -> Stretch:
    journey, call, leg, queue, cohort = names
    return Stretch(
        kind,
        to_micros(start),
        None if end is None else to_micros(end),
        journey,
        call,
        leg,
        queue,
        None if cohort is None else to_micros(cohort),
    )


def _follow(span: Span, following: Micros | None) -> None:
    """The next day after the span: a state, the start of a stretch, or the end of one that begins before."""
    later = [one.ended_at for one in span.stretches if one.ended_at is not None and one.ended_at >= span.end]
    if following is not None:
        later.append(following)
    span.following = day_of(min(later), span.zone) if later else None
