"""Sends prepared requests over kept-alive connections and keeps every answer: as fast as they are answered, or at a steady rate.

`python -m benchmarks.asking PORT FILE --connections N [--rate R]` sends the requests of FILE (msgpack: a list of bytes, each a whole
HTTP request), once each, and writes FILE.answers (msgpack: a list of Answer, in the same order).
"""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import msgspec
import uvloop

from benchmarks.measuring import percentile, pinned
from benchmarks.stack import ROOT

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
TICK_S = 0.001


class Answer(msgspec.Struct, array_like=True):
    """`due`: when it was to be sent (where there is no rate, when it was). Both times are of the machine's monotonic clock."""

    status: int
    body: bytes
    due: float
    answered: float

    @property
    def wait_ms(self) -> float:
        return (self.answered - self.due) * 1000


class Asked(msgspec.Struct):
    """What came of a list of requests."""

    answers: list[Answer]

    @property
    def seconds(self) -> float:
        return max(one.answered for one in self.answers) - min(one.due for one in self.answers)

    @property
    def rate(self) -> float:
        return len(self.answers) / self.seconds

    def wait_ms(self, share: float) -> float:
        return percentile([one.wait_ms for one in self.answers], share)

    def other_than(self, status: int) -> int:
        return sum(one.status != status for one in self.answers)


def http(method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
    """One whole request."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    length = f"Content-Length: {len(body)}\r\n" if body or method == "POST" else ""
    return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{length}{lines}\r\n".encode() + body


def ask(
    port: int, requests: Sequence[bytes], *, folder: Path, connections: int, rate: float | None = None, core: int | None = None
) -> Asked:  # fmt: skip
    """By a process of its own on `core`."""
    file = folder / "requests"
    file.write_bytes(msgspec.msgpack.encode(list(requests)))
    command = [sys.executable, "-m", "benchmarks.asking", str(port), str(file), "--connections", str(connections)]
    with pinned(core):
        subprocess.run([*command, *(["--rate", str(rate)] if rate else [])], cwd=ROOT, check=True)
    return Asked(msgspec.msgpack.decode(file.with_suffix(".answers").read_bytes(), type=list[Answer]))


async def send(port: int, requests: Sequence[bytes], *, connections: int, rate: float | None = None) -> list[Answer]:
    """The answers in the order of the requests. Raises ConnectionError where a connection is closed before its answer."""
    asking = Asking(requests)
    loop = asyncio.get_running_loop()
    for _ in range(min(connections, len(requests))):
        await loop.create_connection(lambda: Connection(asking), "127.0.0.1", port)
    asking.start(rate)
    await asking.done
    return [answer for answer in asking.answers if answer is not None]


class Asking:
    """All requests of a run: which is next, who is free to send it, what was answered."""

    def __init__(self, requests: Sequence[bytes]):
        self.requests = requests
        self.answers: list[Answer | None] = [None] * len(requests)
        self.left = len(requests)
        self.free: deque[Connection] = deque()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._next = 0
        self._rate: float | None = None
        self._began = 0.0

    def start(self, rate: float | None) -> None:
        self._began, self._rate = time.monotonic(), rate
        self._hand_out()

    def _hand_out(self) -> None:
        """Every request that is due, as long as somebody is free; again in a moment where they are due one after the other."""
        now = time.monotonic()
        while self.free and self._next < len(self.requests):
            due = now if self._rate is None else self._began + self._next / self._rate
            if due > now:
                break
            self.free.popleft().send(self._next, due)
            self._next += 1
        if self._rate is not None and self._next < len(self.requests):
            asyncio.get_running_loop().call_later(TICK_S, self._hand_out)

    def answered(self, number: int, answer: Answer, connection: Connection) -> None:
        self.answers[number] = answer
        self.left -= 1
        if not self.left:
            self.done.set_result(None)
        elif self._rate is None and self._next < len(self.requests):
            self._next += 1
            connection.send(self._next - 1, time.monotonic())
        else:
            self.free.append(connection)

    def lost(self) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError("a connection was closed before its answer came"))


class Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, asking: Asking):
        self.asking = asking
        self.number = -1
        self.due = 0.0
        self.come = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.asking.free.append(self)

    def send(self, number: int, due: float) -> None:
        self.number, self.due = number, due
        self.transport.write(self.asking.requests[number])

    def data_received(self, data: bytes) -> None:
        come = self.come = self.come + data if self.come else data
        head = come.find(b"\r\n\r\n")
        if head < 0:
            return
        length = LENGTH.search(come, 0, head + 2)
        if len(come) < head + 4 + (int(length[1]) if length else 0):
            return
        self.come = b""
        self.asking.answered(self.number, Answer(int(come[9:12]), come[head + 4 :], self.due, time.monotonic()), self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.asking.lost()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("file", type=Path)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--rate", type=float)
    asked = parser.parse_args()
    requests = msgspec.msgpack.decode(asked.file.read_bytes(), type=list[bytes])
    answers = uvloop.run(send(asked.port, requests, connections=asked.connections, rate=asked.rate))
    asked.file.with_suffix(".answers").write_bytes(msgspec.msgpack.encode(answers))


if __name__ == "__main__":
    main()
