"""From the answer to "this agent is available" until the order to ring them reaches the provider, beside a bare request to it.

Many callers wait, few agents become available: one after the other, and all at once. The bare requests are made by the client that
the product uses, with its connections kept, in the same way: one after the other, and all at once. An agent who is rung under two keys or not at
all, or for a caller who has not waited for longest, makes the result count as zero.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
import uuid
from contextlib import AsyncExitStack, ExitStack
from itertools import cycle
from typing import Literal, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import msgspec

from benchmarks.asking import Answer, http, send
from benchmarks.measuring import Meter, Result, Round, Size, Target, medians, noisy, percentile, rounds
from benchmarks.provider import Order
from benchmarks.stack import SECRET, Folder, first_line, start, stop
from benchmarks.whole import Whole
from calls.providers.signatures import sign_sautikit
from runtime.provider import POOLS

TARGET = Target("≤", 10)
CALLERS, AGENTS = 500, 50
APART_S = 0.04  # between two agents, where they come one after the other
ORDERED_WITHIN_S = 20.0
Manner = Literal["one by one", "at once"]
CONFIG = """
[accounts.acme]
provider = "sautikit"
signing_secrets = ["{secret}"]
numbers = ["+254711000100"]
api_key = "measured"
api_url = "http://127.0.0.1:{port}"
[queues.support]
announce = "Please hold."
[flows.hold]
account = "acme"
start = "hold"
[flows.hold.steps.hold]
kind = "queue"
queue = "support"
"""
AGENT = """
[agents.a{n}]
number = "+2547200{n:05}"
queues = ["support"]
ring_s = 3600
"""
AS_BEFORE = (
    "DELETE FROM safiri.offers",
    "UPDATE safiri.waiting SET offer = NULL, gone_at = NULL",
    "UPDATE safiri.agents_now SET state = 'offline', offer = NULL, rest_until = NULL, missed = 0",
)


class Centre(NamedTuple):
    whole: Whole
    provider: int  # port
    first: list[str]  # the calls of the oldest waiting, as many as there are agents


def run(size: Size) -> list[Result]:
    with ExitStack() as opened:
        folder = opened.enter_context(Folder())
        fake = start([sys.executable, "-m", "benchmarks.provider"], errors=folder / "errors.log")
        opened.callback(stop, fake)
        port = int(first_line(fake, folder / "errors.log"))
        config = CONFIG.format(secret=SECRET, port=port) + "".join(AGENT.format(n=n) for n in range(AGENTS))
        centre = asyncio.run(_filled(opened.enter_context(Whole(config)), port))
        return [_measured(centre, size, "one by one"), _measured(centre, size, "at once")]


def _measured(centre: Centre, size: Size, manner: Manner) -> Result:
    wrong: list[str] = []
    _round(centre, manner, wrong)  # warm: connections, prepared statements
    found = rounds(size, lambda _: _round(centre, manner, wrong))
    middle = medians(found)
    shown = {
        "to the provider": f"p50 {middle['p50']:.1f}, p90 {middle['p90']:.1f}, longest {middle['longest']:.0f} ms",
        "orders": f"{middle['before']:.0f} of {AGENTS} before the answer was read, {middle['again']:.0f} sent again under their key",
        "bare request": f"{middle['bare']:.2f} ms (httpx), {middle['raw']:.2f} ms (a socket)",
        "waiting": f"{CALLERS} callers, {AGENTS} agents {manner}",
    }
    name = "dispatch" if manner == "one by one" else "dispatch at once"
    ratios = [one.ratio for one in found]
    return Result(name, "agent available → order at the provider ÷ bare request", ratios, TARGET, "", shown, noisy(found),
                  "; ".join(wrong[:1]))  # fmt: skip


async def _filled(whole: Whole, provider: int) -> Centre:
    """CALLERS wait, the first of them for longest."""
    sids = [f"HD_{uuid.uuid4().hex[:12]}{n}" for n in range(CALLERS)]
    requests = []
    for n, sid in enumerate(sids):
        who = {"sessionId": sid, "callerNumber": f"+254722{n:06}", "destinationNumber": "+254711000100", "direction": "Inbound"}
        body = urlencode(who | {"callSessionState": "Ringing", "isActive": "1"}).encode()
        signed = sign_sautikit(body, SECRET, int(time.time()), "")
        requests.append(http("POST", "/voice/hold", body, {"Content-Type": "application/x-www-form-urlencoded", **signed}))
    held = await send(whole.port, requests, connections=1)
    assert all(one.status == 200 and b"conference" in one.body for one in held), "a caller was not told to wait"
    ((waiting,),) = whole.execute("SELECT count(*) FROM safiri.waiting WHERE gone_at IS NULL")
    assert waiting == CALLERS, f"{waiting} wait"
    return Centre(whole, provider, sids[:AGENTS])


def _round(centre: Centre, manner: Manner, wrong: list[str]) -> Round:
    centre.whole.execute(*AS_BEFORE)
    time.sleep(1.5)  # the worker has looked at that, and at the journal
    pids = {"safiri": centre.whole.process.pid}
    with Meter(pids) as meter:
        bare, raw = asyncio.run(_bare(centre.provider, manner))
        available, orders = asyncio.run(_ordered(centre, manner))
    wrong += _faults(centre, available, orders)
    asked = {f"+2547200{n:05}": answer.answered for n, answer in enumerate(available)}
    first = {order.key: order for order in sorted(orders, key=lambda one: -one.at)}.values()
    took = [(order.at - asked[order.to]) * 1000 for order in first if order.to in asked]
    middle = statistics.median(took) if took else float("inf")
    figures = {"p50": middle, "p90": percentile(took, 0.9), "longest": max(took, default=0.0), "bare": bare, "raw": raw,
               "before": float(sum(one < 0 for one in took)), "again": float(len(orders) - len(first))}  # fmt: skip
    return Round(max(0.0, middle) / bare, figures, meter.others)


async def _bare(provider: int, manner: Manner) -> tuple[float, float]:
    """Milliseconds of a POST to the provider and back: by the product's client, and by a bare socket."""
    body = b'{"from":"+254711000100","to":["+254720000000"],"voice_callback_url":"http://127.0.0.1/","client_request_id":"bare"}'
    waits: list[float] = []
    async with AsyncExitStack() as opened:
        clients = cycle([await opened.enter_async_context(httpx.AsyncClient()) for _ in range(POOLS)])  # as many as the product has

        async def one() -> None:
            began, client = time.monotonic(), next(clients)
            await client.post(f"http://127.0.0.1:{provider}/bare", content=body, headers={"Content-Type": "application/json"})
            waits.append((time.monotonic() - began) * 1000)

        async def all_of_them() -> None:
            if manner == "at once":
                await asyncio.gather(*(one() for _ in range(AGENTS)))
                return
            for _ in range(AGENTS):
                await one()

        await all_of_them()  # connections are opened
        waits.clear()
        await all_of_them()
    requests = [http("POST", "/bare", body)] * AGENTS
    raw = await send(provider, requests, connections=AGENTS if manner == "at once" else 1)
    return statistics.median(waits), statistics.median(one.wait_ms for one in raw)


