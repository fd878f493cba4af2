"""The consumer on the real broker, inside the running stack: odd records, workers that come and go, parts that are killed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from projecting import delivery
from running import eventually
from whole import Stack

from calls.clock import rfc3339
from calls.envelope import TOPICS, Envelope, encode
from ingest.publish import Appender
from projections.consumer import Consumption
from projections.project import Fenced, Projected
from projections.refold import Outcome
from runtime import kafka
from runtime.embedded import spawn
from runtime.problems import Retry
from runtime.settings import Settings
from tests.given import NOON, SECOND

LOG = ("call-events", "agent-events", "account-events", "quarantine")


def calls(count: int, *, each: int = 5) -> list[Envelope]:
    """Deliveries of so many calls, in no order."""
    mark, made = uuid.uuid4().hex[:8], []
    for n in range(count):
        kinds = ["call.started", *["call.answered"] * (each - 2), "call.ended"]
        for after, kind in enumerate(kinds):
            event = {"type": kind, "call_sid": f"{mark}-{n}", "event_id": f"{kind}{after}", "occurred_at": rfc3339(NOON + after * SECOND)}
            made.append(delivery(json.dumps(event).encode(), account="bank"))
    random.Random(count).shuffle(made)
    return made


def append(stack: Stack, envelopes: Sequence[Envelope]) -> None:
    appender = Appender(stack.kafka)
    appender.append(envelopes)
    appender.flush()


def told(stack: Stack, envelopes: Sequence[Envelope]) -> None:
    """Asserts that each of these deliveries is in the journal once, and in its journey."""
    stack.fresh(90)
    mark = envelopes[0].stream.split("-")[0] + "-%"
    assert stack.execute("SELECT count(*) FROM safiri.journal WHERE stream LIKE %s", mark) == [(len(envelopes),)]
    found = stack.execute(
        "SELECT sum(j.events), count(*) FROM live.journeys j JOIN live.calls c USING (tenant, journey_id) WHERE c.call_sid LIKE %s", mark
    )
    assert found == [(len(envelopes), len({one.stream for one in envelopes}))]


# ---------------------------------------------------------------- settings that lose data by default


def test_what_the_consumer_is_told() -> None:
    assert kafka.CONSUME["auto.offset.reset"] == "earliest"
    assert kafka.CONSUME["enable.auto.commit"] is False
    assert kafka.CONSUME["enable.auto.offset.store"] is False
    assert kafka.CONSUME["allow.auto.create.topics"] is False
    assert kafka.CONSUME["partition.assignment.strategy"] == "cooperative-sticky"
    assert kafka.LARGEST == 4 << 20
    assert (kafka.PRODUCE["acks"], kafka.PRODUCE["enable.idempotence"], kafka.PRODUCE["message.max.bytes"]) == ("all", True, 4 << 20)


def test_what_the_broker_has(stack: Stack) -> None:
    admin = KafkaAdminClient(bootstrap_servers=stack.kafka)
    found = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in LOG])
    admin.close()
    text = json.dumps(found, default=str)
    assert text.count("LogAppendTime") >= len(LOG)
    for wanted in ("4194304", "-1"):
        assert text.count(f'"{wanted}"') >= len(LOG), wanted
    topics = kafka.Watcher(stack.kafka).topics()
    assert {name: len(topics[name]["partitions"]) for name in LOG} == {
        "call-events": 12,
        "agent-events": 4,
        "account-events": 4,
        "quarantine": 1,
    }


# ---------------------------------------------------------------- odd records


def test_headers_that_are_no_text_and_records_that_are_no_envelopes(stack: Stack) -> None:
    before = stack.execute("SELECT count(*) FROM safiri.quarantine")[0][0]
    good = calls(20)
    producer = Producer({"bootstrap.servers": stack.kafka} | kafka.PRODUCE)
    for n, one in enumerate(good):
        producer.produce(TOPICS["call"], encode(one), one.stream, headers=[("x-\u00e9", b"\xff\xfe"), ("empty", None)])
        if n % 5 == 0:
            producer.produce(TOPICS["call"], b"\xff nonsense %d" % n, b"\xff\xfe", headers={"h": b"\x80"})
        if n == 7:
            producer.produce(TOPICS["call"], None, one.stream)
    assert producer.flush(30) == 0
    told(stack, good)
    assert stack.execute("SELECT count(*) FROM safiri.quarantine")[0][0] == before + 20


def test_a_record_of_four_mebibytes(stack: Stack) -> None:
    raw = b'{"sessionId": "HD_%s", "callSessionState": "Ringing", "note": "' % uuid.uuid4().hex.encode()
    one = delivery(raw + b"\xff" * (1_048_576 - len(raw) - 2) + b'"}', provider="sautikit")
    append(stack, [one])
    stack.fresh()
    kept = "SELECT length(body) FROM safiri.journal WHERE receipt = %s UNION ALL SELECT length(body) FROM safiri.quarantine WHERE id = %s"
    assert stack.execute(kept, uuid.UUID(one.receipt).bytes, uuid.UUID(one.receipt)) == [(1_048_576,)]


# ---------------------------------------------------------------- nothing is skipped


class Wire:
    """A consumer that only notes where it is told to go."""

    def __init__(self) -> None:
        self.sought: dict[tuple[str, int], int] = {}
        self.consumer, self._thread_pool = self, ThreadPoolExecutor(1)

    def seek(self, where: TopicPartition) -> None:
        self.sought[where.topic, where.partition] = where.offset

    def commit(self, **_: Any) -> None:
        raise AssertionError("nothing was projected, so nothing may be acknowledged")


class Message:
    def __init__(self, partition: int, offset: int) -> None:
        self.partition, self.offset = (lambda: partition), (lambda: offset)

    topic, value, key, timestamp = (lambda _: "call-events"), (lambda _: b""), (lambda _: b""), (lambda _: (1, 0))


@pytest.mark.parametrize("error", [Retry("away"), Fenced("behind"), RuntimeError("a bug"), MemoryError()])
def test_whatever_is_raised_the_batch_is_held_and_comes_again(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    made = Consumption(Settings(), bootstrap="127.0.0.1:1", database_url="postgresql://127.0.0.1:1/none")
    wire = Wire()
    monkeypatch.setattr(type(made.subscriber), "consumer", wire, raising=False)
    monkeypatch.setattr(made, "_take", lambda places: dict.fromkeys(places, 40))

    def project(_: object) -> Projected:
        raise error

    monkeypatch.setattr(made, "_project", project)
    message = type("Batch", (), {"raw_message": [Message(0, 42), Message(0, 41), Message(3, 7)]})()
    asyncio.run(made._handle(message))  # nothing leaves it
    first = {("call-events", 0): 41, ("call-events", 3): 7}
    assert wire.sought == (first if isinstance(error, Retry) else dict.fromkeys(first, 40))
    assert made.failures == 1
    wire.commit = lambda **_: None  # type: ignore[method-assign]
    monkeypatch.setattr(made, "_project", lambda _: Projected([], [], Outcome([], [], [])))
    asyncio.run(made._handle(message))
    assert made.failures == 0


def test_postgres_that_dies_while_positions_are_asked_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It dies in the middle of a statement, not only before a connection."""
    import psycopg

    from projections import consumer

    made = Consumption(Settings(), bootstrap="127.0.0.1:1", database_url="postgresql://127.0.0.1:1/none")
    monkeypatch.setattr(made.watcher, "identity", lambda: ("cluster", {}))
    monkeypatch.setattr(made.watcher, "beginnings", dict)

    @contextmanager
    def dying(*_: object, **__: object) -> Iterator[object]:
        raise psycopg.OperationalError("server closed the connection unexpectedly")
        yield

    monkeypatch.setattr(consumer, "connect", dying)
    with pytest.raises(Retry):
        made._take([("call-events", 0)])


