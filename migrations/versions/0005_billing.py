"""Billing: what reconciliations, re-ratings, closed periods and polls leave behind.

Revision ID: 0005
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

UP = """
-- In which order versions came, over all plans: a projector sees by the last one whether it knows them all.
ALTER TABLE safiri.rate_plans ADD COLUMN seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE;

-- What a reconciliation of an account's period found. Append-only: another result of the same period is another row after it.
CREATE TABLE safiri.reconciliations (
  tenant text NOT NULL,
  id text NOT NULL,
  account text NOT NULL,
  from_at timestamptz NOT NULL,
  to_at timestamptz NOT NULL,
  seq bigint GENERATED ALWAYS AS IDENTITY,
  previous text,                          -- the last result of this account and period before it
  digest bytea NOT NULL,                  -- of the document and its differences
  ran_at timestamptz NOT NULL,
  document text NOT NULL,                 -- JSON
  PRIMARY KEY (tenant, id)
);
CREATE INDEX reconciliations_period_idx ON safiri.reconciliations (tenant, account, from_at, to_at, seq);

CREATE TABLE safiri.differences (
  tenant text NOT NULL,
  reconciliation text NOT NULL,
  n int NOT NULL,
  cause text NOT NULL,
  amount_minor bigint NOT NULL,
  at timestamptz,                         -- when its call began, or its line was written
  call_sid text,
  content text NOT NULL,                  -- JSON
  PRIMARY KEY (tenant, reconciliation, n)
);

-- What a period's legs would cost under a version of a plan. Append-only.
CREATE TABLE safiri.re_ratings (
  tenant text NOT NULL,
  id text NOT NULL,
  account text NOT NULL,
  from_at timestamptz NOT NULL,
  to_at timestamptz NOT NULL,
  plan text NOT NULL,
  version text NOT NULL,
  against text,                           -- the re-rating it is compared with; null = what the legs were charged
  made_at timestamptz NOT NULL,
  document text NOT NULL,                 -- JSON, without its legs
  PRIMARY KEY (tenant, id)
);
CREATE INDEX re_ratings_made_idx ON safiri.re_ratings (tenant, made_at, id);

-- Every leg of the period, also those that cost the same: a later re-rating may be compared with this one.
CREATE TABLE safiri.re_rated_legs (
  tenant text NOT NULL,
  re_rating text NOT NULL,
  journey_id text NOT NULL,
  call_sid text NOT NULL,
  leg text NOT NULL,
  started_at timestamptz NOT NULL,
  queue text,
  agent text,
  own text,
  before_minor bigint,                    -- null: unrated, or not there before
  after_minor bigint,
  gone boolean NOT NULL,                  -- it was a leg of the period before, and is none now
  why text NOT NULL,                      -- it has no amount
  PRIMARY KEY (tenant, re_rating, call_sid, leg)
);

-- Periods whose charges stand for good, and these charges: what is learned later is a correction, never a change of them.
CREATE TABLE safiri.closed_periods (
  tenant text NOT NULL,
  id text NOT NULL,
  account text NOT NULL,
  from_at timestamptz NOT NULL,
  to_at timestamptz NOT NULL,
  closed_at timestamptz NOT NULL,
  document text NOT NULL,                 -- JSON: its totals
  PRIMARY KEY (tenant, account, from_at),
  UNIQUE (tenant, id),
  CHECK (from_at < to_at)
);

CREATE TABLE safiri.closed_charges (
  tenant text NOT NULL,
  journey_id text NOT NULL,
  call_sid text NOT NULL,
  leg text NOT NULL,
  account text NOT NULL,
  direction text,
  kind text NOT NULL,
  "to" text,
  own text,
  queue text,
  agent text,
  started_at timestamptz NOT NULL,
  answered_at timestamptz,
  ended_at timestamptz NOT NULL,
  talk_ms bigint,
  ring_ms bigint NOT NULL,
  received_at timestamptz NOT NULL,
  amount_minor bigint,
  tax_minor bigint,
  currency text NOT NULL,
  plan text NOT NULL,
  version text,
  rule int,
  why text NOT NULL,
  working text NOT NULL,
  -- with its start: a leg that turns out to have begun in another period is charged there too, and a correction takes it out of this one
  PRIMARY KEY (tenant, account, started_at, call_sid, leg)
);

-- What accounts' streams say, in order: a rebuild reads them without the calls between.
CREATE INDEX journal_accounts_idx ON safiri.journal (seq) WHERE stream_kind = 'account';

-- Tenants whose zone or country is another since their accounts' streams were read.
CREATE TABLE safiri.rereads (tenant text PRIMARY KEY);

-- How far the polls of each account's REST are.
CREATE TABLE safiri.polls (
  tenant text NOT NULL,
  account text NOT NULL,
  what text NOT NULL,                     -- calls | statement | wallet | stats
  position text NOT NULL,                 -- JSON: where to go on
  polled_at timestamptz NOT NULL,
  failed text,                            -- why the last try failed
  PRIMARY KEY (tenant, account, what)
);
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute("DROP INDEX safiri.journal_accounts_idx")
    for table in ("polls", "rereads", "closed_charges", "closed_periods", "re_rated_legs", "re_ratings", "differences", "reconciliations"):
        op.execute(f"DROP TABLE safiri.{table}")
    op.execute("ALTER TABLE safiri.rate_plans DROP COLUMN seq")
