"""Callers come into a queue, wait, are joined, go. Every function is one transaction's work.

Whoever enters a queue holds its lock until the commit: so the first who came is the first who waits, and no more than
`max_waiting` do. Agents are taken with SKIP LOCKED: two callers never wait for each other's agent, and never get the same.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from calls.clock import Micros, to_datetime
from calls.events import AgentState, CallLinked, DispatchTaken, Event, QueueLeft
from calls.rooms import PREFIX
from calls.voice.decide import FreeAgent, InQueue
from desk import offers
from desk.connections import Connection
from desk.interface import Caller, Joined
from desk.offers import Offer
from desk.outbox import say
from runtime.settings import Queue, Settings

CARRIED_S = 15  # a caller who is back this soon after a dial that failed has waited since before it
FOREVER = datetime(9999, 1, 1, tzinfo=UTC)
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 4))"
_MINE = """
SELECT queue FROM safiri.waiting WHERE tenant = %(tenant)s AND account = %(account)s AND call_sid = %(call_sid)s AND gone_at IS NULL
FOR UPDATE
"""
_DIALLED = """
SELECT entered_at FROM safiri.offers WHERE tenant = %(tenant)s AND account = %(account)s AND call_sid = %(call_sid)s
  AND queue = %(queue)s AND way = 'dial' AND result <> 'answered' AND over_at > %(carried)s ORDER BY offered_at DESC LIMIT 1
"""
_COUNT = "SELECT count(*) FROM safiri.waiting WHERE tenant = %(tenant)s AND queue = %(queue)s AND gone_at IS NULL"
# Nobody's row is locked for a caller who cannot have the agent: another caller may come for them in this moment.
_FREE = """
SELECT agent FROM safiri.agents_now WHERE tenant = %(tenant)s AND agent = ANY(%(agents)s) AND state = 'available' AND offer IS NULL
  AND (rest_until IS NULL OR rest_until <= clock_timestamp())
  AND NOT EXISTS (SELECT FROM safiri.waiting WHERE tenant = %(tenant)s AND queue = %(queue)s AND gone_at IS NULL
    AND (offer IS NULL AND (leave_by IS NULL OR leave_by > %(now)s) OR call_sid = %(call_sid)s))
  AND NOT EXISTS (SELECT FROM safiri.offers WHERE tenant = %(tenant)s AND account = %(account)s AND call_sid = %(call_sid)s
    AND state <> 'over' AND queue = %(queue)s)
ORDER BY idle_since LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_HOLD = """
INSERT INTO safiri.waiting AS w (tenant, account, call_sid, flow, step, queue, caller, called, entered_at, leave_by)
VALUES (%(tenant)s, %(account)s, %(call_sid)s, %(flow)s, %(step)s, %(queue)s, %(caller)s, %(called)s, %(entered_at)s, %(leave_by)s)
ON CONFLICT (tenant, account, call_sid) DO UPDATE SET flow = excluded.flow, step = excluded.step, queue = excluded.queue,
  caller = excluded.caller, called = excluded.called, entered_at = excluded.entered_at, leave_by = excluded.leave_by,
  offer = NULL, sent_out_at = NULL, gone_at = NULL
WHERE w.gone_at < %(unless_gone_since)s OR w.queue <> excluded.queue
"""
_BEFORE = """
SELECT count(*), pg_notify('desk', '') FROM safiri.waiting w, (SELECT priority, entered_at FROM safiri.waiting
  WHERE tenant = %(tenant)s AND account = %(account)s AND call_sid = %(call_sid)s) mine
WHERE w.tenant = %(tenant)s AND w.queue = %(queue)s AND w.gone_at IS NULL
  AND (w.priority > mine.priority OR w.priority = mine.priority AND w.entered_at <= mine.entered_at)
"""


class Found(NamedTuple):
    """What there is when a caller comes. `since`: of a dial that failed a moment ago."""

    mine: str | None
    here: list[Offer]
    since: datetime | None
    waiting: int
    free: str | None


async def enter(connection: Connection, caller: Caller, *, settings: Settings, now: Micros, dial: bool) -> InQueue:
    """An agent for the caller, or a place, or no room. The same call twice has the same."""
    found = await _found(connection, caller, settings=settings, now=now, dial=dial)
    if found.mine == caller.queue:
        return InQueue(position=await _position(connection, caller))
    dials = [one for one in found.here if one.way == "dial" and one.queue == caller.queue]
    if dials:
        return _dialled_agent(dials[0], settings)
    if found.mine is not None or found.here:  # they come from another queue, which nobody told us that they left
        await left(connection, (caller.tenant, caller.account, caller.call_sid), settings=settings, now=now)
    at = to_datetime(now)
    entered_at = min(at, found.since or at)
    if found.free is not None:
        made, said = await offers.reserve(connection, caller, settings=settings, agent=found.free, entered_at=entered_at, now=now)
        await offers.tell(connection, made, said, settings=settings, now=now)
        return _dialled_agent(made, settings)
    most = settings.queues.get(caller.queue, Queue()).max_waiting
    if most is not None and found.waiting >= most:
        return InQueue(full=True)
    async with connection.pipeline():
        await _hold(connection, caller, settings=settings, entered_at=entered_at, unless_gone_since=FOREVER)
        return InQueue(position=await _position(connection, caller))


