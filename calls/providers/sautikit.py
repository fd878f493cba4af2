"""Sautikit: the documented envelope, the guides' variant of it, and the PBX bodies that production really sends.

Documented (webhook pages): `{kind, event_id, workspace_id, occurred_at, data}`. Recording guide: `{event_kind, event_id,
payload}`. Observed: the PBX's own bodies, see `pbx.py`. Any of them may come to any address. A call has two ids: the REST id
(a UUID) and the PBX's (`HD_…`); a body with both ties them together.
"""

from __future__ import annotations

from collections.abc import Callable

from calls.clock import Micros
from calls.events import (
    CallAnswered,
    CallEnded,
    CallFailed,
    CallLinked,
    CallSeen,
    CallStarted,
    Event,
    NumberProvisioned,
    NumberReleased,
    RecordingReady,
    StorageTierChanged,
    Unrecognised,
    WalletLowBalance,
    WalletTopUp,
)
from calls.providers import signatures
from calls.providers.interface import Delivered, Identity, NotUnderstood, Provider
from calls.providers.pbx import parse_pbx, room_call
from calls.providers.reading import (
    Fields,
    count,
    direction,
    failure,
    first_id,
    folded,
    identifier,
    label,
    moment,
    part,
    phone,
    read_fields,
    request_label,
    seconds_ms,
    text,
)

# Folded names, best first: `CallSid`, `callSid` and `call_sid` are one.
_CALL_IDS = ("callid", "callsid")
_PBX_IDS = ("sessionid", "pbxcallid", "pbxsessionid")
_KIND_HEADERS = ("x-sautikit-event-kind", "x-sautikit-event")
_EVENT_ID = "x-sautikit-event-id"


def identify(delivered: Delivered) -> Identity:
    """The call by its REST id where the body has one, else by its PBX id; the account for what concerns no call."""
    fields = read_fields(delivered.body, delivered.content_type)
    kind = _kind(fields, delivered)
    if kind is None:
        call, _ = _pbx_ids(folded(fields), fields)
        if call is None:
            raise NotUnderstood("The body names neither a call nor a kind of event.")
        return Identity(kind="call", stream=call, event_id=_event_id(fields, delivered, enveloped=False))
    call, _ = _ids(fields)
    event_id = _event_id(fields, delivered, enveloped=True)
    if call is not None and kind not in _ACCOUNT_KINDS:
        return Identity(kind="call", stream=call, event_id=event_id)
    if kind in _CALL_KINDS:
        raise NotUnderstood(f"The body is of kind {kind} but names no call.")
    if kind in _ACCOUNT_KINDS or identifier(fields.get("workspace_id")):
        return Identity(kind="account", stream=delivered.account, event_id=event_id)
    raise NotUnderstood("The body names a kind of event but neither a call nor a workspace.")


def parse(delivered: Delivered) -> list[Event]:
    """The facts of one delivery; the first says what it is called."""
    try:
        fields = read_fields(delivered.body, delivered.content_type)
    except NotUnderstood as why:
        return [Unrecognised(at=delivered.received_at, reason=str(why))]
    kind = _kind(fields, delivered)
    if kind is None:
        plain = folded(fields)
        call, alias = _pbx_ids(plain, fields)
        if call is None:
            return [Unrecognised(at=delivered.received_at, reason="the body names neither a call nor a kind of event")]
        return _linked(parse_pbx(_inner(plain), call, delivered.received_at), call, alias)
    occurred = moment(fields.get("occurred_at"))
    data = part(fields, "data", "payload")
    at = occurred if occurred is not None else moment(data.get("occurred_at"), fields.get("created_at"))
    at = delivered.received_at if at is None else at
    account = _ACCOUNT_KINDS.get(kind)
    if account:
        return [account(data, "", at)]
    return _parse_call(fields, data, kind, at)


def _parse_call(fields: Fields, data: Fields, kind: str, at: Micros) -> list[Event]:
    call, alias = _ids(fields)
    read = _CALL_KINDS.get(kind)
    if call is None or read is None:
        why = "this kind of event is not known" if read is None else "the body names no call"
        return _linked([Unrecognised(call_sid=call or "", at=at, name=kind, reason=why)], call or "", alias)
    facts = read(data, call, at)
    who = CallSeen(
        call_sid=call, at=facts[0].at, from_=phone(data.get("from")), to=phone(data.get("to")), direction=direction(data.get("direction"))
    )
    if not isinstance(facts[0], CallStarted) and (who.from_ or who.to or who.direction):
        facts.append(who)
    return _linked(facts, call, alias)


