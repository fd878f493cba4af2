"""One attempt to bring one agent to one caller, and how it ends. Every function works inside its caller's transaction.

Rows are locked in one order, so that no two of us wait for each other: the waiting caller, the offer, the agent.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from calls.clock import Micros, to_datetime, to_micros
from calls.events import AgentState, DispatchFailed, DispatchOffered, Event
from desk.connections import Connection
from desk.interface import Caller
from desk.outbox import say
from runtime.settings import Agent, Settings

SECOND = 1_000_000
REST_S, LONGEST_REST_S = 4, 60  # after a ring that was not answered, and after the next, …
COLUMNS = (
    "id, tenant, account, call_sid, queue, agent, address, way, state, caller_id, entered_at, agent_call_sid, agent_aliases, "
    "offered_at, ring_until, taken_at, result, placer"
)
_END = """
UPDATE safiri.offers SET state = 'over', over_at = %(now)s, result = %(result)s WHERE id = %(id)s AND state <> 'over'
"""
_FREE = """
UPDATE safiri.agents_now SET offer = NULL, since = %(now)s,
  state = CASE WHEN state = 'available' AND %(wrap_until)s::timestamptz IS NOT NULL THEN 'wrap_up' ELSE state END,
  wrap_until = CASE WHEN state = 'available' THEN %(wrap_until)s ELSE wrap_until END,
  idle_since = CASE WHEN %(moved)s THEN clock_timestamp() ELSE idle_since END,
  missed = CASE WHEN %(missed)s THEN missed + 1 WHEN %(moved)s THEN 0 ELSE missed END,
  rest_until = CASE WHEN %(missed)s THEN %(now)s + interval '1 second' * least(%(longest)s, %(rest)s * 2 ^ least(missed, 8)) END
WHERE tenant = %(tenant)s AND agent = %(agent)s AND offer = %(id)s RETURNING state, reason
"""
INSERT = """
INSERT INTO safiri.offers (id, tenant, account, call_sid, flow, queue, agent, address, way, state, caller_id, entered_at, offered_at,
  ring_until, placer) SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
  %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::int[])
"""


class Offer(msgspec.Struct):
    """A row of safiri.offers."""

    id: uuid.UUID
    tenant: str
    account: str
    call_sid: str
    queue: str
    agent: str
    address: str
    way: str
    state: str
    caller_id: str | None
    entered_at: datetime
    agent_call_sid: str | None
    agent_aliases: list[str]
    offered_at: datetime
    ring_until: datetime
    taken_at: datetime | None
    result: str | None
    placer: int | None

    @property
    def ids(self) -> list[str]:
        """Of the agent's own call."""
        return [*([self.agent_call_sid] if self.agent_call_sid else []), *self.agent_aliases]


def address_of(agent: Agent) -> str | None:
    return agent.number or agent.sip


def agents_of(settings: Settings, *, tenant: str, queue: str) -> dict[str, Agent]:
    """Those who serve the queue and can be reached."""
    return {
        name: agent
        for name, agent in settings.agents.items()
        if agent.tenant == tenant and queue in agent.queues and address_of(agent)
    }  # fmt: skip


async def find(connection: Connection, where: str, values: Sequence[object], *, lock: bool = True) -> list[Offer]:
    """Offers by a condition of ours; locked, in the order of their ids."""
    statement = f"SELECT {COLUMNS} FROM safiri.offers WHERE {where} ORDER BY id{' FOR UPDATE' if lock else ''}"
    return [Offer(*row) for row in await (await connection.execute(statement, values)).fetchall()]


async def lock_caller(connection: Connection, call: tuple[str, str, str]) -> None:
    """Locks the row of a waiting caller, or of one who waited. Always before their offers: two who take both never wait for each other."""
    await connection.execute("SELECT FROM safiri.waiting WHERE tenant = %s AND account = %s AND call_sid = %s FOR UPDATE", call)


async def one(connection: Connection, name: str) -> Offer | None:
    """The offer of that id with its caller's row and itself locked; None where there is none."""
    try:
        known = await find(connection, "id = %s", (uuid.UUID(name),), lock=False)
    except ValueError:
        return None
    if not known:
        return None
    await lock_caller(connection, (known[0].tenant, known[0].account, known[0].call_sid))
    return (await find(connection, "id = %s", (known[0].id,)))[0]


async def open_of(connection: Connection, *, tenant: str, account: str, call_sid: str) -> list[Offer]:
    """A caller's offers that are not over."""
    return await find(connection, "tenant = %s AND account = %s AND call_sid = %s AND state <> 'over'", (tenant, account, call_sid))


