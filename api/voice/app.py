"""`/voice/**`: an ASGI application around the API, like the webhooks' receiver, because somebody waits on the phone.

| route | what |
|---|---|
| `GET`, `POST /voice/{flow}`, `/voice/{flow}/{step}` | what to do with the call: 200 and actions as JSON or XML, always, in time |
| `POST /voice/{flow}/events` | status callbacks of conferences, streams and recordings: 204 |
| `GET`, `POST /voice/~offer/{account}`, `/voice/~order/{account}` | the same for calls that we have placed (`placed.py`) |

Refused: 401 (not the account's signature, nor an address of ours), 404 (no such flow), 405. All else is answered: a request
that cannot be read as a call of its own, a bug of ours with an apology, what is late at the deadline with what is known by then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import NamedTuple

import structlog
from prometheus_client import Counter, Histogram

from api.voice.answering import APOLOGIES, NOTHING, Answering, Asking, form_of
from api.voice.asked import Asked, Line, body_of
from api.voice.delegate import Applications
from api.voice.gathered import Digits
from api.voice.placed import PLACED, Placed
from api.voice.positions import Positions
from api.voice.recorded import Appending, Said
from calls.voice.flow import Flow
from desk.interface import CallCentre
from runtime import clock
from runtime.asgi import Application, Bodies, Gone, Receive, Scope, Send, refuse
from runtime.problems import Refused
from runtime.settings import Settings
from runtime.telemetry import REGISTRY

log = structlog.get_logger("voice")

PREFIX = "/voice/"
EVENTS = "events"
MARGIN_S = 0.15  # what is left of the deadline for sending the answer
BODY_WITHIN_S = 1.2
ANSWERS = Counter("safiri_voice_answers", "Answers to voice requests, by flow and outcome.", ["flow", "outcome"], registry=REGISTRY)
SECONDS = Histogram(
    "safiri_voice_seconds", "From a voice request's head to its answer.", registry=REGISTRY,
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5),
)  # fmt: skip


class Route(NamedTuple):
    """`flow` None: a call that we have placed, of `line`'s account. `step` "" : the flow's own address."""

    line: Line
    flow: Flow | None
    step: str


class Voice:
    """The ASGI application: /voice/… here, everything else to `inner`.

    `public` is where providers reach us. Belongs to the running event loop; `close` when the server has stopped.
    """

    def __init__(
        self, inner: Application, *, log_: Appending, settings: Settings, flows: Mapping[str, Flow], desk: CallCentre, database_url: str,
        public: str,
    ):  # fmt: skip
        self.inner, self.flows = inner, flows
        self._counters: dict[tuple[str, str], Counter] = {}
        self.within_s = settings.voice_deadline_ms / 1000 - MARGIN_S
        self.lines = {name: Line(name, settings, public) for name in settings.accounts if name in _answering_accounts(settings)}
        self.positions = Positions(database_url)
        self.bodies, self.digits, self.applications = Bodies(), Digits(database_url), Applications()
        self.answering = Answering(
            flows=flows, positions=self.positions, digits=self.digits, applications=self.applications, desk=desk, log_=log_
        )  # fmt: skip
        self.placed = Placed(self.answering, flows=flows, lines=self.lines)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self.inner(scope, receive, send)
            return
        began = time.perf_counter()
        name = "unknown"
        try:
            route = self._route(scope)
            name = route.flow.name if route.flow else route.step
            said, outcome = await self._said(route, scope, receive)
            await _answer(send, said)
        except Refused as refused:
            outcome = str(refused.status)
            await refuse(send, refused)
        except Gone:
            outcome = "gone"
        self._count(name, outcome)
        SECONDS.observe(time.perf_counter() - began)

    def _count(self, name: str, outcome: str) -> None:
        """Finding a labelled counter costs more than counting."""
        counter = self._counters.get((name, outcome))
        if counter is None:
            counter = self._counters[name, outcome] = ANSWERS.labels(name, outcome)
        counter.inc()

    def _route(self, scope: Scope) -> Route:
        first, slash, rest = scope["path"][len(PREFIX) :].partition("/")
        method = scope["method"]
        if first in PLACED:
            line, flow, step = self.lines.get(rest), None, first
        else:
            flow, step = self.flows.get(first), rest
            line = self.lines.get(flow.account) if flow else None
        if line is None or "/" in step or (slash and not rest):
            raise Refused(404, "Unknown flow", f"no flow {first[:100]!r} is configured; a flow's address is /voice/<flow>")
        if method != "POST" and (method != "GET" or step == EVENTS):
            allowed = "POST" if step == EVENTS else "GET, POST"
            raise Refused(405, "Method not allowed", "ask this address as the header Allow says", headers={"Allow": allowed})
        return Route(line, flow, step)

    async def _said(self, route: Route, scope: Scope, receive: Receive) -> tuple[Said | None, str]:
        """(the answer, None for one without a body; its outcome for the counter). One timer, for the body and then for the rest."""
        began = asyncio.get_running_loop().time()
        until, asked, asking = began + self.within_s, Asked(scope), None
        try:
            async with asyncio.timeout_at(began + min(BODY_WITHIN_S, self.within_s / 2)) as limit:
                asked.body, asked.unread = await body_of(self.bodies, receive)
                limit.reschedule(until)
                asking = self._asking(route, asked, until)
                return await self._led(route, asking)
        except TimeoutError:
            if asking is not None:
                return self._late(asking)
        asked.body, asked.unread = None, "(the body did not come in time)"
        asking = self._asking(route, asked, until)
        try:
            async with asyncio.timeout_at(until):
                return await self._led(route, asking)
        except TimeoutError:
            return self._late(asking)

    async def _led(self, route: Route, asking: Asking) -> tuple[Said | None, str]:
        try:
            if route.step == EVENTS or "e" in asking.asked.ours:
                await self.answering.tell(asking)
                return None, "event"
            said = await (self.answering.answer(asking) if route.flow else self.placed.answer(asking, route.step))
            return said, _outcome(asking)
        except Exception:
            log.exception("a bug, answered with an apology", path=asking.asked.path[:200], call_sid=asking.request.call_sid)
            return await self._sorry_and_recorded(asking), "fault"

    def _late(self, asking: Asking) -> tuple[Said, str]:
        """What was decided in time is said, though its record may not be written."""
        log.error("answered at the deadline", path=asking.asked.path[:200], call_sid=asking.request.call_sid)
        return asking.said or self._sorry(asking), "late"

    def _asking(self, route: Route, asked: Asked, until: float) -> Asking:
        """Raises Refused where it cannot be believed."""
        line, flow, step, at = route.line, route.flow, route.step, clock.now()
        if flow is None:
            return self.placed.asking(line, step, asked, until=until)
        said = ours_of(flow.name, step, asked)
        believed = line.verify(asked, *said)
        known = step in flow.steps
        request = asked.request(at=at, step=step if known else None, believed=believed and (known or step in ("", EVENTS)))
        oddity = ("", "") if known or step in ("", EVENTS) else ("unknown_step", f"the flow has no step {step[:100]}")
        sid = asked.ours.get("c", "")
        if known and believed and sid and sid != request.call_sid and not request.call_sid.startswith("odd-"):
            request.aliases = [*request.aliases, request.call_sid]
            request.call_sid = sid
        return Asking(line, flow, asked, request, until=until, oddity=oddity)

    def _sorry(self, asking: Asking) -> Said:
        form = form_of(asking.flow)
        return Said(*(APOLOGIES if asking.request.kind == "ask" else NOTHING)[form])

    async def _sorry_and_recorded(self, asking: Asking) -> Said:
        """The record says what went wrong, where it can be written at all."""
        said = self._sorry(asking)
        said.fallback, said.fault, said.verbs = "a fault of ours: the log has its details", "flow_fault", ("say", "hangup")
        try:
            async with asyncio.timeout(max(0.1, asking.left_s())):
                await self.answering.record(asking, said, None)
        except Exception:
            log.exception("nor can it be recorded")
        return said

    async def close(self) -> None:
        await self.positions.close()
        await self.digits.close()
        await self.applications.close()


def ours_of(flow: str, step: str, asked: Asked) -> tuple[str, ...]:
    """What the token in this request's address must say to be ours."""
    ours = asked.ours
    if step == EVENTS:
        return ("events", flow, ours.get("c", ""))
    return ("step", flow, step, ours.get("v", ""), ours.get("r", ""), ours.get("c", ""))


def _answering_accounts(settings: Settings) -> set[str]:
    return {name for name, account in settings.accounts.items() if account.provider in ("sautikit", "minivoice")}


def _outcome(asking: Asking) -> str:
    if asking.request.kind != "ask":
        return asking.request.kind
    said = asking.said
    if said is None or said.replay:
        return "replay"
    return "fallback" if said.fallback else "answered"


async def _answer(send: Send, said: Said | None) -> None:
    if said is None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        return
    headers = [(b"content-type", said.content_type.encode()), (b"content-length", b"%d" % len(said.document))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said.document})
