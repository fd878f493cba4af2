"""Replaces the rows of journeys in every projection: what did not change is not written.

A journey's digest is compared first; of a changed one only rows that differ are written, and rows that are gone deleted.
Rows of a journey that was never seen go straight into the tables. Sums change by the difference of what it adds now and added before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import psycopg

from calls.journey import Journey
from calls.metrics.slots import unpack
from projections import PROJECTIONS, queue_slots
from projections.adding import Adder, Change
from projections.agent_marks import Address, Marks, Told, standing, stretches_of
from projections.journeys import digest
from projections.shape import Row
from projections.writing import Writer
from runtime.postgres import rows_as_kept

FEW = 200  # changed journeys up to which rows travel as JSON in the statement itself


class Standing(NamedTuple):
    """What a journey said before: the digest of it, and what it added to the sums (packed)."""

    digest: bytes
    slots: bytes


WRITERS = [(projection.rows, Writer(projection.table)) for projection in PROJECTIONS]
SLOTS = Adder(queue_slots.AGGREGATE)
ADDED = WRITERS[0][1].names.index("slots")  # where a row of table journeys, the first of all, says what it adds to the sums


def prepare(connection: psycopg.Connection[Any]) -> None:
    """The scratch tables of this connection, and how it takes rows."""
    rows_as_kept(connection)
    for statement in (*(writer.make for _, writer in WRITERS), SLOTS.make):
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


def replace(
    cursor: psycopg.Cursor[Any], journeys: Sequence[Journey], before: dict[Address, Standing], *, shard: int, marks: Marks
) -> list[Address]:
    """Makes the tables say what `journeys` say. `before`: what stood of all journeys that their calls had; `shard`: of the sums that
    change (projections/adding.py); `marks` is told which agents' time changes. Returns what changed."""
    fresh, changed, gone = [], [], set(before)
    for journey in journeys:
        address = (journey.tenant, journey.journey_id)
        gone.discard(address)
        if address not in before:
            fresh.append(journey)
        elif before[address].digest != digest(journey):
            changed.append(journey)
    swept = sorted(gone | {(journey.tenant, journey.journey_id) for journey in changed})
    _mark(marks, [*fresh, *changed], standing(cursor, swept))
    written, rewritten = _rows(fresh), _rows(changed)
    _write(cursor, written)
    if swept:
        _rewrite(cursor, rewritten, swept)
    SLOTS.write(cursor, _change([*written[0], *rewritten[0]], {address: before[address].slots for address in swept}), shard=shard)
    return [(journey.tenant, journey.journey_id) for journey in fresh] + swept


def _mark(marks: Marks, journeys: Iterable[Journey], stood: dict[Address, set[Told]]) -> None:
    for journey in journeys:
        marks.stretches(journey.tenant, stood.pop((journey.tenant, journey.journey_id), ()), stretches_of(journey))
    for (tenant, _), told in stood.items():
        marks.stretches(tenant, told, ())


def _rows(journeys: Sequence[Journey]) -> list[list[Row]]:
    """The rows of each writer."""
    return [[row for journey in journeys for row in rows(journey)] for rows, _ in WRITERS]


def _change(journeys: Iterable[Row], before: dict[Address, bytes]) -> Change:
    """What the sums change by: what these rows of table journeys add, without what was added `before` at their addresses and others."""
    change = Change()
    for row in journeys:
        address, packed = (row[0], row[1]), row[ADDED]
        old = before.pop(address, b"")
        if old != packed:
            change.add(address[0], unpack(packed))
            change.take(address[0], unpack(old))
    for (tenant, _), packed in before.items():
        change.take(tenant, unpack(packed))
    return change


def _write(cursor: psycopg.Cursor[Any], told: Sequence[Sequence[Row]]) -> None:
    for (_, writer), rows in zip(WRITERS, told, strict=True):
        if rows:
            writer.write(cursor, rows, into=writer.name)


def _rewrite(cursor: psycopg.Cursor[Any], told: Sequence[Sequence[Row]], swept: Sequence[Address]) -> None:
    addresses = ([tenant for tenant, _ in swept], [address for _, address in swept])
    if len(told[0]) > FEW:
        for (_, writer), rows in zip(WRITERS, told, strict=True):
            writer.write(cursor, rows, into=writer.scratch)
            cursor.execute(writer.many, addresses)
        return
    with cursor.connection.pipeline():  # one way there and back for all tables
        for (_, writer), rows in zip(WRITERS, told, strict=True):
            if rows:
                cursor.execute(writer.few, (writer.as_json(rows), *addresses))
            else:
                cursor.execute(writer.empty, addresses)
