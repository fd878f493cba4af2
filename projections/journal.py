"""The journal: every delivery once, its copies counted, in the projector's own transaction. Append-only.

A delivery is known by (tenant, stream, account, event id, digest of its body): the same again is a copy, another body under
the same id is a second row (a conflict, which the fold resolves).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import psycopg

from calls.clock import Micros, to_micros
from calls.envelope import Envelope, StreamKind
from calls.facts import facts
from calls.history import Delivery
from calls.providers import Delivered

Stream = tuple[str, str]  # tenant, call SID


class Arrival(msgspec.Struct, gc=False):
    """An envelope and where it lay in the log."""

    envelope: Envelope
    topic: str
    partition: int
    offset: int
    new: bool = True


COLUMNS = (
    "n int4", "tenant text", "stream text", "account text", "event_id text", "digest bytea", "stream_kind text", "receipt bytea",
    "received_at timestamptz", "provider text", "source text", "signature text", "content_type text", "headers text", "body bytea",
    "topic text", "partition int4", '"offset" int8', "import_id text",
)  # fmt: skip
NAMES = ", ".join(column.rsplit(" ", 1)[0] for column in COLUMNS[1:])
TYPES = [column.rsplit(" ", 1)[1] for column in COLUMNS]
KEY = "tenant, stream, account, event_id, digest, stream_kind"
SAME = " AND ".join(f"j.{name} = i.{name}" for name in KEY.split(", "))


# A commit need not wait for the disk: what a crash takes back it takes back with its positions, and the log is read again from there.
UNHURRIED = ("synchronous_commit",)


def prepare(connection: psycopg.Connection[Any]) -> None:
    """The scratch table of this connection. All its questions are look-ups by key: without statistics of what has just been
    copied the planner would now and then read a whole table instead."""
    for setting in ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit", *UNHURRIED):
        connection.execute(f"SET {setting} = off")
    connection.execute(f"CREATE TEMP TABLE IF NOT EXISTS incoming ({', '.join(COLUMNS)}) ON COMMIT DELETE ROWS")


class Appended(msgspec.Struct):
    """`changed`: call streams that have something new. `earlier`, `accounts`: calls' and accounts' streams of which an earlier receipt was
    learned: what they said before must be read again."""

    changed: set[Stream]
    earlier: set[Stream]
    accounts: set[Stream]


def append(cursor: psycopg.Cursor[Any], arrivals: Sequence[Arrival], fresh: set[Stream]) -> Appended:
    """Appends, and marks what was not new (`Arrival.new`).

    `fresh`: calls of which the journal has nothing yet; their deliveries need not be looked for.
    """
    first, others = _apart(arrivals, fresh)
    if first:
        _copy(cursor, f"COPY safiri.journal ({NAMES}) FROM STDIN (FORMAT BINARY)", TYPES[1:], (_row(0, one)[1:] for one in first))
    earlier: list[tuple[str, str, str]] = []
    if others:
        _copy(cursor, f"COPY incoming (n, {NAMES}) FROM STDIN (FORMAT BINARY)", TYPES, (_row(n, one) for n, one in enumerate(others)))
        cursor.execute(f"INSERT INTO safiri.journal ({NAMES}) SELECT {NAMES} FROM incoming ORDER BY {KEY}, n ON CONFLICT DO NOTHING")
        if cursor.rowcount < len(others):
            earlier = _copies(cursor, others)
    changed = {(one.envelope.tenant, one.envelope.stream) for one in arrivals if one.new and one.envelope.stream_kind == "call"}
    of_calls, of_accounts = ({(tenant, stream) for tenant, stream, kind in earlier if kind == one} for one in ("call", "account"))
    return Appended(changed, of_calls, of_accounts)


def _apart(arrivals: Sequence[Arrival], fresh: set[Stream]) -> tuple[list[Arrival], list[Arrival]]:
    """(the first of each delivery of a fresh call, all else)."""
    first: dict[tuple[str, ...], Arrival] = {}
    others: list[Arrival] = []
    for arrival in arrivals:
        one = arrival.envelope
        key = (one.tenant, one.stream, one.account, one.event_id, one.digest)
        if one.stream_kind == "call" and (one.tenant, one.stream) in fresh and key not in first:
            first[key] = arrival
        else:
            others.append(arrival)
    return list(first.values()), others


def _copy(cursor: psycopg.Cursor[Any], statement: str, types: list[str], rows: Iterable[tuple[Any, ...]]) -> None:
    with cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


def _row(n: int, arrival: Arrival) -> tuple[Any, ...]:
    one = arrival.envelope
    return (
        n, one.tenant, one.stream, one.account, one.event_id, bytes.fromhex(one.digest), one.stream_kind, bytes.fromhex(one.receipt),
        one.received_at, one.provider, one.source, one.signature, one.content_type,
        msgspec.json.encode(one.headers).decode() if one.headers else None, one.raw,
        arrival.topic, arrival.partition, arrival.offset, one.import_id or None,
    )  # fmt: skip


def _copies(cursor: psycopg.Cursor[Any], arrivals: Sequence[Arrival]) -> list[tuple[str, str, str]]:
    """Keeps the copies, and moves a delivery's receipt back where a copy was received earlier; returns those streams and their kinds."""
    cursor.execute(
        f"SELECT i.n FROM incoming i JOIN safiri.journal j ON {SAME} "
        'WHERE (j.topic, j.partition, j."offset") <> (i.topic, i.partition, i."offset")'
    )
    for (n,) in cursor.fetchall():
        arrivals[n].new = False
    cursor.execute(
        f"INSERT INTO safiri.journal_copies ({KEY}, receipt, received_at, signature) "
        f"SELECT {', '.join('i.' + name for name in KEY.split(', '))}, i.receipt, i.received_at, i.signature "
        f"FROM incoming i JOIN safiri.journal j ON {SAME} WHERE j.receipt <> i.receipt "
        f"ORDER BY {', '.join('i.' + name for name in KEY.split(', '))} ON CONFLICT DO NOTHING"
    )
    cursor.execute(
        f"UPDATE safiri.journal j SET received_at = i.received_at "
        f"FROM (SELECT {KEY}, min(received_at) AS received_at FROM incoming GROUP BY {KEY}) i "
        f"WHERE {SAME} AND i.received_at < j.received_at RETURNING j.tenant, j.stream, j.stream_kind"
    )
    return cursor.fetchall()


