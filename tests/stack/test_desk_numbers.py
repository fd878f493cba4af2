"""`safiri numbers` against a provider: listed, claimed, routed; refused in one line."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from phones import Asked, Exchange

import cli

HAD = {
    "numbers": [
        {"id": "n-1", "e164": "+254700000001", "country_iso2": "KE", "status": "active", "monthly_retail_minor": 10000, "currency": "KES"}
    ]
}
FREE = {"available": [{"id": "i-2", "e164": "+254700000002"}]}


class Shop:
    """The provider, on a thread of its own, and one command at a time."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.config, self.capsys, self.exchange, self.loop = home / "safiri.toml", capsys, Exchange(), asyncio.new_event_loop()
        self.exchange.says = self.says
        ready = threading.Event()
        self.thread = threading.Thread(target=lambda: self.loop.run_until_complete(self.serve(ready)))
        self.thread.start()
        ready.wait(5)
        self.write()

    def says(self, asked: Asked) -> tuple[int, Any]:
        if asked.method == "GET":
            return 200, FREE if asked.path.endswith("available") else HAD
        return 200, {}

    async def serve(self, ready: threading.Event) -> None:
        self.stop = asyncio.Event()
        async with self.exchange.open():
            ready.set()
            await self.stop.wait()

    def write(self, *more: str) -> None:
        account = [
            "[accounts.acme]",
            'provider = "sautikit"',
            'signature = "none"',
            'api_key = "key-acme"',
            f'api_url = "{self.exchange.url}"',
            *more,
        ]
        flow = ["[flows.main]", 'account = "acme"', 'start = "hi"', "[flows.main.steps.hi]", 'kind = "hangup"']
        self.config.write_text("\n".join(['public_url = "https://voice.example.com"', *account, *flow]))

    def run(self, *args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["numbers", *args, "--config", str(self.config)])
        said = self.capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err


@pytest.fixture
def shop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Shop]:
    made = Shop(tmp_path, capsys)
    yield made
    made.loop.call_soon_threadsafe(made.stop.set)
    made.thread.join(5)


def test_numbers_are_listed(shop: Shop) -> None:
    assert shop.run("ls")[:2] == (0, "+254700000001    KE  active       100.00 KES  -\n")
    code, out, _ = shop.run("ls", "--available", "--json")
    assert code == 0 and [row["number"] for row in json.loads(out)] == ["+254700000002"]
    assert {one.headers["authorization"] for one in shop.exchange.asked} == {"Bearer key-acme"}


def test_a_number_is_claimed_and_routed_as_the_account_says(shop: Shop) -> None:
    code, out, _ = shop.run("claim", "254 700 000 002")
    assert code == 0 and out.startswith("+254700000002 is yours")
    shop.write('number_claim = "inventory"', 'number_route = "put-routing"', 'number_route_field = "voice_callback_url"')
    assert shop.run("claim", "+254700000002")[0] == 0
    code, out, _ = shop.run("route", "+254700000001", "main")
    assert (code, out) == (0, "+254700000001 is answered by https://voice.example.com/voice/main\n")
    assert [(one.method, one.path, one.body) for one in shop.exchange.asked if one.method != "GET"] == [
        ("POST", "/v1/numbers", {"e164": "+254700000002", "inventory_id": "i-2"}),
        ("POST", "/v1/numbers/available/claim", {"inventory_id": "i-2"}),
        ("PUT", "/v1/numbers/n-1/routing", {"voice_callback_url": "https://voice.example.com/voice/main"}),
    ]


def test_a_provider_that_lists_no_numbers_is_asked_by_the_number_itself(shop: Shop) -> None:
    shop.exchange.says = lambda asked: (404, {"error": {"code": "not_found"}}) if asked.method == "GET" else (200, {})
    assert shop.run("claim", "0700 000 002", "--account", "acme")[0] == 0
    assert shop.run("route", "+254700000001", "main")[0] == 0
    assert [(one.method, one.path, one.body) for one in shop.exchange.asked if one.method != "GET"] == [
        ("POST", "/v1/numbers", {"e164": "+254700000002"}),
        ("PATCH", "/v1/numbers/%2B254700000001", {"routing_url": "https://voice.example.com/voice/main"}),
    ]


def test_what_cannot_be_done_is_said_in_one_line(shop: Shop) -> None:
    assert shop.run("claim", "+254700000009")[::2] == (
        2,
        "safiri: +254700000009 is not available; `safiri numbers ls --available` lists those that are\n",
    )
    assert shop.run("route", "+254700000001", "nowhere")[0] == 2
    shop.exchange.says = lambda asked: (402, {"error": {"code": "wallet.insufficient_funds", "message": "Top up."}})
    assert shop.run("ls")[::2] == (2, "safiri: the provider refused (402 wallet.insufficient_funds): Top up.\n")
    shop.exchange.says = lambda asked: (500, {})
    code, _, err = shop.run("ls")
    assert code == 3 and err.splitlines()[-1].startswith("safiri: acme: answered 500")
    shop.config.write_text('[accounts.acme]\nprovider = "minivoice"\nsignature = "none"\n')
    assert (shop.run("ls", "--account", "acme")[0], shop.run("ls")[0]) == (2, 3)
