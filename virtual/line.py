"""One call as the provider holds it: its ids, where it stands, and how anybody hears that it is over."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, Literal

from calls.clock import Micros
from calls.journey import QueueVisit
from calls.simulator import Shape, Wish
from calls.simulator_truth import Far, Lived, Menu
from calls.voice.actions import Dialect

if TYPE_CHECKING:
    from virtual.run import Run

Ender = Literal["caller", "agent", "platform"]


class Gone(Exception):
    """The call ended while it was waiting for something."""


class Line:
    """A call. Whatever it does, it waits with `wait` or `until`, which raise Gone once somebody hung up."""

    def __init__(
        self, wish: Wish, *, account: str, dialect: Dialect, direction: str, caller: str, called: str, voice_url: str, shape: Shape,
        run: Run | None = None, parent: Line | None = None, agent: str | None = None, label: str | None = None,
    ) -> None:  # fmt: skip
        self.wish, self.account, self.dialect, self.shape = wish, account, dialect, shape
        self.voice_url, self.run, self.parent, self.label = voice_url, run, parent, label
        unique = uuid.uuid4()
        self.id = f"call_{unique.hex[:16]}" if dialect == "minivoice" else str(unique)
        self.session = str(uuid.uuid4()) if dialect == "minivoice" else f"HD_{uuid.uuid4().hex[:12]}"
        sids = [self.session] if shape == "observed" and dialect != "minivoice" else [self.id, self.session]
        self.lived = Lived(
            sids=sids, account=account, provider=dialect, direction=direction, caller=caller, called=called, agent=agent,
            started_at=self.now(),
        )  # fmt: skip
        self.step: str | None = wish.tree.start if direction == "inbound" else None
        self.nth_menu = self.nth_dial = self.sent = self.lost = 0
        self.dial: dict[str, str] = {}  # what later requests say of the last dial
        self.cause = "normal_clearing"
        self.after_bot = False  # the next answer says whether the bot handed over
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def root(self) -> Line:
        """The call of the caller, whose journey this one belongs to."""
        return self.parent.root if self.parent else self

    @property
    def over(self) -> bool:
        return self._end.done()

    @property
    def status(self) -> str:
        """The vendor's word."""
        if self.lived.failure:
            return "failed" if self.lived.failure in ("network", "failed") else self.lived.failure
        return "completed" if self.over else "answered" if self.lived.answered_at else "ringing"

    def now(self) -> Micros:
        """The provider's clock, which a fault may have set wrong."""
        return time.time_ns() // 1000 + (self.run.skew_us if self.run else 0)

    def hang_up(self, by: Ender, *, cause: str = "normal_clearing", failure: str = "") -> None:
        """The end, once: who says it first is right. What was open ends with it."""
        if self.over:
            return
        at = self.now()
        self.lived.ended_at, self.lived.ended_by, self.cause = at, by, cause
        self.lived.failure = failure or ("" if self.lived.answered_at else "canceled")
        if self.menu and self.menu.left_at is None:
            self.menu.left_at = at
        if self.visit:
            self.leave_queue("abandoned")
        self._end.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Raises Gone as soon as the call is over."""
        await asyncio.wait({self._end}, timeout=max(0.0, seconds))
        self.check()

    async def until(self, other: asyncio.Future[None]) -> None:
        """Until `other` is done. Raises Gone."""
        await asyncio.wait({self._end, other}, return_when=asyncio.FIRST_COMPLETED)
        self.check()

    def check(self) -> None:
        if self.over:
            raise Gone

    def later(self, seconds: float, by: Ender) -> asyncio.TimerHandle:
        """Somebody will hang up then."""
        return asyncio.get_running_loop().call_later(seconds, self.hang_up, by)

    # ------------------------------------------------------------ what the truth is made of

    @property
    def menu(self) -> Menu | None:
        return self.lived.menus[-1] if self.lived.menus else None

    @property
    def visit(self) -> QueueVisit | None:
        """The queue that the caller is in."""
        return next((visit for visit in self.lived.visits if visit.left_at is None), None)

    def enter_queue(self, queue: str) -> None:
        """Once, however often the flow comes back to the queue's step. An impatient caller sets their clock."""
        if self.visit and self.visit.queue == queue:
            return
        self.lived.visits.append(QueueVisit(self.lived.sids[0], queue, self.now(), None, "waiting"))
        asyncio.get_running_loop().call_later(self.wish.patience_ms / 1000, self._impatient, self.lived.visits[-1])

    def _impatient(self, visit: QueueVisit) -> None:
        if visit.left_at is None:
            self.hang_up("caller")

    def leave_queue(self, outcome: str, agent: str | None = None) -> None:
        visit = self.visit
        if visit:
            visit.left_at, visit.outcome, visit.agent = self.now(), outcome, agent

    def far(self, kind: str, *, address: str | None = None, agent: str | None = None, queue: str | None = None) -> Far:
        """A far side begins."""
        self.lived.far.append(Far(kind, self.now(), address=address, agent=agent, queue=queue))
        return self.lived.far[-1]
