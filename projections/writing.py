"""Writes rows: those of whom nothing stood straight into a table, all others only where they differ, and takes away what is gone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import psycopg
import sqlalchemy as sa

from projections.columns import in_json, shape, type_names
from projections.shape import Row


class Writer:
    """The statements of one table, made once. Its rows are replaced by `owner`: the columns that say whose they are."""

    def __init__(self, table: sa.Table, owner: Sequence[str] = ("tenant", "journey_id")):
        names = [f'"{column.name}"' for column in table.columns]
        keys = [f'"{column.name}"' for column in table.primary_key.columns]
        rest = [name for name in names if name not in keys]
        self.name, self.types = table.name, type_names(table)
        self.scratch = f"scratch_{table.name}"
        self.make = (
            f"CREATE TEMP TABLE IF NOT EXISTS {self.scratch} ({shape(table)}) WITH (toast_tuple_target = 8160) ON COMMIT DELETE ROWS"
        )
        columns = ", ".join(names)
        self.copy = f"COPY {{}} ({columns}) FROM STDIN (FORMAT BINARY)"
        update = (
            f"DO UPDATE SET {', '.join(f'{n} = excluded.{n}' for n in rest)} "
            f"WHERE ({', '.join(f't.{n}' for n in rest)}) IS DISTINCT FROM ({', '.join(f'excluded.{n}' for n in rest)})"
        )
        upsert = (
            f"INSERT INTO {self.name} AS t ({columns}) SELECT {columns} FROM {{}} ORDER BY {', '.join(keys)} "
            f"ON CONFLICT ({', '.join(keys)}) {update if rest else 'DO NOTHING'}"
        )
        typed = dict(zip([column.name for column in table.columns], self.types, strict=True))
        self.empty = (
            f"DELETE FROM {self.name} t USING unnest({', '.join(f'%s::{typed[name]}[]' for name in owner)}) AS a ({', '.join(owner)}) "
            f"WHERE {' AND '.join(f't.{name} = a.{name}' for name in owner)}"
        )
        sweep = f"{self.empty} AND ({', '.join(f't.{key}' for key in keys)}) NOT IN (SELECT {', '.join(keys)} FROM {{}})"
        self.many = f"WITH swept AS ({sweep.format(self.scratch)}) {upsert.format(self.scratch)}"
        self.names = [column.name for column in table.columns]
        given, read = in_json(table)
        self.few = (
            f"WITH new AS MATERIALIZED (SELECT {read} FROM json_to_recordset(%s::json) AS x ({given})), "
            f"swept AS ({sweep.format('new')}) {upsert.format('new')}"
        )

    def as_json(self, rows: Iterable[Row]) -> str:
        """Rows as `few` takes them: for a handful, cheaper than COPY into a table and back out."""
        plain = [
            {name: value.hex() if isinstance(value, bytes) else value for name, value in zip(self.names, row, strict=True)} for row in rows
        ]
        return msgspec.json.encode(plain).decode()

    def write(self, cursor: psycopg.Cursor[Any], rows: Iterable[Row], *, into: str) -> int:
        """COPY; returns how many rows there were."""
        count = 0
        with cursor.copy(self.copy.format(into)) as copy:
            copy.set_types(self.types)
            for row in rows:
                copy.write_row(row)
                count += 1
        return count
