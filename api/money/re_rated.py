"""Re-ratings as they are told: one with its legs as a stream of JSON, and the list of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from api.cursors import Place, decode, encode, filters_digest
from api.money.re_rate import Connection, Document, snapshot
from calls.clock import to_datetime, to_micros
from runtime.problems import Refused

CHUNK = 5_000  # legs written at once
MOST_UNRATED = 100
_ONE = "SELECT document FROM safiri.re_ratings WHERE tenant = %s AND id = %s"
_LEGS = """SELECT call_sid, journey_id, leg, queue, agent, own, before_minor, after_minor, why FROM safiri.re_rated_legs
WHERE tenant = %s AND re_rating = %s AND before_minor IS DISTINCT FROM after_minor ORDER BY started_at, call_sid, leg"""
_UNRATED = """SELECT call_sid, leg, why FROM safiri.re_rated_legs
WHERE tenant = %s AND re_rating = %s AND after_minor IS NULL AND NOT gone ORDER BY started_at, call_sid, leg LIMIT %s"""
_LIST = """SELECT made_at, id, document FROM safiri.re_ratings
WHERE tenant = %(tenant)s AND (%(account)s::text IS NULL OR account = %(account)s)
AND (%(at)s::timestamptz IS NULL OR (made_at, id) < (%(at)s, %(id)s)) ORDER BY made_at DESC, id DESC LIMIT %(limit)s"""
_SUMS = ("by_queue", "by_agent", "by_number")


class Leg(msgspec.Struct, omit_defaults=True):
    """A leg that came to something else. An amount is null where the leg was unrated or not there; then `why`."""

    call_sid: str
    journey_id: str
    leg: str
    queue: str | None
    agent: str | None
    number: str | None
    before_minor: int | None
    after_minor: int | None
    difference_minor: int
    why: str = ""


def told(database_url: str, tenant: str, name: str) -> Iterator[bytes]:
    """The JSON of a re-rating with all legs that differ, in pieces. Raises Refused 404 before the first piece."""
    with snapshot(database_url) as (connection, _):
        document = _document(connection, tenant, name)
        yield msgspec.json.encode(document)[:-1] + b',"legs":['
        comma = b""
        for legs in _legs(connection, tenant, name):
            yield comma + msgspec.json.encode(legs)[1:-1]
            comma = b","
        yield b"]}"


def head(database_url: str, tenant: str, name: str) -> Document:
    """The same without the legs."""
    with snapshot(database_url) as (connection, _):
        return _document(connection, tenant, name)


def listed(database_url: str, tenant: str, *, account: str | None, limit: int, cursor: str | None) -> Document:
    """The latest first, without their legs and groups."""
    digest = filters_digest(tenant, ["re-ratings", account])
    after = None if cursor is None else decode(cursor, digest)
    given: Document = {"tenant": tenant, "account": account, "limit": limit + 1}
    given |= {"at": None, "id": None} if after is None else {"at": to_datetime(after.at), "id": after.id}
    with snapshot(database_url) as (connection, _):
        rows = connection.execute(_LIST, given).fetchall()
    found: list[Document] = [msgspec.json.decode(document) for _, _, document in rows[:limit]]
    shown = [{name: value for name, value in one.items() if name not in _SUMS} for one in found]
    more = encode(Place(to_micros(rows[limit - 1][0]), rows[limit - 1][1], digest)) if len(rows) > limit else None
    return {"re_ratings": shown, "next_cursor": more}


def _document(connection: Connection, tenant: str, name: str) -> Document:
    row = connection.execute(_ONE, (tenant, name[:128])).fetchone() if name.isprintable() else None
    if row is None:
        raise Refused(404, "Not found", f"no re-rating of yours has the id {name[:64]!r}: GET /v1/re-ratings lists them")
    unrated = connection.execute(_UNRATED, (tenant, name, MOST_UNRATED))
    found: Document = msgspec.json.decode(row[0])
    return found | {"unrated_legs": [{"call_sid": call_sid, "leg": leg, "why": why} for call_sid, leg, why in unrated]}


def _legs(connection: Connection, tenant: str, name: str) -> Iterator[list[Leg]]:
    with connection.cursor("differing", binary=True) as cursor:
        cursor.execute(_LEGS, (tenant, name))
        while rows := cursor.fetchmany(CHUNK):
            yield [_leg(row) for row in rows]


def _leg(row: tuple[Any, ...]) -> Leg:
    call_sid, journey_id, leg, queue, agent, own, before, after, why = row
    return Leg(call_sid, journey_id, leg, queue, agent, own, before, after, (after or 0) - (before or 0), why)
