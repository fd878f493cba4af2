"""Rate plans as the fold is given them, and which calls it must be asked about again when a plan or its name comes later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from calls.configuration import Configuration
from calls.fold import NO_PLANS
from calls.rating.terms import Plan
from runtime.posted_plans import plans_of

State = tuple[int, int]  # the last version of the configuration, and the last posted version of any plan, by their order


def state(cursor: psycopg.Cursor[Any]) -> State:
    """How far both have come, as this transaction sees it."""
    cursor.execute(
        "SELECT coalesce((SELECT max(version) FROM safiri.configuration), 0), coalesce((SELECT max(seq) FROM safiri.rate_plans), 0)"
    )
    version, seq = cursor.fetchone() or (0, 0)
    return version, seq


class Plans:
    """Each tenant's plans by their names, read when they are first asked for and again when a version was posted."""

    def __init__(self) -> None:
        self._seq = -1
        self._tenants: dict[str, Mapping[str, Plan]] = {}

    def refresh(self, seq: int) -> None:
        """Forgets what is older than the posted version `seq`."""
        if seq != self._seq:
            self._seq = seq
            self._tenants.clear()

    def of(self, cursor: psycopg.Cursor[Any], tenant: str, configurations: Sequence[Configuration]) -> Mapping[str, Plan]:
        """Nothing is read where no account has ever named a plan."""
        found = self._tenants.get(tenant)
        if found is None:
            named = any(one.rate_plans for one in configurations)
            found = plans_of(cursor.connection, tenant) if named else NO_PLANS
            if named:
                self._tenants[tenant] = found
        return found


def newly_named(before: Configuration, now: Configuration) -> list[str]:
    """The accounts that had no plan and have one now."""
    return sorted(account for account in now.rate_plans if account not in before.rate_plans)


# Calls of these accounts of which no leg is charged: those that came while the account named no plan.
UNCHARGED = (
    "SELECT DISTINCT c.tenant, c.call_sid FROM {schema}.calls c WHERE c.account = ANY(%s) "
    "AND NOT EXISTS (SELECT FROM {schema}.charges h WHERE h.tenant = c.tenant AND h.call_sid = c.call_sid)"
)
# Calls with a leg that waits for a version posted after `seq`.
UNRATED = (
    "SELECT DISTINCT c.tenant, c.call_sid FROM {schema}.charges c JOIN (SELECT DISTINCT tenant, plan FROM safiri.rate_plans "
    "WHERE seq > %s) p ON p.tenant = c.tenant AND p.plan = c.plan WHERE c.amount_minor IS NULL"
)


def defer_uncharged(connection: psycopg.Connection[Any], accounts: Sequence[str]) -> None:
    """The live calls of accounts that newly name a plan are folded again, soon (Projector.fold_due). The caller holds the gate."""
    if accounts:
        connection.execute(
            "INSERT INTO safiri.deferred AS d (tenant, call_sid, due_at) SELECT c.tenant, c.call_sid, clock_timestamp() "
            f"FROM ({UNCHARGED.format(schema='live')}) c "
            "ON CONFLICT (tenant, call_sid) DO UPDATE SET due_at = least(d.due_at, excluded.due_at)",
            (list(accounts),),
        )


def touch(cursor: psycopg.Cursor[Any], n: int, *, since: State, configurations: Sequence[Configuration]) -> State:
    """What came while generation `n` was being filled: its calls that would be charged otherwise now are to be folded again.

    `configurations`: all versions, the last of them number `state(cursor)[0]`. Returns how far both have come.
    """
    now = state(cursor)
    into = "INSERT INTO safiri.touched (tenant, call_sid) SELECT tenant, call_sid FROM ({calls}) c ON CONFLICT DO NOTHING"
    if now[1] != since[1]:
        cursor.execute(into.format(calls=UNRATED.format(schema=f"g{n}")), (since[1],))
    if now[0] != since[0]:
        named = {account for one in configurations for account in one.rate_plans}
        cursor.execute(into.format(calls=UNCHARGED.format(schema=f"g{n}")), (sorted(named),))
    return now