def _linked(facts: list[Event], call: str, alias: str | None) -> list[Event]:
    if alias is not None:
        facts.append(CallLinked(call_sid=call, at=facts[0].at, alias=alias))
    return facts


# ---------------------------------------------------------------- whose it is


def _kind(fields: Fields, delivered: Delivered) -> str | None:
    """The kind of an enveloped event, None for a PBX body. The header counts only where the body has an envelope's shape."""
    kind = fields.get("kind") or fields.get("event_kind")
    if kind is None and ("data" in fields or "payload" in fields):
        kind = fields.get("event_type") or next((delivered.headers[name] for name in _KIND_HEADERS if name in delivered.headers), None)
    return label(kind)


def _ids(fields: Fields) -> tuple[str | None, str | None]:
    """(the id by which the call is known, its other id) of an envelope."""
    data = part(fields, "data", "payload")
    rest = identifier(data.get("call_id")) or identifier(fields.get("call_id"))
    other = first_id(data, ("session_id", "pbx_call_id", "sessionId", "pbxCallId")) or first_id(
        fields, ("session_id", "pbx_call_id", "sessionId")
    )
    if rest is None and other is None:
        plain = folded(data)
        rest, other = first_id(plain, _CALL_IDS), first_id(plain, _PBX_IDS)
    return _ranked(rest, other)


def _pbx_ids(plain: Fields, fields: Fields) -> tuple[str | None, str | None]:
    """The same of a PBX body: its own ids, those of an object inside it, the room's, and the stream's where nothing better is there."""
    inner = folded(part(fields, "call", "payload", "data"))
    call, alias = _ranked(first_id(plain, _CALL_IDS) or first_id(inner, _CALL_IDS), first_id(plain, _PBX_IDS) or first_id(inner, _PBX_IDS))
    if call is None:
        call = first_id(inner, ("id",)) or room_call(plain) or first_id(plain, ("streamsid",))
    return call, alias


def _ranked(rest: str | None, other: str | None) -> tuple[str | None, str | None]:
    if rest is None or other is None or rest == other:
        return rest or other, None
    return (rest, other) if sid_rank(rest) <= sid_rank(other) else (other, rest)


def _inner(plain: Fields) -> Fields:
    """A body whose fields lie in an object inside it, as if they lay outside."""
    for name in ("call", "payload", "data"):
        value = plain.get(name)
        if isinstance(value, dict):
            return {**folded(value), **{name: one for name, one in plain.items() if one is not None}}
    return plain


def _event_id(fields: Fields, delivered: Delivered, *, enveloped: bool) -> str | None:
    """The event's own id. Never the idempotency key: that one names a delivery, and a retry may carry another."""
    own = identifier(fields.get("event_id")) or identifier(fields.get("eventId"))
    if own is None and enveloped:
        own = identifier(fields.get("id"))
    return own or identifier(delivered.headers.get(_EVENT_ID))


def sid_rank(sid: str) -> int:
    """0 for the ids of the REST API, 1 for the PBX's."""
    return 1 if sid.startswith("HD_") else 0


# ---------------------------------------------------------------- kinds of events of a call


def _started(data: Fields, call: str, at: Micros) -> list[Event]:
    who, way = (phone(data.get("from")), phone(data.get("to"))), direction(data.get("direction"))
    mark = request_label(data.get("client_request_id"))
    return [CallStarted(call_sid=call, at=at, from_=who[0], to=who[1], direction=way, client_request_id=mark)]


def _answered(data: Fields, call: str, at: Micros) -> list[Event]:
    own = moment(data.get("answered_at"))
    return [CallAnswered(call_sid=call, at=at if own is None else own)]


