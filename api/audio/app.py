"""`WS /audio/{flow}`: the provider's audio socket, an ASGI application around the rest.

Refused before the upgrade: a flow or step that is no bot (404), a socket that does not offer `audio.drachtio.org` (400), no
token of ours where the account requires signatures (401). A plain request gets 426.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import msgspec
from prometheus_client import Counter, Gauge

from api.audio.call import LARGEST_MESSAGE, AudioCall
from api.audio.engine import Ending, Maker
from api.audio.engines import ENGINES
from api.audio.line import AHEAD_S
from api.audio.telling import Append, MarkBot, Telling
from calls.providers.reading import identifier
from calls.voice.flow import Bot, Flow
from runtime.asgi import Application, Receive, Scope, Send, refuse
from runtime.problems import Refused
from runtime.settings import EngineSettings, Settings
from runtime.telemetry import REGISTRY
from runtime.tokens import genuine

PREFIX = "/audio/"
SUBPROTOCOL = "audio.drachtio.org"
# How uvicorn is to serve it: no compression (speech does not shrink), pings, messages that are closed with 1009 beyond the bound.
SERVER: Mapping[str, Any] = {
    "ws": "websockets-sansio", "ws_per_message_deflate": False, "ws_ping_interval": 20.0, "ws_ping_timeout": 20.0,
    "ws_max_size": LARGEST_MESSAGE,
}  # fmt: skip

OPEN = Gauge("safiri_audio_sockets", "Audio sockets that are open.", registry=REGISTRY)
ENDINGS = Counter("safiri_bot_calls", "Bots' parts of calls, by engine and how they ended.", ["engine", "how"], registry=REGISTRY)
LOST = Counter("safiri_audio_lost_ms", "Milliseconds of callers' audio that an engine did not take in time.", registry=REGISTRY)


class Asked(msgspec.Struct):
    """A socket that may be opened. `call_sid` "": the metadata has to name it."""

    flow: Flow
    step_name: str
    step: Bot
    call_sid: str


class Audio:
    """The ASGI application: /audio/… here, everything else to `inner`.

    `append(envelopes)` puts own events into the log (`Log.append_soon`); `mark_bot(tenant, account, call_sid, flow, mark)` keeps
    the `bot` of the call's position: "open", then "handed_over", "ended" or "failed". Neither is waited for while audio flows; the
    last mark is awaited (a second or two at most) before the socket is closed. `engines` by the step's `engine`.
    """

    def __init__(
        self, inner: Application, settings: Settings, flows: Mapping[str, Flow], *, append: Append, mark_bot: MarkBot,
        engines: Mapping[str, Maker] = ENGINES, ahead_s: float = AHEAD_S,
    ):  # fmt: skip
        self.inner, self.settings, self.flows = inner, settings, flows
        self.append, self.mark_bot = append, mark_bot
        self.engines, self.ahead_s = engines, ahead_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan" or not scope["path"].startswith(PREFIX):
            await self.inner(scope, receive, send)
        elif kind == "websocket":
            await self._socket(scope, receive, send)
        else:
            detail = f"this address is a WebSocket with the subprotocol {SUBPROTOCOL}"
            upgrade = {"Upgrade": "websocket", "Connection": "Upgrade"}
            await refuse(send, Refused(426, "Upgrade required", detail, headers=upgrade))

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        try:
            asked = self._asked(scope)
        except Refused as refused:
            await _refuse(scope, send, refused)
            return
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
        with OPEN.track_inprogress():
            await self._relay(asked, receive, send)

    async def _relay(self, asked: Asked, receive: Receive, send: Send) -> None:
        name, account = asked.flow.account, self.settings.accounts[asked.flow.account]
        known = self.settings.engines.get(asked.step.engine) or EngineSettings()
        call = AudioCall(
            receive, send, step_name=asked.step_name, step=asked.step, call_sid=asked.call_sid, longest_s=known.max_call_s,
            ahead_s=self.ahead_s, telling_of=lambda sid: Telling(
                self.append, self.mark_bot, tenant=account.tenant, account=name, provider=account.provider, call_sid=sid,
                flow=asked.flow.name,
            ),
        )  # fmt: skip
        ending: Ending | None = None
        try:
            ending = await call.run(self.engines[asked.step.engine](asked.step, known))
        finally:
            LOST.inc(call.line.lost_ms)
            ENDINGS.labels(asked.step.engine, ending.how if ending else "nobody").inc()

    def _asked(self, scope: Scope) -> Asked:
        flow = self.flows.get(scope["path"][len(PREFIX) :])
        if flow is None:
            raise Refused(404, "Unknown flow", "no flow of that name is configured; its address is /audio/<flow>")
        if SUBPROTOCOL not in scope["subprotocols"]:
            raise Refused(400, "Unknown subprotocol", f"offer the subprotocol {SUBPROTOCOL}")
        query = parse_qs(scope["query_string"].decode("latin-1"), errors="replace", max_num_fields=50)
        call_sid, step_name, given = (query.get(name, [""])[0] for name in ("c", "s", "k"))
        self._verify(flow, given, call_sid, step_name)
        if call_sid and identifier(call_sid) is None:
            raise Refused(400, "Invalid call", "a call's id has at most 256 characters, none of them a control character")
        step_name = step_name or next((name for name, step in flow.steps.items() if isinstance(step, Bot) and not step.url), "")
        step = flow.steps.get(step_name)
        if not isinstance(step, Bot) or step.url or step.engine not in self.engines:
            raise Refused(404, "No bot here", "the address names no bot step of this flow whose audio is relayed here")
        return Asked(flow, step_name, step, call_sid)

    def _verify(self, flow: Flow, given: str, call_sid: str, step: str) -> None:
        account = self.settings.accounts[flow.account]
        secrets = [secret.get_secret_value() for secret in account.signing_secrets]
        if account.signature == "required" and not genuine(given, secrets, "audio", flow.name, call_sid, step):
            raise Refused(401, "Not our address", "open the address that the answer's Stream named, unchanged")


async def _refuse(scope: Scope, send: Send, refused: Refused) -> None:
    """A problem instead of the upgrade; where the server cannot do that, its own 403."""
    if "websocket.http.response" in (scope.get("extensions") or {}):
        await refuse(send, refused, kind="websocket.http.response")
    else:
        await send({"type": "websocket.close", "code": 1008, "reason": refused.title})
