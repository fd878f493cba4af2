"""One row a line of a provider's statement, in each of its versions: a pure function of one delivery of an account's stream.

What today's parser cannot read is a row of kind `unread` that says why: it is seen, and never counted.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import sqlalchemy as sa

from calls.configuration import Configuration
from calls.statements import polled, written
from calls.statements.line import Line
from calls.statements.parse import parse
from projections.shape import AccountTable, Row, Stated, clean, key, metadata, moment, ms, number, text, when

TABLE = sa.Table(
    "statement_lines", metadata, key("tenant"), key("account"), key("kind"), key("row_id"), key("digest", sa.LargeBinary),
    moment("at"), moment("received_at", required=True), moment("updated_at"), text("call_id"), text("session_id"),
    text("client_request_id"), text("direction"), text("caller"), text("called"), moment("started_at"), moment("answered_at"),
    moment("ended_at"), ms("duration_ms"), text("status"), sa.Column("amount_minor", sa.BigInteger), number("rest_millicents"),
    text("currency"), text("rate_per_minute"), text("entry_type"), text("description"), sa.Column("balance_minor", sa.BigInteger),
    sa.Index("statement_lines_at_idx", "tenant", "account", "kind", "at"),
    sa.Index("statement_lines_call_idx", "tenant", "account", "call_id"),
)  # fmt: skip
SOURCES = frozenset({"statement", "poll"})
UNREAD = "unread"


def rows(said: Stated, configuration: Configuration) -> Iterable[Row]:
    if said.source not in SOURCES:
        return
    line = _line(said, configuration)
    if isinstance(line, str):
        kept: list[object] = [None] * len(TABLE.columns)
        kept[:5] = said.tenant, said.account, UNREAD, said.event_id, said.digest
        kept[TABLE.columns.keys().index("received_at")] = when(said.received_at)
        kept[TABLE.columns.keys().index("description")] = clean(line)
        yield tuple(kept)
        return
    yield (
        said.tenant, said.account, line.kind, line.row_id, said.digest, when(line.at), when(said.received_at), when(line.updated_at),
        clean(line.call_id), clean(line.session_id), clean(line.client_request_id), line.direction, clean(line.caller),
        clean(line.called), when(line.started_at), when(line.answered_at), when(line.ended_at), line.duration_ms, clean(line.status),
        line.amount_minor, line.rest_millicents, clean(line.currency), line.rate_per_minute, clean(line.entry_type),
        clean(line.description), line.balance_minor,
    )  # fmt: skip


def _line(said: Stated, configuration: Configuration) -> Line | str:
    """The line, or why there is none."""
    told = written.read(said.body)
    if told is None:
        return "not a line of a statement"
    row_id = written.row_id(told.kind, said.event_id)
    if told.kind == "stats":
        return polled.stats(told.fields, row_id=row_id, at=said.received_at)
    zone, country = configuration.zone(said.tenant), configuration.country(said.tenant)
    try:
        line = parse(told.kind, told.fields, row_id=row_id, zone=zone, country=country)
    except ValueError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  the journal is the truth: one bad parser must not stop the rest
        return f"the parser failed: {type(error).__name__}"
    return line if line.at is not None else msgspec.structs.replace(line, at=said.received_at)


ACCOUNT_TABLE = AccountTable(TABLE, rows)
