"""What did the voice URL tell the provider to do? Read as the provider's own validator reads it, and refused where it would refuse.

Written from the vendors' pages alone: it shares nothing with the vocabulary that makes our answers, so that a mistake in one
is not a mistake in both.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping

import msgspec

MOST = 50
FIELDS: dict[str, frozenset[str]] = {verb: frozenset(fields.split()) for verb, fields in {
    "say": "text voice language loop", "play": "url loop", "getDigits": "timeout numDigits finishOnKey nested action",
    "dial": "number numbers sip callerId timeout record",
    "conference": "name flags maxParticipants record beep muted endOnExit collectDigits startOnEnter waitUrl statusEvents"
                  " statusEventsCallbackUrl digitsCallbackUrl finishOnKey numDigits",
    "record": "action method timeout maxLength finishOnKey transcribe transcribeCallback", "redirect": "url method", "reject": "reason",
    "hangup": "",
    "stream": "url track connect name outputSamplingRate inputSamplingRate bidirectionalSamplingRate headerMetadata openMetadata"
              " statusCallback statusEvents",
    "aiAgent": "agentId revision variables handover onUnavailable voicemail forward",
}.items()}  # fmt: skip
REQUIRED = {"say": "text", "play": "url", "conference": "name", "redirect": "url", "stream": "url", "aiAgent": "agentId"}
MINI_REQUIRED = {"say": "text", "conference": "room", "redirect": "url", "send_digits": "digits", "start_stream": "stream_url",
                 "mute": "direction", "unmute": "direction"}  # fmt: skip
MINI = frozenset({
    "say", "gather", "redirect", "transfer", "bridge", "conference", "start_recording", "stop_recording", "start_stream", "stop_stream",
    "send_digits", "hold", "resume", "mute", "unmute",
})  # fmt: skip
TEXT_OF = {"say": "text", "conference": "name"}  # what the text of an XML element is; of the others it is the url
_ROOM = re.compile(r"[A-Za-z0-9.\-_]+")


class BadAnswer(Exception):
    """The provider cannot use the answer: it logs the reason and hangs up."""


class Do(msgspec.Struct, frozen=True):
    """One action. Names of fields are the provider's."""

    verb: str
    fields: dict[str, object] = {}

    def text(self, *names: str) -> str | None:
        """The first of the fields that holds a text."""
        return next((value for value in map(self.fields.get, names) if isinstance(value, str) and value), None)

    def number(self, name: str, default: float) -> float:
        value = self.fields.get(name)
        if isinstance(value, str) and re.fullmatch(r"\d{1,6}", value):
            return float(value)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default

    def flag(self, name: str, *, default: bool) -> bool:
        value = self.fields.get(name)
        return value if isinstance(value, bool) else value.lower() == "true" if isinstance(value, str) else default


def read(body: bytes, *, content_type: str, dialect: str) -> list[Do]:
    """The actions in order. Raises BadAnswer."""
    if "xml" in content_type and dialect == "sautikit":
        return _from_xml(body)
    try:
        value: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadAnswer(f"the answer is not JSON: {error}") from None
    listed = value.get("actions") if isinstance(value, dict) else None
    if not isinstance(listed, list):
        raise BadAnswer("the answer has no list of actions")
    if len(listed) > MOST:
        raise BadAnswer(f"{len(listed)} actions, more than {MOST}")
    return [_mini(one) if dialect == "minivoice" else _sautikit(one) for one in listed]


# ---------------------------------------------------------------- Sautikit


def _sautikit(value: object) -> Do:
    action = _one_verb(value)
    if action.verb not in FIELDS:
        raise BadAnswer(f"unknown verb {action.verb!r}")
    unknown = set(action.fields) - FIELDS[action.verb]
    if unknown:
        raise BadAnswer(f"{action.verb} has no field {min(unknown)!r}")
    _needed(action)
    _ruled(action)
    return action


def _one_verb(value: object) -> Do:
    if not isinstance(value, dict) or len(value) != 1:
        raise BadAnswer(f"one verb an object, not {str(value)[:100]}")
    ((verb, fields),) = value.items()
    if not isinstance(fields, dict):
        raise BadAnswer(f"{verb} is no object")
    return Do(verb, fields)


