"""One row a stretch of an agent's time in one state: half-open, never two at once, none while logged out.

A row belongs to the local day `day` in which it begins, and ends at the latest where the next day begins on which something is
known of the agent. `ended_at` is NULL for the last of an agent who is still logged in. What is open or longer than
calls.agents.LONGEST is not in agent_slots (`in_slots` false): who looks for the rows that reach into a range finds all others by
a start at most that long before it.
"""

from __future__ import annotations

import sqlalchemy as sa

from projections.shape import key, metadata, moment, odd, text

TABLE = sa.Table(
    "agent_intervals", metadata, key("tenant"), key("agent"), key("day", sa.Date), key("n", sa.Integer), text("state", required=True),
    moment("started_at", required=True), moment("ended_at"), text("reason"), text("journey_id"), text("call_sid"), text("leg"),
    text("queue"), moment("cohort_at"), sa.Column("in_slots", sa.Boolean, nullable=False),
    sa.Index("agent_intervals_start_idx", "tenant", "started_at"),
    sa.Index("agent_intervals_long_idx", "tenant", "started_at", postgresql_where=sa.text("NOT in_slots")),
    sa.Index(
        "agent_intervals_odd_idx", "tenant", "started_at",
        postgresql_where=sa.text(odd(("started_at", "ended_at"), ("coalesce(cohort_at, started_at)", "started_at"))),
    ),
    sa.Index("agent_intervals_journey_idx", "tenant", "journey_id", postgresql_where=sa.text("journey_id IS NOT NULL")),
)  # fmt: skip
