"""One answer while it is put together: what has been collected so far, and how it ends."""

from __future__ import annotations

import msgspec

from calls.events import CallAnswered, CallFailed, Event, LegKind, LegStarted, MenuLeft
from calls.voice.actions import Action, Bridge, Dial, Hangup, Play, Reject, Say, Transfer
from calls.voice.flow import Flow
from calls.voice.position import Decision, Known, Request, State, Waits

GOODBYE = "Goodbye."


class Onward(msgspec.Struct, frozen=True):
    """Where a step that waits for nothing goes on; None ends the call. `farewell`: it ends otherwise than the caller wanted."""

    target: str | None = None
    farewell: bool = False


class Turn(msgspec.Struct, kw_only=True):
    """`left`: the menu that the call leaves unless this answer leads back to it, then with `tries`. `staying`: the state of a
    caller who goes on waiting in the same queue. `first`: nothing was answered to this call before."""

    flow: Flow
    request: Request
    known: Known
    visit: int
    xml: bool = False
    first: bool = False
    actions: list[Action] = []
    facts: list[Event] = []
    anomaly: str = ""
    menu: str | None = None
    masked: bool = False
    left: str = ""
    tries: int = 0
    staying: State | None = None
    heard: tuple[str, ...] = ()
    dialled_at: int = 0
    bot_told: bool = False
    dialled: bool | None = None
    agent: str | None = None  # dialled by this answer, out of `queue`
    queue: str | None = None
    asked: bool = False  # Known.queue has been used

    @property
    def sid(self) -> str:
        return self.request.call_sid

    def address(self, step: str, tries: int = 0) -> str:
        return self.known.address(step, self.visit, tries)

    def finish(self, step: str, waits: Waits, state: State | None = None) -> Decision:
        """The decision whose answer leaves the call at `step`; `state` has what more there is to keep."""
        dials = any(isinstance(one, Dial) for one in self.actions)
        kept = msgspec.structs.replace(
            state or State(), step=step, waits=waits, visit=self.visit, heard=self.heard,
            dialled_at=self.known.now if dials else self.dialled_at, bot_told=self.bot_told,
        )  # fmt: skip
        if self.left and not (waits == "menu" and step == self.left):
            self.facts.insert(0, MenuLeft(call_sid=self.sid, at=self.known.now, menu=self.left))
        self._state_of_call()
        self._leg()
        return Decision(
            actions=self.actions, state=kept, facts=self.facts, xml=self.xml, menu=self.menu, masked=self.masked, anomaly=self.anomaly,
            dialled=self.dialled,
        )  # fmt: skip

    def end(self, step: str, *, farewell: bool) -> Decision:
        """The call ends politely: what is said is not cut off, and somebody who would hear nothing hears a word."""
        if farewell and not any(isinstance(one, Say | Play) for one in self.actions):
            self.actions.append(Say(text=GOODBYE))
        self.actions.append(Hangup())
        return self.finish(step, "over")

    def _state_of_call(self) -> None:
        """An incoming call is answered by our first answer, unless that one rejects it."""
        at, rejected = self.known.now, next((one for one in self.actions if isinstance(one, Reject)), None)
        if rejected is not None:
            self.facts.append(CallFailed(call_sid=self.sid, at=at, reason=rejected.reason or "rejected"))
        if not self.first or self.flow.dialect != "sautikit" or self.request.direction not in (None, "inbound"):
            return
        if self.actions and not isinstance(self.actions[0], Reject):
            self.facts.insert(0, CallAnswered(call_sid=self.sid, at=at))

    def _leg(self) -> None:
        """The leg that the first dial of the answer begins."""
        for one in self.actions:
            if isinstance(one, Dial):
                to = one.number or one.sip or ", ".join(one.numbers or ())
                kind: LegKind = "agent" if self.agent else "sip" if one.sip else "external"
            elif isinstance(one, Transfer | Bridge):
                to, kind = one.destination, "sip" if one.destination.startswith("sip") else "external"
            else:
                continue
            mini = self.flow.dialect == "minivoice"
            self.facts.append(
                LegStarted(
                    call_sid=self.sid, at=self.known.now, leg="transfer" if mini else "dial", kind=kind, to=to[:256], agent=self.agent,
                    queue=self.queue, attributes={"reported": False} if mini else None,
                )
            )  # fmt: skip
            return
