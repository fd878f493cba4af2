"""Rate plans that a tenant posted, kept in Postgres beside those that are shipped. A version posted to a shipped plan joins it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
import psycopg

from calls.clock import Micros, to_datetime, to_micros
from calls.faults import Faults
from calls.rating.appending import Overwritten, appended, joined
from calls.rating.plan import parse, written
from calls.rating.terms import Plan
from runtime import clock
from runtime.plans import refused, shipped
from runtime.postgres import GATE
from runtime.problems import Refused, invalid

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)
_ROWS = "SELECT plan, content, appended_at FROM safiri.rate_plans WHERE tenant = %s"
_WAITING = (
    "INSERT INTO safiri.deferred AS d (tenant, call_sid, due_at) SELECT tenant, call_sid, clock_timestamp() FROM live.charges "
    "WHERE tenant = %s AND plan = %s AND amount_minor IS NULL GROUP BY tenant, call_sid "
    "ON CONFLICT (tenant, call_sid) DO UPDATE SET due_at = least(d.due_at, excluded.due_at)"
)
AHEAD_US = 300_000_000  # how much the clocks of those who receive may be ahead of ours
Connection = psycopg.Connection[Any]


def plans_of(connection: Connection, tenant: str) -> dict[str, Plan]:
    """Every plan that the tenant can name, by its name: shipped ones, and posted ones."""
    parts = {name: [plan] for name, plan in shipped().items()}
    for name, content, at in connection.execute(f"{_ROWS} ORDER BY plan, appended_at, valid_from", (tenant,)):
        parts.setdefault(name, []).append(_known_since(parse(content, name=name), to_micros(at)))
    return {name: joined(parts[name]) for name in sorted(parts)}


def named(connection: Connection, tenant: str, name: str) -> Plan | None:
    """One of them."""
    rows = connection.execute(f"{_ROWS} AND plan = %s ORDER BY appended_at, valid_from", (tenant, name[:128])).fetchall()
    parts = [shipped()[name]] if name in shipped() else []
    parts += [_known_since(parse(content, name=name), to_micros(at)) for _, content, at in rows]
    return joined(parts) if parts else None


def append(connection: Connection, tenant: str, given: Plan, *, now: Callable[[], Micros] = clock.now) -> list[str]:
    """Keeps what is new in `given`, and returns the names of its new versions. In one transaction; legs that wait for such a plan are
    folded again soon after it.

    Refused 409 where a version of that name says something else, 422 where it does not go together with what is there.
    """
    if not _NAME.fullmatch(given.id):
        raise invalid("plan", "must be 1 to 64 small letters, digits, hyphens, dots or underscores, such as sautikit-ke")
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 4))", (f"{tenant}\t{given.id}",))
        try:
            new = appended(named(connection, tenant, given.id), given, at=0)
        except Overwritten as why:
            raise Refused(409, "Conflict", str(why)) from None
        except Faults as faults:
            raise refused(faults, "Invalid plan") from None
        at = _known_from(connection, tenant, given.id, now=now) if new else 0
        for version in new:
            alone = msgspec.structs.replace(given, versions=(msgspec.structs.replace(version, appended_at=None),))
            connection.execute(
                "INSERT INTO safiri.rate_plans (tenant, plan, version, valid_from, appended_at, content) VALUES (%s, %s, %s, %s, %s, %s)",
                (tenant, given.id, version.version, to_datetime(version.valid_from), to_datetime(at), written(alone)),
            )
        if new and _has_charges(connection):
            connection.execute(_WAITING, (tenant, given.id))
    return [version.version for version in new]


def _known_from(connection: Connection, tenant: str, name: str, *, now: Callable[[], Micros]) -> Micros:
    """When the new versions became known, once nobody projects any more until the commit.

    Every leg that is rated already was received before it, by whichever clock, so that a refold rates it by what was known then.
    """
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (GATE,))
    at = now()
    if not _has_charges(connection):
        return at
    row = connection.execute(
        "SELECT max(received_at) FROM live.charges WHERE received_at BETWEEN %s AND %s AND tenant = %s AND plan = %s",
        (to_datetime(at), to_datetime(at + AHEAD_US), tenant, name),
    ).fetchone()
    return max(at, to_micros(row[0]) + 1) if row and row[0] else at


def _has_charges(connection: Connection) -> bool:
    """Not before the first generation of tables is made, nor where it is of an older shape: then a rebuild rates everything."""
    row = connection.execute("SELECT to_regclass('live.charges') IS NOT NULL").fetchone()
    return bool(row and row[0])


def _known_since(plan: Plan, at: Micros) -> Plan:
    return msgspec.structs.replace(plan, versions=tuple(msgspec.structs.replace(one, appended_at=at) for one in plan.versions))
