"""The journal, quarantine, positions, keys, configuration, imports and generations.

Revision ID: 0001
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

JOURNAL_PARTITIONS = 8

UP = """
CREATE SCHEMA IF NOT EXISTS safiri;
CREATE SEQUENCE safiri.journal_seq;

-- Every delivery, as received (masked). Append-only; the one allowed change is erasure.
CREATE TABLE safiri.journal (
  tenant text NOT NULL,
  stream text NOT NULL,                   -- call SID, agent id or account
  account text NOT NULL,
  event_id text NOT NULL,
  digest bytea NOT NULL,                  -- of the masked body: another one under the same event id is a conflict
  stream_kind text NOT NULL,              -- call | agent | account
  receipt bytea NOT NULL,                 -- names the request that brought it
  received_at timestamptz NOT NULL,       -- the earliest of its copies
  known_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  seq bigint NOT NULL DEFAULT nextval('safiri.journal_seq'),
  provider text NOT NULL,
  source text NOT NULL,
  signature text NOT NULL,
  content_type text NOT NULL,
  headers text,                           -- a JSON object, where any belong to its meaning
  body bytea NOT NULL,
  topic text NOT NULL,
  partition int NOT NULL,
  "offset" bigint NOT NULL,
  import_id text,
  PRIMARY KEY (tenant, stream, account, event_id, digest, stream_kind)
) PARTITION BY HASH (stream);

-- The second and later copies of a delivery, one row a request.
CREATE TABLE safiri.journal_copies (
  tenant text NOT NULL,
  stream text NOT NULL,
  account text NOT NULL,
  event_id text NOT NULL,
  digest bytea NOT NULL,
  stream_kind text NOT NULL,
  receipt bytea NOT NULL,
  received_at timestamptz NOT NULL,
  signature text NOT NULL,
  PRIMARY KEY (tenant, stream, account, event_id, digest, stream_kind, receipt)
);

CREATE TABLE safiri.quarantine (
  id uuid PRIMARY KEY,
  tenant text,
  account text,
  provider text,
  source text NOT NULL,
  reason text NOT NULL,
  received_at timestamptz NOT NULL,
  content_type text NOT NULL DEFAULT '',
  headers text,
  body bytea NOT NULL,
  topic text NOT NULL,
  partition int NOT NULL,
  "offset" bigint NOT NULL,
  import_id text,
  attempts int NOT NULL DEFAULT 0,
  tried_at timestamptz,
  redriven_at timestamptz                 -- understood since; no longer listed
);
CREATE INDEX quarantine_kept_idx ON safiri.quarantine (received_at) WHERE redriven_at IS NULL;

-- How far each partition of which Kafka has been projected. Written in the projector's own transaction.
CREATE TABLE safiri.positions (
  cluster_id text NOT NULL,
  topic_id text NOT NULL,
  topic text NOT NULL,
  partition int NOT NULL,
  next bigint NOT NULL,
  moved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (cluster_id, topic_id, partition)
);

CREATE TABLE safiri.api_keys (
  id text PRIMARY KEY,
  tenant text NOT NULL,
  name text NOT NULL,
  scope text NOT NULL CHECK (scope IN ('read', 'write', 'admin')),
  hash bytea NOT NULL UNIQUE,             -- SHA-256 of the key, which has 256 random bits
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  revoked_at timestamptz
);

-- What safiri.toml said, and since when: an input of the fold. Secrets are not kept.
CREATE TABLE safiri.configuration (
  version bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  appended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  digest bytea NOT NULL,
  content text NOT NULL
);

-- What became of each import: only the projector knows.
CREATE TABLE safiri.imports (
  import_id text NOT NULL,
  partition int NOT NULL,
  accepted bigint NOT NULL DEFAULT 0,
  duplicate bigint NOT NULL DEFAULT 0,
  quarantined bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (import_id, partition)
);

-- Derived tables: one schema a generation; readers see the live one through views in schema live.
CREATE TABLE safiri.generations (
  n int PRIMARY KEY,
  state text NOT NULL CHECK (state IN ('building', 'live', 'retired')),
  fingerprint text NOT NULL,              -- of the derived tables' shape and of the fold's version
  made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX generations_one_live ON safiri.generations ((true)) WHERE state = 'live';


-- Calls that changed while a generation is being built.
CREATE TABLE safiri.touched (
  tenant text NOT NULL,
  call_sid text NOT NULL,
  at bigint NOT NULL DEFAULT nextval('safiri.journal_seq'),
  PRIMARY KEY (tenant, call_sid)
);

-- Calls of large journeys that changed and are folded a little later, once for many changes.
CREATE TABLE safiri.deferred (
  tenant text NOT NULL,
  call_sid text NOT NULL,
  since timestamptz NOT NULL DEFAULT clock_timestamp(),
  due_at timestamptz NOT NULL,
  PRIMARY KEY (tenant, call_sid)
);
CREATE INDEX deferred_due_idx ON safiri.deferred (due_at);

-- Journeys whose fold failed (our bug): kept in the journal, shown loudly, refolded by the next rebuild.
CREATE TABLE safiri.broken (
  tenant text NOT NULL,
  call_sid text NOT NULL,
  reason text NOT NULL,
  since timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant, call_sid)
);
CREATE SCHEMA IF NOT EXISTS live;
"""


def upgrade() -> None:
    op.execute(UP)
    for n in range(JOURNAL_PARTITIONS):
        op.execute(
            f"CREATE TABLE safiri.journal_{n} PARTITION OF safiri.journal FOR VALUES WITH (modulus {JOURNAL_PARTITIONS}, remainder {n}) "
        )
        op.execute(f"CREATE INDEX ON safiri.journal_{n} USING brin (seq) WITH (pages_per_range = 16)")


def downgrade() -> None:
    op.execute("""
        DO $$ DECLARE one text; BEGIN
          FOR one IN SELECT nspname FROM pg_namespace WHERE nspname ~ '^g[0-9]+$' LOOP
            EXECUTE format('DROP SCHEMA %I CASCADE', one);
          END LOOP;
        END $$;
        DROP SCHEMA IF EXISTS live CASCADE;
        DROP SCHEMA safiri CASCADE;
    """)
