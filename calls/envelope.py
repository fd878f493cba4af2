"""What is appended to Kafka: one delivery exactly as received (after masking), and what its receiver knew about it.

The record's key is the stream (a call SID, an agent id, an account); its value is this struct as JSON. Never say what
a delivery *means* here: that is a projection, and a better parser must be able to say it anew.
"""

from __future__ import annotations

import hashlib
from typing import Literal, TypeAlias

import msgspec

from calls.clock import Micros

StreamKind: TypeAlias = Literal["call", "agent", "account", "quarantine"]
TOPICS: dict[str, str] = {
    "call": "call-events",
    "agent": "agent-events",
    "account": "account-events",
    "quarantine": "quarantine",
}
LONGEST_TEXT = 512 << 10


class Envelope(msgspec.Struct, kw_only=True, gc=False, omit_defaults=True):
    """One delivery. Known by (tenant, account, stream, event_id); `receipt` names this very request."""

    tenant: str
    account: str
    provider: str  # the dialect of the body
    stream_kind: StreamKind
    stream: str  # call SID, agent id, account id; for quarantine the receipt
    event_id: str  # the sender's, else the digest
    receipt: str  # unique per request (and per line of a batch)
    received_at: Micros
    digest: str  # of the masked body
    source: str = "hook"  # hook | events | import | voice | worker | redrive
    signature: str = "none"  # verified | bare (verified, body only) | none (not asked for) | key | import | ours
    content_type: str = ""
    headers: dict[str, str] = {}
    body: str = ""
    body_bytes: bytes | None = None  # where the body is no UTF-8
    reason: str = ""  # why it is in quarantine
    import_id: str = ""
    version: int = 1

    @property
    def raw(self) -> bytes:
        """The body as bytes."""
        return self.body_bytes if self.body_bytes is not None else self.body.encode("utf-8", "surrogatepass")


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Envelope)


def encode(envelope: Envelope) -> bytes:
    """The value of the Kafka record."""
    return _encoder.encode(envelope)


def decode(value: bytes) -> Envelope:
    """Raises msgspec.MsgspecError (or RecursionError) where `value` is no envelope."""
    return _decoder.decode(value)


def body_fields(body: bytes) -> tuple[str, bytes | None]:
    """(`body`, `body_bytes`) of an envelope: text where it is UTF-8, bytes otherwise.

    Large ones are bytes as well: a control character takes six in JSON, and a record must not outgrow what Kafka takes.
    """
    if len(body) > LONGEST_TEXT:
        return "", body
    try:
        return body.decode(), None
    except UnicodeDecodeError:
        return "", body


def digest(body: bytes) -> str:
    """The identity of a body: 128 bits of BLAKE2b, as hex."""
    return hashlib.blake2b(body, digest_size=16).hexdigest()
