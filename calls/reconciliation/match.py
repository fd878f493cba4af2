"""What belongs together: our legs, the provider's call records and the lines of its ledger.

Records find legs in passes, each record and each leg in the first that fits: by the provider's call id, by an id of ours, by numbers
and times within 2 s and 1 s, then within 30 s and 3 s. Legs without a record share that of their call; what one side tells twice is
one call; ledger lines go by the id of the call. Units are what is connected. Nothing depends on the order of rows: `l` and `r` number
legs and records by their ids.
"""

from __future__ import annotations

import polars as pl

from calls.building import MAIN
from calls.reconciliation.close_match import close_pairs
from calls.reconciliation.drift import Clock, clock_by_ids, clock_by_numbers
from calls.reconciliation.known_ids import RECORD_IDS, first_known, named_in_text, ours_by_id, ours_by_request
from calls.reconciliation.numbering import WAY, Nodes, numbered_units
from calls.reconciliation.shared import Node, connected, moved, sibling_links, with_roots
from calls.reconciliation.sides import By, Matched, Sides
from calls.reconciliation.twins import doubled_records, twin_links

_LEG = (
    "call_sid", "leg", "journey_id", "direction", "caller", "called", "started_at", "ended_at", "talk_ms", "ring_ms", "amount_minor",
)  # fmt: skip
_RECORD = (
    "row_id", "call_id", "session_id", "client_request_id", "direction", "caller", "called", "started_at", "answered_at", "ended_at",
    "duration_ms", "amount_minor",
)  # fmt: skip


def match(sides: Sides) -> Matched:
    """The sides with their units. Any of them may be empty."""
    legs, records = _legs(sides.ours), _records(sides.records)
    ids, requests = ours_by_id(legs, sides.names), ours_by_request(legs, sides.names)
    pairs = _with_mates(_by_ids(records, ids, requests), records)
    pairs, clock = _by_closeness(legs, records, pairs)
    pairs = _with_mates(pairs, records)
    pairs = _with_mates(pl.concat([pairs, doubled_records(records, pairs)]), records)
    entries = _entries(sides.ledger, [ids["id"], *(records[name] for name in RECORD_IDS), requests["id"]])
    lines, strangers = first_known(entries, ("call_id",), ids)
    legs = with_roots(legs, own=pl.concat([pairs["l"], lines["l"]]).unique())
    records = _with_nodes(records, legs, pairs)
    known, strangers, links = _by_records(strangers, records)
    asked, strangers = first_known(strangers, ("call_id",), requests)
    alone = _alone(strangers, first=legs.height + records.height)
    lines = pl.concat([_rooted(lines, legs), known, _rooted(asked, legs), alone])
    to = connected(pl.concat([links, _doubled_apart(records, ids), sibling_links(legs, records, lines), twin_links(legs)]))
    placed = (legs.select("l", "node", "place"), records.select("node", "place", "by"), lines.select("node", "place"))
    nodes = Nodes(*(moved(rows, to) for rows in placed))
    return numbered_units(sides, nodes, pairs, clock)


def _legs(ours: pl.DataFrame) -> pl.DataFrame:
    """Numbered by their ids. `place`: the row that it was; `main`: the number of its call's main leg, or else of the call's first leg."""
    legs = ours.select(_LEG).with_row_index("place").sort("call_sid", pl.col("leg") != MAIN, "leg", "journey_id").with_row_index("l")
    number = pl.col("l")
    main, first = number.filter(pl.col("leg") == MAIN).min(), number.min()
    return legs.with_columns(call=pl.col("call_sid").rle_id()).with_columns(main=pl.coalesce(main, first).over("call")).drop("call")


def _records(given: pl.DataFrame) -> pl.DataFrame:
    return given.select(_RECORD).with_row_index("place").sort("row_id", "call_id").with_row_index("r")


def _entries(ledger: pl.DataFrame, known: list[pl.Series]) -> pl.DataFrame:
    """`place`, `row_id`, `amount_minor`, `call_id`: the column's, else the one that the description names."""
    entries = ledger.select("row_id", "call_id", "amount_minor", "description").with_row_index("place")
    return named_in_text(entries, known).select("place", "row_id", "call_id", "amount_minor")


