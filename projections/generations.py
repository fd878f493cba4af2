"""Generations of derived tables: one schema each; the live one is what projectors write and views show.

A projector holds the gate shared during a transaction; a rebuild takes it alone for its last step and the switch.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.schema import CreateIndex, CreateTable

from calls import agents
from calls.fold import VERSION
from calls.statements import line
from projections import ACCOUNT_TABLES, AGENT_TABLES, AGGREGATES, PROJECTIONS, call_index
from projections.shape import DERIVED, LIVE, AccountTable, AgentTable, Aggregate, Projection
from runtime import postgres
from runtime.problems import Retry

GATE = postgres.GATE
MAKING = 0x5AF1_0002  # advisory lock: one rebuild at a time
_ALL: tuple[Projection | Aggregate | AgentTable | AccountTable, ...] = (*PROJECTIONS, *AGGREGATES, *AGENT_TABLES, *ACCOUNT_TABLES)
TABLES: tuple[sa.Table, ...] = (call_index.TABLE, *(one.table for one in _ALL))
# Room for updates in place; a journey's document stays in its row uncompressed, for squeezing it costs more than its space.
ROOM = 75
STORAGE = (
    f"WITH (fillfactor = {ROOM}, toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0.05, "
    "autovacuum_vacuum_insert_scale_factor = 0.2)"
)


def key(table: sa.Table) -> list[str]:
    """What a fact of the table is found by."""
    return [column.name for column in table.primary_key.columns if column.name != "shard"]


def facts(table: sa.Table, schema: str) -> str:
    """A query for what a table says: not how often a lock was taken, nor over which shards a sum is spread, nor sums of nothing."""
    said = [f'"{column.name}"' for column in table.columns if (table.name, column.name) != ("call_index", "version")]
    aggregate = next((one for one in AGGREGATES if one.table is table), None)
    if aggregate is None:
        return f"SELECT {', '.join(said)} FROM {schema}.{table.name}"
    keys = ", ".join(f'"{name}"' for name in key(table))
    sums = ", ".join(f'sum("{name}")::bigint AS "{name}"' for name in aggregate.sums)
    some = " OR ".join(f'sum("{name}") <> 0' for name in aggregate.sums)
    return f"SELECT {keys}, {sums} FROM {schema}.{table.name} GROUP BY {keys} HAVING {some}"


def definitions(n: int) -> list[str]:
    """The statements that make generation `n`."""
    dialect = pg.dialect()  # type: ignore[no-untyped-call]
    made = []
    for table in TABLES:
        made.append(f"{str(CreateTable(table).compile(dialect=dialect)).strip()} {STORAGE}")
        made += [str(CreateIndex(index).compile(dialect=dialect)).strip() for index in sorted(table.indexes, key=lambda one: str(one.name))]
    return [statement.replace(f"{DERIVED}.", f"g{n}.") for statement in made]


def lay_out(connection: psycopg.Connection[Any], table: str) -> None:
    """Puts the rows of a table of sums beside each other by key, without room between them: old sums hardly change, and a long time of one
    queue is few pages. What comes later has room again. Nobody else may use the table."""
    connection.execute(f"ALTER TABLE {table} SET (fillfactor = 100)")
    connection.execute(f"CLUSTER {table} USING {table.rpartition('.')[2]}_pkey")
    connection.execute(f"ALTER TABLE {table} SET (fillfactor = {ROOM})")


def fingerprint() -> str:
    """Changes when the derived tables' shape or the version of a fold or reading does: then the live generation is of the past."""
    return hashlib.sha256("\n".join([*definitions(0), f"fold {VERSION} {agents.VERSION} {line.VERSION}"]).encode()).hexdigest()[:16]


def make(connection: psycopg.Connection[Any], state: str) -> int:
    """Makes the next generation's tables; returns its number."""
    row = connection.execute("SELECT coalesce(max(n), 0) + 1 FROM safiri.generations").fetchone()
    n = int(row[0]) if row else 1
    connection.execute(f"CREATE SCHEMA g{n}")
    for statement in definitions(n):
        connection.execute(statement)
    connection.execute("INSERT INTO safiri.generations (n, state, fingerprint) VALUES (%s, %s, %s)", (n, state, fingerprint()))
    return n


def show(connection: psycopg.Connection[Any], n: int) -> None:
    """Points the views at generation `n`, in the caller's transaction."""
    for table in TABLES:
        connection.execute(f"DROP VIEW IF EXISTS {LIVE}.{table.name}")
        connection.execute(f"CREATE VIEW {LIVE}.{table.name} AS SELECT * FROM g{n}.{table.name}")


def drop(connection: psycopg.Connection[Any], n: int) -> None:
    connection.execute(f"DROP SCHEMA IF EXISTS g{n} CASCADE")
    for table in ("generations WHERE n", "dirty_days WHERE generation", "agent_locks WHERE generation"):
        connection.execute(f"DELETE FROM safiri.{table} = %s", (n,))


def enter(cursor: psycopg.Cursor[Any]) -> tuple[int, bool]:
    """(the live generation, whether another is being built). Holds the gate until the transaction ends.

    Raises Retry where the live tables are of another version than this code: it could not write them, and must not try.
    """
    cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", (GATE,))
    cursor.execute("SELECT n, state, fingerprint FROM safiri.generations WHERE state IN ('live', 'building')")
    found = {state: (n, made) for n, state, made in cursor.fetchall()}
    n, made = found["live"]
    if made != _ours(VERSION, agents.VERSION, line.VERSION):
        raise Retry("the tables are of another version of Safiri: run `safiri migrate` with the newer one, and start that everywhere")
    return n, "building" in found


@cache
def _ours(_fold: int, _agents: int, _lines: int) -> str:
    return fingerprint()


def use(cursor: psycopg.Cursor[Any], n: int) -> None:
    """Unqualified names are generation `n`'s until the transaction ends."""
    cursor.execute(f"SET LOCAL search_path = g{n}, pg_temp, pg_catalog")
