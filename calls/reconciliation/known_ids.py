"""What finds what by an id: the provider's call ids, aliases and leg ids, our request ids, and the ids of their records."""

from __future__ import annotations

import polars as pl

from calls.building import MAIN

RECORD_IDS = ("call_id", "row_id", "session_id")
"""In this order they are asked: the first that is known counts."""
SHORTEST = 4
"""Characters of a word in a description that may be a call's id; it has a digit too."""
_WORD = r"[^\s,;()\[\]{}\"'<>=#]*[^\s,;()\[\]{}\"'<>=#.:!?]"


def ours_by_id(legs: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    """`id`, `l`: the leg that the provider's id finds, one row an id. A call's own id before an alias before the id of a dialled leg.

    An alias that names two calls, or a leg's id that names two legs, finds none.
    """
    calls = _calls(legs)
    aliases = _of_calls(names.filter(~pl.col("ours")), calls).join(calls, on="id", how="anti")
    dialled = _of_one(legs.filter(pl.col("leg") != MAIN).select(id="leg", l="l"))
    dialled = dialled.join(calls, on="id", how="anti").join(aliases, on="id", how="anti")
    return pl.concat([calls, aliases, dialled])


def ours_by_request(legs: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    """`id`, `l`: the main leg of the one call that a request id of ours names."""
    return _of_calls(names.filter(pl.col("ours")), _calls(legs))


def first_known(rows: pl.DataFrame, columns: tuple[str, ...], ids: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(`rows` with the `l` that the first known id among their `columns` finds, the rows that find nothing)."""
    parts = []
    for column in columns:
        asked = rows.join(ids, left_on=column, right_on="id", how="left")
        parts.append(asked.filter(pl.col("l").is_not_null()))
        rows = asked.filter(pl.col("l").is_null()).drop("l")
    return pl.concat(parts), rows


def named_in_text(entries: pl.DataFrame, known: list[pl.Series]) -> pl.DataFrame:
    """`entries` with `call_id` filled in where there is none and the description has exactly one word that is a `known` id."""
    texts = entries.filter(pl.col("call_id").is_null()).select("description").drop_nulls().unique()
    words = texts.with_columns(id=pl.col("description").str.extract_all(_WORD)).explode("id").drop_nulls().unique()
    words = words.filter((pl.col("id").str.len_chars() >= SHORTEST) & pl.col("id").str.contains(r"\d"))
    if words.is_empty():
        return entries
    said = pl.concat([words.join(ids.to_frame("id"), on="id", how="semi") for ids in known]).unique()
    said = said.filter(~pl.col("description").is_duplicated()).rename({"id": "said"})
    return entries.join(said, on="description", how="left").with_columns(call_id=pl.coalesce("call_id", "said")).drop("said")


def _calls(legs: pl.DataFrame) -> pl.DataFrame:
    return legs.filter(pl.col("l") == pl.col("main")).select(id="call_sid", l="l")


def _of_calls(names: pl.DataFrame, calls: pl.DataFrame) -> pl.DataFrame:
    named = names.select(id="name", call_sid="call_sid").unique()
    return _of_one(named.join(calls, left_on="call_sid", right_on="id").select("id", "l"))


def _of_one(named: pl.DataFrame) -> pl.DataFrame:
    return named.drop_nulls().filter(~pl.col("id").is_duplicated())
