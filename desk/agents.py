"""Agents as they are now: what they say of themselves, and whether a phone of theirs rings or they talk, which the open offer says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias, get_args

from calls.clock import Micros, rfc3339, to_datetime, to_micros
from calls.events import AgentState
from desk.connections import Connection
from desk.outbox import say
from runtime.settings import Settings

Said: TypeAlias = Literal["offline", "available", "paused", "wrap_up"]
SAID: Final[tuple[Said, ...]] = get_args(Said)
_READ = "SELECT state, reason, offer FROM safiri.agents_now WHERE tenant = %s AND agent = %s FOR UPDATE"
# The longest idle counts from becoming available, by one clock: Postgres's own.
_WRITE = """
INSERT INTO safiri.agents_now AS a (tenant, agent, state, reason, since, idle_since)
VALUES (%(tenant)s, %(agent)s, %(state)s, %(reason)s, %(now)s, clock_timestamp())
ON CONFLICT (tenant, agent) DO UPDATE SET state = excluded.state, reason = excluded.reason,
  since = CASE WHEN a.state = excluded.state THEN a.since ELSE excluded.since END,
  idle_since = CASE WHEN a.state = excluded.state THEN a.idle_since ELSE clock_timestamp() END,
  rest_until = NULL, missed = 0, wrap_until = CASE WHEN a.state = excluded.state THEN a.wrap_until END
"""
_ALL = """
SELECT a.agent, a.state, a.since, a.reason, o.state, o.way, o.offered_at, o.ring_until, o.taken_at, o.call_sid, o.queue
FROM safiri.agents_now a LEFT JOIN safiri.offers o ON o.id = a.offer WHERE a.tenant = %(tenant)s
  AND (%(only)s::text IS NULL OR a.agent = %(only)s)
"""


async def say_state(
    connection: Connection, agent: str, *, tenant: str, state: Said, reason: str | None, settings: Settings, now: Micros
) -> None:  # fmt: skip
    """The agent says what they do. A call that they have stays; the same state said again changes no place in the line."""
    row = await (await connection.execute(_READ, (tenant, agent))).fetchone()
    await connection.execute(_WRITE, {"tenant": tenant, "agent": agent, "state": state, "reason": reason, "now": to_datetime(now)})
    busy = row is not None and row[2] is not None and state in ("available", "wrap_up")  # they are seen to ring or to talk, and stay so
    if (row is None or row[:2] != (state, reason)) and not busy:
        told = AgentState(agent=agent, at=now, state=state, reason=reason)
        await say(connection, told, settings=settings, tenant=tenant, account="", now=now)
    else:
        await connection.execute("SELECT pg_notify('desk', '')")


async def listed(
    connection: Connection, *, tenant: str, settings: Settings, now: Micros, only: str | None = None
) -> list[dict[str, object]]:  # fmt: skip
    """Every agent of the configuration (or `only` one), heard of or not."""
    rows = await (await connection.execute(_ALL, {"tenant": tenant, "only": only})).fetchall()
    known = {row[0]: row[1:] for row in rows}
    return [
        {"agent": name, "name": agent.name or name, **_shown(known.get(name), now), "queues": agent.queues}
        for name, agent in settings.agents.items()
        if agent.tenant == tenant and only in (None, name)
    ]


def _shown(row: Sequence[object] | None, now: Micros) -> dict[str, object]:
    if row is None:
        return {"state": "offline", "since": None, "reason": None, "call_sid": None, "queue": None}
    state, since, reason, offer, way, offered_at, ring_until, taken_at, call_sid, queue = row
    if offer == "talking" or (way == "dial" and offer == "ringing" and to_micros(ring_until) < now):  # type: ignore[arg-type]
        state, since = "talking", taken_at or ring_until
    elif offer in ("placing", "ringing", "canceling"):
        state, since = "ringing", offered_at
    told = {"state": state, "since": rfc3339(to_micros(since)), "reason": reason}  # type: ignore[arg-type]
    return told | {"call_sid": call_sid, "queue": queue or None}
