"""What the journal and the derived tables say of calls that the call centre has to do with, and no request told us.

The agent's own call failed or ended; the caller hung up; a caller waits of whom Postgres was never told.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from calls.clock import Micros, to_datetime, to_micros
from calls.events import CallEnded, CallFailed, CallPresumedEnded
from calls.facts import facts
from calls.providers.interface import Delivered
from desk import desk, queues
from desk.connections import Connection
from desk.interface import Caller
from runtime.settings import Settings

STRAY_AFTER, STRAY_UNTIL = timedelta(seconds=3), timedelta(hours=2)  # how old a visit without a row is when it is looked at
MOST_SEEN = 2000
OVER = (CallEnded, CallFailed, CallPresumedEnded)
# Fenced, so that every id is looked up by the primary key whatever the planner believes of a journal that was empty a minute ago:
# else it reads all of a tenant's deliveries for each offer that is open.
_TOLD = """
WITH asked AS MATERIALIZED (
  SELECT id, tenant, unnest(array_append(agent_aliases, agent_call_sid)) AS sid FROM safiri.offers
  WHERE state IN ('ringing', 'talking', 'canceling') AND way = 'call'
)
SELECT a.id, j.seq, j.provider, j.source, j.stream, j.account, j.received_at, j.content_type, j.headers, j.body
FROM asked a, LATERAL (
  SELECT * FROM safiri.journal WHERE tenant = a.tenant AND stream = a.sid AND stream_kind = 'call' AND seq <> ALL(%s)
    AND source NOT IN ('voice', 'desk') OFFSET 0
) j ORDER BY j.seq
"""
_GONE = """
SELECT w.tenant, w.account, w.call_sid FROM (
  SELECT tenant, account, call_sid FROM safiri.waiting WHERE gone_at IS NULL
  UNION SELECT tenant, account, call_sid FROM safiri.offers WHERE state IN ('placing', 'ringing', 'talking')
) w WHERE EXISTS (
  SELECT FROM live.call_index i JOIN live.calls c ON c.tenant = i.tenant AND c.journey_id = i.journey_id
  WHERE i.tenant = w.tenant AND i.call_sid = w.call_sid AND (c.call_sid = w.call_sid OR w.call_sid = ANY(c.aliases))
    AND c.ended_at IS NOT NULL)
"""
_OPEN = """
SELECT v.tenant, v.queue, v.entered_at, c.account, c.caller, c.called,
  (SELECT array_agg(i.call_sid) FROM live.call_index i WHERE i.tenant = v.tenant AND i.journey_id = v.journey_id) AS sids
FROM live.queue_visits v JOIN live.calls c ON c.tenant = v.tenant AND c.journey_id = v.journey_id AND c.call_sid = v.call_sid
WHERE v.tenant = ANY(%(tenants)s) AND v.queue = ANY(%(queues)s) AND v.left_at IS NULL AND c.ended_at IS NULL
  AND v.entered_at BETWEEN %(since)s AND %(until)s
"""
_KNOWN = """
SELECT EXISTS (SELECT FROM safiri.waiting WHERE tenant = %(tenant)s AND call_sid = ANY(%(sids)s)
    AND (gone_at IS NULL OR gone_at >= %(entered_at)s))
  OR EXISTS (SELECT FROM safiri.offers WHERE tenant = %(tenant)s AND account = %(account)s AND call_sid = ANY(%(sids)s)
    AND (state <> 'over' OR result = 'answered' AND over_at >= %(entered_at)s))
