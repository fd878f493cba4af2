"""Answering calls: where each call stands in its flow, agents, waiting callers, offers, orders, the outbox.

All operational: changed by the API, the voice handler and the worker, each in one transaction together with its outbox rows.

Revision ID: 0002
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

UP = """
-- Where a call stands in a flow, and the answer that brought it there (a replayed request gets it again).
CREATE TABLE safiri.voice_calls (
  tenant text NOT NULL,
  account text NOT NULL,
  call_sid text NOT NULL,
  flow text NOT NULL,
  visit int NOT NULL,
  state text NOT NULL,                    -- JSON of calls/voice/decide.State
  answer bytea NOT NULL,
  content_type text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant, account, call_sid, flow)
) WITH (fillfactor = 60);
CREATE INDEX voice_calls_updated_idx ON safiri.voice_calls USING brin (updated_at);

CREATE TABLE safiri.agents_now (
  tenant text NOT NULL,
  agent text NOT NULL,
  state text NOT NULL CHECK (state IN ('offline', 'available', 'paused', 'wrap_up')),
  reason text,
  since timestamptz NOT NULL,             -- of `state`
  idle_since timestamptz NOT NULL,        -- the longest idle is rung first; reset by becoming available and by not answering
  rest_until timestamptz,                 -- did not answer: not rung again before
  missed int NOT NULL DEFAULT 0,          -- rings not answered, one after the other
  wrap_until timestamptz,                 -- in wrap_up: available again then
  offer uuid,                             -- the offer that rings or has them; NULL = free
  PRIMARY KEY (tenant, agent)
) WITH (fillfactor = 60);

-- Callers in queues. A row stays for a while after its caller was joined, left or hung up (`gone_at`): whoever looks for callers
-- without a row must not take them for waiting.
CREATE TABLE safiri.waiting (
  tenant text NOT NULL,
  account text NOT NULL,
  call_sid text NOT NULL,
  flow text NOT NULL,
  step text NOT NULL,
  queue text NOT NULL,
  caller text,
  called text,
  priority int NOT NULL DEFAULT 0,
  entered_at timestamptz NOT NULL,
  leave_by timestamptz,                   -- max_wait_s
  offer uuid,                             -- the one agent who is being rung for them
  sent_out_at timestamptz,                -- leave_by has passed: the provider was asked to end the room
  gone_at timestamptz,
  PRIMARY KEY (tenant, account, call_sid)
) WITH (fillfactor = 60);
CREATE INDEX waiting_queue_idx ON safiri.waiting (tenant, queue, priority DESC, entered_at) WHERE gone_at IS NULL;

-- One attempt to bring one agent to one caller: an intent before anything is asked of the provider.
CREATE TABLE safiri.offers (
  id uuid PRIMARY KEY,
  tenant text NOT NULL,
  account text NOT NULL,
  call_sid text NOT NULL,                 -- the caller's
  flow text NOT NULL,
  queue text NOT NULL,
  agent text NOT NULL,
  address text NOT NULL,
  way text NOT NULL CHECK (way IN ('dial', 'call')),   -- the caller's call dials them, or they have a call of their own
  state text NOT NULL CHECK (state IN ('placing', 'ringing', 'talking', 'canceling', 'over')),
  caller_id text,                         -- what the agent's phone shows
  entered_at timestamptz NOT NULL,        -- the caller into the queue: kept where a dial fails and they wait on
  agent_call_sid text,                    -- of the call placed (way = call)
  agent_aliases text[] NOT NULL DEFAULT '{}',
  offered_at timestamptz NOT NULL,
  ring_until timestamptz NOT NULL,
  taken_at timestamptz,
  over_at timestamptz,
  result text,                            -- why it is (to be) over: answered, no_answer, busy, caller_gone, …
  placer int                              -- the worker that asks the provider: it holds the advisory lock of this number
) WITH (fillfactor = 60);
CREATE INDEX offers_open_idx ON safiri.offers (state) WHERE state <> 'over';
CREATE INDEX offers_call_idx ON safiri.offers (tenant, account, call_sid);

-- Outbound calls asked for by POST /v1/calls. The same Idempotency-Key gives the same answer.
CREATE TABLE safiri.orders (
  tenant text NOT NULL,
  key text NOT NULL,
  id uuid NOT NULL UNIQUE,
  asked bytea NOT NULL,                   -- digest of the request: another one under the same key is refused
  account text NOT NULL,
  "to" text NOT NULL,
  from_number text,
  flow text,
  agent text,
  client_request_id text,
  state text NOT NULL CHECK (state IN ('placing', 'placed', 'refused', 'answered', 'over')),
  claimed_until timestamptz NOT NULL,     -- whoever places it does so until then; afterwards the next who asks may
  status int,                             -- of our answer, once it is known
  answer text,
  call_sid text,
  aliases text[] NOT NULL DEFAULT '{}',
  made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant, key)
);
CREATE INDEX orders_made_idx ON safiri.orders (made_at);

-- What the transactions above have to say to the log; the worker sends it and takes it away.
CREATE TABLE safiri.outbox (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  topic text NOT NULL,
  key text NOT NULL,
  value bytea NOT NULL,
  made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute("DROP TABLE safiri.voice_calls, safiri.agents_now, safiri.waiting, safiri.offers, safiri.orders, safiri.outbox")