# ---------------------------------------------------------------- workers come and go


@contextmanager
def worker(stack: Stack) -> Iterator[subprocess.Popen[bytes]]:
    """One more `safiri serve projector` on the stack's addresses."""
    env = stack.up.env | {
        "SAFIRI_DATABASE_URL": stack.database_url,
        "SAFIRI_KAFKA_BOOTSTRAP": stack.kafka,
        "SAFIRI_DATA_DIR": str(stack.up.data),
    }
    command = spawn.shimmed([sys.executable, "-P", "-m", "cli", "serve", "projector"], death=signal.SIGKILL)
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def projectors(stack: Stack) -> int:
    return int(
        stack.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'safiri projector' AND datname = 'safiri'")[0][0]
    )


def test_workers_that_join_leave_and_are_killed_lose_nothing(stack: Stack) -> None:
    stack.fresh()
    events = calls(1500, each=8)
    third = len(events) // 3
    append(stack, events[:third])
    with worker(stack) as one:
        append(stack, events[third : 2 * third])
        eventually(lambda: projectors(stack) >= 2, "the second projector works", 40)
        append(stack, events[2 * third :])
        one.send_signal(signal.SIGTERM)
        one.wait(20)
    more = calls(300)
    with worker(stack):
        append(stack, more)
    told(stack, events)
    told(stack, more)