async def reserve(
    connection: Connection, caller: Caller, *, settings: Settings, agent: str, entered_at: datetime, now: Micros
) -> tuple[Offer, list[Event]]:
    """Dials `agent`, whose row is locked by us, for the caller; what there is to say of it."""
    known, at = settings.agents[agent], to_datetime(now)
    address = address_of(known) or ""
    made = Offer(
        uuid.uuid4(), caller.tenant, caller.account, caller.call_sid, caller.queue, agent, address, "dial", "ringing", caller.called,
        entered_at, None, [], at, at + timedelta(seconds=known.ring_s), None, None, None,
    )  # fmt: skip
    await connection.execute(INSERT, columns([made], [caller.flow]))
    await connection.execute("UPDATE safiri.agents_now SET offer = %s WHERE tenant = %s AND agent = %s", (made.id, made.tenant, made.agent))
    return made, offered(made, now)


def columns(made: Sequence[Offer], flows: Sequence[str]) -> list[list[object]]:
    """The arguments of INSERT."""
    rows = [
        (one.id, one.tenant, one.account, one.call_sid, flow, one.queue, one.agent, one.address, one.way, one.state, one.caller_id,
         one.entered_at, one.offered_at, one.ring_until, one.placer)
        for one, flow in zip(made, flows, strict=True)
    ]  # fmt: skip
    return [list(column) for column in zip(*rows, strict=True)]


def offered(offer: Offer, now: Micros) -> list[Event]:
    """What is said when an agent begins to ring."""
    state = AgentState(agent=offer.agent, at=now, state="ringing", reason="dispatch", queue=offer.queue or None)
    if not offer.queue:
        return [state]
    told = DispatchOffered(call_sid=offer.call_sid, at=now, offer=str(offer.id), queue=offer.queue, agent=offer.agent, to=offer.address)
    return [told, state]


async def end(
    connection: Connection, offer: Offer, *, settings: Settings, result: str, now: Micros, talked: bool = False, missed: bool = False
) -> list[Event]:
    """The offer is over and its agent free: after a talk with their wrap-up before them, after a ring they missed at the end
    of the line and resting. What there is to say of it."""
    known = settings.agents.get(offer.agent)
    wrap_up_s = known.wrap_up_s if known and talked else 0
    at = to_datetime(now)
    await connection.execute(_END, {"now": at, "result": result, "id": offer.id})
    freed = await connection.execute(_FREE, {
        "now": at, "wrap_until": at + timedelta(seconds=wrap_up_s) if wrap_up_s > 0 else None, "moved": talked or missed, "missed": missed,
        "longest": LONGEST_REST_S, "rest": REST_S, "tenant": offer.tenant, "agent": offer.agent, "id": offer.id,
    })  # fmt: skip
    row = await freed.fetchone()
    if row is None:
        return []
    state, reason = row
    why = "after_call" if talked else result
    return [AgentState(agent=offer.agent, at=now, state=state, reason=why if state in ("available", "wrap_up") else reason)]


async def fail(connection: Connection, offer: Offer, *, settings: Settings, reason: str, now: Micros, missed: bool = True) -> list[Event]:
    """The agent was not reached: their caller waits for the next."""
    said = await end(connection, offer, settings=settings, result=reason, now=now, missed=missed)
    await connection.execute(
        "UPDATE safiri.waiting SET offer = NULL WHERE tenant = %s AND account = %s AND call_sid = %s AND offer = %s",
        (offer.tenant, offer.account, offer.call_sid, offer.id),
    )
    return [*failed(offer, reason, now=now), *said]


def failed(offer: Offer, reason: str, *, now: Micros) -> list[Event]:
    if not offer.queue:
        return []
    return [DispatchFailed(call_sid=offer.call_sid, at=now, offer=str(offer.id), queue=offer.queue, agent=offer.agent, reason=reason)]


async def caller_gone(connection: Connection, offer: Offer, *, settings: Settings, now: Micros) -> list[Event]:
    """The caller of an open offer is gone or goes on. A phone that rings is stopped by the worker, who then frees the agent."""
    if offer.state == "talking":
        return await end(connection, offer, settings=settings, result="answered", talked=True, now=now)
    if offer.way == "dial":
        rung = now - to_micros(offer.offered_at)  # whether somebody answered is not known: who was rung for a moment only did not
        return await end(connection, offer, settings=settings, result="caller_gone", talked=rung > 3 * SECOND, now=now)
    if offer.state == "canceling":
        return []
    await connection.execute("UPDATE safiri.offers SET state = 'canceling', result = 'caller_gone' WHERE id = %s", (offer.id,))
    return failed(offer, "caller_gone", now=now)


async def tell(connection: Connection, offer: Offer, events: Sequence[Event], *, settings: Settings, now: Micros) -> None:
    """Puts `events` of an offer into the outbox; wakes the worker in any case."""
    await say(connection, *events, settings=settings, tenant=offer.tenant, account=offer.account, now=now)
