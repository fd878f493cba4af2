"""What time decides at the call centre: each an event that names the rule, said once by whichever worker comes first.

Rings that lasted too long, waits that lasted too long, wrap-up that is over, dials of which nobody tells any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from calls.clock import Micros, to_datetime, to_micros
from calls.events import AgentState, Event, QueueLeft
from desk import offers, queues
from desk.connections import Connection
from desk.outbox import say
from runtime.settings import Settings

GRACE = timedelta(seconds=1)  # between a ring's end and our own looking
LEAVE_S = 2.0  # a caller who was let out of their room says so by their next request; if not, we do
_WRAPPED = """
UPDATE safiri.agents_now SET state = 'available', since = %(now)s, idle_since = clock_timestamp(), wrap_until = NULL, reason = NULL
WHERE (tenant, agent) IN (SELECT tenant, agent FROM safiri.agents_now
  WHERE state = 'wrap_up' AND wrap_until <= %(now)s AND offer IS NULL ORDER BY wrap_until LIMIT 200 FOR UPDATE SKIP LOCKED)
RETURNING tenant, agent
"""
_SENT_OUT = """
UPDATE safiri.waiting SET sent_out_at = %(now)s WHERE (tenant, account, call_sid) IN (SELECT tenant, account, call_sid FROM safiri.waiting
  WHERE gone_at IS NULL AND offer IS NULL AND sent_out_at IS NULL AND leave_by <= %(now)s LIMIT 200 FOR UPDATE SKIP LOCKED)
RETURNING account, call_sid
"""
_TOO_LONG = """
UPDATE safiri.waiting SET gone_at = %(now)s WHERE (tenant, account, call_sid) IN (SELECT tenant, account, call_sid FROM safiri.waiting
  WHERE gone_at IS NULL AND offer IS NULL AND sent_out_at <= %(before)s LIMIT 200 FOR UPDATE SKIP LOCKED)
RETURNING tenant, account, call_sid, queue, leave_by, entered_at
"""
_LATE = """
SELECT tenant, account, call_sid, queue, entered_at FROM safiri.waiting
WHERE gone_at IS NULL AND offer IS NOT NULL AND leave_by <= %s LIMIT 200
"""
_TOLD = """
SELECT EXISTS (SELECT FROM live.call_index i JOIN live.queue_visits v ON v.tenant = i.tenant AND v.journey_id = i.journey_id
  WHERE i.tenant = %s AND i.call_sid = %s AND v.queue = %s AND v.left_at IS NOT NULL AND v.entered_at > %s)
"""
_NEXT = """
SELECT least(
  (SELECT min(wrap_until) FROM safiri.agents_now WHERE state = 'wrap_up'),
  (SELECT min(rest_until) FROM safiri.agents_now WHERE state = 'available' AND offer IS NULL AND rest_until > %(now)s),
  (SELECT min(ring_until) + interval '1 second' FROM safiri.offers WHERE state = 'ringing'),
  (SELECT min(CASE WHEN sent_out_at IS NULL THEN leave_by ELSE sent_out_at + interval '2 seconds' END) FROM safiri.waiting
   WHERE gone_at IS NULL AND offer IS NULL AND leave_by IS NOT NULL))
"""


async def pass_on(connection: Connection, *, settings: Settings, now: Micros) -> list[tuple[str, str]]:
    """Does what is due. Returns (account, call SID) of callers to be let out of their rooms."""
    at = to_datetime(now)
    for tenant, agent in await (await connection.execute(_WRAPPED, {"now": at})).fetchall():
        told = AgentState(agent=agent, at=now, state="available", reason="wrap_up_s")
        await say(connection, told, settings=settings, tenant=tenant, account="", now=now)
    await _rung(connection, settings=settings, now=now)
    for row in await (await connection.execute(_TOO_LONG, {"now": at, "before": at - timedelta(seconds=LEAVE_S)})).fetchall():
        await _too_long(connection, row, settings=settings, now=now)
    for tenant, account, sid, queue, entered_at in await (await connection.execute(_LATE, (at - timedelta(seconds=LEAVE_S),))).fetchall():
        if await _left(connection, (tenant, sid, queue, entered_at)):  # while an agent's phone rang for them
            await queues.left(connection, (tenant, account, sid), settings=settings, now=now)
    return [(account, sid) for account, sid in await (await connection.execute(_SENT_OUT, {"now": at})).fetchall()]


async def _too_long(connection: Connection, row: Sequence[Any], *, settings: Settings, now: Micros) -> None:
    """The caller has not left by their own next request; where they have, that request was told of with the moment it came."""
    tenant, account, call_sid, queue, leave_by, entered_at = row
    if await _left(connection, (tenant, call_sid, queue, entered_at)):
        return
    left = QueueLeft(call_sid=call_sid, at=to_micros(leave_by), queue=queue, reason="timeout")
    await say(connection, left, settings=settings, tenant=tenant, account=account, now=now)


async def _left(connection: Connection, visit: tuple[str, str, str, datetime]) -> bool:
    """Whether the log has it that the caller left the queue."""
    tenant, call_sid, queue, entered_at = visit
    asked = (tenant, call_sid, queue, entered_at - timedelta(seconds=1))
    row = await (await connection.execute(_TOLD, asked)).fetchone()
    return bool(row and row[0])


async def next_due(connection: Connection, *, now: Micros) -> datetime | None:
    """When something is due next."""
    row = await (await connection.execute(_NEXT, {"now": to_datetime(now)})).fetchone()
    return row[0] if row else None


async def _rung(connection: Connection, *, settings: Settings, now: Micros) -> None:
    """Rings that lasted as long as they may: a call of the agent's own is stopped, their caller goes to the next. A caller's dial
    would have come back unanswered, so they talk."""
    due = await offers.find(connection, "state = 'ringing' AND ring_until < %s", (to_datetime(now) - GRACE,), lock=False)
    for one in due:
        offer = await offers.one(connection, str(one.id))
        if offer is None or offer.state != "ringing":
            continue
        if offer.way == "dial":
            await connection.execute(
                "UPDATE safiri.offers SET state = 'talking', taken_at = ring_until WHERE id = %s", (offer.id,)
            )  # fmt: skip
            said: list[Event] = [
                AgentState(agent=offer.agent, at=to_micros(offer.ring_until), state="talking", reason="ring_s", queue=offer.queue or None)
            ]
        else:
            await connection.execute("UPDATE safiri.offers SET state = 'canceling', result = 'no_answer' WHERE id = %s", (offer.id,))
            await connection.execute(
                "UPDATE safiri.waiting SET offer = NULL WHERE tenant = %s AND account = %s AND call_sid = %s AND offer = %s",
                (offer.tenant, offer.account, offer.call_sid, offer.id),
            )
            said = offers.failed(offer, "no_answer", now=now)
        await offers.tell(connection, offer, said, settings=settings, now=now)
