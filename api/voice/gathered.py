"""What a MiniVoice caller pressed: it comes by webhook (`call.gathered`), not with the request that asks what to do next.

The request waits here until the delivery has gone through the log into the journal, or until its deadline. All who wait are
asked for in one statement, every POLL_S.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import msgspec

from api.voice.link import Link
from calls.clock import Micros, to_datetime, to_micros
from calls.events import MenuDigits
from calls.providers import PROVIDERS, Delivered
from calls.voice.decide import Gathered
from runtime.problems import Retry

POLL_S = 0.06
EARLIER = 2_000_000  # µs: MiniVoice's clock may be behind ours
RECEIVED_WITHIN = 600_000_000  # µs: how late a delivery that happened in time may have been received before; bounds the search
NEWEST = """
SELECT tenant, account, stream, event_id, content_type, headers, body, received_at
  FROM safiri.journal
 WHERE stream = ANY(%s) AND stream_kind = 'call' AND source <> 'voice' AND provider = 'minivoice' AND received_at >= %s
   AND position('call.gathered'::bytea IN body) > 0
"""


class Wanted(NamedTuple):
    """The digits of this call, pressed since then, other than those of the deliveries `heard`."""

    tenant: str
    account: str
    call_sid: str
    since: Micros
    heard: tuple[str, ...]


class Digits:
    """One for a process."""

    def __init__(self, database_url: str):
        self.link = Link(database_url, "voice digits")
        self._wanted: dict[asyncio.Future[tuple[Gathered, Micros]], Wanted] = {}
        self._poller: asyncio.Task[None] | None = None

    async def wait(self, wanted: Wanted, until: float) -> tuple[Gathered, Micros]:
        """(what was pressed, when by MiniVoice's clock); (Gathered(), 0) where nothing came. `until` is of the loop's clock."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[tuple[Gathered, Micros]] = loop.create_future()
        self._wanted[done] = wanted
        if self._poller is None or self._poller.done():
            self._poller = loop.create_task(self._poll())
        try:
            async with asyncio.timeout_at(until):
                return await done
        except TimeoutError:
            return Gathered(), 0
        finally:
            self._wanted.pop(done, None)

    async def _poll(self) -> None:
        while self._wanted:
            try:
                await self._look()
            except Retry:
                await asyncio.sleep(POLL_S)
            await asyncio.sleep(POLL_S)

    async def _look(self) -> None:
        asked = dict(self._wanted)
        sids = list({wanted.call_sid for wanted in asked.values()})
        earliest = min(wanted.since for wanted in asked.values()) - RECEIVED_WITHIN
        rows = await self.link.rows(NEWEST, (sids, to_datetime(max(0, earliest))))
        found = [one for one in map(_pressed, rows) if one is not None]
        for done, wanted in asked.items():
            fitting = [one for one in found if _fits(one, wanted)]
            if fitting and not done.done():
                newest = max(fitting, key=lambda one: (one.at, one.received_at, one.event_id))
                done.set_result((Gathered(digits=newest.digits, timed_out=newest.timed_out, event_id=newest.event_id), newest.at))

    async def close(self) -> None:
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)
        await self.link.close()


class _Pressed(NamedTuple):
    tenant: str
    account: str
    call_sid: str
    event_id: str
    at: Micros
    received_at: Micros
    digits: str
    timed_out: bool


def _pressed(row: tuple[Any, ...]) -> _Pressed | None:
    tenant, account, stream, event_id, content_type, headers, body, received = row
    received_at = to_micros(received)
    kept = msgspec.json.decode(headers, type=dict[str, str]) if headers else {}
    facts = PROVIDERS["minivoice"].parse(Delivered(bytes(body), content_type, kept, received_at, account))
    for fact in facts:
        if isinstance(fact, MenuDigits):
            return _Pressed(tenant, account, stream, event_id, fact.at, received_at, fact.digits or "", fact.timed_out or not fact.digits)
    return None


def _fits(one: _Pressed, wanted: Wanted) -> bool:
    mine = (one.tenant, one.account, one.call_sid) == wanted[:3]
    return mine and one.event_id not in wanted.heard and one.at >= wanted.since - EARLIER