"""
_ANSWERED = """
SELECT stream, account, body FROM safiri.journal WHERE tenant = %s AND stream = ANY(%s) AND stream_kind = 'call' AND source = 'voice'
ORDER BY received_at DESC, seq DESC LIMIT 20
"""


class Answer(msgspec.Struct):
    """What is wanted of a voice.answer."""

    type: str
    flow: str | None = None
    step: str | None = None


class Visit(msgspec.Struct):
    """A queue visit that nobody has ended."""

    tenant: str
    queue: str
    entered_at: datetime
    account: str
    caller: str | None
    called: str | None
    sids: list[str]


class Seen:
    """Deliveries of agents' calls that were looked at. Not the last of them: two projectors do not commit in the order of `seq`."""

    def __init__(self) -> None:
        self._seqs: set[int] = set()

    async def look(self, connection: Connection, *, settings: Settings, now: Micros) -> int:
        """Ends the offers whose agents' calls are over; returns how many."""
        ended: dict[str, str] = {}
        rows = await (await connection.execute(_TOLD, (list(self._seqs),))).fetchall()
        for name, _, provider, source, stream, account, received_at, content_type, headers, body in rows:
            kept = msgspec.json.decode(headers) if headers else {}
            delivered = Delivered(bytes(body), content_type, kept, to_micros(received_at), account)
            for fact in facts(delivered, source=source, provider=provider, stream=stream):
                if isinstance(fact, OVER):
                    ended.setdefault(str(name), fact.reason if isinstance(fact, CallFailed) else "no_answer")
        for name in sorted(ended):
            await desk.over(connection, name, settings=settings, reason=ended[name], now=now)
        if len(self._seqs) > MOST_SEEN:
            self._seqs.clear()  # most are of offers long over
        self._seqs.update(row[1] for row in rows)
        return len(ended)


async def callers_gone(connection: Connection, *, settings: Settings, now: Micros) -> int:
    """Lets go of callers whose calls are over by all that is known."""
    gone = await (await connection.execute(_GONE)).fetchall()
    for tenant, account, call_sid in sorted(gone):
        await queues.left(connection, (tenant, account, call_sid), settings=settings, now=now)
    return len(gone)


async def strays(connection: Connection, *, settings: Settings, now: Micros) -> int:
    """Gives a row to callers who wait without one: they were told to wait while Postgres was away."""
    at = to_datetime(now)
    names = sorted({*settings.queues, *(queue for agent in settings.agents.values() for queue in agent.queues)})
    asked = {"tenants": sorted(settings.tenant_names), "queues": names, "since": at - STRAY_UNTIL, "until": at - STRAY_AFTER}
    found = [Visit(*row) for row in await (await connection.execute(_OPEN, asked)).fetchall()]
    return sum([await _taken_in(connection, visit, settings=settings, now=now) for visit in found])


async def _taken_in(connection: Connection, visit: Visit, *, settings: Settings, now: Micros) -> bool:
    asked = {"tenant": visit.tenant, "account": visit.account, "sids": visit.sids, "entered_at": visit.entered_at}
    row = await (await connection.execute(_KNOWN, asked)).fetchone()
    account = settings.accounts.get(visit.account)
    if account is None or (row and row[0]):
        return False
    for stream, owner, body in await (await connection.execute(_ANSWERED, (visit.tenant, visit.sids))).fetchall():
        said = _read(bytes(body))
        if said is None or owner not in settings.accounts:
            continue
        caller = Caller(
            tenant=visit.tenant, account=owner, provider=account.provider, call_sid=stream, flow=said.flow or "", step=said.step or "",
            queue=visit.queue, caller=visit.caller, called=visit.called,
        )  # fmt: skip
        await queues.hold(connection, caller, settings=settings, now=now, entered_at=to_micros(visit.entered_at))
        return True
    return False  # somebody else's queue, of which we only hear


def _read(body: bytes) -> Answer | None:
    try:
        said = msgspec.json.decode(body, type=Answer)
    except msgspec.MsgspecError:
        return None
    return said if said.type == "voice.answer" else None


_OLD = (
    "DELETE FROM safiri.voice_calls WHERE updated_at < now() - interval '1 day'",
    "DELETE FROM safiri.waiting WHERE gone_at < now() - interval '3 hours'",
    "DELETE FROM safiri.offers WHERE state = 'over' AND over_at < now() - interval '1 day'",
    "DELETE FROM safiri.orders WHERE made_at < now() - interval '30 days'",
)


async def forget(connection: Connection) -> None:
    """Takes away rows that nothing will ask for any more."""
    for statement in _OLD:
        await connection.execute(statement)
