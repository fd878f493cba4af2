"""One reconciliation from end to end: read in one snapshot, compared, kept as a fact. A result that is there already is no new one."""

from __future__ import annotations

from typing import Any

import msgspec
import polars as pl
import psycopg

from api.money import kept, sides
from api.money.lines import latest
from api.money.periods import Period
from api.money.sides import Asked
from calls.clock import to_datetime, to_micros
from calls.rating.terms import Plan
from calls.reconciliation.run import Beside, Result, reconcile
from runtime import clock, posted_plans
from runtime.postgres import AWAY, connect, patient
from runtime.problems import Retry, invalid
from runtime.settings import Settings

LONGEST_DAYS = 403  # thirteen months
LONGEST_S = 120  # a question
_USUAL = "KES"
_INSIDE = "l.tenant = %(tenant)s AND l.account = %(account)s AND l.at >= %(since)s AND l.at < %(until)s"
_OTHERWISE = (
    'SELECT FROM {}.statement_lines o WHERE o.tenant = l.tenant AND o.account = l.account AND o.kind = l.kind AND o."row_id" = l."row_id" '
    "AND o.digest <> l.digest"
)


class Reconciliation(msgspec.Struct, frozen=True):
    """`document`: JSON, as it is kept. `changed`: it is not what the run before found."""

    document: bytes
    changed: bool
    unexplained_minor: int


def run(database_url: str, settings: Settings, tenant: str, *, period: Period) -> Reconciliation:
    """Runs of one period wait for each other. Refused 422 where there is nothing to compare with, Retry where Postgres is away."""
    _sensible(period)
    try:
        with connect(database_url, name="reconcile") as keeping, keeping.transaction():
            kept.alone(keeping, tenant, period)
            with patient(database_url, name="reconcile", longest_s=LONGEST_S) as connection:
                result = _result(sides.asked(connection, tenant, period), settings)
            return _reconciliation(keeping, tenant, period=period, result=result)
    except AWAY as error:
        raise Retry("Postgres went away: ask again") from error


def _sensible(period: Period) -> None:
    if period.end - period.begin > LONGEST_DAYS * sides.DAY:
        raise invalid("to", f"at most {LONGEST_DAYS} days (thirteen months) after from")


def _result(of: Asked, settings: Settings) -> Result:
    account = settings.accounts.get(of.period.account)
    plan = None if account is None else account.rate_plan
    charges = of.connection.execute(
        f"SELECT FROM {of.schema}.charges WHERE tenant = %s AND account = %s LIMIT 1", (of.tenant, of.period.account)
    ).fetchone()  # fmt: skip
    if plan is None and charges is None:
        raise invalid(
            "account", "has no rate plan, so none of its calls has a charge: name one in safiri.toml, rate_plan under its account"
        )
    found = sides.sides(of)
    plans = posted_plans.plans_of(of.connection, of.tenant)
    beside = _beside(of, zone=settings.tenant(of.tenant).timezone, plans=plans, currency=_currency(found.ours, plans.get(plan or "")))
    return reconcile(found, period=(of.period.begin, of.period.end), beside=beside)


def _currency(ours: pl.DataFrame, plan: Plan | None) -> str:
    """What most legs are charged in; without legs, the plan's."""
    counts = ours["currency"].value_counts().sort(["count", "currency"], descending=[True, False])
    return str(counts["currency"][0]) if counts.height else plan.currency if plan else _USUAL


def _beside(of: Asked, *, zone: str, plans: dict[str, Plan], currency: str) -> Beside:
    asked = of.parameters(since=to_datetime(of.period.begin), until=to_datetime(of.period.end))
    table, lines = f"{of.schema}.statement_lines", latest(of.schema)
    ledger = f"FROM {table} l WHERE l.tenant = %(tenant)s AND l.account = %(account)s AND l.kind = 'ledger'"
    dates = _row(of, f"SELECT min(l.at), max(l.at) {ledger}", asked)
    moved = f"SELECT l.row_id FROM {lines} l WHERE {_INSIDE} AND l.kind = 'ledger' AND EXISTS ({_OTHERWISE.format(of.schema)})"
    changed = of.connection.execute(moved.encode(), asked).fetchall()
    rests = ", ".join(f"coalesce(sum(rest_millicents) FILTER (WHERE kind = '{kind}'), 0)::bigint" for kind in ("ledger", "call_record"))
    rest = _row(of, f"SELECT {rests} FROM {lines} l WHERE {_INSIDE}", asked)
    return Beside(
        zone=zone, plans=plans, currency=currency, ledger_dates=None if dates[0] is None else (to_micros(dates[0]), to_micros(dates[1])),
        changed_lines=tuple(row[0] for row in changed), rest_millicents=(int(rest[0]), int(rest[1])),
    )  # fmt: skip


def _row(of: Asked, statement: str, asked: dict[str, object]) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = of.connection.execute(statement.encode(), asked).fetchone()
    assert row is not None, "an aggregate has a row"
    return row


def _reconciliation(keeping: psycopg.Connection[Any], tenant: str, *, period: Period, result: Result) -> Reconciliation:
    document, changed = kept.keep(keeping, tenant, period, result=result, at=clock.now())
    return Reconciliation(document, changed, result.unexplained_minor)
