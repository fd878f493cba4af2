"""Hostile bodies, heads and connections against every receiver: a clear answer, nothing lost that was taken, and bounded memory."""

from __future__ import annotations

import json
import random
import string
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest
from hostile import BODIES, BOMB, INJECTIONS, JSON, SOUND, chunked, endless, event, of
from running import eventually
from whole import Stack
from wire import Reply, answer, connect, exchange, kept, request, rss, signed

SENDERS = ("acme", "mini", "at", "bank", "events")
MB = 1 << 20


class Sent(NamedTuple):
    kind: str
    to: str
    mark: str
    reply: Reply


class Storm(NamedTuple):
    sent: list[Sent]
    grown: dict[str, int]  # role -> bytes of memory
    beside: list[tuple[int, float]]  # what friendly senders were answered meanwhile, and how soon
    journeys: list[str]  # of all that was sent, hostile and friendly


def mark() -> str:
    return "".join(random.choices(string.ascii_lowercase, k=8))  # as long as hostile.MARK, so that sizes stay


def send(stack: Stack, to: str, kind: str) -> Sent:
    own = mark()
    body, content_type = of(kind, own)
    if to == "events":
        path, headers = "/v1/events", {"Authorization": f"Bearer {stack.key}"}
    else:
        path, headers = f"/hooks/{to}", signed(to, body)
    return Sent(kind, to, own, exchange(stack.url, request(path, body, headers | {"Content-Type": content_type})))


def sound(stack: Stack, account: str = "acme") -> int:
    body = SOUND.replace(b"MARKMARK", mark().encode())
    return exchange(stack.url, request(f"/hooks/{account}", body, signed(account, body) | {"Content-Type": JSON})).status


@pytest.fixture(scope="module")
def storm(stack: Stack) -> Storm:
    """Everything hostile to everybody, with friendly traffic beside it."""
    for to in SENDERS:  # what is loaded by the first of its kind is no growth
        send(stack, to, "null fields")
    stack.fresh()
    [(began,)] = stack.execute("SELECT clock_timestamp()")
    before = {name: rss(stack.up.pid(name)) for name in ("http", "projector")}
    beside: list[tuple[int, float]] = []
    over = threading.Event()

    def friendly() -> None:
        while not over.wait(0.02):
            began = time.monotonic()
            beside.append((sound(stack), time.monotonic() - began))

    friend = threading.Thread(target=friendly)
    friend.start()
    try:
        sent = [send(stack, to, kind) for kind in BODIES for to in SENDERS]
    finally:
        over.set()
        friend.join()
    stack.fresh()
    heard = "SELECT DISTINCT journey_id FROM live.calls WHERE call_sid IN (SELECT stream FROM safiri.journal WHERE known_at >= %s)"
    journeys = [str(row[0]) for row in stack.execute(heard, began)]
    return Storm(sent, {name: rss(stack.up.pid(name)) - before[name] for name in before}, beside, journeys)


@pytest.mark.parametrize("kind", BODIES)
def test_a_hostile_body_is_taken_and_kept_or_refused_with_a_problem(stack: Stack, storm: Storm, kind: str) -> None:
    for one in (one for one in storm.sent if one.kind == kind):
        if one.reply.status != 202:
            assert (one.to, one.reply.status) == ("events", 422), one
            assert json.loads(one.reply.body)["detail"], one
        elif one.to == "events":
            told = json.loads(one.reply.body)
            assert all(line["detail"] for line in told["rejected"]), one
            assert len(kept(stack, one.mark)) == told["accepted"], one
        else:
            assert one.reply.body == b""
            assert [bool(reason) for reason in kept(stack, one.mark)] == [True], one


