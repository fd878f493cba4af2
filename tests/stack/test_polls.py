"""Polls of a provider's REST: pages, restarts in the middle, waits that it asks for, keys that it refuses; nothing twice, nothing lost."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import psycopg
import pytest
from projecting import Bench
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from calls.clock import rfc3339
from calls.envelope import decode
from calls.simulator import passer_by
from cli import doctor
from cli.doctor import Finding
from ingest import polls
from ingest.polls import Barred, Poll
from runtime.problems import Retry
from runtime.provider import POOLS, Away, Provider
from runtime.settings import Settings
from tests.given import NOON, SECOND
from virtual.engine import Engine
from virtual.rest import Rest

KEY = "Bearer key-1"


class StandIn:
    """A provider with calls, a ledger and a wallet; `trouble` is what it answers first, one after the other."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.ledger: list[dict[str, Any]] | None = []
        self.balance = 1000
        self.trouble: list[Response] = []
        self.asked: list[str] = []
        self.key = KEY
        self.app = Starlette(routes=[Route("/v1/{path:path}", self._answer)])

    def ring(self, n: int, **changes: Any) -> None:
        at = rfc3339(NOON + n * 60 * SECOND)
        self.calls.append({
            "id": f"call-{n}", "started_at": at, "ended_at": at, "duration_seconds": 60, "status": "completed", "cost_minor": 5 * n,
            "local_e164": "+254711000100", "remote_e164": "+254712345678", "direction": "outbound", "updated_at": at,
        } | changes)  # fmt: skip

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        self.asked.append(path + (f"@{request.query_params['cursor']}" if "cursor" in request.query_params else ""))
        if request.headers.get("authorization") != self.key:
            return JSONResponse({"error": {"code": "api_key.invalid", "message": "No."}}, 401)
        if self.trouble:
            return self.trouble.pop(0)
        if path == "/v1/calls":
            return self._list(sorted(self.calls, key=lambda one: one["started_at"], reverse=True), request)
        if path == "/v1/wallet/statement" and self.ledger is not None:
            return self._list(self.ledger, request)
        if path == "/v1/wallet":
            return JSONResponse({"balance_minor": self.balance, "currency": "KES"})
        return JSONResponse({"error": {"code": "not_found"}}, 404)

    def _list(self, rows: list[dict[str, Any]], request: Request) -> Response:
        start = int(request.query_params.get("cursor", 0))
        end = start + 3
        return JSONResponse({"data": rows[start:end], "next_cursor": str(end) if end < len(rows) else None})


