"""Every delivery behind a journey: what came, as it came (masked), and what it was read as; in reading order.

The order is that of what the bodies state, so all are read; where they are many, only the page's are kept. Memory stays bounded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import sqlalchemy as sa

from api.cursors import Place, decode, encode, filters_digest, unusable
from api.journal import JOURNAL, copies, facts_of
from api.params import MOST_EVENTS
from api.raw import raw_json
from api.read import find
from calls.clock import Micros, rfc3339, to_micros
from calls.events import name_of, shown
from projections.call_index import TABLE as INDEX

ROOM = 32 << 20  # bytes of bodies a page; one delivery is always on it
CHUNK = 500


class _Where(msgspec.Struct, frozen=True, order=True):
    """A delivery's place in reading order. `seq` tells the bodies of a conflict apart."""

    at: Micros
    rank: int
    event_id: str
    seq: int


class _Found(msgspec.Struct):
    """All deliveries: their places and sizes, which of them stand, and the rows as far as they are kept."""

    sizes: dict[_Where, int] = {}
    senior: dict[tuple[str, str, str], tuple[Any, bytes, int]] = {}  # identity -> the standing body's time, digest, seq
    rows: dict[int, Any] = {}
    kept: int = 0


def events(connection: sa.Connection, name: str, *, tenant: str, limit: int | None = None, cursor: str | None = None) -> bytes:
    """The JSON of `GET /v1/journeys/{id}/events`. Refused 404 and 409 as for the journey itself, 422 for a bad cursor.

    `limit` 1…10,000 (the default); `cursor` as it came.
    """
    journey_id = find(connection, name, tenant)
    digest = filters_digest(tenant, ["events", journey_id])
    after = _place(cursor, digest)
    mine = _of(connection, journey_id, tenant)
    found = _read(connection, mine)
    order = [where for where in sorted(found.sizes) if after is None or where > after]
    chosen = _fitting(order[: limit or MOST_EVENTS], found.sizes)
    missing = {where.seq: found.sizes[where] for where in chosen if where.seq not in found.rows}
    for row in _rows(connection, mine, missing):
        found.rows[row.seq] = row
    standing = {seq for _, _, seq in found.senior.values()}
    items = b",".join(_item(found.rows[where.seq], stands=where.seq in standing) for where in chosen)
    further = _cursor(chosen[-1], digest) if len(chosen) < len(order) else None
    return b'{"events":[' + items + b'],"next_cursor":' + msgspec.json.encode(further) + b"}"


def _place(cursor: str | None, digest: str) -> _Where | None:
    if cursor is None:
        return None
    place = decode(cursor, digest)
    try:
        rank, event_id, seq = msgspec.json.decode(place.id, type=tuple[int, str, int])
    except msgspec.MsgspecError:
        raise unusable() from None
    return _Where(place.at, rank, event_id, seq)


def _cursor(where: _Where, digest: str) -> str:
    return encode(Place(where.at, _safely([where.rank, where.event_id, where.seq]).decode(), digest))


def _of(connection: sa.Connection, journey_id: str, tenant: str) -> sa.ColumnElement[bool]:
    """The journal rows of all SIDs of a journey."""
    wanted = sa.select(INDEX.c.call_sid).where(INDEX.c.tenant == tenant, INDEX.c.journey_id == journey_id)
    sids = list(connection.execute(wanted).scalars())
    return sa.and_(JOURNAL.c.tenant == tenant, JOURNAL.c.stream_kind == "call", JOURNAL.c.stream.in_(sids))


def _read(connection: sa.Connection, mine: sa.ColumnElement[bool]) -> _Found:
    found = _Found()
    sizes = connection.execute(sa.select(JOURNAL.c.seq, sa.func.octet_length(JOURNAL.c.body).label("size")).where(mine)).all()
    for row in _rows(connection, mine, {row.seq: row.size for row in sizes}):
        first = facts_of(row)[0]
        found.sizes[_Where(first.at, first.rank, row.event_id, row.seq)] = len(row.body)
        claim, identity = (row.received_at, row.digest, row.seq), (row.stream, row.account, row.event_id)
        found.senior[identity] = min(claim, found.senior.get(identity, claim))
        if found.kept + len(row.body) <= ROOM:
            found.kept += len(row.body)
            found.rows[row.seq] = row
    return found


def _rows(connection: sa.Connection, mine: sa.ColumnElement[bool], sizes: dict[int, int]) -> Iterator[Any]:
    """The journal rows with these numbers, a few at a time. `sizes`: number -> bytes of the body."""
    for chunk in _chunks(sizes):
        yield from connection.execute(sa.select(JOURNAL, copies()).where(mine, JOURNAL.c.seq.in_(chunk)))


def _chunks(sizes: dict[int, int]) -> Iterator[list[int]]:
    chunk: list[int] = []
    total = 0
    for seq, size in sizes.items():
        if chunk and (total + size > ROOM // 4 or len(chunk) == CHUNK):
            yield chunk
            chunk, total = [], 0
        chunk.append(seq)
        total += size
    if chunk:
        yield chunk


def _fitting(order: list[_Where], sizes: dict[_Where, int]) -> list[_Where]:
    """As many of the first as fit on a page."""
    total = 0
    chosen: list[_Where] = []
    for where in order:
        total += sizes[where]
        if chosen and total > ROOM:
            break
        chosen.append(where)
    return chosen


def _item(row: Any, *, stands: bool) -> bytes:
    facts = facts_of(row)
    first = facts[0]
    head = {
        "event_id": row.event_id, "type": name_of(first), "call_sid": first.call_sid or row.stream, "occurred_at": rfc3339(first.at),
        "received_at": rfc3339(to_micros(row.received_at)),
        "kafka": {"topic": row.topic, "partition": row.partition, "offset": row.offset}, "signature": row.signature,
        "copies": row.copies, "event": shown(first), "facts": [shown(fact) for fact in facts], "source": row.source,
        "account": row.account, "provider": row.provider, "stream": row.stream, "stands": stands,
    }  # fmt: skip
    return _safely(head)[:-1] + b',"raw":' + bytes(raw_json(row.body, row.content_type)) + b"}"


def _safely(value: object) -> bytes:
    """JSON text; what UTF-8 cannot say (a lone surrogate from an escape in a body) stays an escape."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value).encode()
