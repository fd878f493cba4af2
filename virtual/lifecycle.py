"""What the provider says of a call besides asking: lifecycle webhooks in the documented envelope, and the PBX's own edges."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec

from calls.clock import Micros, milliseconds, rfc3339
from virtual.courier import Post
from virtual.line import Line

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
WORKSPACE = "01900000-0000-7000-8000-000000000002"
DOCUMENTED = ("documented", "both")


def fields(line: Line, *, state: str, more: Mapping[str, str]) -> dict[str, str]:
    """One PBX body. The documented names know no state; the PBX's edges always have the PBX's names."""
    lived = line.lived
    who = {
        "sessionId": line.session, "callerNumber": lived.caller, "destinationNumber": lived.called,
        "direction": lived.direction.capitalize(), "callSessionState": state, "isActive": "0" if line.over else "1",
    }  # fmt: skip
    if line.label:
        who["clientRequestId"] = line.label
    return {**who, **more}


def documented_fields(line: Line, more: Mapping[str, str]) -> dict[str, str]:
    """The names of the vendor's own examples."""
    renamed = {"dtmfDigits": "Digits"}
    who = {"CallId": line.session, "From": line.lived.caller, "To": line.lived.called, "Direction": line.lived.direction}
    return who | {renamed.get(name, name): value for name, value in more.items()}


def encoded(line: Line, said: Mapping[str, str]) -> tuple[bytes, str]:
    """(body, content type): a form, unless this call's PBX posts JSON."""
    if line.wish.as_json:
        return msgspec.json.encode(dict(said)), JSON
    return urlencode(said).encode(), FORM


def edge(line: Line, state: str, more: Mapping[str, str] | None = None, *, lossable: bool = True) -> Post:
    """What the PBX posts again to the voice URL; nobody waits for the answer."""
    body, kind = encoded(line, fields(line, state=state, more=more or {}))
    return Post(url=line.voice_url, body=body, content_type=kind, lossable=lossable)


def completed(line: Line) -> Post:
    """The PBX's last word, with what it knows of the last dial once more."""
    lived = line.lived
    talked = milliseconds(lived.answered_at, lived.ended_at) if lived.answered_at and lived.ended_at else 0
    more = {"durationInSeconds": str(-(-talked // 1000)), "hangupCause": line.cause.upper(), **line.dial}
    return edge(line, "Completed", more)


def webhook(line: Line, hooks: str, *, kind: str, at: Micros, lossable: bool = True, **more: object) -> Post:
    """A documented lifecycle event of a Sautikit call."""
    lived = line.lived
    told = {
        "call_id": line.id, "session_id": line.session, "direction": lived.direction, "from": lived.caller, "to": lived.called,
        "number_id": str(uuid.uuid5(uuid.NAMESPACE_URL, lived.called)), **more,
    }  # fmt: skip
    if line.label:
        told["client_request_id"] = line.label
    body = {"kind": kind, "event_id": str(uuid.uuid4()), "workspace_id": WORKSPACE, "occurred_at": rfc3339(at), "data": told}
    return Post(url=f"{hooks}/{line.account}", body=msgspec.json.encode(body), content_type=JSON, timed=True, lossable=lossable)


def mini_webhook(
    line: Line, hooks: str, *, event: str, at: Micros, lossable: bool = True, said: Mapping[str, object] | None = None
) -> Post:
    """A webhook of MiniVoice."""
    lived = line.lived
    status = {"call.completed": "completed", "call.failed": "failed"}.get(event, "in_progress")
    call = {
        "id": line.id, "customer_id": "cust_1", "application_id": f"app_{line.account}", "provider_call_id": line.session, "status": status,
        "direction": lived.direction, "from": lived.caller, "to": lived.called, "route_mode": "webhook",
        "routing_target": f"app_{line.account}",
    }  # fmt: skip
    variables = {"client_request_id": line.label} if line.label else {}
    body = {"event": event, "created_at": rfc3339(at), "call": call, "variables": variables, "data": said or {}}
    return Post(url=f"{hooks}/{line.account}", body=msgspec.json.encode(body), content_type=JSON, timed=True, lossable=lossable)


def began(line: Line, hooks: str) -> Post | None:
    """That there is a call. Never lost: it is what ties the call's ids."""
    at = line.lived.started_at
    if line.dialect == "minivoice":
        return mini_webhook(line, hooks, event="call.created", at=at, lossable=False, said={"event_key": f"{line.id}:call.created"})
    return webhook(line, hooks, kind="call.started", at=at, lossable=False, status="started") if line.shape in DOCUMENTED else None


def answered(line: Line, hooks: str) -> Post | None:
    at = line.lived.answered_at or line.now()
    if line.dialect == "minivoice":
        return mini_webhook(line, hooks, event="call.answered", at=at)
    if line.shape not in DOCUMENTED:
        return None
    return webhook(line, hooks, kind="call.answered", at=at, status="answered", answered_at=rfc3339(at))


def ended(line: Line, hooks: str) -> list[Post]:
    """The end, as this call's shape tells it. The PBX says nothing of a call that never reached it.

    What says that an agent is free again is never lost: a morning whose agents hang on for ever shows nothing else.
    """
    lived, at = line.lived, line.lived.ended_at or line.now()
    if line.dialect == "minivoice":
        over = "call.failed" if lived.failure else "call.completed"
        return [mini_webhook(line, hooks, event=over, at=at, said={"reason": lived.failure} if lived.failure else {})]
    found = [completed(line)] if line.shape != "documented" and not (lived.failure and lived.direction == "outbound") else []
    if line.shape in DOCUMENTED:
        found.append(_failed(line, hooks, at) if lived.failure else _over(line, hooks, at))
    return found


def _failed(line: Line, hooks: str, at: Micros) -> Post:
    why = {"failed": "network_error"}.get(line.lived.failure, line.lived.failure)
    return webhook(
        line, hooks, kind="call.failed", at=at, lossable=not line.lived.agent, status="failed", failure_reason=why, ended_at=rfc3339(at)
    )


def _over(line: Line, hooks: str, at: Micros) -> Post:
    began = line.lived.answered_at or at
    return webhook(
        line, hooks, kind="call.completed", at=at, lossable=not line.lived.agent, status="completed",
        duration_seconds=-(-milliseconds(began, at) // 1000),
        answered_at=rfc3339(began), ended_at=rfc3339(at), hangup_cause=line.cause,
    )  # fmt: skip


def recording(line: Line, hooks: str, *, url: str, length_ms: int) -> Post:
    now = line.now()
    return webhook(
        line, hooks, kind="call.recording.ready", at=now, recording_id=str(uuid.uuid4()), duration_seconds=-(-length_ms // 1000),
        size_bytes=16 * length_ms, download_url=url, expires_at=rfc3339(now + 3_600_000_000),
    )  # fmt: skip


def room_event(line: Line, *, url: str, event: str, room: str, participants: int) -> Post:
    """A conference's status callback: no signature, the address carries what it needs."""
    number = line.lived.called if line.lived.direction == "outbound" else line.lived.caller
    said = {"event": event, "conference_name": room, "caller": number, "participant_id": f"p-{line.session}", "participants": participants}
    return Post(url=url, body=msgspec.json.encode(said), content_type=JSON, signed=False)
