"""The spool: what was promised is on the disk, whole, whatever happened around it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest import spool as spooling
from ingest.spool import Spool, Spooled, count, frames
from runtime.problems import Retry


def record(n: int, size: int = 10) -> Spooled:
    return Spooled("call-events", f"call-{n}", b"x" * size + str(n).encode())


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool", max_bytes=1 << 20)
    yield made
    made.close()


def put(spool: Spool, *records: Spooled) -> None:
    asyncio.run(spool.append(list(records)))


def kept(folder: Path) -> list[Spooled]:
    return [one for path in sorted(folder.glob("*.seg")) for one in frames(path)]


def test_what_is_appended_is_read_back_in_order(spool: Spool) -> None:
    put(spool, record(1), record(2))
    put(spool, record(3))
    assert kept(spool.folder) == [record(1), record(2), record(3)]
    assert (spool.depth, count(spool.folder)) == (3, 3)
    assert spool.oldest


def test_forwarded_it_is_gone(spool: Spool) -> None:
    put(spool, record(1), record(2))
    for segment in list(spool.closed_segments()):
        spool.remove(segment[0] if isinstance(segment, tuple) else segment)
    assert (spool.depth, spool.bytes, spool.oldest, list(spool.folder.iterdir())) == (0, 0, None, [])
    put(spool, record(3))
    assert kept(spool.folder) == [record(3)]


def test_many_at_once_are_all_there(spool: Spool) -> None:
    async def many() -> None:
        await asyncio.gather(*(spool.append([record(n)]) for n in range(500)))

    asyncio.run(many())
    assert sorted(kept(spool.folder), key=lambda one: one.key) == sorted(map(record, range(500)), key=lambda one: one.key)


def test_full_it_says_so_and_keeps_what_it_has(spool: Spool) -> None:
    put(spool, record(1, 900_000))
    with pytest.raises(Retry, match="full"):
        put(spool, record(2, 900_000))
    put(spool, record(3))
    assert [one.key for one in kept(spool.folder)] == ["call-1", "call-3"]


class Disk:
    """A file that takes `room` more bytes, a part of a write included, as a disk that fills up does."""

    def __init__(self, real: Any, room: int) -> None:
        self.real, self.room = real, room

    def write(self, data: bytes) -> int:
        if self.room <= 0:
            raise OSError(28, "No space left on device")
        taken = int(self.real.write(bytes(data)[: self.room]))
        self.room -= taken
        return taken

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def fill(spool: Spool, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    real = spool._open
    monkeypatch.setattr(spool, "_open", lambda: Disk(real(), room))


@pytest.mark.parametrize("room", [0, 1, 7, 8, 20, 119])
def test_a_disk_that_fills_up_in_the_middle_of_a_record_promises_nothing(spool: Spool, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    fill(spool, monkeypatch, room)
    with pytest.raises(Retry, match="No space"):
        put(spool, record(1, 100))
    monkeypatch.undo()
    put(spool, record(2))
    assert kept(spool.folder) == [record(2)]
    assert spool.depth == 1


def test_a_write_that_is_taken_in_parts_is_written_whole(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Disk):
        def write(self, data: bytes) -> int:
            return int(self.real.write(bytes(data)[:7]))

    real = spool._open
    monkeypatch.setattr(spool, "_open", lambda: Slow(real(), 0))
    put(spool, record(1, 100), record(2, 100))
    assert kept(spool.folder) == [record(1, 100), record(2, 100)]


def test_a_torn_end_is_left_out_and_nothing_before_it(tmp_path: Path) -> None:
    first = Spool(tmp_path, max_bytes=1 << 20)
    put(first, record(1), record(2), record(3))
    first.close()
    (path,) = tmp_path.glob("*.seg")
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        assert list(frames(path)) == [record(1), record(2), record(3)][: 3 * cut // len(whole)]
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert list(frames(path)) == [record(1), record(2)]


def test_the_segments_of_a_process_that_is_gone_are_adopted_those_of_a_living_one_are_not(tmp_path: Path) -> None:
    first = Spool(tmp_path, max_bytes=1 << 20)
    put(first, record(1), record(2))
    second = Spool(tmp_path, max_bytes=1 << 20)
    assert second.depth == 0
    first.close()
    second.adopt()
    assert (second.depth, count(tmp_path)) == (2, 2)
    second.adopt()
    assert second.depth == 2
    second.close()


def test_a_large_backlog_is_cut_into_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooling, "LARGEST_SEGMENT", 1000)
    made = Spool(tmp_path, max_bytes=1 << 20)
    for n in range(20):
        put(made, record(n, 200))
    assert len(list(tmp_path.glob("*.seg"))) > 3
    assert (made.depth, len(kept(tmp_path))) == (20, 20)
    made.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="the mode of a folder binds nobody else here")
def test_only_we_may_read_it(spool: Spool) -> None:
    assert spool.folder.stat().st_mode & 0o077 == 0
