"""Uvicorn's protocol with a limit on the size of a request's head and on the time it may take: it has neither of its own."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST = 256 << 10  # bytes read before a head is complete
WITHIN_S = 20.0
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class BoundedHeads(HttpToolsProtocol):
    """A sender whose head is over LARGEST gets 431; one that does not finish it WITHIN_S is cut off."""

    _open = False  # a head has begun and is not complete
    _size = 0
    _clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._clock = self.loop.call_later(WITHIN_S, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_clock()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._open, self._size = True, 0

    def on_headers_complete(self) -> None:
        self._open = False
        self._stop_clock()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._open or self.transport.is_closing():
            return
        self._size += len(data)
        if self._size > LARGEST:
            self.transport.write(TOO_LARGE)
            self.transport.close()
        elif self._clock is None:
            self._clock = self.loop.call_later(WITHIN_S, self.transport.close)

    def _should_upgrade(self) -> bool:
        """Elsewhere, and for other methods, the header is ignored and the request answered: a websocket's parser would just hang up."""
        return self.scope["method"] == "GET" and self.url.startswith(b"/audio/") and super()._should_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """A request that asks for an upgrade in vain is nobody's fault that a log must tell of."""

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
