"""How a delivery gets there: signed when it is sent, at least once, tried again on a schedule; or lost, late or twice, as asked."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import httpx
import msgspec
import structlog

from calls.providers import PROVIDERS
from calls.simulator_faults import SHORT_S, Fate, fate, jittered
from runtime.settings import Settings
from virtual.line import Line

log = structlog.get_logger()
MOST_REFUSALS = 50  # that are told in full


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery. `timed`: it says itself when it happened. `signed`: sub-callbacks are not. `lossable`: a fault may lose it."""

    url: str
    body: bytes
    content_type: str
    timed: bool = False
    signed: bool = True
    lossable: bool = True


class Courier:
    """Sends. `refused` are the answers that were no 2xx, in words; `counts` what became of everything."""

    def __init__(self, settings: Settings, client: httpx.AsyncClient) -> None:
        self.settings, self.client = settings, client
        self.refused: list[str] = []
        self.counts: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def send(self, line: Line, post: Post) -> None:
        """Returns once the first attempt is answered; what is late, twice or tried again goes on by itself."""
        root, run = line.root, line.run
        root.sent += 1
        what = Fate()
        if run and run.faults:
            what = fate(run.seed, faults=run.faults, journey=root.wish.n, n=root.sent, timed=post.timed, lossable=post.lossable)
        if what.lost:
            root.lost += 1
            self.counts["lost"] += 1
            return
        for pause in what.copies_ms:
            self.counts["copies"] += 1
            self.spawn(self._after(line, post, pause=pause + what.delay_ms))
        if what.delay_ms:
            self.counts["late"] += 1
            self.spawn(self._after(line, post, pause=what.delay_ms))
        elif not await self._attempt(line, post, last=False):
            self.spawn(self._again(line, post))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """In the background, and kept until it is done."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("a task of the virtual provider failed", exc_info=task.exception())
            self.refused.append(f"a bug: {task.exception()!r}")

    async def drained(self) -> None:
        """When nothing is on its way any more."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def _after(self, line: Line, post: Post, *, pause: float) -> None:
        await asyncio.sleep(pause / 1000)
        if not await self._attempt(line, post, last=False):
            await self._again(line, post)

    async def _again(self, line: Line, post: Post) -> None:
        schedule = jittered(line.run.schedule if line.run else SHORT_S, f"{line.id}/{line.root.sent}")
        for n, pause in enumerate(schedule[1:], 2):
            await asyncio.sleep(pause)
            self.counts["retries"] += 1
            if await self._attempt(line, post, last=n == len(schedule)):
                return
        self.counts["dead letters"] += 1

    async def _attempt(self, line: Line, post: Post, *, last: bool) -> bool:
        """Whether it is done with: taken, or refused for ever (a 4xx is not tried again for hours by anybody who waits for it)."""
        self.counts["deliveries"] += 1
        try:
            reply = await self.client.post(post.url, content=post.body, headers=self.headers(line.account, post))
        except httpx.HTTPError as error:
            if last:
                self.refuse(f"{post.url}: {type(error).__name__}")
            return last
        if reply.is_success:
            return True
        if last or 400 <= reply.status_code < 500:
            self.refuse(f"{post.url} answered {reply.status_code}: {reply.text[:200]}")
            return True
        return False

    def headers(self, account: str, post: Post) -> dict[str, str]:
        named = {"Content-Type": post.content_type, "User-Agent": "Sautikit-VoiceProxy"}
        return named | (self.signature(account, post.body) if post.signed else {})

    def signature(self, account: str, body: bytes) -> dict[str, str]:
        """As the account's provider signs; nothing where there is no secret."""
        known = self.settings.accounts[account]
        if not known.signing_secrets:
            return {}
        return PROVIDERS[known.provider].sign(body, known.signing_secrets[0].get_secret_value(), int(time.time()), "")

    def refuse(self, why: str) -> None:
        """Something that the provider could not use, or that was not taken."""
        self.counts["refused"] += 1
        if len(self.refused) < MOST_REFUSALS:
            self.refused.append(why)
        log.warning("refused", why=why)
