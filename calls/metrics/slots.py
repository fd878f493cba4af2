"""What a journey adds to the sums of its queues, by quarter of an hour.

A visit is counted into the quarter of an hour (UTC) in which the caller entered the queue; the talk of the person who answered
it into the same one. Only what is over adds time. The columns are sums of the measures of the same names
(calls/metrics/measures.py); the tests of a measure are read from there, so both ways of counting are one.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import cache

import msgspec

from calls.attribution import handled
from calls.clock import Micros
from calls.journey import Journey, Leg, QueueVisit
from calls.metrics.measures import MEASURES, Measure

SLOT_US: Micros = 15 * 60 * 1_000_000
EDGES_S = (5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600)
"""Waits that thresholds are answered for without looking at single visits."""
COUNTS = ("offered", "answered", "abandoned", "flowed_out", "timed_out", "refused", "full", "waiting", "handled")
LENGTHS = ("wait_answered", "wait_abandoned", "wait_all", "talk", "hold")  # ms
WITHIN = ("answered", "abandoned")  # answered_5 … abandoned_600: those that waited no longer than so many seconds
COLUMNS: tuple[str, ...] = (*COUNTS, *LENGTHS, *(f"{name}_{edge}" for name in WITHIN for edge in EDGES_S))

_AT = {name: n for n, name in enumerate(COLUMNS)}
_EDGES_MS = [edge * 1000 for edge in EDGES_S]
_TALK, _HOLD, _HANDLED = _AT["talk"], _AT["hold"], _AT["handled"]


class Slot(msgspec.Struct, array_like=True, gc=False):
    """Sums of one queue over one quarter of an hour, `amounts` in the order of COLUMNS."""

    start: Micros
    queue: str
    amounts: list[int]


Found = dict[tuple[Micros, str], list[int]]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Slot]).decode


def contributions(journey: Journey) -> list[Slot]:
    """What the journey adds, in order; nothing where no queue took part."""
    found: Found = {}
    for visit in journey.queue_visits:
        _visit(_sums(found, visit.entered_at, visit.queue), visit)
    for leg in handled(journey):
        _leg(found, leg)
    return [Slot(start, queue, amounts) for (start, queue), amounts in sorted(found.items())]


def pack(slots: list[Slot]) -> bytes:
    """A few dozen bytes for what most journeys add, none for nothing."""
    return _encode(slots) if slots else b""


def unpack(packed: bytes) -> list[Slot]:
    """The reverse of `pack`. Raises msgspec.DecodeError for anything else."""
    return _decode(packed) if packed else []


def slot_of(at: Micros) -> Micros:
    """The beginning of the quarter of an hour that `at` lies in."""
    return at - at % SLOT_US


def _sums(found: Found, at: Micros, queue: str) -> list[int]:
    key = (slot_of(at), queue)
    sums = found.get(key)
    if sums is None:
        sums = found[key] = [0] * len(COLUMNS)
    return sums


def _visit(sums: list[int], visit: QueueVisit) -> None:
    counts, waits, within = _places(visit.outcome)
    for place in counts:
        sums[place] += 1
    wait = visit.wait_ms
    if wait is None:
        return
    for place in waits:
        sums[place] += wait
    for first in within:
        for place in range(first + bisect_left(_EDGES_MS, wait), first + len(_EDGES_MS)):
            sums[place] += 1


def _leg(found: Found, leg: Leg) -> None:
    if leg.cohort_at is None or leg.queue is None:
        return
    sums = _sums(found, leg.cohort_at, leg.queue)
    sums[_HANDLED] += 1
    for segment in leg.segments:
        if segment.kind == "talk":
            sums[_TALK] += segment.duration_ms or 0
        elif segment.kind == "hold":
            sums[_HOLD] += segment.duration_ms or 0


@cache
def _places(outcome: str) -> tuple[list[int], list[int], list[int]]:
    """Columns to which a visit of that outcome adds 1, those to which it adds its wait, and where its columns by wait begin."""
    passed = [MEASURES[name] for name in (*COUNTS, *LENGTHS) if _passes(MEASURES[name], outcome)]
    ones = [_AT[one.id] for one in passed if one.adds == "one"]
    waits = [_AT[one.id] for one in passed if one.adds == "wait"]
    return ones, waits, [_AT[f"{name}_{EDGES_S[0]}"] for name in WITHIN if _passes(MEASURES[name], outcome)]


def _passes(measure: Measure, outcome: str) -> bool:
    """Every test of these measures is about the outcome."""
    return measure.source == "visits" and all(outcome in test.one_of for test in measure.tests)
