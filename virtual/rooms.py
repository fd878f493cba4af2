"""Conference rooms: who is in one, who may end it, and what its owners are told. Where agent and caller meet, they talk."""

from __future__ import annotations

import asyncio

import msgspec

from calls.simulator_answers import Do
from virtual.courier import Courier
from virtual.lifecycle import room_event
from virtual.line import Line

ALONE_S = 0.4  # an agent who finds nobody hangs up


class Member(msgspec.Struct):
    line: Line
    ends: bool
    callback: str | None
    words: list[str]
    moved: asyncio.Future[None]  # done: the provider takes them out of the room

    def move(self) -> None:
        if not self.moved.done():
            self.moved.set_result(None)


class Room:
    """One conference, until its last member is gone or one who may ends it."""

    def __init__(self, name: str, courier: Courier) -> None:
        self.name, self.courier = name, courier
        self.members: list[Member] = []
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def stay(self, line: Line, do: Do) -> None:
        """From joining to leaving. Raises Gone where the member hung up; returns where the room is over for them."""
        member = Member(
            line, do.flag("endOnExit", default=False) or do.flag("end_on_exit", default=False), do.text("statusEventsCallbackUrl"),
            (do.text("statusEvents") or "").split(), asyncio.get_running_loop().create_future(),
        )  # fmt: skip
        self.members.append(member)
        self.over.add_done_callback(lambda _: member.move())
        await self._tell(member, "join")
        self._met(line)
        try:
            await line.until(member.moved)
        finally:
            await self._left(member)

    def _met(self, line: Line) -> None:
        """An agent and a waiting caller talk until one of them hangs up; whoever is alone does not stay for ever."""
        agent = next((one.line for one in self.members if one.line.lived.agent and not one.line.over), None)
        caller = next((one.line for one in self.members if one.line.lived.agent is None and not one.line.over), None)
        if agent and caller and caller.visit and agent.lived.joined_at is None:
            caller.leave_queue("answered", agent.lived.agent)
            agent.lived.joined_at = agent.now()
            ender = caller if caller.wish.ends == "caller" else agent
            ender.later(caller.wish.talk_ms / 1000, caller.wish.ends)
        elif line.lived.agent:
            line.later(ALONE_S, "agent")
        elif line.visit is None:
            line.later(line.wish.talk_ms / 1000, "caller")

    async def _left(self, member: Member) -> None:
        if member not in self.members:
            return
        self.members.remove(member)
        if (member.ends or not self.members) and not self.over.done():
            self.over.set_result(None)
        await self._tell(member, "leave")
        if self.over.done() and not self.members:
            await self._tell(member, "end")

    async def _tell(self, about: Member, word: str) -> None:
        """Every owner of the room who asked for this word; its members may share one address."""
        owners = {one.callback: one.line for one in [about, *self.members] if one.callback and word in one.words}
        for url, owner in owners.items():
            post = room_event(about.line, url=url or "", event=word, room=self.name, participants=len(self.members))
            await self.courier.send(owner, post)

    def take_out(self, participant: str | None = None) -> bool:
        """The REST's command: that participant, or everybody, goes on with their next action. False where nobody is meant."""
        meant = [one for one in self.members if participant in (None, "", f"p-{one.line.session}", one.line.session, one.line.id)]
        for one in meant:
            one.move()
        return bool(meant)