async def _ordered(centre: Centre, manner: Manner) -> tuple[list[Answer], list[Order]]:
    """Every agent says that they are available; what the provider was then asked."""
    headers = {"Authorization": f"Bearer {centre.whole.key}", "Content-Type": "application/json"}
    said = [http("POST", f"/v1/agents/a{n}/state", b'{"state":"available"}', headers) for n in range(AGENTS)]
    at_once = manner == "at once"
    available = await send(centre.whole.port, said, connections=AGENTS if at_once else 1, rate=None if at_once else 1 / APART_S)
    orders: list[Order] = []
    end = time.monotonic() + ORDERED_WITHIN_S
    while len(orders) < AGENTS and time.monotonic() < end:
        await asyncio.sleep(0.2)
        (told,) = await send(centre.provider, [http("GET", "/told")], connections=1)
        orders += msgspec.json.decode(told.body, type=list[Order])
    return available, orders


def _faults(centre: Centre, available: list[Answer], orders: list[Order]) -> list[str]:
    found = [f"an agent's state was answered {one.status}: {one.body[:200]!r}" for one in available if one.status != 200]
    agents, keys = {one.to for one in orders}, {one.key for one in orders}
    callers = {parse_qs(urlsplit(one.callback).query)["c"][0] for one in orders}
    if not len(agents) == len(keys) == AGENTS:
        found.append(f"{len(orders)} orders under {len(keys)} keys for {len(agents)} of {AGENTS} agents")
    if callers != set(centre.first):
        found.append(f"{len(callers - set(centre.first))} of {len(callers)} callers served were not the longest waiting")
    return found
