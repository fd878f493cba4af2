"""Outbound calls: asked for by POST /v1/calls, placed once however often they are asked for, answered by the person called.

An order is a row before anything is asked of the provider. Whoever made the row (or finds it abandoned) claims it for a while
and asks under the order's own id as idempotency key; all who ask for the same meanwhile wait for that answer.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import timedelta

import msgspec
import structlog

from calls.clock import Micros, to_datetime
from calls.envelope import digest
from calls.events import CallLinked, CallStarted, Event
from calls.providers import rest
from desk import offers
from desk.addresses import order_address
from desk.connections import Connection, Connections
from desk.interface import Caller, Joined
from desk.outbox import say
from runtime import clock
from runtime.problems import Refused, Retry
from runtime.provider import Away, Provider
from runtime.settings import Settings

log = structlog.get_logger("desk")
CLAIM_S = 20.0
POLL_S = 0.1
PATIENCE_S = 15.0
EMPTY_WALLET, TOO_MANY = 402, 429


class Order(msgspec.Struct, frozen=True):
    """What is asked for, checked. Exactly one of `flow` and `agent`."""

    tenant: str
    key: str
    account: str
    to: str
    from_: str | None
    flow: str | None = None
    agent: str | None = None
    client_request_id: str | None = None

    @property
    def mark(self) -> bytes:
        """Another order under the same key is a mistake of whoever sent it."""
        return bytes.fromhex(digest(msgspec.json.encode(self, order="deterministic")))


class Row(msgspec.Struct, frozen=True):
    id: uuid.UUID
    asked: bytes
    state: str
    status: int | None
    answer: str | None
    mine: bool


class Settled(msgspec.Struct, frozen=True):
    """The answer to whoever asked, kept: the same for ever under that key."""

    status: int
    body: str


_CLAIM = """
INSERT INTO safiri.orders AS o (tenant, key, id, asked, account, "to", from_number, flow, agent, client_request_id, state, claimed_until)
VALUES (%(tenant)s, %(key)s, %(id)s, %(asked)s, %(account)s, %(to)s, %(from)s, %(flow)s, %(agent)s, %(label)s, 'placing', %(until)s)
ON CONFLICT (tenant, key) DO UPDATE SET claimed_until = excluded.claimed_until
  WHERE o.state = 'placing' AND o.claimed_until < %(now)s AND o.asked = excluded.asked
