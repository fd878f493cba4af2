"""One row a leg: one party's connection within a call."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from calls.journey import Journey
from projections.shape import Projection, Row, clean, key, metadata, moment, odd, text, when

TABLE = sa.Table(
    "legs", metadata, key("tenant"), key("journey_id"), key("call_sid"), key("leg"), text("kind"), text("address"), text("agent"),
    text("queue"), moment("started_at"), moment("answered_at"), moment("ended_at"), text("ended_by"), text("cause"),
    moment("cohort_at"), text("menu"),
    sa.Index("legs_cohort_idx", "tenant", "cohort_at", postgresql_where=sa.text("cohort_at IS NOT NULL")),
    sa.Index(
        "legs_odd_idx", "tenant", "cohort_at",
        postgresql_where=sa.text(f"cohort_at IS NOT NULL AND {odd(('cohort_at', 'answered_at'), ('cohort_at', 'ended_at'))}"),
    ),
    sa.Index("legs_queueless_idx", "tenant", "cohort_at", postgresql_where=sa.text("cohort_at IS NOT NULL AND queue IS NULL")),
    sa.Index("legs_agent_idx", "tenant", "agent", "started_at", postgresql_where=sa.text("agent IS NOT NULL")),
)  # fmt: skip


def rows(journey: Journey) -> Iterable[Row]:
    for call in journey.calls:
        for leg in call.legs:
            yield (
                journey.tenant, journey.journey_id, call.call_sid, clean(leg.leg), leg.kind, clean(leg.address), clean(leg.agent),
                clean(leg.queue), when(leg.started_at), when(leg.answered_at), when(leg.ended_at), leg.ended_by, clean(leg.cause),
                when(leg.cohort_at), clean(leg.menu),
            )  # fmt: skip


PROJECTION = Projection(TABLE, rows)
