"""Can an account's provider do this action? The reason why not, for whoever writes a flow once and asks before it is used.

`rules` judges what somebody wrote in a provider's own words; here the common verbs are judged against what the provider has.
"""

from __future__ import annotations

from collections.abc import Callable

from calls.voice import actions as act
from calls.voice.actions import MINIVOICE, SAUTIKIT, Action, Dialect
from calls.voice.mini import LONGEST_GATHER_S
from calls.voice.shapes import Form
from calls.voice.values import MINI_ROOM

_ABROAD = {kind: verb for verb, kind in MINIVOICE.items()}
_AT_HOME = {kind: verb for verb, kind in SAUTIKIT.items()}


def cannot(action: Action, dialect: Dialect, *, form: Form = "json") -> str:
    """Why an account of this provider cannot do the action (in this form), "" where it can."""
    if dialect == "minivoice":
        why = _MISSING.get(type(action), "")
        judge = _JUDGED.get(type(action))
        return why or ("" if judge is None else judge(action))
    if type(action) not in _AT_HOME:
        return f"Sautikit has no {_ABROAD.get(type(action), type(action).__name__)}"
    if form == "xml" and isinstance(action, act.AiAgent):
        return 'aiAgent exists only in JSON: take `format = "xml"` out of the flow'
    return ""


# A hangup is the end of MiniVoice's list, so it can be said anywhere.
_MISSING: dict[type[Action], str] = {
    act.Play: "MiniVoice cannot play a file: use say",
    act.Record: "MiniVoice cannot take a message: it only records whole calls (start_recording)",
    act.Reject: "MiniVoice has answered before it asks, it cannot reject: use hangup",
    act.Stream: "MiniVoice's start_stream does not hold the call for a conversation: a bot needs Sautikit",
    act.AiAgent: "MiniVoice has no AI agents",
}


def _say(action: Action) -> str:
    assert isinstance(action, act.Say)
    return "MiniVoice says a text once: leave loop out" if (action.loop or 0) > 1 else ""


def _get_digits(action: Action) -> str:
    assert isinstance(action, act.GetDigits)
    if any(isinstance(one, act.Play) for one in action.nested or ()):
        return "MiniVoice cannot play a file before a menu: use prompt"
    if (action.timeout or 0) > LONGEST_GATHER_S:
        return f"MiniVoice waits {LONGEST_GATHER_S} seconds for keys at most"
    return "" if action.num_digits else "MiniVoice must be told how many digits to wait for"


def _dial(action: Action) -> str:
    assert isinstance(action, act.Dial)
    if len(action.numbers or ()) > 1:
        return "MiniVoice transfers to one destination: dial one number"
    return "MiniVoice cannot record a transfer alone: use start_recording before it" if action.record not in (None, "false") else ""


def _conference(action: Action) -> str:
    assert isinstance(action, act.Conference)
    asked = (
        action.max_participants, action.record, action.beep, action.start_on_enter is False, action.collect_digits, action.wait_url,
        action.status_events_callback_url, action.digits_callback_url, action.flags,
    )  # fmt: skip
    if any(asked):
        return "MiniVoice's conference has a room, mute and end_on_exit, no music, limits, recording or callbacks"
    why = MINI_ROOM.wrong(action.name)
    return f"MiniVoice's room {why}" if why else ""


_JUDGED: dict[type[Action], Callable[[Action], str]] = {
    act.Say: _say, act.GetDigits: _get_digits, act.Dial: _dial, act.Conference: _conference,
}  # fmt: skip
