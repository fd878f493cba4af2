"""What the voice handler asks of the call centre. `desk.desk.Desk` is it; tests and flows without Postgres have others.

Every method raises `Retry` where Postgres is away or slower than `within_s`; the voice handler then answers without it.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from calls.clock import Micros
from calls.voice.decide import InQueue


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """A call at a queue step. `called` is the number that was dialled: what an agent's phone shows."""

    tenant: str
    account: str
    provider: str
    call_sid: str
    flow: str
    step: str
    queue: str
    caller: str | None = None
    called: str | None = None


class Joined(msgspec.Struct, frozen=True):
    """An agent (or the person called by an order) answered: what their call is for.

    `room`: join it. `flow`: run it from its start. `agent_address`: dial it (an order for an agent). All None: nobody waits any more.
    """

    call_sid: str | None = None  # the caller's
    queue: str | None = None
    agent: str | None = None
    room: str | None = None
    flow: str | None = None
    agent_address: str | None = None
    caller_id: str | None = None
    ring_s: int = 30


class CallCentre(Protocol):
    async def enter(self, caller: Caller, *, now: Micros, dial: bool) -> InQueue:
        """Enters the queue: reserves the longest-idle agent where one is free, nobody waits before, and `dial`; else a place
        among the waiting (the same call twice has one place); `full` where `max_waiting` are there."""
        ...

    async def left(self, tenant: str, account: str, call_sid: str, *, reason: str, now: Micros) -> None:
        """The caller is gone or goes on (abandoned, timeout, over): no longer waiting; an agent who rings for them is stopped,
        one who was dialled or talked is released."""
        ...

    async def dialled(self, tenant: str, account: str, call_sid: str, *, answered: bool | None, now: Micros) -> None:
        """The dial of a reserved agent (`InQueue.agent`) is over."""
        ...

    async def agent_answered(self, offer: str, *, call_sid: str, aliases: list[str], now: Micros) -> Joined:
        """The agent's own call was answered. Said again it gives the same."""
        ...

    async def agent_over(self, offer: str, *, call_sid: str, reason: str, now: Micros) -> None:
        """The agent's own call is over (or failed)."""
        ...

    async def order_answered(self, order: str, *, call_sid: str, aliases: list[str], now: Micros) -> Joined: ...

    async def order_over(self, order: str, *, call_sid: str, now: Micros) -> None: ...
