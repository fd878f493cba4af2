"""What was asked on /voice and what was answered, as records of the log: how they are written, and what they state.

`voice.request` keeps the request's fields as they came (masked), and where the call stood: which menu its digits are for, which
dial it may be telling the end of. Its facts are what the provider's dialect reads in the fields, less what the flow knows
better. `voice.answer` keeps the document that was sent, and the facts of the decision (a menu entered, a queue entered, …).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from calls.clock import Micros, rfc3339
from calls.envelope import Envelope, body_fields, digest
from calls.events import (
    BotEnded,
    BotStarted,
    CallEnded,
    CallSeen,
    CallStarted,
    Event,
    LegAnswered,
    LegEnded,
    LegStarted,
    MenuDigits,
    QueueLeft,
    RecordingReady,
    Unrecognised,
    VoiceAnswer,
    VoicemailLeft,
    VoiceRequest,
    shown,
)
from calls.masking import mask
from calls.providers import PROVIDERS, neutral
from calls.providers.interface import Delivered
from calls.providers.pbx import DIAL, DIGITS
from calls.providers.reading import Fields, direction, folded, identifier, label, moment, part, phone, read_json, word_of
from calls.voice.decide import Decision, Request, State
from calls.voice.position import of_another_dial

Json: TypeAlias = dict[str, object]
HIDDEN = "****"
EXEMPT = frozenset({
    "call_sid", "event_id", "to", "from", "number", "numbers", "sip", "callerid", "caller_id", "destination", "name", "room", "leg",
    "alias", "to_call_sid", "parent_call_sid", "url", "action", "path", "offer", "waiturl", "statuscallback",
    "statuseventscallbackurl", "occurred_at",
})  # fmt: skip
_encode = msgspec.json.Encoder().encode
_encode_facts = msgspec.json.Encoder(order="deterministic").encode


# ---------------------------------------------------------------- writing


def request(
    asked: Request, *, flow: str, provider: str, before: State | None, decision: Decision | None, method: str, path: str,
    content_type: str, fields: Mapping[str, object], unread: str = "", masked: bool = False,
) -> bytes:  # fmt: skip
    """The body of a voice.request. `before`: where the call stood (None: never heard of); `unread`: the body, where it is none of ours;
    `masked`: what was typed is nobody's business."""
    said: Json = {
        "type": "voice.request", "call_sid": asked.call_sid, "occurred_at": rfc3339(asked.at), "flow": flow, "step": asked.step,
        "visit": asked.visit, "kind": asked.kind, "state": asked.state or None, "provider": provider,
        "opening": before is None and asked.kind == "ask", "menu": decision.menu if decision else None, **_stood(before, asked),
        "method": method, "path": path, "content_type": content_type or None, "fields": _hidden(fields, masked=masked),
        "body": unread or None,
    }  # fmt: skip
    return _encode({name: value for name, value in said.items() if value is not None})


def answer(
    asked: Request, *, flow: str, decision: Decision | None, document: bytes, content_type: str, at: Micros, took_ms: int,
    verbs: Sequence[str] = (), facts: Sequence[Event] = (), replay: bool = False, fallback: str = "", fault: str = "",
    said_by_application: str = "",
) -> bytes:  # fmt: skip
    """The body of a voice.answer: `document` as it was sent, `facts` beside the decision's own.

    `fallback` and `fault`: why it is not what the flow would have said, and the anomaly's code.
    """
    state = decision.state if decision else None
    stated = [] if replay or decision is None else [*decision.facts, *facts]
    told: Json = {
        "type": "voice.answer", "call_sid": asked.call_sid, "occurred_at": rfc3339(max(at, asked.at + 1)), "flow": flow,
        "step": state.step if state else None, "visit": state.visit if state else None, "verbs": list(verbs), "took_ms": took_ms,
        "replay": replay or None, "fallback": fallback or None, "fault": fault or None, "content_type": content_type,
        "answer": _document(document, content_type), "application": said_by_application or None,
        "facts": [shown(_of(fact, asked.call_sid)) for fact in stated] or None,
    }  # fmt: skip
    return _encode_facts({name: value for name, value in told.items() if value is not None})


