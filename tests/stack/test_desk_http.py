"""The call centre over HTTP: agents' states, queues, who waits; and calls placed once, whoever asks how often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from asking import Kafka
from phones import DID, Asked, Room, agent, caller, now, open_room
from test_desk import play

from api.app import build
from desk.desk import Desk
from runtime import keys
from runtime.settings import Account, Agent, Settings, Tenant

AGENTS = {"olga": agent(7, "out"), "mute": Agent(queues=["out", "back"]), "theirs": agent(9, "out", tenant="other")}
FLOWS = {"hello": {"account": "acme", "start": "hi", "steps": {"hi": {"kind": "say", "text": "Habari."}}}}


class Http:
    """The API in this process, with a key that may write, one that may read, and one of another tenant."""

    def __init__(self, room: Room) -> None:
        self.room = room
        account = room.settings.accounts["acme"]
        mute = Account(provider="sautikit", numbers=["+254711000200"])
        changed = {
            "flows": FLOWS, "tenants": {"default": Tenant(), "other": Tenant()},
            "accounts": {"silent": mute, "acme": account, "asterisk": Account(provider="asterisk-queue-log")},
        }  # fmt: skip
        self.settings: Settings = room.settings.model_copy(update=changed)
        self.app = build(
            self.settings, {"http": "https://voice.example.com", "database": room.url, "kafka": "", "virtual": "", "pid": 0}, log=Kafka()
        )  # type: ignore[arg-type]
        engine = sa.create_engine(sa.make_url(room.url).set(drivername="postgresql+psycopg"))
        with engine.begin() as connection:
            self.key, self.reader = (keys.create(connection, name="t", tenant="default", scope=scope) for scope in ("write", "read"))
            self.foreign = keys.create(connection, name="t", tenant="other", scope="write")
        engine.dispose()
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://safiri.test")

    async def ask(self, method: str, path: str, body: Any = None, *, key: str | None = None, **headers: str) -> httpx.Response:
        sent = {"Authorization": f"Bearer {key or self.key}"} | {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.request(method, path, json=body, headers=sent)

    async def place(self, body: dict[str, Any], key: str = "k-1") -> httpx.Response:
        return await self.ask("POST", "/v1/calls", body, Idempotency_Key=key)


@asynccontextmanager
async def http(database_url: str) -> AsyncIterator[Http]:
    async with open_room(database_url, AGENTS) as room:
        made = Http(room)
        yield made
        await made.client.aclose()
        await made.app.state.floor.close()
        made.app.state.engine.dispose()


def problem(reply: httpx.Response, status: int, field: str = "") -> str:
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json"), reply.text
    assert not field or [error["field"] for error in reply.json()["errors"]] == [field], reply.text
    return str(reply.json()["detail"])


# ---------------------------------------------------------------- agents and queues


def test_agents_say_their_states_and_those_of_others_are_not_there(database_url: str) -> None:
    async def story() -> None:
        async with http(database_url) as api:
            listed = (await api.ask("GET", "/v1/agents", key=api.reader)).json()["agents"]
            assert [(row["agent"], row["state"]) for row in listed] == [("olga", "offline"), ("mute", "offline")]
            said = await api.ask("POST", "/v1/agents/olga/state", {"state": "paused", "reason": "lunch"})
            assert said.status_code == 200 and (said.json()["state"], said.json()["reason"]) == ("paused", "lunch")
            assert [event["reason"] for event in api.room.said("agent.state")] == ["lunch"]
            problem(await api.ask("POST", "/v1/agents/olga/state", {"state": "paused"}, key=api.reader), 403)
            told = await api.ask("POST", "/v1/agents/olga/state", {"state": "paused", "reason": "card 4111 1111 1111 1111"})
            assert "1111 1111 1111" not in told.text
            for state in ("talking", "ringing", "asleep", None, 1, ["available"]):
                problem(await api.ask("POST", "/v1/agents/olga/state", {"state": state}), 422, "state")
            problem(await api.ask("POST", "/v1/agents/olga/state", {"state": "paused", "reason": "\x00"}), 422, "reason")
            for name in ("nobody", "theirs", "%00"):
                problem(await api.ask("POST", f"/v1/agents/{name}/state", {"state": "paused"}), 404)
            problem(await api.ask("POST", "/v1/agents/olga/state", [1]), 422)
            problem(await api.ask("GET", "/v1/agents?odd=1"), 422, "odd")

    play(story())


def test_queues_and_who_waits(database_url: str) -> None:
    async def story() -> None:
        async with http(database_url) as api:
            one, desk = caller(queue="out"), api.room.desk()
            await desk.enter(one, now=now(), dial=True)
            rows = {row["queue"]: row for row in (await api.ask("GET", "/v1/queues")).json()["queues"]}
            assert set(rows) == {"out", "back", "support"} and (rows["out"]["waiting"], rows["support"]["waiting"]) == (1, 0)
            assert rows["out"]["agents"] == ["olga", "mute"] and rows["out"]["states"]["offline"] == 2
            (row,) = (await api.ask("GET", "/v1/queues/out/waiting")).json()["waiting"]
            assert (row["call_sid"], row["position"], row["agent"]) == (one.call_sid, 1, None)
            assert (await api.ask("GET", "/v1/queues/support/waiting")).json() == {"queue": "support", "waiting": []}
            assert (await api.ask("GET", "/v1/queues/out/waiting", key=api.foreign)).json()["waiting"] == []  # an agent of theirs serves it
            problem(await api.ask("GET", "/v1/queues/back/waiting", key=api.foreign), 404)  # only an agent of others does
            problem(await api.ask("GET", "/v1/queues/nowhere/waiting"), 404)

    play(story())


# ---------------------------------------------------------------- calls


def test_a_call_is_placed_once_however_often_it_is_asked_for(database_url: str) -> None:
    async def story() -> None:
        async with http(database_url) as api:
            api.room.exchange.slow_s = 0.2
            wanted = {"to": "0722 000001", "flow": "hello", "client_request_id": "order-7"}
            answers = await asyncio.gather(*(api.place(wanted) for _ in range(6)))
            answers.append(await api.place(wanted))
            (order,) = api.room.exchange.placed()
            assert {reply.status_code for reply in answers} == {201} and len({reply.text for reply in answers}) == 1
            assert answers[0].json() == {
                "call_sid": order.call_id, "session_id": order.session_id, "status": "ringing", "client_request_id": "order-7", "account": "acme",
            }  # fmt: skip
            assert (order.to, order.body["from"], order.body["client_request_id"]) == ("+254722000001", DID, "order-7")
            assert order.body["voice_callback_url"].startswith("https://voice.example.com/voice/~order/acme?o=")
            started, linked = api.room.said("call.started", "call.linked")
            assert (started["call_sid"], started["direction"], started["to"]) == (order.call_id, "outbound", "+254722000001")
            assert (started["client_request_id"], started["attributes"], linked["alias"]) == (
                "order-7",
                {"flow": "hello"},
                order.session_id,
            )
            problem(await api.place(wanted | {"to": "+254722000009"}), 409)
            assert (await api.place(wanted, "k-2")).status_code == 201 and len(api.room.exchange.placed()) == 2

    play(story())


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"to": "+254722000001"}, "flow"), ({"to": "+254722000001", "flow": "hello", "agent": "olga"}, "flow"), ({"to": "+254722000001", "flow": "no"}, "flow"),
        ({"to": "+254722000001", "agent": "no"}, "agent"), ({"to": "+254722000001", "agent": "theirs"}, "agent"), ({"to": "+254722000001", "agent": "mute"}, "agent"),
        ({"to": "nobody", "flow": "hello"}, "to"), ({"flow": "hello"}, "to"), ({"to": 7, "flow": "hello"}, "to"),
        ({"to": "+254722000001", "flow": "hello", "account": "no"}, "account"), ({"to": "+254722000001", "flow": "hello", "account": "silent"}, "account"),
        ({"to": "+254722000001", "flow": "hello", "account": "asterisk"}, "account"), ({"to": "+254722000001", "flow": "hello", "caller_id": "+15551230000"}, "caller_id"),
        ({"to": "+254722000001", "flow": "hello", "client_request_id": "mcp:1"}, "client_request_id"),
        ({"to": "+254722000001", "flow": "hello", "client_request_id": "4111 1111 1111 1111"}, "client_request_id"),
        ({"to": "+254722000001", "flow": "hello", "client_request_id": "a\u0000b"}, "client_request_id"), ({"to": "+254722000001", "flow": "hello", "odd": 1}, "odd"),
    ],
)  # fmt: skip
def test_what_cannot_be_placed_names_the_field(database_url: str, body: dict[str, Any], field: str) -> None:
    async def story() -> None:
        async with http(database_url) as api:
            problem(await api.place(body), 422, field)
            assert api.room.exchange.asked == [] and api.room.rows("SELECT 1 FROM safiri.orders") == []

    play(story())


def test_a_refusal_keeps_its_status_and_says_what_to_do(database_url: str) -> None:
    async def story() -> None:
        async with http(database_url) as api:
            wanted = {"to": "+254722000001", "agent": "olga"}
            refused = {"error": {"code": "wallet.insufficient_funds", "message": "Top up to continue.", "request_id": "r"}}
            api.room.exchange.says = lambda asked: (402, refused)
            first, second = await api.place(wanted), await api.place(wanted)
            assert "Top up to continue." in problem(first, 402) and first.json()["title"] == "wallet.insufficient_funds"
            assert second.text == first.text and len(api.room.exchange.placed()) == 1
            api.room.exchange.says = lambda asked: (401, {"error": {"code": "api_key.revoked"}})
            assert "api_key of account" in problem(await api.place(wanted, "k-2"), 401)
            assert api.room.said() == []

    play(story())


def test_a_provider_with_too_many_calls_says_so_and_may_be_asked_again_under_the_same_key(database_url: str) -> None:
    async def story() -> None:
        async with http(database_url) as api:
            api.room.exchange.says = lambda asked: (429, {"error": {"code": "concurrent_call_limit_reached"}})
            refused = await api.place({"to": "+254722000001", "flow": "hello"})
            problem(refused, 429)
            assert (refused.json()["title"], refused.headers["retry-after"]) == ("concurrent_call_limit_reached", "5")
            api.room.exchange.says = lambda asked: None
            assert (await api.place({"to": "+254722000001", "flow": "hello"})).status_code == 201

    play(story())


def test_a_provider_that_does_not_answer_is_asked_again_under_the_same_key(database_url: str) -> None:
    async def story() -> None:
        async with http(database_url) as api:
            lost: list[str] = []

            def loses_the_answers(asked: Asked) -> tuple[int, Any] | None:
                lost.append(asked.offer)
                return (0, None) if len(lost) < 6 else None

            api.room.exchange.says = loses_the_answers
            problem(await api.place({"to": "+254722000001", "flow": "hello"}), 502)
            assert (await api.place({"to": "+254722000001", "flow": "hello"})).status_code == 201
            assert len(set(lost)) == 1 and len(api.room.exchange.calls) == 1

    play(story())


def test_the_person_called_hears_the_flow_or_is_connected_to_the_agent(database_url: str) -> None:
    async def story() -> None:
        async with http(database_url) as api:
            desk = api.room.desks[0] if api.room.desks else Desk(api.settings, database_url, within_s=5)
            await api.ask("POST", "/v1/agents/olga/state", {"state": "available"})
            await api.place({"to": "+254722000001", "flow": "hello"})
            await api.place({"to": "+254722000002", "agent": "olga"}, "k-2")
            first, second = api.room.exchange.placed()
            heard = await desk.order_answered(first.offer, call_sid=first.session_id, aliases=[], now=now())
            assert (heard.flow, heard.agent_address) == ("hello", None)
            for _ in range(2):
                joined = await desk.order_answered(second.offer, call_sid=second.session_id, aliases=[], now=now())
                assert (joined.agent_address, joined.caller_id, joined.ring_s) == ("+254721000007", DID, 30)
            assert (await api.room.state("olga"))["state"] == "ringing"  # nobody else rings her meanwhile
            await desk.order_over(second.offer, call_sid=second.session_id, now=now())
            assert (await api.room.state("olga"))["state"] == "available"
            assert (await desk.order_answered("no order", call_sid="x", aliases=[], now=now())).flow is None
            await desk.close()

    play(story())
