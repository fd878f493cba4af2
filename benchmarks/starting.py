"""From the start of `safiri up` on a used data directory until it takes traffic, against Postgres and Kafka alone."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.measuring import Meter, Result, Round, Size, Target, medians, noisy, rounds
from benchmarks.stack import Folder, first_line, start, stop

TARGET = Target("≤", 2.5)
UP = ("-P", "-m", "cli", "up", "--port", "0", "--data-dir")
STACK = ("-m", "benchmarks.stack")


class Five(Size, frozen=True):
    """Short rounds, more of them."""

    @property
    def rounds(self) -> int:
        return self.of(5, 3)


def run(size: Size) -> list[Result]:
    with ExitStack() as opened:
        whole, bare = (opened.enter_context(Folder()) for _ in range(2))
        fresh = _seconds(whole, UP)
        _seconds(bare, STACK)

        def one(_: int) -> Round:
            with Meter({}) as meter:
                ours, limit = _seconds(whole, UP), _seconds(bare, STACK)
            return Round(ours / limit, {"up": ours, "stack": limit}, meter.others)

        found = rounds(Five(size.quick), one)
        middle = medians(found)
        shown = {"warm up": f"{middle['up']:.2f} s", "Postgres and Kafka alone": f"{middle['stack']:.2f} s", "fresh data": f"{fresh:.2f} s"}
        if not size.quick:
            shown |= {"fresh data again": f"{_fresh():.2f} s", "cold": f"{_cold():.2f} s (an empty cache: the jars are fetched)"}
    return [
        Result("starting", "warm `safiri up` ÷ Postgres and Kafka alone", [one.ratio for one in found], TARGET, "", shown, noisy(found))
    ]


def _seconds(folder: Path, program: tuple[str, ...], env: dict[str, str] | None = None) -> float:
    """From the start to the line that says it is ready; then stopped."""
    errors = folder / "errors.log"
    began = time.monotonic()
    process = start(
        [sys.executable, *program, str(folder / "data")], env={"SAFIRI_CONFIG": str(folder / "safiri.toml"), **(env or {})}, errors=errors
    )
    try:
        first_line(process, errors)
        return time.monotonic() - began
    finally:
        stop(process)


def _fresh(env: dict[str, str] | None = None) -> float:
    found = []
    for _ in range(3 if env is None else 1):
        with Folder() as folder:
            found.append(_seconds(folder, UP, env))
    return statistics.median(found)


def _cold() -> float:
    with tempfile.TemporaryDirectory(prefix="safiri-bench-", dir="/tmp") as cache:
        Path(cache).chmod(0o755)
        return _fresh({"SAFIRI_CACHE_DIR": cache})
