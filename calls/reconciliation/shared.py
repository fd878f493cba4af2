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
    """Calls that nothing found, and such as have a record but no ledger line, linked to what covers them in their journey.

    A record does where it is as long as both calls together and its own call is not, or where it costs what its call and all that have
    nothing cost; ledger lines do where they cost what their call and all without lines cost. A leg that has a record and no line goes
    with the lines of its own call where these are another amount than what they were found for: they may be for it too.
    """
    calls = _calls(_around(legs, records, lines))
    records, lines = (rows.join(calls, on="node", how="semi") for rows in (records, lines))
    calls = calls.join(_of_records(records), on="node", how="left").join(_of_lines(lines), on="node", how="left")
    unbilled = pl.col("debited").is_null()
    bare = unbilled & pl.col("recorded").is_null()
    held = calls.filter(~bare).select(pl.all().name.suffix("_held"))
    lacking = calls.with_columns(bare=bare, all_bare=pl.col("ours").filter(bare).sum().over("journey_id"))
    lacking = lacking.with_columns(all_unbilled=pl.col("ours").filter(unbilled).sum().over("journey_id")).filter(unbilled)
    both = lacking.join(held, left_on="journey_id", right_on="journey_id_held").filter(pl.col("node") != pl.col("node_held"))
    of_the_call = ~pl.col("bare") & (pl.col("ours") != 0) & (pl.col("call_sid") == pl.col("call_sid_held"))
    of_the_call &= pl.col("debited_held") != pl.col("ours_held")
    covered = (pl.col("bare") & (_spans() | _costs("recorded", "all_bare"))) | _costs("debited", "all_unbilled") | of_the_call
    return both.filter(covered.fill_null(value=False)).group_by("node").agg(b=pl.col("node_held").min()).rename({"node": "a"})


def _around(legs: pl.DataFrame, records: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """All legs of journeys where one lacks a record, or a line that it should have."""
    lacking = legs.filter(~_in(records)) if lines.is_empty() else legs.filter(~_in(lines), ~_in(records) | _costly())
    return legs.join(lacking, on="journey_id", how="semi")


def _in(rows: pl.DataFrame) -> pl.Expr:
    return pl.col("node").is_in(rows["node"].unique().implode())


def _costly() -> pl.Expr:
    return pl.col("amount_minor").fill_null(0) != 0


def _calls(legs: pl.DataFrame) -> pl.DataFrame:
    start, end, ours = pl.col("started_at").min(), pl.col("ended_at").max(), pl.col("amount_minor").sum()
    return legs.group_by("node").agg(pl.col("journey_id", "call_sid").min(), start=start, end=end, ours=ours)


def _of_records(records: pl.DataFrame) -> pl.DataFrame:
    """`length` in ms of the longest, `recorded`: what all cost."""
    length = pl.coalesce((pl.col("ended_at") - pl.col("started_at")) // 1000, "duration_ms")
    return records.group_by("node").agg(length=length.max(), recorded=pl.col("amount_minor").sum())


def _of_lines(lines: pl.DataFrame) -> pl.DataFrame:
    return lines.group_by("node").agg(debited=pl.col("amount_minor").sum())


def _spans() -> pl.Expr:
    alone = pl.col("end_held") - pl.col("start_held")
    both = pl.max_horizontal("end", "end_held") - pl.min_horizontal("start", "start_held")
    return ((pl.col("length_held") - both // 1000).abs() <= SPANS_MS) & (both - alone > SPANS_MS * 1000)


def _costs(theirs: str, others: str) -> pl.Expr:
    return (pl.col("ours") != 0) & (pl.col(f"{theirs}_held") == pl.col("ours_held") + pl.col(others))


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
