"""What the log and the call's position are told of one bot: in order, in the background, and never in the way of the audio."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeAlias

import structlog

from calls.envelope import Envelope
from calls.events import Attributes, BotEnded, BotHandedOver, BotStarted, BotTurn, Event
from calls.masking import mask_text
from calls.own import own
from calls.providers.reading import text as plain
from runtime.clock import now

log = structlog.get_logger()
LEG = "bot"
MARK_WITHIN_S = 1.0
SETTLE_WITHIN_S = 5.0
LONGEST_TEXT = 4000  # characters of one turn
MOST_WAITING = 1000  # events; an engine that talks faster than the log takes is no conversation

BotMark: TypeAlias = Literal["open", "handed_over", "ended", "failed"]
Append: TypeAlias = Callable[[Sequence[Envelope]], Awaitable[object]]
MarkBot: TypeAlias = Callable[[str, str, str, str, BotMark], Awaitable[object]]


class Telling:
    """Of one call. `append` takes envelopes; `mark_bot(tenant, account, call_sid, flow, mark)` keeps `State.bot`."""

    def __init__(self, append: Append, mark_bot: MarkBot, *, tenant: str, account: str, provider: str, call_sid: str, flow: str):
        self._append, self._mark_bot = append, mark_bot
        self.tenant, self.account, self.provider, self.call_sid, self.flow = tenant, account, provider, call_sid, flow
        self._waiting: list[Envelope] = []
        self._flushing: asyncio.Task[None] | None = None
        self._marking: asyncio.Task[None] | None = None

    # ---------------------------------------------------------------- events

    def started(self, engine: str, step: str) -> None:
        self._tell(BotStarted(call_sid=self.call_sid, at=now(), leg=LEG, attributes={"engine": engine, "step": step}))

    def turn(self, role: str, text: str | None) -> None:
        clean = plain(text)
        shown = mask_text(clean[:LONGEST_TEXT]) if clean else None
        self._tell(BotTurn(call_sid=self.call_sid, at=now(), leg=LEG, role=role, text=shown))

    def over(self, reason: str, *, handed_over: bool, to: str | None, lost_ms: int) -> None:
        """`lost_ms`: of the caller's audio, that the engine did not take in time."""
        attributes: Attributes = {"reason": mask_text(reason)} | ({"lost_ms": lost_ms} if lost_ms else {})
        if handed_over:
            self._tell(BotHandedOver(call_sid=self.call_sid, at=now(), leg=LEG, to=to, attributes=attributes))
        else:
            self._tell(BotEnded(call_sid=self.call_sid, at=now(), leg=LEG, attributes=attributes))

    def _tell(self, event: Event) -> None:
        if len(self._waiting) >= MOST_WAITING:
            log.error("the log does not take a bot's events in time, one is left out", event_type=type(event).__name__)
            return
        made = own(
            event, tenant=self.tenant, account=self.account, provider=self.provider, receipt=os.urandom(16).hex(), received_at=now()
        )  # fmt: skip
        self._waiting.append(made)
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._append(batch)
        except Exception:
            log.exception("a bot's events could not be appended", call_sid=self.call_sid)
        finally:
            self._flushing = None

    # ---------------------------------------------------------------- the position

    def mark(self, bot: BotMark) -> None:
        """After the marks before it."""
        self._marking = asyncio.create_task(self._mark(self._marking, bot))

    async def _mark(self, before: asyncio.Task[None] | None, bot: BotMark) -> None:
        if before is not None:
            await before
        try:
            await asyncio.wait_for(self._mark_bot(self.tenant, self.account, self.call_sid, self.flow, bot), MARK_WITHIN_S)
        except TimeoutError:
            log.error("where the call stands could not be kept in time", call_sid=self.call_sid, bot=bot)
        except Exception:
            log.exception("where the call stands could not be kept", call_sid=self.call_sid, bot=bot)

    async def marked(self) -> None:
        """Until the last mark is kept: the provider's next request, which comes as soon as the socket closes, asks for it."""
        if self._marking is not None:
            await asyncio.wait({self._marking})

    async def settled(self) -> None:
        if self._flushing is not None:
            await asyncio.wait({self._flushing}, timeout=SETTLE_WITHIN_S)
