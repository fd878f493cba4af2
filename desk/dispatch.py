"""Who is rung for whom: the oldest waiting caller gets the agent who has been idle for longest. One transaction a round.

Rows that another dispatcher holds are left to it. Agents are locked only where somebody waits for them: a caller who comes in at
this moment must find the free ones free.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import msgspec

from calls.clock import Micros, to_datetime
from calls.events import Event
from desk import offers
from desk.connections import Connection
from desk.offers import Offer
from desk.outbox import say
from runtime.settings import Settings

MOST = 200  # matched in one round
_FREE = "state = 'available' AND offer IS NULL AND (rest_until IS NULL OR rest_until <= clock_timestamp())"
_WAITING = f"""
SELECT w.* FROM (
  SELECT DISTINCT tenant, queue FROM unnest(%(tenants)s::text[], %(agents)s::text[], %(queues)s::text[]) u (tenant, agent, queue)
  JOIN safiri.agents_now a USING (tenant, agent) WHERE {_FREE}
) q, LATERAL (
  SELECT tenant, account, call_sid, flow, queue, called, entered_at, priority FROM safiri.waiting w
  WHERE w.tenant = q.tenant AND w.queue = q.queue AND w.gone_at IS NULL AND w.offer IS NULL
    AND (w.leave_by IS NULL OR w.leave_by > %(now)s) AND NOT w.account = ANY(%(resting)s)
  ORDER BY w.priority DESC, w.entered_at LIMIT (SELECT count(*) FROM safiri.agents_now WHERE {_FREE}) FOR UPDATE SKIP LOCKED
) w ORDER BY w.priority DESC, w.entered_at LIMIT {MOST}
"""
_LOCKED = f"""
SELECT tenant, agent FROM safiri.agents_now WHERE tenant = ANY(%(tenants)s) AND agent = ANY(%(agents)s) AND {_FREE}
ORDER BY idle_since LIMIT {MOST} FOR UPDATE SKIP LOCKED
"""


class Waiting(msgspec.Struct):
    tenant: str
    account: str
    call_sid: str
    flow: str
    queue: str
    called: str | None
    entered_at: datetime
    priority: int


async def match(
    connection: Connection, *, settings: Settings, now: Micros, placer: int, resting: Collection[str] = ()
) -> list[Offer]:  # fmt: skip
    """Makes offers, committed by the caller's transaction: only then may anything be asked of the provider.

    `resting`: accounts whose provider takes no calls at the moment.
    """
    served = [
        (agent.tenant, name, queue)
        for name, agent in settings.agents.items() if offers.address_of(agent)
        for queue in agent.queues
    ]  # fmt: skip
    tenants, agents, queues = [list(column) for column in zip(*served, strict=True)] if served else ([], [], [])
    asked = {"tenants": tenants, "agents": agents, "queues": queues, "now": to_datetime(now), "resting": list(resting)}
    waiting = [Waiting(*row) for row in await (await connection.execute(_WAITING, asked)).fetchall()]
    if not waiting:
        return []
    free = await (await connection.execute(_LOCKED, {"tenants": sorted(set(tenants)), "agents": sorted(set(agents))})).fetchall()
    pairs = paired(waiting, free, settings=settings)
    made = [_offer(caller, agent, settings=settings, now=now, placer=placer) for caller, agent in pairs]
    if made:
        await _write(connection, made, pairs=pairs, settings=settings, now=now)
    return made


def paired(waiting: Sequence[Waiting], free: Sequence[tuple[str, str]], *, settings: Settings) -> list[tuple[Waiting, str]]:
    """Each caller in turn gets the first agent left who serves their queue."""
    left: dict[str, list[tuple[str, list[str]]]] = {}
    for tenant, agent in free:
        left.setdefault(tenant, []).append((agent, _queues(settings, agent, tenant=tenant)))
    found: list[tuple[Waiting, str]] = []
    for caller in waiting:
        here = left.get(caller.tenant, [])
        chosen = next((one for one in here if caller.queue in one[1]), None)
        if chosen:
            here.remove(chosen)
            found.append((caller, chosen[0]))
    return found


def _queues(settings: Settings, agent: str, *, tenant: str) -> list[str]:
    known = settings.agents.get(agent)
    return known.queues if known and known.tenant == tenant and offers.address_of(known) else []


def _offer(caller: Waiting, agent: str, *, settings: Settings, now: Micros, placer: int) -> Offer:
    account, at = settings.accounts.get(caller.account), to_datetime(now)
    numbers = account.numbers if account else []
    return Offer(
        uuid.uuid4(), caller.tenant, caller.account, caller.call_sid, caller.queue, agent,
        offers.address_of(settings.agents[agent]) or "", "call", "placing", caller.called or next(iter(numbers), None),
        caller.entered_at, None, [], at, at + timedelta(seconds=settings.agents[agent].ring_s), None, None, placer,
    )  # fmt: skip


async def _write(
    connection: Connection, made: Sequence[Offer], *, pairs: Sequence[tuple[Waiting, str]], settings: Settings, now: Micros
) -> None:  # fmt: skip
    """All offers of a round in few statements."""
    flows = [caller.flow for caller, _ in pairs]
    ids, tenants = [one.id for one in made], [one.tenant for one in made]
    accounts, sids = [one.account for one in made], [one.call_sid for one in made]
    await connection.execute(offers.INSERT, offers.columns(made, flows))
    await connection.execute(
        "UPDATE safiri.waiting w SET offer = u.id FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[]) "
        "u (id, tenant, account, call_sid) WHERE w.tenant = u.tenant AND w.account = u.account AND w.call_sid = u.call_sid",
        (ids, tenants, accounts, sids),
    )
    await connection.execute(
        "UPDATE safiri.agents_now a SET offer = u.id FROM unnest(%s::uuid[], %s::text[], %s::text[]) u (id, tenant, agent) "
        "WHERE a.tenant = u.tenant AND a.agent = u.agent",
        (ids, tenants, [one.agent for one in made]),
    )
    await _tell(connection, made, settings=settings, now=now)


async def _tell(connection: Connection, made: Sequence[Offer], *, settings: Settings, now: Micros) -> None:
    said: dict[tuple[str, str], list[Event]] = {}
    for one in made:
        said.setdefault((one.tenant, one.account), []).extend(offers.offered(one, now))
    for (tenant, account), events in said.items():
        await say(connection, *events, settings=settings, tenant=tenant, account=account, now=now)
