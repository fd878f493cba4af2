"""What a projection is: one table, and one pure function from a journey to that table's rows. And what an aggregate is.

The tables live in a schema of their own for each generation (`g1`, `g2`, …); readers see the live one through views of
the same names in schema `live`. `DERIVED` is the schema's name in definitions, to be translated into either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from calls.clock import Micros
from calls.configuration import Configuration
from calls.journey import Journey

DERIVED = "derived"
LIVE = "live"
metadata = sa.MetaData(schema=DERIVED, naming_convention={"ix": "%(table_name)s_%(column_0_N_name)s_idx"})

Row = tuple[Any, ...]
Rows = Callable[[Journey], Iterable[Row]]


class Projection(msgspec.Struct, frozen=True):
    """`rows` gives tuples in the order of the table's columns; the key begins tenant, journey_id."""

    table: sa.Table
    rows: Rows

    @property
    def name(self) -> str:
        return self.table.name


class Aggregate(msgspec.Struct, frozen=True):
    """A table of sums to which journeys add: one row a key and shard, and a sum is that of its shards.

    Its columns are the keys, `shard`, and those that `sums` names. What a journey has added stands in a column of table journeys.
    """

    table: sa.Table
    sums: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.table.name


class AgentTable(msgspec.Struct, frozen=True):
    """A table of agents' time: no journey alone tells its rows (projections/agent_fold.py). The key begins tenant, agent."""

    table: sa.Table

    @property
    def name(self) -> str:
        return self.table.name


class Stated(msgspec.Struct, gc=False):
    """A delivery of an account's stream. `received_at` is the earliest of its copies."""

    tenant: str
    account: str
    source: str
    event_id: str
    digest: bytes
    received_at: Micros
    body: bytes


class AccountTable(msgspec.Struct, frozen=True):
    """A table of what accounts' streams say (projections/account_streams.py): `rows` of one delivery, read as the last configuration has
    its tenant. The key begins tenant, account and ends with the delivery's digest; column `received_at` is the delivery's."""

    table: sa.Table
    rows: Callable[[Stated, Configuration], Iterable[Row]]

    @property
    def name(self) -> str:
        return self.table.name


def key(name: str, type_: Any = sa.Text) -> sa.Column[Any]:
    return sa.Column(name, type_, primary_key=True)


def moment(name: str, *, required: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.TIMESTAMP(timezone=True), nullable=not required)


def text(name: str, *, required: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=not required)


def ms(name: str) -> sa.Column[Any]:
    """A duration in milliseconds."""
    return sa.Column(name, sa.BigInteger)


def number(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer)


def texts(name: str) -> sa.Column[Any]:
    return sa.Column(name, pg.ARRAY(sa.Text), nullable=False)


NEAR = "interval '4 hours'"


def odd(*pairs: tuple[str, str]) -> str:
    """SQL: in one of these pairs of instants one is unknown, or they are more than NEAR apart.

    Such rows are few and have an index of their own: who looks for the one instant within a range finds all others by the other.
    Written as a CASE that is NULL, for of that the planner knows without statistics that it is rare.
    """
    usual = " AND ".join(f"{one} - {other} BETWEEN -{NEAR} AND {NEAR}" for one, other in pairs)
    return f"(CASE WHEN {usual} THEN true END) IS NULL"


def when(at: Micros | None) -> Micros | None:
    """An instant in a row: microseconds since 1970, which the writer's connection takes for a timestamptz (runtime/postgres.py)."""
    return at


def clean(value: str | None) -> str | None:
    """Text as a column can hold it: no NUL, no lone surrogate."""
    if value is None or (value.isascii() and "\0" not in value):
        return value
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
