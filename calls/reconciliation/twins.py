"""The same call twice on one side, under two ids."""

from __future__ import annotations

import polars as pl

from calls.reconciliation.candidates import candidates, of_legs
from calls.reconciliation.shared import Node

SAME_START_US, SAME_LENGTH_MS = 2_000_000, 1_000
_NEEDED = ("caller", "called", "started_at", "duration_ms")
_EQUAL = (*_NEEDED, "direction", "answered_at", "ended_at")


def doubled_records(records: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """`r`, `l`, `by` of records that found no leg and say word for word, but for ids and money, what one says that did."""
    told = records.select("r", *_EQUAL).drop_nulls(_NEEDED)
    rest = told.join(pairs, on="r", how="anti")
    held = told.join(rest, on=_EQUAL, how="semi", nulls_equal=True).join(pairs, on="r").sort("l", "by")
    held = held.unique(_EQUAL, keep="first", maintain_order=True)
    return rest.join(held, on=_EQUAL, nulls_equal=True).select("r", "l", "by")


def twin_links(legs: pl.DataFrame) -> pl.DataFrame:
    """Answered legs that nothing found, linked to one that something did: the same numbers, at the same time, as long."""
    answered, held = legs.filter(pl.col("talk_ms") > 0), legs.filter("held")
    lone = of_legs(answered.filter(~pl.col("held")).join(held, on="node", how="anti"))
    theirs = of_legs(answered.filter("held").join(lone, on=["caller", "called"], how="semi")).select(
        "caller", "called", "direction", "at", "key", r="l", duration_ms="talk_ms"
    )
    found, _ = candidates(lone.with_columns(whole_ms="talk_ms"), theirs, apart_us=SAME_START_US, longer_ms=SAME_LENGTH_MS)
    nearest = found.sort("cost", "r").unique("l", keep="first", maintain_order=True)
    nodes = legs["node"]
    return nearest.select(a=nodes.gather(nearest["l"]).cast(Node), b=nodes.gather(nearest["r"]).cast(Node))
