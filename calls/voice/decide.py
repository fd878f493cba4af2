"""The decision: a flow, where the call stands in it, and what the provider just asked -> what it is told to do.

Pure. What only the outside can say (is an agent free? what did the application answer?) is asked for: `decide` returns an
`Ask`, the caller finds it out and calls again with it in `Known` (`told`). The same arguments always give the same decision.
"""

from __future__ import annotations

import msgspec

from calls.voice.actions import Hangup
from calls.voice.enter import go
from calls.voice.flow import Flow, Menu
from calls.voice.position import (
    Ask,
    Decision,
    Delegated,
    FreeAgent,
    Gathered,
    InQueue,
    Known,
    Request,
    State,
    Waits,
    told,
)
from calls.voice.resume import NATURALLY, resume
from calls.voice.turn import Turn

__all__ = [
    "Ask", "Decision", "Delegated", "FreeAgent", "Gathered", "InQueue", "Known", "Request", "State", "Waits", "decide", "told",
]  # fmt: skip
_NOWHERE = State()


def decide(flow: Flow, state: State | None, request: Request, known: Known) -> Decision | Ask:
    """What the provider is told. `state`: where the call stands as far as anybody remembers, None for a call never heard of."""
    if request.kind != "ask":
        return _told_only(flow, state, request)
    stands = state if state is not None and state.visit else None
    if request.step is not None and request.step in flow.steps:
        return _at_step(flow, stands, request, known)
    return _at_flow(flow, stands, request, known)


def _told_only(flow: Flow, state: State | None, request: Request) -> Decision:
    """An edge wants no actions; the end of the call is the end of its walk."""
    state = state or _NOWHERE
    if request.kind == "over":
        state = msgspec.structs.replace(state, waits="over")
    return Decision(actions=[], state=state, masked=_sensitive(flow, request.step or state.step))


def _at_flow(flow: Flow, state: State | None, request: Request, known: Known) -> Decision | Ask:
    """The flow's own address: a call's first request, digits of a provider that sends them there, or the same once more."""
    if state is None or state.step not in flow.steps or (state.waits == "" and not request.doubtful):
        return go(_turn(flow, state, request, known), flow.start)
    if request.doubtful and request.digits is None:
        return Decision(actions=[], state=state)
    if state.waits == "delegate" or (request.digits is not None and state.waits in ("menu", "actions")):
        return resume(_turn(flow, state, request, known), state)
    if state.waits == "bot" and state.bot == "open":
        return Decision(actions=[], state=state)  # the same answer would fork the audio a second time
    return Decision(actions=[], state=state, replay=True, masked=_sensitive(flow, state.step))


def _at_step(flow: Flow, state: State | None, request: Request, known: Known) -> Decision | Ask:
    """The address of a step: one that we handed out (it names a visit), or one that somebody wrote down."""
    step = request.step or ""
    if state is not None and request.visit is not None and request.visit < state.visit:
        return Decision(actions=[], state=state, replay=True, masked=_sensitive(flow, step))
    turn = _turn(flow, state, request, known)
    if state is not None and state.step == step and request.visit in (None, state.visit):
        return _over(turn, state) if state.waits == "over" else resume(turn, state)
    if request.visit is None and (request.digits is None or not isinstance(flow.steps[step], Menu)):
        return go(turn, step)  # somebody sent the call here
    waits = NATURALLY.get(type(flow.steps[step]))
    if waits is None:
        return go(turn, step)
    seen = state if state is not None and state.step == step else _NOWHERE
    return resume(turn, msgspec.structs.replace(seen, step=step, tries=request.tries or 0, waits=waits))


def _over(turn: Turn, state: State) -> Decision:
    """The call has ended, and still somebody asks."""
    menu = state.step if isinstance(turn.flow.steps[state.step], Menu) and turn.request.digits and turn.flow.dialect == "sautikit" else None
    over = msgspec.structs.replace(state, visit=turn.visit)
    return Decision(actions=[Hangup()], state=over, xml=turn.xml, menu=menu, masked=_sensitive(turn.flow, state.step))


def _turn(flow: Flow, state: State | None, request: Request, known: Known) -> Turn:
    said = max(state.visit if state else 0, request.visit or 0)
    return Turn(
        flow=flow, request=request, known=known, visit=said + 1, xml=flow.form == "xml", first=said == 0,
        heard=state.heard if state else (), dialled_at=state.dialled_at if state else 0,
        bot_told=bool(state and (state.bot or state.bot_told)),
    )  # fmt: skip


def _sensitive(flow: Flow, step: str) -> bool:
    return bool(getattr(flow.steps.get(step), "sensitive", False))