RETURNING id, asked, state, status, answer, true
"""
_READ = "SELECT id, asked, state, status, answer, false FROM safiri.orders WHERE tenant = %s AND key = %s"


async def place(order: Order, *, connections: Connections, provider: Provider, public: str) -> Settled:
    """Places the call, or says what became of it. Raises Refused 409 for another order under the same key, and Retry."""
    end = time.monotonic() + PATIENCE_S
    while True:
        row = await connections.run(lambda c: _claimed(c, order))
        if bytes(row.asked) != order.mark:
            raise Refused(409, "Idempotency-Key used", "this Idempotency-Key was used for another call: take a new one for each call")
        if row.status is not None and row.answer is not None:
            return Settled(row.status, row.answer)
        if row.mine:
            return await _placed(order, row.id, connections=connections, provider=provider, public=public)
        if time.monotonic() > end:
            detail = "the same call is being placed just now: ask again with the same Idempotency-Key"
            raise Refused(409, "Being placed", detail, headers={"Retry-After": "2"})
        await asyncio.sleep(POLL_S)


async def _claimed(connection: Connection, order: Order) -> Row:
    now = clock.now()
    asked = {
        "tenant": order.tenant, "key": order.key, "id": uuid.uuid4(), "asked": order.mark, "account": order.account, "to": order.to,
        "from": order.from_, "flow": order.flow, "agent": order.agent, "label": order.client_request_id, "now": to_datetime(now),
        "until": to_datetime(now) + timedelta(seconds=CLAIM_S),
    }  # fmt: skip
    row = await (await connection.execute(_CLAIM, asked)).fetchone()
    if row is None:
        row = await (await connection.execute(_READ, (order.tenant, order.key))).fetchone()
    if row is None:
        raise Retry("the order was forgotten in this very moment: ask again")
    return Row(*row)


async def _placed(order: Order, name: uuid.UUID, *, connections: Connections, provider: Provider, public: str) -> Settled:
    """Asks the provider. Where nobody knows what it made of that, the row stays claimed by nobody: the next who asks goes on."""
    settings = provider.settings
    account = settings.accounts[order.account]
    asked = rest.place(
        account.provider, to=order.to, from_=order.from_, path=account.originate_path, label=order.client_request_id or f"order-{name}",
        callback=order_address(settings, public, account=order.account, order=str(name)),
    )  # fmt: skip
    began = clock.now()
    try:
        answered = await provider.ask(order.account, asked, key=str(name), tries=4, trying_s=10.0)
    except Away as error:
        await connections.run(lambda c: _unclaim(c, name))
        raise _not_now(error) from error
    outcome = rest.placed(answered.status, answered.body)
    if isinstance(outcome, rest.Refusal):
        settled = Settled(*_refused(outcome, order.account))
        await connections.run(lambda c: _settle(c, name, settled=settled, state="refused"))
        return settled
    settled = Settled(201, msgspec.json.encode(_told(order, outcome, name=name)).decode())
    await connections.run(lambda c: _taken(c, order, name=name, settings=settings, outcome=outcome, settled=settled, now=began))
    return settled


def _told(order: Order, placed: rest.Placed, *, name: uuid.UUID) -> dict[str, object]:
    told: dict[str, object] = {"call_sid": placed.call_sid}
    if placed.session_id:
        told["session_id"] = placed.session_id
    label = order.client_request_id or f"order-{name}"
    return told | {"status": placed.status or "placed", "client_request_id": label, "account": order.account}


def _not_now(error: Away) -> Refused:
    """Nothing is kept of it: the same key may be asked again. That it has too many calls at the moment is the provider's own word."""
    if error.refusal is not None and error.refusal.status == TOO_MANY:
        detail = f"the provider did not take the call: {error}. Ask again in a moment with the same Idempotency-Key"
        return Refused(TOO_MANY, error.refusal.code or "Too many calls", detail, headers={"Retry-After": "5"})
    detail = f"the provider did not take the call: {error}. Whether it will, is not known: ask again with the same Idempotency-Key"
    return Refused(502, "Provider away", detail, headers={"Retry-After": "5"})


def _refused(refusal: rest.Refusal, account: str) -> tuple[int, str]:
    """The provider's refusal as a problem of ours, which keeps its status. A 401 is about our key there: the detail says so."""
    status = refusal.status if 400 <= refusal.status < 500 else 502
    what = " ".join(f"{refusal.message or refusal.code or f'the provider answered {refusal.status}'}".split())[:500]
    again = "under a new Idempotency-Key"
    advice = {
        EMPTY_WALLET: f"top up the wallet of account {account} at the provider, then place the call again {again}",
        401: f"the provider refuses the api_key of account {account}: mend it, then place the call {again}",
        403: f"check what the api_key of account {account} may do",
    }.get(refusal.status, f"change the request as the provider says, and send it {again}")
    problem = Refused(status, refusal.code or "Refused by the provider", f"{what} — {advice}")
    return status, msgspec.json.encode(problem.body()).decode()


async def _settle(connection: Connection, name: uuid.UUID, *, settled: Settled, state: str) -> None:
    await connection.execute(
        "UPDATE safiri.orders SET state = CASE WHEN state = 'placing' THEN %s ELSE state END, status = %s, answer = %s WHERE id = %s",
        (state, settled.status, settled.body, name),
    )


async def _unclaim(connection: Connection, name: uuid.UUID) -> None:
    await connection.execute("UPDATE safiri.orders SET claimed_until = made_at WHERE id = %s AND status IS NULL", (name,))


async def _taken(
    connection: Connection, order: Order, *, name: uuid.UUID, settings: Settings, outcome: rest.Placed, settled: Settled, now: Micros
) -> None:  # fmt: skip
    """The provider has the call: once, however many of us it told."""
    first = await connection.execute(
        "UPDATE safiri.orders SET call_sid = %s, aliases = %s || aliases WHERE id = %s AND call_sid IS NULL RETURNING aliases",
        (outcome.call_sid, outcome.aliases, name),
    )
    await _settle(connection, name, settled=settled, state="placed")
    row = await first.fetchone()
    if row is None:
        return
    said: list[Event] = [
        CallStarted(
            call_sid=outcome.call_sid, at=now, direction="outbound", from_=order.from_, to=order.to,
            client_request_id=order.client_request_id or f"order-{name}",
            attributes={"flow": order.flow} if order.flow else {"agent": order.agent},
        ),
        *(CallLinked(call_sid=outcome.call_sid, at=now, alias=alias) for alias in dict.fromkeys(row[0]) if alias != outcome.call_sid),
    ]  # fmt: skip
    await say(connection, *said, settings=settings, tenant=order.tenant, account=order.account, now=now)


