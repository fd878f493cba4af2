"""One row a segment: a half-open stretch of a leg in one state."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from calls.agents import LONGEST
from calls.journey import Journey
from projections.shape import Projection, Row, clean, key, metadata, moment, ms, odd, text, when


def long(alias: str) -> str:
    """SQL: a segment is open or lasts longer than LONGEST. Such are few and have an index of their own, which is found by these words."""
    return f"({alias}ended_at IS NULL OR {alias}ended_at - {alias}started_at > interval '{LONGEST // 3_600_000_000} hours')"


TABLE = sa.Table(
    "segments", metadata, key("tenant"), key("journey_id"), key("call_sid"), key("leg"), key("n", sa.Integer), text("kind"),
    moment("started_at"), moment("ended_at"), ms("duration_ms"), text("queue"), text("agent"),
    moment("cohort_at"), text("menu"),
    sa.Index("segments_handled_idx", "tenant", "started_at", postgresql_where=sa.text("cohort_at IS NOT NULL")),
    sa.Index(
        "segments_odd_idx", "tenant", "started_at",
        postgresql_where=sa.text(f"cohort_at IS NOT NULL AND {odd(('started_at', 'ended_at'), ('cohort_at', 'started_at'))}"),
    ),
    sa.Index("segments_queueless_idx", "tenant", "started_at", postgresql_where=sa.text("cohort_at IS NOT NULL AND queue IS NULL")),
    sa.Index("segments_agent_idx", "tenant", "agent", "started_at", postgresql_where=sa.text("agent IS NOT NULL")),
    sa.Index(
        "segments_agent_long_idx", "tenant", "agent", "started_at",
        postgresql_where=sa.text(f"agent IS NOT NULL AND {long('')}"),
    ),
)  # fmt: skip


def rows(journey: Journey) -> Iterable[Row]:
    for call in journey.calls:
        for leg in call.legs:
            for n, segment in enumerate(leg.segments):
                yield (
                    journey.tenant, journey.journey_id, call.call_sid, clean(leg.leg), n, segment.kind, when(segment.started_at),
                    when(segment.ended_at), segment.duration_ms, clean(segment.queue), clean(segment.agent),
                    when(segment.cohort_at), clean(leg.menu) if segment.cohort_at is not None else None,
                )  # fmt: skip


PROJECTION = Projection(TABLE, rows)
