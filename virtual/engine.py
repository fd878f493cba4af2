"""Runs calls: from the first ring to the last webhook, for every account that is with the virtual provider."""

from __future__ import annotations

import itertools
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import httpx

from calls.simulator import Wish, passer_by
from calls.simulator_answers import BadAnswer, Do
from calls.simulator_trees import Tree, trees
from calls.voice.actions import Dialect
from runtime.addresses import virtual_accounts
from runtime.settings import Settings
from virtual.courier import Courier
from virtual.ledger import Ledger
from virtual.lifecycle import answered, began, ended
from virtual.line import Gone, Line
from virtual.people import People, Pickup
from virtual.rooms import Room
from virtual.run import Run
from virtual.verbs import perform
from virtual.voice import Next, ask

MOST_ANSWERS = 200  # of one call: a flow that leads nowhere is not walked for ever
MOST_KEPT = 50_000  # calls that the REST still knows


class Engine:
    """`http` is Safiri's own address."""

    def __init__(self, settings: Settings, *, http: str, client: httpx.AsyncClient) -> None:
        self.settings, self.http, self.hooks = settings, http.rstrip("/"), f"{http.rstrip('/')}/hooks"
        self.courier = Courier(settings, client)
        self.people, self.ledger = People(settings), Ledger(settings)
        self.lines: dict[str, Line] = {}  # by every id
        self.rooms: dict[tuple[str, str], Room] = {}
        staffed = {queue for agent in settings.agents.values() for queue in agent.queues}
        self.trees = trees(settings.flows, accounts=virtual_accounts(settings), staffed=staffed)

    # ------------------------------------------------------------ calls that begin

    def inbound(self, wish: Wish, run: Run | None) -> Line:
        """A caller rings one of the account's numbers."""
        tree = wish.tree
        number = self.ledger.number_of(tree)
        return self._known(
            Line(
                wish, account=tree.account, dialect=self.dialect(tree.account), direction="inbound", caller=wish.person, called=number,
                voice_url=self.ledger.routed(tree.account, number) or self.voice_url(tree), shape=wish.shape, run=run,
            )
        )  # fmt: skip

    def outbound(self, wish: Wish, run: Run | None) -> Line:
        """An application of the account's owner calls somebody."""
        tree = wish.tree
        return self._known(
            Line(
                wish, account=tree.account, dialect=self.dialect(tree.account), direction="outbound", caller=self.ledger.number_of(tree),
                called=wish.person, voice_url=self.voice_url(tree), shape=wish.shape, run=run,
            )
        )  # fmt: skip

    def ordered(self, account: str, *, to: str, caller: str, voice_url: str, label: str | None) -> Line:
        """A call that was asked for by REST. Where its voice URL names a caller's call, it is for them."""
        waiting = parse_qs(urlsplit(voice_url).query).get("c", [""])[0]
        parent = self.lines.get(waiting)
        tree = parent.wish.tree if parent else self._tree(account)
        return self._known(
            Line(
                passer_by(f"{to}", tree), account=account, dialect=self.dialect(account), direction="outbound", caller=caller, called=to,
                voice_url=voice_url, shape="both", run=parent.run if parent else None, parent=parent, agent=self.agent_at(to), label=label,
            )
        )  # fmt: skip

    def _known(self, line: Line) -> Line:
        self.lines |= {line.id: line, line.session: line}
        while len(self.lines) > MOST_KEPT:
            self.lines.pop(next(iter(self.lines)))
        return line

    def _tree(self, account: str) -> Tree:
        mine = (tree for tree in self.trees if tree.account == account)
        return next(mine, Tree(flow="", account=account, start="", menus={}, queues={}))

    def dialect(self, account: str) -> Dialect:
        return "minivoice" if self.settings.accounts[account].provider == "minivoice" else "sautikit"

    def voice_url(self, tree: Tree) -> str:
        return f"{self.http}/voice/{tree.flow}"

    def agent_at(self, address: str) -> str | None:
        phone = self.people.phones.get(address)
        return phone.agent if phone else None

    def room(self, account: str, name: str) -> Room:
        """The room of that name; one that is over is another room."""
        room = self.rooms.get((account, name))
        if room is None or room.over.done():
            room = self.rooms[account, name] = Room(name, self.courier)
        return room

    # ------------------------------------------------------------ calls that live

    async def live(self, line: Line) -> None:
        """One call, from its first ring to its last webhook."""
        pickup: Pickup | None = None
        try:
            if line.lived.direction == "outbound":
                await self._tell_began(line)
                pickup = self._ring(line)
                await self._picked_up(line, pickup)
                await self._serve(line, Next(line.voice_url, method=self._method(line), state="Answered"))
            else:
                self.courier.spawn(self._tell_began(line))
                await self._serve(line, Next(line.voice_url, method=self._method(line), state="Ringing"))
        except Gone:
            pass
        except BadAnswer as bad:
            self.courier.refuse(str(bad))
            line.hang_up("platform", cause="bad_answer")
        finally:
            line.hang_up("platform")
            if pickup and pickup.phone:
                pickup.phone.free()
            self.ledger.settle(line)
            await self._tell_ended(line)

    async def _serve(self, line: Line, first: Next) -> None:
        following: Next | None = first
        for _ in itertools.repeat(None, MOST_ANSWERS):
            if following is None:
                return
            actions = await ask(self.courier, line, following)
            line.check()
            self._taken(line, actions)
            following = await perform(self, line, actions)
        raise BadAnswer(f"the call asked {MOST_ANSWERS} times and came to no end")

    def _taken(self, line: Line, actions: list[Do]) -> None:
        """What an answer says about the call besides what to do: that it is taken, that a bot handed over."""
        if line.after_bot:
            line.after_bot = False
            line.lived.handed_over |= any(do.verb != "hangup" for do in actions)
        if line.lived.answered_at is None and not (actions and actions[0].verb == "reject"):
            line.lived.answered_at = line.now()
            self.courier.spawn(self._tell_answered(line))

    def _ring(self, line: Line) -> Pickup:
        """Who picks up an outgoing call: an agent's phone, or a person as the wish has it."""
        wish = line.wish
        if line.run and line.parent is None:
            return Pickup(line.lived.called, wish.ring_ms, wish.result)
        return self.people.ring([line.lived.called], wish=wish, timeout_s=60.0)

    async def _picked_up(self, line: Line, pickup: Pickup) -> None:
        await line.wait(pickup.ms / 1000)
        if not pickup.answered:
            line.hang_up("platform", cause=pickup.status, failure=pickup.status)
            raise Gone
        line.lived.answered_at = line.now()
        await self._tell_answered(line)
        line.check()

    def _method(self, line: Line) -> Literal["GET", "POST"]:
        return "GET" if line.dialect == "minivoice" else "POST"

    # ------------------------------------------------------------ what is told

    async def _tell_began(self, line: Line) -> None:
        post = began(line, self.hooks)
        if post:
            await self.courier.send(line, post)

    async def _tell_answered(self, line: Line) -> None:
        post = answered(line, self.hooks)
        if post:
            await self.courier.send(line, post)

    async def _tell_ended(self, line: Line) -> None:
        for post in ended(line, self.hooks):
            await self.courier.send(line, post)
