"""Legs as somebody writes them, in JSON or the columns of a CSV -> what rating takes, or every fault under `legs[n].field`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from calls.clock import Micros, milliseconds
from calls.faults import Faults
from calls.rating.charge import RatedLeg
from calls.rating.table import LONGEST_S, Faulty, Table
from calls.rating.terms import DIRECTIONS, KINDS

FIELDS = ("direction", "kind", "to", "own", "started_at", "answered_at", "ended_at", "talk_s", "ring_s", "call_sid", "leg")
_SECONDS = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,3})0*)?", re.ASCII)


def read_legs(given: object) -> list[RatedLeg]:
    """The legs in a list of objects. Times are RFC 3339 with a zone, `talk_s` and `ring_s` seconds to the millisecond.

    A leg has `ended_at`, or `talk_s` (0 without `answered_at`: nobody answered) and `ring_s`. Raises Faults.
    """
    if not isinstance(given, list):
        raise Faults([("legs", 'must be a list of legs: [{"direction": "outbound", "kind": "external", "to": "+254…", "talk_s": 61}]')])
    faults: Faulty = []
    found = [_leg(Table(_without_nothing(raw), f"legs[{place}]", faults)) for place, raw in enumerate(given)]
    if faults:
        raise Faults(faults)
    return found


def _without_nothing(raw: object) -> object:
    """A null and an empty column are as good as none."""
    return {name: value for name, value in raw.items() if value not in (None, "")} if isinstance(raw, dict) else raw


def _leg(table: Table) -> RatedLeg:
    table.only(*FIELDS)
    for name, known in (("direction", DIRECTIONS), ("kind", KINDS)):
        table.missing(name, f"one of {', '.join(known)}")
    times = [table.time(name) if name in table.raw else None for name in ("started_at", "answered_at", "ended_at")]
    talk_ms, ring_ms = _seconds(table, "talk_s"), _seconds(table, "ring_s")
    direction = table.word("direction", DIRECTIONS, "outbound") if "direction" in table.raw else "outbound"
    to = table.text("to") or None
    talk_ms, ring_ms, times = _lengths(table, talk_ms, ring_ms, times=times)
    return RatedLeg(
        direction=direction,
        kind=table.word("kind", KINDS, "external") if "kind" in table.raw else "external",
        to=to,
        talk_ms=talk_ms,
        ring_ms=ring_ms or 0,
        started_at=times[0],
        answered_at=times[1],
        own=table.text("own") or (to if direction == "inbound" else None),
        call_sid=table.text("call_sid") or None,
        leg=table.text("leg") or None,
    )


def _lengths(
    table: Table, talk_ms: int | None, ring_ms: int | None, *, times: Sequence[Micros | None]
) -> tuple[int | None, int | None, list[Micros | None]]:
    """Talk and ringing by the clock where the clock is known, and the times that follow from them."""
    started, answered, ended = times
    if started is None and answered is not None:
        started = answered - (ring_ms or 0) * 1000
    if ended is not None:
        return _by_the_clock(table, talk_ms, started=started, answered=answered, ended=ended)
    if talk_ms is None:
        table.fault("talk_s", "is missing: how long the leg talked (0 where nobody answered), or ended_at")
        return None, 0, [None, None]
    if answered is None:
        if talk_ms and started is not None:
            answered = started + (ring_ms or 0) * 1000
        return talk_ms or None, ring_ms, [started, answered]
    return talk_ms, milliseconds(started or answered, answered), [started, answered]


def _by_the_clock(
    table: Table, talk_ms: int | None, *, started: Micros | None, answered: Micros | None, ended: Micros
) -> tuple[int | None, int | None, list[Micros | None]]:
    if started is None:
        table.fault("started_at", "is missing: a leg with ended_at has started_at too, and answered_at where it was answered")
        return None, 0, [None, None]
    if not started <= (started if answered is None else answered) <= ended:
        table.fault("ended_at", "the leg must start, be answered and end in this order")
    by_clock = None if answered is None else milliseconds(answered, ended)
    if talk_ms is not None and abs(talk_ms - (by_clock or 0)) >= 1000:
        table.fault("talk_s", "contradicts answered_at and ended_at: leave one of them out")
    return by_clock, milliseconds(started, ended if answered is None else answered), [started, answered]


def _seconds(table: Table, name: str) -> int | None:
    """Milliseconds."""
    value = table.raw.get(name)
    if value is None:
        return None
    match = None if isinstance(value, bool) or not isinstance(value, str | int | float) else _SECONDS.fullmatch(_digits(value))
    if match is None or int(match[1]) > LONGEST_S:
        table.fault(name, "must be seconds, 0 or more, to the millisecond")
        return 0
    return int(match[1]) * 1000 + int((match[2] or "").ljust(3, "0"))


def _digits(value: float | str) -> str:
    return value.strip() if isinstance(value, str) else str(value) if abs(value) < 10**12 else ""
