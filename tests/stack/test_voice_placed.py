"""Calls that we have placed, and what goes wrong inside: the application alone, with a call centre that says what a test wants."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx
import pytest
from callers import CALLER, FLOWS, OURS, Told, told

from api.voice import answering
from api.voice.addresses import Addresses
from api.voice.app import Voice
from calls.envelope import Envelope
from calls.voice.position import FreeAgent, InQueue
from desk.addresses import offer_address, order_address
from desk.interface import Joined
from runtime.flows import flows_of
from runtime.problems import Retry
from runtime.settings import Settings, load

AWAY = "postgresql://nobody:x@127.0.0.1:1/x"
PUBLIC = "https://voice.example.com/at"


class Log:
    """What was appended. `stuck`: it never comes back."""

    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []
        self.stuck = False

    async def append_soon(self, envelopes: Sequence[Envelope], within_s: float) -> None:
        if self.stuck:
            await asyncio.sleep(60)
        self.kept += [json.loads(one.raw) for one in envelopes]

    def facts(self) -> list[dict[str, Any]]:
        return [fact for one in self.kept for fact in one.get("facts", [])]


class Centre:
    """A call centre that answers as it is told, and keeps what it was told. `says` a Joined or InQueue; an exception is raised."""

    def __init__(self, says: Any = None) -> None:
        self.says, self.heard = says, list[tuple[Any, ...]]()

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def asked(*args: Any, **named: Any) -> Any:
            self.heard.append((name, *args, *(named[key] for key in ("reason", "answered", "call_sid") if key in named)))
            if self.says == "nothing":
                await asyncio.sleep(60)
            if isinstance(self.says, Exception):
                raise self.says
            return self.says

        return asked


class House:
    """The application, and one provider's requests to it."""

    def __init__(self, settings: Settings, centre: Centre, database_url: str) -> None:
        self.settings, self.centre, self.log = settings, centre, Log()
        self.voice = Voice(
            _nothing_else, log_=self.log, settings=settings, flows=flows_of(settings), desk=centre, database_url=database_url, public=PUBLIC  # type: ignore[arg-type]
        )  # fmt: skip
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.voice), base_url="http://x")

    async def ask(self, address: str, sid: str = "HD_agentscall1", *, state: str = "Answered", **fields: str) -> Told:
        said = {"sessionId": sid, "callerNumber": OURS, "destinationNumber": CALLER, "direction": "Outbound", "callSessionState": state}
        began = time.monotonic()
        reply = await self.http.post(address.removeprefix(PUBLIC), data=said | fields)
        return told(reply, time.monotonic() - began)

    def offer(self, caller: str = "HD_thecaller01") -> str:
        return offer_address(self.settings, PUBLIC, account="lines", offer="offer-1", call_sid=caller)

    def order(self, name: str = "order-1") -> str:
        return order_address(self.settings, PUBLIC, account="lines", order=name)


async def _nothing_else(*_: Any) -> None:
    raise AssertionError("not ours")


@pytest.fixture
def play(tmp_path: Any) -> Callable[..., None]:
    (tmp_path / "safiri.toml").write_text("voice_deadline_ms = 1500\n" + FLOWS.replace("APPLICATION", "http://127.0.0.1:1"))
    settings = load(tmp_path / "safiri.toml", tmp_path)

    def played(centre: Centre, story: Callable[[House], Awaitable[None]], database_url: str = AWAY) -> None:
        async def run() -> None:
            house = House(settings, centre, database_url)
            try:
                await asyncio.wait_for(story(house), 30)
            finally:
                await house.voice.close()

        asyncio.run(run())

    return played


# ---------------------------------------------------------------- an agent's call


