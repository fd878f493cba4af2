"""What a projector does beside the log: agents' time, large journeys that were put off, old sums. Never beside a batch of its own.

Each step is a short transaction. While batches come, agents' time gets a small share of ours: what is marked meanwhile is folded
together, which costs less; once there is nothing else to do it is folded at once. Freshness counts what waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import structlog

from projections.compacting import AGE
from projections.project import Projector
from runtime import clock
from runtime.problems import Retry

log = structlog.get_logger()
Work: TypeAlias = Callable[[Projector], int]
AGENTS_S = 0.1  # between two passes over agents' time
SHARE = 8  # while batches come, a pass waits so many times as long as the last one took
LATE_S = 0.5  # between two looks at journeys whose fold was put off, and at marks that others made
COMPACT_S = 10.0
STEPS = 10  # of gathering old sums, some 0.1 s each


class Beside:
    """`run` does work with the projector while no batch is projected; `moved_at` is when the last batch was."""

    def __init__(self, run: Callable[[Work], Awaitable[int]], moved_at: Callable[[], float]) -> None:
        self._run, self._moved_at = run, moved_at
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        for work in (self._agents(), self._late(), self._compact()):
            self._tasks.append(asyncio.create_task(work, name="beside"))

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _step(self, what: str, work: Work) -> int:
        try:
            return await self._run(work)
        except Retry as error:
            log.warning("held beside the log", what=what, reason=str(error))
        except Exception:  # a bug; what waits still does
            log.exception("failed beside the log", what=what)
        return 0

    async def _agents(self) -> None:
        """Looks where a batch was projected since the last look, and now and then for what others marked."""
        seen, looked, took, taken = 0.0, 0.0, 0.0, 0

        def work(projector: Projector) -> int:
            nonlocal took
            began = time.monotonic()
            try:
                return projector.fold_agents()
            finally:
                took = time.monotonic() - began

        while True:
            busy = self._moved_at() != seen
            await asyncio.sleep(max(AGENTS_S, SHARE * took) if busy else 0 if taken else AGENTS_S)
            if taken or self._moved_at() != seen or time.monotonic() > looked + LATE_S:
                seen, looked = self._moved_at(), time.monotonic()
                taken = await self._step("agents' time", work)

    async def _late(self) -> None:
        """As long as any are due: a rate plan that comes late makes all calls due that waited for it. Batches have their turns between."""
        while True:
            await asyncio.sleep(LATE_S)
            while await self._step("journeys whose time has come", lambda projector: projector.fold_due()):
                pass

    async def _compact(self) -> None:
        """Gathers old sums: one step, and some more while there is nothing else to do."""
        while True:
            await asyncio.sleep(COMPACT_S)
            for _ in range(STEPS):
                moved_at = self._moved_at()
                taken = await self._step("old sums", lambda projector: projector.compact(until=clock.now() - AGE))
                if not taken or moved_at != self._moved_at():
                    break
