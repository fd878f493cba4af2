"""One row a name that came from outside (a client request id): searchable; it may lead to several journeys and links none."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from calls.journey import Journey
from projections.shape import Projection, Row, clean, key, metadata, text

INDEXED = 256  # characters: an index entry has at most 2.7 kB, a label 5,000 characters
TABLE = sa.Table(
    "labels", metadata, key("tenant"), key("journey_id"), key("n", sa.Integer), text("label", required=True),
    sa.Index("labels_label_idx", "tenant", sa.text(f"left(label, {INDEXED})")),
)  # fmt: skip


def rows(journey: Journey) -> Iterable[Row]:
    for n, label in enumerate(dict.fromkeys(clean(label) for label in journey.labels)):
        yield (journey.tenant, journey.journey_id, n, label)


PROJECTION = Projection(TABLE, rows)
