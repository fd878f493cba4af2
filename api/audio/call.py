"""One audio socket from its acceptance to its end: who calls, the engine, what became of it.

The provider's first text frame may name the call where the address does not; audio may come before it. Whatever happens, the
socket is closed in order (1000) as soon as the outcome is kept, because the provider then asks the redirect after the Stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from api.audio.engine import Ending, Engine, Unavailable
from api.audio.line import Line
from api.audio.telling import Telling
from calls.providers.reading import first_id
from calls.voice.flow import Bot
from runtime.asgi import Receive, Send

log = structlog.get_logger()

NAMED_WITHIN_S = 10.0
DRAINED_WITHIN_S = 20.0  # the last sentence before a human is dialled
LARGEST_MESSAGE = 256 << 10
NAMES = ("callSid", "sessionId", "call_sid", "call_id", "streamSid")
GONE = Ending("failed", "the provider closed the socket")  # if the caller is still there, somebody must talk to them


class AudioCall:
    """`telling_of(call_sid)` makes the one that tells; `call_sid` "" where only the metadata can say it."""

    def __init__(
        self, receive: Receive, send: Send, *, step_name: str, step: Bot, call_sid: str, telling_of: Callable[[str], Telling],
        longest_s: float, ahead_s: float,
    ):  # fmt: skip
        self.receive, self.send = receive, send
        self.step_name, self.step, self.longest_s = step_name, step, longest_s
        self.telling_of = telling_of
        self.telling: Telling | None = None
        self.was_ready = False
        self.line = Line(step.sampling_rate, send, on_ready=self._ready, on_turn=self._turn, ahead_s=ahead_s)
        self.named: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if call_sid:
            self.named.set_result(call_sid)

    async def run(self, engine: Engine) -> Ending | None:
        """How it ended; None where nobody said within NAMED_WITHIN_S which call it is."""
        reading = asyncio.create_task(self._read())
        try:
            either: set[asyncio.Future[Any]] = {reading, self.named}
            await asyncio.wait(either, timeout=NAMED_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
            if not self.named.done():
                await self._close(reading, 1008, "no text frame named the call")
                return None
            self.telling = self.telling_of(self.named.result())
            ending = await self._talk(engine, reading)
            await self._finish(self.telling, ending, reading)
            return ending
        finally:
            self.line.close()
            reading.cancel()

    # ---------------------------------------------------------------- the caller's side

    async def _read(self) -> None:
        """Every frame as soon as it comes, so that neither the provider nor the memory waits for the engine."""
        receive, hear = self.receive, self.line.hear
        while True:
            message = await receive()
            frame = message.get("bytes")
            if frame:
                if len(frame) > LARGEST_MESSAGE:
                    await self._too_large()
                    return
                hear(frame)
            elif message["type"] == "websocket.disconnect":
                return
            elif not self.named.done():
                sid = named_by(message.get("text") or "")
                if sid:
                    self.named.set_result(sid)

    async def _too_large(self) -> None:
        try:
            await self.send({"type": "websocket.close", "code": 1009, "reason": "a message may have 256 KiB"})
        except (OSError, RuntimeError):
            return

    # ---------------------------------------------------------------- the engine's side

    async def _talk(self, engine: Engine, reading: asyncio.Task[None]) -> Ending:
        running = asyncio.ensure_future(engine(self.line))
        try:
            await asyncio.wait({running, reading}, timeout=self.longest_s, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                return self._outcome(running)
            if reading.done():
                return GONE
            return Ending("ended", f"longer than {self.longest_s:.0f} s")
        finally:
            if not running.done():
                running.cancel()
                await asyncio.wait({running}, timeout=2)

    def _outcome(self, running: asyncio.Future[Ending]) -> Ending:
        try:
            return running.result()
        except Unavailable as why:
            log.warning("the bot's engine cannot be had", engine=self.step.engine, reason=str(why))
            return Ending("failed", str(why))
        except Exception:
            log.exception("the bot's engine failed", engine=self.step.engine)
            return Ending("failed", "a fault of the engine")

    def _ready(self) -> None:
        if self.telling is not None and not self.was_ready:
            self.was_ready = True
            self.telling.mark("open")
            self.telling.started(self.step.engine, self.step_name)

    def _turn(self, role: str, text: str | None) -> None:
        if self.telling is not None:
            self.telling.turn(role, text)

    # ---------------------------------------------------------------- the end

    async def _finish(self, telling: Telling, ending: Ending, reading: asyncio.Task[None]) -> None:
        telling.mark(ending.how)
        if ending.how != "failed":
            drained = asyncio.create_task(self.line.drained(DRAINED_WITHIN_S))
            await asyncio.wait({drained, reading}, return_when=asyncio.FIRST_COMPLETED)
            drained.cancel()
        if self.was_ready:
            handed_over = ending.how == "handed_over"
            telling.over(ending.reason, handed_over=handed_over, to=self.step.hand_over_to, lost_ms=self.line.lost_ms)
        await telling.marked()
        await self._close(reading, 1000, ending.how)
        await telling.settled()

    async def _close(self, reading: asyncio.Task[None], code: int, reason: str) -> None:
        self.line.close()
        if reading.done():
            return
        try:
            await self.send({"type": "websocket.close", "code": code, "reason": reason[:100]})
        except (OSError, RuntimeError):  # it went in this very moment
            return


def named_by(text: str) -> str:
    """The call that a text frame names, at its top or under `metadata` or `openMetadata`; "" where it names none."""
    fields = _object(text)
    for place in (fields, _object(fields.get("metadata")), _object(fields.get("openMetadata"))):
        sid = first_id(place, NAMES)
        if sid:
            return sid
    return ""


def _object(value: object) -> dict[str, object]:
    """A JSON object, also one written as a text."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value.encode("utf-8", "replace"))
        except (msgspec.DecodeError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}
