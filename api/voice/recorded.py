"""Every request on /voice and every answer to it, as two records of the log.

What is appended is bounded: a body that nobody could read is kept in part, and a record that would outgrow what Kafka takes is
written without the fields.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

import structlog

from calls.clock import Micros
from calls.envelope import Envelope
from calls.events import Event
from calls.voice import record
from calls.voice.decide import Decision, Request, State
from calls.voice.flow import Flow
from runtime.clock import now
from runtime.problems import Retry

log = structlog.get_logger("voice")
LARGEST = 1_500_000  # bytes of a record; Kafka takes 4 MiB, and what is no text grows by a third
UNREAD = 64 << 10  # characters kept of fields that are too many
KAFKA_WITHIN_S = 1.0


class Appending(Protocol):
    """`ingest.accept.Log`."""

    async def append_soon(self, envelopes: Sequence[Envelope], within_s: float) -> None: ...


class Origin:
    """Whose records they are: an account."""

    __slots__ = ("account", "provider", "tenant")

    def __init__(self, tenant: str, account: str, provider: str):
        self.tenant, self.account, self.provider = tenant, account, provider


class Heard:
    """One request as it came: what its record needs besides what was decided."""

    __slots__ = ("content_type", "fields", "method", "path", "receipt", "signature", "unread")

    def __init__(self, *, method: str, path: str, content_type: str, fields: dict[str, object], unread: str, signature: str, receipt: str):
        self.method, self.path, self.content_type, self.fields = method, path, content_type, fields
        self.unread, self.signature, self.receipt = unread, signature, receipt


class Said:
    """What was answered. `facts` beside the decision's own; `fallback` and `fault` say why it is not what the flow would have said."""

    __slots__ = ("content_type", "document", "facts", "fallback", "fault", "replay", "said_by_application", "verbs")

    def __init__(
        self, document: bytes, content_type: str, *, verbs: Sequence[str] = (), facts: Sequence[Event] = (), replay: bool = False,
        fallback: str = "", fault: str = "", said_by_application: str = "",
    ):  # fmt: skip
        self.document, self.content_type, self.verbs, self.facts, self.replay = document, content_type, verbs, facts, replay
        self.fallback, self.fault, self.said_by_application = fallback, fault, said_by_application


def new_receipt() -> str:
    return os.urandom(16).hex()


def asked(origin: Origin, heard: Heard, request: Request, *, flow: Flow, before: State | None, decision: Decision | None) -> Envelope:
    """The record of a request."""
    masked = decision.masked if decision else _may_be_sensitive(flow)

    def written(fields: dict[str, object], unread: str) -> bytes:
        return record.request(
            request, flow=flow.name, provider=origin.provider, before=before, decision=decision, masked=masked, method=heard.method,
            path=heard.path[:500], content_type=heard.content_type[:200], fields=fields, unread=unread,
        )  # fmt: skip

    body = written(heard.fields, heard.unread)
    if len(body) > LARGEST:
        body = written({}, str(heard.fields)[:UNREAD] if not masked else "(too long, and not to be kept)")
    return _envelope(origin, body, request, receipt=heard.receipt, at=request.at, signature=heard.signature)


def _may_be_sensitive(flow: Flow) -> bool:
    """What is typed again, too late or beside the point is not decided on, and may be what was typed at any step."""
    return any(getattr(step, "sensitive", False) for step in flow.steps.values())


def answered(origin: Origin, said: Said, request: Request, *, flow: str, decision: Decision | None) -> Envelope:
    """The record of the answer to it."""
    at = now()
    body = record.answer(
        request, flow=flow, decision=decision, document=said.document, content_type=said.content_type, at=at,
        took_ms=max(0, at - request.at) // 1000, verbs=said.verbs, facts=said.facts, replay=said.replay, fallback=said.fallback[:250],
        fault=said.fault, said_by_application=said.said_by_application,
    )  # fmt: skip
    return _envelope(origin, body, request, receipt=new_receipt(), at=at, signature="ours")


def _envelope(origin: Origin, body: bytes, request: Request, *, receipt: str, at: Micros, signature: str) -> Envelope:
    return record.envelope(
        body, call_sid=request.call_sid, tenant=origin.tenant, account=origin.account, provider=origin.provider, receipt=receipt,
        received_at=at, signature=signature,
    )  # fmt: skip


async def append(log_: Appending, envelopes: Sequence[Envelope], *, within_s: float) -> None:
    """A call is answered also where nothing can take its records; that is said loudly."""
    try:
        await log_.append_soon(envelopes, max(0.05, min(KAFKA_WITHIN_S, within_s)))
    except Retry as away:
        log.error("what was answered is not recorded: neither Kafka nor the spool takes it", reason=str(away), records=len(envelopes))
