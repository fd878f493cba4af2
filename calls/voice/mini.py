"""Actions as MiniVoice's JSON: its own verbs as they are, the common ones translated. What it has no word for is left out.

Keyed or typed as the vendor's own samples have each verb. The list is cut where MiniVoice stops running it, and at a hangup: it
has no such verb, the call ends where the list ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from calls.voice import actions as act
from calls.voice.actions import MINIVOICE, Action

_TYPED = frozenset({"redirect", "start_recording", "stop_recording", "start_stream", "stop_stream"})
_VERB = {kind: verb for verb, kind in MINIVOICE.items()}
_LAST = frozenset({"transfer", "bridge", "conference"})
LONGEST_GATHER_S = 30


def steps(actions: Sequence[Action]) -> list[object]:
    """The list that MiniVoice runs."""
    found: list[object] = []
    for one in actions:
        if isinstance(one, act.Hangup | act.Reject):
            break
        own = translated(one)
        verb = "" if own is None else _VERB.get(type(own), "")
        if verb:
            found.append(_step(verb, own))
        if verb in _LAST:
            break
    return found


def translated(one: Action) -> Action | None:
    """The action as MiniVoice has it; None where it has no such thing."""
    translate = _TRANSLATED.get(type(one))
    if translate is not None:
        return translate(one)
    return one if type(one) in _VERB else None


def _step(verb: str, own: Action | None) -> dict[str, object]:
    if verb in _TYPED:
        return {"type": verb} | _fields(own)
    if isinstance(own, act.Transfer | act.Bridge):
        return {verb: _far_side(own)}
    return {verb: own}


def _fields(own: Action | None) -> dict[str, object]:
    names = () if own is None else own.__struct_fields__
    return {name: value for name in names if (value := getattr(own, name)) is not None}


def _far_side(own: act.Transfer | act.Bridge) -> dict[str, object]:
    """`destination` alone as the tables have it; `to` beside more, as the pages' samples do."""
    rest: dict[str, object] = {} if own.from_ is None else {"from": own.from_}
    if isinstance(own, act.Bridge) and own.timeout_seconds is not None:
        rest["timeout_seconds"] = own.timeout_seconds
    return {"to" if rest else "destination": own.destination} | rest


# ---------------------------------------------------------------- the common verbs


def _say(one: Action) -> Action | None:
    """MiniVoice says nothing of voices and languages: the account's own speaks."""
    assert isinstance(one, act.Say)
    return act.Say(text=one.text) if one.text.strip() else None


def _gather(one: Action) -> Action:
    """Where the digits are to be sent is for a redirect to say; what is played before is one prompt."""
    assert isinstance(one, act.GetDigits)
    prompt = " ".join(said.text.strip() for said in one.nested or () if isinstance(said, act.Say)).strip()
    seconds = min(one.timeout, LONGEST_GATHER_S) if one.timeout else None
    return act.Gather(
        prompt=prompt or None, num_digits=one.num_digits or None, timeout_seconds=seconds, finish_on_key=one.finish_on_key or None
    )


def _transfer(one: Action) -> Action | None:
    """To one destination. `from` where a number was asked for; how long it rings is MiniVoice's to say."""
    assert isinstance(one, act.Dial)
    destination = one.number or one.sip or (one.numbers[0] if one.numbers else "")
    return act.Transfer(destination=destination, from_=one.caller_id) if destination else None


def _conference(one: Action) -> Action:
    assert isinstance(one, act.Conference)
    return act.MiniConference(room=one.name, mute=one.muted, end_on_exit=one.end_on_exit)


_TRANSLATED: dict[type[Action], Callable[[Action], Action | None]] = {
    act.Say: _say, act.GetDigits: _gather, act.Dial: _transfer, act.Conference: _conference,
}  # fmt: skip
