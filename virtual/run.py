"""One simulated morning: agents come to work, callers ring in the seed's order, and at the end the truth is told."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from calls.clock import milliseconds
from calls.simulator import Wish, demand
from calls.simulator_faults import PUBLISHED_S, SHORT_S, skew_ms
from calls.simulator_trees import Tree
from calls.simulator_truth import story
from virtual.staff import Staff

if TYPE_CHECKING:
    from virtual.engine import Engine
    from virtual.line import Line

HANDLING_S = 0.85  # what a call takes an agent, as wishes are drawn: the arrivals' mean spacing is this over the number of agents
SETTLING_S = 0.4
UNSTAFFED = 10  # calls at once where nobody has to be waited for


class Order(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is asked of the virtual provider. `rate`: calls a minute; without it as many as the agents can serve.

    `key` is an API key of Safiri's with scope write: agents are set with it.
    """

    accounts: list[str]
    key: str
    calls: int = 200
    seed: int = 7
    rate: float | None = None
    faults: list[str] = []
    published_retries: bool = False


class Run:
    def __init__(self, engine: Engine, order: Order) -> None:
        self.engine, self.seed, self.faults = engine, order.seed, frozenset(order.faults)
        self.order, self.skew_us = order, skew_ms(order.seed, order.faults) * 1000
        self.schedule: Sequence[float] = PUBLISHED_S if order.published_retries else SHORT_S
        self.trees = [tree for tree in engine.trees if tree.account in order.accounts]
        self.lines: list[Line] = []
        self.ended, self.done, self.failed = 0, False, ""
        self.took_s = 0.0
        self.truth: dict[str, Any] = {}
        self.refused: list[str] = []
        self.counts: Counter[str] = Counter()
        queues = {queue for tree in self.trees for queue in tree.queues.values()}
        self.staff = Staff(engine, key=order.key, queues=queues)

    async def go(self) -> None:
        """The whole morning. `failed` says why there was none."""
        began, courier = time.monotonic(), self.engine.courier
        courier.refused, courier.counts = self.refused, self.counts
        self.engine.people.seed = self.seed
        for phone in self.engine.people.phones.values():
            phone.nth = 0
        try:
            await self.staff.come()
            try:
                await self._ring_all()
                await self._settled()
            finally:
                await self.staff.leave()
            self.truth = self._truth()
        except Exception as error:  # noqa: BLE001  whoever asked for the run is told
            self.failed = f"{type(error).__name__}: {error}"
        finally:
            self.took_s = time.monotonic() - began
            self.done = True

    # ------------------------------------------------------------ callers

    async def _ring_all(self) -> None:
        agents = len(self.staff.names)
        room = asyncio.Semaphore(10_000 if self.order.rate else 2 * agents + 2 if agents else UNSTAFFED)
        mean_s = 60 / self.order.rate if self.order.rate else HANDLING_S / agents if agents else 0.0
        tasks = []
        due = time.monotonic()
        for wish in demand(self.seed, calls=self.order.calls, trees=self.trees):
            due = max(due + wish.gap * mean_s, time.monotonic() - 1.0)  # what was held back is not made up for in a rush
            await asyncio.sleep(due - time.monotonic())
            await room.acquire()
            tasks.append(asyncio.create_task(self._one(wish, room)))
        await asyncio.gather(*tasks)

    async def _one(self, wish: Wish, room: asyncio.Semaphore) -> None:
        line = self.engine.inbound(wish, self) if wish.direction == "inbound" else self.engine.outbound(wish, self)
        self.lines.append(line)
        try:
            await self.engine.live(line)
        finally:
            self.ended += 1
            room.release()

    async def _settled(self) -> None:
        """When no agent is on the phone for one of our callers any more, and no delivery is on its way."""
        for _ in range(2):  # the worker may be ringing an agent for a caller who has just gone
            await self.engine.courier.drained()
            await asyncio.sleep(SETTLING_S)
        await self.engine.courier.drained()

    def _family(self) -> list[Line]:
        return [line for line in dict.fromkeys(self.engine.lines.values()) if line.run is self]

    # ------------------------------------------------------------ truth

    def _truth(self) -> dict[str, Any]:
        served: dict[str, list[Line]] = {line.id: [] for line in self.lines}
        for line in self._family():
            if line.parent is not None:
                served[line.root.id].append(line)
        journeys = []
        for line in sorted(self.lines, key=lambda one: one.wish.n):
            tenant = self.engine.settings.accounts[line.account].tenant
            calls = [line.lived, *(other.lived for other in sorted(served[line.id], key=lambda one: one.lived.started_at))]
            journeys.append(story(tenant, calls, lost=line.lost))
        accounts = {tree.account for tree in self.trees}
        ids = {line.id for line in self._family()}
        wallets = [self.engine.ledger.wallets[name] for name in sorted(accounts)]
        entries = [entry for wallet in wallets for entry in wallet.entries if entry["call_id"] in ids]
        charges = [charge for wallet in wallets for charge in wallet.charges if charge["call_id"] in ids]
        visits = [visit for journey in journeys for visit in journey["queue_visits"]]  # type: ignore[attr-defined]
        return {"journeys": journeys, "queue_visits": visits, "agent_time": self._agent_time(), "charges": charges, "statement": entries}

    def _agent_time(self) -> list[dict[str, Any]]:
        """Per agent, what the provider saw of them."""
        rows = {name: {"agent": name, "calls": 0, "talk_ms": 0, **self.staff.times(name)} for name in self.staff.names}
        for line in self._family():
            talks = [(line.lived.agent, line.lived.joined_at, line.lived.ended_at)]
            talks += [(far.agent, far.answered_at, far.ended_at) for far in line.lived.far]
            for agent, since, until in talks:
                if agent in rows and since and until:
                    rows[agent]["calls"] += 1
                    rows[agent]["talk_ms"] += milliseconds(since, until)
        return list(rows.values())


def without_flows(trees: Sequence[Tree], accounts: Sequence[str]) -> list[str]:
    """Those of `accounts` that nobody can call."""
    return [name for name in accounts if not any(tree.account == name for tree in trees)]
