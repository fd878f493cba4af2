"""What every benchmark shares: rounds, the CPU of a process tree, the load of others on the machine, and results.

Two things are compared by measuring both in every round, one right after the other; what counts is the median of the rounds'
ratios. A round during which others used more than OTHERS of a core is noisy: it is done again, and the quietest one stands.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, TypeVar

import msgspec

OTHERS = 0.3  # cores
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
T = TypeVar("T")


class Size(msgspec.Struct, frozen=True):
    """How much to measure."""

    quick: bool = False

    @property
    def rounds(self) -> int:
        return 3

    @property
    def repeats(self) -> int:
        """How often a noisy round is done again."""
        return 0 if self.quick else 2

    def of(self, full: T, quick: T) -> T:
        return quick if self.quick else full


class Target(msgspec.Struct, frozen=True):
    """What a ratio (or a size) must reach: `sign` is ≥ or ≤."""

    sign: str
    value: float
    aim: float | None = None

    def met(self, found: float) -> bool:
        return found >= self.value if self.sign == "≥" else found <= self.value

    def __str__(self) -> str:
        return f"{self.sign} {self.value:g}" + (f" (aim {self.aim:g})" if self.aim is not None else "")


class Result(msgspec.Struct):
    """One line. `value` is the median of `values`; `absolutes` are shown beside it and not judged."""

    name: str
    what: str
    values: list[float]
    target: Target | None = None
    unit: str = ""
    absolutes: dict[str, str] = {}
    noisy: int = 0
    wrong: str = ""  # why it counts as zero

    @property
    def value(self) -> float:
        return statistics.median(self.values) if self.values and not self.wrong else 0.0

    @property
    def passed(self) -> bool:
        return not self.wrong and (self.target is None or self.target.met(self.value))


class Round(NamedTuple):
    """`ratio` of the two arms; `figures` are medians' raw material; `others`: the largest load of others in any arm, in cores."""

    ratio: float
    figures: dict[str, float]
    others: float


def rounds(size: Size, one: Callable[[int], Round]) -> list[Round]:
    """The rounds, each the quietest of its tries."""
    found = []
    for number in range(size.rounds):
        tries = [one(number)]
        while tries[-1].others > OTHERS and len(tries) <= size.repeats:
            tries.append(one(number))
        found.append(min(tries, key=lambda each: each.others))
    return found


def noisy(found: Sequence[Round]) -> int:
    return sum(one.others > OTHERS for one in found)


def medians(found: Sequence[Round]) -> dict[str, float]:
    return {name: statistics.median(one.figures[name] for one in found) for name in found[0].figures}


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


# ---------------------------------------------------------------- processes


def parents() -> dict[int, int]:
    """pid -> its parent, of every process."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        fields = _fields(int(entry.name))
        if fields:
            found[int(entry.name)] = int(fields[1])
    return found


def tree(*roots: int) -> set[int]:
    """The processes and all their descendants."""
    above, found = parents(), set(roots)
    while more := {pid for pid, parent in above.items() if parent in found} - found:
        found |= more
    return found


def cpu_s(*roots: int) -> float:
    """CPU seconds of these processes and of all below them, those that have ended included."""
    return sum(sum(map(int, fields[11:15])) for fields in map(_fields, tree(*roots)) if fields) * TICK_S


def _fields(pid: int) -> list[str]:
    """Of /proc/<pid>/stat, from the state on; empty where the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return []


def memory_mb(pid: int) -> dict[str, float]:
    """`rss`, `pss` (shared pages divided among their users) and `peak` (of rss), in MB."""
    found = {}
    for file, names in (("smaps_rollup", {"Rss": "rss", "Pss": "pss"}), ("status", {"VmHWM": "peak"})):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in names:
                found[names[name]] = int(rest.split()[0]) / 1024
    return found


class Meter:
    """CPU seconds of named process trees between two moments, and the cores that others used meanwhile."""

    def __init__(self, pids: Mapping[str, int]):
        self.pids = dict(pids)
        self.cpu: dict[str, float] = {}
        self.others = self.seconds = 0.0

    def __enter__(self) -> Meter:
        self._before, self._all, self._began = self._now(), self._machine(), time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        now, machine = self._now(), self._machine()
        self.seconds = time.monotonic() - self._began
        self.cpu = {name: now[name] - self._before[name] for name in self.pids}
        ours = now[""] - self._before[""]
        self.others = max(0.0, machine - self._all - ours) / max(self.seconds, TICK_S)

    def micros(self, events: float) -> dict[str, float]:
        """CPU µs per event of each."""
        return {name: used / max(1.0, events) * 1e6 for name, used in self.cpu.items()}

    def _now(self) -> dict[str, float]:
        return {"": cpu_s(os.getpid())} | {name: cpu_s(pid) for name, pid in self.pids.items()}

    def _machine(self) -> float:
        """Busy seconds of all cores, without those of interrupts (they are everybody's)."""
        user, nice, system, _, _, _, _, stolen = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
        return (user + nice + system + stolen) * TICK_S


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Processes started meanwhile run on that core alone, where the machine has it and lets us say so."""
    before = os.sched_getaffinity(0)
    if core is not None and len(before) > 1:
        os.sched_setaffinity(0, {sorted(before)[min(core, len(before) - 1)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def eventually(probe: Callable[[], T | None], what: str, within_s: float = 60, every_s: float = 0.01) -> T:
    """What `probe` returns as soon as it is true. Raises TimeoutError."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        found = probe()
        if found:
            return found
        time.sleep(every_s)
    raise TimeoutError(f"{what}: not within {within_s:.0f} s")
