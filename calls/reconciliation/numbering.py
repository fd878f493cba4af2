"""From nodes to numbered units, and how each row came into its own."""

from __future__ import annotations

from typing import NamedTuple, get_args

import polars as pl

from calls.reconciliation.drift import Clock
from calls.reconciliation.sides import By, Matched, Sides

WAY = pl.Enum(get_args(By))


class Nodes(NamedTuple):
    """Frames with `node` and `place`, the row in the frame that was given; legs and records are numbered `l` and `r`."""

    legs: pl.DataFrame
    records: pl.DataFrame
    lines: pl.DataFrame


def numbered_units(sides: Sides, nodes: Nodes, pairs: pl.DataFrame, clock: Clock) -> Matched:
    """Units in the order of their nodes. `pairs`: `r`, `l`, `by`."""
    units = pl.concat([one["node"] for one in nodes]).unique().sort().to_frame().with_row_index("unit")
    legs, records, lines = (one.join(units, on="node") for one in nodes)
    legs = _of_legs(legs, records, lines, pairs)
    lines = lines.with_columns(by=pl.when(pl.col("node") < legs.height).then(pl.lit("ledger", dtype=WAY)))
    by = legs.group_by("unit").agg(pl.col("by").min())
    return Matched(
        _given(sides.ours, legs), _given(sides.records, records), _given(sides.ledger, lines),
        units.select("unit").join(by, on="unit", how="left", maintain_order="left").with_columns(pl.col("by").cast(pl.String)),
        clock.offset_ms, clock.ms_per_day,
    )  # fmt: skip


def _of_legs(legs: pl.DataFrame, records: pl.DataFrame, lines: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """`by` of each: that of its own record, else of what its unit has."""
    own = pairs.group_by("l").agg(pl.col("by").min())
    recorded, debited = (pl.col("unit").is_in(rows["unit"].unique().implode()) for rows in (records, lines))
    rest = pl.when(recorded).then(pl.lit("shared", dtype=WAY)).when(debited).then(pl.lit("ledger", dtype=WAY))
    return legs.join(own, on="l", how="left").with_columns(by=pl.coalesce("by", rest))


def _given(frame: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """`frame` with the unit and the way of its rows."""
    told = rows.select("place", "unit", pl.col("by").cast(pl.String)).sort("place")
    return frame.with_columns(told["unit"], told["by"])
