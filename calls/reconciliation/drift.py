"""Their clock against ours: by how much it is ahead, and by how much more every day."""

from __future__ import annotations

import msgspec
import polars as pl

from calls.reconciliation.candidates import candidates, of_legs, of_records, pairs_to_compare

_MS, _DAY_MS = 1000, 86_400_000
FEWEST = 3
"""Records that must agree on an offset that only numbers and lengths tell."""
FEWEST_DRIFTING, LEAST_DRIFT_MS = 30, 1000
"""A drift is told from so many records that are a day apart, where it came to so much: most clocks are written in whole seconds."""
FARTHEST_US, LONGER_MS = 600_000_000, 1_000
MOST, MOST_PAIRS = 20_000, 300_000
"""Records that are asked for the offset, and legs that they are compared with: evenly chosen in the order of their starts."""
_HOURS = tuple(hours for n in range(1, 15) for hours in (n, -n))
"""Looked at where nothing agrees within ten minutes: times in another zone than they say are whole hours off."""
_BIN, _AROUND, _HOUR_US = 1_000_000, 2, 3_600_000_000


class Clock(msgspec.Struct, frozen=True):
    """`offset_ms`: theirs − ours at the instant `at` (µs), None where unknown; `ms_per_day`: how it grows, None where unknown."""

    offset_ms: int | None = None
    ms_per_day: int | None = None
    at: int = 0

    def ours(self, theirs: pl.Expr) -> pl.Expr:
        """An instant of theirs by our clock."""
        drifted = (theirs - self.at) // _MS * (self.ms_per_day or 0) // _DAY_MS
        return theirs - ((self.offset_ms or 0) + drifted) * _MS


def clock_by_ids(legs: pl.DataFrame, records: pl.DataFrame, pairs: pl.DataFrame) -> Clock:
    """From records that were found by an id: the median difference of the starts."""
    seen = pairs.join(legs.select("l", at="started_at"), on="l").join(records.select("r", "started_at"), on="r")
    seen = seen.select("at", off=pl.col("started_at") - pl.col("at")).drop_nulls()
    if seen.is_empty():
        return Clock()
    return Clock(_median(seen["off"]) // _MS, _drift(seen.sort("at", "off")), _median(seen["at"]))


def _drift(seen: pl.DataFrame) -> int | None:
    """ms a day, from the first third of what was seen to the last."""
    third = seen.height // 3
    if seen.height < FEWEST_DRIFTING:
        return None
    first, last = seen.head(third), seen.tail(third)
    passed, grown = (_median(last[one]) - _median(first[one]) for one in ("at", "off"))
    if passed < _DAY_MS * _MS:
        return None
    return grown * _DAY_MS // passed if abs(grown) >= LEAST_DRIFT_MS * _MS else 0


def clock_by_numbers(legs: pl.DataFrame, records: pl.DataFrame) -> Clock:
    """Where no id says it: the difference on which most records agree, with a leg of the same numbers and length within ten minutes; where
    none is, within ten minutes of a whole hour more or less.

    Of equally many the smaller one. Unknown where fewer than FEWEST records agree.
    """
    ours, theirs = of_legs(legs), of_records(records, pl.col("started_at")).sort("at", "r")
    if theirs.height < FEWEST:
        return Clock()
    agreed, offset = _agreed(ours, theirs, hours=0)
    if agreed < FEWEST:
        agreed, offset = max((_agreed(ours, theirs, hours=hours) for hours in _HOURS), key=lambda found: (found[0], -abs(found[1])))
    return Clock(offset // _MS) if agreed >= FEWEST else Clock()


def _agreed(ours: pl.DataFrame, theirs: pl.DataFrame, *, hours: int) -> tuple[int, int]:
    """(how many agree, on which offset in µs) of the records, which come sorted by their time."""
    theirs = theirs.with_columns(pl.col("at") - hours * _HOUR_US)
    theirs = theirs.gather_every(1 + theirs.height // MOST)
    theirs = theirs.gather_every(1 + pairs_to_compare(ours, theirs, apart_us=FARTHEST_US) // MOST_PAIRS)
    pairs, _ = candidates(ours, theirs, apart_us=FARTHEST_US, longer_ms=LONGER_MS)
    pairs = pairs.select("r", off=pl.col("record_at") - pl.col("leg_at"))
    bins = pairs.select("r", bin=pl.col("off") // _BIN).unique()
    bins = pl.concat([bins.with_columns(pl.col("bin") + more) for more in range(-_AROUND, _AROUND + 1)]).unique().group_by("bin").len()
    best = bins.sort(-pl.col("len").cast(pl.Int64), pl.col("bin").abs(), "bin").head(1)
    if best.is_empty():
        return 0, 0
    offset = _median(pairs.filter((pl.col("off") // _BIN - best["bin"][0]).abs() <= _AROUND)["off"])
    return int(best["len"][0]), offset + hours * _HOUR_US


def _median(whole: pl.Series) -> int:
    """The lower of two."""
    return int(whole.sort()[(len(whole) - 1) // 2])
