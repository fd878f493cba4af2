"""Asks the providers' REST, again and again, what calls cost and what the wallet says: accounts with `poll_every_s`.

Rows become the same events as the lines of an imported statement. A position moves only when Kafka has acknowledged what lies before it,
so a worker that is killed goes on at the page where it was; a row that comes twice is the same event.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
import structlog

from calls.clock import Micros
from calls.envelope import TOPICS, Envelope, encode
from calls.providers import rest
from calls.statements import polled, written
from calls.statements.line import LineKind
from calls.statements.polled import Position
from ingest.turns import Turn, What, turn
from runtime import clock
from runtime.kafka import Publisher
from runtime.problems import Retry
from runtime.provider import Answered, Away, Provider
from runtime.settings import Settings

log = structlog.get_logger("polls")
PER_S = 5.0  # requests to one account's provider
TRIES, FIRST_WAIT_S, LONGEST_WAIT_S = 5, 1.0, 60.0  # within a round; who is told to wait longer comes back later
BACKOFF_S, LONGEST_BACKOFF_S = 1.0, 900.0  # after rounds that failed
COUNTED_S, UNCHANGED_S = 3600, 3600  # between two looks at the counts, and at a balance that stays what it is
REMEMBERED = 50_000  # rows that need not be sent again
WALLETS = ("/v1/wallet", "/v1/wallet/balance")  # the vendors' pages have both
Found = TypeVar("Found", bound=msgspec.Struct)


class Barred(Exception):
    """The provider does not know the key: it is not asked again before the next start."""


class Unread(Exception):
    """An answer that is of no use, in a sentence."""

    def __init__(self, detail: str, status: int = 200) -> None:
        super().__init__(detail)
        self.status = status


class Noted(msgspec.Struct, frozen=True):
    """What was read last and when: `told` is the answer's digest."""

    told: str = ""
    at: Micros = 0


class Polls:
    """`run` until cancelled. `publisher` gives today's."""

    def __init__(self, settings: Settings, database_url: str, publisher: Callable[[], Publisher]) -> None:
        self.accounts = {name: account for name, account in settings.accounts.items() if account.poll_every_s}
        self.provider = Provider(settings)
        self.polls = [Poll(name, settings, self.provider, database_url=database_url, publisher=publisher) for name in self.accounts]

    async def run(self) -> None:
        polls = [asyncio.create_task(one.run(), name=f"polls of {one.name}") for one in self.polls]
        try:
            await asyncio.gather(*polls, asyncio.Event().wait())
        finally:
            for one in polls:
                one.cancel()
            await self.provider.close()


