"""The virtual provider without a stack: its REST, what it refuses, what it tells. Safiri is a stand-in that answers at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from calls.providers.signatures import verify_minivoice, verify_sautikit
from calls.simulator import Wish, passer_by
from runtime.settings import Settings
from virtual import voice
from virtual.engine import Engine
from virtual.line import Line
from virtual.rest import Rest
from virtual.run import Order, Run

SETTINGS = Settings.model_validate({
    "accounts": {
        "acme": {"provider": "sautikit", "signing_secrets": ["whsec_x"], "numbers": ["+254711000100"], "api_url": "virtual"},
        "locked": {"provider": "sautikit", "signature": "none", "api_key": "key-locked", "api_url": "virtual"},
        "mini": {"provider": "minivoice", "signing_secrets": ["mv_x"], "numbers": ["+254711000200"], "api_url": "virtual"},
        "real": {"provider": "sautikit", "signing_secrets": ["whsec_y"]},
    },
    "agents": {"amina": {"number": "+254720000001", "queues": ["help"]}},
    "flows": {
        "acme": {"account": "acme", "start": "menu", "steps": {"menu": {"kind": "menu", "choices": {"1": "bye"}}, "bye": {"kind": "hangup"}}},
        "mini": {"account": "mini", "start": "menu", "steps": {"menu": {"kind": "menu", "choices": {"1": "bye"}}, "bye": {"kind": "hangup"}}},
    },
})  # fmt: skip
HANG_UP = {"actions": [{"hangup": {}}]}
SAY = {"actions": [{"say": {"text": "Habari"}}, {"hangup": {}}]}


class StandIn:
    """Answers every voice request alike and keeps what it is sent."""

    def __init__(self) -> None:
        self.answer: Any = SAY
        self.status, self.pause = 200, 0.0
        self.asked: list[dict[str, str]] = []
        self.hooked: list[tuple[str, dict[str, Any]]] = []
        self.failures = 0
        routes = [
            Route("/voice/{rest:path}", self._voice, methods=["GET", "POST"]),
            Route("/hooks/{account}", self._hook, methods=["POST"]),
        ]
        self.app = Starlette(routes=routes)

    async def _voice(self, request: Request) -> Response:
        body = await request.body()
        fields = (
            msgspec.json.decode(body)
            if body.startswith(b"{")
            else {k: v[0] for k, v in parse_qs(body.decode(), keep_blank_values=True).items()}
        )
        asked = {**request.query_params, **fields, "~signed": str(self._signed(request, body))}
        self.asked.append(asked)
        await asyncio.sleep(self.pause)
        answer = self.answer(asked) if callable(self.answer) else self.answer
        return JSONResponse(answer, self.status) if not isinstance(answer, str) else Response(answer, media_type="application/xml")

    async def _hook(self, request: Request) -> Response:
        body = await request.body()
        if self.failures:
            self.failures -= 1
            return Response(status_code=503)
        assert self._signed(request, body), "a delivery must be signed"
        self.hooked.append((request.path_params["account"], msgspec.json.decode(body)))
        return Response(status_code=202)

    def _signed(self, request: Request, body: bytes) -> bool:
        headers, now = dict(request.headers), int(time.time())
        return verify_sautikit(body, headers, ["whsec_x"], now).ok or verify_minivoice(body, headers, ["mv_x"], now).ok

    @property
    def kinds(self) -> list[str]:
        return [body.get("kind") or body["event"] for _, body in self.hooked]


class Bench:
    def __init__(self) -> None:
        self.safiri = StandIn()
        self.engine = Engine(SETTINGS, http="http://safiri", client=httpx.AsyncClient(transport=httpx.ASGITransport(self.safiri.app)))
        self.rest = httpx.AsyncClient(
            transport=httpx.ASGITransport(Starlette(routes=Rest(self.engine).routes())), base_url="http://virtual"
        )

    async def call(self, flow: str = "acme", **wishes: Any) -> Line:
        """One incoming call from ring to end."""
        tree = next(tree for tree in self.engine.trees if tree.flow == flow)
        line = self.engine.inbound(msgspec.structs.replace(calm(passer_by("anybody", tree)), **wishes), None)
        await self.engine.live(line)
        await self.engine.courier.drained()
        return line

    async def place(self, account: str = "acme", key: str = "", **fields: Any) -> httpx.Response:
        order = {"from": "+254711000100", "to": ["+254733000001"], "voice_callback_url": "http://safiri/voice/acme"} | fields
        headers = {"Idempotency-Key": key} if key else {}
        return await self.rest.post(f"/{account}/v1/calls", json=order, headers=headers)


def calm(wish: Wish) -> Wish:
    return msgspec.structs.replace(
        wish, direction="inbound", shape="both", as_json=False, dialled="answered", result="answered", ring_ms=20, talk_ms=60, ends="agent"
    )


@contextmanager
def quick(name: str, value: Any) -> Iterator[None]:
    before = getattr(voice, name)
    setattr(voice, name, value)
    try:
        yield
    finally:
        setattr(voice, name, before)


def on_a_bench(test: Callable[[Bench], Awaitable[None]]) -> Callable[[], None]:
    """The test as a coroutine, with a bench of its own."""

    def run() -> None:
        async def main() -> None:
            await test(Bench())

        asyncio.run(main())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


# ---------------------------------------------------------------- what a call tells


@on_a_bench
async def test_a_call_is_told_in_all_its_shapes(bench: Bench) -> None:
    line = await bench.call(shape="both")
    assert bench.safiri.kinds == ["call.started", "call.answered", "call.completed"]
    assert [one.get("callSessionState") for one in bench.safiri.asked] == ["Ringing", "Completed"]
    assert all(one["~signed"] == "True" for one in bench.safiri.asked)
    ids = {(body["data"]["call_id"], body["data"]["session_id"]) for _, body in bench.safiri.hooked}
    assert ids == {(line.id, line.session)} and line.lived.sids == [line.id, line.session]
    await bench.call(shape="observed")
    assert len(bench.safiri.hooked) == 3, "the observed shape has no lifecycle webhooks"
    await bench.call(shape="documented")
    assert "CallId" in bench.safiri.asked[-1] and len(bench.safiri.hooked) == 6


@on_a_bench
async def test_a_dial_is_told_by_its_edge_and_again_by_what_follows(bench: Bench) -> None:
    then = [{"dial": {"number": "+254720000009"}}, {"redirect": {"url": "http://safiri/voice/acme/after"}}]
    bench.safiri.answer = lambda asked: {"actions": then} if len(bench.safiri.asked) == 1 else HANG_UP
    line = await bench.call()
    edge, redirect, over = bench.safiri.asked[1:]
    assert (edge["callSessionState"], over["callSessionState"]) == ("DialCompleted", "Completed")
    for one in (edge, redirect, over):
        assert (one["dialDestinationNumber"], one["dialCallStatus"], one["dialDurationInSeconds"]) == ("+254720000009", "completed", "1")
    assert line.lived.far[0].answered_at and line.lived.far[0].ended_at


@on_a_bench
async def test_rejecting_is_no_answer(bench: Bench) -> None:
    bench.safiri.answer = {"actions": [{"reject": {"reason": "busy"}}]}
    line = await bench.call()
    assert (line.lived.answered_at, line.lived.failure, line.status) == (None, "busy", "busy")
    assert bench.safiri.kinds == ["call.started", "call.failed"] and bench.safiri.hooked[-1][1]["data"]["failure_reason"] == "busy"


@on_a_bench
async def test_minivoice_tells_digits_by_webhook_only(bench: Bench) -> None:
    menu = {
        "actions": [
            {"gather": {"prompt": "1?", "num_digits": 1, "timeout_seconds": 1}},
            {"type": "redirect", "url": "http://safiri/voice/mini/menu"},
        ]
    }
    bench.safiri.answer = lambda asked: menu if len(bench.safiri.asked) == 1 else HANG_UP
    line = await bench.call("mini", seed="1/2")
    assert bench.safiri.kinds[:2] == ["call.created", "call.answered"] and bench.safiri.kinds[-1] == "call.completed"
    gathered = [body["data"]["digits"] for _, body in bench.safiri.hooked if body["event"] == "call.gathered"]
    assert gathered == [menu.digits or "" for menu in line.lived.menus if line.lived.menus[0].left_at is not None]
    assert all(asked["call_id"] == line.id and "digits" not in asked for asked in bench.safiri.asked)


# ---------------------------------------------------------------- what it refuses


@pytest.mark.parametrize(
    ("answer", "status"), [({"actions": [{"explode": {}}]}, 200), ({"actions": []}, 500), ({"nothing": 1}, 200), ("<Respons", 200)]
)
def test_an_answer_that_it_cannot_use_ends_the_call_and_is_told(answer: Any, status: int) -> None:
    async def main(bench: Bench) -> None:
        bench.safiri.answer, bench.safiri.status = answer, status
        line = await bench.call(shape="documented")
        assert (line.cause, line.lived.ended_by, len(bench.engine.courier.refused)) == ("bad_answer", "platform", 1)

    asyncio.run(main(Bench()))


@on_a_bench
async def test_an_answer_that_does_not_come_in_time_ends_the_call(bench: Bench) -> None:
    bench.safiri.pause = 0.4
    slow = httpx.AsyncClient(transport=Patience(bench.safiri.app))
    bench.engine.courier.client = slow
    with quick("LIMIT_S", 0.1):
        line = await bench.call(shape="documented")
    assert line.cause == "bad_answer" and "did not answer" in bench.engine.courier.refused[0]


class Patience(httpx.ASGITransport):
    """The transport within a process knows no time-out of its own."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await asyncio.wait_for(super().handle_async_request(request), request.extensions["timeout"]["read"])
        except TimeoutError:
            raise httpx.ReadTimeout("", request=request) from None


