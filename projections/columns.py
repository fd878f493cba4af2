"""How the values of a row travel to Postgres: by COPY in the types of its columns, or as JSON in the statement itself."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

NAMES = {"INTEGER": "int4", "BIGINT": "int8", "BOOLEAN": "bool", "TIMESTAMP WITH TIME ZONE": "timestamptz"}
IN_JSON = {"timestamptz": "int8", "bytea": "text", "jsonb": "text"}  # how a value of that type is written there
FROM_JSON = {
    "timestamptz": "'epoch'::timestamptz + {0} * interval '1 microsecond'", "bytea": "decode({0}, 'hex')", "jsonb": "{0}::jsonb",
}  # fmt: skip


def type_names(table: sa.Table) -> list[str]:
    """The Postgres type of each column, as COPY wants it."""
    dialect = pg.dialect()  # type: ignore[no-untyped-call]
    shown = [column.type.compile(dialect) for column in table.columns]
    return [NAMES.get(name, name.lower()) for name in shown]


def shape(table: sa.Table) -> str:
    """The columns and their types, as CREATE TABLE wants them."""
    return ", ".join(f'"{column.name}" {type_}' for column, type_ in zip(table.columns, type_names(table), strict=True))


def in_json(table: sa.Table) -> tuple[str, str]:
    """(the columns as json_to_recordset wants them, what makes the table's values of them)."""
    typed = [(f'"{column.name}"', type_) for column, type_ in zip(table.columns, type_names(table), strict=True)]
    given = ", ".join(f"{name} {IN_JSON.get(type_, type_)}" for name, type_ in typed)
    read = ", ".join(FROM_JSON.get(type_, "{0}").format(name) + f" AS {name}" for name, type_ in typed)
    return given, read
