"""MiniVoice: `{event, created_at, call{id, direction, from, to, status…}, variables{}, data{}}` (webhook pages).

There is no event id. `data.event_key` names the creation of a call, which is sent again on retries; of everything else a call
may have several (two gathers, two recordings), told apart by their time and what they say.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

import msgspec

from calls.clock import Micros
from calls.events import (
    CallAnswered,
    CallEnded,
    CallFailed,
    CallLinked,
    CallSeen,
    CallStarted,
    Event,
    MenuDigits,
    RecordingNotice,
    RecordingReady,
    Unrecognised,
)
from calls.providers import signatures
from calls.providers.interface import Delivered, Identity, NotUnderstood, Provider
from calls.providers.reading import (
    Fields,
    count,
    direction,
    failure,
    first,
    first_id,
    flag,
    identifier,
    label,
    moment,
    part,
    phone,
    read_fields,
    seconds_ms,
    text,
)

CREATED = "call.created"
# An id is another id of the call only where it can be unique: the vendor's samples all say `uuid`.
_UNIQUE = re.compile(r"(?=.*\d)(?!(?:0+-?)+$)[\w.:@\-]{16,256}", re.ASCII)
_canonical = msgspec.json.Encoder(order="deterministic")


def identify(delivered: Delivered) -> Identity:
    """The call by `call.id`. What names an event but no call belongs to the account, unless it can only be a call's."""
    fields = read_fields(delivered.body, delivered.content_type)
    event, call = label(fields.get("event")), _call_id(fields)
    if event is None:
        raise NotUnderstood("The body names no event.")
    if call is not None:
        return Identity(kind="call", stream=call, event_id=_event_id(fields, event, call))
    if event.startswith(("call.", "recording.")) or moment(fields.get("created_at")) is None:
        raise NotUnderstood(f"The body is of event {event} but names no call.")
    return Identity(kind="account", stream=delivered.account, event_id=None)


def parse(delivered: Delivered) -> list[Event]:
    """The facts of one delivery; the first says what it is called."""
    try:
        fields = read_fields(delivered.body, delivered.content_type)
    except NotUnderstood as why:
        return [Unrecognised(at=delivered.received_at, reason=str(why))]
    event, call = label(fields.get("event")), _call_id(fields) or ""
    own = moment(fields.get("created_at"))
    at = delivered.received_at if own is None else own
    read = _EVENTS.get(event or "") if call else None
    if read is None:
        facts: list[Event] = [Unrecognised(call_sid=call, at=at, name=event, reason="this event is not known")]
    else:
        facts = read(fields, call, at)
    return facts + _known(fields, call, at, started=isinstance(facts[0], CallStarted))


def _known(fields: Fields, call: str, at: Micros, *, started: bool) -> list[Event]:
    """Who takes part, and the call's other id."""
    about, found = part(fields, "call"), list[Event]()
    if not call:
        return found
    caller, called, way = phone(about.get("from")), phone(about.get("to")), direction(about.get("direction"))
    if not started and (caller or called or way):
        found.append(CallSeen(call_sid=call, at=at, from_=caller, to=called, direction=way))
    other = identifier(about.get("provider_call_id"))
    if other is not None and other != call and _UNIQUE.fullmatch(other):
        found.append(CallLinked(call_sid=call, at=at, alias=other))
    return found


def _call_id(fields: Fields) -> str | None:
    data = part(fields, "data")
    return (
        identifier(part(fields, "call").get("id")) or identifier(data.get("call_id")) or identifier(part(data, "recording").get("call_id"))
    )


def _event_id(fields: Fields, event: str, call: str) -> str:
    """The creation's key is its id. Of other events `<call>:<event>` may come twice, so time and content belong to the id."""
    data, pair = part(fields, "data"), f"{call}:{event}"
    key = identifier(data.get("event_key"))
    if key is not None and (event == CREATED or key != pair):
        return key
    if event == CREATED:
        return pair
    try:
        content = _canonical.encode(data)
    except (msgspec.MsgspecError, RecursionError, ValueError, OverflowError):
        content = repr(sorted(data)).encode()
    said = hashlib.blake2b(content, digest_size=6).hexdigest()
    return f"{pair}:{label(fields.get('created_at')) or ''}:{said}"


# ---------------------------------------------------------------- events


def _created(fields: Fields, call: str, at: Micros) -> list[Event]:
    about = part(fields, "call")
    caller, called, way = phone(about.get("from")), phone(about.get("to")), direction(about.get("direction"))
    return [CallStarted(call_sid=call, at=at, from_=caller, to=called, direction=way)]


def _answered(fields: Fields, call: str, at: Micros) -> list[Event]:
    return [CallAnswered(call_sid=call, at=at)]


def _gathered(fields: Fields, call: str, at: Micros) -> list[Event]:
    data, variables = part(fields, "data"), part(fields, "variables")
    digits = label(data.get("digits"))
    timed_out = flag(data.get("timed_out"))
    return [MenuDigits(call_sid=call, at=at, menu=label(variables.get("menu")), digits=digits, timed_out=bool(timed_out))]


def _completed(fields: Fields, call: str, at: Micros) -> list[Event]:
    data, about = part(fields, "data"), part(fields, "call")
    status = label(about.get("status"))
    cause = first(data, ("hangup_cause", "cause", "reason")) or (status if status != "completed" else None)
    ms = seconds_ms(data.get("duration_seconds", about.get("duration_seconds")))
    return [CallEnded(call_sid=call, at=at, cause=label(cause), duration_ms=ms, direction=direction(about.get("direction")))]


def _failed(fields: Fields, call: str, at: Micros) -> list[Event]:
    data, status = part(fields, "data"), label(part(fields, "call").get("status"))
    cause = label(first(data, ("failure_reason", "reason", "hangup_cause", "cause", "error", "status")))
    reason = failure(cause)
    return [CallFailed(call_sid=call, at=at, reason=failure(status) if reason == "unknown" else reason, cause=cause or status)]


def _recorded(fields: Fields, call: str, at: Micros) -> list[Event]:
    data = part(fields, "data")
    about = part(data, "recording") or data
    ms, size = seconds_ms(about.get("duration_seconds")), count(about.get("size_bytes"))
    mark = first_id(about, ("recording_id", "id"))
    return [RecordingReady(call_sid=call, at=at, recording_id=mark, url=text(about.get("file_url")), duration_ms=ms, size_bytes=size)]


def _recording_changed(fields: Fields, call: str, at: Micros) -> list[Event]:
    about = part(part(fields, "data"), "recording") or part(fields, "data")
    state = str(fields["event"]).removeprefix("recording.")
    return [RecordingNotice(call_sid=call, at=at, state=state, recording_id=first_id(about, ("recording_id", "id")))]


_EVENTS: dict[str, Callable[[Fields, str, Micros], list[Event]]] = {
    CREATED: _created,
    "call.answered": _answered,
    "call.gathered": _gathered,
    "call.completed": _completed,
    "call.failed": _failed,
    "recording.completed": _recorded,
    "recording.started": _recording_changed,
    "recording.failed": _recording_changed,
}

_EXEMPT = """
id call_id customer_id application_id provider_call_id recording_id event_key routing_target from to destination created_at
updated_at dialing_at answered_at completed_at ended_at file_url
"""

PROVIDER = Provider(
    name="minivoice",
    verify=signatures.verify_minivoice,
    sign=signatures.sign_minivoice,
    identify=identify,
    parse=parse,
    exempt=frozenset(_EXEMPT.split()),
    sid_rank=lambda sid: 0 if sid.startswith("call_") else 1,
)
