"""Asks every law of one tenant's tables, over a range or over everything, in one snapshot."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg

from calls.clock import Micros, to_datetime
from calls.metrics.laws import LAWS, Law
from calls.metrics.slots import SLOT_US
from runtime.laws import agents, charges, journeys, queues, rows, statements
from runtime.laws.sides import Asked, statement
from runtime.postgres import patient
from runtime.problems import Retry

LONGEST_S = 120  # a statement
QUESTIONS: dict[str, Asked] = {
    "queue.offered": queues.OFFERED, "queue.waiting": queues.WAITING, "queue.answered_by": queues.ANSWERED_BY, "queue.slots": queues.SLOTS,
    "calls.outcomes": journeys.OUTCOME, "calls.open": journeys.OPEN, "calls.indexed": journeys.INDEXED, "journeys.counts": journeys.COUNTS,
    "journeys.times": journeys.TIMES, "journeys.first": journeys.FIRST, "journeys.bots": journeys.BOTS, "journeys.told": rows.STORY,
    "rows.belong": rows.BELONG, "lengths.instants": journeys.LENGTHS,
    "legs.parts": journeys.PARTS, "handled.cohorts": journeys.COHORTS, "handled.segments": journeys.SEGMENTS, "menus.last": journeys.MENUS,
    "lengths.negative": Asked(("of", "row"), " UNION ALL ".join([*rows.SOUND, *agents.SOUND])),
    "statements.heard": statements.HEARD, "charges.legs": charges.LEGS, "charges.working": charges.WORKING, "charges.sums": charges.SUMS,
    "agents.logged_in": agents.LOGGED_IN, "agents.states": agents.STATES_SUM, "agents.busy": agents.BUSY, "agents.talk": agents.TALK,
    "agents.heard": agents.HEARD,
    "agents.disjoint": agents.DISJOINT, "agents.reported": agents.REPORTED, "agents.legs": agents.LEGS, "agents.days": agents.DAYS,
    "agents.shifts": agents.SHIFTS, "agents.slots": agents.SLOTS,
}  # fmt: skip
"""Law -> how it is asked."""


class Violation(msgspec.Struct, frozen=True):
    """Where a law is broken, and what both sides come to there."""

    where: dict[str, Any]
    left: int
    right: int


class Checked(msgspec.Struct, frozen=True):
    """What a law came to. `broken`: in how many places it is; `violations` has the first of them."""

    law: Law
    left: int
    right: int
    broken: int
    violations: list[Violation]


class Range(msgspec.Struct, frozen=True):
    """[since, until); None = no bound."""

    since: Micros | None = None
    until: Micros | None = None

    def bound(self) -> dict[str, object]:
        """As the statements take it. Sums by quarter of an hour are looked at where the whole quarter lies in the range."""
        slots_since = None if self.since is None else -(-self.since // SLOT_US) * SLOT_US
        slots_until = None if self.until is None else self.until // SLOT_US * SLOT_US
        edges = {"since": self.since, "until": self.until, "slots_since": slots_since, "slots_until": slots_until}
        bound: dict[str, object] = {"everything": self.since is None and self.until is None}
        for name, at in edges.items():
            first = name.endswith("since")
            bound[name] = "-infinity" if at is None and first else "infinity" if at is None or at > _YEAR_9999 else to_datetime(at)
            bound[f"{name}_ms"] = at // 1000 if at is not None else _FIRST if first else _LAST
        return bound


_YEAR_9999 = 253_402_300_799_999_999  # its last microsecond: a quarter of an hour may begin after it
_FIRST, _LAST = -(1 << 60), 1 << 60  # milliseconds before and after all times
EVERYTHING = Range()
_one_at_a_time = threading.Semaphore(1)  # it costs a pass over the tables


def check(database_url: str, tenant: str, within: Range = EVERYTHING, *, wait_s: float = 60.0) -> list[Checked]:
    """Every law. Raises Retry where Postgres is away, takes too long, or another check does not end within `wait_s`."""
    with _alone(wait_s), patient(database_url, name="laws", longest_s=LONGEST_S) as connection:
        return [ask(connection, law, tenant, within) for law in LAWS]


def check_all(database_url: str, within: Range = EVERYTHING, *, wait_s: float = 60.0) -> dict[str, list[Checked]]:
    """Every law of every tenant that has journeys. Raises Retry like `check`."""
    with patient(database_url, name="laws", longest_s=LONGEST_S) as connection:
        tenants = [tenant for (tenant,) in connection.execute(_TENANTS)]
    return {tenant: check(database_url, tenant, within, wait_s=wait_s) for tenant in tenants}


def broken(found: Iterable[Checked]) -> list[Checked]:
    return [one for one in found if one.broken]


# Each tenant by a step along the index.
_TENANTS = """
WITH RECURSIVE found AS (
  (SELECT min(tenant) AS tenant FROM live.journeys)
  UNION ALL SELECT (SELECT min(j.tenant) FROM live.journeys j WHERE j.tenant > found.tenant) FROM found WHERE found.tenant IS NOT NULL
) SELECT tenant FROM found WHERE tenant IS NOT NULL UNION SELECT tenant FROM live.agent_days ORDER BY 1"""


@contextmanager
def _alone(wait_s: float) -> Iterator[None]:
    if not _one_at_a_time.acquire(timeout=wait_s):
        raise Retry("the laws are being checked for somebody else: ask again")
    try:
        yield
    finally:
        _one_at_a_time.release()


def ask(connection: psycopg.Connection[Any], law: Law, tenant: str, within: Range = EVERYTHING) -> Checked:
    """One law, in the connection's transaction."""
    bound = {"tenant": tenant} | within.bound()
    left, right, places, shown = connection.execute(statement(QUESTIONS[law.id], law.relation), bound).fetchone() or (0, 0, 0, [])
    return Checked(law, int(left), int(right), places, [Violation(one["where"], int(one["left"]), int(one["right"])) for one in shown])
