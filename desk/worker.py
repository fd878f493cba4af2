"""The call centre's half that nobody asks: matches callers and agents, lets time decide, watches, and sends the outbox.

Any number may run. Each holds the advisory lock of its own number, which dies with it: offers whose placer is dead are adopted.
Woken by Postgres (channels `desk` and `journal`), and by itself when something is due.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from calls.clock import to_micros
from desk import dispatch, elapsed, offers, watch
from desk.connections import Connection, Connections, opened
from desk.outbox import AT_ONCE, Relay
from desk.placing import Placing
from runtime import clock
from runtime.postgres import AWAY
from runtime.problems import Retry
from runtime.settings import Settings

log = structlog.get_logger("desk")
LOCKS = 0x5AF1_04  # class of the workers' advisory locks
POLL_S, RELAY_S, STRAYS_S, FORGET_S, GONE_S = 1.0, 1.0, 3.0, 3600.0, 0.25
AGAIN_S = 0.5  # after a failure
AFTER_S = 0.005  # whoever waits is brought to whoever is free first, then comes the rest
SOON_S = 0.02  # between two looks at the journal, however often it is said to have grown
_ORPHANS = """
UPDATE safiri.offers SET placer = %(me)s WHERE id IN (
  SELECT id FROM safiri.offers o WHERE way = 'call' AND state IN ('placing', 'ringing', 'canceling') AND placer <> %(me)s
    AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.classid = %(class)s AND l.objid = o.placer::oid AND l.granted
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
  ORDER BY id LIMIT 200 FOR UPDATE SKIP LOCKED)
"""


class Worker:
    """`run` until cancelled. `public`: where providers reach our HTTP."""

    def __init__(self, settings: Settings, database_url: str, *, relay: Relay, public: str) -> None:
        self.settings, self.database_url, self.relay = settings, database_url, relay
        self.number = secrets.randbelow(2**31 - 1) + 1
        self.connections = Connections(database_url, name="worker", size=5, within_s=10.0)
        self.reading = Connections(database_url, name="worker watch", size=2, within_s=10.0, prepared=False)
        self.placing = Placing(settings, self.connections, public=public)
        self.listening = asyncio.Event()
        self.seen = watch.Seen()
        self._desk, self._tend_due, self._journal, self._outbox = (asyncio.Event() for _ in range(4))
        self._due_s = POLL_S
        self._looked_at = self._forgot_at = float("-inf")

    async def run(self) -> None:
        loops = (self._dispatch, self._tend, self._watch, self._strays, self._relay)
        tasks = [asyncio.create_task(self._listen()), *(asyncio.create_task(self._guarded(loop)) for loop in loops)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self.placing.close()
            await self.connections.close()
            await self.reading.close()

    async def _guarded(self, loop: Callable[[], Awaitable[None]]) -> None:
        """What fails for reasons around us is tried again, and so is a bug, loudly."""
        await self.listening.wait()
        while True:
            try:
                while True:
                    await loop()
            except Retry as error:
                log.warning("waiting", part=loop.__name__.strip("_"), reason=str(error))
            except Exception:
                log.exception("a bug", part=loop.__name__.strip("_"))
            await asyncio.sleep(AGAIN_S)

    async def _listen(self) -> None:
        """Holds our lock and hears what others say."""
        while True:
            try:
                async with await opened(self.database_url, name="worker listens", statement_s=5) as connection:
                    await connection.execute("SELECT pg_advisory_lock(%s, %s)", (LOCKS, self.number))
                    await connection.execute("LISTEN desk")
                    await connection.execute("LISTEN journal")
                    self.listening.set()
                    self._wake("desk")
                    self._wake("journal")
                    async for said in connection.notifies():
                        self._wake(said.channel)
            except AWAY as error:
                log.warning("waiting", part="listen", reason=type(error).__name__)
            await asyncio.sleep(AGAIN_S)

    def _wake(self, channel: str) -> None:
        for event in (self._journal,) if channel == "journal" else (self._desk, self._tend_due, self._outbox):
            event.set()

    # ------------------------------------------------------------ the loops, one turn each

    async def _dispatch(self) -> None:
        """Who waits is brought to who is free."""
        await _heard(self._desk, POLL_S)
        now, resting = clock.now(), self.placing.resting()

        async def matched(connection: Connection) -> list[offers.Offer]:
            made = await dispatch.match(connection, settings=self.settings, now=now, placer=self.number, resting=resting)
            self.placing.expect(made)  # before the commit, at which everybody sees them
            return made

        made = await self.connections.run(matched, pipelined=True)
        for offer in made:
            self.placing.place(offer)
        if len(made) == dispatch.MOST:
            self._desk.set()

    async def _tend(self) -> None:
        """What is due, what must be stopped, what a dead worker has left."""
        await _heard(self._tend_due, min(POLL_S, self._due_s))
        await asyncio.sleep(AFTER_S)
        now = clock.now()
        rooms = await self.reading.run(lambda c: elapsed.pass_on(c, settings=self.settings, now=now))
        for account, call_sid in rooms:
            self.placing.end_room(account, call_sid)
        await self._carry_on()
        due = await self.connections.run(lambda c: elapsed.next_due(c, now=now))
        self._due_s = POLL_S if due is None else max(0.01, (to_micros(due) - clock.now()) / 1_000_000)
        if self._due_s <= POLL_S and due is not None and to_micros(due) > now:
            asyncio.get_running_loop().call_later(self._due_s, self._desk.set)  # an agent has rested, say
        await asyncio.sleep(SOON_S)

    async def _carry_on(self) -> None:
        """Our offers in the middle of something, and those of workers that died."""

        async def ours(connection: Connection) -> list[offers.Offer]:
            await connection.execute(_ORPHANS, {"me": self.number, "class": LOCKS})
            return await offers.find(
                connection, "placer = %s AND state IN ('placing', 'canceling') AND state <> 'over'", (self.number,), lock=False
            )  # fmt: skip

        for offer in await self.connections.run(ours):
            if self.placing.busy(offer.id):
                continue  # it looks for itself, when the provider has answered
            if offer.state == "placing":
                self.placing.place_again(offer)
            else:
                self.placing.stop(offer)

    async def _watch(self) -> None:
        """What became of calls."""
        await _heard(self._journal, POLL_S)
        now = clock.now()
        await self.reading.run(lambda c: self.seen.look(c, settings=self.settings, now=now))
        due_s = self._looked_at + GONE_S - time.monotonic()
        if due_s <= 0:
            self._looked_at = time.monotonic()
            await self.reading.run(lambda c: watch.callers_gone(c, settings=self.settings, now=now))
        else:
            asyncio.get_running_loop().call_later(due_s, self._journal.set)
        await asyncio.sleep(SOON_S)

    async def _strays(self) -> None:
        await asyncio.sleep(STRAYS_S)
        now = clock.now()
        found = await self.reading.run(lambda c: watch.strays(c, settings=self.settings, now=now))
        if found:
            log.warning("callers waited without a row", callers=found)
        if time.monotonic() - self._forgot_at > FORGET_S:
            self._forgot_at = time.monotonic()
            await self.reading.run(watch.forget, within_s=60.0)

    async def _relay(self) -> None:
        """What transactions had to say goes to the log."""
        await _heard(self._outbox, RELAY_S)
        await asyncio.sleep(AFTER_S)
        while await self.connections.run(self.relay.send, within_s=30.0) == AT_ONCE:
            pass


async def _heard(event: asyncio.Event, within_s: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), within_s)
    event.clear()
