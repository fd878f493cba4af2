"""Records that no id finds: by numbers, direction, start and length, first closely, then less so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import polars as pl

from calls.reconciliation.assignment import assign
from calls.reconciliation.candidates import candidates, of_legs, of_records
from calls.reconciliation.drift import Clock
from calls.reconciliation.sides import By

PASSES: tuple[tuple[By, int, int], ...] = (("close", 2_000_000, 1_000), ("near", 30_000_000, 3_000))
"""By, farthest starts (µs), farthest lengths (ms)."""
LARGEST = 512
"""Legs and records that are assigned at once. Where more hang together they are cut at the longest pause between two starts; what only
a cut kept apart is compared again afterwards."""
Edge = tuple[int, int, int, int, int]
"""l, r, when each began (µs), cost."""


def close_pairs(legs: pl.DataFrame, records: pl.DataFrame, clock: Clock) -> list[tuple[By, pl.DataFrame]]:
    """For each pass `l` and `r` of what it found."""
    ours, theirs = of_legs(legs), of_records(records, clock.ours(pl.coalesce("started_at", "answered_at")))
    passes = []
    for by, apart_us, longer_ms in PASSES:
        found, ours, theirs = _pass(ours, theirs, apart_us=apart_us, longer_ms=longer_ms)
        passes.append((by, found))
    return passes


def _pass(ours: pl.DataFrame, theirs: pl.DataFrame, *, apart_us: int, longer_ms: int) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """(`l` and `r` that belong together, legs left, records left)."""
    all_found: list[pl.DataFrame] = []
    while True:
        pairs, fewer = candidates(ours, theirs, apart_us=apart_us, longer_ms=longer_ms)
        found, cut = _cheapest(pairs)
        all_found.append(found)
        ours, theirs = ours.join(found, on="l", how="anti"), theirs.join(found, on="r", how="anti")
        if found.is_empty() or not (fewer or cut):
            return pl.concat(all_found), ours, theirs


def _cheapest(pairs: pl.DataFrame) -> tuple[pl.DataFrame, bool]:
    """(`l` and `r` of the cheapest assignment, whether some were cut)."""
    alone = pl.col("l").is_unique() & pl.col("r").is_unique()
    pairs = pairs.with_columns(alone=alone)
    lonely = pairs.filter("alone").select("l", "r")
    edges = pairs.filter(~pl.col("alone")).select("l", "r", "leg_at", "record_at", "cost").sort("l", "r")
    chosen: list[tuple[int, int]] = []
    cut = False
    for component in _components(edges.rows()):
        parts = list(_parts(component))
        cut = cut or len(parts) > 1
        for part in parts:
            chosen += _assigned(part)
    more = pl.DataFrame(chosen, schema=lonely.schema, orient="row")
    return pl.concat([lonely, more]), cut


def _components(edges: list[Edge]) -> Iterator[list[Edge]]:
    """What hangs together."""
    of_leg, of_record = defaultdict[int, list[Edge]](list), defaultdict[int, list[Edge]](list)
    for edge in edges:
        of_leg[edge[0]].append(edge)
        of_record[edge[1]].append(edge)
    while of_leg:
        legs, found, seen = [next(iter(of_leg))], list[Edge](), set[int]()
        while legs:
            for edge in of_leg.pop(legs.pop(), ()):
                found.append(edge)
                if edge[1] not in seen:
                    seen.add(edge[1])
                    legs += [other[0] for other in of_record[edge[1]]]
        yield found


def _parts(edges: list[Edge]) -> Iterator[list[Edge]]:
    """The edges within stretches of time of at most LARGEST legs and records."""
    starts = sorted({(edge[2], 0, edge[0]) for edge in edges} | {(edge[3], 1, edge[1]) for edge in edges})
    if len(starts) <= LARGEST:
        yield edges
        return
    part: dict[tuple[int, int], int] = {}
    first, number = 0, 0
    while first < len(starts):
        last = min(len(starts), first + LARGEST)
        if last < len(starts):
            last = max(range(first + LARGEST // 2, last + 1), key=lambda at: (starts[at][0] - starts[at - 1][0], -at))
        part |= {(side, one): number for _, side, one in starts[first:last]}
        first, number = last, number + 1
    kept = defaultdict[int, list[Edge]](list)
    for edge in edges:
        if part[0, edge[0]] == part[1, edge[1]]:
            kept[part[0, edge[0]]].append(edge)
    yield from kept.values()


def _assigned(edges: list[Edge]) -> list[tuple[int, int]]:
    legs = sorted({edge[0] for edge in edges})
    costs: dict[int, dict[int, int]] = {leg: {} for leg in legs}
    for leg, record, _, _, cost in edges:
        costs[leg][record] = cost
    taken = assign([costs[leg] for leg in legs])
    return [(leg, record) for leg, record in zip(legs, taken, strict=True) if record is not None]