def _needed(action: Do, required: Mapping[str, str] = REQUIRED) -> None:
    name = required.get(action.verb)
    if name and not action.fields.get(name):
        raise BadAnswer(f"{action.verb} needs {name}")


def _ruled(action: Do) -> None:
    fields = action.fields
    if action.verb == "dial" and len({"number", "numbers", "sip"} & set(fields)) != 1:
        raise BadAnswer("ErrDialTargetXOR: exactly one of number, numbers and sip")
    if action.verb == "reject" and fields.get("reason", "rejected") not in ("rejected", "busy"):
        raise BadAnswer("a reject's reason is rejected or busy")
    if action.verb == "stream" and not str(fields.get("url")).startswith(("ws://", "wss://")):
        raise BadAnswer("a stream's url is ws:// or wss://")
    nested = fields.get("nested", [])
    for one in nested if isinstance(nested, list) else [None]:
        if not isinstance(one, dict) or not set(one) <= {"say", "play"}:
            raise BadAnswer("ErrGetDigitsNested: only say and play")
        _sautikit(one)


def _from_xml(body: bytes) -> list[Do]:
    """Raw XML goes to the PBX as it is: only what the PBX does not know at all is refused."""
    try:
        root = ET.fromstring(body)  # noqa: S314  it comes from our own server
    except ET.ParseError as error:
        raise BadAnswer(f"the answer is not XML: {error}") from None
    if root.tag != "Response":
        raise BadAnswer(f"the root is <{root.tag}>, not <Response>")
    return [_element(child) for child in root]


def _element(element: ET.Element) -> Do:
    verb = {"Gather": "getDigits"}.get(element.tag, element.tag[:1].lower() + element.tag[1:])
    if verb not in FIELDS or not element.tag[:1].isupper():
        raise BadAnswer(f"the PBX knows no <{element.tag}>")
    fields: dict[str, object] = dict(element.attrib)
    text = (element.text or "").strip()
    if len(element):
        fields["nested"] = [{child.verb: child.fields} for child in map(_element, element)]
    elif verb == "dial":
        fields |= _dialled(text or str(fields.pop("phoneNumbers", "")))
    elif text:
        fields[TEXT_OF.get(verb, "url")] = text
    action = Do(verb, fields)
    _needed(action)
    return action


def _dialled(text: str) -> dict[str, object]:
    if text.startswith("sip:"):
        return {"sip": text}
    return {"numbers": [one.strip() for one in text.split(",")]} if "," in text else {"number": text} if text else {}


# ---------------------------------------------------------------- MiniVoice


def _mini(value: object) -> Do:
    """Keyed `{"gather": {…}}` and typed `{"type": "redirect", …}` may be mixed."""
    typed = value.get("type") if isinstance(value, dict) else None
    if isinstance(value, dict) and isinstance(typed, str):
        action = Do(typed, {name: one for name, one in value.items() if name != "type"})
    else:
        action = _one_verb(value)
    if action.verb not in MINI:
        raise BadAnswer(f"unknown action {action.verb!r}")
    _needed(action, MINI_REQUIRED)
    _mini_ruled(action)
    return action


def _mini_ruled(action: Do) -> None:
    checks: Mapping[str, tuple[bool, str]] = {
        "transfer": (bool(action.text("destination", "to")), "a transfer needs a destination"),
        "bridge": (bool(action.text("destination", "to")), "a bridge needs a destination"),
        "conference": (bool(_ROOM.fullmatch(action.text("room") or "")), "a room's name has letters, digits, . - _"),
        "gather": (1 <= action.number("timeout_seconds", 5) <= 30, "timeout_seconds is 1 to 30"),
        "start_stream": ((action.text("stream_url") or "").startswith("wss://"), "a stream's address is wss://"),
        "send_digits": (bool(re.fullmatch(r"[0-9*#A-DwW,]+", action.text("digits") or "")), "digits are 0-9 * # A-D w W ,"),
        "redirect": ((action.text("url") or "").startswith(("http://", "https://")), "a redirect's url is http or https"),
    }
    fine, why = checks.get(action.verb, (True, ""))
    if not fine:
        raise BadAnswer(why)
