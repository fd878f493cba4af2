"""Which records could be of which legs, by numbers, direction, start and length alone."""

from __future__ import annotations

import polars as pl

from calls.parties import UNSHOWN

MOST, CROWDED = 1_000_000, 64
"""Where there are more than MOST pairs to compare, only the first legs and records take part of those that have more than CROWDED² pairs
between the same two numbers within one stretch of time."""
_ODD, _OTHER = (pl.lit(one, dtype=pl.UInt64) for one in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F))


def numbered(rows: pl.DataFrame) -> pl.DataFrame:
    """Those that can be compared, with `key`: equal numbers have equal ones. A number that is withheld or unknown equals no other."""
    shown = [pl.col(one).is_not_null() & ~pl.col(one).is_in(sorted(UNSHOWN)) for one in ("caller", "called")]
    rows = rows.filter(*shown, pl.col("at").is_not_null())
    return rows.with_columns(key=pl.col("caller").hash(1) * _ODD + pl.col("called").hash(2))


def of_legs(legs: pl.DataFrame) -> pl.DataFrame:
    """Legs as they are compared. `talk_ms`: 0 where nobody answered; `whole_ms`: with the ringing."""
    talk = pl.col("talk_ms").fill_null(0)
    return numbered(legs.select(
        "l", "caller", "called", "direction", at="started_at", talk_ms=talk, whole_ms=talk + pl.col("ring_ms").fill_null(0),
    ))  # fmt: skip


def of_records(records: pl.DataFrame, at: pl.Expr) -> pl.DataFrame:
    """Records as they are compared; `at`: when one began, by our clock."""
    return numbered(records.select("r", "caller", "called", "direction", "duration_ms", at=at))


def candidates(legs: pl.DataFrame, records: pl.DataFrame, *, apart_us: int, longer_ms: int) -> tuple[pl.DataFrame, bool]:
    """(`l`, `r`, `leg_at`, `record_at`, `cost` in ms, whether some were left out because too many are alike).

    A record's length is that of the talk or of the whole leg, whichever is nearer; one that is not said counts as the farthest. A
    direction that one side does not say fits both.
    """
    legs, records, fewer = _uncrowded(*_cells(legs, records, apart_us))
    pairs = legs.join(records, on="cell", suffix="_theirs")
    off = (pl.col("at_theirs") - pl.col("at")).abs()
    lengths = [(pl.col(ours) - pl.col("duration_ms")).abs() for ours in ("talk_ms", "whole_ms")]
    longer = pl.min_horizontal(lengths).fill_null(longer_ms)
    same = [pl.col(one) == pl.col(f"{one}_theirs") for one in ("caller", "called")]
    direction = (pl.col("direction") == pl.col("direction_theirs")).fill_null(value=True)
    found = pairs.filter(off <= apart_us, longer <= longer_ms, *same, direction)
    return found.select("l", "r", leg_at="at", record_at="at_theirs", cost=off // 1000 + longer), fewer


def pairs_to_compare(legs: pl.DataFrame, records: pl.DataFrame, *, apart_us: int) -> int:
    """How many `candidates` would look at."""
    return _pairs(_counts(*_cells(legs, records, apart_us)))


def _cells(legs: pl.DataFrame, records: pl.DataFrame, apart_us: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """With `cell`, of the two parties and a stretch of time: the one in which a leg is, the two that a record may find it in."""
    either = [records.with_columns(cell=_cell(pl.col("at") + off, apart_us)) for off in (-apart_us, apart_us)]
    legs, records = legs.with_columns(cell=_cell(pl.col("at"), apart_us)), pl.concat(either)
    return legs.join(records, on="cell", how="semi"), records


def _cell(at: pl.Expr, apart_us: int) -> pl.Expr:
    """A number that equal ones share; what shares it by chance is told apart by `candidates`."""
    return pl.col("key") + (at // (2 * apart_us)).reinterpret(signed=False) * _OTHER


def _counts(legs: pl.DataFrame, records: pl.DataFrame) -> pl.DataFrame:
    both = legs.group_by("cell").len("legs").join(records.group_by("cell").len("records"), on="cell")
    return both.with_columns(pairs=pl.col("legs").cast(pl.Int64) * pl.col("records"))


def _pairs(counts: pl.DataFrame) -> int:
    return int(counts["pairs"].sum())


def _uncrowded(legs: pl.DataFrame, records: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, bool]:
    counts = _counts(legs, records)
    crowded = counts.filter(pl.col("pairs") > CROWDED**2)
    if _pairs(counts) <= MOST or crowded.is_empty():
        return legs, records, False
    return _first(legs, crowded, by="l", others="records"), _first(records, crowded, by="r", others="legs"), True


def _first(rows: pl.DataFrame, counts: pl.DataFrame, *, by: str, others: str) -> pl.DataFrame:
    most = pl.max_horizontal(pl.lit(CROWDED), CROWDED**2 // pl.col(others))
    rows = rows.join(counts.select("cell", others), on="cell", how="left").sort("at", by)
    place = pl.int_range(pl.len()).over("cell")
    return rows.filter(pl.col(others).is_null() | (place < most)).drop(others)
