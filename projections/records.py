"""What a record of the log is: a delivery for the journal, a delivery for quarantine, or no envelope of ours at all."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from calls.envelope import TOPICS, Envelope, decode
from projections.journal import Arrival

LATEST = 32_503_680_000_000_000  # the year 3000
LONGEST = 2600  # bytes of what names an envelope together: an index entry has at most 2,704


class Record(msgspec.Struct, gc=False):
    """A Kafka record. `value` None is a tombstone."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    key: bytes | None
    timestamp_ms: int


class Poison(msgspec.Struct):
    """A record that cannot be projected, and why."""

    record: Record
    reason: str
    envelope: Envelope | None = None


def sorted_out(records: Sequence[Record]) -> tuple[list[Arrival], list[Poison]]:
    """Deliveries for the journal, and what cannot be one."""
    arrivals, poison = [], []
    for record in records:
        if record.value is None:
            continue  # a tombstone says nothing
        try:
            envelope = decode(record.value)
            _sound(envelope)
        except (msgspec.MsgspecError, ValueError, RecursionError, UnicodeError) as error:
            poison.append(Poison(record, f"not one of our envelopes: {str(error)[:300]}"))
            continue
        if record.topic == TOPICS["quarantine"] or envelope.stream_kind == "quarantine":
            poison.append(Poison(record, envelope.reason or "not understood", envelope))
        else:
            arrivals.append(Arrival(envelope, record.topic, record.partition, record.offset))
    return arrivals, poison


def envelope_of(record: Record) -> Envelope | None:
    try:
        return decode(record.value or b"")
    except (msgspec.MsgspecError, ValueError, RecursionError, UnicodeError):
        return None


def _sound(envelope: Envelope) -> None:
    """Raises ValueError where a field cannot be what it must be."""
    if len(bytes.fromhex(envelope.receipt)) != 16 or len(bytes.fromhex(envelope.digest)) != 16:
        raise ValueError("receipt or digest is not 128 bits")
    if not 0 <= envelope.received_at < LATEST:
        raise ValueError("received_at is no time")
    if not (envelope.tenant and envelope.stream and envelope.event_id):
        raise ValueError("tenant, stream or event id is empty")
    names = f"{envelope.tenant}{envelope.account}{envelope.stream}{envelope.event_id}".encode()
    rest = f"{envelope.provider}{envelope.content_type}{envelope.source}{envelope.signature}{envelope.import_id}".encode()
    if b"\0" in names or b"\0" in rest or len(names) > LONGEST:
        raise ValueError("a name holds NUL or is too long")
