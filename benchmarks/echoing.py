"""Two servers for audio sockets, with the settings of `safiri serve http`: `relay` is the product's audio with an engine that says
what it hears, without the pacing of speech; `bare` says each message again and does nothing else.

`python -m benchmarks.echoing PORT relay|bare`
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import uvicorn
import uvloop

from api.audio import SERVER, Audio, Ending, Engine, Line
from calls.envelope import Envelope
from calls.voice.flow import Bot, Flow
from ingest.heads import BoundedHeads
from runtime.settings import EngineSettings, Settings

SETTINGS = {"accounts": {"acme": {"provider": "sautikit", "signature": "none"}}}
PATH = "/audio/line"
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def echo(_: Bot, __: EngineSettings) -> Engine:
    async def run(line: Line) -> Ending:
        line.ready()
        async for frame in line.heard():
            await line.say(frame)
        return Ending("ended", "the caller left")

    return run


async def nothing(scope: Message, receive: Receive, send: Send) -> None:
    """GET answers 200, to be asked whether it is there."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


async def bare(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] != "websocket":
        await nothing(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][0]})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("bytes"):
            await send({"type": "websocket.send", "bytes": message["bytes"]})


def relay() -> Audio:
    async def append(_: Sequence[Envelope]) -> None:
        return

    async def mark_bot(*_: str) -> None:
        return

    step = Bot(kind="bot", engine="scripted", hand_over_to="front")
    flow = Flow(name="line", account="acme", start="greet", steps={"greet": step}, dialect="sautikit")
    settings = Settings.model_validate(SETTINGS)
    return Audio(nothing, settings, {"line": flow}, append=append, mark_bot=mark_bot, engines={"scripted": echo}, ahead_s=1e9)


async def _serve(port: int, which: str) -> None:
    config = uvicorn.Config(
        relay() if which == "relay" else bare, host="127.0.0.1", port=port, http=BoundedHeads, access_log=False, log_level=logging.ERROR,
        server_header=False, timeout_keep_alive=75, timeout_graceful_shutdown=1, limit_concurrency=4096, lifespan="off", **SERVER,
    )  # fmt: skip
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(sys.argv[1]), sys.argv[2]))