def test_the_groups_offsets_in_kafka_follow_those_in_postgres(stack: Stack) -> None:
    append(stack, calls(30))
    stack.fresh()
    ours = {(topic, n): after for topic, n, after in stack.execute("SELECT topic, partition, next FROM safiri.positions") if after}
    reader = Consumer({"bootstrap.servers": stack.kafka, "group.id": kafka.GROUP})

    def agree() -> bool:
        asked = reader.committed([TopicPartition(*where) for where in ours], timeout=10)
        return {(one.topic, one.partition): one.offset for one in asked} == ours

    eventually(agree, "Kafka's own tools see the same", 20)
    reader.close()
    assert {where: end for where, end in kafka.Watcher(stack.kafka).ends().items() if end} == ours


# ---------------------------------------------------------------- kill -9


@pytest.mark.parametrize("part", ["projector", "postgres", "kafka"])
def test_a_killed_part_comes_back_and_nothing_is_lost_or_doubled(stack: Stack, part: str) -> None:
    stack.fresh()
    quarantined = stack.execute("SELECT count(*) FROM safiri.quarantine")
    events = calls(400)
    append(stack, events[: len(events) // 2])
    dead = stack.up.pid(part)
    os.kill(dead, signal.SIGKILL)
    eventually(lambda: stack.up.pid(part) != dead, f"{part} is started again", 60)
    append(stack, events[len(events) // 2 :])
    told(stack, events)
    assert stack.execute("SELECT count(*) FROM safiri.quarantine") == quarantined


def test_http_killed_under_traffic_keeps_what_it_answered_202(stack: Stack) -> None:
    mark, taken = uuid.uuid4().hex[:8], []
    kill: Callable[[], None] = lambda: os.kill(stack.up.pid("http"), signal.SIGKILL)  # noqa: E731
    for n in range(120):
        if n in (40, 90):
            kill()
        event = {"kind": "call.started", "event_id": f"{mark}-{n}", "occurred_at": rfc3339(NOON), "data": {"call_id": f"{mark}-{n}"}}
        body = json.dumps(event).encode()

        def sent(body: bytes = body) -> bool:
            try:
                return stack.post("acme", body).status_code == 202
            except Exception:  # noqa: BLE001  nobody there: the provider tries again
                return False

        eventually(sent, "it is taken in the end", 60)
        taken.append(f"{mark}-{n}")
    stack.fresh()
    assert stack.execute("SELECT count(*) FROM live.calls WHERE call_sid LIKE %s", f"{mark}-%") == [(len(taken),)]


def test_in_the_end_a_rebuild_would_change_nothing(stack: Stack) -> None:
    stack.fresh()
    assert json.loads(stack.cli("rebuild", "--verify", "--json"))
