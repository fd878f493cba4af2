"""The neutral dialect: the events of `calls/events.py` as JSON objects, one a delivery.

`{"type", "call_sid", "occurred_at", "event_id"?, "attributes"?, …fields of the type}`. A type that is not known is kept, with
its call, as unrecognised. Where there is no event id, the hash of the canonical JSON serves: writing an event with other
spaces or in another order of fields does not make it another event.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

import msgspec

from calls.clock import Micros
from calls.events import TYPES, AgentState, CallLinked, CallUnlinked, Event, Unrecognised, shown
from calls.providers import signatures
from calls.providers.interface import Delivered, Identity, NotUnderstood, Provider
from calls.providers.reading import LONGEST_ID, LONGEST_LABEL, LONGEST_NAME, Fields, identifier, label, moment, read_json

ACCOUNT_TYPES: Final = frozenset(name for name in TYPES if name.startswith(("wallet.", "number.", "storage.")))
_LONG = frozenset({"text", "url", "cause", "reason", "client_request_id"})
_COMMON = ("type", "occurred_at", "at", "event_id")
_WHERE = re.compile(r"`\$\.([\w.]+?)(?:\[\.\.\.\])?`")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

_canonical = msgspec.json.Encoder(order="deterministic")


def check(body: bytes) -> None:
    """Raises ValueError with one sentence that says what to change, where `body` is no event that can be taken."""
    try:
        fields = read_json(body)
    except NotUnderstood as why:
        raise ValueError(str(why)) from None
    kind = fields.get("type")
    if not isinstance(kind, str) or not identifier(kind):
        raise ValueError("`type` is missing." if kind is None else "`type` must be a text of 1 to 256 characters.")
    _check_id(fields, "event_id", required=False)
    _check_id(fields, "call_sid", required=kind != AgentState.__struct_config__.tag and kind not in ACCOUNT_TYPES)
    at = _time(fields)
    if kind in _KNOWN:
        _event(fields, kind, at)


def identify(delivered: Delivered) -> Identity:
    """The agent for agent.state, else the call of `call_sid`, else the account for its own types."""
    fields = read_json(delivered.body)
    event_id, call = identifier(fields.get("event_id")), identifier(fields.get("call_sid"))
    agent = identifier(fields.get("agent"), LONGEST_NAME)
    kind = label(fields.get("type"))
    if kind is None:
        raise NotUnderstood("The event has no type.")
    if event_id is None:
        event_id = _hash(fields)
    if kind == "agent.state" and agent is not None:
        return Identity(kind="agent", stream=_as_written(fields.get("agent"), agent), event_id=event_id)
    if call is not None:
        return Identity(kind="call", stream=call, event_id=event_id)
    if kind in ACCOUNT_TYPES:
        return Identity(kind="account", stream=delivered.account, event_id=event_id)
    raise NotUnderstood(f"The event of type {kind} names no {'agent' if kind == 'agent.state' else 'call_sid'}.")


def _as_written(name: object, stripped: str) -> str:
    """An agent's name is that of the fact, spaces and all: the stream must be found by it."""
    return name if isinstance(name, str) and not _CONTROL.search(name) else stripped


def parse(delivered: Delivered) -> list[Event]:
    """The one fact of the event; unrecognised, with the reason, where it is not what its type asks for."""
    try:
        fields = read_json(delivered.body)
    except NotUnderstood as why:
        return [Unrecognised(at=delivered.received_at, reason=str(why))]
    kind, call = label(fields.get("type")), identifier(fields.get("call_sid")) or ""
    try:
        at = _time(fields)
    except ValueError as why:
        return [Unrecognised(call_sid=call, at=delivered.received_at, name=kind, reason=str(why))]
    try:
        if kind in _KNOWN:
            return [_event(fields, kind, at, plain=b"\\" not in delivered.body and b"\x7f" not in delivered.body)]
    except ValueError as why:
        return [Unrecognised(call_sid=call, at=at, name=kind, reason=str(why))]
    return [Unrecognised(call_sid=call, at=at, name=kind, reason="this type is not known")]


def write(event: Event, *, event_id: str | None = None) -> bytes:
    """`event` in this dialect: what `parse` reads back as the same fact. `at` becomes `occurred_at`."""
    fields = {name: value for name, value in shown(event).items() if value is not None}
    return _canonical.encode(fields | {"event_id": event_id} if event_id else fields)


# ---------------------------------------------------------------- reading one event

_KNOWN: dict[str, type[Event]] = {name: cls for name, cls in TYPES.items() if cls is not Unrecognised}


def _event(fields: Fields, kind: str, at: Micros, *, plain: bool = False) -> Event:
    """The typed fact. Raises ValueError with a sentence. `plain`: no text of it was escaped, so none holds a control character."""
    given = {name: value for name, value in fields.items() if name not in _COMMON}
    given["at"] = at
    given["type"] = kind
    if given.get("call_sid") is None:
        given["call_sid"] = ""
    try:
        event = msgspec.convert(given, _KNOWN[kind])
    except (msgspec.ValidationError, RecursionError, OverflowError) as why:
        raise ValueError(_said(str(why), kind)) from None
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if value is None or (plain and isinstance(value, str) and 0 < len(value) <= LONGEST_ID):
            continue
        _check_value(name, value)
    if isinstance(event, CallLinked | CallUnlinked) and event.to_call_sid is None and event.alias is None:
        raise ValueError(f"{kind} needs `to_call_sid` or `alias`.")
    return event


