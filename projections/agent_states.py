"""One row a state that an agent was reported in. Written in the projector's own transaction (projections/agent_facts.py).

Only what says a state counts. Of several bodies under one event id the one received first stands, whichever came first here.
"""

from __future__ import annotations

import sqlalchemy as sa

from projections.shape import key, metadata, moment, ms, text

TABLE = sa.Table(
    "agent_states", metadata, key("tenant"), key("agent"), key("account"), key("event_id"), moment("at", required=True),
    text("state", required=True), text("reason"), text("queue"), ms("lasts_ms"), moment("received_at", required=True),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Index("agent_states_at_idx", "tenant", "agent", "at"),
)  # fmt: skip
