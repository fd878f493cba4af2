"""Events that are ours: what the call centre, the worker and the voice handler append to the log, as envelopes.

`source` says in which dialect a body is: `voice` the voice handler's records (calls/voice/record.py), `desk` and `worker`
neutral events. The envelope's `provider` stays that of the account, whose calls they speak of.
"""

from __future__ import annotations

import hashlib

from calls.clock import Micros
from calls.envelope import Envelope, digest
from calls.events import AgentState, Event
from calls.providers import neutral

OURS = frozenset({"voice", "desk"})


def own(
    event: Event, *, tenant: str, account: str, provider: str, receipt: str, received_at: Micros, event_id: str | None = None,
    source: str = "desk",
) -> Envelope:  # fmt: skip
    """`event` (its `call_sid`, or the agent of agent.state, names the stream) as an envelope in the neutral dialect.

    `receipt`: 32 hex digits, unique per appended record. `event_id` defaults to it: say one where saying it twice must count once.
    """
    body = neutral.write(event, event_id=event_id or receipt)
    kind, stream = ("agent", event.agent) if isinstance(event, AgentState) else ("call", event.call_sid)
    return Envelope(
        tenant=tenant, account=account, provider=provider, stream_kind=kind, stream=stream, event_id=event_id or receipt,  # type: ignore[arg-type]
        receipt=receipt, received_at=received_at, digest=digest(body), source=source, signature="ours",
        content_type="application/json", body=body.decode(),
    )  # fmt: skip


def receipt_of(*names: str) -> str:
    """A receipt made of names: the same record appended by two workers is one."""
    return hashlib.blake2b("\0".join(names).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
