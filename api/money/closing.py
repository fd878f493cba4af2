"""Closes a period: its charges are copied and stand for good; what is learned of its legs later is a correction."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
import psycopg

from api.money.charged import COLUMNS
from api.money.periods import BEGAN_IN, Period
from api.money.re_rate import Connection, Document, snapshot
from calls.clock import Micros, parse_time, rfc3339, to_datetime
from runtime.problems import Refused, invalid

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 5))"
_OVERLAPPING = """SELECT document FROM safiri.closed_periods
WHERE tenant = %(tenant)s AND account = %(account)s AND from_at < %(end)s AND to_at > %(begin)s ORDER BY from_at LIMIT 1"""
_OPEN = """SELECT count(*) FILTER (WHERE l.ended_at IS NULL), count(*) FROM live.legs l JOIN live.calls c USING (tenant, call_sid)
WHERE l.tenant = %(tenant)s AND c.account = %(account)s AND l.started_at >= %(begin)s AND l.started_at < %(end)s"""
_NAMES = ", ".join(f'"{name}"' for name in COLUMNS)
_COPIED = f"INSERT INTO safiri.closed_charges ({_NAMES}) SELECT {_NAMES} FROM live.charges WHERE {BEGAN_IN}"
_COUNTED = f"""SELECT count(*), count(DISTINCT call_sid), count(*) FILTER (WHERE amount_minor IS NULL) FROM safiri.closed_charges
WHERE {BEGAN_IN}"""
_TOTALS = f"""SELECT currency, plan, version, count(*), coalesce(sum(amount_minor), 0)::text, coalesce(sum(tax_minor), 0)::text
FROM safiri.closed_charges WHERE {BEGAN_IN} AND amount_minor IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""
_KEEP = """INSERT INTO safiri.closed_periods (tenant, id, account, from_at, to_at, closed_at, document)
VALUES (%(tenant)s, %(id)s, %(account)s, %(begin)s, %(end)s, %(closed)s, %(document)s)"""
_LIST = "SELECT document FROM safiri.closed_periods WHERE tenant = %s AND (%s::text IS NULL OR account = %s) ORDER BY account, from_at"
_ONE = "SELECT account, from_at, to_at, document FROM safiri.closed_periods WHERE tenant = %s AND id = %s"
_LATE = f"""SELECT count(*) FILTER (WHERE k.tenant IS NULL), count(*) FILTER (WHERE n.tenant IS NULL), count(*) FILTER (
  WHERE k.tenant IS NOT NULL AND n.tenant IS NOT NULL AND k.amount_minor IS DISTINCT FROM n.amount_minor),
(coalesce(sum(n.amount_minor), 0) - coalesce(sum(k.amount_minor), 0))::text
FROM (SELECT * FROM safiri.closed_charges WHERE {BEGAN_IN}) k
FULL JOIN (SELECT * FROM {{schema}}.charges WHERE {BEGAN_IN}) n USING (call_sid, leg)"""


class Asked(msgspec.Struct, frozen=True):
    """`anyway`: also with legs that are open or unrated, or before everything is in the tables."""

    tenant: str
    period: Period
    anyway: bool = False


def close(database_url: str, asked: Asked, *, now: Micros, complete_through: str | None) -> Document:
    """The closed period with its totals. The same again is no change. Refused 422 with what is in the way, or Retry.

    `complete_through`: up to when the tables have all that was received; None where nobody can say.
    """
    if asked.period.end > now:
        raise invalid("to", f"the period is not over before {rfc3339(asked.period.end)}: close it then")
    with snapshot(database_url, isolation=psycopg.IsolationLevel.READ_COMMITTED) as (connection, _):
        given = asked.period.bound(asked.tenant)
        connection.execute(_LOCK, (f"{asked.tenant}\t{asked.period.account}",))
        there = _there(connection, asked.period, given=given)
        if there is not None:
            return there
        if not asked.anyway:
            _refuse_unready(connection, asked.period, given=given, complete_through=complete_through)
        connection.execute(_COPIED.encode(), given)
        document = _document(connection, asked.period, given=given, now=now)
        if document["unrated"] and not asked.anyway:
            raise _unready(f"{document['unrated']} of its legs are unrated: post a version that covers them")
        connection.execute(_KEEP, given | {
            "id": document["id"], "closed": to_datetime(now), "document": msgspec.json.encode(document).decode(),
        })  # fmt: skip
    return document


