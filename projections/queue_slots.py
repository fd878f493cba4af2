"""Sums of each queue by quarter of an hour (UTC): what numbers over long times are read from, instead of every visit.

Kept by difference: when a journey changes, what it added before is taken away and what it adds now is added, in the same
transaction (projections/adding.py). A row is one shard of a sum, so that two projectors never wait for one row; readers sum over
shards. A sum whose `offered` and `handled` are both 0 says nothing: nobody came, or whoever came was moved elsewhere.
"""

from __future__ import annotations

import sqlalchemy as sa

from calls.journey import Journey
from calls.metrics.slots import COLUMNS, LENGTHS, Slot, contributions, pack
from projections.shape import Aggregate, clean, key, metadata


def _sum(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger if name in LENGTHS else sa.Integer, nullable=False)


TABLE = sa.Table(
    "queue_slots", metadata, key("tenant"), key("queue"), key("slot", sa.TIMESTAMP(timezone=True)), key("shard", sa.Integer),
    *map(_sum, COLUMNS),  # the key serves one queue over a long time
    sa.Index(None, "tenant", "slot"),  # all queues over a short one
    sa.Index("queue_slots_scattered_idx", "slot", postgresql_where=sa.text("shard <> -1")),  # projections/compacting.py
)  # fmt: skip


def slots(journey: Journey) -> list[Slot]:
    """What a journey adds, with names as a column can hold them."""
    return [Slot(one.start, clean(one.queue) or "", one.amounts) for one in contributions(journey)]


def packed(journey: Journey) -> bytes:
    """As table journeys keeps it (column `slots`)."""
    return pack(slots(journey))


AGGREGATE = Aggregate(TABLE, COLUMNS)