def test_neither_memory_nor_friends_suffer(storm: Storm) -> None:
    assert max(storm.grown.values()) < 50 * MB, storm.grown
    assert {status for status, _ in storm.beside} == {202}
    took = sorted(seconds for _, seconds in storm.beside)
    assert took[len(took) * 9 // 10] < 1, took[-5:]


def test_what_was_kept_can_be_read_and_rebuilt(stack: Stack, storm: Storm) -> None:
    assert stack.execute("SELECT call_sid, reason FROM safiri.broken") == []
    cursor, listed = None, set()
    while True:
        page = stack.get("/v1/journeys", limit=200, **({"cursor": cursor} if cursor else {}))
        listed |= {row["journey_id"] for row in page["journeys"]}
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert len(storm.journeys) > 50
    assert listed >= set(storm.journeys)
    for journey in sorted(storm.journeys)[::3]:
        for part in ("", "/events"):
            stack.get(f"/v1/journeys/{journey}{part}")
    stack.cli("rebuild", "--verify")


def test_listings_for_people_obey_nothing(stack: Stack, storm: Storm) -> None:
    for args in (["calls", "--limit", "500"], ["quarantine", "ls"]):
        text = stack.cli(*args)
        assert not {char for char in text if not char.isprintable() and char != "\n"}, args


def test_logs_have_one_line_an_event_and_no_bodies(stack: Stack, storm: Storm) -> None:
    sent = {one.mark for one in storm.sent}
    for log in (stack.up.data / "logs").glob("*.log"):
        text = log.read_bytes()
        assert not {byte for byte in text if byte < 32 and byte not in b"\n\t"}, log
        assert b"\nTraceback" not in text, text[text.index(b"\nTraceback") - 500 :][:3000]
        assert b"event='forged'\n" not in text
        for secret in (stack.key, "whsec_", "mv_secret", "neutral_secret"):
            assert secret.encode() not in text, (log, secret)
        assert not [one for one in sent if one.encode() in text], log


# ---------------------------------------------------------------- heads and connections


HEADS = {
    "50 MB announced": (lambda: [request("/hooks/acme", b"", {"Content-Length": str(50 * MB)}, length=False), *endless(b"a" * 65536, 50 * MB)], {413}),
    "50 MB in chunks": (lambda: [request("/hooks/acme", b"", {"Transfer-Encoding": "chunked"}, length=False), *chunked(50 * MB)], {413}),
    "a gzip bomb": (lambda: [request("/hooks/acme", BOMB, signed("acme", BOMB) | {"Content-Encoding": "gzip"})], {415}),
    "a head of 64 KB": (lambda: [request("/hooks/acme", SOUND, signed("acme", SOUND) | {"X-Long": "a" * 65536})], {202, 431}),
    "a head without end": (lambda: [b"POST /hooks/acme HTTP/1.1\r\nX-Long: ", *endless(b"a" * 65536, 50 * MB)], {431, 0}),
    "headers without end": (lambda: [b"POST /hooks/acme HTTP/1.1\r\n", *endless(b"X-Many: 1\r\n" * 6000, 50 * MB)], {431, 0}),
    "CRLF in a header": (lambda: [request("/hooks/acme", SOUND, signed("acme", SOUND) | {"X-A": "b\r\nContent-Length: 3"})], {400}),
    "control characters in a header": (lambda: [request("/hooks/acme", SOUND, signed("acme", SOUND) | {"X-A": "\x00\x01\x7f"})], {400}),
    "two lengths": (lambda: [request("/hooks/acme", SOUND, signed("acme", SOUND) | {"Content-Length": "3"})], {400}),
    "length and chunks": (lambda: [request("/hooks/acme", SOUND, signed("acme", SOUND) | {"Transfer-Encoding": "chunked"})], {400}),
    "a length below nothing": (lambda: [request("/hooks/acme", b"", {"Content-Length": "-1"}, length=False)], {400}),
    "a length of 30 digits": (lambda: [request("/hooks/acme", b"", {"Content-Length": "9" * 30}, length=False)], {400}),
    "a path of bytes": (lambda: [b"POST /hooks/\xff\xfe HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"], {400}),
    "a path of escapes": (lambda: [request("/hooks/%00%ff%ed%a0%80%0d%0a", b"", {})], {404}),
    "a path upwards": (lambda: [request("/hooks/../v1/events", b"{}", {})], {404}),
    "a hundred parameters": (lambda: [request("/hooks/acme?token=a" + "&b=1" * 100, SOUND, signed("acme", SOUND))], {202}),
    "TLS": (lambda: [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"], {400}),
    "HTTP/1.0": (lambda: [request("/hooks/acme", SOUND, signed("acme", SOUND), version="1.0")], {202}),
    "HTTP/9.9": (lambda: [request("/hooks/acme", SOUND, signed("acme", SOUND), version="9.9")], {400}),
    "an upgrade": (lambda: [request("/hooks/acme", SOUND, signed("acme", SOUND) | {"Connection": "Upgrade", "Upgrade": "websocket"})], {202, 400, 401}),
    "CONNECT": (lambda: [b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n"], {400, 404, 405}),
}  # fmt: skip


@pytest.mark.parametrize("kind", HEADS)
def test_an_odd_head_gets_a_clear_answer_in_bounded_memory(stack: Stack, kind: str) -> None:
    pieces, allowed = HEADS[kind]
    before = rss(stack.up.pid("http"))
    assert exchange(stack.url, pieces()).status in allowed
    assert rss(stack.up.pid("http")) - before < 30 * MB
    assert sound(stack) == 202


def test_requests_in_a_pipeline_are_answered_one_by_one(stack: Stack) -> None:
    marks = [mark() for _ in range(20)]
    bodies = [SOUND.replace(b"MARKMARK", one.encode()) for one in marks]
    with connect(stack.url) as wire:
        wire.sendall(b"".join(request("/hooks/acme", body, signed("acme", body)) for body in bodies))
        answered = b""
        while answered.count(b"HTTP/1.1 202") < 20 and (more := wire.recv(65536)):
            answered += more
    stack.fresh()
    assert [kept(stack, one) for one in marks] == [["event"]] * 20


def test_who_goes_away_early_leaves_nothing(stack: Stack) -> None:
    marks = [mark() for _ in range(30)]
    for one in marks:
        body = SOUND.replace(b"MARKMARK", one.encode())
        with connect(stack.url) as wire:
            wire.sendall(request("/hooks/acme", body, signed("acme", body))[:-3])
    assert sound(stack) == 202
    stack.fresh()
    assert [kept(stack, one) for one in marks] == [[]] * 30


def test_slow_senders_hold_up_nobody(stack: Stack) -> None:
    body = SOUND * 100
    whole = request("/hooks/acme", body, signed("acme", body))
    with ExitStack() as held:
        slow = [held.enter_context(connect(stack.url)) for _ in range(300)]
        for n, wire in enumerate(slow):
            wire.sendall(whole[: 30 if n % 2 else -10])  # half of a head, or nearly all of a body
        began = time.monotonic()
        assert [sound(stack) for _ in range(20)] == [202] * 20
        assert time.monotonic() - began < 5
        slow[0].sendall(whole[-10:])
        assert answer(slow[0]).status == 202
    assert sound(stack) == 202


# ---------------------------------------------------------------- questions


def filters(stack: Stack) -> Iterator[tuple[str, str]]:
    document = stack.http.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for parameter in methods.get("get", {}).get("parameters", []):
            if parameter["in"] == "query":
                yield path.replace("{id}", "nobody").replace("{journey_id}", "nobody"), parameter["name"]


def test_every_filter_takes_texts_as_data(stack: Stack) -> None:
    asked = {"authorization": f"Bearer {stack.key}"}
    found = sorted(set(filters(stack)))
    assert len(found) > 5
    for path, name in found:
        for text in INJECTIONS.values():
            reply = stack.http.get(path, params={name: text}, headers=asked)
            assert reply.status_code in (200, 404, 422), (path, name, text[:40], reply.status_code)
            if reply.status_code == 200:
                assert not reply.json().get("journeys"), (path, name, text[:40])
    for text in INJECTIONS.values():
        reply = stack.http.get(f"/v1/journeys/{text.encode('utf-8', 'replace').hex()}", headers=asked)
        assert reply.status_code == 404
        assert stack.http.get("/v1/journeys", headers={"authorization": f"Bearer {text!r}".encode()}).status_code == 401


def test_texts_come_back_as_they_went_in(stack: Stack) -> None:
    """But for control characters, which no field keeps."""
    plain = {name: text for name, text in INJECTIONS.items() if text.isprintable() and len(text) <= 256}
    for name, text in plain.items():
        sid = f"text-{mark()}"
        stack.events(
            {"type": "call.started", "call_sid": sid, "occurred_at": "2026-09-01T08:00:00Z", "direction": "inbound", "from": text, "attributes": {"note": text}},
            {"type": "queue.entered", "call_sid": sid, "occurred_at": "2026-09-01T08:00:01Z", "queue": text},
        )  # fmt: skip
        told = eventually(lambda sid=sid: _whole(stack, sid), name)
        assert (told["caller"], told["attributes"]["note"], told["queue_visits"][0]["queue"]) == (text, text, text)


def _whole(stack: Stack, sid: str) -> dict | None:
    reply = stack.http.get(f"/v1/journeys/{sid}", headers={"authorization": f"Bearer {stack.key}"})
    return reply.json() if reply.status_code == 200 and reply.json()["events"] == 2 else None


def test_an_event_of_ours_is_refused_or_taken_whatever_its_fields_hold(stack: Stack) -> None:
    """The same texts, in every field of a neutral event, one at a time."""
    base = json.loads(event("x"))
    lines = [json.dumps(base | {name: text}) for name in base for text in INJECTIONS.values()]
    headers = {"authorization": f"Bearer {stack.key}", "content-type": "application/x-ndjson"}
    reply = stack.http.post("/v1/events", content="\n".join(lines), headers=headers)
    assert reply.status_code == 202
    assert reply.json()["accepted"] + len(reply.json()["rejected"]) == len(lines)
