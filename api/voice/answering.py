"""How one request for a flow is answered: where the call stands, what is decided, what must be found out for it, what is kept.

The row of the call's position decides between requests that race; Postgres away, the address says where the call stands, and
the call centre away, a caller is told to wait. Nothing here waits longer than `Asking.until`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress

import structlog

from api.voice import recorded
from api.voice.asked import Asked, Line
from api.voice.delegate import Applications, Forwarded, Reply
from api.voice.gathered import Digits, Wanted
from api.voice.positions import Key, Position, Positions
from api.voice.recorded import Said
from calls.clock import Micros
from calls.events import CallLinked, Event, QueueLeft
from calls.providers.reading import word_of
from calls.voice.actions import MINIVOICE, SAUTIKIT, Action
from calls.voice.decide import decide
from calls.voice.flow import Bot, Flow, QueueStep
from calls.voice.position import Ask, Decision, Delegated, Gathered, InQueue, Known, Request, State, of_another_dial, told
from calls.voice.render import Target, render
from desk.interface import CallCentre, Caller
from runtime import clock
from runtime.problems import Retry

log = structlog.get_logger("voice")
ENDING_S = 0.45  # kept for what follows a decision: the position, the records
DESK_S = 1.0
MOST_AHEAD = 5_000_000  # µs
MOST_QUESTIONS = 12  # in one decision; more would be a circle
STREAM_FAILED = frozenset({"streamerror", "streamfailed"})
SORRY = "We are sorry, your call cannot be taken just now. Please call again in a moment."
APOLOGIES: dict[Target, tuple[bytes, str]] = {  # written out: what renders may be what is broken
    "json": (f'{{"actions":[{{"say":{{"text":"{SORRY}"}}}},{{"hangup":{{}}}}]}}'.encode(), "application/json"),
    "xml": (f"<Response><Say>{SORRY}</Say><Hangup/></Response>".encode(), "application/xml"),
    "minivoice": (f'{{"actions":[{{"say":{{"text":"{SORRY}"}}}}]}}'.encode(), "application/json"),
}
NOTHING: dict[Target, tuple[bytes, str]] = {
    "json": (b'{"actions":[]}', "application/json"),
    "xml": (b"<Response/>", "application/xml"),
    "minivoice": (b'{"actions":[]}', "application/json"),
}
_VERBS: dict[type[Action], str] = {kind: verb for verb, kind in (*MINIVOICE.items(), *SAUTIKIT.items())}


class Asking:
    """One request while it is answered. `until` is of the loop's clock; `oddity` a (code, sentence) to be shown on the journey."""

    __slots__ = ("asked", "before", "facts", "flow", "key", "line", "not_before", "oddity", "position", "reply", "request", "said", "until")

    def __init__(self, line: Line, flow: Flow, asked: Asked, request: Request, *, until: float, oddity: tuple[str, str] = ("", "")):
        self.asked, self.request, self.until, self.oddity = asked, request, until, oddity
        self.turn_to(line, flow)
        self.position: Position | None = None
        self.before: State | None = None
        self.reply: Reply | None = None
        self.said: Said | None = None
        self.not_before: Micros = 0  # a provider's clock may be ahead of ours
        self.facts: Sequence[Event] = ()  # of a first answer, beside the decision's

    def turn_to(self, line: Line, flow: Flow) -> None:
        """It is answered by this flow."""
        self.line, self.flow = line, flow
        self.key = Key(line.tenant, line.account, self.request.call_sid, flow.name)

    def left_s(self) -> float:
        return self.until - asyncio.get_running_loop().time()


