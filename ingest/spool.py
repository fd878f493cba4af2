"""The durable spool: what Kafka could not take within the deadline, on our own disk, fsynced before anybody is told 202.

Segments of frames (length, CRC-32, record). A process locks its own segments; those of a dead process are adopted. A segment
is removed once all of it is in Kafka; forwarded twice after a crash it does no harm, for a receipt counts once.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import queue
import struct
import threading
import time
import uuid
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from runtime.problems import Retry

HEAD = struct.Struct(">II")
LARGEST_SEGMENT = 16 << 20
SUFFIX = ".seg"


class Spooled(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One record that waits for Kafka."""

    topic: str
    key: str
    value: bytes


Waiting = tuple[list[Spooled], "asyncio.Future[None]"]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Spooled).decode


class Spool:
    """One process's spool in `folder`. `append` is for asyncio, `closed_segments`/`remove` for whoever forwards."""

    def __init__(self, folder: Path, *, max_bytes: int):
        self.folder, self.max_bytes = folder, max_bytes
        self.depth = 0
        self.oldest: float | None = None
        self.bytes = 0
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._active: BinaryIO | None = None
        self._closed: list[tuple[Path, BinaryIO, int]] = []
        self._lock = threading.Lock()
        self._asked: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_all, name="spool", daemon=True)
        self._writer.start()
        self.adopt()

    # ------------------------------------------------------------ appending

    async def append(self, records: list[Spooled]) -> None:
        """Returns when the records are on the disk. Raises Retry where there is no room or the disk fails."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked.put((records, done))
        await done

    def _write_all(self) -> None:
        """Takes all that wait, writes them, and syncs once."""
        while True:
            waiting = [self._asked.get()]
            while not self._asked.empty():
                waiting.append(self._asked.get())
            batch = [one for one in waiting if one is not None]
            error: Exception | None = None
            try:
                self._write([record for records, _ in batch for record in records])
            except OSError as fault:
                error = Retry(f"the spool cannot be written: {fault.strerror}")
            except Retry as full:
                error = full
            for _, done in batch:
                _tell(done, error)
            if len(batch) < len(waiting):
                return

    def _write(self, records: list[Spooled]) -> None:
        if not records:
            return
        frames = b"".join(_frame(record) for record in records)
        with self._lock:
            if self.bytes + len(frames) > self.max_bytes:
                raise Retry(f"the spool is full ({self.bytes} bytes)")
            out = self._active or self._open()
            start = out.tell()
            try:
                _write_whole(out, frames)
                os.fsync(out.fileno())
            except OSError:
                with suppress(OSError):  # what is half written was promised to nobody
                    out.truncate(start)
                if self._active is not None:  # nothing is ever written behind a torn end
                    self._close_active()
                raise
            self._active = out
            self._grow(len(records), len(frames))
            if start + len(frames) > LARGEST_SEGMENT:
                self._close_active()

    def _grow(self, records: int, size: int) -> None:
        self.oldest = self.oldest or time.time()
        self.depth += records
        self.bytes += size

    def _open(self) -> BinaryIO:
        path = self.folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}{SUFFIX}"
        out = open(path, "w+b", buffering=0)
        fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _sync_folder(self.folder)
        return out

    # ------------------------------------------------------------ forwarding

    def closed_segments(self) -> list[Path]:
        """All that wait, oldest first (`frames` reads one); new records go to a new segment from here on."""
        with self._lock:
            self._close_active()
            return [path for path, _, _ in self._closed]

    def _close_active(self) -> None:
        if self._active is not None:
            path = Path(self._active.name)
            self._closed.append((path, self._active, sum(1 for _ in frames(path))))
            self._active = None

    def remove(self, path: Path) -> None:
        """All of that segment is in Kafka."""
        with self._lock:
            for one in [one for one in self._closed if one[0] == path]:
                self._closed.remove(one)
                size = path.stat().st_size
                path.unlink()
                one[1].close()
                self.depth -= one[2]
                self.bytes -= size
            if self.depth == 0:
                self.oldest = None

    def adopt(self) -> None:
        """Takes over the segments of processes that are gone."""
        with self._lock:
            mine = {path for path, _, _ in self._closed} | ({Path(self._active.name)} if self._active else set())
            for path in sorted(self.folder.glob(f"*{SUFFIX}")):
                if path not in mine:
                    self._adopt(path)

    def _adopt(self, path: Path) -> None:
        try:
            held = open(path, "r+b", buffering=0)
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return  # its owner lives, or it is gone
        if not path.exists():
            held.close()
            return
        count = sum(1 for _ in frames(path))
        self._closed.append((path, held, count))
        self._grow(count, path.stat().st_size)

    def close(self) -> None:
        """Stops the writer; what waits stays on the disk for the next process."""
        self._asked.put(None)
        self._writer.join(5)
        with self._lock:
            self._close_active()
            for _, held, _ in self._closed:
                held.close()


def _write_whole(out: BinaryIO, data: bytes) -> None:
    """A disk that is nearly full takes a part of a write and says how much; only the next write fails."""
    left = memoryview(data)
    while left:
        left = left[out.write(left) :]


def _tell(done: asyncio.Future[None], error: Exception | None) -> None:
    def tell() -> None:
        if not done.done():
            done.set_exception(error) if error else done.set_result(None)

    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        done.get_loop().call_soon_threadsafe(tell)


def _frame(record: Spooled) -> bytes:
    packed = _encode(record)
    return HEAD.pack(len(packed), zlib.crc32(packed)) + packed


def frames(path: Path) -> Iterator[Spooled]:
    """The whole records of a segment; a torn end (never promised to anybody) is left out."""
    with open(path, "rb") as source:
        while len(head := source.read(HEAD.size)) == HEAD.size:
            size, crc = HEAD.unpack(head)
            packed = source.read(size)
            if len(packed) < size or zlib.crc32(packed) != crc:
                return
            yield _decode(packed)


def count(folder: Path) -> int:
    """Records waiting in all segments of `folder`, whoever owns them."""
    total = 0
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        with suppress(FileNotFoundError):  # forwarded while we looked
            total += sum(1 for _ in frames(path))
    return total


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