async def _found(connection: Connection, caller: Caller, *, settings: Settings, now: Micros, dial: bool) -> Found:
    """Takes the queue's lock and looks; all in one go, for whoever comes next waits for the lock."""
    at = to_datetime(now)
    asked = {
        "tenant": caller.tenant, "account": caller.account, "call_sid": caller.call_sid, "queue": caller.queue, "now": at,
        "carried": at - timedelta(seconds=CARRIED_S),
        "agents": list(offers.agents_of(settings, tenant=caller.tenant, queue=caller.queue)) if dial else [],
    }  # fmt: skip
    async with connection.pipeline():
        await connection.execute(_LOCK, (_lock(caller),))
        questions = [await connection.execute(statement, asked) for statement in (_MINE, _DIALLED, _COUNT, _FREE)]
        here = await offers.open_of(connection, tenant=caller.tenant, account=caller.account, call_sid=caller.call_sid)
    mine, since, waiting, free = [await question.fetchone() for question in questions]
    return Found(
        mine[0] if mine else None, here, since[0] if since else None, waiting[0] if waiting else 0, free[0] if free else None
    )  # fmt: skip


def _lock(caller: Caller) -> str:
    return f"{len(caller.tenant)}/{caller.tenant}/{caller.queue}"


async def hold(connection: Connection, caller: Caller, *, settings: Settings, now: Micros, entered_at: Micros | None = None) -> None:
    """The caller was told to wait without anybody asking us: an agent who was reserved all the same is free again."""
    await connection.execute(_LOCK, (_lock(caller),))
    await offers.lock_caller(connection, (caller.tenant, caller.account, caller.call_sid))
    said: list[Event] = []
    for offer in await offers.open_of(connection, tenant=caller.tenant, account=caller.account, call_sid=caller.call_sid):
        if offer.way == "dial":
            said += await offers.end(connection, offer, settings=settings, result="unheard", now=now)
    at = to_datetime(now if entered_at is None else entered_at)
    await _hold(connection, caller, settings=settings, entered_at=at, unless_gone_since=at)  # they may have come and gone meanwhile
    await say(connection, *said, settings=settings, tenant=caller.tenant, account=caller.account, now=now)


# Who was dialled for and never waited leaves a trace as well: the tables lag, and whoever looks there for lost callers must know.
_NEVER_WAITED = """
INSERT INTO safiri.waiting (tenant, account, call_sid, flow, step, queue, entered_at, gone_at)
SELECT tenant, account, call_sid, flow, '', queue, entered_at, %(now)s FROM safiri.offers
WHERE tenant = %(tenant)s AND account = %(account)s AND call_sid = %(call_sid)s AND queue <> '' ORDER BY offered_at DESC LIMIT 1
ON CONFLICT (tenant, account, call_sid) DO UPDATE SET gone_at = excluded.gone_at WHERE safiri.waiting.gone_at < excluded.gone_at
"""


async def left(connection: Connection, call: tuple[str, str, str], *, settings: Settings, now: Micros) -> bool:
    """The caller is gone or goes on. Whether that changed anything."""
    tenant, account, call_sid = call
    gone = await connection.execute(
        "UPDATE safiri.waiting SET gone_at = %s, offer = NULL WHERE tenant = %s AND account = %s AND call_sid = %s AND gone_at IS NULL "
        "RETURNING 1",
        (to_datetime(now), *call),
    )
    waited = await gone.fetchone()
    if waited is None:  # their row, if there is one, is not locked yet
        await offers.lock_caller(connection, call)
    said: list[Event] = []
    mine = await offers.open_of(connection, tenant=tenant, account=account, call_sid=call_sid)
    for offer in mine:
        said += await offers.caller_gone(connection, offer, settings=settings, now=now)
    if waited is None:
        await connection.execute(_NEVER_WAITED, {"now": to_datetime(now), "tenant": tenant, "account": account, "call_sid": call_sid})
    if changed := bool(waited or mine):
        await say(connection, *said, settings=settings, tenant=tenant, account=account, now=now)
    return changed