class Told:
    """The log, as a publisher: what is sent lies in `sent`; `fails` at its n-th record from now."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.fails: int | None = None

    def send(self, topic: str, key: str, value: bytes) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.fails == 0:
            done.set_exception(Retry("Kafka did not acknowledge"))
            return done
        if self.fails is not None:
            self.fails -= 1
        assert (topic, key) == ("account-events", "acme")
        self.sent.append(decode(value))
        done.set_result(None)
        return done

    @property
    def ids(self) -> list[str]:
        return [one.event_id for one in self.sent]


class Polled:
    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bench, self.provider, self.log = bench, StandIn(), Told()
        self.now, self.slept = NOON + 600 * 60 * SECOND, []
        account = {"provider": "sautikit", "signature": "none", "api_key": "key-1", "api_url": "http://provider", "poll_every_s": 60}
        self.settings = Settings.model_validate({"accounts": {"acme": account}})
        monkeypatch.setattr(polls, "PER_S", 1e9)
        monkeypatch.setattr("runtime.clock.now", lambda: self.now)
        real = asyncio.sleep

        async def sleep(seconds: float, *_: Any) -> None:
            if seconds > 0:
                self.slept.append(round(seconds, 3))
            await real(0)

        monkeypatch.setattr(polls.asyncio, "sleep", sleep)
        self.poll = self.started()

    def started(self, **changes: Any) -> Poll:
        """A worker that was started just now."""
        account = self.settings.accounts["acme"].model_copy(update=changes)
        settings = self.settings.model_copy(update={"accounts": {"acme": account}})
        provider = Provider(settings)
        provider._clients = [httpx.AsyncClient(transport=httpx.ASGITransport(self.provider.app)) for _ in range(POOLS)]
        return Poll("acme", settings, provider, database_url=self.bench.url, publisher=lambda: self.log)  # type: ignore[arg-type, return-value]

    async def round(self, poll: Poll | None = None) -> list[str]:
        """One more round, a minute later; the event ids that it sent."""
        before, self.now = len(self.log.sent), self.now + 60 * SECOND
        await (poll or self.poll).round()
        return sorted(one for one in self.log.ids[before:] if not one.startswith(("balance", "stats")))

    def failed(self) -> dict[str, str | None]:
        return dict(self.bench.rows("SELECT what, failed FROM safiri.polls ORDER BY 1"))

    def doctor(self) -> list[Finding]:
        with psycopg.connect(self.bench.url) as connection:
            return doctor._polls(connection, self.settings)

    def project(self) -> list[tuple[Any, ...]]:
        self.bench.project(self.log.sent)
        return self.bench.rows("SELECT kind, count(*), sum(amount_minor)::int FROM live.statement_lines GROUP BY 1 ORDER BY 1")


@pytest.fixture
def polled(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Polled:
    return Polled(bench, monkeypatch)


def records(*numbers: int) -> list[str]:
    return sorted(f"call_record:call-{n}" for n in numbers)


# ---------------------------------------------------------------- what is read


def test_all_pages_once_then_what_is_new(polled: Polled) -> None:
    async def story() -> None:
        for n in range(8):
            polled.provider.ring(n)
        polled.provider.ledger = [
            {"id": f"e{n}", "amount_minor": 5, "entry_type": "debit", "created_at": rfc3339(NOON + n * SECOND)} for n in range(7)
        ]
        assert await polled.round() == sorted([*records(*range(8)), *(f"ledger:e{n}" for n in range(7))])
        assert await polled.round() == []
        polled.provider.ring(8)
        polled.provider.ledger.append({"id": "e7", "amount_minor": 9, "entry_type": "debit", "created_at": rfc3339(NOON + 7 * SECOND)})
        asked = len(polled.provider.asked)
        assert await polled.round() == [*records(8), "ledger:e7"]
        assert "/v1/wallet/statement@6" in polled.provider.asked[asked:], "a ledger told oldest first goes on at its last page"
        assert "/v1/wallet/statement" not in polled.provider.asked[asked:]

    asyncio.run(story())
    assert polled.project() == [("balance", 1, None), ("call_record", 9, 180), ("ledger", 8, 44)]
    polled.bench.true()


def test_only_the_last_half_hour_is_read_again(polled: Polled) -> None:
    async def story() -> None:
        for n in range(300):
            polled.provider.ring(n)
        await polled.round()
        asked = len(polled.provider.asked)
        polled.provider.ring(300)
        assert await polled.round() == records(300)
        assert sum(one.startswith("/v1/calls") for one in polled.provider.asked[asked:]) < 13

    asyncio.run(story())


def test_a_call_that_runs_is_read_until_it_is_over(polled: Polled) -> None:
    """However many calls have come since, and in each of its versions."""

    async def story() -> None:
        polled.provider.ring(0, ended_at=None, status="answered", cost_minor=None, updated_at=rfc3339(NOON))
        polled.provider.ring(200)
        assert await polled.round() == records(0, 200)
        polled.provider.calls[0] |= {"ended_at": rfc3339(NOON + 5 * SECOND), "cost_minor": 77, "updated_at": rfc3339(NOON + 5 * SECOND)}
        for n in range(300, 305):
            polled.provider.ring(n)
        assert await polled.round() == records(0, *range(300, 305))
        polled.provider.calls[0]["cost_minor"] = 78  # too late for anybody
        assert await polled.round() == []

    asyncio.run(story())
    polled.project()
    assert polled.bench.rows("SELECT amount_minor FROM live.statement_lines WHERE row_id = 'call-0' ORDER BY 1") == [(77,), (None,)]


def test_a_balance_is_told_where_it_is_another_and_now_and_then(polled: Polled) -> None:
    async def story() -> None:
        for balance in (1000, 1000, 900):
            polled.provider.balance = balance
            await polled.round()
        polled.now += 3600 * SECOND
        await polled.round()

    asyncio.run(story())
    assert [json.loads(one.body)["fields"]["balance_minor"] for one in polled.log.sent] == ["1000", "900", "900"]


# ---------------------------------------------------------------- restarts


def test_a_worker_that_dies_goes_on_where_it_was(polled: Polled) -> None:
    async def story() -> None:
        for n in range(10):
            polled.provider.ring(n)
        polled.log.fails = 5
        with pytest.raises(Retry):
            await polled.round()
        polled.log.fails, asked = None, len(polled.provider.asked)
        await polled.round(polled.started())
        assert polled.provider.asked[asked] == "/v1/calls@3"

    asyncio.run(story())
    assert set(records(*range(10))) <= set(polled.log.ids)
    assert polled.project()[1] == ("call_record", 10, 225)
    assert polled.bench.rows("SELECT count(*) FROM safiri.journal_copies") == [(0,)]


def test_a_cursor_that_is_forgotten_begins_the_walk_anew(polled: Polled) -> None:
    async def story() -> None:
        for n in range(10):
            polled.provider.ring(n)
        polled.log.fails = 5
        with pytest.raises(Retry):
            await polled.round()
        polled.log.fails = None
        polled.provider.trouble = [JSONResponse({"error": {"code": "calls.list_failed"}}, 400)]
        await polled.round()

    asyncio.run(story())
    assert polled.project()[1] == ("call_record", 10, 225)


def test_of_two_workers_one_asks(polled: Polled) -> None:
    async def story() -> None:
        polled.provider.ring(1)
        other = polled.started()
        polled.now += 60 * SECOND
        await asyncio.gather(polled.poll.round(), other.round())
        assert 0 < await other.round() <= 60
        assert polled.provider.asked.count("/v1/calls") == 1

    asyncio.run(story())


# ---------------------------------------------------------------- a provider in trouble


def test_it_waits_as_long_as_it_is_told_to(polled: Polled) -> None:
    async def story() -> None:
        polled.provider.ring(1)
        polled.provider.trouble = [Response("slow down", 429, {"Retry-After": "7"}), Response("oh", 503)]
        assert await polled.round() == records(1)
        assert polled.slept == [7.0, 2.0]
        polled.provider.trouble = [Response("slow down", 429, {"Retry-After": "400"})]
        with pytest.raises(Away) as away:
            await polled.round()
        assert away.value.after_s == 400
        assert "answered 429" in (polled.failed()["calls"] or "")
        assert await polled.round() == []
        assert polled.failed()["calls"] is None

    asyncio.run(story())


def test_a_refused_key_stops_it_until_the_next_start(polled: Polled) -> None:
    async def story() -> None:
        polled.provider.key = "Bearer another"
        with pytest.raises(Barred):
            await polled.round()
        assert "answered 401 api_key.invalid" in (polled.failed()["calls"] or "")
        (wrong,) = polled.doctor()
        assert (wrong.name, wrong.state) == ("polls of acme", "wrong") and "answered 401" in wrong.text
        polled.now += 60 * SECOND
        await asyncio.wait_for(polled.started().run(), 5)  # it ends by itself
        polled.provider.key = KEY
        polled.provider.ring(1)
        assert await polled.round(polled.started()) == records(1)

    assert polled.doctor() == [("polls", "note", "1 account, 1 not polled yet")]
    asyncio.run(story())
    assert polled.doctor() == [("polls", "ok", "1 account")]


@pytest.mark.parametrize("answer", [Response("<html>login</html>"), JSONResponse({"hello": 1}), Response(b"\xff{")])
def test_a_page_that_is_none_is_kept_out(polled: Polled, answer: Response) -> None:
    async def story() -> None:
        polled.provider.ring(1)
        polled.provider.trouble = [answer]
        assert await polled.round() == []
        assert "/v1/calls answered no list of rows" in (polled.failed()["calls"] or "")
        assert polled.failed()["wallet"] is None, "the rest is polled all the same"
        assert await polled.round() == records(1)

    asyncio.run(story())


def test_a_provider_without_a_ledger_is_asked_once(polled: Polled) -> None:
    async def story() -> None:
        polled.provider.ledger = None
        for _ in range(3):
            await polled.round()
        assert polled.provider.asked.count("/v1/wallet/statement") == 1
        assert "statement" not in polled.failed()
        asked = len(polled.provider.asked)
        await polled.round(polled.started(ledger_path=""))
        assert "/v1/wallet/statement" not in polled.provider.asked[asked:]

    asyncio.run(story())


def test_rows_that_nobody_can_read_are_kept_and_seen(polled: Polled) -> None:
    async def story() -> None:
        polled.provider.ring(1, started_at="yesterday")
        polled.provider.ring(2, cost_minor="4.5")
        polled.provider.ring(3)
        await polled.round()

    asyncio.run(story())
    polled.project()
    found = polled.bench.rows("SELECT kind, description FROM live.statement_lines WHERE kind <> 'balance' ORDER BY row_id")
    assert [kind for kind, _ in found] == ["call_record", "unread", "unread"]
    assert {words.split(":")[0] for kind, words in found if kind == "unread"} == {"started_at", "cost_minor"}


def test_a_card_number_reaches_no_disk(polled: Polled) -> None:
    async def story() -> None:
        polled.provider.ledger = [
            {"id": "4111111111111111", "amount_minor": 5, "created_at": rfc3339(NOON), "description": "card 4111 1111 1111 1111"}
        ]
        await polled.round()

    asyncio.run(story())
    (entry,) = [one for one in polled.log.sent if one.event_id.startswith("ledger")]
    assert "card **** **** **** 1111" in entry.body and '"id":"4111111111111111"' in entry.body


# ---------------------------------------------------------------- the virtual provider


def test_the_virtual_provider_is_polled(polled: Polled, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = {"account": "acme", "start": "bye", "steps": {"bye": {"kind": "hangup"}}}
    account = {"provider": "sautikit", "signature": "none", "api_url": "virtual", "numbers": ["+254711000100"], "poll_every_s": 60}
    settings = Settings.model_validate({"accounts": {"acme": account}, "flows": {"acme": flow}, "virtual_url": "http://virtual"})

    async def story() -> None:
        safiri = Starlette(routes=[Route("/{path:path}", _takes_all, methods=["GET", "POST"])])
        engine = Engine(settings, http="http://safiri", client=httpx.AsyncClient(transport=httpx.ASGITransport(safiri)))
        provider = Provider(settings)
        app = Starlette(routes=Rest(engine).routes())
        provider._clients = [httpx.AsyncClient(transport=httpx.ASGITransport(app)) for _ in range(POOLS)]
        poll = Poll("acme", settings, provider, database_url=polled.bench.url, publisher=lambda: polled.log)  # type: ignore[arg-type, return-value]
        for _ in range(3):
            await engine.live(engine.inbound(passer_by("anybody", engine.trees[0]), None))
        await engine.courier.drained()
        assert len(await polled.round(poll)) == 3 + 2, "three calls, a top-up, the rent of a number"
        engine.ledger.post("acme", entry_type="debit", amount_minor=40, at=polled.now, about="storage")
        assert len(await polled.round(poll)) == 1

    with monkeypatch.context():
        asyncio.run(story())
    told = {kind: (count, total) for kind, count, total in polled.project()}
    assert told["call_record"] == (3, 0)
    assert told["ledger"] == (3, 10_000 + 40 - 10_000_000)
    assert polled.bench.rows("SELECT balance_minor FROM live.statement_lines WHERE kind = 'balance' ORDER BY at DESC LIMIT 1") == [
        (10_000_000 - 10_040,)
    ]
    assert told["stats"] == (1, 0)
    assert "unread" not in told
    polled.bench.true()


async def _takes_all(_: Request) -> Response:
    return JSONResponse({"actions": [{"hangup": {}}]})
