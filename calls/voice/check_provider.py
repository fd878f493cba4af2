"""Can the account's provider do what a step asks of it? By the field of the step that asks too much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from calls.voice import actions as act
from calls.voice.actions import Dialect, Fault
from calls.voice.enter import ENTER
from calls.voice.flow import (
    Actions,
    Bot,
    Delegate,
    DialStep,
    Flow,
    Hours,
    Menu,
    PlayStep,
    QueueRules,
    QueueStep,
    RecordStep,
    RejectStep,
    Step,
)
from calls.voice.position import InQueue, Known, Request
from calls.voice.render import render
from calls.voice.rules import cannot, check
from calls.voice.turn import Turn
from calls.voice.values import WEB

Wrong: TypeAlias = tuple[str, str]
_HERE = "https://safiri.example.com/voice"
_NOT_HELD = "MiniVoice cannot hold a caller for an agent: its conference plays nothing, tells nothing, and nothing follows it; write a dial"
_MINIVOICE: dict[type[Step], act.Action] = {
    PlayStep: act.Play(url=_HERE), RecordStep: act.Record(), RejectStep: act.Reject(), Bot: act.Stream(url=_HERE),
}  # fmt: skip
_ENDS = "MiniVoice's transfer ends the flow, nothing follows it: leave it out"
# What a rule of the providers' calls a field, and what the step calls it.
_FIELDS: dict[type[Step], dict[str, str]] = {
    Menu: {
        "text": "prompt", "url": "play", "timeout": "timeout_s", "numDigits": "digits", "finishOnKey": "finish_on_key",
        "num_digits": "digits", "timeout_seconds": "timeout_s",
    },
    DialStep: {"number": "to", "numbers": "to", "sip": "to", "destination": "to", "callerId": "caller_id", "timeout": "timeout_s"},
    QueueStep: {"text": "queue", "waitUrl": "queue", "name": "queue"},
    Bot: {"outputSamplingRate": "sampling_rate", "bidirectionalSamplingRate": "sampling_rate"},
    RecordStep: {"text": "prompt", "maxLength": "max_length_s", "timeout": "timeout_s", "finishOnKey": "finish_on_key"},
}  # fmt: skip


def cannot_do(step: Step, raw: Mapping[str, object], dialect: Dialect) -> list[Wrong]:
    """What MiniVoice has nothing for. `raw`: a field that stands there is meant. A wish that changes nothing of where the call goes
    (a voice, how long it rings) is no fault: it is left out."""
    if dialect == "sautikit":
        return []
    missing = _MINIVOICE.get(type(step))
    if missing is not None:
        return [("kind", cannot(missing, "minivoice"))]
    match step:
        case QueueStep():
            return [("kind", _NOT_HELD)]
        case Menu():
            return _menu(step)
        case DialStep():
            return _dial(step, raw)
    return []


def _menu(step: Menu) -> list[Wrong]:
    wrong: list[Wrong] = []
    if step.play is not None:
        wrong.append(("play", "MiniVoice cannot play a file: use prompt"))
    if not 1 <= step.timeout_s <= 30:
        wrong.append(("timeout_s", "MiniVoice waits 1 to 30 seconds for keys"))
    if step.digits < 1:
        wrong.append(("digits", "MiniVoice must be told how many digits to wait for"))
    if step.sensitive:
        wrong.append(("sensitive", "MiniVoice sends the digits by webhook, where they are kept: ask for nothing secret"))
    return wrong


def _dial(step: DialStep, raw: Mapping[str, object]) -> list[Wrong]:
    wrong = [(name, _ENDS) for name in ("next", "on_no_answer") if name in raw]
    if isinstance(step.to, list) and len(step.to) > 1:
        wrong.append(("to", "MiniVoice transfers to one destination: name one"))
    if step.record:
        wrong.append(("record", 'MiniVoice cannot record a transfer alone: put { start_recording = {} } into an "actions" step before it'))
    return wrong


def refused(name: str, step: Step, *, dialect: Dialect, queues: Mapping[str, QueueRules]) -> list[Wrong]:
    """What the provider would refuse of the step's own part of an answer."""
    if isinstance(step, Hours | Actions | Delegate):
        return []
    if isinstance(step, QueueStep) and (wrong := _queue(step.queue, queues.get(step.queue, QueueRules()))):
        return wrong
    actions = own_actions(name, step, dialect=dialect, queues=queues)
    document, _ = render(actions, "minivoice" if dialect == "minivoice" else "json")
    names = _FIELDS.get(type(step), {})
    return [_of_step(fault, names) for fault in check(msgspec.json.decode(document)["actions"], dialect)]


def own_actions(name: str, step: Step, *, dialect: Dialect, queues: Mapping[str, QueueRules]) -> list[act.Action]:
    """What the step alone puts into an answer."""
    known = Known(
        now=0, address=lambda *_: _HERE, events=_HERE, audio=lambda _: "wss://safiri.example.com/audio", queue=InQueue(),
    )  # fmt: skip
    asked = step.queue if isinstance(step, QueueStep) else ""
    flow = Flow(name, "", name, {name: step}, dialect, queues={asked: queues.get(asked, QueueRules())})
    turn = Turn(flow=flow, request=Request(call_sid="HD_0", at=0, called="+254700000000"), known=known, visit=1)
    ENTER[type(step)](turn, name, step)
    return turn.actions


def _queue(name: str, rules: QueueRules) -> list[Wrong]:
    """The rules of the queue are written elsewhere, so their faults say where."""
    wrong = [("queue", f"queues.{name}.music {WEB.wrong(rules.music)}")] if rules.music and WEB.wrong(rules.music) else []
    if rules.announce is not None and not rules.announce.strip():
        wrong.append(("queue", f"queues.{name}.announce must not be empty: leave it out"))
    return wrong


def _of_step(fault: Fault, names: Mapping[str, str]) -> Wrong:
    """The fault at the field of the step that it comes from."""
    last = fault.field.rpartition(".")[2]
    return names.get(last, last), fault.detail