async def dialled(connection: Connection, call: tuple[str, str, str], *, settings: Settings, answered: bool | None, now: Micros) -> None:
    """The dial of a reserved agent is over. Where nobody says how, one that lasted as long as it may ring was not answered."""
    tenant, account, call_sid = call
    for offer in await offers.open_of(connection, tenant=tenant, account=account, call_sid=call_sid):
        if offer.way != "dial":
            continue
        rang = to_datetime(now) - offer.ring_until
        if answered is False or (answered is None and abs(rang) <= timedelta(seconds=1)):
            said = await offers.fail(connection, offer, settings=settings, reason="no_answer", now=now)
        else:
            talked = answered is True or rang > timedelta(0)
            result = "answered" if talked else "unknown"
            said = await offers.end(connection, offer, settings=settings, result=result, talked=talked, now=now)
        await offers.tell(connection, offer, said, settings=settings, now=now)


async def answered(
    connection: Connection, name: str, *, settings: Settings, call_sid: str, aliases: list[str], now: Micros
) -> Joined:  # fmt: skip
    """The agent who was rung for a waiting caller answered: who it is for, or nobody."""
    offer = await offers.one(connection, name)
    if offer is None or offer.state == "over":
        return Joined()
    if offer.state == "talking":
        return _joined(offer)
    await _learn(connection, offer, ids=[call_sid, *aliases], settings=settings, now=now)
    if offer.state == "canceling":
        said = await offers.end(connection, offer, settings=settings, result=offer.result or "caller_gone", now=now)
        await offers.tell(connection, offer, said, settings=settings, now=now)
        return Joined()
    waits = await connection.execute(
        "UPDATE safiri.waiting SET gone_at = %s WHERE tenant = %s AND account = %s AND call_sid = %s AND offer = %s AND gone_at IS NULL "
        "RETURNING 1",
        (to_datetime(now), offer.tenant, offer.account, offer.call_sid, offer.id),
    )
    if await waits.fetchone() is None:
        said = offers.failed(offer, "caller_gone", now=now) + await offers.end(
            connection, offer, settings=settings, result="caller_gone", now=now
        )
        await offers.tell(connection, offer, said, settings=settings, now=now)
        return Joined()
    await connection.execute("UPDATE safiri.offers SET state = 'talking', taken_at = %s WHERE id = %s", (to_datetime(now), offer.id))
    await offers.tell(connection, offer, _taken(offer, call_sid, now=now), settings=settings, now=now)
    return _joined(offer)


def _joined(offer: Offer) -> Joined:
    return Joined(call_sid=offer.call_sid, queue=offer.queue, agent=offer.agent, room=f"{PREFIX}{offer.call_sid}")


def _taken(offer: Offer, agent_call_sid: str, *, now: Micros) -> list[Event]:
    sid, queue, agent, theirs = offer.call_sid, offer.queue, offer.agent, offer.agent_call_sid or agent_call_sid
    return [
        QueueLeft(call_sid=sid, at=now, queue=queue, reason="answered"),
        DispatchTaken(call_sid=sid, at=now, offer=str(offer.id), queue=queue, agent=agent, agent_call_sid=theirs),
        AgentState(agent=agent, at=now, state="talking", reason="dispatch", queue=queue),
    ]  # fmt: skip


async def _learn(connection: Connection, offer: Offer, *, ids: list[str], settings: Settings, now: Micros) -> None:
    """Keeps ids of the agent's call that the provider did not tell when it took the order (else `placed` ties them)."""
    new = [one for one in dict.fromkeys(ids) if one and one not in offer.ids]
    if not new:
        return
    offer.agent_aliases = [*offer.agent_aliases, *new]
    await connection.execute("UPDATE safiri.offers SET agent_aliases = %s WHERE id = %s", (offer.agent_aliases, offer.id))
    if offer.agent_call_sid:
        links: list[Event] = [CallLinked(call_sid=offer.agent_call_sid, at=now, alias=one) for one in new]
        await offers.tell(connection, offer, links, settings=settings, now=now)


# ---------------------------------------------------------------- waiting


async def _hold(
    connection: Connection, caller: Caller, *, settings: Settings, entered_at: datetime, unless_gone_since: datetime
) -> None:  # fmt: skip
    longest = settings.queues.get(caller.queue, Queue()).max_wait_s
    await connection.execute(_HOLD, {
        "tenant": caller.tenant, "account": caller.account, "call_sid": caller.call_sid, "flow": caller.flow, "step": caller.step,
        "queue": caller.queue, "caller": caller.caller, "called": caller.called, "entered_at": entered_at,
        "unless_gone_since": unless_gone_since,
        "leave_by": None if longest is None else entered_at + timedelta(seconds=longest),
    })  # fmt: skip


async def _position(connection: Connection, caller: Caller) -> int:
    asked = {"tenant": caller.tenant, "account": caller.account, "call_sid": caller.call_sid, "queue": caller.queue}
    row = await (await connection.execute(_BEFORE, asked)).fetchone()
    return int(row[0]) if row else 1


def _dialled_agent(offer: Offer, settings: Settings) -> InQueue:
    known = settings.agents.get(offer.agent)
    return InQueue(agent=FreeAgent(offer.agent, offer.address, max(1, int(known.ring_s)) if known else 30, str(offer.id)))
