"""What a batch leaves behind beside journal and tables: quarantined records, broken journeys, calls touched under a rebuild, counts."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import psycopg

from calls.clock import to_datetime
from projections.journal import Arrival, Stream
from projections.records import Poison
from projections.refold import Outcome


def aside(cursor: psycopg.Cursor[Any], poison: Sequence[Poison]) -> None:
    for one in poison:
        record, envelope = one.record, one.envelope
        # what was no envelope of ours gets an id from where it lay, so that the same record is kept once
        own = uuid.uuid5(uuid.NAMESPACE_URL, f"{record.topic}/{record.partition}/{record.offset}/{record.timestamp_ms}")
        cursor.execute(
            "INSERT INTO safiri.quarantine (id, tenant, account, provider, source, reason, received_at, content_type, headers, body, "
            'topic, partition, "offset", import_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING',
            (
                uuid.UUID(envelope.receipt) if envelope else own,
                envelope.tenant if envelope else None, envelope.account if envelope else None, envelope.provider if envelope else None,
                envelope.source if envelope else "log", one.reason.replace("\0", "\ufffd"),
                to_datetime(envelope.received_at if envelope else max(0, record.timestamp_ms) * 1000),
                envelope.content_type if envelope else "",
                msgspec.json.encode(envelope.headers).decode() if envelope and envelope.headers else None,
                envelope.raw if envelope else record.value, record.topic, record.partition, record.offset,
                (envelope.import_id or None) if envelope else None,
            ),
        )  # fmt: skip


def mark_broken(cursor: psycopg.Cursor[Any], outcome: Outcome, folded: Iterable[Stream]) -> None:
    """Notes the calls whose fold failed, and takes off the list those that could be folded again."""
    cursor.execute("SELECT EXISTS (SELECT FROM safiri.broken)")
    if (cursor.fetchone() or (False,))[0]:
        rows = sorted(folded)
        cursor.execute(
            "DELETE FROM safiri.broken b USING unnest(%s::text[], %s::text[]) AS a (tenant, call_sid) "
            "WHERE b.tenant = a.tenant AND b.call_sid = a.call_sid",
            ([tenant for tenant, _ in rows], [sid for _, sid in rows]),
        )
    for tenant, sid, reason in sorted(outcome.broken):
        cursor.execute(
            "INSERT INTO safiri.broken (tenant, call_sid, reason) VALUES (%s, %s, %s) "
            "ON CONFLICT (tenant, call_sid) DO UPDATE SET reason = excluded.reason",
            (tenant, sid, reason.replace("\0", "\ufffd")),
        )


def touch(cursor: psycopg.Cursor[Any], changed: set[Stream]) -> None:
    """Tells a rebuild that is under way which calls to fold again."""
    rows = sorted(changed)
    cursor.execute(
        "INSERT INTO safiri.touched (tenant, call_sid) SELECT * FROM unnest(%s::text[], %s::text[]) "
        "ON CONFLICT (tenant, call_sid) DO UPDATE SET at = nextval('safiri.journal_seq')",
        ([tenant for tenant, _ in rows], [sid for _, sid in rows]),
    )


def count(cursor: psycopg.Cursor[Any], arrivals: Sequence[Arrival], poison: Sequence[Poison]) -> None:
    """What became of each import, in the same transaction: only the projector knows."""
    counts: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    for arrival in arrivals:
        if arrival.envelope.import_id:
            counts[arrival.envelope.import_id, arrival.partition]["accepted" if arrival.new else "duplicate"] += 1
    for one in poison:
        if one.envelope and one.envelope.import_id:
            counts[one.envelope.import_id, one.record.partition]["quarantined"] += 1
    for (import_id, partition), count in sorted(counts.items()):
        cursor.execute(
            "INSERT INTO safiri.imports AS i (import_id, partition, accepted, duplicate, quarantined) VALUES (%s, %s, %s, %s, %s) "
            "ON CONFLICT (import_id, partition) DO UPDATE SET accepted = i.accepted + excluded.accepted, "
            "duplicate = i.duplicate + excluded.duplicate, quarantined = i.quarantined + excluded.quarantined",
            (import_id, partition, count["accepted"], count["duplicate"], count["quarantined"]),
        )
