"""The fields of every verb of both providers, as tables: what each may hold and which cannot be missing.

Where a provider's pages contradict each other the choice is said here, and in docs/voice-actions.md.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from calls.voice.actions import Dialect
from calls.voice.values import (
    DESTINATION,
    FLAG,
    HEADERS,
    KEY,
    KEYS,
    LANGUAGE,
    METHOD,
    MINI_ROOM,
    ONE_KEY,
    PAIRS,
    PHONE,
    SIP,
    TEXT,
    UUID,
    WEB,
    Value,
    list_of,
    number,
    one_of,
    text,
    url,
    word,
    words,
)

Form: TypeAlias = Literal["json", "xml"]

_LINE = text(most=256)
_SECONDS = number(0, 3600)
_LOOP = number(0, 1000)
_DIGITS = number(0, 128)
_RATE = one_of(8000, 16000)
STREAM_EVENTS = ("stream-started", "stream-stopped", "stream-error")
ROOM_EVENTS = ("start", "end", "join", "leave", "mute", "unmute")
DIAL_RECORD = ("record-from-answer", "record-from-ringing")


class Shape(msgspec.Struct, frozen=True):
    """The fields of a verb or of an object in one. `xml` are those that only the XML form has, or has otherwise."""

    fields: dict[str, Value | Shape] = {}
    needs: tuple[str, ...] = ()
    xml: dict[str, Value] = {}
    nested: bool = False  # holds other actions (checked apart)


_VOICEMAIL = Shape(
    {"greetingText": text(), "greetingPlayUrl": WEB, "greetingVoice": word("man", "woman"), "maxLength": number(0, 86400), "beep": FLAG}
)
_FORWARD = Shape(
    {
        "destinations": list_of(_LINE, most=50), "sequential": FLAG, "firstAnswerWins": FLAG, "ringTimeout": _SECONDS, "callerId": PHONE,
        "voicemail": _VOICEMAIL,
    },
    needs=("destinations",),
)  # fmt: skip

_SAUTIKIT = {
    "say": Shape({"text": text(), "voice": _LINE, "language": LANGUAGE, "loop": _LOOP}, needs=("text",)),
    "play": Shape({"url": WEB, "loop": _LOOP}, needs=("url",)),
    # `action`: the vendor's IVR guide passes it, its SDK says that there is none. Taken.
    "getDigits": Shape({"timeout": _SECONDS, "numDigits": _DIGITS, "finishOnKey": KEY, "action": WEB}, nested=True),
    # `record`: the table has the two words, the guide's XML says record="true".
    "dial": Shape(
        {
            "number": PHONE, "numbers": list_of(PHONE, most=50), "sip": SIP, "callerId": DESTINATION, "timeout": _SECONDS,
            "record": word(*DIAL_RECORD),
        },
        xml={"record": word(*DIAL_RECORD, "true", "false")},
    ),
    "conference": Shape(
        {
            "name": _LINE, "flags": TEXT, "maxParticipants": number(0, 10000), "record": FLAG, "beep": FLAG, "muted": FLAG,
            "startOnEnter": FLAG, "endOnExit": FLAG, "collectDigits": FLAG, "waitUrl": WEB, "statusEventsCallbackUrl": WEB,
            "statusEvents": words(*ROOM_EVENTS), "digitsCallbackUrl": WEB, "finishOnKey": KEY, "numDigits": _DIGITS,
        },
        needs=("name",),
    ),
    # `playBeep`, `trim`: only in the guide's XML sample.
    "record": Shape(
        {
            "action": WEB, "method": METHOD, "timeout": _SECONDS, "maxLength": number(0, 86400), "finishOnKey": KEY, "transcribe": FLAG,
            "transcribeCallback": WEB,
        },
        xml={"playBeep": FLAG, "trim": _LINE},
    ),
    # `url`: one page wants an address of the provider's, every sample and production use the customer's. Any is taken.
    "redirect": Shape({"url": WEB, "method": METHOD}, needs=("url",)),
    "reject": Shape({"reason": word("rejected", "busy")}),
    "hangup": Shape(),
    "stream": Shape(
        {
            "url": url("ws", "wss"), "track": word("inbound_track", "outbound_track", "both_tracks"), "connect": FLAG, "name": _LINE,
            "outputSamplingRate": _RATE, "inputSamplingRate": number(4000, 192000), "bidirectionalSamplingRate": _RATE,
            "headerMetadata": HEADERS, "openMetadata": TEXT, "statusCallback": WEB, "statusEvents": words(*STREAM_EVENTS),
        },
        needs=("url",),
    ),
    "aiAgent": Shape(
        {
            "agentId": UUID, "revision": number(0, 2**31 - 1), "variables": PAIRS,
            "handover": Shape({"callbackUrl": WEB, "forward": _FORWARD, "voicemail": _VOICEMAIL}),
            "onUnavailable": word("hangup", "voicemail", "forward", "callback"), "voicemail": _VOICEMAIL, "forward": _FORWARD,
        },
        needs=("agentId",),
    ),
}  # fmt: skip

_MINI_TRACK = word("inbound", "outbound", "both")
_DIRECTION = Shape({"direction": word("read", "write", "both")}, needs=("direction",))
_MINIVOICE = {
    "say": Shape({"text": text()}, needs=("text",)),
    "gather": Shape(
        {
            "prompt": text(), "num_digits": number(1, 128), "min_digits": number(0, 128), "max_digits": number(1, 128),
            "timeout_seconds": number(1, 30), "finish_on_key": ONE_KEY,
        }
    ),
    "redirect": Shape({"url": WEB, "method": METHOD, "max_redirects": number(0, 20)}, needs=("url",)),
    # `destination` in the tables, `to` and `from` in the action pages' samples. Either is taken.
    "transfer": Shape({"destination": DESTINATION, "to": DESTINATION, "from": DESTINATION}),
    "bridge": Shape({"destination": DESTINATION, "to": DESTINATION, "from": DESTINATION, "timeout_seconds": number(1, 600)}),
    "conference": Shape({"room": MINI_ROOM, "mute": FLAG, "end_on_exit": FLAG}, needs=("room",)),
    "start_recording": Shape(),
    "stop_recording": Shape(),
    "start_stream": Shape({"stream_url": url("wss"), "track": _MINI_TRACK}, needs=("stream_url",)),
    "stop_stream": Shape({"stream_url": url("wss"), "track": _MINI_TRACK}),
    "send_digits": Shape({"digits": KEYS, "pause_before_ms": number(0, 60000)}, needs=("digits",)),
    "hold": Shape(),
    "resume": Shape(),
    "mute": _DIRECTION,
    "unmute": _DIRECTION,
}  # fmt: skip

SHAPES: dict[Dialect, dict[str, Shape]] = {"sautikit": _SAUTIKIT, "minivoice": _MINIVOICE}

# What the XML form calls each verb; `aiAgent` has no XML form. `<Gather>` is only read.
TAGS = {
    "say": "Say", "play": "Play", "getDigits": "GetDigits", "dial": "Dial", "conference": "Conference", "record": "Record",
    "redirect": "Redirect", "reject": "Reject", "hangup": "Hangup", "stream": "Stream",
}  # fmt: skip
VERB_OF_TAG = {tag: verb for verb, tag in TAGS.items()} | {"Gather": "getDigits"}

# The field that stands between an element's tags, not in an attribute.
CONTENT = {"say": "text", "play": "url", "redirect": "url", "conference": "name"}
