"""How the providers' REST APIs are asked and read: every variant their pages name, and answers that are odd."""

from __future__ import annotations

import json
from typing import Any

import pytest

from calls.providers import rest
from calls.providers.rest import Number, Placed, Refusal


def body(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_sautikit_is_asked_to_place_a_call_and_to_ask_us_when_it_is_answered() -> None:
    asked = rest.place(
        "sautikit", to="sip:mary@pbx.example.com", from_="+254700000001", callback="https://x/voice/~offer/acme?o=1", label="offer-1"
    )
    assert (asked.method, asked.path) == ("POST", "/v1/calls")
    assert asked.body == {
        "from": "+254700000001", "to": ["sip:mary@pbx.example.com"], "voice_callback_url": "https://x/voice/~offer/acme?o=1",
        "client_request_id": "offer-1",
    }  # fmt: skip
    assert rest.place("sautikit", to="+1", from_=None, callback="", label="", path="/v1/calls/originate").path == "/v1/calls/originate"


def test_minivoice_has_an_answer_url_of_its_own() -> None:
    asked = rest.place("minivoice", to="+15551230011", from_="+15551230001", callback="https://x", label="order-1")
    assert asked.body == {"from": "+15551230001", "to": "+15551230011", "metadata": {"client_request_id": "order-1"}}


@pytest.mark.parametrize(
    ("answer", "placed"),
    [
        ({"call_id": "c-1", "session_id": "HD_1", "status": "ringing", "client_request_id": "x"}, Placed("c-1", "HD_1", "ringing", "x")),
        ({"session_id": "HD_1", "status": "ringing"}, Placed("HD_1", "HD_1", "ringing")),
        ({"call_id": "c-1"}, Placed("c-1")),
        ({"call": {"id": "c-1", "session_id": "HD_1", "status": "ringing"}}, Placed("c-1", "HD_1", "ringing")),
        ({"id": "call_1", "status": "dialing", "provider_call_id": "6f9619ff-8b86-d011-b42d-00cf4fc964ff"}, Placed("call_1", "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "dialing")),
    ],
)  # fmt: skip
def test_the_ids_of_a_placed_call(answer: dict[str, Any], placed: Placed) -> None:
    assert rest.placed(201, body(answer)) == placed
    assert placed.aliases == ([placed.session_id] if placed.session_id not in (None, placed.call_sid) else [])


@pytest.mark.parametrize(
    "answer", [b"", b"null", b"[]", b"<html>", b'{"call_id": 1.5}', b'{"call_id": ""}', b'{"call_id": "\\u0000"}', b"\xff", b"{" * 5000]
)
def test_a_call_that_was_taken_without_an_id_is_a_fault_of_the_provider(answer: bytes) -> None:
    assert rest.placed(201, answer) == Refusal(502, "no_call_id", "The provider took the call and told no id of it.")


@pytest.mark.parametrize(
    ("status", "answer", "code", "message"),
    [
        (402, {"error": {"code": "wallet.insufficient_funds", "message": "Top up.", "request_id": "r"}}, "wallet.insufficient_funds", "Top up."),
        (410, {"code": "recording_unavailable", "reason": "pbx_deleted"}, "recording_unavailable", "pbx_deleted"),
        (400, {"error": "invalid_request"}, "invalid_request", ""), (500, None, "", ""),
    ],
)  # fmt: skip
def test_a_refusal_in_either_form(status: int, answer: Any, code: str, message: str) -> None:
    refused = rest.placed(status, body(answer))
    assert refused == Refusal(status, code, message)
    assert isinstance(refused, Refusal) and refused.passing == (status >= 500)
    assert Refusal(429, "", "").passing


def test_ids_in_paths_are_escaped() -> None:
    assert rest.hang_up("a/b?c").path == "/v1/calls/a%2Fb%3Fc/hangup"
    asked = rest.end_room("queue-HD_1/x")
    assert (asked.method, asked.path, asked.body) == ("POST", "/v1/conferences/queue-HD_1%2Fx/commands", {"command": "end"})
    assert rest.headers("k", idempotency_key="i") == {"Authorization": "Bearer k", "Idempotency-Key": "i"}
    assert rest.headers(None) == {}


def test_numbers_as_they_are_listed_claimed_and_routed() -> None:
    listed = rest.numbers(body({"numbers": [
        {"id": "n-1", "e164": "+254700000001", "country_iso2": "KE", "status": "active", "monthly_retail_minor": 10000, "currency": "KES",
         "voice_callback_url": "https://x/voice/main"},
        {"id": "n-2"}, "odd",
    ]}))  # fmt: skip
    assert listed == [Number("+254700000001", "n-1", "KE", "active", 10000, "KES", "https://x/voice/main")]
    assert rest.numbers(body({"available": [{"e164": "+254700000002", "monthly_retail_minor": True}]})) == [Number("+254700000002")]
    assert rest.numbers(b"") == []
    assert [rest.list_numbers().path, rest.list_numbers(available=True).path] == ["/v1/numbers", "/v1/numbers/available"]
    one = listed[0]
    claims = [rest.claim(one, how=how) for how in ("numbers", "inventory", "id")]
    assert [(asked.method, asked.path, asked.body) for asked in claims] == [
        ("POST", "/v1/numbers", {"e164": "+254700000001", "inventory_id": "n-1"}),
        ("POST", "/v1/numbers/available/claim", {"inventory_id": "n-1"}), ("POST", "/v1/numbers/n-1/claim", None),
    ]  # fmt: skip
    routes = [rest.route(one, to="https://y", how=how, field="voice_url") for how in ("patch", "patch-routing", "put-routing")]
    assert [(asked.method, asked.path, asked.body) for asked in routes] == [
        ("PATCH", "/v1/numbers/n-1", {"voice_url": "https://y"}), ("PATCH", "/v1/numbers/n-1/routing", {"voice_url": "https://y"}),
        ("PUT", "/v1/numbers/n-1/routing", {"voice_url": "https://y"}),
    ]  # fmt: skip
