"""Many at once, workers that die, Postgres away: every caller meets one agent, every agent one caller, and nobody is forgotten."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter, defaultdict
from typing import Any

import pytest
from phones import Asked, Room, agent, caller, eventually, now, open_room
from test_desk import held, play

from desk.desk import Desk
from desk.placing import Placing
from runtime.problems import Retry

AGENTS = {f"a{n}": agent(n, "support", *(["sales"] if n % 2 else [])) for n in range(8)}
NOBODY_LISTENS = "postgresql://nobody:x@127.0.0.1:1/none"


class Crowd:
    """Agents who pick up, do not, or talk for a moment; callers who are served, or tire of waiting. What they saw."""

    def __init__(self, room: Room, desks: list[Desk], seed: int) -> None:
        self.room, self.desks, self.chance = room, desks, random.Random(seed)
        self.met: dict[str, list[str]] = defaultdict(list)  # caller -> agents
        self.talking: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.under_way: set[asyncio.Task[None]] = set()
        room.exchange.rings = self.rings

    def desk(self) -> Desk:
        return self.chance.choice(self.desks)

    def rings(self, order: Asked) -> None:
        task = asyncio.ensure_future(self.pick_up(order))
        self.under_way.add(task)
        task.add_done_callback(self.under_way.discard)

    async def pick_up(self, order: Asked) -> None:
        self.talking[order.to] += 1
        if self.talking[order.to] > 1:
            self.wrong.append(f"{order.to} has two calls at once")
        await asyncio.sleep(self.chance.random() * 0.05)
        if self.chance.random() < 0.1:
            self.talking[order.to] -= 1
            self.room.delivered(order.call_id, "call.failed", direction="outbound", to=order.to, failure_reason="busy")
            return
        found = await self.desk().agent_answered(order.offer, call_sid=order.session_id, aliases=[], now=now())
        self.talking[order.to] -= 1
        if found.call_sid is None:
            await self.desk().agent_over(order.offer, call_sid=order.session_id, reason="over", now=now())
            return
        await self.talk(found.call_sid, str(found.agent))
        await self.desk().agent_over(order.offer, call_sid=order.session_id, reason="over", now=now())

    async def talk(self, sid: str, name: str) -> None:
        self.met[sid].append(name)
        await asyncio.sleep(self.chance.random() * 0.05)
        await self.desk().left("default", "acme", sid, reason="over", now=now())

    async def calls(self, n: int) -> None:
        """One caller, from the first ring until they are served or hang up."""
        await asyncio.sleep(self.chance.random() * 0.5)
        one = caller(queue="sales" if n % 3 == 0 else "support")
        place = await self.desk().enter(one, now=now(), dial=True)
        if place.agent:
            await self.dialled(one.call_sid, place.agent.agent)
        elif n % 10 == 0:
            await asyncio.sleep(self.chance.random() * 0.3)
            await self.desk().left("default", "acme", one.call_sid, reason="abandoned", now=now())
            self.met.setdefault(one.call_sid, [])
        else:
            await eventually(lambda: self.met.get(one.call_sid), f"caller {n} is served", 40)

    async def dialled(self, sid: str, name: str) -> None:
        self.met[sid].append(name)
        await asyncio.sleep(self.chance.random() * 0.05)
        await self.desk().dialled("default", "acme", sid, answered=True, now=now())


def test_fifty_callers_and_eight_agents_meet_one_to_one_whoever_dispatches(database_url: str) -> None:
    async def story() -> None:
        async with open_room(database_url, AGENTS) as room:
            crowd = Crowd(room, [room.desk() for _ in range(3)], seed=4)
            await room.worker(), await room.worker()
            coming = [asyncio.ensure_future(crowd.calls(n)) for n in range(50)]
            await asyncio.sleep(0.2)
            await asyncio.gather(*(room.available(name) for name in AGENTS))
            await asyncio.gather(*coming)
            await eventually(lambda: not crowd.under_way, "all have hung up")

            async def quiet() -> bool:
                over = not room.rows("SELECT 1 FROM safiri.offers WHERE state <> 'over'") and not await room.waiting()
                return over and not room.rows("SELECT 1 FROM safiri.agents_now WHERE offer IS NOT NULL OR state <> 'available'")

            await eventually(quiet, "everybody is free", 15)
            assert crowd.wrong == []
            assert [sid for sid, names in crowd.met.items() if len(names) > 1] == [] and len(crowd.met) == 50
            answered = Counter(event["call_sid"] for event in room.said("queue.left"))
            assert set(answered.values()) == {1}  # those who were dialled through say it themselves
            for name in AGENTS:  # ringing, then talking or free again; never two rings together
                said = [state for state in room.states(name) if state != "offline"]
                assert all(after != "ringing" for state, after in itertools.pairwise(said) if state in ("ringing", "talking")), said

    play(story())


def test_a_caller_and_their_agent_who_hang_up_at_once_do_not_wait_for_each_other(database_url: str) -> None:
    """Both are told several times over, as providers do: whoever takes the rows first, the others follow in the same order."""

    async def story() -> None:
        async with open_room(database_url, {"hana": agent(1)}) as room:
            desks = [room.desk() for _ in range(3)]
            await room.worker()
            await room.available("hana")
            for n in range(6):
                sid = await held(room, desks[0])
                order = (await eventually(lambda n=n: room.exchange.placed()[n:], "the agent is rung"))[0]  # type: ignore[misc]
                await desks[0].agent_answered(order.offer, call_sid=order.session_id, aliases=[], now=now())
                began = time.monotonic()
                left = [desk.left("default", "acme", sid, reason="completed", now=now()) for desk in desks]
                over = [desk.agent_over(order.offer, call_sid=order.session_id, reason="over", now=now()) for desk in desks]
                await asyncio.gather(*(one for pair in zip(left, over, strict=True) for one in pair))
                assert time.monotonic() - began < 0.7

    play(story())


# ---------------------------------------------------------------- workers that die


def test_a_worker_that_dies_before_it_asked_is_replaced_and_nobody_is_rung_twice(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with open_room(database_url, AGENTS) as room:
            sids = {await held(room, room.desk()) for _ in range(3)}
            with monkeypatch.context() as dead:
                dead.setattr(Placing, "place", lambda self, offer: None)
                first = await room.worker()
                await room.available("a0", "a1", "a2")
                await eventually(lambda: len(room.rows("SELECT 1 FROM safiri.offers WHERE state = 'placing'")) == 3, "offers are made")
                await room.kill(first)
            assert room.exchange.placed() == []
            await room.worker(), await room.worker()
            await eventually(lambda: len(room.said("call.started")) == 3, "all three are rung")
            assert {event["parent_call_sid"] for event in room.said("call.started")} == sids
            assert Counter(one.to for one in room.exchange.placed()).most_common(1)[0][1] == 1

    play(story())


def test_a_worker_that_dies_while_it_asks_is_replaced_under_the_same_key(database_url: str) -> None:
    async def story() -> None:
        async with open_room(database_url, AGENTS) as room:
            await held(room, room.desk())
            room.exchange.slow_s = 0.3
            first = await room.worker()
            await room.available("a0")
            await eventually(room.exchange.placed, "the provider is asked")
            await room.kill(first)
            await room.worker()
            (started,) = await eventually(lambda: room.said("call.started"), "the provider's ids are known")
            assert len(room.exchange.calls) == 1 and len(room.exchange.placed()) == 2
            assert started["call_sid"] == room.exchange.placed()[0].call_id

    play(story())


def test_what_happens_while_no_worker_runs_is_done_by_the_next(database_url: str) -> None:
    async def story() -> None:
        async with open_room(database_url, AGENTS) as room:
            desk, sid = room.desk(), await held(room, room.desk())
            first = await room.worker()
            await room.available("a0")
            order = (await eventually(room.exchange.placed, "a0 is rung"))[0]
            await eventually(lambda: room.said("call.started"), "the provider's ids are known")
            await room.kill(first)
            await desk.left("default", "acme", sid, reason="abandoned", now=now())
            other = await held(room, desk)
            await room.worker()
            await eventually(lambda: room.exchange.hung_up() == [order.call_id], "the phone is stopped")
            again = (await eventually(lambda: room.exchange.placed()[1:], "a0 is rung for the next"))[0]
            assert f"c={other}" in again.body["voice_callback_url"] and again.offer != order.offer

    play(story())


# ---------------------------------------------------------------- a provider that takes no calls


@pytest.mark.parametrize(
    ("answer", "tried"), [((402, {"error": {"code": "wallet.insufficient_funds"}}), 1), ((0, None), 5), ((503, {}), 5)]
)
def test_a_provider_that_takes_no_calls_is_left_alone_and_its_callers_wait(database_url: str, answer: tuple[int, Any], tried: int) -> None:
    async def story() -> None:
        async with open_room(database_url, {"a0": agent(0)}) as room:
            room.exchange.says = lambda asked: answer if asked.path == "/v1/calls" else None
            sid = await held(room, room.desk())
            worker = await room.worker()
            await room.available("a0")
            failed = (await eventually(lambda: room.said("dispatch.failed"), "the attempt is given up", 30))[0]
            assert failed["reason"] == ("wallet.insufficient_funds" if tried == 1 else "provider_away")
            assert len(room.exchange.placed()) == tried and len({one.offer for one in room.exchange.placed()}) == 1
            assert worker.placing.resting() == ["acme"] and await room.waiting() == [sid]
            assert room.rows("SELECT missed, rest_until IS NULL FROM safiri.agents_now") == [(0, True)]  # not the agent's fault
            room.exchange.says = lambda asked: None
            worker.placing._resting.clear()
            await eventually(lambda: room.said("call.started"), "they are rung when it takes calls again")

    play(story())


# ---------------------------------------------------------------- Postgres away


def test_while_postgres_is_away_everything_is_refused_in_time_and_done_later(database_url: str) -> None:
    async def story() -> None:
        async with open_room(database_url, {"a0": agent(0)}) as room:
            desk, one = room.desk(within_s=0.5), caller()
            desk.connections.database_url = NOBODY_LISTENS
            began = time.monotonic()
            for _ in range(20):
                with pytest.raises(Retry):
                    await desk.enter(one, now=now(), dial=True)
            assert time.monotonic() - began < 1.5
            desk.connections.database_url = database_url
            await eventually(lambda: room.rows("SELECT 1 FROM safiri.waiting WHERE gone_at IS NULL"), "their place is kept when it is back")
            assert await room.waiting() == [one.call_sid]

    play(story())


def test_a_server_that_stands_still_holds_nobody_up(database_url: str) -> None:
    async def story() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        async with server:
            url = f"postgresql://x:y@127.0.0.1:{server.sockets[0].getsockname()[1]}/z"
            async with open_room(database_url, {"a0": agent(0)}) as room:
                desk = room.desk(within_s=0.3)
                desk.connections.database_url = url
                began = time.monotonic()
                for _ in range(5):
                    with pytest.raises(Retry):
                        await desk.agent_answered("no offer", call_sid="x", aliases=[], now=now())
                assert time.monotonic() - began < 1.0
                desk._late.clear()

    play(story())


def test_a_caller_who_was_told_to_wait_gives_the_agent_back_who_was_reserved_meanwhile(database_url: str) -> None:
    async def story() -> None:
        async with open_room(database_url, {"a0": agent(0)}) as room:
            desk, one = room.desk(), caller()
            await room.available("a0")
            assert (await desk.enter(one, now=now(), dial=True)).agent  # committed, but suppose that nobody heard of it
            desk.connections.database_url, desk.connections._idle = NOBODY_LISTENS, []
            with pytest.raises(Retry):
                await desk.enter(one, now=now(), dial=True)
            desk.connections.database_url = database_url
            await room.worker()
            order = (await eventually(room.exchange.placed, "the agent is free, and rung for them"))[0]
            assert f"c={one.call_sid}" in order.body["voice_callback_url"]

    play(story())
