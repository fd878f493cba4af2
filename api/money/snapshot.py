"""Rows of an account's period out of one snapshot of Postgres, as frames: COPY writes CSV, Polars reads it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import msgspec
import polars as pl
import psycopg

from api.live import schema_of
from api.money.periods import Period
from calls.clock import Micros, to_datetime

Connection = psycopg.Connection[Any]
Schema = Mapping[str, type[pl.DataType]]
DAY: Micros = 86_400_000_000


class Asked(msgspec.Struct, frozen=True):
    """Of whom what is read. `schema`: the generation's tables; a rebuild exchanges the views on them, and would wait for us."""

    connection: Connection
    schema: str
    tenant: str
    period: Period

    def parameters(self, **more: object) -> dict[str, object]:
        begin, end = (to_datetime(at) for at in self.window)
        return {"tenant": self.tenant, "account": self.period.account, "begin": begin, "end": end, **more}

    @property
    def window(self) -> tuple[Micros, Micros]:
        """The period and a day around it, [begin, end)."""
        return self.period.begin - DAY, self.period.end + DAY

    def around(self, column: str) -> pl.Expr:
        """Whether an instant of a frame lies in the window."""
        return pl.col(column).is_between(*self.window, closed="left")

    def inside(self, column: str) -> pl.Expr:
        """Whether it lies in the period."""
        return pl.col(column).is_between(self.period.begin, self.period.end, closed="left")


def asked(connection: Connection, tenant: str, period: Period) -> Asked:
    """Within the connection's transaction. Raises Retry where there are no tables yet."""
    return Asked(connection, schema_of(connection), tenant, period)


def within(column: str) -> str:
    """SQL: an instant lies in the window."""
    return f"{column} >= %(begin)s AND {column} < %(end)s"


def copied(of: Asked, columns: Mapping[str, str], schema: Schema, *, source: str, **more: object) -> pl.DataFrame:
    """The rows of `source` (SQL after FROM). `columns`: name -> SQL of each in `schema`; instants become microseconds."""
    cells = ", ".join(_cell(name, columns[name]) for name in schema)
    held = io.BytesIO()
    with of.connection.cursor() as cursor:
        copying = f"COPY (SELECT {cells} FROM {source}) TO STDOUT WITH (FORMAT csv)"
        with cursor.copy(copying.encode(), of.parameters(**more)) as copy:
            for block in copy:
                held.write(block)
    return pl.read_csv(held.getvalue(), has_header=False, schema=dict(schema), raise_if_empty=False, infer_schema=False)


def _cell(name: str, sql: str) -> str:
    """Seconds as a double are exact to a quarter of a microsecond for centuries, and cost half of what a numeric does."""
    is_instant = name == "at" or name.endswith("_at")
    return f"(date_part('epoch', {sql}) * 1000000)::bigint" if is_instant else sql
