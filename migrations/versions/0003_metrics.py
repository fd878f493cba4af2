"""Agents' time: what has changed of whom and is to be folded again.

Revision ID: 0003
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

UP = """
-- Something of an agent changed between two instants (until_at NULL: and all after); the second fold takes the row away.
-- `carries`: a state changed, which holds until the next one.
CREATE TABLE safiri.dirty_days (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  generation int NOT NULL,
  tenant text NOT NULL,
  agent text NOT NULL,
  from_at timestamptz NOT NULL,
  until_at timestamptz,
  carries boolean NOT NULL DEFAULT false,
  since timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_insert_scale_factor = 0.2);
CREATE INDEX dirty_days_agent_idx ON safiri.dirty_days (generation, tenant, agent);

-- One row an agent, locked while their time is folded.
CREATE TABLE safiri.agent_locks (
  generation int NOT NULL,
  tenant text NOT NULL,
  agent text NOT NULL,
  PRIMARY KEY (generation, tenant, agent)
);
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute("DROP TABLE safiri.dirty_days, safiri.agent_locks")
