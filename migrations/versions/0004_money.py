"""Money: rate plans that were posted.

Revision ID: 0004
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UP = """
-- Versions of rate plans, as posted. Append-only: a version is never changed, and no two of a plan begin at one time.
CREATE TABLE safiri.rate_plans (
  tenant text NOT NULL,
  plan text NOT NULL,
  version text NOT NULL,
  valid_from timestamptz NOT NULL,
  appended_at timestamptz NOT NULL,       -- a leg received before is rated without it, where another version covers the leg
  content text NOT NULL,                  -- the plan with this one version, as TOML
  PRIMARY KEY (tenant, plan, version),
  UNIQUE (tenant, plan, valid_from)
);
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute("DROP TABLE safiri.rate_plans")
