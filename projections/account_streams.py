"""What accounts' streams say (lines of statements): kept in the transaction that appends it to the journal, and read from there again.

A row is of one delivery alone, read as the last configuration has its tenant: where a zone or country is corrected, all its lines are read
anew (projections/rereading.py). Of two deliveries that make the same row the one received first stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import psycopg

from calls.clock import to_micros
from calls.configuration import Configuration
from projections import ACCOUNT_TABLES
from projections.columns import shape, type_names
from projections.journal import Arrival
from projections.shape import AccountTable, Row, Stated

BATCH = 5000  # deliveries a transaction
_KEPT = "j.tenant, j.account, j.source, j.event_id, j.digest, j.received_at, j.body"
Place: TypeAlias = tuple[str, str, bytes]  # account, event id, digest


class Keeper:
    """The statements of one table, made once."""

    def __init__(self, table: AccountTable):
        self.rows, made = table.rows, table.table
        names = [str(column.name) for column in made.columns]
        self.types = type_names(made)
        self.key = [names.index(str(column.name)) for column in made.primary_key.columns]
        self.received = names.index("received_at")
        scratch = f"scratch_{made.name}"
        columns = ", ".join(f'"{name}"' for name in names)
        keys = ", ".join(f'"{names[at]}"' for at in self.key)
        rest = [f'"{name}"' for at, name in enumerate(names) if at not in self.key]
        other = f"({', '.join(f't.{name}' for name in rest)}) IS DISTINCT FROM ({', '.join(f'excluded.{name}' for name in rest)})"
        self.make = f"CREATE TEMP TABLE IF NOT EXISTS {scratch} ({shape(made)}) ON COMMIT DELETE ROWS"
        self.copy = f"COPY {scratch} ({columns}) FROM STDIN (FORMAT BINARY)"
        self.clear = f"DELETE FROM {scratch}"
        self.keep = (
            f"INSERT INTO {made.name} AS t ({columns}) SELECT {columns} FROM {scratch} ORDER BY {keys} "
            f"ON CONFLICT ({keys}) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in rest)} "
            f"WHERE excluded.received_at < t.received_at OR excluded.received_at = t.received_at AND {other}"
        )

    def write(self, cursor: psycopg.Cursor[Any], said: Iterable[Stated], configuration: Configuration) -> None:
        first: dict[tuple[Any, ...], Row] = {}
        for one in said:
            for row in self.rows(one, configuration):
                key = tuple([row[at] for at in self.key])
                known = first.get(key)
                if known is None or row[self.received] < known[self.received]:
                    first[key] = row
        if not first:
            return
        cursor.execute(self.clear)
        with cursor.copy(self.copy) as copy:
            copy.set_types(self.types)
            for row in first.values():
                copy.write_row(row)
        cursor.execute(self.keep)


KEEPERS = [Keeper(table) for table in ACCOUNT_TABLES]


def prepare(connection: psycopg.Connection[Any]) -> None:
    """The scratch tables of this connection. `store.prepare` says how it takes rows."""
    for keeper in KEEPERS:
        connection.execute(keeper.make)


def of_arrivals(arrivals: Iterable[Arrival]) -> list[Stated]:
    """Those of accounts' streams, copies too: one may have been received earlier."""
    return [
        Stated(one.tenant, one.account, one.source, one.event_id, bytes.fromhex(one.digest), one.received_at, one.raw)
        for one in (arrival.envelope for arrival in arrivals)
        if one.stream_kind == "account"
    ]


def keep(cursor: psycopg.Cursor[Any], said: Sequence[Stated], configurations: Sequence[Configuration]) -> None:
    """Writes the rows of these deliveries into the tables of the search path."""
    if said:
        for keeper in KEEPERS:
            keeper.write(cursor, said, configurations[-1] if configurations else Configuration())


# ---------------------------------------------------------------- reading them again


def latest(cursor: psycopg.Cursor[Any]) -> int:
    """What is in the journal has a `seq` of at most this, where no projector is at work (whoever asks has the gate)."""
    cursor.execute("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM safiri.journal_seq")
    return int((cursor.fetchone() or (0,))[0])


def page(cursor: psycopg.Cursor[Any], after: int, until: int, *, tenants: Sequence[str] | None = None) -> tuple[list[Stated], int]:
    """The next deliveries with `after` < seq <= `until`, and the seq of the last one (`until` where there are no more)."""
    of_tenants = "" if tenants is None else "AND j.tenant = ANY(%s) "
    cursor.execute(
        f"SELECT j.seq, {_KEPT} FROM safiri.journal j WHERE j.stream_kind = 'account' AND j.seq > %s AND j.seq <= %s {of_tenants}"
        f"ORDER BY j.seq LIMIT {BATCH}",
        (after, until) if tenants is None else (after, until, list(tenants)),
        binary=True,
    )
    found = cursor.fetchall()
    return [_said(*row) for _, *row in found], found[-1][0] if len(found) == BATCH else until


def of_streams(cursor: psycopg.Cursor[Any], streams: Iterable[tuple[str, str]]) -> Iterator[list[Stated]]:
    """All that these streams (tenant, account) say, a page at a time."""
    for tenant, stream in sorted(streams):
        after: Place = ("", "", b"")
        while True:
            cursor.execute(
                f"SELECT {_KEPT} FROM safiri.journal j WHERE j.tenant = %s AND j.stream = %s AND j.stream_kind = 'account' "
                f"AND (j.account, j.event_id, j.digest) > (%s, %s, %s) ORDER BY j.account, j.event_id, j.digest LIMIT {BATCH}",
                (tenant, stream, *after),
                binary=True,
            )
            found = [_said(*row) for row in cursor.fetchall()]
            if not found:
                break
            yield found
            after = (found[-1].account, found[-1].event_id, found[-1].digest)


def _said(*row: Any) -> Stated:
    tenant, account, source, event_id, digest, received_at, body = row
    return Stated(tenant, account, source, event_id, bytes(digest), to_micros(received_at), bytes(body))
