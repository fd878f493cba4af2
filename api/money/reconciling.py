"""One reconciliation from end to end: read in one snapshot, compared, kept as a fact. A result that is there already is no new one."""

from __future__ import annotations

from typing import Any

import msgspec
import polars as pl
import psycopg

from api.live import exchanged_is_retry
from api.money import kept, sides
from api.money.periods import Period
from api.money.snapshot import DAY, Asked, asked
from calls.clock import Micros, to_micros
from calls.rating.terms import Plan
from calls.reconciliation.kpis import Counted
from calls.reconciliation.run import Beside, Result, reconcile
from runtime import clock, posted_plans
from runtime.postgres import AWAY, connect, patient
from runtime.problems import Retry, invalid
from runtime.settings import Settings

LONGEST_DAYS = 403  # thirteen months
LONGEST_S = 120  # a question
_USUAL = "KES"


class Reconciliation(msgspec.Struct, frozen=True):
    """`document`: JSON, as it is kept. `changed`: it is not what the run before found. `unexplained`: so many differences; of those that
    cancel each other out none is explained."""

    document: bytes
    changed: bool
    unexplained: int


def run(database_url: str, settings: Settings, tenant: str, *, period: Period) -> Reconciliation:
    """Runs of one period wait for each other. Refused 422 where there is nothing to compare with, Retry where Postgres is away."""
    _sensible(period)
    try:
        with exchanged_is_retry(), connect(database_url, name="reconcile") as keeping, keeping.transaction():
            kept.alone(keeping, tenant, period)
            with patient(database_url, name="reconcile", longest_s=LONGEST_S) as connection:
                result = _result(asked(connection, tenant, period), settings)
            return _reconciliation(keeping, tenant, period=period, result=result)
    except AWAY as error:
        raise Retry("Postgres went away: ask again") from error


def _sensible(period: Period) -> None:
    if period.end - period.begin > LONGEST_DAYS * DAY:
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
    read = sides.read(of)
    plans = posted_plans.plans_of(of.connection, of.tenant)
    beside = Beside(
        zone=settings.tenant(of.tenant).timezone, plans=plans, currency=_currency(read.sides.ours, plans.get(plan or "")),
        ledger_dates=_ledger_dates(of), changed_lines=read.changed_lines, rest_millicents=read.rest_millicents,
    )  # fmt: skip
    return reconcile(read.sides, period=(of.period.begin, of.period.end), beside=beside)


def _currency(ours: pl.DataFrame, plan: Plan | None) -> str:
    """What most legs are charged in; without legs, the plan's."""
    counts = ours["currency"].value_counts().sort(["count", "currency"], descending=[True, False])
    return str(counts["currency"][0]) if counts.height else plan.currency if plan else _USUAL


def _ledger_dates(of: Asked) -> tuple[Micros, Micros] | None:
    table = f"{of.schema}.statement_lines"
    dates = f"SELECT min(at), max(at) FROM {table} WHERE tenant = %(tenant)s AND account = %(account)s AND kind = 'ledger'"
    row = of.connection.execute(dates.encode(), of.parameters()).fetchone()
    return (to_micros(row[0]), to_micros(row[1])) if row and row[0] is not None else None


def _reconciliation(keeping: psycopg.Connection[Any], tenant: str, *, period: Period, result: Result) -> Reconciliation:
    document, changed = kept.keep(keeping, tenant, period, result=result, at=clock.now())
    return Reconciliation(document, changed, result.causes.get("unexplained", Counted()).count)
