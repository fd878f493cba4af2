"""The call centre on a real Postgres: who comes, who is dialled, who waits, who is joined; and that nobody is lost or rung twice."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import psycopg
from phones import CALLER, DID, Room, agent, caller, eventually, now, open_room

from calls.clock import to_datetime
from desk import watch
from runtime.settings import Queue

Story = Coroutine[Any, Any, None]


def play(story: Story) -> None:
    asyncio.run(asyncio.wait_for(story, 60))


# ---------------------------------------------------------------- coming into a queue


def test_the_longest_idle_agent_is_dialled_at_once_the_next_caller_gets_the_next_and_then_they_wait(database_url: str) -> None:
    async def story() -> None:
        async with open_room(database_url, {"dora": agent(1), "dick": agent(2)}) as room:
            desk = room.desk()
            await room.available("dora", "dick")
            first, second, third = [await desk.enter(caller(), now=now(), dial=True) for _ in range(3)]
            assert first.agent and second.agent
            assert (first.agent.agent, first.agent.address, first.agent.ring_s) == ("dora", "+254721000001", 30)
            assert second.agent.agent == "dick"
            assert (third.agent, third.full, third.position) == (None, False, 1)
            assert (await room.state("dora"))["state"] == "ringing"
            assert room.states("dora") == ["available", "ringing"]

    play(story())


def test_the_same_call_twice_has_one_place_and_one_agent(database_url: str) -> None:
    async def story() -> None:
        async with open_room(database_url, {"dora": agent(1)}) as room:
            desks, one, other = [room.desk(), room.desk()], caller(), caller()
            await room.available("dora")
            found = await asyncio.gather(*(desks[n % 2].enter(one, now=now(), dial=True) for n in range(8)))
            assert len({place.agent.offer for place in found if place.agent}) == 1 and all(place.agent for place in found)
            held = await asyncio.gather(*(desks[n % 2].enter(other, now=now(), dial=True) for n in range(8)))
            assert [place.position for place in held] == [1] * 8
            assert await room.waiting() == [other.call_sid]

    play(story())


def test_who_waits_goes_first_and_a_full_queue_takes_nobody(database_url: str) -> None:
    async def story() -> None:
        async with open_room(database_url, {"dora": agent(1)}, support=Queue(max_waiting=2)) as room:
            desk = room.desk()
            first = caller()
            await desk.enter(first, now=now(), dial=True)
            await room.available("dora")  # no worker runs: the first one still waits
            second = await desk.enter(caller(), now=now(), dial=True)
            assert (second.agent, second.position) == (None, 2)
            assert (await desk.enter(caller(), now=now(), dial=True)).full
            await desk.left("default", "acme", first.call_sid, reason="abandoned", now=now())
            assert not (await desk.enter(caller(), now=now(), dial=True)).full

    play(story())


def test_a_dial_that_was_not_answered_keeps_the_callers_time_and_sends_the_agent_to_the_end_of_the_line(database_url: str) -> None:
    async def story() -> None:
        async with open_room(database_url, {"dora": agent(1)}) as room:
            desk, one, began = room.desk(), caller(), now()
            await room.available("dora")
            assert (await desk.enter(one, now=began, dial=True)).agent
            await desk.dialled("default", "acme", one.call_sid, answered=False, now=began + 1_000_000)
            again = await desk.enter(one, now=began + 2_000_000, dial=True)
            assert (again.agent, again.position) == (None, 1)  # the agent rests
            ((entered_at,),) = room.rows("SELECT extract(epoch FROM entered_at) * 1000000 FROM safiri.waiting")
            assert abs(int(entered_at) - began) < 2
            assert [event["reason"] for event in room.said("dispatch.failed")] == ["no_answer"]
            assert room.states("dora") == ["available", "ringing", "available"]

    play(story())


# ---------------------------------------------------------------- agents


def test_after_a_call_there_is_wrap_up_and_then_the_agent_is_available_by_itself(database_url: str) -> None:
    async def story() -> None:
        async with open_room(database_url, {"dora": agent(1, wrap_up_s=0.2), "dick": agent(2, ring_s=0.05)}) as room:
            desk, one, other = room.desk(), caller(), caller()
            await room.worker()
            await room.available("dora")
            await desk.enter(one, now=now(), dial=True)
            await desk.dialled("default", "acme", one.call_sid, answered=True, now=now())
            assert (await room.state("dora"))["state"] == "wrap_up"
            await eventually(lambda: room.states("dora")[-1] == "available", "wrap-up is over")
            assert [event.get("reason") for event in room.said("agent.state")][-2:] == ["after_call", "wrap_up_s"]
            await room.available("dick")
            dialled = [await desk.enter(one, now=now(), dial=True) for one in (one, other)]
            assert [place.agent.agent for place in dialled if place.agent] == ["dora", "dick"]
            await eventually(lambda: room.states("dick")[-1] == "talking", "a ring that did not come back is a talk")
            await room.floor.say_state("dick", tenant="default", state="paused", reason="lunch")
            assert (await room.state("dick"))["state"] == "talking"  # the call goes on
            await desk.left("default", "acme", other.call_sid, reason="over", now=now())
            assert ((await room.state("dick"))["state"], (await room.state("dick"))["reason"]) == ("paused", "lunch")

    play(story())


def test_a_state_said_twice_changes_no_place_in_the_line(database_url: str) -> None:
    async def story() -> None:
        async with open_room(database_url, {"dora": agent(1), "dick": agent(2), "nobody": agent(3)}) as room:
            await room.available("dora", "dick", "dora")
            found = await room.desk().enter(caller(), now=now(), dial=True)
            assert found.agent and found.agent.agent == "dora"
            assert room.states("dora") == ["available", "ringing"]
            assert await room.state("nobody") | {"name": ""} == {
                "agent": "nobody", "name": "", "state": "offline", "since": None, "reason": None, "queues": ["support"], "call_sid": None,
                "queue": None,
            }  # fmt: skip

    play(story())


# ---------------------------------------------------------------- the worker rings agents


async def held(room: Room, desk: Any) -> str:
    """A caller who waits."""
    one = caller()
    assert (await desk.enter(one, now=now(), dial=False)).position
    return one.call_sid


def test_a_waiting_caller_is_joined_by_the_agent_who_answers(database_url: str) -> None:
    async def story() -> None:
        async with open_room(database_url, {"hana": agent(1)}) as room:
            desk = room.desk()
            sid = await held(room, desk)
            await room.worker()
            await room.available("hana")
            order = (await eventually(room.exchange.placed, "the agent is rung"))[0]
            assert order.headers["authorization"] == "Bearer key-acme"
            assert order.body["from"] == DID and order.to == "+254721000001"
            assert order.body["voice_callback_url"].startswith(f"https://voice.example.com/voice/~offer/acme?o={order.offer}&c={sid}&k=")
            await eventually(lambda: room.said("call.started"), "the provider's ids are known")
            found = [await desk.agent_answered(order.offer, call_sid=order.session_id, aliases=[], now=now()) for _ in range(2)]
            assert found[0] == found[1]
            assert (found[0].room, found[0].call_sid, found[0].agent) == (f"queue-{sid}", sid, "hana")
            assert (await room.state("hana"))["state"] == "talking" and await room.waiting() == []
            started, linked = room.said("call.started")[0], room.said("call.linked")
            assert (started["call_sid"], started["parent_call_sid"], started["direction"]) == (order.call_id, sid, "outbound")
            assert [(event["call_sid"], event["alias"]) for event in linked] == [(order.call_id, order.session_id)]
            assert [event["reason"] for event in room.said("queue.left")] == ["answered"]
            await desk.agent_over(order.offer, call_sid=order.session_id, reason="over", now=now())
            assert room.states("hana") == ["available", "ringing", "talking", "available"]

    play(story())


def test_no_answer_passes_to_the_next_and_only_one_rings_at_a_time(database_url: str) -> None:
    async def story() -> None:
        async with open_room(database_url, {"rita": agent(3), "rob": agent(4)}) as room:
            desk = room.desk()
            sid = await held(room, desk)
            await room.worker()
            await room.available("rita")
            order = (await eventually(room.exchange.placed, "rita is rung"))[0]
            await room.available("rob")
            await eventually(lambda: room.said("call.started"), "the provider's ids are known")
            assert len(room.exchange.placed()) == 1
            room.delivered(order.call_id, "call.failed", direction="outbound", to=order.to, failure_reason="no_answer")
            other = (await eventually(lambda: room.exchange.placed("+254721000004"), "rob is rung"))[0]
            assert (await desk.agent_answered(other.offer, call_sid=other.session_id, aliases=[], now=now())).room == f"queue-{sid}"
            assert (await desk.agent_answered(order.offer, call_sid=order.session_id, aliases=[], now=now())).room is None
            assert len(room.exchange.placed("+254721000003")) == 1
            assert [event["reason"] for event in room.said("dispatch.failed")] == ["no_answer"]

    play(story())


def test_a_ring_that_lasts_too_long_is_stopped_and_the_caller_goes_to_the_next(database_url: str) -> None:
    async def story() -> None:
        async with open_room(database_url, {"rita": agent(3, ring_s=0.1), "rob": agent(4)}) as room:
            await held(room, room.desk())
            await room.worker()
            await room.available("rita", "rob")
            order = (await eventually(room.exchange.placed, "rita is rung"))[0]
            await eventually(lambda: room.exchange.placed("+254721000004"), "rob is rung")
            await eventually(lambda: room.exchange.hung_up() == [order.call_id], "rita's phone is stopped")
            await eventually(lambda: room.states("rita")[-1] == "available", "rita is free")
            assert len(room.exchange.placed("+254721000003")) == 1  # she rests

    play(story())


def test_a_caller_who_gives_up_stops_the_phone_and_who_answers_too_late_meets_nobody(database_url: str) -> None:
    async def story() -> None:
        async with open_room(database_url, {"gus": agent(5)}) as room:
            desk = room.desk()
            sid = await held(room, desk)
            await room.worker()
            await room.available("gus")
            order = (await eventually(room.exchange.placed, "gus is rung"))[0]
            await desk.left("default", "acme", sid, reason="abandoned", now=now())
            assert (await desk.agent_answered(order.offer, call_sid=order.session_id, aliases=[], now=now())).room is None
            other = await held(room, desk)
            order = (await eventually(lambda: room.exchange.placed()[1:], "gus is rung again at once"))[0]
            await desk.left("default", "acme", other, reason="abandoned", now=now())
            await eventually(lambda: order.call_id in room.exchange.hung_up(), "the phone is stopped")
            await eventually(lambda: room.states("gus")[-1] == "available", "gus is free")
            assert not room.said("queue.left")  # the call's end says that they gave up

    play(story())


def test_the_caller_who_hangs_up_while_the_call_is_being_placed_rings_nobody_for_long(database_url: str) -> None:
    async def story() -> None:
        async with open_room(database_url, {"gus": agent(5)}) as room:
            desk, room.exchange.slow_s = room.desk(), 0.3
            sid = await held(room, desk)
            await room.worker()
            await room.available("gus")
            await eventually(room.exchange.placed, "the request is under way")
            await desk.left("default", "acme", sid, reason="abandoned", now=now())
            await eventually(lambda: room.exchange.hung_up() == [room.exchange.placed()[0].call_id], "the phone is stopped")
            await eventually(lambda: room.rows("SELECT 1 FROM safiri.offers WHERE state = 'over'"), "the offer is over")
            assert (await room.state("gus"))["state"] == "available"

    play(story())


def test_an_answer_that_overtakes_the_providers_reply_is_a_talk_all_the_same(database_url: str) -> None:
    async def story() -> None:
        async with open_room(database_url, {"hana": agent(1)}) as room:
            desk, room.exchange.slow_s = room.desk(), 0.3
            sid = await held(room, desk)
            await room.worker()
            await room.available("hana")
            order = (await eventually(room.exchange.placed, "the request is under way"))[0]
            found = await desk.agent_answered(order.offer, call_sid=order.session_id, aliases=[], now=now())
            assert found.room == f"queue-{sid}"
            await eventually(lambda: room.said("call.started"), "the provider's reply comes")
            assert room.rows("SELECT state, agent_call_sid FROM safiri.offers") == [("talking", order.call_id)]
            assert [event["alias"] for event in room.said("call.linked")] == [order.session_id]

    play(story())


# ---------------------------------------------------------------- what time and the journal say


def test_the_longest_wait_ends_the_room_and_then_the_visit(database_url: str) -> None:
    async def story() -> None:
        async with open_room(database_url, {"hana": agent(1)}, support=Queue(max_wait_s=0.2)) as room:
            sid = await held(room, room.desk())
            await room.worker()
            command = await eventually(lambda: [one for one in room.exchange.asked if "conferences" in one.path], "the room is ended")
            assert (command[0].path, command[0].body) == (f"/v1/conferences/queue-{sid}/commands", {"command": "end"})
            assert await room.waiting() == [sid]  # until they ask what next, or two seconds have passed
            await room.available("hana")
            (left,) = await eventually(lambda: room.said("queue.left"), "the visit is over")
            assert left["reason"] == "timeout" and await room.waiting() == [] and not room.exchange.placed()

    play(story())


def test_whose_call_is_over_by_the_journal_is_let_go(database_url: str) -> None:
    async def story() -> None:
        async with open_room(database_url, {"hana": agent(1)}) as room:
            desk = room.desk()
            sid = await held(room, desk)
            await room.worker()
            await room.available("hana")
            order = (await eventually(room.exchange.placed, "hana is rung"))[0]
            await eventually(lambda: room.said("call.started"), "the provider's ids are known")
            await desk.agent_answered(order.offer, call_sid=order.session_id, aliases=[], now=now())
            room.delivered(order.session_id, "call.completed", duration_seconds=3)
            await eventually(lambda: room.states("hana")[-1] == "available", "her call is over")
            sid = await held(room, desk)
            room.rows(
                "WITH i AS (INSERT INTO live.call_index (tenant, call_sid, own_id, group_id, journey_id) VALUES ('default', %s, 'o', 'g', 'jn_1')) "
                "INSERT INTO live.calls (tenant, journey_id, call_sid, aliases, account, ended_at) VALUES ('default', 'jn_1', %s, '{}', 'acme', now())",
                sid, sid,
            )  # fmt: skip
            room.rows("SELECT pg_notify('journal', '')")

            async def gone() -> bool:
                return await room.waiting() == [] and not room.rows("SELECT 1 FROM safiri.offers WHERE state <> 'over'")

            await eventually(gone, "they are let go, and hana is free")
            assert room.states("hana")[-1] == "available"
            room.rows("DELETE FROM live.call_index"), room.rows("DELETE FROM live.calls")

    play(story())


def test_a_caller_told_to_wait_while_postgres_was_away_is_found(database_url: str) -> None:
    async def story() -> None:
        async with open_room(database_url, {"hana": agent(1)}) as room:
            sid = caller().call_sid
            room.journal(sid, b'{"type": "voice.answer", "flow": "main", "step": "line"}', provider="sautikit", source="voice")
            for statement in (
                "INSERT INTO live.call_index (tenant, call_sid, own_id, group_id, journey_id) VALUES ('default', %(sid)s, 'o', 'g', 'jn_2')",
                "INSERT INTO live.calls (tenant, journey_id, call_sid, aliases, account, caller, called) VALUES ('default', 'jn_2', %(sid)s, '{}', 'acme', %(caller)s, %(did)s)",
                "INSERT INTO live.queue_visits (tenant, journey_id, n, call_sid, queue, entered_at, outcome) VALUES ('default', 'jn_2', 0, %(sid)s, 'support', now() - interval '9 seconds', 'waiting')",
            ):
                with_names = statement % {"sid": f"'{sid}'", "caller": f"'{CALLER}'", "did": f"'{DID}'"}
                room.rows(with_names)
            await room.worker()
            await eventually(lambda: room.rows("SELECT 1 FROM safiri.waiting WHERE gone_at IS NULL"), "they are found")
            await room.available("hana")
            order = (await eventually(room.exchange.placed, "hana is rung for them"))[0]
            assert f"c={sid}" in order.body["voice_callback_url"] and order.body["from"] == DID
            for table in ("call_index", "calls", "queue_visits"):
                room.rows(f"DELETE FROM live.{table}")

    play(story())


def test_who_was_dialled_for_and_hung_up_is_no_lost_caller_though_the_tables_lag(database_url: str) -> None:
    async def story() -> None:
        async with open_room(database_url, {"hana": agent(1)}) as room:
            desk, one, began = room.desk(), caller(), now()
            await room.available("hana")
            assert (await desk.enter(one, now=began, dial=True)).agent
            await desk.dialled("default", "acme", one.call_sid, answered=False, now=began + 1)
            await desk.left("default", "acme", one.call_sid, reason="abandoned", now=began + 2)
            room.journal(one.call_sid, b'{"type": "voice.answer", "flow": "main", "step": "line"}', provider="sautikit", source="voice")
            visit = watch.Visit("default", "support", to_datetime(began), "acme", CALLER, DID, [one.call_sid])
            async with await psycopg.AsyncConnection.connect(database_url) as connection:
                assert not await watch._taken_in(connection, visit, settings=room.settings, now=now())
            assert await room.waiting() == []

    play(story())


def test_a_caller_who_went_on_while_the_phone_rang_stops_it(database_url: str) -> None:
    """Their wait was over while an agent was being rung; what they were answered says that they left."""

    async def story() -> None:
        async with open_room(database_url, {"hana": agent(1)}, support=Queue(max_wait_s=0.3)) as room:
            sid = await held(room, room.desk())
            await room.available("hana")
            await room.worker()
            order = (await eventually(room.exchange.placed, "hana is rung"))[0]
            room.rows(
                "INSERT INTO live.call_index (tenant, call_sid, own_id, group_id, journey_id) VALUES ('default', %s, 'o', 'g', 'jn_3')", sid
            )
            room.rows(
                "INSERT INTO live.queue_visits (tenant, journey_id, n, call_sid, queue, entered_at, left_at, outcome) "
                "SELECT 'default', 'jn_3', 0, call_sid, queue, entered_at, now(), 'timeout' FROM safiri.waiting"
            )  # fmt: skip
            await eventually(lambda: room.exchange.hung_up() == [order.call_id], "the phone is stopped")
            await eventually(lambda: room.states("hana")[-1] == "available", "hana is free")
            assert await room.waiting() == [] and room.said("queue.left") == []
            room.rows("DELETE FROM live.call_index"), room.rows("DELETE FROM live.queue_visits")

    play(story())
