"""A server with nothing but the audio socket on it, a provider that opens it, and what the log and the positions were told."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from api.audio import SERVER, Audio, Maker
from api.audio.engines import ENGINES
from calls.envelope import Envelope
from calls.voice.flow import Bot, Flow, HangupStep
from ingest.heads import BoundedHeads
from runtime.settings import Settings

PROTOCOL: Any = "audio.drachtio.org"
SECRETS = ["whsec_test", "whsec_old"]


def settings(**engines: Mapping[str, Any]) -> Settings:
    accounts = {
        "acme": {"provider": "sautikit", "signing_secrets": SECRETS},
        "open": {"provider": "sautikit", "signature": "none", "tenant": "other"},
    }
    return Settings.model_validate({"accounts": accounts, "engines": {name.replace("_", "-"): value for name, value in engines.items()}})


def flow(name: str, *, account: str = "open", **bot: Any) -> Flow:
    """`bye`, then the bot step `greet`."""
    steps = {"bye": HangupStep(kind="hangup"), "greet": Bot(kind="bot", **({"hand_over_to": "front"} | bot))}
    return Flow(name=name, account=account, start="greet", steps=steps, dialect="sautikit")


class Desk:
    """`port` is where it listens; `told` what was appended, as neutral events; `marks` what the positions were told."""

    def __init__(self) -> None:
        self.port = 0
        self.envelopes: list[Envelope] = []
        self.marks: list[tuple[str, ...]] = []
        self.app: Any = None

    async def append(self, envelopes: Sequence[Envelope]) -> None:
        self.envelopes += envelopes

    async def mark(self, *said: str) -> None:
        self.marks.append(said)

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(one.body or "") for one in self.envelopes]

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.told]

    @property
    def marked(self) -> list[str]:
        return [said[-1] for said in self.marks]

    @property
    def turns(self) -> list[tuple[str, str | None]]:
        return [(event["role"], event.get("text")) for event in self.told if event["type"] == "bot.turn"]

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def until(self, probe: Any, within: float = 5) -> None:
        async with asyncio.timeout(within):
            while not probe(self):  # noqa: ASYNC110  probes look at several things at once
                await asyncio.sleep(0.005)


async def nothing_else(scope: Any, receive: Any, send: Any) -> None:
    """The application around which the audio socket stands."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def served(*flows: Flow, known: Settings | None = None, engines: Mapping[str, Maker] = ENGINES, **more: Any) -> AsyncIterator[Desk]:
    desk = Desk()
    named = {one.name: one for one in flows}
    desk.app = Audio(nothing_else, known or settings(), named, append=desk.append, mark_bot=desk.mark, engines=engines, **more)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    desk.port = listening.getsockname()[1]
    config = uvicorn.Config(
        desk.app, http=BoundedHeads, lifespan="off", log_level=logging.ERROR, timeout_graceful_shutdown=2, **SERVER
    )  # fmt: skip
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listening])  # its serve() without the loop that only looks every 100 ms whether to stop
    try:
        yield desk
    finally:
        await server.shutdown(sockets=[listening])
        listening.close()


@asynccontextmanager
async def line(desk: Desk, path: str = "/audio/reception?c=HD_1", **more: Any) -> AsyncIterator[ClientConnection]:
    """The provider's end."""
    async with connect(desk.url + path, subprotocols=[PROTOCOL], compression=None, proxy=None, **more) as opened:
        yield opened


async def until_closed(opened: ClientConnection, within: float = 5) -> tuple[bytes, list[str]]:
    """All audio and all text that came until the other side closed."""
    audio, texts = bytearray(), []
    async with asyncio.timeout(within):
        try:
            while True:
                frame = await opened.recv()
                if isinstance(frame, bytes):
                    audio += frame
                else:
                    texts.append(frame)
        except ConnectionClosed:
            return bytes(audio), texts
