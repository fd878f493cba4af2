"""Many audio sockets that each send 20 ms of speech as soon as the last came back: counts frames, and looks at every byte of them.

`python -m benchmarks.talking PORT --sockets N --window W --seconds S [--stay]` prints one JSON document; with --stay it keeps the
sockets open afterwards until its standard input ends. `--window`: how many frames of a socket are on their way at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import struct
import sys
import time

import msgspec
import uvloop

from benchmarks.echoing import PATH

FRAME = 640  # bytes: 20 ms of S16LE at 16 kHz
CYCLE = 64  # distinct frames
BACK_WITHIN_S = 10.0
SPEECH = [random.Random(n).randbytes(FRAME) for n in range(CYCLE)]
SENT = [struct.pack(">BBH4x", 0x82, 0x80 | 126, FRAME) + one for one in SPEECH]  # masked, as a client must, with zeros
HEAD = struct.pack(">BBH", 0x82, 126, FRAME)
BACK = b"".join(HEAD + one for one in SPEECH) * 3  # what comes back, from any place in the cycle
WHOLE = len(HEAD) + FRAME
METADATA = b'{"callSid":"%s","sampleRate":16000,"metadata":{"caller":"+254722000001"}}'


class Talked(msgspec.Struct):
    """`returned` by the time the clock stopped; `lost`: sent and never seen again; `wrong`: bytes that were not what was sent."""

    returned: int
    seconds: float
    lost: int
    wrong: int

    @property
    def rate(self) -> float:
        return self.returned / self.seconds


class Socket(asyncio.Protocol):
    """One call."""

    def __init__(self, number: int, window: int):
        self.sid, self.window = f"HD_{number}", window
        self.first = number * 7 % CYCLE  # each begins elsewhere, so that no two can be taken for each other
        self.sent = self.came = 0  # frames, bytes
        self.wrong = 0
        self.open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.talking = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.transport.write(
            f"GET {PATH}?s=greet&c={self.sid} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: audio.drachtio.org\r\n\r\n".encode()
        )  # fmt: skip

    def data_received(self, data: bytes) -> None:
        if not self.open.done():
            assert data.startswith(b"HTTP/1.1 101"), data
            text = METADATA % self.sid.encode()
            self.transport.write(struct.pack(">BB4x", 0x81, 0x80 | len(text)) + text)
            self.open.set_result(None)
            return
        place = (self.first * WHOLE + self.came) % (CYCLE * WHOLE)
        self.wrong += data != BACK[place : place + len(data)]
        self.came += len(data)
        if self.talking:
            self._fill()

    def start(self) -> None:
        self.talking = True
        self._fill()

    def _fill(self) -> None:
        """As many on their way as the window has."""
        missing = self.window - (self.sent - self.returned)
        if missing > 0:
            begin = self.first + self.sent
            self.transport.write(b"".join(SENT[n % CYCLE] for n in range(begin, begin + missing)))
            self.sent += missing

    @property
    def returned(self) -> int:
        return self.came // WHOLE

    def connection_lost(self, exc: Exception | None) -> None:
        self.talking = False


async def talk(port: int, *, sockets: int, window: int, seconds: float, stay: bool) -> None:
    loop = asyncio.get_running_loop()
    made = [Socket(number, window) for number in range(sockets)]
    for one in made:
        await loop.create_connection(lambda one=one: one, "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*(one.open for one in made))
    began = time.monotonic()
    for one in made:
        one.start()
    await asyncio.sleep(seconds)
    returned, took = sum(one.returned for one in made), time.monotonic() - began
    for one in made:
        one.talking = False
    end = time.monotonic() + BACK_WITHIN_S
    while any(one.returned < one.sent for one in made) and time.monotonic() < end:  # noqa: ASYNC110  once, at the end
        await asyncio.sleep(0.01)
    lost, wrong = sum(one.sent - one.returned for one in made), sum(one.wrong for one in made)
    print(json.dumps(msgspec.to_builtins(Talked(returned, took, lost, wrong))), flush=True)
    if stay:
        await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--sockets", type=int, required=True)
    parser.add_argument("--window", type=int, default=1)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--stay", action="store_true")
    asked = parser.parse_args()
    uvloop.run(talk(asked.port, sockets=asked.sockets, window=asked.window, seconds=asked.seconds, stay=asked.stay))


if __name__ == "__main__":
    main()
