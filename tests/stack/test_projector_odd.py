"""What no sender should send and no log should hold: put aside once with the reason, or kept; never a stop, never a loss."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from projecting import Bench, copy, cut, delivery, story

from calls.clock import rfc3339
from calls.envelope import Envelope, encode
from projections import refold
from projections.bisecting import project_bisecting
from projections.project import Fenced, Record
from projections.rebuild import rebuild
from tests.given import NOON

GOOD = story("+0 call.started direction=inbound\n+5 queue.entered queue=q\n+9 call.ended")


def spoilt(**fields: Any) -> bytes:
    """A good envelope's JSON with other fields."""
    return json.dumps(json.loads(encode(GOOD[0])) | {"receipt": uuid.uuid4().hex} | fields).encode()


POISON: dict[str, bytes] = {
    "not JSON": b"\x00\x01 nonsense",
    "not UTF-8": b'{"tenant": "\xff\xfe"}',
    "empty": b"",
    "another's JSON": b'{"hello": "world"}',
    "nested": b"[" * 100_000,
    "truncated": encode(GOOD[0])[:-20],
    "a wrong type": spoilt(received_at="yesterday"),
    "a time that is none": spoilt(received_at=10**18),
    "a time before time": spoilt(received_at=-(10**17)),
    "a number beyond all": spoilt(received_at=10**30),
    "a wrong receipt": spoilt(receipt="no-uuid"),
    "a wrong digest": spoilt(digest="abc"),
    "no stream": spoilt(stream=""),
    "NUL in a name": spoilt(stream="a\0b"),
    "NUL in another text": spoilt(source="a\0b", signature="\0", import_id="\0"),
    "a name too long to be a key": spoilt(stream="".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz", k=1900)), event_id="".join(random.Random(2).choices("abcdefghijklmnopqrstuvwxyz", k=1900))),
    "names of four bytes a character": spoilt(stream="".join(chr(random.Random(n).randrange(0x10000, 0x1F000)) for n in range(1500))),
}  # fmt: skip


@pytest.mark.parametrize("kind", POISON)
def test_a_poison_record_is_put_aside_once_and_stops_nothing(bench: Bench, kind: str) -> None:
    log = bench.log([GOOD[0], POISON[kind], GOOD[1], POISON[kind], GOOD[2]])
    projected = [project_bisecting(bench.projector(), list(batch)) for batch in cut(log, 2)]
    aside = bench.rows('SELECT reason, topic, "offset" FROM safiri.quarantine ORDER BY topic, partition, "offset"')
    assert bench.journey()["events"] == 3
    assert aside and all(reason for reason, _, _ in aside)
    assert len(aside) == len(set(aside)) <= 2, aside  # two records; of two with one receipt, one
    assert sum(len(one.poison) for one in projected) == 2
    for batch in cut(log, 3):  # again from the beginning: nothing is put aside twice
        project_bisecting(bench.projector(), list(batch))
    assert len(bench.rows("SELECT 1 FROM safiri.quarantine")) == len(aside)
    bench.true()


def test_all_poison_at_once(bench: Bench) -> None:
    bench.project([*POISON.values(), *GOOD])
    assert bench.journey()["state"] == "ended"
    assert len(bench.rows("SELECT 1 FROM safiri.quarantine")) == len(POISON)


def test_a_tombstone_says_nothing(bench: Bench) -> None:
    record = msgspec.structs.replace(bench.log([b""])[0], value=None)
    bench.projector().project([record])
    assert bench.rows("SELECT count(*) FROM safiri.quarantine") == [(0,)]


def test_a_delivery_for_quarantine_is_kept_as_it_came(bench: Bench) -> None:
    one = delivery(b"\xff\x00 nobody knows", provider="sautikit")
    bench.project([one, one, copy(one)])
    kept = bench.rows("SELECT body, tenant, account, reason FROM safiri.quarantine")
    assert len(kept) == 2
    assert kept[0][:3] == (b"\xff\x00 nobody knows", "default", "acme")
    assert kept[0][3]


# ---------------------------------------------------------------- positions


def test_a_gap_is_fenced_and_what_was_projected_is_skipped(bench: Bench) -> None:
    log = bench.log(GOOD)
    projector = bench.projector()
    with pytest.raises(Fenced):
        projector.project(log[1:])
    assert bench.journeys() == []
    projector.project(log[:2])
    assert projector.project(log[:2]).arrivals == []
    assert len(projector.project(log).arrivals) == 1
    assert bench.journey()["events"] == 3


def test_a_partition_that_nobody_took_is_fenced(bench: Bench) -> None:
    record = msgspec.structs.replace(bench.log(GOOD)[0], partition=99)
    with pytest.raises(Fenced):
        bench.projector().project([record])


def test_records_of_streams_that_are_no_calls_are_journalled(bench: Bench) -> None:
    agent = delivery(json.dumps({"type": "agent.state", "agent": "amina", "state": "available", "occurred_at": rfc3339(NOON)}).encode())
    account = delivery(json.dumps({"type": "wallet.top_up", "amount_minor": 5, "occurred_at": rfc3339(NOON)}).encode())
    bench.project([agent, account, copy(agent)])
    assert bench.rows("SELECT stream_kind, stream, topic FROM safiri.journal ORDER BY 1") == [
        ("account", "acme", "account-events"), ("agent", "amina", "agent-events"),
    ]  # fmt: skip
    assert bench.journeys() == []


# ---------------------------------------------------------------- what a row can take


def said(**fields: Any) -> Envelope:
    event = {"type": "call.started", "call_sid": "c", "occurred_at": rfc3339(NOON), "event_id": uuid.uuid4().hex} | fields
    return delivery(json.dumps(event).encode())


WIDE = "".join(chr(random.Random(n).randrange(0x10000, 0x1F000)) for n in range(256))
ODD: dict[str, list[Envelope]] = {
    "a priority beyond 32 bits": [said(type="queue.entered", queue="q", priority=2**63 - 1)],
    "ids of 256 wide characters": [said(call_sid=WIDE, event_id=WIDE[::-1])],
    "names of 256 wide characters": [said(type="leg.answered", leg=WIDE, agent=WIDE[::-1], queue=WIDE), said(type="queue.entered", queue=WIDE)],
    "a label of 5,000 characters": [said(client_request_id="".join(random.Random(3).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=5000)))],
    "a cause of a million": [said(type="call.ended", cause="x" * 900_000)],
    "attributes": [said(attributes={"a\\u0000": "b\\u0000", "n": 2**63 - 1, "f": 1e308, "": "", "é": None, "t": True})],
    "the first and last moments": [said(occurred_at="1970-01-01T00:00:00Z"), said(type="call.ended", occurred_at="2199-12-31T23:59:59.999999Z")],
    "the longest durations": [said(type="call.ended", duration_ms=2**63 - 1), said(type="recording.ready", duration_ms=2**63 - 1)],
    "markup and SQL": [said(**{"from": "<script>", "to": "'; DROP SCHEMA safiri CASCADE; --"}, attributes={"=cmd()": "%s %(x)s {}"})],
    "the leg called caller": [said(type="leg.answered", leg="caller"), said(type="leg.ended", leg="caller"), said(type="hold.started", leg="caller")],
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
def test_whatever_the_door_lets_in_the_tables_can_take(bench: Bench, kind: str) -> None:
    bench.project(ODD[kind])
    assert bench.rows("SELECT reason FROM safiri.quarantine") == []
    assert bench.journey()["events"] == len(ODD[kind])
    bench.true()


@pytest.mark.parametrize("raw", [
    b'{"sessionId": "HD_1", "callSessionState": "Ringing", "callerNumber": "\\u0000+25471\\u00002345678", "destinationNumber": "a\\u0000b"}',
    b'{"sessionId": "HD_1", "callSessionState": "\\ud800", "callerNumber": "\\udfff"}',
    b"sessionId=HD_1&callSessionState=%00&callerNumber=%ED%A0%80&destinationNumber=%FF",
    b'{"sessionId": "HD_1", "dialDestinationNumber": "\\u0000", "hangupCause": "\\u0000", "clientRequestId": "a\\u0000b", "dtmfDigits": "1\\u0000"}',
])  # fmt: skip
def test_nul_and_lone_surrogates_in_every_text(bench: Bench, raw: bytes) -> None:
    made = delivery(raw, provider="sautikit", content_type="application/json" if raw[:1] == b"{" else "application/x-www-form-urlencoded")
    bench.project([made, copy(made)])
    kept = len(bench.rows("SELECT 1 FROM safiri.journal")) + len(bench.rows("SELECT 1 FROM safiri.quarantine"))
    assert kept >= 1
    bench.true()


def test_bodies_of_one_mebibyte(bench: Bench) -> None:
    for n, filler in enumerate((b"x", b"\x01", b"\xff", "é".encode())):
        raw = b'{"sessionId": "HD_%d", "callSessionState": "Ringing", "note": "' % n
        raw += filler * ((1_048_576 - len(raw) - 2) // len(filler)) + b'"}'
        bench.project([delivery(raw, provider="sautikit")])
    sizes = bench.rows("SELECT length(body) FROM safiri.journal UNION ALL SELECT length(body) FROM safiri.quarantine")
    assert len(sizes) == 4
    assert all(size > 1_048_000 for (size,) in sizes)


# ---------------------------------------------------------------- bugs of ours


def test_a_fold_that_raises_breaks_one_journey_and_the_next_rebuild_mends_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    real = refold.fold

    def fails(tenant: str, deliveries: list[Any], *given: Any) -> Any:
        if any(one.stream == "bad" for one in deliveries):
            raise KeyError("our bug\0")
        return real(tenant, deliveries, *given)

    monkeypatch.setattr(refold, "fold", fails)
    bench.project(story("+0 call.started @good\n+0 call.started @bad\n+5 call.ended @good\n+5 call.ended @bad"))
    told = {one["calls"][0]["call_sid"] if one["calls"] else "broken": one for one in bench.journeys()}
    assert told["good"]["state"] == "ended"
    assert [one["code"] for one in told["broken"]["anomalies"]] == ["fold_failed"]
    assert [sid for (sid,) in bench.rows("SELECT call_sid FROM safiri.broken")] == ["bad"]
    assert len(bench.rows("SELECT 1 FROM safiri.journal")) == 4
    monkeypatch.setattr(refold, "fold", real)
    bench.project([copy(one) for one in story("+0 call.started @bad")] + story("+1 call.answered @bad id=new"))
    assert {one["state"] for one in bench.journeys()} == {"ended"}
    bench.true()
    rebuild(bench.url)
    assert bench.rows("SELECT call_sid FROM safiri.broken") == []


def test_a_parser_that_raises_keeps_the_delivery(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from calls.providers import PROVIDERS

    def fails(_: object) -> Any:
        raise ZeroDivisionError

    monkeypatch.setitem(PROVIDERS, "neutral", msgspec.structs.replace(PROVIDERS["neutral"], parse=fails))
    bench.project(GOOD)
    assert [one["code"] for one in bench.journey()["anomalies"]] == ["unknown_event"] * 3


def test_one_record_that_no_statement_can_take_is_put_aside_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from projections import journal

    real: Callable[..., Any] = journal.append

    def fails(cursor: Any, arrivals: Any, *rest: Any) -> Any:
        if any(one.envelope.event_id == "event-1" for one in arrivals):
            raise RuntimeError("a bug")
        return real(cursor, arrivals, *rest)

    monkeypatch.setattr(journal, "append", fails)
    bench.project(GOOD)
    assert bench.journey()["events"] == 2
    assert [reason for (reason,) in bench.rows("SELECT reason FROM safiri.quarantine")] == ["projecting it failed: RuntimeError: a bug"]


def test_records_have_what_the_consumer_gives() -> None:
    assert Record.__struct_fields__ == ("topic", "partition", "offset", "value", "key", "timestamp_ms")
