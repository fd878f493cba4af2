"""One row a line of a provider's statement, in each of its versions: a pure function of one delivery of an account's stream."""

from __future__ import annotations

import sqlalchemy as sa

from projections.shape import key, metadata, moment, ms, number, text

TABLE = sa.Table(
    "statement_lines", metadata, key("tenant"), key("account"), key("kind"), key("row_id"), key("digest", sa.LargeBinary),
    moment("at"), moment("received_at", required=True), moment("updated_at"), text("call_id"), text("session_id"),
    text("client_request_id"), text("direction"), text("caller"), text("called"), moment("started_at"), moment("answered_at"),
    moment("ended_at"), ms("duration_ms"), text("status"), sa.Column("amount_minor", sa.BigInteger), number("rest_millicents"),
    text("currency"), text("rate_per_minute"), text("entry_type"), text("description"), sa.Column("balance_minor", sa.BigInteger),
    sa.Index("statement_lines_at_idx", "tenant", "account", "kind", "at"),
    sa.Index("statement_lines_call_idx", "tenant", "account", "call_id"),
)  # fmt: skip
