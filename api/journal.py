"""The journal's tables as readers see them, and what a row of it is read as."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from calls.clock import to_micros
from calls.events import Event
from calls.facts import facts
from calls.providers.interface import Delivered

metadata = sa.MetaData(schema="safiri")
_MOMENT = sa.TIMESTAMP(timezone=True)

JOURNAL = sa.Table(
    "journal", metadata, sa.Column("tenant", sa.Text), sa.Column("stream", sa.Text), sa.Column("account", sa.Text),
    sa.Column("event_id", sa.Text), sa.Column("digest", sa.LargeBinary), sa.Column("stream_kind", sa.Text),
    sa.Column("receipt", sa.LargeBinary),
    sa.Column("received_at", _MOMENT), sa.Column("known_at", _MOMENT), sa.Column("seq", sa.BigInteger), sa.Column("provider", sa.Text),
    sa.Column("source", sa.Text), sa.Column("signature", sa.Text), sa.Column("content_type", sa.Text), sa.Column("headers", sa.Text),
    sa.Column("body", sa.LargeBinary), sa.Column("topic", sa.Text), sa.Column("partition", sa.Integer), sa.Column("offset", sa.BigInteger),
    sa.Column("import_id", sa.Text),
)  # fmt: skip
COPIES = sa.Table(
    "journal_copies", metadata, sa.Column("tenant", sa.Text), sa.Column("stream", sa.Text), sa.Column("account", sa.Text),
    sa.Column("event_id", sa.Text), sa.Column("digest", sa.LargeBinary), sa.Column("stream_kind", sa.Text),
    sa.Column("receipt", sa.LargeBinary),
)  # fmt: skip
QUARANTINE = sa.Table(
    "quarantine", metadata, sa.Column("id", sa.Uuid, primary_key=True), sa.Column("tenant", sa.Text), sa.Column("account", sa.Text),
    sa.Column("provider", sa.Text), sa.Column("source", sa.Text), sa.Column("reason", sa.Text), sa.Column("received_at", _MOMENT),
    sa.Column("content_type", sa.Text), sa.Column("headers", sa.Text), sa.Column("body", sa.LargeBinary), sa.Column("topic", sa.Text),
    sa.Column("partition", sa.Integer), sa.Column("offset", sa.BigInteger), sa.Column("import_id", sa.Text),
    sa.Column("attempts", sa.Integer), sa.Column("tried_at", _MOMENT), sa.Column("redriven_at", _MOMENT),
)  # fmt: skip
_IDENTITY = ("tenant", "stream", "account", "event_id", "digest", "stream_kind")


def copies() -> sa.ColumnElement[int]:
    """How often a journal row's delivery came: its own receipt and every other one. A column beside JOURNAL's."""
    same = (COPIES.c[name] == JOURNAL.c[name] for name in _IDENTITY)
    others = sa.select(sa.func.count(COPIES.c.receipt.distinct())).where(*same, COPIES.c.receipt != JOURNAL.c.receipt)
    return (others.scalar_subquery() + 1).label("copies")


def facts_of(row: Any) -> list[Event]:
    """What a journal row states, by today's parser: at least one fact, and never an error."""
    at = to_micros(row.received_at)
    headers = json.loads(row.headers) if row.headers else {}
    delivered = Delivered(body=row.body, content_type=row.content_type, headers=headers, received_at=at, account=row.account)
    stream = row.stream if row.stream_kind == "call" else ""
    return facts(delivered, source=row.source, provider=row.provider, stream=stream)
