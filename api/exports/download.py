"""An export over HTTP: written into a file without a name, read behind the writer.

So Postgres is free as soon as it has given all rows, however slowly somebody reads; a part of the bytes can be asked for; and the
file is gone with the answer, whatever happens to us. Whoever goes away ends the query.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, NamedTuple

import structlog
from starlette.datastructures import Headers
from starlette.responses import Response

from api.exports.export import CHUNK, Export
from api.exports.ranges import Part, has_it, wanted
from api.exports.statements import Asked
from runtime.asgi import Receive, Scope, Send
from runtime.problems import Refused, Retry

MOST = 8  # exports at one time in one process: each has a connection, a thread, a file
STALLED_S = 120.0  # a client that takes nothing for so long is gone
SHORT_S = 0.1  # an export that is written within this says its length
LOOK_S = 0.02  # how often we look for more to send
log = structlog.get_logger("exports")


class Taken(NamedTuple):
    """An export, the file it is written into, and the thread that writes."""

    export: Export
    file: IO[bytes]
    thread: ThreadPoolExecutor


class Exports:
    """What the exports of one process share: a folder for their files, and how many there may be."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self._url, self._folder = database_url, folder
        self._free = threading.BoundedSemaphore(MOST)

    @asynccontextmanager
    async def taken(self, asked: Asked) -> AsyncIterator[Taken]:
        """All that one export needs; it is gone afterwards. Raises Retry where MOST are under way or there is no room."""
        if not self._free.acquire(blocking=False):
            raise Retry(f"{MOST} exports are under way here: ask again when one of them is done")
        try:
            with self._file() as file:
                export, thread = Export(asked, self._url), ThreadPoolExecutor(1, thread_name_prefix="export")
                try:
                    yield Taken(export, file, thread)
                finally:
                    thread.shutdown(wait=False)
                    await asyncio.shield(asyncio.to_thread(export.close))
        finally:
            self._free.release()

    def _file(self) -> IO[bytes]:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return tempfile.TemporaryFile(dir=self._folder)
        except OSError as error:
            raise Retry(f"an export cannot be kept in {self._folder}: {error.strerror}") from error


class Download(Response):
    """200 with all bytes, 206 with a part, 304, or 416. `name`: the file's, for whoever saves it."""

    def __init__(self, exports: Exports, asked: Asked, *, name: str) -> None:
        super().__init__()
        self._exports, self._asked, self._name = exports, asked, name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._exports.taken(self._asked) as taken:
            answer = asyncio.create_task(self._answer(taken, Headers(scope=scope), send=send))
            gone = asyncio.create_task(_gone(receive))
            try:
                await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
                if answer.done():
                    answer.result()
            finally:
                answer.cancel()
                gone.cancel()

    async def _answer(self, taken: Taken, headers: Headers, *, send: Send) -> None:
        run, file = asyncio.get_running_loop().run_in_executor, taken.file
        given = await run(taken.thread, taken.export.open)
        about = {"etag": given.etag, "cache-control": "private, no-cache", "vary": "Authorization", "accept-ranges": "bytes"}
        if has_it(headers, given.etag):
            await _start(send, 304, about)
            await _end(send)
            return
        about |= {"content-type": self._asked.form.media_type, "content-disposition": f'attachment; filename="{self._name}"'}
        writing = run(taken.thread, taken.export.write, file)
        writing.add_done_callback(lambda done: done.cancelled() or done.exception())  # who stops waiting for it has stopped it
        part = wanted(headers, given.etag)
        if part is None:
            await self._all(file, writing, about=about, send=send)
        else:
            await _part(file, writing, part=part, about=about, send=send)

    async def _all(self, file: IO[bytes], writing: asyncio.Future[None], *, about: dict[str, str], send: Send) -> None:
        """Sends what is there while the rest is being written. Raises what the writer raised as long as nothing was sent."""
        await asyncio.wait({writing}, timeout=SHORT_S)
        if writing.done():
            writing.result()
            about |= {"content-length": str(_size(file))}
        pieces = _behind(file, writing)
        first = await anext(pieces, b"")
        await _start(send, 200, about)
        try:
            await _send(send, first)
            async for piece in pieces:
                await _send(send, piece)
        except (Retry, OSError, RuntimeError, TimeoutError) as error:
            log.warning("an export broke off", dataset=self._asked.dataset.name, error=repr(error))
            return  # without the answer's end, which tells the client that something is missing
        await _end(send)


async def _part(file: IO[bytes], writing: asyncio.Future[None], *, part: Part, about: dict[str, str], send: Send) -> None:
    """Sends some of the bytes. Raises what the writer raised, and Refused 416."""
    await asyncio.wait({writing})
    writing.result()
    size = _size(file)
    found = part.within(size)
    if found is None:
        known = {"Content-Range": f"bytes */{size}", "ETag": about["etag"]}
        raise Refused(416, "No such range", f"the export has {size} bytes: ask for a range that begins within them", headers=known)
    first, end = found
    await _start(send, 206, about | {"content-range": f"bytes {first}-{end - 1}/{size}", "content-length": str(end - first)})
    async for piece in _behind(file, writing, first=first, end=end):
        await _send(send, piece)
    await _end(send)


async def _behind(file: IO[bytes], writing: asyncio.Future[None], *, first: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
    """The file's bytes from `first` to before `end`, as they come. Raises what the writer raises, when all before it was given."""
    while end is None or first < end:
        complete = writing.done()
        piece = await asyncio.to_thread(os.pread, file.fileno(), min(CHUNK, (end or first + CHUNK) - first), first)
        first += len(piece)
        if piece:
            yield piece
        elif complete:
            writing.result()
            return
        else:
            await asyncio.wait({writing}, timeout=LOOK_S)


def _size(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


async def _start(send: Send, status: int, headers: dict[str, str]) -> None:
    listed = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": listed})


async def _send(send: Send, piece: bytes) -> None:
    """Raises TimeoutError where the client takes nothing for STALLED_S."""
    async with asyncio.timeout(STALLED_S):
        await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _end(send: Send) -> None:
    await send({"type": "http.response.body", "body": b""})


async def _gone(receive: Receive) -> None:
    """Returns when the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass
