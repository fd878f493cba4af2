"""Calls that we have placed: an agent's for a waiting caller (`~offer`), and those ordered by POST /v1/calls (`~order`).

The agent joins the room of the caller named in the address, whatever else is away. An order runs its flow from the start: the
request is answered as one at that flow's own address, and what follows comes to the flow's addresses. An order for an agent dials
them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Mapping

import structlog

from api.voice.answering import APOLOGIES, DESK_S, ENDING_S, NOTHING, Answering, Asking, form_of, verbs
from api.voice.asked import Asked, Line
from api.voice.positions import Key, Position
from api.voice.recorded import Said
from calls.events import CallAnswered, CallLinked, Event, LegStarted
from calls.providers.reading import failure, identifier
from calls.voice.actions import Action, Conference, Dial, Hangup, Say
from calls.voice.flow import Flow
from calls.voice.position import Decision, State
from calls.voice.render import render
from desk.interface import Joined
from runtime.clock import now
from runtime.problems import Refused, Retry

log = structlog.get_logger("voice")
OFFER, ORDER = "~offer", "~order"
PLACED = frozenset({OFFER, ORDER})
REMEMBERED = 10_000
NOBODY = "The caller has hung up."


class Placed:
    """For one process."""

    def __init__(self, answering: Answering, *, flows: Mapping[str, Flow], lines: Mapping[str, Line]):
        self.answering, self.flows, self.lines = answering, flows, lines
        self.desk, self.positions = answering.desk, answering.positions
        self._orders: OrderedDict[str, Joined] = OrderedDict()

    def asking(self, line: Line, what: str, asked: Asked, *, until: float) -> Asking:
        """Raises Refused where neither the account nor an address of ours speaks."""
        name, caller = asked.ours.get("o", ""), asked.ours.get("c", "")
        said = ("offer", line.account, name, caller) if what == OFFER else ("order", line.account, name)
        if not line.verify(asked, *said):
            raise Refused(401, "Not our address", "ask at the address that the call was placed with, unchanged")
        flow = Flow(
            name=what, account=line.account, start="", steps={}, dialect="minivoice" if line.provider.name == "minivoice" else "sautikit"
        )  # fmt: skip
        return Asking(line, flow, asked, asked.request(at=now(), step=None, believed=False), until=until)

    async def answer(self, asking: Asking, what: str) -> Said:
        return await (self._offer(asking) if what == OFFER else self._order(asking))

    # ------------------------------------------------------------ an agent's own call

    async def _offer(self, asking: Asking) -> Said:
        request, offer = asking.request, asking.asked.ours.get("o", "")
        if request.kind == "over":
            reason = failure(request.state)
            told = self.desk.agent_over(offer, call_sid=request.call_sid, reason="over" if reason == "unknown" else reason, now=request.at)
            await self.answering.quietly(told)
        if request.kind != "ask":
            return await self._said(asking, None)
        caller = identifier(asking.asked.ours.get("c"))
        by_address = Joined(call_sid=caller, room=f"queue-{caller}" if caller else None)
        answered = self.desk.agent_answered(offer, call_sid=request.call_sid, aliases=request.aliases, now=request.at)
        joined = await self._joined(asking, answered) or by_address
        facts: list[Event] = [CallAnswered(call_sid=request.call_sid, at=request.at)]
        if other := joined.call_sid or caller:
            facts.append(CallLinked(call_sid=request.call_sid, at=request.at, to_call_sid=other))
            if joined.room:
                line = asking.line
                await self.answering.quietly(self.positions.mark_served(tenant=line.tenant, account=line.account, call_sid=other))
        return await self._said(asking, Decision(actions=self._join(asking, joined.room), state=State(), facts=facts))

    def _join(self, asking: Asking, room: str | None) -> list[Action]:
        if room is None:
            return [Say(text=NOBODY), Hangup()]
        if asking.flow.dialect == "minivoice":
            return [Conference(name=room, end_on_exit=True)]
        line, ours = asking.line, asking.asked.ours
        events = line.addresses.offer(line.account, ours.get("o", ""), ours.get("c", "")) + "&e=1"
        return [
            Conference(
                name=room, start_on_enter=True, end_on_exit=True, beep=False, status_events="join leave end",
                status_events_callback_url=events,
            )
        ]  # fmt: skip

    # ------------------------------------------------------------ an ordered call

    async def _order(self, asking: Asking) -> Said:
        request, order = asking.request, asking.asked.ours.get("o", "")
        if request.kind == "over":
            await self.answering.quietly(self.desk.order_over(order, call_sid=request.call_sid, now=request.at))
        joined = self._orders.get(order)
        if joined is None and request.kind == "ask":
            answered = self.desk.order_answered(order, call_sid=request.call_sid, aliases=request.aliases, now=request.at)
            joined = await self._joined(asking, answered)
            if joined is not None:
                self._remember(order, joined)
        name = joined.flow if joined else await self._walking(asking)
        flow = self.flows.get(name or "")
        if flow is not None and flow.account in self.lines:
            asking.facts = self._facts(asking, joined)
            asking.turn_to(self.lines[flow.account], flow)
            return await self.answering.answer(asking)
        if request.kind == "ask" and joined is not None and joined.agent_address:
            return await self._dial(asking, joined)
        await self.answering.stands(asking)
        if request.kind != "ask" and asking.before is not None:
            await self.answering.heard(asking)
        return await self._said(asking, None, sorry="nobody can say what the call was placed for")

    async def _walking(self, asking: Asking) -> str | None:
        """The flow in which a call is that this process has not answered."""
        try:
            found = await self.positions.of_call(asking.key)
        except Retry:
            return None
        return found[0] if found else None

    async def _dial(self, asking: Asking, joined: Joined) -> Said:
        """The agent for whom the call was placed. Asked again, the same is answered."""
        request, address = asking.request, joined.agent_address or ""
        await self.answering.stands(asking)
        sip = address.startswith(("sip:", "sips:"))
        dial = Dial(
            number=None if sip else address, sip=address if sip else None, caller_id=joined.caller_id or asking.line.number or None,
            timeout=joined.ring_s,
        )  # fmt: skip
        leg = LegStarted(call_sid=request.call_sid, at=request.at, leg="dial", kind="agent", to=address, agent=joined.agent)
        until = request.at + joined.ring_s * 1_000_000
        state = State(visit=1, waits="dial", since=request.at, to=address, agent=joined.agent, rings_until=until)
        decision = Decision(actions=[dial], state=state, facts=[*self._facts(asking, joined), leg])
        return await self._said(asking, decision, keep=True)

    def _facts(self, asking: Asking, joined: Joined | None) -> list[Event]:
        """The called side took the call; its other id is the one under which it was placed."""
        request = asking.request
        if request.kind != "ask":
            return []
        facts: list[Event] = [CallAnswered(call_sid=request.call_sid, at=request.at)]
        if joined is not None and joined.call_sid and joined.call_sid != request.call_sid:
            facts.append(CallLinked(call_sid=request.call_sid, at=request.at, alias=joined.call_sid))
        return facts

    def _remember(self, order: str, joined: Joined) -> None:
        self._orders[order] = joined
        if len(self._orders) > REMEMBERED:
            self._orders.popitem(last=False)

    # ------------------------------------------------------------ both

    async def _joined(self, asking: Asking, answered: Awaitable[Joined]) -> Joined | None:
        """What the call is for; None where the call centre cannot say it now."""
        try:
            async with asyncio.timeout(max(0.05, min(DESK_S, asking.left_s() - ENDING_S))):
                return await answered
        except (Retry, TimeoutError) as away:
            log.warning("a placed call is answered without the call centre", reason=str(away) or "too slow")
        except Refused as refused:
            log.warning("a placed call that nobody knows", reason=refused.detail)
        except Exception:
            log.exception("the call centre failed")
        return None

    async def _said(self, asking: Asking, decision: Decision | None, *, sorry: str = "", keep: bool = False) -> Said:
        form = form_of(asking.flow)
        if decision is not None:
            said = Said(*render(decision.actions, form), verbs=verbs(decision.actions))
            said = await self._kept(asking, decision, said) if keep else said
        elif sorry and asking.request.kind == "ask":
            said = Said(*APOLOGIES[form], verbs=("say", "hangup"), fallback=sorry, fault="flow_fault")
        else:
            said = Said(*NOTHING[form])
        await self.answering.record(asking, said, None if said.replay else decision)
        return said

    async def _kept(self, asking: Asking, decision: Decision, said: Said) -> Said:
        """What was answered first stands."""
        position = Position(decision.state, said.document, said.content_type)
        key: Key = asking.key
        try:
            stands = await self.positions.keep(key, position)
        except Retry:
            return said
        return said if stands is position else Said(stands.answer, stands.content_type, replay=True)
