"""One row a call SID of a journey."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from calls.journey import Journey
from projections.shape import Projection, Row, clean, key, metadata, moment, text, texts, when

TABLE = sa.Table(
    "calls", metadata, key("tenant"), key("journey_id"), key("call_sid"), texts("aliases"), text("account"), text("provider"),
    text("direction"), text("caller"), text("called"), moment("started_at"), moment("answered_at"), moment("ended_at"),
)  # fmt: skip


def rows(journey: Journey) -> Iterable[Row]:
    for call in journey.calls:
        yield (
            journey.tenant, journey.journey_id, call.call_sid, call.aliases, call.account, call.provider, call.direction,
            clean(call.caller), clean(call.called), when(call.started_at), when(call.answered_at), when(call.ended_at),
        )  # fmt: skip


PROJECTION = Projection(TABLE, rows)