# ---------------------------------------------------------------- answered, over


class Known(msgspec.Struct, frozen=True):
    tenant: str
    account: str
    from_number: str | None
    flow: str | None
    agent: str | None
    state: str
    call_sid: str | None
    aliases: list[str]


_KNOWN = "SELECT tenant, account, from_number, flow, agent, state, call_sid, aliases FROM safiri.orders WHERE id = %s FOR UPDATE"


async def answered(
    connection: Connection, name: str, *, settings: Settings, call_sid: str, aliases: list[str], now: Micros
) -> Joined:  # fmt: skip
    """The person called answered: the flow to run, or the agent to dial, who is busy from now on. Nothing for an unknown order."""
    known = await _known(connection, name)
    if known is None:
        return Joined()
    await _learn(connection, name, known=known, ids=[call_sid, *aliases], settings=settings, now=now)
    if known.flow is not None:
        return Joined(call_sid=call_sid, flow=known.flow)
    agent = settings.agents.get(known.agent or "")
    address = offers.address_of(agent) if agent else None
    if known.agent is None or agent is None or address is None:
        return Joined()
    if known.state != "answered":
        await _busy(connection, known, call_sid=call_sid, settings=settings, now=now)
    return Joined(call_sid=call_sid, agent=known.agent, agent_address=address, caller_id=known.from_number, ring_s=int(agent.ring_s))


async def over(connection: Connection, name: str, *, settings: Settings, now: Micros) -> None:
    """The call of an order is over; an agent who was dialled for it is free."""
    known = await _known(connection, name)
    if known is None:
        return
    await connection.execute("UPDATE safiri.orders SET state = 'over' WHERE id = %s", (uuid.UUID(name),))
    for call_sid in [*([known.call_sid] if known.call_sid else []), *known.aliases]:
        for offer in await offers.open_of(connection, tenant=known.tenant, account=known.account, call_sid=call_sid):
            said = await offers.caller_gone(connection, offer, settings=settings, now=now)
            await offers.tell(connection, offer, said, settings=settings, now=now)


async def _known(connection: Connection, name: str) -> Known | None:
    try:
        row = await (await connection.execute(_KNOWN, (uuid.UUID(name),))).fetchone()
    except ValueError:
        return None
    return Known(*row) if row else None


async def _learn(connection: Connection, name: str, *, known: Known, ids: list[str], settings: Settings, now: Micros) -> None:
    """Keeps ids of the call that the provider did not tell when it took the order, and ties them to those it did."""
    new = [one for one in dict.fromkeys(ids) if one and one not in (known.call_sid, *known.aliases)]
    await connection.execute(
        "UPDATE safiri.orders SET state = 'answered', aliases = aliases || %s::text[] WHERE id = %s", (new, uuid.UUID(name))
    )
    if known.call_sid:
        links = (CallLinked(call_sid=known.call_sid, at=now, alias=alias) for alias in new)
        await say(connection, *links, settings=settings, tenant=known.tenant, account=known.account, now=now)


async def _busy(connection: Connection, known: Known, *, call_sid: str, settings: Settings, now: Micros) -> None:
    """Takes the agent out of the line, where they are in it; one who is not is dialled all the same."""
    free = await connection.execute(
        "SELECT agent FROM safiri.agents_now WHERE tenant = %s AND agent = %s AND state = 'available' AND offer IS NULL "
        "FOR UPDATE SKIP LOCKED",
        (known.tenant, known.agent),
    )
    if await free.fetchone() is None or known.agent is None:
        return
    account = settings.accounts.get(known.account)
    caller = Caller(
        tenant=known.tenant, account=known.account, provider=account.provider if account else "neutral", call_sid=call_sid, flow="",
        step="", queue="", called=known.from_number,
    )  # fmt: skip
    offer, said = await offers.reserve(connection, caller, settings=settings, agent=known.agent, entered_at=to_datetime(now), now=now)
    await offers.tell(connection, offer, said, settings=settings, now=now)
