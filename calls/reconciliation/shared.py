"""What has no record of its own and shares another's: legs of one call, calls of one journey. And what all links together connect."""

from __future__ import annotations

import polars as pl

Node = pl.Int64
"""A node is a number: a leg's `l`, then records, then ledger lines. What belongs together has one."""
LINKS = {"a": Node, "b": Node}
"""Two nodes that belong together all the same."""
SPANS_MS = 3_000
"""By so much a record may be longer or shorter than the calls that it covers."""


def with_roots(legs: pl.DataFrame, own: pl.Series) -> pl.DataFrame:
    """`legs` with `held`: something found it (`own`: their `l`); and `node`: its own if so, else that of its call's main leg."""
    legs = legs.with_columns(held=pl.col("l").is_in(own.implode()))
    return legs.with_columns(node=pl.when("held").then("l").otherwise("main").cast(Node))


def sibling_links(legs: pl.DataFrame, records: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Calls that nothing found, linked to the call of their journey whose record or ledger lines cover both.

    These do where the record is as long as both calls together and its own call is not, or where they cost what all of them cost.
    """
    loose = legs.filter(~pl.col("held")).join(legs.filter("held"), on="node", how="anti")
    legs = legs.join(loose, on="journey_id", how="semi")
    calls = legs.group_by("node").agg(
        pl.col("journey_id").first(), pl.col("held").any(), start=pl.col("started_at").min(), end=pl.col("ended_at").max(),
        ours=pl.col("amount_minor").sum(),
    )  # fmt: skip
    held = calls.filter("held").join(_records(records, calls), on="node", how="left").join(_lines(lines, calls), on="node", how="left")
    loose = calls.filter(~pl.col("held")).with_columns(all=pl.col("ours").sum().over("journey_id"))
    both = loose.join(held, on="journey_id", suffix="_held").filter(_spans() | _costs())
    return both.group_by("node").agg(b=pl.col("node_held").min()).select(a="node", b="b")


def _records(records: pl.DataFrame, calls: pl.DataFrame) -> pl.DataFrame:
    length = pl.coalesce((pl.col("ended_at") - pl.col("started_at")) // 1000, "duration_ms")
    near = records.join(calls, on="node", how="semi").with_columns(length=length)
    return near.group_by("node").agg(pl.col("length").max(), recorded=pl.col("amount_minor").sum())


def _lines(lines: pl.DataFrame, calls: pl.DataFrame) -> pl.DataFrame:
    return lines.join(calls, on="node", how="semi").group_by("node").agg(debited=pl.col("amount_minor").sum())


def _spans() -> pl.Expr:
    alone = pl.col("end_held") - pl.col("start_held")
    both = pl.max_horizontal("end", "end_held") - pl.min_horizontal("start", "start_held")
    return ((pl.col("length") - both // 1000).abs() <= SPANS_MS) & (both - alone > SPANS_MS * 1000)


def _costs() -> pl.Expr:
    every = pl.col("all") + pl.col("ours_held")
    return (pl.col("ours") != 0) & ((pl.col("recorded") == every) | (pl.col("debited") == every)).fill_null(value=False)


def connected(links: pl.DataFrame) -> pl.DataFrame:
    """`node` and the smallest that it belongs to, `to`: of those that are not themselves the smallest."""
    above: dict[int, int] = {}

    def top(node: int) -> int:
        while node in above:
            above[node] = node = above.get(above[node], above[node])
        return node

    for a, b in links.unique().filter(pl.col("a") != pl.col("b")).rows():
        one, other = sorted((top(a), top(b)))
        if one != other:
            above[other] = one
    moved = [(node, top(node)) for node in list(above)]
    return pl.DataFrame(moved, schema={"node": Node, "to": Node}, orient="row")


def moved(rows: pl.DataFrame, to: pl.DataFrame) -> pl.DataFrame:
    """`rows` with the nodes that `connected` says."""
    if to.is_empty():
        return rows
    return rows.join(to, on="node", how="left").with_columns(node=pl.coalesce("to", "node")).drop("to")