def envelope(
    body: bytes, *, call_sid: str, tenant: str, account: str, provider: str, receipt: str, received_at: Micros, signature: str
) -> Envelope:
    """The record of one request or answer; each is an event of its own, known by its receipt (32 hex digits)."""
    masked = mask(body, "application/json", EXEMPT | PROVIDERS[provider].exempt)
    text, raw = body_fields(masked)
    return Envelope(
        tenant=tenant, account=account, provider=provider, stream_kind="call", stream=call_sid, event_id=receipt, receipt=receipt,
        received_at=received_at, digest=digest(masked), source="voice", signature=signature, content_type="application/json", body=text,
        body_bytes=raw,
    )  # fmt: skip


def _stood(before: State | None, asked: Request) -> Json:
    """What the fold must know of where the call stood."""
    if before is None:
        return {}
    found: Json = {"dialled_at": rfc3339(before.dialled_at)} if before.dialled_at else {}
    if before.waits == "dial" or before.offer:
        other = of_another_dial(asked, before)
        known = {
            "queue": before.queue,
            "agent": before.agent,
            "to": before.to,
            "told": before.dial_answered is not None or other or None,
            "answered": None if other else asked.dial_answered or None,
        }
        found["dial"] = {name: value for name, value in known.items() if value is not None}
    if before.waits == "record" and asked.recording:
        found["record"] = before.step
    if before.bot or before.bot_told:
        found["own_bot"] = True
    return found


def _hidden(fields: Mapping[str, object], *, masked: bool) -> Json:
    """The fields, without what was typed where it must not be kept."""
    kept = dict(fields)
    if masked:
        for name, value in fields.items():
            if value and name.replace("_", "").lower() in DIGITS:
                kept[name] = HIDDEN
    return kept


def _document(document: bytes, content_type: str) -> object:
    """JSON as the JSON it is, anything else as text."""
    if "json" in content_type:
        try:
            return msgspec.json.decode(document)
        except msgspec.MsgspecError:
            pass
    return document.decode("utf-8", "replace")


def _of(fact: Event, call_sid: str) -> Event:
    return fact if fact.call_sid else msgspec.structs.replace(fact, call_sid=call_sid)


# ---------------------------------------------------------------- reading


def parse(delivered: Delivered, stream: str) -> list[Event]:
    """The facts of a record of ours, the first of which says what it is called."""
    fields = read_json(delivered.body)
    at = moment(fields.get("occurred_at"))
    at = delivered.received_at if at is None else at
    if fields.get("type") == "voice.request":
        return _requested(fields, stream, at)
    if fields.get("type") == "voice.answer":
        return _answered(fields, stream, at)
    return neutral.parse(delivered)


def _answered(fields: Fields, stream: str, at: Micros) -> list[Event]:
    verbs = fields.get("verbs")
    facts: list[Event] = [
        VoiceAnswer(
            call_sid=stream, at=at, flow=label(fields.get("flow")), step=label(fields.get("step")), visit=_number(fields.get("visit")),
            verbs=[str(verb) for verb in verbs] if isinstance(verbs, list) else None, took_ms=_number(fields.get("took_ms")),
            replay=fields.get("replay") is True, fallback=label(fields.get("fallback")), fault=label(fields.get("fault")),
        )
    ]  # fmt: skip
    stated = fields.get("facts")
    for fact in stated if isinstance(stated, list) else ():
        facts += neutral.parse(Delivered(_encode(fact), "application/json", {}, at, ""))
    return facts


def _requested(fields: Fields, stream: str, at: Micros) -> list[Event]:
    head = VoiceRequest(
        call_sid=stream, at=at, flow=label(fields.get("flow")), step=label(fields.get("step")), visit=_number(fields.get("visit")),
        kind=label(fields.get("kind")), state=label(fields.get("state")),
    )  # fmt: skip
    told = part(fields, "fields")
    facts = _minivoice(told, stream, at) if fields.get("provider") == "minivoice" else _pbx(fields, told, stream, at)
    menu = label(fields.get("menu"))
    if menu is not None:
        digits = _pressed(told)
        facts.append(MenuDigits(call_sid=stream, at=at, menu=menu, digits=digits, timed_out=digits is None))
    step = identifier(fields.get("record"))
    if step is not None:
        mark = next((fact.recording_id for fact in facts if isinstance(fact, RecordingReady)), None)
        facts.append(VoicemailLeft(call_sid=stream, at=at, menu=step, recording_id=mark))
    return [head, *facts]


