"""One row a queue visit: one entry of one caller into one queue, and the reason it was left."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from calls.journey import Journey
from projections.shape import Projection, Row, clean, key, metadata, moment, ms, number, odd, text, when

TABLE = sa.Table(
    "queue_visits", metadata, key("tenant"), key("journey_id"), key("n", sa.Integer), text("call_sid"), text("queue"),
    moment("entered_at"), moment("left_at"), ms("wait_ms"), text("outcome"), text("agent"), number("priority"), text("menu"),
    sa.Index(None, "tenant", "queue", "entered_at"),
    sa.Index("queue_visits_entered_idx", "tenant", "entered_at"),
    sa.Index("queue_visits_odd_idx", "tenant", "entered_at", postgresql_where=sa.text(odd(("entered_at", "left_at")))),
)  # fmt: skip


def rows(journey: Journey) -> Iterable[Row]:
    for n, visit in enumerate(journey.queue_visits):
        yield (
            journey.tenant, journey.journey_id, n, visit.call_sid, clean(visit.queue), when(visit.entered_at), when(visit.left_at),
            visit.wait_ms, visit.outcome, clean(visit.agent), visit.priority, clean(visit.menu),
        )  # fmt: skip


PROJECTION = Projection(TABLE, rows)
