"""Rows as JSON lines on their way into Parquet: the writing end of the program in parquet_program.py."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO

import msgspec

END = b"end\n"
"""The last line: without it the input was cut short."""
THREADS = "2"


@contextmanager
def feeding(out: IO[bytes], columns: Sequence[tuple[str, str]]) -> Iterator[IO[bytes]]:
    """Where to write the rows so that `out` becomes Parquet. Raises OSError where `out` takes no more.

    `columns`: (name, kind) in their order.
    """
    with tempfile.TemporaryFile() as said:
        program = subprocess.Popen(
            [sys.executable, "-P", "-m", "api.exports.parquet_program"], stdin=subprocess.PIPE, stdout=out.fileno(), stderr=said,
            env={**os.environ, "POLARS_MAX_THREADS": THREADS},
        )  # fmt: skip
        assert program.stdin is not None
        try:
            with suppress(BrokenPipeError):  # it ended too early: why, it has said itself
                program.stdin.write(msgspec.json.encode(columns) + b"\n")
                yield program.stdin
                program.stdin.write(END)
                program.stdin.close()
        except BaseException:
            program.kill()
            raise
        finally:
            with suppress(OSError):
                program.stdin.close()
            code = program.wait()
        if code:
            said.seek(0)
            raise _why(code, said.read().decode(errors="replace"))


def _why(code: int, said: str) -> Exception:
    if "Broken pipe" in said:
        return BrokenPipeError(errno.EPIPE, "nobody reads any more")
    if "No space left" in said:
        return OSError(errno.ENOSPC, "no space left for the export")
    return RuntimeError(f"the writer of Parquet ended with {code}: {said[-2000:]}")