def _check_value(name: str, value: object) -> None:
    shown = name.rstrip("_")
    if isinstance(value, str):
        _check_text(shown, value)
    elif isinstance(value, dict):
        for key, one in value.items():
            _check_text("attributes", key)
            _check_value("attributes." + key if len(key) <= LONGEST_ID else "attributes", one)
    elif isinstance(value, int) and not isinstance(value, bool) and name != "at":
        lowest = -(2**63) if shown.startswith("attributes") else 0
        if not lowest <= value < 2**63:
            raise ValueError(f"`{shown}` must be a whole number from {lowest} to {2**63 - 1}.")


def _check_text(name: str, value: str) -> None:
    if _CONTROL.search(value):
        raise ValueError(f"`{name}` holds a control character.")
    longest = LONGEST_NAME if name in _OF_PEOPLE else LONGEST_ID
    if len(value) > longest and name not in _LONG and not name.startswith("attributes."):
        raise ValueError(f"`{name}` is longer than {longest} characters.")
    if len(value) > LONGEST_LABEL and name == "client_request_id":
        raise ValueError(f"`{name}` is longer than {LONGEST_LABEL} characters.")
    if not value and name in _NAMES:
        raise ValueError(f"`{name}` is empty.")


_OF_PEOPLE = frozenset({"agent", "queue", "menu"})  # people chose them, and may have written much
_NAMES = frozenset({"agent", "queue", "leg", "menu", "room", "alias", "to_call_sid", "parent_call_sid"})


def _check_id(fields: Fields, name: str, *, required: bool) -> None:
    value = fields.get(name)
    if value is None and not required:
        return
    wrong = "is missing." if value is None else _wrong_id(value)
    if wrong:
        raise ValueError(f"`{name}` {wrong}")


def _wrong_id(value: object) -> str:
    """What is wrong with an id, "" where nothing is."""
    if not isinstance(value, str):
        return "must be a text."
    if not value.strip() or len(value) > LONGEST_ID:
        return f"must have 1 to {LONGEST_ID} characters."
    if identifier(value) is None:
        return "holds a control character."
    return "" if value == value.strip() else "begins or ends with a space."


def _time(fields: Fields) -> Micros:
    value = fields.get("occurred_at")
    if value is None:
        raise ValueError("`occurred_at` is missing: it says when it happened, e.g. 2026-09-01T08:00:00.000Z.")
    at = moment(value)
    if at is None:
        raise ValueError("`occurred_at` must be an RFC 3339 time between 1970 and 2200, e.g. 2026-09-01T08:00:00.000Z.")
    return at


def _said(why: str, kind: str) -> str:
    """msgspec's message as a sentence that names the field and, for a word out of a list, the words allowed."""
    missing = re.search(r"missing required field `(\w+)`", why)
    if missing:
        return f"`{missing[1]}` is missing: {kind} needs it."
    found = _WHERE.search(why)
    name = found[1] if found else "attributes" if "attributes" in why else ""
    if name.startswith("attributes"):
        return "`attributes` must be a flat object of texts, numbers, true, false and null."
    allowed = _ALLOWED.get((kind, name))
    if allowed:
        return f"`{name}` must be one of {', '.join(allowed)}."
    wanted = re.search(r"Expected `([^`]+)`", why)
    words = (
        wanted[1].replace("str", "text").replace("int", "whole number").replace("bool", "true or false")
        if wanted
        else "a value of its type"
    )
    return f"`{name or kind}` must be {words.replace(' | ', ' or ')}."


def _allowed() -> dict[tuple[str, str], list[str]]:
    """(type, field) -> the words that a field of words may hold."""
    found: dict[tuple[str, str], list[str]] = {}
    for kind, cls in TYPES.items():
        about = msgspec.inspect.type_info(cls)
        for field in about.fields if isinstance(about, msgspec.inspect.StructType) else ():
            options = field.type.types if isinstance(field.type, msgspec.inspect.UnionType) else (field.type,)
            words = [str(word) for one in options if isinstance(one, msgspec.inspect.LiteralType) for word in one.values]
            if words:
                found[kind, field.encode_name] = words
    return found


_ALLOWED: Final = _allowed()


def _hash(fields: Fields) -> str:
    """128 bits over the canonical JSON: sorted keys, no spaces."""
    known = {name: value for name, value in fields.items() if name != "event_id"}
    try:
        return hashlib.blake2b(_canonical.encode(known), digest_size=16).hexdigest()
    except (msgspec.MsgspecError, RecursionError, ValueError, OverflowError):
        raise NotUnderstood("The event cannot be written in canonical form.") from None


_EXEMPT = """
event_id call_sid to_call_sid alias parent_call_sid journey_id client_request_id leg agent queue menu room recording_id number_id
reference from to number occurred_at url
"""

PROVIDER = Provider(
    name="neutral",
    verify=signatures.verify_standard,
    sign=signatures.sign_standard,
    identify=identify,
    parse=parse,
    exempt=frozenset(_EXEMPT.split()),
    sid_rank=lambda sid: 1 if sid.startswith("HD_") else 0,
)