@on_a_bench
async def test_a_flow_without_end_is_left(bench: Bench) -> None:
    bench.safiri.answer = {"actions": [{"redirect": {"url": "http://safiri/voice/acme"}}]}
    line = await bench.call(shape="documented")
    assert line.cause == "bad_answer" and "no end" in bench.engine.courier.refused[0]


@on_a_bench
async def test_a_delivery_that_is_not_taken_is_tried_again(bench: Bench) -> None:
    bench.safiri.failures = 2
    await bench.call(shape="both")
    assert sorted(bench.safiri.kinds) == ["call.answered", "call.completed", "call.started"] and not bench.engine.courier.refused
    assert bench.engine.courier.counts["retries"] >= 2


# ---------------------------------------------------------------- REST


def error(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["code"]


@on_a_bench
async def test_a_placed_call_has_two_ids_and_the_same_key_gives_the_same_one(bench: Bench) -> None:
    first, again = await bench.place(key="k1"), await bench.place(key="k1")
    assert (first.status_code, first.json()) == (201, again.json())
    assert first.json()["session_id"].startswith("HD_") and first.json()["status"] == "ringing"
    assert error(await bench.place(key="k1", to=["+254733000002"])) == (409, "idempotency.conflict")
    assert (await bench.place(key="k2")).json()["call_id"] != first.json()["call_id"]
    await bench.engine.courier.drained()
    by_either = [(await bench.rest.get(f"/acme/v1/calls/{first.json()[name]}")).json()["call"]["id"] for name in ("call_id", "session_id")]
    assert by_either == [first.json()["call_id"]] * 2


@on_a_bench
async def test_an_empty_wallet_pays_for_no_call(bench: Bench) -> None:
    balance = (await bench.rest.get("/acme/v1/wallet")).json()["balance_minor"]
    await bench.rest.post("/acme/v1/topups", json={"amount_minor": -balance})
    assert error(await bench.place()) == (402, "wallet.insufficient_funds")
    assert (await bench.rest.get("/acme/v1/wallet/statement")).json()["data"][-1]["entry_type"] == "debit"


@on_a_bench
async def test_refusals_have_the_vendors_shape(bench: Bench) -> None:
    assert error(await bench.rest.get("/acme/v1/calls/no-such-call")) == (404, "calls.not_found")
    assert error(await bench.rest.get("/real/v1/calls")) == (404, "not_found")
    assert error(await bench.rest.get("/locked/v1/calls")) == (401, "api_key.invalid")
    assert (await bench.rest.get("/locked/v1/calls", headers={"Authorization": "Bearer key-locked"})).status_code == 200
    assert error(await bench.rest.post("/acme/v1/calls", content=b"{")) == (400, "invalid_json")
    assert error(await bench.place(to=None)) == (400, "invalid_request")
    assert error(await bench.rest.get("/acme/v1/calls", params={"limit": "0"})) == (400, "calls.list_failed")
    assert error(await bench.rest.post("/acme/v1/conferences/nowhere/commands", json={"command": "end"})) == (404, "conferences.not_found")


@on_a_bench
async def test_calls_are_listed_newest_first_page_by_page(bench: Bench) -> None:
    lines = [await bench.call(shape="observed") for _ in range(5)]
    seen, cursor = [], None
    while True:
        page = (await bench.rest.get("/acme/v1/calls", params={"limit": "2"} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [row["id"] for row in page["data"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert seen == [line.id for line in reversed(lines)]
    one = (await bench.rest.get("/acme/v1/calls", params={"session_id": lines[2].session})).json()["data"]
    assert [row["id"] for row in one] == [lines[2].id] and one[0]["status"] == "completed"
    assert (await bench.rest.get("/acme/v1/calls", params={"status": "busy,no_answer"})).json()["data"] == []
    stats = (await bench.rest.get("/acme/v1/calls/stats")).json()
    assert (stats["total"], stats["failed"], stats["spend_minor"]) == (5, 0, 0), "incoming calls are free"


@on_a_bench
async def test_hanging_up_twice_is_hanging_up(bench: Bench) -> None:
    placed = (await bench.place()).json()
    replies = [await bench.rest.post(f"/acme/v1/calls/{placed['session_id']}/hangup") for _ in range(2)]
    assert [reply.json() for reply in replies] == [{"call_id": placed["call_id"], "status": "hung_up"}] * 2
    await bench.engine.courier.drained()
    assert (await bench.rest.get(f"/acme/v1/calls/{placed['call_id']}")).json()["call"]["status"] == "canceled"
    assert bench.safiri.asked == [], "nobody answered, so nobody was asked"


@on_a_bench
async def test_an_outgoing_call_that_was_answered_is_charged_by_the_second(bench: Bench) -> None:
    placed = (await bench.place(to=["+254720000001"])).json()
    await bench.engine.courier.drained()
    row = (await bench.rest.get(f"/acme/v1/calls/{placed['call_id']}")).json()["call"]
    assert row["answered_at"] is None or row["cost_minor"] == 5 * row["duration_seconds"]


@on_a_bench
async def test_numbers_are_claimed_and_routed_in_every_documented_way(bench: Bench) -> None:
    spare = (await bench.rest.get("/acme/v1/numbers/available")).json()["available"]
    for number, path, body in zip(
        spare, ("numbers", "numbers/available/claim", "numbers/{}/claim"), ({"e164": 0}, {"inventory_id": 0}, {}), strict=False
    ):
        said = {name: number["e164" if name == "e164" else "id"] for name in body}
        assert (await bench.rest.post(f"/acme/v1/{path.format(number['id'])}", json=said)).status_code == 201
    mine = (await bench.rest.get("/acme/v1/numbers")).json()["numbers"]
    assert [one["e164"] for one in mine] == ["+254711000100", *(one["e164"] for one in spare[:3])]
    await bench.rest.patch(f"/acme/v1/numbers/{mine[0]['id']}", json={"routing_url": "http://safiri/voice/elsewhere"})
    await bench.rest.put(f"/acme/v1/numbers/{mine[1]['id']}/routing", json={"voice_callback_url": "http://safiri/voice/other"})
    assert [one["voice_callback_url"] for one in (await bench.rest.get("/acme/v1/numbers")).json()["numbers"][:2]] == [
        "http://safiri/voice/elsewhere",
        "http://safiri/voice/other",
    ]
    assert (await bench.rest.get("/acme/v1/public/pricing")).json()["outbound_per_min_kes"] == 3.0


@on_a_bench
async def test_minivoice_has_a_rest_of_its_own(bench: Bench) -> None:
    placed = (
        await bench.rest.post(
            "/mini/v1/calls", json={"from": "+254711000200", "to": "+254733000001", "metadata": {"client_request_id": "m-1"}}
        )
    ).json()
    assert placed["status"] == "dialing" and placed["id"].startswith("call_") and urlsplit(placed["answer_url"]).path == "/voice/mini"
    await bench.engine.courier.drained()
    balance = (await bench.rest.get("/mini/v1/wallet")).json()["balance_minor"]
    await bench.rest.post("/mini/v1/topups", json={"amount_minor": -balance})
    assert error(await bench.rest.post("/mini/v1/calls", json={"from": "+1", "to": "+2"})) == (402, "insufficient_balance")


# ---------------------------------------------------------------- a morning against somebody who answers at once


@on_a_bench
async def test_a_morning_of_one_seed_is_told_twice_alike(bench: Bench) -> None:
    menu = {"actions": [{"getDigits": {"numDigits": 1, "timeout": 1, "action": "http://safiri/voice/acme/menu"}}, {"hangup": {}}]}
    bench.safiri.answer = lambda asked: HANG_UP if "dtmfDigits" in asked or "Digits" in asked else menu
    told = []
    for _ in range(2):
        run = Run(bench.engine, Order(accounts=["acme"], key="-", calls=40, seed=7))
        await run.go()
        assert (run.failed, run.refused, run.ended) == ("", [], 40)
        told.append(
            [
                (one["direction"], one["outcome"], [(step["menu"], step["digits"]) for step in one["menu_path"]])
                for one in run.truth["journeys"]
            ]
        )
    assert told[0] == told[1]
    assert {direction for direction, _, _ in told[0]} == {"inbound", "outbound"} and len({outcome for _, outcome, _ in told[0]}) > 1
