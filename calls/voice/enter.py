"""What each kind of step puts into the answer on its way: steps that wait for nothing together with the next one that waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from calls.clock import Micros
from calls.events import MenuEntered, QueueEntered, QueueLeft
from calls.voice import actions as act
from calls.voice.flow import (
    Actions,
    Bot,
    Delegate,
    DialStep,
    HangupStep,
    Hours,
    Menu,
    PlayStep,
    QueueRules,
    QueueStep,
    RecordStep,
    RedirectStep,
    RejectStep,
    SayStep,
    Step,
)
from calls.voice.hours import is_open
from calls.voice.position import Ask, Decision, FreeAgent, State, Waits
from calls.voice.turn import Onward, Turn

Came: TypeAlias = Onward | Decision | Ask
STREAM_EVENTS = "stream-started stream-stopped stream-error"
ROOM_EVENTS = "join leave end"
SECOND: Micros = 1_000_000
# How a call goes on after the last of some raw actions, where that one takes time.
WAITING: dict[type[act.Action], Waits] = {
    act.Dial: "dial", act.GetDigits: "actions", act.Conference: "actions", act.Record: "actions", act.Stream: "actions",
    act.Gather: "actions",
}  # fmt: skip
# After these the call is no longer ours to lead.
FINAL = (act.Redirect, act.AiAgent, act.Hangup, act.Reject, act.Transfer, act.Bridge, act.MiniConference)


def go(turn: Turn, target: str | None, *, farewell: bool = False, at: str = "") -> Decision | Ask:
    """The answer of a call that comes to step `target`; None ends the call (`at`: the step that it comes from)."""
    came: Came = Onward(target, farewell)
    while isinstance(came, Onward):
        if came.target is None:
            return turn.end(at, farewell=came.farewell)
        at = came.target
        step = turn.flow.steps[at]
        came = ENTER[type(step)](turn, at, step)
    return came


def number_called(turn: Turn) -> str | None:
    return turn.known.caller_id or turn.request.called


def _onward(turn: Turn, step: str, tries: int = 0) -> None:
    """The answer ends with a way back to this step."""
    turn.actions.append(act.Redirect(url=turn.address(step, tries), method="POST" if turn.xml else None))


# ---------------------------------------------------------------- steps that wait for nothing


def _say(turn: Turn, _: str, step: Step) -> Came:
    assert isinstance(step, SayStep)
    turn.actions.append(act.Say(text=step.text, voice=step.voice, language=step.language))
    return Onward(step.next)


def _play(turn: Turn, _: str, step: Step) -> Came:
    assert isinstance(step, PlayStep)
    turn.actions.append(act.Play(url=step.url, loop=step.loop))
    return Onward(step.next)


def _hours(turn: Turn, _: str, step: Step) -> Came:
    assert isinstance(step, Hours)
    if step.opening is not None and is_open(step.opening, turn.known.now):
        return Onward(step.if_open, farewell=True)
    return Onward(step.if_closed, farewell=True)


# ---------------------------------------------------------------- menus


def _menu(turn: Turn, name: str, step: Step) -> Came:
    assert isinstance(step, Menu)
    tries = turn.tries if name == turn.left else 0
    mini = turn.flow.dialect == "minivoice"
    prompt = act.Say(text=step.prompt or "", voice=step.voice, language=step.language) if step.play is None else act.Play(url=step.play)
    turn.actions.append(
        act.GetDigits(
            timeout=step.timeout_s, num_digits=step.digits, finish_on_key=step.finish_on_key, nested=[prompt],
            action=None if mini else turn.address(name, tries),
        )
    )  # fmt: skip
    _onward(turn, name, tries)
    turn.facts.append(MenuEntered(call_sid=turn.sid, at=turn.known.now, menu=name))
    return turn.finish(name, "menu", State(tries=tries, since=turn.known.now))


# ---------------------------------------------------------------- dials and queues


def dialled(to: str | list[str], *, caller_id: str | None, timeout: int, record: str | None = None) -> act.Dial:
    """One number, one SIP address, or several numbers rung together."""
    if isinstance(to, list) and len(to) == 1:
        to = to[0]
    if isinstance(to, list):
        return act.Dial(numbers=to, caller_id=caller_id, timeout=timeout, record=record)
    if to.startswith(("sip:", "sips:")):
        return act.Dial(sip=to, caller_id=caller_id, timeout=timeout, record=record)
    return act.Dial(number=to, caller_id=caller_id, timeout=timeout, record=record)


def _dial(turn: Turn, name: str, step: Step) -> Came:
    assert isinstance(step, DialStep)
    record = "record-from-answer" if step.record is True else step.record or None
    shown = step.caller_id or (None if turn.flow.dialect == "minivoice" else number_called(turn))
    turn.actions.append(dialled(step.to, caller_id=shown, timeout=step.timeout_s, record=record))
    if step.next is not None or step.on_no_answer is not None:
        _onward(turn, name)
    now = turn.known.now
    to = step.to if isinstance(step.to, str) else None
    return turn.finish(name, "dial", State(since=now, to=to, rings_until=now + step.timeout_s * SECOND))


def _queue(turn: Turn, name: str, step: Step) -> Came:
    assert isinstance(step, QueueStep)
    found = turn.known.queues.get(name)
    if found is None and not turn.known.queues and not turn.asked:
        found, turn.asked = turn.known.queue, True
    if found is None:
        return Ask("queue", step=name, queue=step.queue, dialled=turn.dialled)
    stays, now, turn.dialled = turn.staying, turn.known.now, None  # the Ask has said it
    if stays is None:
        turn.facts.append(QueueEntered(call_sid=turn.sid, at=now, queue=step.queue, position=found.position))
    if found.full:
        turn.facts.append(QueueLeft(call_sid=turn.sid, at=now, queue=step.queue, reason="full"))
        turn.staying = None
        return Onward(step.on_full, farewell=True)
    waiting = State(queue=step.queue, since=now) if stays is None else stays
    return _to_agent(turn, name, found.agent, waiting) if found.agent else _to_room(turn, name, waiting)


def _to_agent(turn: Turn, name: str, agent: FreeAgent, waiting: State) -> Decision:
    turn.actions.append(dialled(agent.address, caller_id=number_called(turn), timeout=agent.ring_s))
    _onward(turn, name, waiting.tries)
    turn.agent, turn.queue = agent.agent, waiting.queue
    until = turn.known.now + agent.ring_s * SECOND
    dialling = msgspec.structs.replace(
        waiting, agent=agent.agent, offer=agent.offer, to=agent.address, dial_answered=None, rings_until=until
    )  # fmt: skip
    return turn.finish(name, "dial", dialling)


def _to_room(turn: Turn, name: str, waiting: State) -> Decision:
    """A room of the caller's own, in which an agent will join them. What is announced is said once."""
    rules = turn.flow.queues.get(waiting.queue or "", QueueRules())
    if rules.announce and not waiting.tries:
        turn.actions.append(act.Say(text=rules.announce))
    turn.actions.append(
        act.Conference(
            name=f"queue-{turn.sid}", start_on_enter=False, end_on_exit=True, wait_url=rules.music, status_events=ROOM_EVENTS,
            status_events_callback_url=turn.known.events,
        )
    )  # fmt: skip
    tries = waiting.tries + 1
    _onward(turn, name, tries)
    holding = msgspec.structs.replace(
        waiting, tries=tries, agent=None, offer=None, to=None, dial_answered=None, rings_until=0
    )  # fmt: skip
    return turn.finish(name, "queue", holding)


