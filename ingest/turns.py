"""Whose turn it is to poll an account, and how far the polls are: table safiri.polls.

Any number of workers may run. A turn holds the account's advisory lock, so that a provider is asked by one of them at a time; it goes with
the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, LiteralString, TypeAlias

import msgspec
import psycopg

from calls.clock import Micros, to_datetime, to_micros
from runtime.postgres import AWAY
from runtime.problems import Retry

WITHIN_S = 30.0  # Postgres answers
LOCKS = 0x5AF1_05  # class of the accounts' advisory locks
What: TypeAlias = str  # calls | statement | wallet | stats
Kept: TypeAlias = "tuple[bytes, Micros, str | None]"  # position, when it was polled last, why that failed


class Turn:
    """One worker's turn at one account."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], tenant: str, account: str, kept: dict[What, Kept]) -> None:
        self._connection, self._of = connection, (tenant, account)
        self.kept = kept

    def last(self) -> Micros | None:
        """When anything of it was polled."""
        return max((at for _, at, _ in self.kept.values()), default=None)

    async def keep(self, what: What, position: msgspec.Struct | None, *, now: Micros, failed: str | None = None) -> None:
        """`position` None: it stays where it is."""
        told = None if position is None else msgspec.json.encode(position).decode()
        await self._do(
            "INSERT INTO safiri.polls AS p (tenant, account, what, position, polled_at, failed) "
            "VALUES (%s, %s, %s, coalesce(%s, '{}'), %s, %s) "
            "ON CONFLICT (tenant, account, what) DO UPDATE SET position = coalesce(%s, p.position), polled_at = excluded.polled_at, "
            "failed = excluded.failed",
            (*self._of, what, told, to_datetime(now), failed and failed.replace("\0", "\ufffd")[:500], told),
        )

    async def _do(self, statement: LiteralString, values: tuple[object, ...]) -> None:
        async with asyncio.timeout(WITHIN_S):
            await self._connection.execute(statement, values)

    async def drop(self, what: What) -> None:
        """It is polled no more."""
        await self._do("DELETE FROM safiri.polls WHERE (tenant, account, what) = (%s, %s, %s)", (*self._of, what))


@asynccontextmanager
async def turn(database_url: str, tenant: str, account: str) -> AsyncIterator[Turn | None]:
    """None where it is another worker's. Raises Retry where Postgres is away."""
    try:
        connection = await psycopg.AsyncConnection.connect(
            database_url, autocommit=True, application_name="safiri polls", connect_timeout=5, options="-c timezone=UTC"
        )
        async with connection:
            asked = await connection.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", (LOCKS, f"{tenant}\n{account}"))
            row = await asked.fetchone()
            if not row or not row[0]:
                yield None
                return
            rows = await connection.execute(
                "SELECT what, position, polled_at, failed FROM safiri.polls WHERE tenant = %s AND account = %s", (tenant, account)
            )
            kept = {what: (position.encode(), to_micros(at), failed) for what, position, at, failed in await rows.fetchall()}
            yield Turn(connection, tenant, account, kept)
    except (*AWAY, psycopg.errors.UndefinedTable, TimeoutError) as error:
        raise Retry(f"Postgres is not ready: {type(error).__name__}") from error
