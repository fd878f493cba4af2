"""The provider's end of an audio socket: the caller's voice to a bot, the bot's voice back, until one of them has enough."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
import websockets

from calls.simulator_answers import Do
from virtual.courier import Post
from virtual.lifecycle import edge, encoded
from virtual.line import Line
from virtual.voice import Next

if TYPE_CHECKING:
    from virtual.verbs import Scene

PROTOCOL = websockets.Subprotocol("audio.drachtio.org")
FRAME_S = 0.02
OPEN_S = 5.0
BURST = 10  # frames that come at once when a call is connected


async def stream(scene: Scene) -> Next | None:
    """Connects, holds the call while the socket lives, tells how it went. Raises Gone where the caller hung up."""
    line, do = scene.line, scene.do
    url = do.text("url") or ""
    try:
        socket = await websockets.connect(url, subprotocols=[PROTOCOL], compression=None, open_timeout=OPEN_S, max_size=1 << 20)
    except (OSError, websockets.WebSocketException, TimeoutError) as error:
        scene.engine.courier.counts["streams refused"] += 1
        await _tell(scene, "StreamError", {"streamError": f"{type(error).__name__}: {error}"[:200]})
        return None
    far = line.far("bot")
    far.answered_at = line.now()
    scene.engine.courier.spawn(_tell(scene, "StreamStarted", {}))
    leaving = line.later(line.wish.bot_ms / 1000, "caller")
    try:
        async with socket:
            await _converse(socket, line, do)
    finally:
        leaving.cancel()
        far.ended_at = line.lived.ended_at or line.now()
        await _tell(scene, "StreamStopped", {})
    line.check()
    line.after_bot = True
    return None


async def _converse(socket: websockets.ClientConnection, line: Line, do: Do) -> None:
    """The first frame says whose call it is; then 20 ms of voice at a time, while whatever comes back is heard."""
    rate = int(do.number("outputSamplingRate", 16000))
    headers = do.text("headerMetadata")
    first: dict[str, object] = {
        "callSid": line.session, "sessionId": line.session, "streamSid": f"ST{line.session[3:]}", "callerNumber": line.lived.caller,
        "destinationNumber": line.lived.called, "sampleRate": rate, "headers": msgspec.json.decode(headers) if headers else {},
        "metadata": do.text("openMetadata") or "",
    }  # fmt: skip
    with suppress(websockets.ConnectionClosed):
        await socket.send(msgspec.json.encode(first).decode())
        heard = asyncio.ensure_future(_hear(socket))
        try:
            await _speak(socket, line, frame=_tone(rate), heard=heard)
        finally:
            heard.cancel()


async def _speak(socket: websockets.ClientConnection, line: Line, *, frame: bytes, heard: asyncio.Future[None]) -> None:
    await socket.send(frame * BURST)
    while not heard.done() and not line.over:
        await socket.send(frame)
        await asyncio.wait({heard}, timeout=FRAME_S)


async def _hear(socket: websockets.ClientConnection) -> None:
    with suppress(websockets.ConnectionClosed):
        async for _ in socket:
            pass


def _tone(rate: int) -> bytes:
    """20 ms of a voice: a tone that a detector of speech takes for one."""
    samples = (int(9000 * math.sin(2 * math.pi * 300 * n / rate)) for n in range(rate // 50))
    return b"".join(struct.pack("<h", sample) for sample in samples)


async def _tell(scene: Scene, state: str, more: Mapping[str, str]) -> None:
    """The edge on the voice URL, and the stream's own status callback where it was asked for."""
    line, do = scene.line, scene.do
    said = {"streamSid": f"ST{line.session[3:]}", "streamName": do.text("name") or "", **more}
    await scene.engine.courier.send(line, edge(line, state, said))
    word = {"StreamStarted": "stream-started", "StreamStopped": "stream-stopped", "StreamError": "stream-error"}[state]
    url = do.text("statusCallback")
    if url and word in (do.text("statusEvents") or "").split():
        told = {"sessionId": line.session, "callSessionState": state, "streamEvent": word, **said}
        body, kind = encoded(line, told)
        await scene.engine.courier.send(line, Post(url=url, body=body, content_type=kind, signed=False))
