"""A provider that takes every call at once and notes when each order reached it.

`python -m benchmarks.provider` prints its port. POST …/v1/calls is noted; GET /told answers what was noted since it was last asked;
any other POST is answered in the same way and not noted.
"""

from __future__ import annotations

import asyncio
import re
import time

import msgspec
import uvloop

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
KEY = re.compile(rb"\r\nidempotency-key: *([^\r]*)", re.IGNORECASE)
ORDERS = b"POST /v1/calls "


class Order(msgspec.Struct):
    """`at`: by the machine's monotonic clock, when its last byte was here."""

    at: float
    key: str
    to: str
    callback: str


class Body(msgspec.Struct):
    to: list[str] = []
    voice_callback_url: str = ""


class Provider(asyncio.Protocol):
    orders: list[Order] = []  # noqa: RUF012  of all connections
    ids = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.come = b""

    def data_received(self, data: bytes) -> None:
        at = time.monotonic()
        self.come += data
        end = self.come.find(b"\r\n\r\n") + 4
        length = LENGTH.search(self.come, 0, end)
        if end < 4 or len(self.come) < end + (int(length[1]) if length else 0):
            return
        head, body, self.come = self.come[:end], self.come[end:], b""
        if head.startswith(b"GET"):
            self._answer(200, msgspec.json.encode(self.orders))
            self.orders.clear()
            return
        if head.startswith(ORDERS):
            self._note(at, head, body)
        Provider.ids += 1
        self._answer(201, b'{"call_id":"placed-%d","status":"queued"}' % Provider.ids)

    def _note(self, at: float, head: bytes, body: bytes) -> None:
        key, said = KEY.search(head), msgspec.json.decode(body, type=Body)
        self.orders.append(Order(at, key[1].decode() if key else "", said.to[0] if said.to else "", said.voice_callback_url))

    def _answer(self, status: int, body: bytes) -> None:
        head = b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.transport.write(head % (status, len(body)) + body)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
