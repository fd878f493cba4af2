"""What `safiri up` does: brings the parts up in order, starts again what dies, stops all of it.

One thread, one loop: it sleeps until a signal (a child's death is one) or until the next thing is due. The phases are
stack (Postgres and Kafka come up) -> migrate (schema, topics) -> roles -> ready.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from runtime.children import Child, Children, Gate, ending
from runtime.embedded import spawn
from runtime.embedded.home import Home

HOPELESS = (2, 3)  # exit codes that starting again does not change: a wrong configuration, something missing
HOPELESS_TIMES = 3
NEVER_READY_TIMES = 5
MIGRATE_TIMES = 3
POLL_S = 0.02  # while something is coming up
IDLE_S = 60.0


class Ended(Exception):
    """A part cannot live, so nothing can. The text says which and shows its last lines; `code` is the exit code."""

    def __init__(self, text: str, code: int):
        super().__init__(text)
        self.code = code


@dataclass
class Plan:
    """What to run. `stack` are callables, each of which prepares one part in a thread of its own."""

    stack: list[Callable[[], spawn.Part]]
    roles: list[spawn.Part]
    migrate: spawn.Part | None = None
    early: tuple[str, ...] = ("migrate", "http")  # they know `children.GATE` and load their code while the stack comes up
    on_stack: Callable[[], None] = lambda: None  # Postgres and Kafka answer, the schema is there
    on_ready: Callable[[], None] = lambda: None  # every role answers
    stop_order: tuple[str, ...] = ("http", "worker", "projector", "kafka", "postgres")


@dataclass
class Supervisor:
    home: Home
    plan: Plan
    say: Callable[[str], None]
    phase: str = "stack"
    signals: int = 0
    _preparing: int = 0
    _prepared: list[spawn.Part | BaseException] = field(default_factory=list)
    _gates: dict[str, Gate] = field(default_factory=dict)
    _wake: tuple[int, int] = field(default_factory=os.pipe)

    def __post_init__(self) -> None:
        self.children = Children(self.home, self.say)

    def run(self) -> None:
        """Until SIGTERM, SIGINT or SIGHUP. Raises Ended, or what a preparation raised; nothing is left running either way."""
        self._listen()
        self.children.write_restarts()
        try:
            self._prepare()
            self._start_early()
            while not self.signals:
                self._take_prepared()
                for child in self.children.dead():
                    self._died(child)
                self._start_due()
                self._note_answers()
                self._advance()
                self._sleep()
            self.say("stopping")
        finally:
            self.children.stop(self.plan.stop_order, impatient=lambda: self.signals > 1)

    # ------------------------------------------------------------ signals and sleep

    def _listen(self) -> None:
        for end in self._wake:
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup means it
                signal.signal(number, self._told_to_stop)

    def _told_to_stop(self, *_: object) -> None:
        """A second one makes haste: whatever still runs is killed."""
        self.signals += 1

    def _sleep(self) -> None:
        settled = self.phase == "ready" and not any(child.alive and not child.answering for child in self.children)
        due = [
            max(0.0, child.again_at - time.monotonic()) for child in self.children if child.again_at is not None and self._may_start(child)
        ]
        if not self.signals:
            select.select([self._wake[0]], [], [], min([IDLE_S if settled else POLL_S, *due]))
        with suppress(BlockingIOError):
            os.read(self._wake[0], 512)

    # ------------------------------------------------------------ coming up

    def _prepare(self) -> None:
        """In threads that do not keep us from ending; the commands they run die with us."""
        self._preparing = len(self.plan.stack)
        for prepare in self.plan.stack:
            threading.Thread(target=self._prepare_one, args=(prepare,), daemon=True).start()

    def _prepare_one(self, prepare: Callable[[], spawn.Part]) -> None:
        try:
            self._prepared.append(prepare())
        except BaseException as error:  # raised again in the main thread
            self._prepared.append(error)

    def _take_prepared(self) -> None:
        while self._prepared:
            found = self._prepared.pop(0)
            self._preparing -= 1
            if isinstance(found, BaseException):
                raise found
            self.children.start(self.children.add(found))

    def _start_early(self) -> None:
        """Only what the first answer waits for: all roles at once would take the processors from Kafka."""
        for gate, parts in (("migrate", [self.plan.migrate]), ("roles", self.plan.roles)):
            for part in parts:
                if part and part.name in self.plan.early:
                    self.children.start(self.children.add(part), self._gates.setdefault(gate, Gate(*os.pipe())))

    def _note_answers(self) -> None:
        for child in self.children:
            if not child.alive or child.answering or child.part.answers is None or not self._may_start(child):
                continue
            if child.part.answers():
                child.answering = True
                self.say(f"{child.part.name} answers{' again' if child.restarts else ''}")

    def _advance(self) -> None:
        if self.phase == "stack" and self._stack_answers():
            self.phase = "migrate"
            self._open("migrate", [self.plan.migrate] if self.plan.migrate else [])
        if self.phase == "migrate" and (self.plan.migrate is None or self.children.add(self.plan.migrate).code == 0):
            self.phase = "roles"
            self.plan.on_stack()
            self._open("roles", self.plan.roles)
        if self.phase == "roles" and all(self.children.add(role).answering for role in self.plan.roles):
            self.phase = "ready"
            self.plan.on_ready()

    def _open(self, gate: str, parts: list[spawn.Part]) -> None:
        """Lets those go on who wait at the gate, and starts those who were not started early."""
        if gate in self._gates:
            self._gates.pop(gate).open()
        for part in parts:
            child = self.children.add(part)
            if child.process is None:
                self.children.start(child)

    def _stack_answers(self) -> bool:
        return not self._preparing and all(child.answering for child in self.children if self._is_stack(child))

    def _is_stack(self, child: Child) -> bool:
        return child.part is not self.plan.migrate and child.part not in self.plan.roles

    # ------------------------------------------------------------ death

    def _died(self, child: Child) -> None:
        if child.part is self.plan.migrate and child.code == 0:
            return
        stack = self._is_stack(child)
        self.children.mourn(child, hopeless=not stack and child.code in HOPELESS and self._stack_answers())
        if child.hopeless >= HOPELESS_TIMES or (child.hopeless and child.part is self.plan.migrate):
            raise self._ended(child, child.code or 4)
        if self.phase != "ready" and child.deaths >= (MIGRATE_TIMES if child.part is self.plan.migrate else NEVER_READY_TIMES):
            raise self._ended(child, 3 if stack else 4)

    def _ended(self, child: Child, code: int) -> Ended:
        return Ended(f"{child.part.name} cannot run ({ending(child.code)}), its last lines:\n{self.children.tail(child)}", code)

    def _start_due(self) -> None:
        for child in self.children:
            if child.again_at is not None and child.again_at <= time.monotonic() and self._may_start(child):
                self.children.start_again(child)

    def _may_start(self, child: Child) -> bool:
        """A role is not started, nor asked, while what it needs is away."""
        if self._is_stack(child):
            return True
        phases = ("migrate",) if child.part is self.plan.migrate else ("roles", "ready")
        return self.phase in phases and self._stack_answers()