def test_an_agent_joins_the_callers_room_and_the_calls_are_one_journey(play: Any) -> None:
    async def story(house: House) -> None:
        answer = await house.ask(house.offer())
        assert answer.verbs == ["conference"]
        room = answer["conference"]
        assert {"name": "queue-HD_thecaller01", "startOnEnter": True, "endOnExit": True}.items() <= room.items()
        assert house.centre.heard == [("agent_answered", "offer-1", "HD_agentscall1")]
        linked = {(fact["type"], fact["call_sid"], fact.get("to_call_sid")) for fact in house.log.facts()}
        assert linked == {("call.answered", "HD_agentscall1", None), ("call.linked", "HD_agentscall1", "HD_thecaller01")}
        told_ = await house.http.post(
            room["statusEventsCallbackUrl"].removeprefix(PUBLIC), json={"event": "join", "conference_name": room["name"]}
        )
        assert (told_.status_code, house.log.kept[-1]["type"], house.log.kept[-1]["kind"]) == (204, "voice.request", "edge")
        assert house.log.kept[-1]["call_sid"] == "HD_thecaller01"
        assert (await house.ask(house.offer(), state="Completed")).actions == []
        assert house.centre.heard[-1] == ("agent_over", "offer-1", "over", "HD_agentscall1")

    play(Centre(Joined(call_sid="HD_thecaller01", queue="voice-hold", agent="voice-agent", room="queue-HD_thecaller01")), story)


@pytest.mark.parametrize("says", [Retry("away"), "nothing", RuntimeError("a bug")])
def test_without_the_call_centre_the_address_names_the_room(play: Any, says: Any) -> None:
    async def story(house: House) -> None:
        answer = await house.ask(house.offer())
        assert answer["conference"]["name"] == "queue-HD_thecaller01"
        assert answer.took < 1.5

    play(Centre(says), story)


def test_an_agent_for_whom_nobody_waits_any_more_hears_so(play: Any) -> None:
    async def story(house: House) -> None:
        answer = await house.ask(house.offer())
        assert answer.verbs == ["say", "hangup"]
        assert "hung up" in answer["say"]["text"]

    play(Centre(Joined()), story)


def test_an_agent_who_was_not_reached_says_why(play: Any) -> None:
    async def story(house: House) -> None:
        assert (await house.ask(house.offer(), state="Busy")).actions == []
        assert house.centre.heard == [("agent_over", "offer-1", "busy", "HD_agentscall1")]

    play(Centre(), story)


# ---------------------------------------------------------------- an ordered call


def test_an_order_walks_its_flow_from_the_start_and_on_at_the_flows_addresses(play: Any, database_url: str) -> None:
    async def story(house: House) -> None:
        menu = await house.ask(house.order())
        assert menu.verbs[0] == "getDigits"
        assert menu["getDigits"]["action"].startswith(f"{PUBLIC}/voice/ivr/menu?")
        assert (await house.ask(house.order(), dtmfDigits="9")).verbs[0] == "getDigits"
        dial = await house.ask(house.order(), dtmfDigits="1")
        assert dial["dial"]["callerId"] == OURS  # not the number of the person who was called
        assert [name for name, *_ in house.centre.heard] == ["order_answered"]
        await house.ask(house.order(), state="Completed")
        assert [name for name, *_ in house.centre.heard] == ["order_answered", "order_over"]
        assert [fact["type"] for fact in house.log.facts()].count("call.answered") == 1

    play(Centre(Joined(flow="ivr")), story, database_url)


def test_an_order_for_an_agent_dials_them_and_says_the_same_again(play: Any, database_url: str) -> None:
    async def story(house: House) -> None:
        answer = await house.ask(house.order(), sid="HD_ordered0001")
        assert answer["dial"] == {"number": "+254720000300", "callerId": OURS, "timeout": 25}
        assert (await house.ask(house.order(), sid="HD_ordered0001")).raw == answer.raw
        assert (await house.ask(house.order(), sid="HD_ordered0001", state="DialCompleted", dialDurationInSeconds="5")).actions == []
        assert house.log.kept[-2]["dial"] == {"agent": "voice-agent", "to": "+254720000300", "answered": True}
        assert [fact["type"] for fact in house.log.facts()] == ["call.answered", "leg.started"]

    play(Centre(Joined(agent="voice-agent", agent_address="+254720000300", caller_id=OURS, ring_s=25)), story, database_url)


