"""The agents' own part: they log in when a morning begins, press "available" when they were set aside, and go home at its end."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import httpx
import structlog

from calls.clock import rfc3339
from runtime.problems import Missing

if TYPE_CHECKING:
    from virtual.engine import Engine
    from virtual.people import Phone

log = structlog.get_logger()
LOOK_S = 0.7  # how often an agent looks at their own state
FORGOTTEN_S = 2.5  # nobody is on the phone for them, and yet they are said to be


class Staff:
    """The agents of `queues`."""

    def __init__(self, engine: Engine, *, key: str, queues: set[str]) -> None:
        self.engine, self.headers = engine, {"Authorization": f"Bearer {key}"}
        phones = {phone.agent: phone for phone in engine.people.phones.values()}
        self.phones: dict[str, Phone] = {
            name: phones[name] for name, agent in engine.settings.agents.items() if name in phones and not queues.isdisjoint(agent.queues)
        }
        self.came: dict[str, float] = {}
        self.went: dict[str, float] = {}
        self._looking: asyncio.Task[None] | None = None

    @property
    def names(self) -> list[str]:
        return list(self.phones)

    async def come(self) -> None:
        """Raises Missing where Safiri does not let them."""
        await asyncio.gather(*(self._set(name, "available", must=True) for name in self.phones))
        now = time.time()
        self.came = dict.fromkeys(self.phones, now)
        if self.phones:
            self._looking = asyncio.create_task(self._look())

    async def leave(self) -> None:
        if self._looking:
            self._looking.cancel()
        await asyncio.gather(*(self._set(name, "offline") for name in self.phones))
        self.went = dict.fromkeys(self.phones, time.time())

    def times(self, name: str) -> dict[str, Any]:
        """When an agent was there."""
        told = {"came_at": self.came.get(name), "went_at": self.went.get(name)}
        return {what: rfc3339(int(at * 1_000_000)) if at else None for what, at in told.items()}

    async def _set(self, name: str, state: str, *, must: bool = False) -> None:
        url = f"{self.engine.http}/v1/agents/{name}/state"
        try:
            reply = await self.engine.courier.client.post(url, json={"state": state, "reason": "shift"}, headers=self.headers)
        except httpx.HTTPError as error:
            said = f"{type(error).__name__}"
        else:
            if reply.is_success:
                return
            said = f"{reply.status_code} {reply.text[:200]}"
        if must:
            raise Missing(f"{name} cannot log in: POST {url}: {said}")
        log.warning("an agent's state was not taken", agent=name, state=state, said=said)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                reply = await self.engine.courier.client.get(f"{self.engine.http}/v1/agents", headers=self.headers)
                rows = reply.json()["agents"] if reply.is_success else []
            except (httpx.HTTPError, ValueError, KeyError):
                continue
            for row in rows:
                if self._aside(row):
                    await self._set(row.get("id") or row.get("agent"), "available")

    def _aside(self, row: dict[str, Any]) -> bool:
        """Whether an agent of ours must press the button: paused by a rule, or left in a call that is over."""
        phone = self.phones.get(row.get("id") or row.get("agent") or "")
        if phone is None or phone.busy:
            return False
        idle_s = asyncio.get_running_loop().time() - phone.changed
        return row.get("state") in ("paused", "offline") or (row.get("state") in ("talking", "ringing") and idle_s > FORGOTTEN_S)