# ---------------------------------------------------------------- steps that others take over


def _bot(turn: Turn, name: str, step: Step) -> Came:
    assert isinstance(step, Bot)
    url = step.url if step.engine == "url" and step.url else turn.known.audio(name)
    turn.actions.append(
        act.Stream(
            url=url, track="both_tracks", connect=True, name=turn.flow.name, output_sampling_rate=step.sampling_rate,
            bidirectional_sampling_rate=step.sampling_rate, status_callback=turn.known.events, status_events=STREAM_EVENTS,
        )
    )  # fmt: skip
    turn.xml = True
    _onward(turn, name)
    return turn.finish(name, "bot", State(since=turn.known.now))


def _record(turn: Turn, name: str, step: Step) -> Came:
    assert isinstance(step, RecordStep)
    if step.prompt is not None:
        turn.actions.append(act.Say(text=step.prompt, voice=step.voice, language=step.language))
    turn.actions.append(
        act.Record(
            action=turn.address(name), method="POST", timeout=step.timeout_s, max_length=step.max_length_s, finish_on_key=step.finish_on_key
        )
    )  # fmt: skip
    return turn.finish(name, "record", State(since=turn.known.now))


def _redirect(turn: Turn, name: str, step: Step) -> Came:
    assert isinstance(step, RedirectStep)
    turn.actions.append(act.Redirect(url=step.url, method=step.method))
    return turn.finish(name, "")


def _reject(turn: Turn, name: str, step: Step) -> Came:
    assert isinstance(step, RejectStep)
    turn.actions.append(act.Reject(reason=step.reason))
    return turn.finish(name, "over")


def _hangup(turn: Turn, name: str, step: Step) -> Came:
    assert isinstance(step, HangupStep)
    turn.actions.append(act.Hangup())
    return turn.finish(name, "over")


def _actions(turn: Turn, name: str, step: Step) -> Came:
    assert isinstance(step, Actions)
    turn.actions += step.parsed
    last = type(step.parsed[-1]) if step.parsed else None
    if last in FINAL:
        return turn.finish(name, "" if last in (act.Redirect, act.AiAgent) else "over")
    waits = WAITING.get(last) if last else None
    if waits is None:
        return Onward(step.next)
    if step.next is not None:
        _onward(turn, name)
    return turn.finish(name, waits, State(since=turn.known.now))


def _delegate(turn: Turn, name: str, step: Step) -> Came:
    """What the user's own application says, as it said it; the fallback where that cannot be used."""
    assert isinstance(step, Delegate)
    said = turn.known.delegates.get(name) or (turn.known.delegated if not turn.known.delegates else None)
    if said is None:
        return Ask("delegate", step=name, url=step.url, timeout_ms=step.timeout_ms)
    if said.actions is None or len(turn.actions) + len(said.actions) > 50:
        turn.anomaly = f"delegate_failed: {said.fault or 'it said more actions than an answer may have'}"
        return Onward(step.fallback, farewell=True)
    turn.actions += said.actions
    turn.xml = turn.xml or said.xml
    return turn.finish(name, "delegate", State(since=turn.known.now))


Enter: TypeAlias = Callable[[Turn, str, Step], Came]
ENTER: dict[type[Step], Enter] = {
    Menu: _menu, SayStep: _say, PlayStep: _play, Hours: _hours, DialStep: _dial, QueueStep: _queue, Bot: _bot, RecordStep: _record,
    RedirectStep: _redirect, RejectStep: _reject, HangupStep: _hangup, Actions: _actions, Delegate: _delegate,
}  # fmt: skip
