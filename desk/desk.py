"""The call centre of a process that answers calls: every method of `CallCentre` is one transaction and what it has to say.

Where Postgres is away they raise Retry in time, and what was to be done is done later by this process, in order; what even that
loses, the worker finds in the journal.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog

from calls.clock import Micros
from calls.voice.decide import InQueue
from desk import offers, orders, queues
from desk.connections import Connection, Connections, Work
from desk.interface import Caller, Joined
from runtime.problems import Retry
from runtime.settings import Settings

log = structlog.get_logger("desk")
Answer = TypeVar("Answer")
LATE_S, AGAIN_S = 120.0, 0.5  # how long, and how often, what Postgres did not take is tried again
MOST_LATE = 10_000


class Desk:
    """Implements `CallCentre`. Nothing is connected before the first question; belongs to one event loop."""

    def __init__(self, settings: Settings, database_url: str, *, within_s: float = 0.8, size: int = 4) -> None:
        self.settings = settings
        self.connections = Connections(database_url, name="desk", size=size, within_s=within_s)
        self._late: deque[tuple[float, Work[Any]]] = deque(maxlen=MOST_LATE)
        self._runner: asyncio.Task[None] | None = None

    async def enter(self, caller: Caller, *, now: Micros, dial: bool) -> InQueue:
        try:
            return await self.connections.run(lambda c: queues.enter(c, caller, settings=self.settings, now=now, dial=dial), pipelined=True)
        except (Retry, asyncio.CancelledError):  # they are told to wait in their room, whatever became of the question
            self._put_off(lambda c: queues.hold(c, caller, settings=self.settings, now=now))
            raise

    async def left(self, tenant: str, account: str, call_sid: str, *, reason: str, now: Micros) -> None:  # noqa: ARG002  told by the answer's own record
        await self._do(lambda c: queues.left(c, (tenant, account, call_sid), settings=self.settings, now=now))

    async def dialled(self, tenant: str, account: str, call_sid: str, *, answered: bool | None, now: Micros) -> None:
        await self._do(lambda c: queues.dialled(c, (tenant, account, call_sid), settings=self.settings, answered=answered, now=now))

    async def agent_answered(self, offer: str, *, call_sid: str, aliases: list[str], now: Micros) -> Joined:
        return await self._do(
            lambda c: queues.answered(c, offer, settings=self.settings, call_sid=call_sid, aliases=aliases, now=now)
        )  # fmt: skip

    async def agent_over(self, offer: str, *, call_sid: str, reason: str, now: Micros) -> None:  # noqa: ARG002  the offer says it
        await self._do(lambda c: over(c, offer, settings=self.settings, reason=reason, now=now))

    async def order_answered(self, order: str, *, call_sid: str, aliases: list[str], now: Micros) -> Joined:
        return await self._do(
            lambda c: orders.answered(c, order, settings=self.settings, call_sid=call_sid, aliases=aliases, now=now)
        )  # fmt: skip

    async def order_over(self, order: str, *, call_sid: str, now: Micros) -> None:  # noqa: ARG002  the order says it
        await self._do(lambda c: orders.over(c, order, settings=self.settings, now=now))

    # ------------------------------------------------------------ later

    async def _do(self, work: Callable[[Connection], Awaitable[Answer]]) -> Answer:
        try:
            return await self.connections.run(work)
        except (Retry, asyncio.CancelledError):
            self._put_off(work)
            raise

    def _put_off(self, work: Work[Any]) -> None:
        self._late.append((time.monotonic() + LATE_S, work))
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._catch_up(), name="desk-later")

    async def _catch_up(self) -> None:
        await asyncio.sleep(AGAIN_S)
        while self._late:
            until, work = self._late[0]
            try:
                await self.connections.run(work, within_s=5.0)
            except Retry:
                if time.monotonic() < until:
                    await asyncio.sleep(AGAIN_S)
                    continue
                log.warning("given up: Postgres did not answer", seconds=LATE_S)
            except Exception:  # a bug: the others shall not wait for it
                log.exception("what was put off failed")
            self._late.popleft()

    async def close(self) -> None:
        """Waits for nothing: what is put off is found by the worker."""
        if self._runner:
            self._runner.cancel()
        await self.connections.close()


async def over(connection: Connection, name: str, *, settings: Settings, reason: str, now: Micros) -> None:
    """The agent's own call of an offer is over, or failed."""
    offer = await offers.one(connection, name)
    if offer is None or offer.state == "over":
        return
    if offer.state == "talking":
        said = await offers.end(connection, offer, settings=settings, result="answered", talked=True, now=now)
    elif offer.state == "canceling":
        missed = offer.result == "no_answer"
        said = await offers.end(connection, offer, settings=settings, result=offer.result or reason, missed=missed, now=now)
    else:
        said = await offers.fail(connection, offer, settings=settings, reason="no_answer" if reason == "over" else reason, now=now)
    await offers.tell(connection, offer, said, settings=settings, now=now)
