"""What a transaction has to say to the log: rows in `safiri.outbox`, written with what they speak of, sent by the worker.

`Relay` sends them in the order they were written and takes away what Kafka has acknowledged. Any number may run.
"""

from __future__ import annotations

import asyncio
import uuid

from calls.clock import Micros
from calls.envelope import TOPICS, encode
from calls.events import AgentState, Event
from calls.own import own
from desk.connections import Connection
from runtime.kafka import Publisher
from runtime.problems import Retry
from runtime.settings import Settings

AT_ONCE = 500
SAY = """
WITH said AS (
  INSERT INTO safiri.outbox (topic, key, value) SELECT * FROM unnest(%s::text[], %s::text[], %s::bytea[])
) SELECT pg_notify('desk', '')
"""
TAKE = "SELECT seq, topic, key, value FROM safiri.outbox ORDER BY seq FOR UPDATE SKIP LOCKED LIMIT %s"


async def say(connection: Connection, *events: Event, settings: Settings, tenant: str, account: str, now: Micros) -> None:
    """Writes `events` into the outbox of this transaction and wakes the worker at its commit.

    Each is an event of its own: a transition is made once, under a lock, and so is what is said of it.
    """
    known = settings.accounts.get(account)
    topics, keys, values = [], [], []
    for event in events:
        agents = isinstance(event, AgentState)
        made = own(
            event, tenant=tenant, account="" if agents else account, provider="neutral" if agents or known is None else known.provider,
            receipt=uuid.uuid4().hex, received_at=now,
        )  # fmt: skip
        topics.append(TOPICS[made.stream_kind])
        keys.append(made.stream)
        values.append(encode(made))
    await connection.execute(SAY, (topics, keys, values))


class Relay:
    """Sends what lies in the outbox."""

    def __init__(self, bootstrap: str, *, deadline_ms: int = 10_000) -> None:
        self._bootstrap, self._deadline_ms = bootstrap, deadline_ms
        self.publisher = Publisher(bootstrap, deadline_ms)

    async def send(self, connection: Connection) -> int:
        """Sends some, in its caller's transaction; returns how many. Raises Retry where Kafka took none of them."""
        rows = await (await connection.execute(TAKE, (AT_ONCE,))).fetchall()
        if not rows:
            return 0
        if self.publisher.fatal:
            await self.publisher.close()
            self.publisher = Publisher(self._bootstrap, self._deadline_ms)
        sent = [self.publisher.send(topic, key, value) for _, topic, key, value in rows]
        await asyncio.wait(sent)
        done = [row[0] for row, one in zip(rows, sent, strict=True) if one.exception() is None]
        if not done:
            raise Retry("Kafka does not acknowledge: the outbox waits")
        await connection.execute("DELETE FROM safiri.outbox WHERE seq = ANY(%s)", (done,))
        return len(done)

    async def close(self) -> None:
        await self.publisher.close()
