"""Results of reconciliations as facts: kept once, with what moved since the result before, and read again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec
import psycopg

from api.money.periods import Period
from calls.clock import Micros, rfc3339, to_datetime, to_micros
from calls.reconciliation.run import Result
from calls.reconciliation.telling import Found

Connection = psycopg.Connection[Any]
Shown: TypeAlias = dict[str, object]
MOVED = 20  # differences that came or went and are named
_LAST = (
    "SELECT id, digest, document FROM safiri.reconciliations WHERE tenant = %s AND account = %s AND from_at = %s AND to_at = %s "
    "ORDER BY seq DESC LIMIT 1"
)
_INSERT = (
    "INSERT INTO safiri.reconciliations (tenant, id, account, from_at, to_at, previous, digest, ran_at, document) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
_COPY = "COPY safiri.differences (tenant, reconciliation, n, cause, amount_minor, at, call_sid, content) FROM STDIN"
_BEFORE = (
    "SELECT sha256(convert_to(content, 'UTF8')), cause, amount_minor, at, call_sid FROM safiri.differences "
    "WHERE tenant = %s AND reconciliation = %s ORDER BY n"
)
_encode = msgspec.json.Encoder().encode


def alone(connection: Connection, tenant: str, period: Period) -> None:
    """Waits until nobody else runs this period; until the transaction ends."""
    name = f"{tenant}\t{period.account}\t{period.begin}\t{period.end}"
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 7))", (name,))


def keep(connection: Connection, tenant: str, period: Period, *, result: Result, at: Micros) -> tuple[bytes, bool]:
    """(the document, whether it is another result than the last one of this period). In the transaction of `alone`."""
    where = (tenant, period.account, to_datetime(period.begin), to_datetime(period.end))
    last = connection.execute(_LAST, where).fetchone()
    facts = _facts(result)
    digest = _digest(facts, result)
    if last is not None and bytes(last[1]) == digest:
        return str(last[2]).encode(), False
    previous = None if last is None else str(last[0])
    named = _encode([tenant, period.shown(), previous, digest.hex()])
    made = "rc_" + hashlib.blake2b(named, digest_size=15).hexdigest()
    moved = None if last is None else _moved(connection, tenant, before=last, result=result)
    document = _encode({"id": made, **period.shown(), "ran_at": rfc3339(at), **facts, "previous": previous, "moved": moved})
    connection.execute(_INSERT, (tenant, made, *where[1:], previous, digest, to_datetime(at), document.decode()))
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for row in _rows(tenant, made, result.differences):
            copy.write_row(row)
    return document, last is not None


def _facts(result: Result) -> Shown:
    """What a run found, as JSON has it; nothing of when it was."""
    return {
        "ours_minor": result.ours_minor, "theirs_minor": result.theirs_minor, "causes": result.causes,
        "unexplained_minor": result.unexplained_minor, "match_rate": result.match_rate, "differences": len(result.differences),
        "kpis": result.kpis,
    }  # fmt: skip


def _digest(facts: Shown, result: Result) -> bytes:
    made_of = hashlib.blake2b(_encode(facts), digest_size=16)
    for one in result.differences:
        made_of.update(one.content)
        made_of.update(b"\n")
    return made_of.digest()


def _rows(tenant: str, made: str, found: list[Found]) -> Iterator[tuple[object, ...]]:
    for n, one in enumerate(found):
        at = None if one.at is None else to_datetime(one.at)
        yield tenant, made, n, one.cause, one.amount_minor, at, one.call_sid, one.content.decode()


# ---------------------------------------------------------------- what moved


def _moved(connection: Connection, tenant: str, *, before: tuple[Any, ...], result: Result) -> Shown:
    """Since the result before: by how much the sums and causes moved, and which differences came and went, by their first ones."""
    facts = msgspec.json.decode(before[2])
    went: dict[bytes, Shown] = {}
    for row in connection.execute(_BEFORE, (tenant, before[0])):
        went[bytes(row[0])] = _named(row[1], row[2], None if row[3] is None else to_micros(row[3]), row[4])
    came: list[Shown] = []
    for one in result.differences:
        if went.pop(hashlib.sha256(one.content).digest(), None) is None:
            came.append(_named(one.cause, one.amount_minor, one.at, one.call_sid))
    sums = {name: getattr(result, name) - facts[name] for name in ("ours_minor", "theirs_minor", "unexplained_minor")}
    gone = list(went.values())
    return {
        **sums, "causes": _causes(facts["causes"], result), "came": {"count": len(came), "first": came[:MOVED]},
        "went": {"count": len(gone), "first": gone[:MOVED]},
    }  # fmt: skip


def _named(cause: str, amount_minor: int, at: Micros | None, call_sid: str | None) -> Shown:
    return {"cause": cause, "amount_minor": amount_minor, "at": rfc3339(at), "call_sid": call_sid}


def _causes(before: dict[str, dict[str, int]], result: Result) -> Shown:
    """By how much each cause moved; those that did not are left out."""
    after = {str(cause): (one.count, one.amount_minor) for cause, one in result.causes.items()}
    moved: Shown = {}
    for cause in dict.fromkeys((*before, *after)):
        was = before.get(cause, {"count": 0, "amount_minor": 0})
        count, amount = after.get(cause, (0, 0))
        if (count, amount) != (was["count"], was["amount_minor"]):
            moved[cause] = {"count": count - was["count"], "amount_minor": amount - was["amount_minor"]}
    return moved
