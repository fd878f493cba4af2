"""Adds to the tables of sums what journeys add now and takes away what they added before, with everything else of their transaction.

A batch's changes are summed first, so that a row is touched once, and rows are written in the order of their keys, after the
journeys: two workers never wait for each other in a circle. Whatever comes to nothing is not written.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import psycopg

from calls.clock import Micros
from calls.metrics.slots import Slot
from projections.columns import in_json, shape, type_names
from projections.shape import Aggregate

REBUILT, LATER = -1, -2  # the shards of what a rebuild (or compaction) and the fold of large journeys adds; else a partition
FEW = 50  # rows up to which they travel as JSON in the statement itself
Key = tuple[str, str, Micros]  # tenant, queue, slot


class Change:
    """The sum of what was added and taken away."""

    def __init__(self) -> None:
        self._sums: dict[Key, list[int]] = {}

    def add(self, tenant: str, slots: Iterable[Slot]) -> None:
        for slot in slots:
            key = (tenant, slot.queue, slot.start)
            sums = self._sums.get(key)
            self._sums[key] = slot.amounts if sums is None else [a + b for a, b in zip(sums, slot.amounts, strict=True)]

    def take(self, tenant: str, slots: Iterable[Slot]) -> None:
        self.add(tenant, [Slot(slot.start, slot.queue, [-amount for amount in slot.amounts]) for slot in slots])

    def rows(self, shard: int) -> list[tuple[Any, ...]]:
        """Those of which something is left."""
        return [(*key, shard, *amounts) for key, amounts in self._sums.items() if any(amounts)]


class Adder:
    """The statements of one aggregate, made once. Its columns: tenant, queue, slot, shard, then the sums."""

    def __init__(self, aggregate: Aggregate):
        table = aggregate.table
        self.names, self.types = [column.name for column in table.columns], type_names(table)
        columns = ", ".join(f'"{name}"' for name in self.names)
        keys = ", ".join(f'"{column.name}"' for column in table.primary_key.columns)
        scratch = f"scratch_{table.name}"
        self.make = f"CREATE TEMP TABLE IF NOT EXISTS {scratch} ({shape(table)}) ON COMMIT DELETE ROWS"
        self.copy = f"COPY {scratch} ({columns}) FROM STDIN (FORMAT BINARY)"
        sums = ", ".join(f'"{name}" = t."{name}" + excluded."{name}"' for name in aggregate.sums)
        upsert = (
            f"INSERT INTO {table.name} AS t ({columns}) SELECT {columns} FROM {{}} ORDER BY {keys} "
            f"ON CONFLICT ({keys}) DO UPDATE SET {sums}"
        )
        given, read = in_json(table)
        self.many = upsert.format(scratch)
        self.few = upsert.format(f"(SELECT {read} FROM json_to_recordset(%s::json) AS x ({given})) AS new")

    def write(self, cursor: psycopg.Cursor[Any], change: Change, *, shard: int) -> None:
        rows = change.rows(shard)
        if not rows:
            return
        if len(rows) <= FEW:
            told = [dict(zip(self.names, row, strict=True)) for row in rows]
            cursor.execute(self.few, (msgspec.json.encode(told).decode(),))
            return
        with cursor.copy(self.copy) as copy:
            copy.set_types(self.types)
            for row in rows:
                copy.write_row(row)
        cursor.execute(self.many)
