"""One row a leg that is over, of an account with a rate plan: what it costs, by which rule, and the working."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import sqlalchemy as sa

from calls.journey import Journey
from projections.shape import Projection, Row, clean, key, metadata, moment, ms, number, text, when

TABLE = sa.Table(
    "charges", metadata, key("tenant"), key("journey_id"), key("call_sid"), key("leg"), text("account", required=True), text("direction"),
    text("kind", required=True), text("to"), text("own"), text("queue"), text("agent"), moment("started_at", required=True),
    moment("answered_at"), moment("ended_at", required=True), ms("talk_ms"), sa.Column("ring_ms", sa.BigInteger, nullable=False),
    moment("received_at", required=True), sa.Column("amount_minor", sa.BigInteger), sa.Column("tax_minor", sa.BigInteger),
    text("currency", required=True), text("plan", required=True), text("version"), number("rule"), text("why", required=True),
    text("working", required=True),
    sa.Index("charges_at_idx", "tenant", "account", "started_at"),
    sa.Index("charges_call_idx", "tenant", "call_sid"),
    sa.Index("charges_received_idx", "received_at", postgresql_using="brin"),
    sa.Index("charges_unrated_idx", "tenant", "plan", postgresql_where=sa.text("amount_minor IS NULL")),
)  # fmt: skip

_encode = msgspec.json.Encoder().encode


def rows(journey: Journey) -> Iterable[Row]:
    for one in journey.charges:
        yield (
            journey.tenant, journey.journey_id, one.call_sid, clean(one.leg), one.account, one.direction, one.kind, clean(one.to),
            clean(one.own),
            clean(one.queue), clean(one.agent), when(one.started_at), when(one.answered_at), when(one.ended_at), one.talk_ms, one.ring_ms,
            when(one.received_at), one.amount_minor, one.tax_minor, one.currency, one.plan, one.version, one.rule, clean(one.why),
            clean(_encode(one.working).decode()),
        )  # fmt: skip


PROJECTION = Projection(TABLE, rows)
