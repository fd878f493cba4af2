"""Figures of a reconciliation: how much was matched, what is missing where, what leaks, and how far the clocks are apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

import msgspec
import polars as pl

from calls.building import MAIN
from calls.clock import Micros, rfc3339
from calls.reconciliation.cause import Cause
from calls.reconciliation.telling import Found

NAMED = 100  # changed lines by their ids
NO_LEAK: frozenset[Cause] = frozenset({"top_up", "non_call_charge", "period_boundary"})
"""Causes that explain money and lose none: nothing is wrong with a call that they are of."""


class Share(msgspec.Struct, frozen=True):
    """`part` of `whole`. As a number it is cut, not rounded: 1 is all of it and nothing less."""

    part: int
    whole: int

    @property
    def rate(self) -> float:
        return self.part * 1_000_000 // self.whole / 1_000_000 if self.whole else 1.0


class Counted(msgspec.Struct):
    count: int = 0
    amount_minor: int = 0


class Matching(msgspec.Struct, frozen=True):
    """Our calls of the period that found something of theirs: so many, and what they cost."""

    calls: Share
    money: Share


class Lengths(msgspec.Struct, frozen=True):
    """|their duration − our talk| of calls with one main leg and one record, in ms."""

    compared: int
    mean_ms: int | None
    p95_ms: int | None


def matching(ours: pl.DataFrame, units: pl.DataFrame, *, records_kept: bool) -> Matching:
    """`ours`: with `unit`, `inside`; `units`: of sums(). Without call records nobody misses a call that cost nothing."""
    matched_free = pl.lit(value=False) if records_kept else (pl.col("amount_minor").fill_null(0) == 0).all()
    found = units.select("unit", found=(pl.col("records") > 0) | (pl.col("entries") > 0))
    legs = ours.filter("inside").select("unit", "call_sid", "amount_minor").join(found, on="unit")
    calls = legs.group_by("call_sid").agg(
        pl.col("found").any() | matched_free,
        pl.col("amount_minor").cast(pl.Int128).abs().sum(),
    )
    matched = calls.filter("found")
    money = Share(int(matched["amount_minor"].sum()), int(calls["amount_minor"].sum()))
    return Matching(Share(matched.height, calls.height), money)


def pairs(ours: pl.DataFrame, records: pl.DataFrame) -> pl.DataFrame:
    """A row a unit with one main leg, inside, and one record: `longer`, their duration − our talk in ms."""
    mains = ours.filter((pl.col("leg") == MAIN) & pl.col("inside")).select("unit", "talk_ms")
    theirs = records.select("unit", "duration_ms")
    alone = [frame.filter(pl.len().over("unit") == 1) for frame in (mains, theirs)]
    return alone[0].join(alone[1], on="unit").select(longer=pl.col("duration_ms") - pl.col("talk_ms"))


def ways(ours: pl.DataFrame) -> dict[str, int]:
    """How many of our legs within the period were found how; `none`: not at all."""
    found = ours.filter("inside").group_by(pl.col("by").cast(pl.String).fill_null("none")).agg(pl.len()).sort("by")
    return dict(found.iter_rows())


def lengths(found: pl.DataFrame) -> Lengths:
    """`found`: of pairs()."""
    apart = found["longer"].drop_nulls().abs().sort()
    if apart.is_empty():
        return Lengths(0, None, None)
    return Lengths(len(apart), round(Fraction(int(apart.sum()), len(apart))), int(apart[-(-95 * len(apart) // 100) - 1]))


def counted(found: Iterable[Found]) -> dict[Cause, Counted]:
    """By cause, in the order of the causes."""
    sums: dict[Cause, Counted] = {}
    for one in sorted(found, key=lambda one: one.cause_place):
        of_cause = sums.setdefault(one.cause, Counted())
        of_cause.count += 1
        of_cause.amount_minor += one.amount_minor
    return sums


def leakage(found: Iterable[Found]) -> dict[str, int]:
    """Minor units that calls cost others than they should: `net_leakage_minor` of all, `gross_leakage_minor` without regard to the sign."""
    amounts = [one.amount_minor for one in found if one.cause not in NO_LEAK]
    return {"net_leakage_minor": sum(amounts), "gross_leakage_minor": sum(map(abs, amounts))}


def oldest(found: Iterable[Found], end: Micros) -> dict[str, object]:
    """The oldest difference that costs somebody something, and its age when the period ended."""
    dates = [one.at for one in found if one.amount_minor and one.cause not in NO_LEAK and one.at is not None]
    at = min(dates, default=None)
    return {"at": rfc3339(at), "age_ms": None if at is None else max(0, end - at) // 1000}


def shares(found: list[Found]) -> Mapping[str, float]:
    """What part of all differences, without regard to their sign, each cause explains."""
    whole = sum(abs(one.amount_minor) for one in found)
    parts: dict[str, int] = {}
    for one in sorted(found, key=lambda one: one.cause_place):
        parts[one.cause] = parts.get(one.cause, 0) + abs(one.amount_minor)
    return {cause: Share(part, whole).rate for cause, part in parts.items() if whole}