class Answering:
    """For one process."""

    def __init__(
        self, *, flows: Mapping[str, Flow], positions: Positions, digits: Digits, applications: Applications, desk: CallCentre,
        log_: recorded.Appending,
    ):  # fmt: skip
        self.positions, self.digits, self.applications, self.desk, self.log = positions, digits, applications, desk, log_
        self._called_back = {
            name for name, flow in flows.items() if any(isinstance(step, QueueStep | Bot) for step in flow.steps.values())
        }  # fmt: skip

    async def answer(self, asking: Asking) -> Said:
        """What is sent; both records are in the log when this returns."""
        await self.stands(asking)
        decision = await self._decided(asking) if asking.request.kind == "ask" else None
        if decision is None or not _leads(decision):
            await self.heard(asking)
            asking.said = Said(*NOTHING[form_of(asking.flow)])
        elif decision.replay and asking.position is not None:
            asking.said, decision = _again(asking.position), None
        else:
            asking.said = await self._kept(asking, decision)
            decision = None if asking.said.replay else decision
        if decision is not None and decision.state.queue is None:
            await self._gone_on(asking, decision)
        code, sentence = asking.oddity
        asking.said.fault, asking.said.fallback = asking.said.fault or code, asking.said.fallback or sentence
        await self.record(asking, asking.said, decision)
        return asking.said

    async def tell(self, asking: Asking) -> None:
        """A status callback: it is recorded and has its effects; no actions are wanted."""
        if asking.request.kind == "ask":
            asking.request.kind = "edge"
        await self.stands(asking)
        await self.heard(asking)
        line, flow = asking.line, asking.flow
        one = recorded.asked(line.origin, asking.asked.heard(flow), asking.request, flow=flow, before=asking.before, decision=None)
        await recorded.append(self.log, [one], within_s=asking.left_s())

    async def stands(self, asking: Asking) -> None:
        """Finds where the call stands. An address that is ahead of the row was handed out while the row could not be written."""
        request = asking.request
        with suppress(Retry):
            asking.position = await self.positions.find(asking.key)
        asking.before = asking.position.state if asking.position else None
        if request.visit is not None and (asking.before is None or asking.before.visit < request.visit):
            asking.before = State(step=request.step or "", visit=request.visit, tries=request.tries or 0)

    # ------------------------------------------------------------ deciding

    async def _decided(self, asking: Asking) -> Decision:
        """Asks and is asked until there is a decision."""
        request, state = asking.request, asking.position.state if asking.position else None
        known = self._known(asking)
        for _ in range(MOST_QUESTIONS):
            found = decide(asking.flow, state, request, known)
            if isinstance(found, Decision):
                if found.dialled is not None:
                    await self.quietly(self.desk.dialled(*asking.key[:3], answered=found.dialled, now=request.at))
                return found
            known = told(known, found, await self._find_out(asking, found, now=known.now))
            if found.what != "queue":  # what was waited for is not decided before it happened; a queue is entered when it is asked for
                known.now = max(clock.now(), asking.not_before)
        raise RuntimeError(f"flow {asking.flow.name} asks in circles")

    def _known(self, asking: Asking) -> Known:
        """What a decision needs of the outside before it asks for anything."""
        addresses, flow, request = asking.line.addresses, asking.flow.name, asking.request
        sid = request.call_sid
        return Known(
            now=request.at,
            address=lambda step, visit, tries: addresses.step(flow, step, visit=visit, tries=tries, call_sid=sid),
            events=addresses.events(flow, sid) if flow in self._called_back else "",
            audio=lambda step: addresses.audio(flow, step, sid),
            caller_id=number_of(request, asking.line.number),
        )

    async def _find_out(self, asking: Asking, ask: Ask, *, now: Micros) -> InQueue | Delegated | Gathered:
        if ask.what == "queue":
            return await self._entered(asking, ask, now=now)
        left, request = asking.left_s() - ENDING_S, asking.request
        if ask.what == "digits":
            heard = asking.position.state.heard if asking.position else ()
            wanted = Wanted(*asking.key[:3], since=ask.since, heard=heard)
            gathered, at = await self.digits.wait(wanted, asking.until - ENDING_S)
            asking.not_before = min(at + 1, request.at + MOST_AHEAD)
            return gathered
        asked = asking.asked
        forwarded = Forwarded(asked.method, asked.query, asked.headers, asked.body or b"")
        within_s = max(0.05, min(ask.timeout_ms / 1000, left))
        asking.reply = await self.applications.ask(ask.url, forwarded, dialect=asking.flow.dialect, within_s=within_s)
        return asking.reply.delegated

    async def _entered(self, asking: Asking, ask: Ask, *, now: Micros) -> InQueue:
        """A place in the queue, or a free agent. Nobody can tell: then a place, which the call centre makes good later."""
        request, line = asking.request, asking.line
        if ask.dialled is not None:
            await self.quietly(self.desk.dialled(*asking.key[:3], answered=ask.dialled, now=request.at))
        caller = Caller(
            tenant=line.tenant, account=line.account, provider=line.provider.name, call_sid=request.call_sid, flow=asking.flow.name,
            step=ask.step, queue=ask.queue, caller=request.caller, called=number_of(request, line.number),
        )  # fmt: skip
        within_s = max(0.05, min(DESK_S, asking.left_s() - ENDING_S))
        try:
            async with asyncio.timeout(within_s):
                return await self.desk.enter(caller, now=now, dial=True)
        except (Retry, TimeoutError) as away:
            log.warning("a caller waits without the call centre", call_sid=request.call_sid, reason=str(away) or "too slow")
        except Exception:
            log.exception("the call centre failed", call_sid=request.call_sid)
        return InQueue()

    # ------------------------------------------------------------ keeping and recording

    async def _kept(self, asking: Asking, decision: Decision) -> Said:
        """What is sent: this decision, or what a quicker request of the same call was answered."""
        form: Target = "xml" if decision.xml else form_of(asking.flow)
        document, content_type = render(decision.actions, form)
        reply = asking.reply
        if reply is not None and reply.document and decision.actions == reply.delegated.actions:
            document, content_type = reply.document, reply.content_type  # word for word: the PBX knows more than we do
        before = asking.position.state.visit if asking.position else 0
        if decision.state.visit > before:
            position = Position(decision.state, document, content_type)
            with suppress(Retry):
                stands = await self.positions.keep(asking.key, position)
                if stands is not position:
                    return _again(stands)
        fault, _, fallback = decision.anomaly.partition(": ")
        said_by_application = reply.said if reply is not None and document is not reply.document else ""
        return Said(
            document, content_type, verbs=verbs(decision.actions), fault=fault, fallback=fallback,
            said_by_application=said_by_application,
        )  # fmt: skip

    async def record(self, asking: Asking, said: Said, decision: Decision | None) -> None:
        """The request and the answer; `decision` None where it moved nothing."""
        flow, origin, request = asking.flow, asking.line.origin, asking.request
        links = [CallLinked(call_sid=request.call_sid, at=request.at, alias=alias) for alias in request.aliases]
        said.facts = [*(asking.facts if asking.before is None else ()), *links]
        pair = [
            recorded.asked(origin, asking.asked.heard(flow), request, flow=flow, before=asking.before, decision=decision),
            recorded.answered(origin, said, request, flow=flow.name, decision=decision),
        ]
        await recorded.append(self.log, pair, within_s=asking.left_s())

    # ------------------------------------------------------------ what is only told

    async def heard(self, asking: Asking) -> None:
        """The effects of a request that wants no actions: the call centre and the position learn of it."""
        request, before, (tenant, account, call_sid, flow) = asking.request, asking.before, asking.key
        word = word_of(request.state)
        if request.kind == "over":
            happy = before is not None and (before.served or before.dial_answered or request.dial_answered)
            if before is None or before.queue is not None:
                reason = "over" if happy else "abandoned"
                await self.quietly(self.desk.left(tenant, account, call_sid, reason=reason, now=request.at))
        elif word in STREAM_FAILED:
            await self.quietly(self.positions.mark_bot(tenant, account, call_sid, flow, "failed"))
        elif before is None or of_another_dial(request, before):
            return
        elif (word == "dialcompleted" or request.dial_answered is not None) and before.waits == "dial":
            if request.dial_answered is not None:
                await self.quietly(self.positions.mark_dialled(asking.key, request.dial_answered))
            if before.offer is not None:
                await self.quietly(self.desk.dialled(tenant, account, call_sid, answered=request.dial_answered, now=request.at))

    async def _gone_on(self, asking: Asking, decision: Decision) -> None:
        """Out of the queue, and into no other: whoever rings for the caller can stop."""
        for fact in decision.facts:
            if isinstance(fact, QueueLeft):
                await self.quietly(self.desk.left(*asking.key[:3], reason=fact.reason, now=fact.at))

    async def quietly(self, told_: Awaitable[object]) -> None:
        """Whoever is told says it again later where it cannot listen now; the caller is answered in any case."""
        try:
            async with asyncio.timeout(DESK_S):
                await told_
        except (Retry, TimeoutError) as away:
            log.warning("told later", reason=str(away) or "too slow")
        except Exception:
            log.exception("telling failed")


def number_of(request: Request, number: str) -> str:
    """Our own number in the call: the one that was dialled, or in a call of ours the one it was placed from."""
    return (request.caller if request.direction == "outbound" else request.called) or number


def form_of(flow: Flow) -> Target:
    return "minivoice" if flow.dialect == "minivoice" else flow.form


def verbs(actions: Sequence[Action]) -> list[str]:
    return [_VERBS.get(type(one), type(one).__name__.lower()) for one in actions]


def _leads(decision: Decision) -> bool:
    """Whether it answers at all: a word for a state that nobody knows, said of a call that has its answer, wants none."""
    return bool(decision.actions) or decision.replay


def _again(position: Position) -> Said:
    return Said(position.answer, position.content_type, replay=True)
