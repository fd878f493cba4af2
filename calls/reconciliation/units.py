"""From the rows of matched frames to the units that are explained: only those, for objects are dear."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TypeVar, cast

import msgspec
import polars as pl

from calls.clock import Micros
from calls.events import Direction
from calls.rating.charge import RatedLeg
from calls.rating.terms import Kind
from calls.reconciliation.sides import By, Entry, OurLeg, Record, Unit

AT_ONCE = 20_000  # units whose rows are objects at the same time


class _Ours(msgspec.Struct, frozen=True, kw_only=True):
    """A row of our frame."""

    unit: int
    journey_id: str
    call_sid: str
    leg: str
    direction: Direction | None
    kind: Kind
    to: str | None
    own: str | None
    queue: str | None
    agent: str | None
    started_at: Micros
    answered_at: Micros | None
    ended_at: Micros
    talk_ms: int | None
    ring_ms: int
    received_at: Micros
    amount_minor: int | None
    plan: str
    version: str | None
    inside: bool

    def told(self) -> OurLeg:
        direction = cast(Direction, self.direction)  # None where nobody knows it: no rule that names a direction covers it
        rated = RatedLeg(
            direction, self.kind, to=self.to, talk_ms=self.talk_ms, ring_ms=self.ring_ms, started_at=self.started_at,
            answered_at=self.answered_at, own=self.own, call_sid=self.call_sid, leg=self.leg, received_at=self.received_at,
        )  # fmt: skip
        return OurLeg(
            self.journey_id, rated, self.ended_at, self.amount_minor, self.plan, self.version, queue=self.queue, agent=self.agent,
            inside=self.inside,
        )  # fmt: skip


class _Record(Record, frozen=True, kw_only=True):
    unit: int


class _Entry(Entry, frozen=True, kw_only=True):
    unit: int


_Row = TypeVar("_Row", _Ours, _Record, _Entry)


def units(
    wanted: pl.Series, *, ours: pl.DataFrame, records: pl.DataFrame, ledger: pl.DataFrame, by: pl.DataFrame
) -> Iterator[tuple[int, Unit]]:
    """Every unit of `wanted` with its number, in the order of these. The frames have columns `unit` and `inside`.

    `by`: frame of `unit` and `by`, how it was found.
    """
    numbers = wanted.unique().sort()
    for first in range(0, len(numbers), AT_ONCE):
        some = numbers.slice(first, AT_ONCE)
        legs = _grouped(ours, some, ("started_at", "call_sid", "leg"), _Ours)
        kept = _grouped(records, some, ("started_at", "row_id"), _Record)
        ways: dict[int, By] = dict(by.filter(pl.col("unit").is_in(some.implode())).select("unit", "by").iter_rows())
        lines = _grouped(ledger, some, ("at", "row_id"), _Entry)
        for number in some:
            told = tuple(one.told() for one in legs.get(number, ()))
            yield number, Unit(told, tuple(kept.get(number, ())), tuple(lines.get(number, ())), ways.get(number))


def _grouped(frame: pl.DataFrame, numbers: pl.Series, order: tuple[str, ...], row: type[_Row]) -> dict[int, list[_Row]]:
    """The rows of these units, each unit's in order."""
    chosen = frame.filter(pl.col("unit").is_in(numbers.implode())).sort("unit", *order, nulls_last=True)
    read: list[_Row] = [msgspec.convert(one, row) for one in chosen.iter_rows(named=True)]
    return {number: list(group) for number, group in groupby(read, key=lambda one: one.unit)}
