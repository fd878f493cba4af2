"""A flow walked without a phone: one step of it, nothing asked outside, nothing stored. What is assumed instead is said."""

from __future__ import annotations

import msgspec

from calls.clock import Micros
from calls.voice.actions import Action
from calls.voice.decide import decide
from calls.voice.flow import DialStep, Flow
from calls.voice.position import Ask, Decision, Delegated, FreeAgent, Gathered, InQueue, Known, Request, State, told
from calls.voice.render import render

CALL = "HD_trial"
CALLED, AGENT = "+254700000000", FreeAgent(agent="agent", address="+254720000000", ring_s=30, offer="offer")
MOST_QUESTIONS = 12


class Tried(msgspec.Struct, frozen=True):
    """`notes`: what was assumed of the outside, a sentence each."""

    actions: list[Action]
    xml: bool
    state: State
    notes: list[str]


def try_step(
    flow: Flow, state: State | None, digits: str | None, *, now: Micros, public: str, agent: bool = False, answered: bool = False
) -> Tried:
    """The next answer. `state` None: the first one. `agent`: one is free in every queue; `answered`: so is a dial that is over.

    `public` is what addresses in the answer begin with.
    """
    notes: list[str] = []
    if state is not None and (why := _over(flow, state)):
        return Tried([], False, state, [why])
    known = Known(
        now=now, address=lambda step, visit, tries: f"{public}/voice/{flow.name}/{step}?v={visit}&r={tries}&c={CALL}",
        events=f"{public}/voice/{flow.name}/events?c={CALL}", caller_id=CALLED,
        audio=lambda step: f"{'ws' + public.removeprefix('http')}/audio/{flow.name}?c={CALL}&s={step}",
    )  # fmt: skip
    request = Request(call_sid=CALL, at=now, called=CALLED, direction="inbound")
    if state is not None:
        state = _outside(state, answered=answered, notes=notes)
        request = msgspec.structs.replace(
            request, step=state.step, visit=state.visit, tries=state.tries, digits=_pressed(state, digits, notes)
        )
    decision = _decided(flow, state, request, known, agent=agent, notes=notes)
    return Tried(decision.actions, decision.xml, decision.state, notes)


def _over(flow: Flow, state: State) -> str:
    """Why nothing more is asked for this call."""
    step = flow.steps.get(state.step)
    alone = isinstance(step, DialStep) and step.next is None and step.on_no_answer is None
    if state.waits == "over" or step is None or alone:
        return "the call is over"
    return "the call has been sent elsewhere" if state.waits == "" else ""


def as_json(flow: Flow, tried: Tried) -> dict[str, object]:
    """One step of a walk as the JSON that people see; what is answered as XML as the JSON that says the same."""
    document, _ = render(tried.actions, "minivoice" if flow.dialect == "minivoice" else "json")
    actions: object = msgspec.json.decode(document)["actions"]
    return {"actions": actions, "state": msgspec.to_builtins(tried.state), "notes": tried.notes}


def _pressed(state: State, digits: str | None, notes: list[str]) -> str | None:
    if digits and state.waits != "menu":
        notes.append(f"nobody asks for keys here: {digits!r} is not used")
    return digits if state.waits == "menu" else None


def _outside(state: State, *, answered: bool, notes: list[str]) -> State:
    """What would have happened meanwhile."""
    if state.waits == "dial" and state.dial_answered is None:
        notes.append(f"the dial was {'answered' if answered else 'not answered'}")
        return msgspec.structs.replace(state, dial_answered=answered)
    if state.waits == "bot" and not state.bot:
        notes.append("the bot hands over")
        return msgspec.structs.replace(state, bot="handed_over")
    return state


def _decided(flow: Flow, state: State | None, request: Request, known: Known, *, agent: bool, notes: list[str]) -> Decision:
    for _ in range(MOST_QUESTIONS):
        found = decide(flow, state, request, known)
        if isinstance(found, Decision):
            return found
        known = told(known, found, _assumed(found, request, agent=agent, notes=notes))
    raise RuntimeError(f"flow {flow.name} asks in circles")


def _assumed(ask: Ask, request: Request, *, agent: bool, notes: list[str]) -> InQueue | Delegated | Gathered:
    if ask.what == "queue":
        notes.append(f"in queue {ask.queue} {'an agent' if agent else 'nobody'} is free")
        return InQueue(agent=AGENT if agent else None)
    if ask.what == "delegate":
        notes.append(f"{ask.url} is not asked here: the fallback is walked")
        return Delegated(fault="not asked while trying")
    return Gathered(digits=request.digits or "", timed_out=not request.digits, event_id="trial")
