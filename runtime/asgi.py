"""What our own ASGI applications share (the receivers, /voice, /audio): types, headers, bodies within bounds, a problem as the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

import msgspec

from runtime.problems import Refused

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

LARGEST = 1 << 20  # bytes of a body
MOST_HELD = 64 << 20  # bytes of bodies being read at one time


class Gone(Exception):
    """The sender went away before its body was complete."""


class TooLarge(Exception):
    """The body has more than LARGEST bytes."""


class TooMuch(Exception):
    """More than MOST_HELD bytes are being read already."""


class Bodies:
    """Reads whole bodies; of one application, so that many large ones at once are bounded together."""

    def __init__(self) -> None:
        self.held = 0

    async def read(self, receive: Receive, *, rest_within_s: float | None = None) -> bytes:
        """The whole body. Raises TooLarge, TooMuch, Gone, and TimeoutError where what follows its first part takes too long."""
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            body: bytes = message.get("body", b"")
            if len(body) > LARGEST:
                raise TooLarge
            return body
        async with asyncio.timeout(rest_within_s):
            return await self._chunks(receive, message)

    async def _chunks(self, receive: Receive, message: Message) -> bytes:
        chunks: list[bytes] = []
        size = 0
        try:
            while True:
                if message["type"] == "http.disconnect":
                    raise Gone
                chunk = message.get("body", b"")
                chunks.append(chunk)
                size += len(chunk)
                self.held += len(chunk)
                if size > LARGEST:
                    raise TooLarge
                if self.held > MOST_HELD:
                    raise TooMuch
                if not message.get("more_body"):
                    return b"".join(chunks)
                message = await receive()
        finally:
            self.held -= size


def headers_of(scope: Scope) -> dict[str, str]:
    """Lower-case names; a repeated header's values are joined."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1")
        found[key] = f"{found[key]}, {value.decode('latin-1')}" if key in found else value.decode("latin-1")
    return found


async def refuse(send: Send, refused: Refused, *, kind: str = "http.response") -> None:
    """Answers with the problem; `kind`: the ASGI messages to say it in."""
    body = msgspec.json.encode(refused.body())
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in refused.headers.items()]
    await send({"type": f"{kind}.start", "status": refused.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
