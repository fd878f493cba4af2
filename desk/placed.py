"""What the provider made of an offer, as transactions: it has the call, it could not be placed, the phone is silent."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from calls.clock import Micros, to_datetime
from calls.events import CallLinked, CallStarted, Event
from calls.providers import rest
from desk import offers
from desk.connections import Connection
from desk.offers import Offer
from desk.outbox import say
from runtime import clock
from runtime.settings import Settings

_KEEP = """
UPDATE safiri.offers o SET state = u.state, agent_call_sid = u.sid, agent_aliases = string_to_array(u.aliases, chr(10)),
  ring_until = u.ring_until
FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::timestamptz[]) u (id, state, sid, aliases, ring_until) WHERE o.id = u.id
"""


class Outcome(msgspec.Struct, frozen=True):
    """The provider took the call of `offer`, which was asked for at `began`."""

    offer: Offer
    placed: rest.Placed
    began: Micros


async def placed(connection: Connection, outcomes: Sequence[Outcome], *, settings: Settings) -> dict[uuid.UUID, str]:
    """Keeps the calls' ids, and says them once. Returns the offers' states. Many at once: agents who become free together are
    rung together."""
    told = {one.offer.id: one for one in outcomes}
    now = clock.now()
    states: dict[uuid.UUID, str] = {}
    rows: list[tuple[uuid.UUID, str, str, str, datetime]] = []
    said: dict[tuple[str, str], list[Event]] = {}
    for known in await offers.find(connection, "id = ANY(%s)", (list(told),)):
        outcome = told[known.id]
        states[known.id] = state = _state(known)
        if known.agent_call_sid is not None:
            continue
        sid = outcome.placed.call_sid
        aliases = [one for one in dict.fromkeys([*outcome.placed.aliases, *known.agent_aliases]) if one != sid]
        ring_s = settings.agents[known.agent].ring_s if known.agent in settings.agents else 30
        rows.append((known.id, state, sid, "\n".join(aliases), to_datetime(now) + timedelta(seconds=ring_s)))
        said.setdefault((known.tenant, known.account), []).extend(_events(known, outcome, aliases=aliases))
    if rows:
        await connection.execute(_KEEP, [list(column) for column in zip(*rows, strict=True)])
    for (tenant, account), events in said.items():
        await say(connection, *events, settings=settings, tenant=tenant, account=account, now=now)
    return states


def _state(known: Offer) -> str:
    """Where the offer goes on. One that was given up meanwhile rings all the same, and must be stopped."""
    if known.agent_call_sid is not None:
        return known.state
    if known.state == "over" and known.result != "answered":
        return "canceling"
    return "ringing" if known.state == "placing" else known.state


def _events(offer: Offer, outcome: Outcome, *, aliases: Sequence[str]) -> list[Event]:
    sid = outcome.placed.call_sid
    started = CallStarted(
        call_sid=sid, at=outcome.began, direction="outbound", from_=offer.caller_id, to=offer.address, parent_call_sid=offer.call_sid,
    )  # fmt: skip
    return [started, *(CallLinked(call_sid=sid, at=outcome.began, alias=alias) for alias in aliases)]


async def failed(connection: Connection, offer: Offer, *, settings: Settings, reason: str, missed: bool) -> None:
    """The call could not be placed."""
    now = clock.now()
    known = await offers.one(connection, str(offer.id))
    if known is None or known.state not in ("placing", "canceling"):
        return
    if known.state == "canceling":
        said = await offers.end(connection, known, settings=settings, result=known.result or reason, now=now)
    else:
        said = await offers.fail(connection, known, settings=settings, reason=reason, now=now, missed=missed)
    await offers.tell(connection, known, said, settings=settings, now=now)


async def stopped(connection: Connection, offer: Offer, *, settings: Settings, lost: bool) -> None:
    """The agent's phone is silent. `lost`: nobody knows their call's id, so it may ring on: they rest."""
    now = clock.now()
    known = await offers.one(connection, str(offer.id))
    if known is None or known.state != "canceling":
        return
    missed = lost or known.result == "no_answer"
    said = await offers.end(connection, known, settings=settings, result=known.result or "canceled", now=now, missed=missed)
    await offers.tell(connection, known, said, settings=settings, now=now)
