"""Rates an account's period again under a version of a plan, and keeps what came of it beside all that was there."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg

from api.live import exchanged_is_retry, schema_of
from api.money import period_legs
from api.money.period_legs import Wanted
from api.money.periods import Period
from calls.clock import Micros, rfc3339, to_datetime, to_micros
from calls.rating.re_rating import ReRated, Sums, alone, re_rate, rounds_calls
from calls.rating.terms import Plan
from runtime import posted_plans
from runtime.postgres import AWAY, connect, rows_as_kept
from runtime.problems import Refused, Retry, invalid

Connection = psycopg.Connection[Any]
Document = dict[str, Any]
_CLOSED = """SELECT from_at, to_at FROM safiri.closed_periods
WHERE tenant = %s AND account = %s AND from_at < %s AND to_at > %s ORDER BY from_at"""
_EARLIER = "SELECT account, from_at, to_at, document FROM safiri.re_ratings WHERE tenant = %s AND id = %s"
_COPY = """COPY safiri.re_rated_legs
(tenant, re_rating, journey_id, call_sid, leg, started_at, queue, agent, own, before_minor, after_minor, gone, why)
FROM STDIN (FORMAT BINARY)"""
_TYPES = ("text",) * 5 + ("timestamptz",) + ("text",) * 3 + ("int8",) * 2 + ("bool", "text")
_MADE = """INSERT INTO safiri.re_ratings (tenant, id, account, from_at, to_at, plan, version, against, made_at, document)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"""


class Asked(msgspec.Struct, frozen=True):
    """`against`: the id of an earlier re-rating; None: compare with what the legs were charged. `zone`: of a plan that names none."""

    tenant: str
    period: Period
    plan: str
    version: str
    zone: str
    against: str | None = None


@contextmanager
def snapshot(
    database_url: str, isolation: psycopg.IsolationLevel = psycopg.IsolationLevel.REPEATABLE_READ
) -> Iterator[tuple[Connection, str]]:
    """One transaction that may write, and the schema of the tables that are live in it. Commits at the end."""
    try:
        with exchanged_is_retry(), connect(database_url, name="money") as connection:
            connection.isolation_level = isolation
            yield connection, schema_of(connection)
    except AWAY as error:
        raise Retry("Postgres went away: ask again") from error


def made(database_url: str, asked: Asked, *, now: Micros) -> str:
    """Rates, keeps the result, and returns its id. Raises Refused with the field, Retry."""
    with snapshot(database_url) as (connection, schema):
        rows_as_kept(connection)
        plan = _plan(connection, asked)
        wanted = Wanted(asked.tenant, asked.period, schema, asked.against, rounds_calls(plan))
        _comparable(connection, asked, wanted=wanted, plan=plan)
        name = f"rr_{uuid.uuid4().hex}"
        sums = Sums()
        for legs in period_legs.batches(connection, wanted):
            found = re_rate(plan, legs, zone=asked.zone)
            sums.add(found)
            _keep(connection, (asked.tenant, name), found)
        _conclude(connection, asked, name=name, plan=plan, sums=sums, now=now)
    return name


def _plan(connection: Connection, asked: Asked) -> Plan:
    """With the one version."""
    plan = posted_plans.named(connection, asked.tenant, asked.plan) if asked.plan.isprintable() else None
    if plan is None:
        said = f"there is no plan {asked.plan[:64]!r}: GET /v1/rate-plans lists them"
        raise Refused(404, "Unknown plan", said, errors=[{"field": "plan", "detail": said}])
    found = alone(plan, asked.version)
    if found is None:
        raise invalid("version", f"plan {plan.id} has none of this name; there are {', '.join(one.version for one in plan.versions)}")
    return found


def _comparable(connection: Connection, asked: Asked, *, wanted: Wanted, plan: Plan) -> None:
    """Refused 422 where what was before is of another period or another currency."""
    if asked.against is None:
        other = period_legs.foreign(connection, wanted, plan.currency)
        if other is not None:
            raise invalid("plan", f"is in {plan.currency}, and legs of the period were charged in {other}")
        return
    row = connection.execute(_EARLIER, (asked.tenant, asked.against)).fetchone()
    if row is None:
        raise invalid("against", "no re-rating of yours has this id: GET /v1/re-ratings lists them")
    account, begin, end, document = row
    if Period(account, to_micros(begin), to_micros(end)) != asked.period:
        begun, ended = (rfc3339(to_micros(at)) for at in (begin, end))
        raise invalid("against", f"is of account {account} from {begun} to {ended}: name the same account and period")
    currency = msgspec.json.decode(document)["currency"]
    if currency != plan.currency:
        raise invalid("plan", f"is in {plan.currency}, and the re-rating to compare with in {currency}")


def _keep(connection: Connection, of: tuple[str, str], found: Sequence[ReRated]) -> None:
    """All legs, also those that cost the same: another re-rating may be compared with this one."""
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.set_types(_TYPES)
        for one in found:
            leg = one.of
            copy.write_row((
                *of, leg.journey_id, leg.call_sid, leg.leg, leg.started_at, leg.queue, leg.agent, leg.own, leg.before_minor,
                one.after_minor, not leg.there, one.why,
            ))  # fmt: skip


def _conclude(connection: Connection, asked: Asked, *, name: str, plan: Plan, sums: Sums, now: Micros) -> None:
    period = asked.period
    begin, end = to_datetime(period.begin), to_datetime(period.end)
    closed = connection.execute(_CLOSED, (asked.tenant, period.account, end, begin)).fetchall()
    document: Document = {
        "id": name, **period.shown(), "plan": plan.id, "version": asked.version, "against": asked.against, "made_at": rfc3339(now),
        "correction": bool(closed),
        "corrects": [{"from": rfc3339(to_micros(first)), "to": rfc3339(to_micros(last))} for first, last in closed],
        "currency": plan.currency, **sums.shown(),
    }  # fmt: skip
    connection.execute(_MADE, (
        asked.tenant, name, period.account, begin, end, plan.id, asked.version, asked.against, to_datetime(now),
        msgspec.json.encode(document).decode(),
    ))  # fmt: skip
