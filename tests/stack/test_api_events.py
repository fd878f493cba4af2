"""The deliveries behind a journey, as they came and as they were read; on a real Postgres."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from asking import NOON, SECOND, Desk, journey, neutral, opened, problem

from calls.clock import rfc3339, to_datetime


@pytest.fixture(scope="module")
def desk(database_url: str) -> Iterator[Desk]:
    with opened(database_url) as made:
        yield made


def test_deliveries_are_typed_and_raw_in_reading_order(desk: Desk) -> None:
    sid = str(uuid.uuid4())
    one = journey(desk, sid=sid)
    desk.store(one)
    bodies = [
        neutral("call.started", sid, NOON),
        neutral("call.answered", sid, NOON),
        neutral("call.ended", sid, NOON + SECOND, ended_by="agent"),
    ]
    for body in reversed(bodies):
        row = desk.journal(sid, body)
    with psycopg.connect(desk.url) as connection:  # call.started came three times, one of them noted twice
        identity = [row[name] for name in ("tenant", "stream", "account", "event_id", "digest", "stream_kind")]
        for receipt in (uuid.uuid4().bytes, uuid.uuid4().bytes, row["receipt"]):
            connection.execute("INSERT INTO safiri.journal_copies VALUES (%s, %s, %s, %s, %s, %s, %s, now(), 'key')", [*identity, receipt])
    told = desk.get(f"/v1/journeys/{sid}/events").json()["events"]
    assert [item["raw"] for item in told] == [json.loads(body) for body in bodies]
    assert [item["type"] for item in told] == ["call.started", "call.answered", "call.ended"]
    assert [item["copies"] for item in told] == [3, 1, 1]
    last = told[-1]
    assert (
        last["event"]
        == last["facts"][0]
        == {"type": "call.ended", "call_sid": sid, "occurred_at": rfc3339(NOON + SECOND), "ended_by": "agent"}
    )
    assert last["kafka"] == {"topic": "call-events", "partition": 3, "offset": 7}
    assert (last["call_sid"], last["signature"], last["received_at"], last["stands"]) == (sid, "key", rfc3339(NOON), True)


def test_of_two_bodies_under_one_id_the_first_received_stands(desk: Desk) -> None:
    sid = str(uuid.uuid4())
    desk.store(journey(desk, sid=sid))
    for n, received in enumerate((NOON + SECOND, NOON)):
        desk.journal(sid, neutral("call.answered", sid, NOON + n), event_id="twice", received_at=to_datetime(received))
    told = desk.get(f"/v1/journeys/{sid}/events").json()["events"]
    assert [item["stands"] for item in told] == [False, True]


@pytest.mark.parametrize(("body", "content_type", "raw"), [
    (b'\xef\xbb\xbf {"a": 1} ', "application/json", '{"a": 1}'),
    (b'{"n": 123456789012345678901234567890.10, "s": "\\ud800"}', "application/json", '{"n": 123456789012345678901234567890.10, "s": "\\ud800"}'),
    (b'{"a": NaN}', "application/json", '{"text":"{\\"a\\": NaN}"}'),
    (b"[1]", "application/json", '{"text":"[1]"}'),
    (b"[" * 100_000, "application/json", None),
    (b"a=1&b=%20&a=2&c=", "application/x-www-form-urlencoded; charset=utf-8", '{"a":["1","2"],"b":" ","c":""}'),
    (b"\xff\x00", "text/plain", '{"base64":"/wA="}'),
    (b"nul \x00", "text/plain", '{"text":"nul \\u0000"}'),
    (b"", "", '{"text":""}'),
])  # fmt: skip
def test_raw_shows_any_body_faithfully(desk: Desk, body: bytes, content_type: str, raw: str | None) -> None:
    sid = str(uuid.uuid4())
    desk.store(journey(desk, sid=sid))
    desk.journal(sid, body, content_type=content_type, provider="nosuch")
    reply = desk.get(f"/v1/journeys/{sid}/events")
    assert reply.status_code == 200
    assert raw is None or f'"raw":{raw}}}' in reply.text
    assert reply.json()["events"][0]["type"] == "unrecognised"


def test_long_journeys_are_paged(desk: Desk) -> None:
    sid = str(uuid.uuid4())
    desk.store(journey(desk, sid=sid))
    for n in range(7):
        desk.journal(sid, neutral("menu.digits", sid, NOON + (n // 2) * SECOND, digits=str(n)))
    whole = desk.get(f"/v1/journeys/{sid}/events").json()
    assert whole["next_cursor"] is None
    seen, cursor = [], None
    while True:
        told = desk.get(f"/v1/journeys/{sid}/events", limit=2, cursor=cursor).json()
        seen += told["events"]
        cursor = told["next_cursor"]
        if cursor is None:
            break
    assert seen == whole["events"]
    for query in ({"limit": 0}, {"limit": 10_001}, {"cursor": "x"}, {"limit": "two"}):
        problem(desk.get(f"/v1/journeys/{sid}/events", **query), 422)