def listed(database_url: str, tenant: str, account: str | None) -> Document:
    """The closed periods by account and time, with their totals."""
    with snapshot(database_url) as (connection, _):
        rows = connection.execute(_LIST, (tenant, account, account)).fetchall()
    return {"closed_periods": [msgspec.json.decode(document) for (document,) in rows]}


def one(database_url: str, tenant: str, name: str) -> Document:
    """A closed period, and in `late` how far what is known today has moved away from it. Refused 404 where there is none."""
    with snapshot(database_url) as (connection, schema):
        row = connection.execute(_ONE, (tenant, name[:128])).fetchone() if name.isprintable() else None
        if row is None:
            said = f"no closed period of yours has the id {name[:64]!r}: GET /v1/closed-periods lists them"
            raise Refused(404, "Not found", said)
        account, begin, end, document = row
        given = {"tenant": tenant, "account": account, "begin": begin, "end": end}
        new, gone, changed, minor = _row(connection, _LATE.format(schema=schema), given)
    late = {"legs": new + gone + changed, "new": new, "gone": gone, "changed": changed, "difference_minor": int(minor)}
    shown: Document = msgspec.json.decode(document)
    return shown | {"late": late}


def _row(connection: Connection, statement: str, given: dict[str, Any]) -> tuple[Any, ...]:
    found: tuple[Any, ...] | None = connection.execute(statement.encode(), given).fetchone()
    assert found is not None, "an aggregate has a row"
    return found


def _there(connection: Connection, period: Period, *, given: dict[str, object]) -> Document | None:
    """The same period where it is closed. Refused 422 where another one overlaps it."""
    row = connection.execute(_OVERLAPPING, given).fetchone()
    if row is None:
        return None
    found: Document = msgspec.json.decode(row[0])
    if {name: found[name] for name in ("account", "from", "to")} != period.shown():
        raise invalid("from", f"overlaps the period from {found['from']} to {found['to']}, which is closed")
    return found


def _refuse_unready(connection: Connection, period: Period, *, given: dict[str, object], complete_through: str | None) -> None:
    """Refused 422 where more may be learned of the period in the ordinary way."""
    if complete_through is None or (parse_time(complete_through) or 0) < period.end:
        known = (
            f"the tables have everything up to {complete_through}"
            if complete_through
            else "nobody can say now whether all is in the tables"
        )
        raise _unready(f"{known}: try again in a moment")
    still, legs = _row(connection, _OPEN, given)
    if still:
        raise _unready(f"{still} of its legs have not ended")
    if legs and not _row(connection, f"SELECT count(*) FROM live.charges WHERE {BEGAN_IN}", given)[0]:
        raise _unready(f"none of its {legs} legs has a charge: name a rate_plan at the account")


def _unready(detail: str) -> Refused:
    return invalid("anyway", f"{detail}, or close the period anyway")


def _document(connection: Connection, period: Period, *, given: dict[str, object], now: Micros) -> Document:
    """Of what was copied."""
    legs, calls, unrated = _row(connection, _COUNTED, given)
    by_plan = [
        {"currency": currency, "plan": plan, "version": version, "legs": count, "amount_minor": int(amount), "tax_minor": int(tax)}
        for currency, plan, version, count, amount, tax in connection.execute(_TOTALS.encode(), given)
    ]
    currencies = {one["currency"] for one in by_plan}
    single = len(currencies) == 1
    return {
        "id": f"cp_{uuid.uuid4().hex}", **period.shown(), "closed_at": rfc3339(now), "legs": legs, "calls": calls, "unrated": unrated,
        "total_minor": sum(one["amount_minor"] for one in by_plan) if single else None if currencies else 0,
        "tax_minor": sum(one["tax_minor"] for one in by_plan) if single else None if currencies else 0,
        "currency": currencies.pop() if single else None, "by_plan": by_plan,
    }  # fmt: skip
