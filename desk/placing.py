"""Carries offers out: the agent's call is placed, and stopped where nobody waits for it any more.

The offer was committed before; every try at the provider is under its id, so that a worker that takes over from one that died
rings nobody twice. A provider that does not answer, or whose wallet is empty, is left alone for a while: its callers wait.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Coroutine, Iterable
from typing import Any

import structlog

from calls.providers import rest
from calls.rooms import PREFIX
from desk import offers
from desk.addresses import offer_address
from desk.connections import Connections
from desk.offers import Offer
from desk.placed import Outcome, failed, placed, stopped
from runtime import clock
from runtime.problems import Retry
from runtime.provider import Away, Provider
from runtime.settings import Settings

log = structlog.get_logger("desk")
OURS_TO_MEND = frozenset({401, 402, 403})  # about the account, not about the agent who was to be rung
TOGETHER_S = 0.01  # the requests of others go out before the answers are kept
REST_S, LONGEST_REST_S = 2.0, 60.0  # an account whose provider takes no calls


class Placing:
    """What of this worker's offers is under way at the provider."""

    def __init__(self, settings: Settings, connections: Connections, *, public: str) -> None:
        self.settings, self.public = settings, public
        self.connections = connections
        self.provider = Provider(settings)
        self._tasks: dict[uuid.UUID, asyncio.Task[None]] = {}
        self._expected: set[uuid.UUID] = set()
        self._outcomes: list[tuple[Outcome, asyncio.Future[str]]] = []
        self._keeper: asyncio.Task[None] | None = None
        self._rooms: set[asyncio.Task[None]] = set()
        self._resting: dict[str, tuple[float, float]] = {}  # account -> (until, how long)

    def resting(self) -> list[str]:
        """Accounts of which no call can be placed at the moment."""
        now = time.monotonic()
        return [account for account, (until, _) in self._resting.items() if until > now]

    def expect(self, made: Iterable[Offer]) -> None:
        """These will be placed by whoever made them."""
        self._expected.update(offer.id for offer in made)

    def busy(self, offer: uuid.UUID) -> bool:
        return offer in self._tasks or offer in self._expected

    def place(self, offer: Offer) -> None:
        """Rings the agent, unless that is under way."""
        self._expected.discard(offer.id)
        self._start(offer, self._place(offer))

    def place_again(self, offer: Offer) -> None:
        """The same for one that was found unfinished, which may have been finished since it was read."""
        self._start(offer, self._place_if_due(offer))

    def stop(self, offer: Offer) -> None:
        """Stops the agent's phone and frees them."""
        self._start(offer, self._stop(offer))

    def end_room(self, account: str, call_sid: str) -> None:
        """Asks the provider, once, to let a caller out of their room: those who waited for too long go on in their flow."""
        task = asyncio.create_task(self._end_room(account, call_sid))
        self._rooms.add(task)
        task.add_done_callback(self._rooms.discard)

    def _start(self, offer: Offer, work: Coroutine[Any, Any, None]) -> None:
        if offer.id in self._tasks:
            work.close()
            return
        self._tasks[offer.id] = asyncio.create_task(self._guarded(offer, work), name=f"offer-{offer.id}")

    async def _guarded(self, offer: Offer, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Retry as error:  # Postgres: the offer is found again as it is
            log.warning("an offer waits", offer=str(offer.id), reason=str(error))
            await asyncio.sleep(0.5)
        except Exception:
            log.exception("an offer failed", offer=str(offer.id))
            await asyncio.sleep(1)
        finally:
            self._tasks.pop(offer.id, None)

    # ------------------------------------------------------------ placing

    async def _place_if_due(self, offer: Offer) -> None:
        due = await self.connections.run(lambda c: offers.find(c, "id = %s AND state = 'placing'", (offer.id,), lock=False))
        if due:
            await self._place(due[0])

    async def _place(self, offer: Offer) -> None:
        account = self.settings.accounts.get(offer.account)
        if account is None:
            await self._failed(offer, "no_account", missed=False)
            return
        asked = rest.place(
            account.provider, to=offer.address, from_=offer.caller_id, path=account.originate_path, label=f"offer-{offer.id}",
            callback=offer_address(self.settings, self.public, account=offer.account, offer=str(offer.id), call_sid=offer.call_sid),
        )  # fmt: skip
        began = clock.now()
        try:
            answered = await self.provider.ask(offer.account, asked, key=str(offer.id))
        except Away as error:
            log.warning("the provider takes no calls", account=offer.account, reason=str(error))
            self._rest(offer.account)
            await self._failed(offer, "provider_away", missed=False)
            return
        outcome = rest.placed(answered.status, answered.body)
        if isinstance(outcome, rest.Placed):
            self._resting.pop(offer.account, None)
            if await self._took(Outcome(offer, outcome, began)) == "canceling":
                await self._stop(offer)
            return
        await self._refused(offer, outcome)

    async def _took(self, outcome: Outcome) -> str:
        """The offer's state, once the provider's ids are kept; with those of others who are rung at the same time."""
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._outcomes.append((outcome, done))
        if len(self._outcomes) == 1:
            self._keeper = asyncio.create_task(self._keep())
        return await done

    async def _keep(self) -> None:
        await asyncio.sleep(TOGETHER_S)
        together, self._outcomes = self._outcomes, []
        try:
            states = await self.connections.run(lambda c: placed(c, [one for one, _ in together], settings=self.settings))
        except BaseException as error:
            for _, done in together:
                if not done.done():
                    done.set_exception(error if isinstance(error, Exception) else Retry("ended"))
            if not isinstance(error, Exception):
                raise
            return
        for outcome, done in together:
            if not done.done():
                done.set_result(states.get(outcome.offer.id, "over"))

    async def _refused(self, offer: Offer, refusal: rest.Refusal) -> None:
        ours = refusal.status in OURS_TO_MEND
        say = log.error if ours else log.warning
        say("the provider refuses to ring an agent", account=offer.account, agent=offer.agent, status=refusal.status, code=refusal.code,
            detail=refusal.message[:200])  # fmt: skip
        if ours:
            self._rest(offer.account, at_least=15.0)
        await self._failed(offer, refusal.code or f"refused_{refusal.status}", missed=not ours)

    def _rest(self, account: str, *, at_least: float = REST_S) -> None:
        until, before = self._resting.get(account, (0.0, 0.0))
        if until > time.monotonic():
            return  # several offers failed together: one reason
        length = min(LONGEST_REST_S, max(at_least, before * 2))
        self._resting[account] = (time.monotonic() + length, length)

    async def _failed(self, offer: Offer, reason: str, *, missed: bool) -> None:
        await self.connections.run(lambda c: failed(c, offer, settings=self.settings, reason=reason, missed=missed))

    # ------------------------------------------------------------ stopping

    async def _stop(self, offer: Offer) -> None:
        known = (await self.connections.run(lambda c: offers.find(c, "id = %s", (offer.id,), lock=False)))[0]
        if known.state != "canceling":
            return
        for sid in known.ids[:2]:  # it takes its own id, and the switch's
            try:
                answered = await self.provider.ask(offer.account, rest.hang_up(sid))
            except Away as error:
                log.warning("an agent's phone could not be stopped", agent=offer.agent, reason=str(error))
                break
            if answered.status != 404:
                break
        await self.connections.run(lambda c: stopped(c, offer, settings=self.settings, lost=not known.ids))

    async def _end_room(self, account: str, call_sid: str) -> None:
        try:
            answered = await self.provider.ask(account, rest.end_room(f"{PREFIX}{call_sid}"), tries=1)
        except Retry as error:
            log.warning("the caller's room was not ended", call=call_sid, reason=str(error))
            return
        if answered.status >= 300:
            log.warning("the caller's room was not ended", call=call_sid, status=answered.status)

    async def close(self) -> None:
        """Lets what is under way at the provider end, for a while; the rest is found again."""
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=3)
        for task in [*self._tasks.values(), *self._rooms]:
            task.cancel()
        await self.provider.close()
