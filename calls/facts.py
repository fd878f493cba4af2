"""What a delivery of the journal states, by today's parsers: at least one fact, and never an error."""

from __future__ import annotations

import msgspec

from calls.events import Event, Unrecognised
from calls.own import OURS
from calls.providers import PROVIDERS, Delivered, neutral
from calls.voice import record


def facts(delivered: Delivered, *, source: str, provider: str, stream: str) -> list[Event]:
    """`source` and `provider` as in the envelope. A parser that fails is our bug: what it failed on is kept as unrecognised."""
    lost = Unrecognised(call_sid=stream, at=delivered.received_at, reason="nothing recognised")
    try:
        if source == "voice":
            return record.parse(delivered, stream) or [lost]
        if source in OURS:
            return neutral.parse(delivered) or [lost]
        known = PROVIDERS.get(provider)
        if known is None:
            return [msgspec.structs.replace(lost, reason=f"no provider {provider!r}")]
        return known.parse(delivered) or [lost]
    except Exception as error:  # noqa: BLE001  the journal is the truth: one bad parser must not stop the rest
        return [msgspec.structs.replace(lost, reason=f"the {provider} parser failed: {type(error).__name__}")]
