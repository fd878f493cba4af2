"""One row a name that came from outside (a client request id): searchable; it may lead to several journeys and links none."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from calls.journey import Journey
from projections.shape import Projection, Row, clean, key, metadata

TABLE = sa.Table(
    "labels", metadata, key("tenant"), key("journey_id"), key("label"),
    sa.Index(None, "tenant", "label"),
)  # fmt: skip


def rows(journey: Journey) -> Iterable[Row]:
    for label in dict.fromkeys(clean(label) for label in journey.labels):
        yield (journey.tenant, journey.journey_id, label)


PROJECTION = Projection(TABLE, rows)