def test_an_order_that_nobody_can_explain_gets_an_apology(play: Any) -> None:
    async def story(house: House) -> None:
        answer = await house.ask(house.order())
        assert answer.verbs == ["say", "hangup"]
        assert house.log.kept[-1]["fault"] == "flow_fault"

    play(Centre(Retry("away")), story)


# ---------------------------------------------------------------- queues


def test_a_free_agent_is_dialled_and_the_end_of_the_dial_is_told(play: Any, database_url: str) -> None:
    async def story(house: House) -> None:
        caller = {"sid": "HD_thecaller02", "state": "Ringing", "direction": "Inbound"}
        await house.ask("/voice/ivr" + _signed(house, "HD_thecaller02"), **caller)
        dial = await house.ask(_step(house, "HD_thecaller02"), **caller, dtmfDigits="2")
        assert dial.verbs == ["dial", "redirect"]
        assert (dial["dial"]["number"], dial["dial"]["timeout"]) == ("+254720000300", 20)
        house.centre.says = InQueue(position=1)
        late = {"dialDurationInSeconds": "0", "dialDestinationNumber": "+254720000301"}  # of somebody who was dialled before
        await house.ask(dial.onward, **caller | {"state": "DialCompleted"}, **late)
        assert "dialled" not in [name for name, *_ in house.centre.heard]
        await house.ask(dial.onward, **caller | {"state": "DialCompleted"}, dialDurationInSeconds="0")
        assert house.centre.heard[-1] == ("dialled", "default", "lines", "HD_thecaller02", False)
        held = await house.ask(dial.onward, **caller | {"state": "Answered"})
        assert held.verbs == ["say", "conference", "redirect"]
        await house.ask(held.onward, **caller | {"state": "Completed"})
        assert house.centre.heard[-1] == ("left", "default", "lines", "HD_thecaller02", "abandoned")

    def _signed(house: House, sid: str) -> str:
        return "/menu?" + _step(house, sid, visit=0).partition("?")[2]

    def _step(house: House, sid: str, visit: int = 1) -> str:
        return Addresses(PUBLIC, ["whsec_new"]).step("ivr", "menu", visit=visit, tries=0, call_sid=sid)

    play(Centre(InQueue(agent=FreeAgent("voice-agent", "+254720000300", 20, "offer-2"))), story, database_url)


# ---------------------------------------------------------------- faults of ours


def test_a_bug_is_answered_with_an_apology_that_the_journey_shows(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(answering, "decide", broken)

    async def story(house: House) -> None:
        for flow, verbs in (("ivr", ["say", "hangup"]), ("markup", ["say", "hangup"]), ("mini-ivr", ["say"])):
            address = Addresses(PUBLIC, ["whsec_new"]).step("ivr", "menu", visit=0, tries=0, call_sid="HD_unlucky001")
            answer = await house.ask(address if flow == "ivr" else f"/voice/{flow}", sid="HD_unlucky001")
            assert (answer.status, answer.verbs) == (200, verbs)
            assert "sorry" in answer["say"]["text"]
            assert (house.log.kept[-1]["fault"], house.log.kept[-1]["call_sid"]) == ("flow_fault", "HD_unlucky001")

    play(Centre(), story)


@pytest.mark.parametrize("what", ["log", "desk"])
def test_whatever_hangs_the_answer_is_in_time(play: Any, what: str) -> None:
    async def story(house: House) -> None:
        house.log.stuck = what == "log"
        address = Addresses(PUBLIC, ["whsec_new"]).step("ivr", "menu", visit=1, tries=0, call_sid="HD_patient0001")
        answer = await house.ask(address, sid="HD_patient0001", dtmfDigits="2")
        assert answer.verbs == ["say", "conference", "redirect"]
        assert answer.took < 1.5

    play(Centre("nothing" if what == "desk" else InQueue(position=1)), story)
