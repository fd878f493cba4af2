"""One connection to Postgres for requests that somebody waits for on the phone: it comes back by itself, and while it is away
nobody waits for it more than once a second.

`Batched` puts the questions that come while another is under way into one statement.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

import psycopg
import structlog

from runtime.postgres import AWAY, TOO_LARGE
from runtime.problems import Retry

log = structlog.get_logger("voice")
PATIENCE_S = 0.3  # what one request waits for Postgres
STATEMENT_S = 2.0  # what a statement may take before its connection is given up
REST_S = 1.0  # nothing is asked of a Postgres that did not answer, for so long
MOST_AT_ONCE = 500
# Keys are looked up by the primary key, whatever the planner believes of a table that was empty a minute ago.
OPTIONS = (
    "-c timezone=UTC -c statement_timeout=2000 -c synchronous_commit=off "
    "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off"
)
NOT_NOW = (*AWAY, psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName, psycopg.errors.QueryCanceled, OSError, TimeoutError)

Asked = TypeVar("Asked")
Said = TypeVar("Said")


class Bounded(psycopg.AsyncConnection[Any]):
    """A server that stands still keeps its sockets open: after STATEMENT_S it counts as gone."""

    async def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:  # noqa: ASYNC109  as psycopg has it
        try:
            return await super().wait(gen, interval, STATEMENT_S if timeout is None else timeout)
        except psycopg.errors._WaitTimeout as error:  # noqa: SLF001  its documentation asks callers to convert it
            self.pgconn.finish()
            raise psycopg.OperationalError(f"the server did not answer within {STATEMENT_S:.0f} s") from error


class Link:
    """Raises Retry at once while Postgres is known to be away; every statement is a transaction of its own."""

    def __init__(self, database_url: str, name: str):
        self.database_url, self.name = database_url, name
        self._connection: Bounded | None = None
        self._connecting = asyncio.Lock()
        self._rest_until = 0.0

    @property
    def resting(self) -> bool:
        return asyncio.get_running_loop().time() < self._rest_until

    def rest(self) -> None:
        """Postgres does not answer: nobody asks it for a second."""
        self._rest_until = asyncio.get_running_loop().time() + REST_S

    async def rows(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of one statement, their values read in binary."""
        if self.resting:
            raise Retry("Postgres does not answer")
        used = self._connection
        try:
            try:
                return await self._ask(statement, values)
            except AWAY:
                if used is None or not used.closed or used is not self._connection or self.resting:
                    raise
                return await self._ask(statement, values)  # the server was started again since
        except TOO_LARGE:
            raise
        except NOT_NOW as error:
            self.rest()
            raise Retry(f"Postgres does not answer: {type(error).__name__}") from error

    async def _ask(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        connection = await self._open()
        cursor = connection.cursor(binary=True)
        await cursor.execute(statement, values)
        return await cursor.fetchall() if cursor.description else []

    async def _open(self) -> Bounded:
        async with self._connecting:
            if self._connection is None or self._connection.closed:
                self._connection = await Bounded.connect(
                    self.database_url, application_name=f"safiri {self.name}", connect_timeout=2, options=OPTIONS, autocommit=True,
                    prepare_threshold=2,
                )  # fmt: skip
            return self._connection

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()


class Batched(Generic[Asked, Said]):
    """`ask(items)` answers all of them at once, in their order; whoever waits longer than PATIENCE_S gets Retry."""

    def __init__(self, link: Link, ask: Callable[[list[Asked]], Awaitable[Sequence[Said]]]):
        self.link, self._ask = link, ask
        self._waiting: deque[tuple[Asked, asyncio.Future[Said]]] = deque()
        self._patience: deque[tuple[float, asyncio.Future[Said]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._worker: asyncio.Task[None] | None = None
        self._sweeping = False

    def __call__(self, item: Asked) -> asyncio.Future[Said]:
        done: asyncio.Future[Said] = self._loop.create_future()
        if self.link.resting:
            done.set_exception(Retry("Postgres does not answer"))
            return done
        self._waiting.append((item, done))
        self._patience.append((self._loop.time() + PATIENCE_S, done))
        if not self._sweeping:
            self._sweeping = True
            self._loop.call_later(PATIENCE_S, self._sweep)
        if self._worker is None or self._worker.done():
            self._worker = self._loop.create_task(self._work())
        return done

    async def _work(self) -> None:
        while self._waiting:
            taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_AT_ONCE))]
            await self._settle([(item, done) for item, done in taken if not done.done()])

    async def _settle(self, batch: list[tuple[Asked, asyncio.Future[Said]]]) -> None:
        try:
            said = await self._ask([item for item, _ in batch]) if batch else []
            for (_, done), one in zip(batch, said, strict=True):
                if not done.done():
                    done.set_result(one)
        except Retry as away:
            _fail(batch, away)
        except Exception as error:
            if len(batch) > 1:  # one odd question must not cost the others their answer
                for one_of_them in batch:
                    await self._settle([one_of_them])
                return
            log.exception("a question failed")
            _fail(batch, Retry(f"the database refused: {type(error).__name__}"))

    def _sweep(self) -> None:
        """One timer for all who wait: one for each would cost more than the question."""
        now = self._loop.time()
        while self._patience and (self._patience[0][1].done() or self._patience[0][0] <= now):
            _, done = self._patience.popleft()
            if not done.done():
                done.set_exception(Retry("Postgres did not answer in time"))
                self.link.rest()
        self._sweeping = bool(self._patience)
        if self._sweeping:
            self._loop.call_at(max(self._patience[0][0], now + 0.02), self._sweep)

    async def close(self) -> None:
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)


def _fail(batch: Sequence[tuple[Any, asyncio.Future[Any]]], error: Exception) -> None:
    for _, done in batch:
        if not done.done():
            done.set_exception(error)
