"""How a call goes on at a step that waited: for keys, for a far side, for an agent, for audio, for a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from calls.clock import Micros
from calls.events import BotHandedOver, LegEnded, QueueLeft
from calls.providers.pbx import BOT, DIAL
from calls.voice.actions import Say
from calls.voice.enter import SECOND, go
from calls.voice.flow import Actions, Bot, Delegate, DialStep, Menu, QueueRules, QueueStep, RecordStep, Step
from calls.voice.position import Ask, Decision, Gathered, State, Waits
from calls.voice.turn import Turn

# A dial whose end came so long after its ringing was over was answered, where nobody says whether it was.
SURELY_ANSWERED_US: Micros = 3 * SECOND
MOST_HEARD = 20  # a caller who types ahead through several menus; older ones are too old to be taken for new
# What a step waits for, where nothing but its address is known.
NATURALLY: dict[type[Step], Waits] = {
    Menu: "menu", DialStep: "dial", QueueStep: "queue", Bot: "bot", RecordStep: "record", Actions: "actions", Delegate: "delegate",
}  # fmt: skip


def resume(turn: Turn, at: State) -> Decision | Ask:
    """The answer to a call that stands at `at`."""
    step = turn.flow.steps[at.step]
    going_on = RESUME.get(type(step))
    return going_on(turn, at, step) if going_on else go(turn, at.step)


# ---------------------------------------------------------------- menus


def _menu(turn: Turn, at: State, step: Step) -> Decision | Ask:
    assert isinstance(step, Menu)
    pressed = turn.request.digits
    if turn.flow.dialect == "minivoice" and not pressed:
        if turn.known.gathered is None:
            return Ask("digits", step=at.step, since=at.since or turn.known.now - (step.timeout_s + 10) * SECOND)
        pressed = _gathered(turn, turn.known.gathered)
    elif turn.flow.dialect == "sautikit":
        turn.menu = at.step
    turn.left, turn.masked = at.step, step.sensitive
    choice = chosen(step, pressed) if pressed else None
    if choice is not None:  # also one that leads back here: it is no failure, and forgets none
        turn.tries = at.tries
        return go(turn, choice)
    return _again(turn, at, step, (step.on_invalid if pressed else step.on_no_input) or at.step)


def _gathered(turn: Turn, found: Gathered) -> str:
    turn.heard = (*turn.heard, found.event_id)[-MOST_HEARD:] if found.event_id else turn.heard
    return found.digits


def chosen(menu: Menu, pressed: str) -> str | None:
    """The target that these keys choose. The key that ends an input is no part of it, but may be a choice of its own."""
    keys = pressed.upper()
    found = menu.choices.get(keys)
    if found is None and menu.finish_on_key and keys.endswith(menu.finish_on_key):
        found = menu.choices.get(keys[: -len(menu.finish_on_key)])
    return found


def _again(turn: Turn, at: State, step: Menu, target: str) -> Decision | Ask:
    """After no or wrong input: `target`, unless that is one replay of this menu too many."""
    trial = msgspec.structs.replace(turn, actions=[], facts=[], tries=at.tries + 1)
    came = go(trial, target) if target != at.step or at.tries < step.retries else None
    back = came is None or (isinstance(came, Decision) and came.state.waits == "menu" and came.state.step == at.step)
    if came is not None and not (back and at.tries >= step.retries):
        return came
    turn.tries = 0
    return go(turn, step.on_exhausted, farewell=True, at=at.step)


# ---------------------------------------------------------------- dials and queues


def _answered(turn: Turn, at: State) -> bool:
    """Whether somebody took the dial: as the request says, as was said before, else by how long it took."""
    said = turn.request.dial_answered
    said = at.dial_answered if said is None else said
    return bool(at.rings_until and turn.known.now > at.rings_until + SURELY_ANSWERED_US) if said is None else said


def _dial(turn: Turn, at: State, step: Step) -> Decision | Ask:
    assert isinstance(step, DialStep)
    answered = _dial_answered(turn, at, step)
    _over(turn, answered=answered)
    if answered:
        return go(turn, step.next, at=at.step)
    return go(turn, step.on_no_answer, farewell=True, at=at.step)


def _dial_answered(turn: Turn, at: State, step: DialStep) -> bool:
    """Where nobody says it: the one way on that there is; of two, one that ended when the ringing did was not answered."""
    said = turn.request.dial_answered if turn.request.dial_answered is not None else at.dial_answered
    if said is not None:
        return said
    if step.next is None or step.on_no_answer is None:
        return step.on_no_answer is None
    return bool(at.rings_until) and abs(turn.known.now - (at.rings_until or 0)) > SURELY_ANSWERED_US


def _over(turn: Turn, *, answered: bool) -> None:
    """The dialled leg is over where the call goes on behind it; an edge that told of it earlier stands."""
    turn.facts.append(LegEnded(call_sid=turn.sid, at=turn.known.now, leg=DIAL, cause=None if answered else "no_answer"))


def _queue(turn: Turn, at: State, step: Step) -> Decision | Ask:
    """After the room, or after the dial of an agent: served, too long, or once more."""
    assert isinstance(step, QueueStep)
    if at.waits == "dial":
        turn.dialled = _answered(turn, at)
        _over(turn, answered=turn.dialled)
    elif turn.request.dial_answered:
        turn.dialled = True
    if turn.dialled or at.served:
        return go(turn, None, at=at.step)
    longest = turn.flow.queues.get(step.queue, QueueRules()).max_wait_s
    if longest is not None and at.since and turn.known.now - at.since >= longest * SECOND:
        turn.facts.append(QueueLeft(call_sid=turn.sid, at=turn.known.now, queue=step.queue, reason="timeout"))
        return go(turn, step.on_timeout, farewell=True, at=at.step)
    turn.staying = msgspec.structs.replace(at, queue=step.queue, since=at.since or turn.known.now)
    return go(turn, at.step)


# ---------------------------------------------------------------- others


def _bot(turn: Turn, at: State, step: Step) -> Decision | Ask:
    assert isinstance(step, Bot)
    if at.bot == "ended":
        return go(turn, None, at=at.step)
    failed = at.bot == "failed" or (at.bot == "" and step.engine != "url")
    if not failed:
        if step.engine == "url" and step.hand_over_to is not None:  # an engine of ours has told of it
            turn.facts.append(BotHandedOver(call_sid=turn.sid, at=turn.known.now, leg=BOT, to=step.hand_over_to))
        return go(turn, step.hand_over_to, at=at.step)
    turn.anomaly = "bot_unavailable: " + ("the audio socket failed" if at.bot else "the audio socket was never opened")
    if step.fallback_text is not None:
        turn.actions.append(Say(text=step.fallback_text))
    return go(turn, step.hand_over_to, farewell=True, at=at.step)


def _next(turn: Turn, at: State, step: Step) -> Decision | Ask:
    assert isinstance(step, RecordStep | Actions)
    turn.masked = isinstance(step, RecordStep) and step.sensitive
    return go(turn, step.next, at=at.step)


def _delegate(turn: Turn, at: State, _: Step) -> Decision | Ask:
    return go(turn, at.step)


Resume: TypeAlias = Callable[[Turn, State, Step], Decision | Ask]
RESUME: dict[type[Step], Resume] = {
    Menu: _menu, DialStep: _dial, QueueStep: _queue, Bot: _bot, RecordStep: _next, Actions: _next, Delegate: _delegate,
}  # fmt: skip
