"""Sums of each agent's time by quarter of an hour (UTC), in ms: what numbers over long times are read from.

Of intervals with `in_slots` only, and `talk` of talks that are over and at most calls.agents.LONGEST long, each counted in full where
several overlap. The rest is few and read from agent_intervals and segments. A quarter of an hour that two local days share has two rows.
"""

from __future__ import annotations

import sqlalchemy as sa

from calls.agents import SLOT_COLUMNS
from projections.shape import key, metadata

TABLE = sa.Table(
    "agent_slots", metadata, key("tenant"), key("agent"), key("day", sa.Date), key("slot", sa.TIMESTAMP(timezone=True)),
    *(sa.Column(name, sa.BigInteger, nullable=False) for name in SLOT_COLUMNS),
    sa.Index("agent_slots_slot_idx", "tenant", "slot"),
)  # fmt: skip