class Poll:
    """The polls of one account."""

    def __init__(
        self, name: str, settings: Settings, provider: Provider, *, database_url: str, publisher: Callable[[], Publisher]
    ) -> None:  # fmt: skip
        self.name, self.account, self.provider = name, settings.accounts[name], provider
        self.database_url, self.publisher = database_url, publisher
        account, tenant = self.account, settings.tenant(self.account.tenant)
        self.every_s = account.poll_every_s or LONGEST_BACKOFF_S
        self.whose = polled.Whose(account.tenant, name, account.provider, tenant.timezone, tenant.country)
        self._sent: OrderedDict[str, str] = OrderedDict()  # event id -> digest
        self._off: set[What] = set() if account.ledger_path else {"statement"}
        self._said: dict[What, str | None] = {}
        self._asked_at = float("-inf")

    async def run(self) -> None:
        failures = 0
        while True:
            wait_s = self.every_s
            try:
                wait_s = await self.round()
                failures = 0
            except Barred:
                return
            except Away as away:
                failures += 1
                wait_s = max(away.after_s or 0.0, self.every_s, min(LONGEST_BACKOFF_S, BACKOFF_S * 2 ** min(failures, 10)))
            except Retry as error:
                log.warning("waiting", account=self.name, reason=str(error))
            except Exception:  # a bug; other accounts are polled, and this one again
                log.exception("a bug", account=self.name)
            await asyncio.sleep(wait_s)

    async def round(self) -> float:
        """Polls everything once, where it is our turn and time. Returns the seconds to the next round; raises Barred, Away, Retry."""
        async with turn(self.database_url, self.account.tenant, self.name) as mine:
            if mine is None:
                return self.every_s
            since_s = (clock.now() - (mine.last() or 0)) / 1e6
            unfinished = any(position(kept).walking for what, (kept, _, _) in mine.kept.items() if what in ("calls", "statement"))
            if 0 <= since_s < 0.9 * self.every_s and not unfinished:
                return self.every_s - since_s
            steps = {"calls": self._calls, "statement": self._statement, "wallet": self._wallet, "stats": self._stats}
            for what, step in steps.items():
                if what not in self._off:
                    await self._step(mine, what, step)
        return self.every_s

    async def _step(self, mine: Turn, what: What, step: Callable[[Turn], object]) -> None:
        try:
            await step(mine)  # type: ignore[misc]
            self._tell(what, None)
        except Unread as error:
            if error.status == 404 and what != "calls":
                self._off.add(what)
                log.info("not polled: the provider has none", account=self.name, what=what)
                await mine.drop(what)
                return
            await self._failed(mine, what, str(error))
            if error.status in (401, 403):
                log.error("polls stop until the next start: the provider refuses the key", account=self.name, status=error.status)
                raise Barred from error
        except Away as away:
            await self._failed(mine, what, str(away))
            raise

    async def _failed(self, mine: Turn, what: What, why: str) -> None:
        self._tell(what, why)
        await mine.keep(what, None, now=clock.now(), failed=why)

    def _tell(self, what: What, why: str | None) -> None:
        """Once, where it is another than before."""
        if why != self._said.get(what):
            self._said[what] = why
            if why:
                log.warning("a poll failed", account=self.name, what=what, reason=why)
            else:
                log.info("polled again", account=self.name, what=what)

    # ------------------------------------------------------------ lists

    async def _calls(self, mine: Turn) -> None:
        await self._walk(mine, "calls", rest.CALLS, kind="call_record")

    async def _statement(self, mine: Turn) -> None:
        await self._walk(mine, "statement", self.account.ledger_path, kind="ledger")

    async def _walk(self, mine: Turn, what: What, path: str, *, kind: LineKind) -> None:
        """From the newest row (or where a walk was broken off) to what is known."""
        here = position(mine.kept[what][0]) if what in mine.kept else Position()
        while True:
            asked = here.cursor
            page = await self._page(path, asked)
            if page is None:  # the cursor is of no use any more
                here = here.anew()
                continue
            if page.cursor is not None and page.cursor == asked:
                raise Unread(f"{path} says that its next page is the same page")
            made, seen = polled.deliveries(self.whose, kind, page.rows, now=clock.now())
            await self._send(made)
            here = here.after(seen, page.cursor, now=clock.now())
            await mine.keep(what, here, now=clock.now())
            if not here.walking:
                return

    async def _page(self, path: str, cursor: str | None) -> rest.Page | None:
        try:
            answer = await self._ask(rest.list_rows(path, cursor=cursor))
        except Unread as error:
            if cursor is not None and error.status in (400, 404, 410, 422):
                return None
            raise
        page = rest.page(answer.body)
        if page is None:
            raise Unread(f"{path} answered no list of rows: {answer.body[:80]!r}")
        return page

    # ------------------------------------------------------------ single answers

    async def _wallet(self, mine: Turn) -> None:
        before = noted(mine, "wallet")
        fields = await self._fields(*WALLETS)
        await self._note(mine, "wallet", kind="balance", fields=fields, before=before, at_least_s=UNCHANGED_S)

    async def _stats(self, mine: Turn) -> None:
        before = noted(mine, "stats")
        if 0 <= clock.now() - before.at < COUNTED_S * 1_000_000:
            await mine.keep("stats", before, now=clock.now())
            return
        fields = await self._fields(f"{rest.CALLS}/stats?since=month") | {"since": "month"}
        await self._note(mine, "stats", kind="stats", fields=fields, before=before, at_least_s=0)

    async def _note(
        self, mine: Turn, what: What, *, kind: LineKind, fields: written.Fields, before: Noted, at_least_s: float
    ) -> None:  # fmt: skip
        """An event where it is another than before, and now and then."""
        now = clock.now()
        told = str(sorted(fields.items()))
        if told == before.told and now - before.at < at_least_s * 1e6:
            await mine.keep(what, before, now=now)
            return
        await self._send([polled.reading(self.whose, kind, fields, now=now)])
        await mine.keep(what, Noted(told, now), now=now)

    async def _fields(self, *paths: str) -> written.Fields:
        """Of the first of these paths that there is."""
        for last, path in enumerate(paths, 1 - len(paths)):
            try:
                answer = await self._ask(rest.Asked("GET", path))
            except Unread as error:
                if error.status == 404 and last < 0:
                    continue
                raise
            row = rest.one_row(answer.body)
            if row is None:
                raise Unread(f"{path} answered no object: {answer.body[:80]!r}")
            return written.fields_of(row)
        raise AssertionError("unreachable")

    # ------------------------------------------------------------ asking, sending

    async def _ask(self, asked: rest.Asked) -> Answered:
        """A 2xx answer. Raises Unread for any other that is no reason to wait, Away where the provider is."""
        for tried in range(1, TRIES + 1):
            await asyncio.sleep(self._asked_at + 1 / PER_S - time.monotonic())
            self._asked_at = time.monotonic()
            try:
                answer = await self.provider.ask(self.name, asked, tries=1)
            except Away as away:
                wait_s = FIRST_WAIT_S * 2 ** (tried - 1) if away.after_s is None else away.after_s
                if tried == TRIES or wait_s > LONGEST_WAIT_S:
                    raise
                await asyncio.sleep(wait_s)
                continue
            if 200 <= answer.status < 300:
                return answer
            why = rest.refusal(answer.status, answer.body)
            raise Unread(f"{asked.path.partition('?')[0]} answered {answer.status} {why.code} {why.message}".rstrip()[:300], answer.status)
        raise AssertionError("unreachable")

    async def _send(self, made: Sequence[Envelope]) -> None:
        """All of them acknowledged, but for those that we have sent already. Raises Retry."""
        fresh = [one for one in made if self._sent.get(one.event_id) != one.digest]
        publisher = self.publisher()
        await asyncio.gather(*(publisher.send(TOPICS["account"], one.stream, encode(one)) for one in fresh))
        for one in fresh:
            self._sent[one.event_id] = one.digest
            self._sent.move_to_end(one.event_id)
        while len(self._sent) > REMEMBERED:
            self._sent.popitem(last=False)


def position(kept: bytes) -> Position:
    return _read(kept, Position) or Position()


def noted(mine: Turn, what: What) -> Noted:
    return (_read(mine.kept[what][0], Noted) if what in mine.kept else None) or Noted()


def _read(kept: bytes, kind: type[Found]) -> Found | None:
    try:
        return msgspec.json.decode(kept, type=kind)
    except msgspec.MsgspecError:
        return None
