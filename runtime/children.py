"""The children of `safiri up`: each started, missed, started again, and stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from runtime.embedded import spawn
from runtime.embedded.home import Home

GATE = "SAFIRI_GATE_FD"  # in a child's environment: the read end of a pipe whose end of file says go on
LOG_LIMIT = 20 << 20  # bytes; a larger log is set aside when its part starts
STEADY_S = 30.0  # who lived that long did not die "in a row"
LONGEST_PAUSE_S = 10.0
STOP_S = 20.0  # all of them together
LAST_WORD_S = 3.0  # kept for each that is stopped later


@dataclass
class Child:
    part: spawn.Part
    process: subprocess.Popen[bytes] | None = None
    began: float = 0.0
    answering: bool = False
    again_at: float | None = None
    deaths: int = 0  # in a row
    hopeless: int = 0  # in a row
    restarts: int = 0
    log_from: int = 0  # where this start's lines begin

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.returncode is None

    @property
    def code(self) -> int | None:
        """The exit code of the last start; None while it runs."""
        return self.process.returncode if self.process else None


@dataclass
class Gate:
    """Children started early wait at its read end until it is opened."""

    read: int
    write: int

    def open(self) -> None:
        os.close(self.read)
        os.close(self.write)


@dataclass
class Children:
    home: Home
    say: Callable[[str], None]
    by_name: dict[str, Child] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Child]:
        return iter(list(self.by_name.values()))

    def add(self, part: spawn.Part) -> Child:
        """The child of that name, made known where it is new."""
        if part.name not in self.by_name:
            self.by_name[part.name] = Child(part)
            self.write_restarts()
        return self.by_name[part.name]

    def start(self, child: Child, gate: Gate | None = None) -> None:
        """Main thread only (see `spawn`)."""
        part = child.part
        if gate:
            part = replace(part, env={**(part.env or os.environ), GATE: str(gate.read)})
        with self._log(child) as log:
            child.process = spawn.start(part, log, [gate.read] if gate else [])
        child.began, child.again_at, child.answering = time.monotonic(), None, part.answers is None
        with suppress(OSError):  # a full disk does not end those who run
            self.home.remember({one.part.name: one.process.pid for one in self if one.process and one.alive})

    def start_again(self, child: Child) -> None:
        """A machine that has no process or file to spare now may have one later."""
        try:
            self.start(child)
        except OSError as error:
            child.again_at = time.monotonic() + LONGEST_PAUSE_S
            self.say(f"{child.part.name} cannot be started ({error}); again in {LONGEST_PAUSE_S:.0f} s")
            return
        child.restarts += 1
        self.write_restarts()

    def write_restarts(self) -> None:
        """restarts.json: how often each was started again since `up` began, for /metrics."""
        scratch = self.home.path / "restarts.new"
        with suppress(OSError):
            scratch.write_text(json.dumps({child.part.name: child.restarts for child in self}))
            scratch.rename(self.home.path / "restarts.json")

    def dead(self) -> list[Child]:
        """Those whose end had not been noticed yet."""
        return [child for child in self if child.process and child.process.returncode is None and child.process.poll() is not None]

    def mourn(self, child: Child, hopeless: bool) -> None:
        """Counts the death and says when it is started again: at once the first time, then ever later."""
        _end_group(child)
        if time.monotonic() - child.began > STEADY_S:
            child.deaths = child.hopeless = 0
        child.deaths += 1
        child.hopeless = child.hopeless + 1 if hopeless else 0
        pause = 0.0 if child.deaths == 1 else min(0.2 * 2 ** (child.deaths - 2), LONGEST_PAUSE_S)
        child.answering, child.again_at = False, time.monotonic() + pause
        self.say(f"{child.part.name} ended ({ending(child.code)}); again {f'in {pause:.1f} s' if pause else 'at once'}")

    def tail(self, child: Child, lines: int = 20) -> str:
        """The last lines it logged since it was started."""
        with suppress(OSError), self._path(child).open("rb") as log:
            log.seek(max(child.log_from, os.fstat(log.fileno()).st_size - 16384))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
        return ""

    def stop(self, order: tuple[str, ...], impatient: Callable[[], bool]) -> None:
        """One after the other: first who takes work in, last who keeps it. Unnamed ones go first. Kills at the end of its time."""
        left = sorted(
            (child for child in self if child.alive), key=lambda child: order.index(child.part.name) if child.part.name in order else -1
        )
        end = time.monotonic() + STOP_S
        for later, child in zip(reversed(range(len(left))), left, strict=True):
            self._stop_one(child, end - later * LAST_WORD_S, impatient)
        with suppress(OSError):
            self.home.remember({})

    def _stop_one(self, child: Child, until: float, impatient: Callable[[], bool]) -> None:
        assert child.process
        with suppress(ProcessLookupError):
            child.process.send_signal(child.part.stop_signal)
        while child.process.poll() is None and time.monotonic() < until and not impatient():
            time.sleep(0.01)
        if child.process.poll() is None:
            self.say(f"{child.part.name} does not stop: killed")
            child.process.kill()
            child.process.wait()
        _end_group(child)

    def _path(self, child: Child) -> Path:
        return self.home.logs / f"{child.part.name}.log"

    @contextmanager
    def _log(self, child: Child) -> Iterator[int]:
        path = self._path(child)
        with suppress(FileNotFoundError):
            if path.stat().st_size > LOG_LIMIT:
                path.replace(path.with_suffix(".log.1"))
        with path.open("ab") as log:
            child.log_from = log.tell()
            yield log.fileno()


def ending(code: int | None) -> str:
    """An exit code in words."""
    return f"killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"


def _end_group(child: Child) -> None:
    """What it started itself and left behind."""
    with suppress(ProcessLookupError, PermissionError):
        if child.process:
            os.killpg(child.process.pid, signal.SIGKILL)