def _pbx(fields: Fields, told: Fields, stream: str, at: Micros) -> list[Event]:
    """What the PBX's own names say, less what the flow knows better."""
    if not told:
        return []
    provider = PROVIDERS.get(str(fields.get("provider")))
    facts = provider.parse(Delivered(_encode(told), "application/json", {}, at, "")) if provider else []
    kept = _after([fact for fact in facts if not _better_known(fact, fields)], moment(fields.get("dialled_at")))
    if fields.get("opening") is True and not str(fields.get("flow")).startswith("~"):
        kept = _opened(kept)
    dial = part(fields, "dial")
    if "dial" not in fields:
        return kept
    if dial.get("answered") is True and not any(isinstance(fact, LegAnswered) and fact.leg == DIAL for fact in kept):
        kept.append(LegAnswered(call_sid=stream, at=moment(fields.get("dialled_at")) or at, leg=DIAL))  # when, nobody says
    return _dialled(kept, dial, stream)


def _better_known(fact: Event, fields: Fields) -> bool:
    match fact:
        case MenuDigits():
            return True  # which menu they are for, the flow says
        case Unrecognised():
            return fields.get("kind") != "edge" or bool(fields.get("record"))
        case BotStarted() | BotEnded():
            return fields.get("own_bot") is True or word_of(fields.get("state")) in ("streamerror", "streamfailed")
        case CallEnded():
            return fields.get("kind") == "ask"  # it told of something else: of a recording, of a call being set up
    return False


def _opened(facts: list[Event]) -> list[Event]:
    """The first request of an incoming call is its start, whatever state it names. Of an outgoing one it is the answer."""
    if any(isinstance(fact, CallStarted) for fact in facts):
        return facts
    seen = next((fact for fact in facts if isinstance(fact, CallSeen)), None)
    if seen is None or seen.direction == "outbound":
        return facts
    begun = CallStarted(call_sid=seen.call_sid, at=seen.at, from_=seen.from_, to=seen.to, direction=seen.direction)
    return [begun, *facts]


def _dialled(facts: list[Event], dial: Fields, stream: str) -> list[Event]:
    """The dialled leg is the one the flow dialled: who it is, is known; and an agent's answer ends the wait in the queue."""
    agent, queue, to = label(dial.get("agent")), label(dial.get("queue")), phone(dial.get("to"))
    found: list[Event] = []
    for fact in facts:
        if not isinstance(fact, LegStarted | LegAnswered | LegEnded) or fact.leg != DIAL:
            found.append(fact)
        elif dial.get("told") is True:
            continue  # said before, at the moment it happened
        elif isinstance(fact, LegEnded):
            found.append(fact)
        else:
            found.append(msgspec.structs.replace(fact, kind=None, agent=agent, queue=queue, to=fact.to or to))
            if isinstance(fact, LegAnswered) and queue is not None:
                found.append(QueueLeft(call_sid=stream, at=fact.at, queue=queue, reason="answered"))
    return found


def _after(facts: list[Event], since: Micros | None) -> list[Event]:
    """Nobody is dialled before we said so: where the PBX's clock says that, or its whole seconds, the dial as a whole is as much later."""
    legs = [fact.at for fact in facts if isinstance(fact, LegStarted | LegAnswered | LegEnded) and fact.leg == DIAL]
    early = since - min(legs) if legs and since is not None else 0
    if early <= 0:
        return facts
    dialled = (LegStarted, LegAnswered, LegEnded)
    return [msgspec.structs.replace(fact, at=fact.at + early) if isinstance(fact, dialled) and fact.leg == DIAL else fact for fact in facts]


def _minivoice(told: Fields, stream: str, at: Micros) -> list[Event]:
    """The answer_url's query names the call; all else comes by webhook."""
    plain = folded(told)
    caller, called, way = phone(plain.get("from")), phone(plain.get("to")), direction(plain.get("direction"))
    if not (caller or called or way):
        return []
    return [CallSeen(call_sid=stream, at=at, from_=caller, to=called, direction=way)]


def _pressed(told: Fields) -> str | None:
    found = (value for name, value in told.items() if name.replace("_", "").lower() in DIGITS)
    return next((pressed for pressed in map(label, found) if pressed), None)


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
