"""One call's audio line: what the caller said, bounded; what is said to them, paced as it is heard.

The provider plays what it is sent. Sent in one go, a long answer could not be taken back when the caller interrupts; so at
most `AHEAD_S` of it is out at any time, in frames of 20 ms, and the rest waits here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, MutableMapping
from typing import Any, Literal, TypeAlias

from runtime.asgi import Send

Role: TypeAlias = Literal["caller", "bot"]

FRAME_S = 0.02
AHEAD_S = 0.2  # of real time
LOW_S = 0.1  # where the next frames are sent: a few at a time, not a timer for each
HEARD_S = 5.0  # of the caller kept for a slow engine: a provider's first burst is 1.2 s
HEARD_FRAMES = 1000  # however short they are
SAID_S = 60.0  # waiting to be said; models speak faster than real time
KILL = '{"type":"killAudio"}'


class Heard:
    """The caller's audio on its way to the engine. Of what nobody takes in time the oldest is lost, and counted."""

    __slots__ = ("_frames", "_most", "_over", "_size", "_waiter", "lost")

    def __init__(self, most: int):
        self._frames: deque[bytes] = deque()
        self._most, self._size, self._over = most, 0, False
        self._waiter: asyncio.Future[None] | None = None
        self.lost = 0  # bytes

    def put(self, frame: bytes) -> None:
        """Half a sample at the end of a frame is nothing: it goes, and the next frame begins anew."""
        size = len(frame)
        if size & 1 or size > self._most:
            frame = frame[: size & ~1][-self._most :]
            self.lost += (size & ~1) - len(frame)
            size = len(frame)
        if not size or self._over:
            return
        self._frames.append(frame)
        self._size += size
        while self._size > self._most or len(self._frames) > HEARD_FRAMES:
            gone = len(self._frames.popleft())
            self._size -= gone
            self.lost += gone
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        """No more will come; what waits can still be taken."""
        self._over = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> Heard:
        return self

    async def __anext__(self) -> bytes:
        while not self._frames:
            if self._over:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
            self._waiter = None
        frame = self._frames.popleft()
        self._size -= len(frame)
        return frame


class Line:
    """What an engine has of a call (see engine.py). `rate` is in samples a second: 8000 or 16000."""

    __slots__ = (
        "_ahead", "_bytes_s", "_caller", "_frame", "_loop", "_most", "_on_ready", "_on_turn", "_over", "_pacer", "_room", "_said",
        "_send", "_spoken", "_until", "rate",
    )  # fmt: skip

    def __init__(
        self, rate: int, send: Send, *, on_ready: Callable[[], None], on_turn: Callable[[Role, str | None], None], ahead_s: float = AHEAD_S
    ):
        self.rate = rate
        self._send, self._on_ready, self._on_turn, self._ahead = send, on_ready, on_turn, ahead_s
        self._loop = asyncio.get_running_loop()
        self._bytes_s = 2 * rate
        self._frame, self._most = int(self._bytes_s * FRAME_S), int(self._bytes_s * SAID_S)
        self._caller = Heard(int(self._bytes_s * HEARD_S))
        self._said = bytearray()
        self._until = 0.0  # when the caller will have heard all that was sent
        self._spoken = False  # since the last interruption
        self._over = False
        self._pacer: asyncio.Task[None] | None = None
        self._room = asyncio.Event()

    # ---------------------------------------------------------------- the engine's side

    def heard(self) -> Heard:
        return self._caller

    def ready(self) -> None:
        self._on_ready()

    def turn(self, role: Role, text: str | None = None) -> None:
        self._on_turn(role, text)

    async def say(self, pcm: bytes) -> None:
        """To be heard after all that was said before. Waits where `SAID_S` of it wait already: then the caller's end is slow."""
        if self._over or not pcm:
            return
        if self._pacer is None and len(pcm) == self._frame and self._until - self._loop.time() < self._ahead - FRAME_S:
            await self._put(pcm)  # in time and alone: the way of audio that comes in real time
            return
        self._said += pcm
        if self._pacer is None:
            self._pacer = self._loop.create_task(self._pace())
        while len(self._said) > self._most and not self._over:
            self._room.clear()
            await self._room.wait()

    async def barge_in(self) -> int:
        """The caller spoke: nothing more of what was said is heard. Returns the milliseconds that they did not hear."""
        now = self._loop.time()
        unheard = len(self._said) / self._bytes_s + max(0.0, self._until - now)
        self._said.clear()
        self._room.set()
        self._until = min(self._until, now)
        if self._spoken and not self._over:
            self._spoken = False
            await self._deliver({"type": "websocket.send", "text": KILL})
        return round(1000 * unheard)

    async def drained(self, within_s: float) -> None:
        """Until the caller has heard everything, or for so long."""
        end = self._loop.time() + within_s
        if self._pacer is not None:
            await asyncio.wait({self._pacer}, timeout=within_s)
        left = min(self._until, end) - self._loop.time()
        if left > 0 and not self._over:
            await asyncio.sleep(left)

    # ---------------------------------------------------------------- the call's side

    def hear(self, frame: bytes) -> None:
        self._caller.put(frame)

    def close(self) -> None:
        """Nothing can be heard or said any more."""
        self._over = True
        self._said.clear()
        self._caller.close()
        self._room.set()
        if self._pacer is not None:
            self._pacer.cancel()

    @property
    def lost_ms(self) -> int:
        """Of the caller's audio, that the engine did not take in time."""
        return 1000 * self._caller.lost // self._bytes_s

    # ---------------------------------------------------------------- pacing

    async def _pace(self) -> None:
        """Sends what waits: a few frames, then a pause until they are nearly heard."""
        try:
            while self._said:
                ahead = self._until - self._loop.time()
                if ahead > self._ahead - FRAME_S:
                    await asyncio.sleep(ahead - min(LOW_S, self._ahead / 2))
                    continue
                if len(self._said) < self._frame and ahead > FRAME_S:  # more may come to make it whole
                    await asyncio.sleep(ahead - FRAME_S)
                    continue
                frame = bytes(self._said[: self._frame])
                del self._said[: self._frame]
                if len(self._said) <= self._most:
                    self._room.set()
                await self._put(frame)
        finally:
            self._pacer = None

    async def _put(self, frame: bytes) -> None:
        self._until = max(self._until, self._loop.time()) + len(frame) / self._bytes_s
        self._spoken = True
        await self._deliver({"type": "websocket.send", "bytes": frame})

    async def _deliver(self, message: MutableMapping[str, Any]) -> None:
        try:
            await self._send(message)
        except OSError:  # the provider's end is gone; whoever reads from it is told so
            self.close()
