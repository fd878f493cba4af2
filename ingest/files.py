"""Files of lines, plain or gzip, read as a stream: memory stays small however long the file, or one of its lines, is."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from typing import Any, Protocol

LARGEST_LINE = 1 << 20
UTF16 = (b"\xff\xfe", b"\xfe\xff")


class Lines(Protocol):
    """What gives lines as bytes, at most `limit` of one at a time."""

    def readline(self, limit: int, /) -> bytes: ...


def unzipped(raw: io.BufferedReader) -> Any:
    """What is in `raw`, a file or a pipe. Reading may raise OSError, EOFError or zlib.error."""
    return gzip.open(raw) if raw.peek(2)[:2] == b"\x1f\x8b" else raw


def bounded_lines(source: Lines) -> Iterator[bytes]:
    """Lines with their ends; one over LARGEST_LINE comes shortened, yet longer than that."""
    while line := source.readline(LARGEST_LINE + 2):
        if not line.endswith(b"\n") and len(line) > LARGEST_LINE:
            while (more := source.readline(LARGEST_LINE)) and not more.endswith(b"\n"):
                pass
        yield line


def as_utf8(source: Any) -> Lines:
    """The same, where a spreadsheet wrote it as UTF-16 in UTF-8. `source` can be peeked at."""
    return _Recoded(source) if source.peek(2)[:2] in UTF16 else source


class _Recoded:
    def __init__(self, source: Any) -> None:
        self._text = io.TextIOWrapper(source, "utf-16", errors="replace", newline="\n")

    def readline(self, limit: int, /) -> bytes:
        return self._text.readline(limit).encode()
