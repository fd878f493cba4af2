"""The legs of an account's period with what they came to before, as a stream: those of today beside the charges or an earlier re-rating."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import psycopg

from api.money.charged import charged
from api.money.periods import BEGAN_IN, Period
from calls.clock import to_micros
from calls.rating.charge import RatedLeg
from calls.rating.charging import UNDIRECTED, impossible_times
from calls.rating.re_rating import PeriodLeg

BATCH = 20_000  # legs in memory at once, and the rest of their last call
# One row a leg, also where two closed periods have charged it.
_CHARGED = f"""SELECT call_sid, leg, min(journey_id) AS journey_id, min(queue) AS queue, min(agent) AS agent, min(own) AS own,
min(started_at) AS started_at, sum(amount_minor)::bigint AS amount_minor FROM {{source}} h WHERE {BEGAN_IN} GROUP BY call_sid, leg"""
_AGAINST = """SELECT call_sid, leg, journey_id, queue, agent, own, started_at, after_minor AS amount_minor
FROM safiri.re_rated_legs WHERE tenant = %(tenant)s AND re_rating = %(against)s AND NOT gone"""
_RATED_BY = 'n.direction, n.kind, n."to", n.own, n.talk_ms, n.ring_ms, n.started_at, n.answered_at'
_JOINED = f"""SELECT call_sid, leg, coalesce(n.journey_id, b.journey_id), CASE WHEN n.tenant IS NULL THEN b.queue ELSE n.queue END,
CASE WHEN n.tenant IS NULL THEN b.agent ELSE n.agent END, CASE WHEN n.tenant IS NULL THEN b.own ELSE n.own END,
coalesce(n.started_at, b.started_at) AS began, b.amount_minor, b.journey_id IS NOT NULL, n.tenant IS NOT NULL, false, {_RATED_BY}
FROM ({{before}}) b FULL JOIN (SELECT * FROM {{schema}}.charges WHERE {BEGAN_IN}) n USING (call_sid, leg)"""
# Legs outside the period that share the rounding of a call with one inside.
_BESIDE = f"""UNION ALL SELECT n.call_sid, n.leg, n.journey_id, n.queue, n.agent, n.own, n.started_at, NULL, false, true, true, {_RATED_BY}
FROM {{schema}}.charges n WHERE n.tenant = %(tenant)s AND n.account = %(account)s
AND NOT (n.started_at >= %(begin)s AND n.started_at < %(end)s)
AND n.call_sid IN (SELECT call_sid FROM {{schema}}.charges WHERE {BEGAN_IN})"""


class Wanted(msgspec.Struct, frozen=True):
    """`schema`: of the live tables. `against`: the re-rating whose amounts are those before; None = the charges. `calls`: whole calls,
    with their legs outside the period."""

    tenant: str
    period: Period
    schema: str
    against: str | None
    calls: bool

    @property
    def parameters(self) -> dict[str, object]:
        return self.period.bound(self.tenant) | {"against": self.against}


def batches(connection: psycopg.Connection[Any], wanted: Wanted) -> Iterator[list[PeriodLeg]]:
    """All legs, those of a call together in one list. The caller's transaction is the snapshot; it may write between two lists."""
    with connection.cursor("legs", binary=True) as cursor:
        cursor.itersize = BATCH
        cursor.execute(_statement(wanted).encode(), wanted.parameters)
        held: list[PeriodLeg] = []
        for row in cursor:
            if len(held) >= BATCH and held[-1].call_sid != row[0]:
                yield held
                held = []
            held.append(_leg(row))
        if held:
            yield held


def foreign(connection: psycopg.Connection[Any], wanted: Wanted, currency: str) -> str | None:
    """Another currency in which some leg of the period was charged."""
    others = f"{BEGAN_IN} AND amount_minor IS NOT NULL AND currency <> %(currency)s"
    statement = f"SELECT currency FROM {charged(wanted.schema)} h WHERE {others} LIMIT 1"
    row = connection.execute(statement.encode(), wanted.parameters | {"currency": currency}).fetchone()
    return None if row is None else str(row[0])


def _statement(wanted: Wanted) -> str:
    before = _CHARGED.format(source=charged(wanted.schema)) if wanted.against is None else _AGAINST
    beside = _BESIDE.format(schema=wanted.schema) if wanted.calls else ""
    return f"{_JOINED.format(before=before, schema=wanted.schema)} {beside} ORDER BY call_sid, began, leg"


def _leg(row: tuple[Any, ...]) -> PeriodLeg:
    call_sid, leg, journey_id, queue, agent, own, began, before_minor, was, there, beside, *by = row
    rated, why = _rated(call_sid, leg, by=by) if there else (None, "")
    return PeriodLeg(call_sid, leg, journey_id, queue, agent, own, to_micros(began), before_minor, rated, was, there, beside, why)


def _rated(call_sid: str, leg: str, *, by: list[Any]) -> tuple[RatedLeg | None, str]:
    """The leg as rating sees it, or why it cannot be rated at all."""
    direction, kind, to, own, talk_ms, ring_ms, started_at, answered_at = by
    started, answered = to_micros(started_at), None if answered_at is None else to_micros(answered_at)
    why = UNDIRECTED if direction is None else impossible_times(started, answered, talk_ms=talk_ms, ring_ms=ring_ms)
    if why:
        return None, why
    return RatedLeg(direction, kind, to, talk_ms, ring_ms, started, answered, own, call_sid, leg), ""
