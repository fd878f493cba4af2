"""One row a menu step: what a caller pressed, where, and when."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from calls.journey import Journey
from projections.shape import Projection, Row, clean, key, metadata, moment, text, when

TABLE = sa.Table(
    "menu_steps", metadata, key("tenant"), key("journey_id"), key("n", sa.Integer), text("call_sid"), moment("at"), text("menu"),
    text("digits"), sa.Column("timed_out", sa.Boolean),
)  # fmt: skip


def rows(journey: Journey) -> Iterable[Row]:
    for n, step in enumerate(journey.menu_path):
        yield (journey.tenant, journey.journey_id, n, step.call_sid, when(step.at), clean(step.menu), clean(step.digits), step.timed_out)


PROJECTION = Projection(TABLE, rows)