def _by_ids(records: pl.DataFrame, ids: pl.DataFrame, requests: pl.DataFrame) -> pl.DataFrame:
    """`r`, `l`, `by` of the first two passes."""
    called, rest = first_known(records.select("r", *RECORD_IDS, "client_request_id"), RECORD_IDS, ids)
    asked, _ = first_known(rest, ("client_request_id",), requests)
    return pl.concat([_pairs(called, "call_id"), _pairs(asked, "request_id")])


def _pairs(found: pl.DataFrame, by: By) -> pl.DataFrame:
    return found.select("r", "l", by=pl.lit(by, dtype=WAY))


def _with_mates(pairs: pl.DataFrame, records: pl.DataFrame) -> pl.DataFrame:
    """Records doubled under one call id go where the others went."""
    rest = records.select("r", "call_id").drop_nulls().join(pairs, on="r", how="anti")
    if rest.is_empty() or pairs.is_empty():
        return pairs
    held = records.select("r", "call_id").join(rest, on="call_id", how="semi").join(pairs, on="r").sort("l", "by")
    held = held.group_by("call_id").agg(pl.col("l", "by").first())
    return pl.concat([pairs, rest.join(held, on="call_id").select("r", "l", "by")])


def _by_closeness(legs: pl.DataFrame, records: pl.DataFrame, pairs: pl.DataFrame) -> tuple[pl.DataFrame, Clock]:
    """The third and the fourth pass, for the first of each call id; and the clock by which they were compared."""
    clock = clock_by_ids(legs, records, pairs)
    legs, records = legs.join(pairs, on="l", how="anti"), records.join(pairs, on="r", how="anti")
    records = records.filter(pl.col("call_id").is_null() | pl.col("call_id").is_first_distinct())
    if pairs.is_empty():
        clock = clock_by_numbers(legs, records)
    close = close_pairs(legs, records, clock)
    pairs = pl.concat([pairs, *(_pairs(found, by) for by, found in close)])
    return pairs, clock


def _rooted(found: pl.DataFrame, legs: pl.DataFrame) -> pl.DataFrame:
    """`found` with the node of the leg `l`, instead of it."""
    return found.with_columns(node=legs["node"].gather(found["l"])).drop("l")


def _with_nodes(records: pl.DataFrame, legs: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """`node`: that of the leg which it found, else one of its own with all of its call id."""
    found = records.join(_rooted(pairs, legs), on="r", how="left")
    first = pl.when(pl.col("call_id").is_null()).then("r").otherwise(pl.col("r").min().over("call_id"))
    alone = found.filter(pl.col("node").is_null()).with_columns(node=first.cast(Node) + legs.height)
    return pl.concat([found.filter(pl.col("node").is_not_null()), alone])


def _doubled_apart(records: pl.DataFrame, ids: pl.DataFrame) -> pl.DataFrame:
    """Links between nodes whose records have one call id, which is none of ours."""
    same = records.filter(pl.col("call_id").is_not_null()).join(ids, left_on="call_id", right_on="id", how="anti")
    return same.select(a=pl.col("node").min().over("call_id"), b="node").filter(pl.col("a") != pl.col("b"))


def _by_records(entries: pl.DataFrame, records: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """(lines with the node of the records that they name, lines that name none, links between nodes that one line names)."""
    known, links = [], []
    for column in RECORD_IDS:
        named = records.select(column, "node").join(entries, left_on=column, right_on="call_id", how="semi").unique()
        nodes = named.group_by(column).agg(pl.col("node").min())
        links.append(named.join(nodes, on=column).select(a="node_right", b="node"))
        asked = entries.join(nodes, left_on="call_id", right_on=column, how="left")
        known.append(asked.filter(pl.col("node").is_not_null()))
        entries = asked.filter(pl.col("node").is_null()).drop("node")
    return pl.concat(known), entries, pl.concat(links)


def _alone(entries: pl.DataFrame, *, first: int) -> pl.DataFrame:
    """Lines that nothing else knows, with those of the same call id."""
    entries = entries.sort("row_id", "call_id").with_row_index("e")
    of_id = pl.when(pl.col("call_id").is_null()).then("e").otherwise(pl.col("e").min().over("call_id"))
    return entries.with_columns(node=of_id.cast(Node) + first).drop("e")
