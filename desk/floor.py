"""What people and programs ask of the call centre: who is there, who waits, and please call this number.

In a process that serves the API. Everything is read from the operational rows, which are true now, not from projections.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from calls.clock import Micros, rfc3339, to_micros
from desk import agents, orders
from desk.agents import Said
from desk.connections import Connection, Connections
from desk.orders import Order, Settled
from runtime import clock
from runtime.provider import Provider
from runtime.settings import Queue, Settings, queues_of

WITHIN_S = 5.0
_WAITING = """
SELECT w.call_sid, w.entered_at, w.caller, w.account, w.priority, o.agent, w.leave_by FROM safiri.waiting w
LEFT JOIN safiri.offers o ON o.id = w.offer WHERE w.tenant = %s AND w.queue = %s AND w.gone_at IS NULL
ORDER BY w.priority DESC, w.entered_at
"""
_QUEUES = """
SELECT queue, count(*), min(entered_at) FROM safiri.waiting WHERE tenant = %s AND gone_at IS NULL GROUP BY queue
"""


class Floor:
    """Nothing is connected before the first question; belongs to one event loop. Every method raises Retry where Postgres is away."""

    def __init__(self, settings: Settings, database_url: str, *, public: str) -> None:
        self.settings, self.public = settings, public
        self.connections = Connections(database_url, name="floor", size=3, within_s=WITHIN_S)
        self.provider = Provider(settings)

    async def agents(self, tenant: str) -> list[dict[str, object]]:
        now = clock.now()
        return await self.connections.run(lambda c: agents.listed(c, tenant=tenant, settings=self.settings, now=now))

    async def say_state(self, agent: str, *, tenant: str, state: Said, reason: str | None) -> dict[str, object]:
        """Sets what the agent says of themselves; returns their row."""
        now = clock.now()

        async def said(connection: Connection) -> list[dict[str, object]]:
            await agents.say_state(connection, agent, tenant=tenant, state=state, reason=reason, settings=self.settings, now=now)
            return await agents.listed(connection, tenant=tenant, settings=self.settings, now=now, only=agent)

        return (await self.connections.run(said, pipelined=True))[0]

    async def queues(self, tenant: str) -> list[dict[str, object]]:
        """Every queue that is configured, served by an agent, or waited in."""
        now = clock.now()

        async def read(connection: Connection) -> tuple[dict[str, tuple[int, Micros]], list[dict[str, object]]]:
            rows = await (await connection.execute(_QUEUES, (tenant,))).fetchall()
            waits = {queue: (count, to_micros(oldest)) for queue, count, oldest in rows}
            return waits, await agents.listed(connection, tenant=tenant, settings=self.settings, now=now)

        waits, known = await self.connections.run(read)
        names = sorted(self.known_queues(tenant) | set(waits))
        return [_queue(name, self.settings.queues.get(name, Queue()), waits=waits.get(name), known=known) for name in names]

    async def waiting(self, tenant: str, queue: str) -> list[dict[str, object]]:
        """Who waits there, the next first."""
        rows = await self.connections.run(lambda c: _rows(c, tenant=tenant, queue=queue))
        return [
            {
                "call_sid": call_sid, "since": rfc3339(to_micros(since)), "position": n, "caller": caller, "account": account,
                "priority": priority, "agent": agent, "leave_by": None if leave_by is None else rfc3339(to_micros(leave_by)),
            }
            for n, (call_sid, since, caller, account, priority, agent, leave_by) in enumerate(rows, 1)
        ]  # fmt: skip

    async def place(self, order: Order) -> Settled:
        """Places a call once, however often it is asked for. Raises Refused 409 and 502."""
        return await orders.place(order, connections=self.connections, provider=self.provider, public=self.public)

    def known_queues(self, tenant: str) -> set[str]:
        """Those of the tenant's agents and flows; of the configuration's other queues those that are nobody else's."""
        users: list[tuple[str | None, Collection[str]]] = [(agent.tenant, agent.queues) for agent in self.settings.agents.values()]
        users += [(self.settings.flow_tenant(flow), queues_of(flow)) for flow in self.settings.flows.values()]
        own = {queue for user, queues in users if user == tenant for queue in queues}
        theirs = {queue for _, queues in users for queue in queues} - own
        return own | (set(self.settings.queues) - theirs)

    async def close(self) -> None:
        await self.provider.close()
        await self.connections.close()


async def _rows(connection: Connection, *, tenant: str, queue: str) -> list[tuple[Any, ...]]:
    return await (await connection.execute(_WAITING, (tenant, queue))).fetchall()


def _queue(name: str, rules: Queue, *, waits: tuple[int, Micros] | None, known: list[dict[str, object]]) -> dict[str, object]:
    here = [row for row in known if name in row["queues"]]  # type: ignore[operator]  # lists of names
    states = ("available", "ringing", "talking", "wrap_up", "paused", "offline")
    return {
        "queue": name, "waiting": waits[0] if waits else 0, "oldest_since": rfc3339(waits[1]) if waits else None,
        "agents": [row["agent"] for row in here], "states": {state: sum(row["state"] == state for row in here) for state in states},
        "threshold_s": rules.threshold_s, "max_wait_s": rules.max_wait_s, "max_waiting": rules.max_waiting,
    }  # fmt: skip
