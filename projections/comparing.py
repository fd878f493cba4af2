"""Two generations of a derived table, compared: whole by a digest, and cell by cell."""

from __future__ import annotations

from typing import Any

import msgspec
import psycopg
import sqlalchemy as sa

from projections import generations

SHOWN = 50  # differences


class Difference(msgspec.Struct):
    """One cell (or row: column "") that is not what the journal says. Values as JSON."""

    table: str
    key: dict[str, Any]
    column: str
    live: Any
    rebuilt: Any


def _table(name: str) -> sa.Table:
    return next(table for table in generations.TABLES if table.name == name)


def root(cursor: psycopg.Cursor[Any], n: int, name: str) -> dict[str, Any]:
    """Rows and an order-free digest of what a whole table says."""
    cursor.execute(
        f"SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM ({generations.facts(_table(name), f'g{n}')}) t"
    )
    rows, total = cursor.fetchone() or (0, 0)
    return {"rows": rows, "digest": f"{int(total) % (1 << 128):032x}"}


def differences(cursor: psycopg.Cursor[Any], name: str, *, live: int, rebuilt: int) -> list[Difference]:
    """The cells in which two generations of a table differ, SHOWN at most."""
    keys = generations.key(_table(name))
    using = ", ".join(f'"{key}"' for key in keys)
    cursor.execute(
        f"SELECT to_jsonb(a), to_jsonb(b) FROM ({generations.facts(_table(name), f'g{live}')}) a "
        f"FULL JOIN ({generations.facts(_table(name), f'g{rebuilt}')}) b USING ({using}) WHERE a IS DISTINCT FROM b LIMIT {SHOWN}"
    )
    return [one for here, there in cursor.fetchall() for one in _cells(name, keys, here, there)]


def _cells(name: str, keys: list[str], here: dict[str, Any] | None, there: dict[str, Any] | None) -> list[Difference]:
    known = here or there or {}
    key = {column: known.get(column) for column in keys}
    if here is None or there is None:
        return [Difference(name, key, "", "row" if here else None, "row" if there else None)]
    return [Difference(name, key, column, here[column], there[column]) for column in here if here[column] != there[column]]
