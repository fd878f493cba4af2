"""Replaces the rows of journeys in every projection: what did not change is not written.

A journey's digest is compared first; of a changed one only rows that differ are written, and rows that are gone deleted.
Rows of a journey that was never seen go straight into the tables. Sums change by the difference of what it adds now and added before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import psycopg

from calls.journey import Journey
from calls.metrics.slots import unpack
from projections import PROJECTIONS, queue_slots
from projections.adding import Adder, Change
from projections.columns import in_json, shape, type_names
from projections.journeys import digest
from projections.shape import Projection, Row
from runtime.postgres import rows_as_kept

Address = tuple[str, str]  # tenant, journey id
FEW = 200  # changed journeys up to which rows travel as JSON in the statement itself


class Standing(NamedTuple):
    """What a journey said before: the digest of it, and what it added to the sums (packed)."""

    digest: bytes
    slots: bytes


class Writer:
    """The statements of one projection, made once."""

    def __init__(self, projection: Projection):
        table = projection.table
        names = [f'"{column.name}"' for column in table.columns]
        keys = [f'"{column.name}"' for column in table.primary_key.columns]
        rest = [name for name in names if name not in keys]
        self.projection, self.name, self.types = projection, table.name, type_names(table)
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
        self.empty = (
            f"DELETE FROM {self.name} t USING unnest(%s::text[], %s::text[]) AS a (tenant, journey_id) "
            "WHERE t.tenant = a.tenant AND t.journey_id = a.journey_id"
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


WRITERS = [Writer(projection) for projection in PROJECTIONS]
SLOTS = Adder(queue_slots.AGGREGATE)


def prepare(connection: psycopg.Connection[Any]) -> None:
    """The scratch tables of this connection, and how it takes rows."""
    rows_as_kept(connection)
    for statement in (*(writer.make for writer in WRITERS), SLOTS.make):
        connection.execute(statement)


def known(cursor: psycopg.Cursor[Any], addresses: Sequence[Address]) -> dict[Address, Standing]:
    """What stands at these addresses."""
    if not addresses:
        return {}
    cursor.execute(
        "SELECT t.tenant, t.journey_id, t.digest, t.slots FROM unnest(%s::text[], %s::text[]) AS a (tenant, journey_id) "
        "JOIN journeys t USING (tenant, journey_id)",
        ([tenant for tenant, _ in addresses], [address for _, address in addresses]),
    )
    return {(tenant, address): Standing(digest, slots) for tenant, address, digest, slots in cursor}


def replace(cursor: psycopg.Cursor[Any], journeys: Sequence[Journey], before: dict[Address, Standing], *, shard: int) -> list[Address]:
    """Makes the tables say what `journeys` say. `before`: what stood of all journeys that their calls had; `shard`: of the sums that
    change (projections/adding.py). Returns what changed."""
    fresh, changed, gone = [], [], set(before)
    for journey in journeys:
        address = (journey.tenant, journey.journey_id)
        gone.discard(address)
        if address not in before:
            fresh.append(journey)
        elif before[address].digest != digest(journey):
            changed.append(journey)
    if fresh:
        _write(cursor, fresh)
    swept = sorted(gone | {(journey.tenant, journey.journey_id) for journey in changed})
    if swept:
        _rewrite(cursor, changed, swept)
    SLOTS.write(cursor, _change([*fresh, *changed], [(address[0], before[address]) for address in swept]), shard=shard)
    return [(journey.tenant, journey.journey_id) for journey in fresh] + swept


def _change(journeys: Iterable[Journey], gone: Iterable[tuple[str, Standing]]) -> Change:
    """What the sums change by: what these journeys add, without what those (tenant, what stood) had added."""
    change = Change()
    for journey in journeys:
        change.add(journey.tenant, queue_slots.slots(journey))
    for tenant, standing in gone:
        change.take(tenant, unpack(standing.slots))
    return change


def _write(cursor: psycopg.Cursor[Any], fresh: Sequence[Journey]) -> None:
    for writer in WRITERS:
        rows = [row for journey in fresh for row in writer.projection.rows(journey)]
        if rows:
            writer.write(cursor, rows, into=writer.name)


def _rewrite(cursor: psycopg.Cursor[Any], changed: Sequence[Journey], swept: Sequence[Address]) -> None:
    addresses = ([tenant for tenant, _ in swept], [address for _, address in swept])
    told = [(writer, [row for journey in changed for row in writer.projection.rows(journey)]) for writer in WRITERS]
    if len(changed) > FEW:
        for writer, rows in told:
            writer.write(cursor, rows, into=writer.scratch)
            cursor.execute(writer.many, addresses)
        return
    with cursor.connection.pipeline():  # one way there and back for all tables
        for writer, rows in told:
            if rows:
                cursor.execute(writer.few, (writer.as_json(rows), *addresses))
            else:
                cursor.execute(writer.empty, addresses)