def _completed(data: Fields, call: str, at: Micros) -> list[Event]:
    """The end, and the answer as well where it is named: a lost call.answered is thereby made good."""
    ended, answered = moment(data.get("ended_at")), moment(data.get("answered_at"))
    cause, way = label(data.get("hangup_cause")), direction(data.get("direction"))
    ms = seconds_ms(data.get("duration_seconds"))
    facts: list[Event] = [CallEnded(call_sid=call, at=at if ended is None else ended, cause=cause, duration_ms=ms, direction=way)]
    if answered is not None:
        facts.append(CallAnswered(call_sid=call, at=answered))
    return facts


def _failed(data: Fields, call: str, at: Micros) -> list[Event]:
    ended, why = moment(data.get("ended_at")), label(data.get("failure_reason")) or label(data.get("hangup_cause"))
    reason = failure(why) if why else failure(data.get("status"))
    return [CallFailed(call_sid=call, at=at if ended is None else ended, reason=reason, cause=why)]


def _recording(data: Fields, call: str, at: Micros) -> list[Event]:
    ms = seconds_ms(data.get("duration_seconds", data.get("recording_duration_seconds")))
    size = count(data.get("size_bytes", data.get("recording_size_bytes")))
    url, mark = text(data.get("download_url")), identifier(data.get("recording_id"))
    return [RecordingReady(call_sid=call, at=at, recording_id=mark, url=url, duration_ms=ms, size_bytes=size)]


_CALL_KINDS: dict[str, Callable[[Fields, str, Micros], list[Event]]] = {
    "call.started": _started,
    "call.answered": _answered,
    "call.completed": _completed,
    "call.failed": _failed,
    "call.recording.ready": _recording,
}


# ---------------------------------------------------------------- kinds of events of the account


def _top_up(data: Fields, call: str, at: Micros) -> Event:
    amount, balance, money = count(data.get("amount_minor")), count(data.get("new_balance_minor")), label(data.get("currency"))
    return WalletTopUp(at=at, amount_minor=amount, balance_minor=balance, currency=money, reference=label(data.get("provider_reference")))


def _low_balance(data: Fields, call: str, at: Micros) -> Event:
    balance, threshold = count(data.get("balance_minor")), count(data.get("threshold_minor"))
    return WalletLowBalance(at=at, balance_minor=balance, threshold_minor=threshold, currency=label(data.get("currency")))


def _provisioned(data: Fields, call: str, at: Micros) -> Event:
    return NumberProvisioned(at=at, number=phone(data.get("e164")), number_id=identifier(data.get("number_id")))


def _released(data: Fields, call: str, at: Micros) -> Event:
    return NumberReleased(at=at, number=phone(data.get("e164")), number_id=identifier(data.get("number_id")))


def _tier_changed(data: Fields, call: str, at: Micros) -> Event:
    own = moment(data.get("effective_at"))
    before, after = count(data.get("previous_tier_gb")), count(data.get("new_tier_gb"))
    return StorageTierChanged(at=at if own is None else own, previous_gb=before, new_gb=after)


_ACCOUNT_KINDS: dict[str, Callable[[Fields, str, Micros], Event]] = {
    "wallet.top_up": _top_up,
    "wallet.low_balance": _low_balance,
    "number.provisioned": _provisioned,
    "number.assigned": _provisioned,  # its name before it was renamed
    "number.released": _released,
    "storage.tier_changed": _tier_changed,
}

_EXEMPT = """
id event_id eventid workspace_id number_id recording_id recordingid recordingsid recording_sid topup_id series_id supervision_id
call_id callid callsid call_sid sessionid session_id pbx_call_id pbxcallid streamsid stream_sid participant_id participantid
conferenceparticipantid conference_name conferencename conferenceroomname conference room clientrequestid client_request_id
provider_reference from to caller called callernumber caller_number destinationnumber destination_number clientdialednumber
participantnumber dialdestinationnumber e164 local_e164 remote_e164 occurred_at created_at answered_at started_at ended_at expires_at
effective_at rental_start_at timestamp callstarttime dialstarttime download_url recordingurl recording_url
"""

PROVIDER = Provider(
    name="sautikit",
    verify=signatures.verify_sautikit,
    sign=signatures.sign_sautikit,
    identify=identify,
    parse=parse,
    exempt=frozenset(_EXEMPT.split()),
    sid_rank=sid_rank,
    kept_headers=frozenset({_EVENT_ID, *_KIND_HEADERS}),
)
