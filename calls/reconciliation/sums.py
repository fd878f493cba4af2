"""What each unit comes to on both sides, and which units have to be explained. No unit is an object here."""

from __future__ import annotations

import polars as pl

from calls.clock import Micros
from calls.reconciliation.sides import Sides

SKEWED = 30_000_000  # µs between their clock and ours from which a call is told
_AMOUNT = pl.when("inside").then("amount_minor").cast(pl.Int128).sum()  # a sum of whole numbers of Postgres may be none
_NOTHING = ("ours_minor", "ledger_minor", "cost_minor", "legs", "legs_inside", "records", "records_inside", "entries", "entries_inside")


def marked(sides: Sides, period: tuple[Micros, Micros]) -> Sides:
    """The same frames with a column `inside`: whether the row is of the period [begin, end)."""
    dates = (pl.col("started_at"), pl.coalesce("started_at", "answered_at", "ended_at"), pl.col("at"))
    frames = (sides.ours, sides.records, sides.ledger)
    ours, records, ledger = (
        frame.with_columns(inside=((date >= period[0]) & (date < period[1])).fill_null(value=False))
        for frame, date in zip(frames, dates, strict=True)
    )
    return Sides(ours, sides.names, records, ledger)


def sums(*, ours: pl.DataFrame, records: pl.DataFrame, ledger: pl.DataFrame, by_records: bool, currency: str) -> pl.DataFrame:
    """A row a unit: `ours_minor` and `theirs_minor` (of what is inside), how many rows of each side it has and how many are inside
    (`legs`, `legs_inside`, `records`, …), `skew` (µs, their clock − ours), `foreign`: an amount is of another currency."""
    foreign = (pl.col("currency") != currency).any().fill_null(value=False)
    sides = (
        ours.group_by("unit").agg(
            _AMOUNT.alias("ours_minor"), pl.len().alias("legs"), pl.col("inside").sum().alias("legs_inside"),
            pl.col("started_at").min().alias("our_start"), foreign.alias("a"),
        ),
        records.group_by("unit").agg(
            _AMOUNT.alias("cost_minor"), pl.len().alias("records"), pl.col("inside").sum().alias("records_inside"),
            pl.col("started_at").min().alias("their_start"), foreign.alias("b"),
        ),
        ledger.group_by("unit").agg(
            _AMOUNT.alias("ledger_minor"), pl.len().alias("entries"), pl.col("inside").sum().alias("entries_inside"), foreign.alias("c"),
        ),
    )  # fmt: skip
    joined = sides[0].join(sides[1], on="unit", how="full", coalesce=True).join(sides[2], on="unit", how="full", coalesce=True)
    return joined.with_columns(pl.col(_NOTHING).fill_null(0), pl.col("a", "b", "c").fill_null(value=False)).select(
        "unit", "ours_minor", pl.col("cost_minor" if by_records else "ledger_minor").alias("theirs_minor"),
        *(name for name in _NOTHING if not name.endswith("_minor")),
        (pl.col("their_start") - pl.col("our_start")).alias("skew"), pl.any_horizontal("a", "b", "c").alias("foreign"),
    )  # fmt: skip


def telling(found: pl.DataFrame, *, records_kept: bool) -> pl.DataFrame:
    """The units of `sums` that say something: that differ, miss a side, have clocks far apart, or amounts that cannot be compared.

    `records_kept`: there are call records of the period, so that a call that cost nothing should have one as well.
    """
    differ = pl.col("ours_minor") != pl.col("theirs_minor")
    alone = (pl.col("legs_inside") > 0) & (pl.col("records") == 0) & (pl.col("entries") == 0)
    unknown = (pl.col("legs") == 0) & (pl.col("records_inside") > 0)
    skewed = (pl.col("legs_inside") > 0) & (pl.col("skew").abs() > SKEWED)
    inside = (pl.col("legs_inside") > 0) | (pl.col("records_inside") > 0) | (pl.col("entries_inside") > 0)
    return found.filter(differ | (inside & (unknown | skewed | pl.col("foreign") | (alone if records_kept else pl.lit(value=False)))))
