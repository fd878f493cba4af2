"""One row a journey: what lists filter and sort by, and the whole document that one journey's page shows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from calls.attribution import handled
from calls.journey import Journey, document
from projections.queue_slots import packed
from projections.shape import Projection, Row, clean, key, metadata, moment, ms, number, odd, text, texts, when

TABLE = sa.Table(
    "journeys", metadata, key("tenant"), key("journey_id"), text("account", required=True), text("provider", required=True),
    text("direction"), text("caller"), text("called"), moment("started_at", required=True), moment("answered_at"), moment("ended_at"),
    text("state", required=True), text("outcome", required=True), text("ended_by"), ms("total_ms"), ms("menu_ms"), ms("queue_ms"),
    ms("ring_ms"), ms("talk_ms"), ms("hold_ms"), ms("bot_ms"), ms("max_wait_ms"), sa.Column("complete", sa.Boolean, nullable=False),
    number("events"), moment("last_sign_at"), texts("anomalies"), texts("labels"),
    sa.Column("attributes", pg.JSONB, nullable=False), text("document", required=True),
    text("flow"), text("queue"), text("agent"), text("menu"), text("bot"), number("visits"), number("handled"),
    sa.Column("charged_minor", sa.BigInteger), text("currency"), number("unrated"),
    sa.Column("digest", sa.LargeBinary, nullable=False), sa.Column("slots", sa.LargeBinary, nullable=False),
    sa.Index(None, "tenant", "started_at", "journey_id"),
    sa.Index(None, "tenant", "caller", "started_at"),
    sa.Index(None, "tenant", "called", "started_at"),
    sa.Index("journeys_odd_idx", "tenant", "started_at", postgresql_where=sa.text(odd(("started_at", "ended_at")))),
    sa.Index("journeys_open_idx", "tenant", "last_sign_at", postgresql_where=sa.text("state = 'open'")),
)  # fmt: skip

BIGINT = 2**63 - 1
_encode = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode


def digest(journey: Journey) -> bytes:
    """128 bits over everything that a journey says, and so over all its rows in all projections."""
    return hashlib.blake2b(_pack(journey), digest_size=16).digest()


def rows(journey: Journey) -> Iterable[Row]:
    spent = journey.durations
    waits = [visit.wait_ms for visit in journey.queue_visits if visit.wait_ms is not None]
    yield (
        journey.tenant, journey.journey_id, journey.account, journey.provider, journey.direction, clean(journey.caller),
        clean(journey.called), when(journey.started_at), when(journey.answered_at), when(journey.ended_at), journey.state,
        journey.outcome, journey.ended_by, spent.total_ms, spent.menu_ms, spent.queue_ms, spent.ring_ms, spent.talk_ms,
        spent.hold_ms, spent.bot_ms, max(waits, default=None), journey.complete, journey.events, when(journey.last_sign_at),
        sorted({anomaly.code for anomaly in journey.anomalies}), [clean(label) for label in journey.labels],
        _encode(journey.attributes).decode().replace("\\u0000", "\\ufffd"), clean(_encode(document(journey)).decode()),
        clean(journey.flow), clean(_first_queue(journey)), clean(_agent(journey)), clean(_last_menu(journey)), journey.bot,
        len(journey.queue_visits), sum(1 for _ in handled(journey)), *charged(journey),
        digest(journey), packed(journey),
    )  # fmt: skip


def charged(journey: Journey) -> tuple[int | None, str | None, int]:
    """(what its rated legs cost, in which currency, how many legs are unrated).

    Amounts of several currencies are never added: `KES+USD` and no amount. A sum that no column holds counts as unrated.
    """
    rated = {one.currency: 0 for one in journey.charges if one.amount_minor is not None}
    for one in journey.charges:
        if one.amount_minor is not None:
            rated[one.currency] += one.amount_minor
    if any(abs(total) > BIGINT for total in rated.values()):
        return None, None, len(journey.charges)
    total = next(iter(rated.values())) if len(rated) == 1 else None
    return total, "+".join(sorted(rated)) or None, sum(one.amount_minor is None for one in journey.charges)


def _first_queue(journey: Journey) -> str | None:
    return journey.queue_visits[0].queue if journey.queue_visits else None


def _agent(journey: Journey) -> str | None:
    """The first of the named people who took the caller."""
    named = [leg for leg in handled(journey) if leg.agent]
    return min(named, key=lambda leg: (leg.answered_at or 0, leg.leg)).agent if named else None


def _last_menu(journey: Journey) -> str | None:
    return journey.menu_path[-1].menu if journey.menu_path else None


PROJECTION = Projection(TABLE, rows)
