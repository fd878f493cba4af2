"""One row a local day on which something is known of an agent: a state, or a talk, hold or ring that begins or ends.

It speaks for [day_started_at, day_ended_at): up to the next such day, for ever (NULL) where there is none. The shift is the first
login to the last logout in that time: both NULL where nobody was logged in, only its end NULL where they still are.
`digest` is over everything that the day says in the three tables of agents' time.
"""

from __future__ import annotations

import sqlalchemy as sa

from projections.shape import key, metadata, moment

TABLE = sa.Table(
    "agent_days", metadata, key("tenant"), key("agent"), key("day", sa.Date), moment("day_started_at", required=True),
    moment("day_ended_at"), moment("shift_started_at"), moment("shift_ended_at"), sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Index("agent_days_day_idx", "tenant", "day"),
)  # fmt: skip