# ---------------------------------------------------------------- reading it back


def of_arrival(arrival: Arrival) -> Delivery:
    one = arrival.envelope
    delivered = Delivered(one.raw, one.content_type, one.headers, one.received_at, one.account)
    stated = facts(delivered, source=one.source, provider=one.provider, stream=one.stream)
    return Delivery(one.stream, one.account, one.provider, one.event_id, bytes.fromhex(one.digest), one.received_at, stated)


_KEPT = "j.tenant, j.stream, j.account, j.provider, j.source, j.event_id, j.digest, j.received_at, j.content_type, j.headers, j.body"


def history(cursor: psycopg.Cursor[Any], streams: Iterable[Stream], kind: StreamKind = "call") -> dict[Stream, list[Delivery]]:
    """Every delivery of these calls (or agents), as the journal has it."""
    asked = sorted(set(streams))
    if not asked:
        return {}
    cursor.execute(
        f"SELECT {_KEPT} FROM unnest(%s::text[], %s::text[]) AS a (tenant, stream) CROSS JOIN LATERAL (SELECT * FROM safiri.journal j "
        f"WHERE j.tenant = a.tenant AND j.stream = a.stream AND j.stream_kind = '{kind}' OFFSET 0) j",  # each looked up by its key
        ([tenant for tenant, _ in asked], [stream for _, stream in asked]),
        binary=True,
    )
    found: dict[Stream, list[Delivery]] = {}
    for row in cursor:
        found.setdefault((row[0], row[1]), []).append(_delivery(row))
    return found


def _delivery(row: tuple[Any, ...]) -> Delivery:
    _, stream, account, provider, source, event_id, digest, received_at, content_type, headers, body = row
    at: Micros = to_micros(received_at)
    delivered = Delivered(body, content_type, msgspec.json.decode(headers) if headers else {}, at, account)
    stated = facts(delivered, source=source, provider=provider, stream=stream)
    return Delivery(stream, account, provider, event_id, digest, at, stated)


# ---------------------------------------------------------------- agents' streams

Told = list[tuple[str, Delivery]]  # tenant, delivery
Place = tuple[str, str, str, str, bytes]
FIRST: Place = ("", "", "", "", b"")


def reports(cursor: psycopg.Cursor[Any], after: Place, most: int) -> tuple[Told, Place]:
    """Some of the deliveries of agents' streams, and where to go on: a stream of years is too long to be read at once."""
    cursor.execute(
        f"SELECT {_KEPT} FROM safiri.journal j WHERE j.stream_kind = 'agent' AND "
        "(j.tenant, j.stream, j.account, j.event_id, j.digest) > (%s, %s, %s, %s, %s) "
        "ORDER BY j.tenant, j.stream, j.account, j.event_id, j.digest LIMIT %s",
        (*after, most),
        binary=True,
    )
    found = [(row[0], _delivery(row)) for row in cursor]
    last = found[-1] if found else None
    return found, after if last is None else (last[0], last[1].stream, last[1].account, last[1].event_id, last[1].digest)


def reports_of(cursor: psycopg.Cursor[Any], agents: Iterable[Stream]) -> Told:
    """Those of these agents."""
    return [(tenant, one) for (tenant, _), deliveries in history(cursor, agents, "agent").items() for one in deliveries]
