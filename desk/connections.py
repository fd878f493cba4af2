"""Few connections to Postgres for asyncio, and nobody waits for them longer than they said.

psycopg's own pool waits for minutes between two attempts at a server that was away; here every request tries, at most one in a
second while the last one failed (the others are told at once), and a server that stands still costs its caller `within_s`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

import psycopg

from runtime.postgres import AWAY, CLASHED
from runtime.problems import Retry

Connection: TypeAlias = psycopg.AsyncConnection[Any]
Answer = TypeVar("Answer")
Work: TypeAlias = Callable[[Connection], Awaitable[Answer]]
OPEN_S = 1.0  # after a failure, requests are refused at once for so long
TRIES = 4  # where two transactions were in each other's way


async def opened(database_url: str, *, name: str, statement_s: float = 15.0, prepared: bool = True) -> Connection:
    """A connection in UTC, every statement a transaction of its own. Raises psycopg.OperationalError where Postgres does not
    answer within 3 s; a machine that vanished is noticed within half a minute.

    `prepared` False: for who reads the views of `live`, which a rebuild exchanges under prepared statements.
    """
    options = f"-c timezone=UTC -c statement_timeout={int(statement_s * 1000)} -c idle_in_transaction_session_timeout=60000"
    return await psycopg.AsyncConnection.connect(
        database_url, autocommit=True, application_name=f"safiri {name}", connect_timeout=3, options=options,
        prepare_threshold=3 if prepared else None, keepalives_idle=10, keepalives_interval=5, keepalives_count=3,
    )  # fmt: skip


def _plain(work: Work[Answer]) -> Work[Answer]:
    async def done(connection: Connection) -> Answer:
        async with connection.transaction():
            return await work(connection)

    return done


def _pipelined(work: Work[Answer]) -> Work[Answer]:
    async def done(connection: Connection) -> Answer:
        async with connection.pipeline(), connection.transaction():
            return await work(connection)

    return done


class Connections:
    """`run` gives a piece of work a transaction. Opened on demand, `size` at most."""

    def __init__(self, database_url: str, *, name: str, size: int = 4, within_s: float = 5.0, prepared: bool = True) -> None:
        self.database_url, self.name, self.within_s, self.prepared = database_url, name, within_s, prepared
        self._size, self._slots = size, asyncio.Semaphore(size)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: list[Connection] = []
        self._under_way: set[asyncio.Task[Any]] = set()
        self._closed_until = 0.0
        self._answered_at = float("-inf")

    async def run(self, work: Work[Answer], *, within_s: float | None = None, pipelined: bool = False) -> Answer:
        """What `work` returns, committed. Raises Retry where Postgres is away, or not done within `within_s`.

        Then nobody knows whether it was committed: it may be, a moment later. `pipelined`: statements whose answers nobody waits
        for go out together, the transaction's begin and end among them; there `rowcount` is not known.
        """
        patience = self.within_s if within_s is None else within_s
        now = time.monotonic()
        if now < self._closed_until:
            raise Retry("Postgres did not answer a moment ago")
        if self._closed_until:
            self._closed_until = now + patience  # one tries, the others wait for what it finds
        self._belong()
        task = asyncio.ensure_future(self._run(_pipelined(work) if pipelined else _plain(work)))
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        try:
            done, _ = await asyncio.wait({task}, timeout=patience)
        except asyncio.CancelledError:  # whoever asked has no more time
            task.cancel()
            raise
        if not done:
            task.cancel()
            if self._answered_at < now:  # it has answered nobody else either
                self._closed_until = time.monotonic() + OPEN_S
            raise Retry(f"Postgres did not answer within {patience:g} s")
        return self._told(task)

    def _belong(self) -> None:
        """Connections are of the loop that opened them: another one (of a test's next request) begins anew."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            for connection in self._idle:
                connection.pgconn.finish()
            self._loop, self._idle, self._slots = loop, [], asyncio.Semaphore(self._size)

    def _told(self, task: asyncio.Task[Answer]) -> Answer:
        try:
            answer = task.result()
        except (psycopg.errors.QueryCanceled, *CLASHED) as error:
            self._closed_until = 0.0
            raise Retry(f"Postgres is busy: {type(error).__name__}") from error
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
            raise Retry("the schema is not there yet: `safiri migrate` makes it") from error
        except AWAY as error:
            self._closed_until = time.monotonic() + OPEN_S
            raise Retry(f"Postgres does not answer: {type(error).__name__}") from error
        self._closed_until, self._answered_at = 0.0, time.monotonic()
        return answer

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, or asyncio would complain of one whose caller went away

    async def _run(self, work: Work[Answer]) -> Answer:
        async with self._slots:
            for tries in range(1, TRIES + 1):
                used = bool(self._idle)
                connection = self._idle.pop() if used else await self._opened()
                try:
                    return await self._in_transaction(connection, work)
                except CLASHED:
                    if tries == TRIES:
                        raise
                except AWAY:
                    if not (used and connection.closed):
                        raise
                    await self._forget()  # the server was started again: none of those we kept is of use
            raise AssertionError("unreachable")

    async def _opened(self) -> Connection:
        return await opened(self.database_url, name=self.name, statement_s=self.within_s, prepared=self.prepared)

    async def _in_transaction(self, connection: Connection, work: Work[Answer]) -> Answer:
        try:
            return await work(connection)
        finally:
            if connection.closed or connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                with suppress(Exception):
                    await connection.close()
            else:
                self._idle.append(connection)

    async def _forget(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            with suppress(Exception):
                await connection.close()

    async def close(self) -> None:
        """What is under way has two seconds to end."""
        if self._under_way:
            await asyncio.wait(list(self._under_way), timeout=2)
        for task in list(self._under_way):
            task.cancel()
        await self._forget()
