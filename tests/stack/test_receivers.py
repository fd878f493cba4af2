"""The receivers of a running stack: who is let in, what is answered, and what happens to deliveries while Kafka is away."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from running import eventually
from whole import SECRETS, Stack
from wire import Role, exchange, kept, request, role, signed

from calls.providers import signatures

OWN = """
publish_deadline_ms = 500
spool_max_bytes = 1048576
[accounts.acme]
provider = "sautikit"
signing_secrets = ["whsec_test", "whsec_next"]
[accounts.signs-nothing]
provider = "africastalking"
signing_secrets = ["of our own"]
[accounts.bank]
provider = "neutral"
signing_secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
"""
AT = b"sessionId=ATVId_%s&callerNumber=%%2B254720000009&destinationNumber=%%2B254711000100&direction=Inbound&isActive=1"


def call(mark: str) -> bytes:
    return json.dumps(
        {"kind": "call.started", "occurred_at": "2026-09-01T08:00:00Z", "data": {"call_id": mark, "from": "+254720000009"}}
    ).encode()


def fresh_mark() -> str:
    return f"call-{uuid.uuid4().hex}"


@pytest.fixture(scope="module")
def beside(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Role]:
    """A second receiver of the same stack, with other accounts."""
    with role(stack, "http", tmp_path_factory.mktemp("beside"), OWN) as one:
        yield one


def post(url: str, account: str, body: bytes, headers: dict[str, str] | None = None, **more: str) -> httpx.Response:
    sent = {"content-type": "application/json"} | (signed(account, body) if headers is None else headers)
    return httpx.post(f"{url}/hooks/{account}", content=body, headers=sent, params=more, timeout=30)


# ---------------------------------------------------------------- who is let in


@pytest.mark.parametrize("account", ["acme", "mini", "bank", "at"])
def test_a_delivery_is_taken_with_202_and_nothing_more(stack: Stack, account: str) -> None:
    mark = fresh_mark()
    body = AT % mark.encode() if account == "at" else call(mark)
    reply = post(stack.url, account, body)
    assert (reply.status_code, reply.content, reply.headers["content-length"]) == (202, b"", "0")
    stack.fresh()
    assert len(kept(stack, mark)) == 1


@pytest.mark.parametrize("secret", ["whsec_test", "whsec_next"])
@pytest.mark.parametrize("bare", [True, False])
def test_sautikit_may_sign_in_both_ways_with_every_secret(stack: Stack, secret: str, bare: bool) -> None:
    mark = fresh_mark()
    bare_header = {"X-Sautikit-Signature": signatures.hex_digest(secret, call(mark))}
    assert post(stack.url, "acme", call(mark), bare_header if bare else signed("acme", call(mark), secret=secret)).status_code == 202
    stack.fresh()
    [event] = stack.get(f"/v1/journeys/{mark}/events")["events"]
    assert event["signature"] == ("bare" if bare else "verified")


def test_who_signs_nothing_delivers_to_an_address_with_a_token(stack: Stack, beside: Role) -> None:
    body = AT % fresh_mark().encode()
    token = signatures.token("of our own")
    assert post(beside.url, "signs-nothing", body, {}, token=token).status_code == 202
    assert post(beside.url, "signs-nothing", body, {"x-safiri-token": token}).status_code == 202
    for given in ({}, {"token": ""}, {"token": "0" * 64}, {"token": token[:-1]}, {"token": token + "0"}, {"Token": token}):
        reply = post(beside.url, "signs-nothing", body, {}, **given)
        assert reply.status_code == 401, given
        assert "safiri url hook signs-nothing" in reply.json()["detail"]
    assert post(stack.url, "at", body, {}).status_code == 202  # signature = "none"


def test_neutral_deliveries_are_signed_as_standard_webhooks(beside: Role) -> None:
    body, secret = call(fresh_mark()), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    good = signatures.sign_standard(body, secret, int(time.time()), "msg_1")
    assert post(beside.url, "bank", body, good).status_code == 202
    assert post(beside.url, "bank", body, good | {"webhook-signature": f"v1,{'A' * 43}= {good['webhook-signature']}"}).status_code == 202
    assert post(beside.url, "bank", body, good | {"webhook-id": "msg_2"}).status_code == 401
    assert post(beside.url, "bank", body, signatures.sign_standard(body, secret, int(time.time()) - 301, "msg_1")).status_code == 401
    assert post(beside.url, "bank", body, signatures.sign_standard(body, "neutral_secret", int(time.time()), "msg_1")).status_code == 401


def forged(account: str, body: bytes) -> Iterator[dict[str, str]]:
    """Headers that are wrong in one thing each."""
    good = signed(account, body)
    for name, value in good.items():
        yield {one: text for one, text in good.items() if one != name}  # a missing part
        yield good | {name: ""}
        if account == "acme" or "signature" not in name.lower():  # elsewhere one right signature among several is enough
            yield good | {name: f"{value}, {value}"}  # as a repeated header is read
        yield good | {name: value.swapcase() + "\xe9"}
        yield good | {name: "\xff" * 64}
        yield good | {name: "0" * 64}
        yield good | {name: value[::-1]}
        yield good | {name: "a" * 5000}
        for at in range(0, len(value), 7):  # a bit flipped
            yield good | {name: value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1 :]}
    now = int(time.time())
    for at in (0, now - 301, now - 86_400, now + 400, 10**12 - 1):
        yield signed(account, body, at=at)
    other = {"acme": "mini", "mini": "bank", "bank": "acme"}[account]
    yield signed(account, body, secret=SECRETS[other])
    yield signed(account, body, secret="")
    yield signed(other, body)
    yield signed(account, body + b" ")
    yield signed(account, body.replace(b"call.started", b"call.ended"))


@pytest.mark.parametrize("account", ["acme", "mini", "bank"])
def test_every_forgery_is_401_and_leaves_no_row(stack: Stack, account: str) -> None:
    mark = fresh_mark()
    body = call(mark)
    good = signed(account, body)
    tried = [one for one in forged(account, body) if one != good]
    for headers in tried:
        reply = exchange(stack.url, request(f"/hooks/{account}", body, headers))
        assert reply.status == 401, (headers, reply)
        assert json.loads(reply.body)["detail"]
    stack.fresh()
    assert len(tried) > 20
    assert kept(stack, mark) == []


def test_a_replay_within_its_time_is_a_copy(stack: Stack) -> None:
    mark = fresh_mark()
    headers = signed("acme", call(mark), at=int(time.time()) - 290)
    assert [post(stack.url, "acme", call(mark), headers).status_code for _ in range(5)] == [202] * 5
    stack.fresh()
    assert kept(stack, mark) == ["event"]
    assert stack.get(f"/v1/journeys/{mark}")["events"] == 1
    [event] = stack.get(f"/v1/journeys/{mark}/events")["events"]
    assert event["copies"] == 5


def test_other_refusals_are_problems_that_say_what_to_do(stack: Stack) -> None:
    body = call(fresh_mark())
    for method, path, headers, status in (
        ("POST", "/hooks/nosuch", {}, 404), ("POST", "/hooks/", {}, 404), ("POST", "/hooks/acme/", {}, 404), ("GET", "/hooks/acme", {}, 405),
        ("DELETE", "/hooks/acme", {}, 405), ("POST", "/hooks/acme", {"content-encoding": "br"}, 415),
    ):  # fmt: skip
        reply = stack.http.request(method, path, content=body, headers=signed("acme", body) | headers)
        assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json"), path
        assert reply.json()["detail"]
        assert status != 405 or reply.headers["allow"] == "POST"
    assert post(stack.url, "acme", b"a" * ((1 << 20) + 1)).status_code == 413


# ---------------------------------------------------------------- Kafka is away


def test_while_the_broker_is_stopped_deliveries_wait_on_our_disk(stack: Stack) -> None:
    marks = [fresh_mark() for _ in range(40)]
    broker = stack.up.pid("kafka")
    os.kill(broker, signal.SIGSTOP)
    try:
        for mark in marks:
            began = time.monotonic()
            assert post(stack.url, "acme", call(mark)).status_code == 202
            assert time.monotonic() - began < 4  # the deadline is 2 s
        assert post(stack.url, "acme", call(marks[0])).status_code == 202  # once more: a copy
    finally:
        os.kill(broker, signal.SIGCONT)
    eventually(lambda: all(kept(stack, mark) == ["event"] for mark in marks), "all that was taken is in the journal", 60)
    stack.fresh()
    [event] = stack.get(f"/v1/journeys/{marks[0]}/events")["events"]
    assert event["copies"] == 2
    assert {stack.get(f"/v1/journeys/{mark}/events")["events"][0]["copies"] for mark in marks[1:]} == {1}


@pytest.fixture
def alone(stack: Stack, tmp_path: Path) -> Iterator[Role]:
    """A receiver that has no Kafka."""
    with role(stack, "http", tmp_path, OWN, SAFIRI_KAFKA_BOOTSTRAP="127.0.0.1:1") as one:
        yield one


def test_a_killed_receivers_spool_is_adopted_by_the_next(stack: Stack, alone: Role) -> None:
    """A torn end costs only what was acknowledged to nobody."""
    marks = [fresh_mark() for _ in range(20)]
    for mark in marks:
        assert post(alone.url, "acme", call(mark)).status_code == 202
    alone.kill()
    assert alone.waiting() == 20
    segment = max((alone.data / "spool").glob("*.seg"))
    segment.write_bytes(segment.read_bytes() + segment.read_bytes()[:-7][:200])
    (alone.data / "spool" / "0-garbage.seg").write_bytes(os.urandom(5000))
    alone.env["SAFIRI_KAFKA_BOOTSTRAP"] = stack.kafka
    alone.start()
    eventually(lambda: not list((alone.data / "spool").glob("*.seg")), "the spool is empty")
    stack.fresh()
    assert [kept(stack, mark) for mark in marks] == [["event"]] * 20


def test_a_full_spool_is_503_and_promises_nothing(stack: Stack, alone: Role) -> None:
    answers = {}
    for _ in range(40):
        mark = fresh_mark()
        body = call(mark)[:-1] + b', "padding": "' + b"x" * 100_000 + b'"}'
        reply = post(alone.url, "acme", body)
        answers[mark] = reply.status_code
    assert set(answers.values()) == {202, 503}
    assert int(reply.headers["retry-after"]) > 0
    assert "full" in reply.json()["detail"]
    assert post(alone.url, "acme", call("x"), {}).status_code == 401  # the rest goes on
    assert httpx.get(f"{alone.url}/health/ready", timeout=10).status_code == 503
    taken = {mark for mark, status in answers.items() if status == 202}
    alone.kill()
    assert alone.waiting() == len(taken)
    alone.env["SAFIRI_KAFKA_BOOTSTRAP"] = stack.kafka
    alone.start()
    eventually(lambda: alone.waiting() == 0, "the spool is empty")
    stack.fresh()
    assert {mark for mark in answers if kept(stack, mark)} == taken


def test_a_spool_that_cannot_be_written_is_503(alone: Role) -> None:
    shutil.rmtree(alone.data / "spool")
    (alone.data / "spool").write_text("a file where a folder should be")
    reply = post(alone.url, "acme", call(fresh_mark()))
    assert (reply.status_code, "retry-after" in reply.headers) == (503, True)
    assert "cannot be written" in reply.json()["detail"]
    (alone.data / "spool").unlink()
    (alone.data / "spool").mkdir()
    assert post(alone.url, "acme", call(fresh_mark())).status_code == 202
