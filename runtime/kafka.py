"""The log: every Kafka setting in one place, because the defaults lose data.

Producing: acks=all and idempotent, awaited by asyncio (`Publisher`). Consuming: FastStream with a raw parser and manual
acknowledgement (`projections/consumer.py` uses `CONSUME`). Administration: kafka-python (`ensure_topics`, `Watcher`).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from kafka import KafkaAdminClient
from kafka import TopicPartition as AdminPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic, OffsetSpec
from kafka.errors import KafkaConfigurationError, TopicAlreadyExistsError
from kafka.errors import KafkaError as AdminError

from calls.clock import Micros
from calls.envelope import TOPICS
from runtime.problems import Retry

log = logging.getLogger(__name__)
logging.getLogger("kafka").setLevel(logging.ERROR)  # a broker that is away is told by our own errors

LARGEST = 4 << 20  # a record: a 1 MiB body in its envelope, with room for escapes
GROUP = "safiri-projector"
LOG_TOPICS = tuple(TOPICS.values())  # what the projector reads
UPDATES = "journey-updates"
SWEEP_S = 0.2
ASK_S = 0.001  # between two looks for delivery reports

PRODUCE: dict[str, Any] = {
    "acks": "all",
    "enable.idempotence": True,
    "compression.type": "lz4",
    "linger.ms": 3,
    "message.max.bytes": LARGEST,
    "queue.buffering.max.kbytes": 65536,
    "reconnect.backoff.max.ms": 500,
    "partitioner": "murmur2_random",  # the same key lands where Java clients would put it
    "log.connection.close": False,
}
CONSUME: dict[str, Any] = {
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "allow.auto.create.topics": False,
    "fetch.queue.backoff.ms": 5,
    "fetch.max.bytes": 1 << 20,  # compressed; a larger record comes alone. What is fetched ahead is memory that never comes back
    "max.partition.fetch.bytes": 256 << 10,
    "queued.max.messages.kbytes": 8192,
    "reconnect.backoff.max.ms": 500,
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": 10000,
    "max.poll.interval.ms": 300000,
}
TOPIC: dict[str, str] = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(LARGEST)}  # must be so
AT_FIRST: dict[str, str] = {"retention.ms": "-1"}  # how long the log keeps what the journal has is the operator's choice


# ---------------------------------------------------------------- producing


class Publisher:
    """Produces from asyncio: what `send` returns is done when the broker has the record on all replicas.

    Delivery reports are asked for by the loop itself while any are owed. A thread that waits for them would fight with the
    loop for the interpreter at every single record.
    """

    def __init__(self, bootstrap: str, deadline_ms: int):
        settings = PRODUCE | {"bootstrap.servers": bootstrap, "delivery.timeout.ms": max(1000, deadline_ms)}
        self._producer = Producer(settings, logger=log)
        self._loop = asyncio.get_running_loop()
        self._stopping = self._asking = False
        self._deadline_s = deadline_ms / 1000 + 0.5  # librdkafka keeps its own; this one holds whatever happens to it
        self._unanswered: deque[tuple[float, asyncio.Future[None]]] = deque()
        self.fatal = False  # the producer is beyond repair: make another
        self._sweep()

    def send(self, topic: str, key: str, value: bytes) -> asyncio.Future[None]:
        """A future that is done when the record is acknowledged; it fails with Retry where it could not be."""
        done: asyncio.Future[None] = self._loop.create_future()
        self._unanswered.append((self._loop.time() + self._deadline_s, done))
        try:
            self._producer.produce(topic, value, key.encode("utf-8", "surrogatepass"), on_delivery=partial(self._reported, done))
        except (BufferError, KafkaException) as error:
            done.set_exception(Retry(f"Kafka takes no more: {error}"))
        if not self._asking:
            self._asking = True
            self._loop.call_later(ASK_S, self._ask)
        return done

    def _ask(self) -> None:
        """Serves the reports that have come; again in a moment while some are owed."""
        self._producer.poll(0)
        self._asking = bool(self._unanswered) and not self._stopping
        if self._asking:
            while self._unanswered and self._unanswered[0][1].done():
                self._unanswered.popleft()
            self._loop.call_later(ASK_S, self._ask)

    def _reported(self, done: asyncio.Future[None], error: KafkaError | None, _: Message) -> None:
        if error is not None and error.fatal():
            self.fatal = True
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(Retry(f"Kafka did not acknowledge: {error.str()}"))

    def _sweep(self) -> None:
        """Fails what nobody reported in time. One timer for all: one for each record would cost more than sending it."""
        self._producer.poll(0)  # also says what librdkafka has to say while nothing is sent
        now = self._loop.time()
        while self._unanswered and (self._unanswered[0][1].done() or self._unanswered[0][0] < now):
            _, done = self._unanswered.popleft()
            if not done.done():
                done.set_exception(Retry("Kafka did not answer in time"))
        if not self._stopping:
            self._loop.call_later(SWEEP_S, self._sweep)

    async def close(self) -> None:
        """Waits for what is under way, 5 s at most."""
        end = self._loop.time() + 5
        while len(self._producer) and self._loop.time() < end:
            self._producer.poll(0)
            await asyncio.sleep(ASK_S)
        self._stopping = True


# ---------------------------------------------------------------- administration


Partition = tuple[str, int]


class Watcher:
    """Looks at the log without reading it. Every question raises Retry where Kafka does not answer; thread-safe."""

    def __init__(self, bootstrap: str):
        self.bootstrap = bootstrap
        self._admin: KafkaAdminClient | None = None
        self._lock = threading.Lock()

    def ask(self, question: Callable[[KafkaAdminClient], Any]) -> Any:
        """The answer of kafka-python's admin client, connected anew after a failure."""
        with self._lock:
            try:
                if self._admin is None:
                    self._admin = KafkaAdminClient(
                        bootstrap_servers=self.bootstrap, request_timeout_ms=5000,
                        bootstrap_timeout_ms=3000, client_id="safiri-admin", reconnect_backoff_max_ms=500,
                    )  # fmt: skip
                return question(self._admin)
            except KafkaConfigurationError:
                raise
            except (AdminError, OSError, ValueError, TimeoutError) as error:
                self._forget()
                raise Retry(f"Kafka does not answer at {self.bootstrap}: {type(error).__name__}") from error

    def _forget(self) -> None:
        admin, self._admin = self._admin, None
        if admin:
            with suppress(Exception):  # it is broken already
                admin.close()

    def close(self) -> None:
        with self._lock:
            self._forget()

    def topics(self) -> dict[str, dict[str, Any]]:
        """Ours that exist: name -> metadata."""
        found = self.ask(lambda admin: admin.describe_topics())
        return {topic["name"]: topic for topic in found if topic["name"] in (*LOG_TOPICS, UPDATES)}

    def identity(self) -> tuple[str, dict[str, str]]:
        """(cluster id, topic -> topic id): a Kafka that was wiped is another one."""
        cluster = self.ask(lambda admin: admin.describe_cluster())
        return str(cluster["cluster_id"]), {name: str(topic["topic_id"]) for name, topic in self.topics().items() if name in LOG_TOPICS}

    def ends(self) -> dict[Partition, int]:
        """The offset that the next record of each partition of the log will get."""
        return self._offsets(OffsetSpec.LATEST)

    def beginnings(self) -> dict[Partition, int]:
        """The oldest offset still there."""
        return self._offsets(OffsetSpec.EARLIEST)

    def _offsets(self, spec: Any) -> dict[Partition, int]:
        asked = {
            AdminPartition(name, part["partition_index"]): spec
            for name, topic in self.topics().items()
            if name in LOG_TOPICS
            for part in topic["partitions"]
        }
        found = self.ask(lambda admin: admin.list_partition_offsets(asked)) if asked else {}
        return {(where.topic, where.partition): answer.offset for where, answer in found.items()}

    def record_time(self, topic: str, partition: int, offset: int) -> Micros | None:
        """When the broker appended the record, None where it is not there (any more)."""
        consumer = Consumer({
            **CONSUME, "bootstrap.servers": self.bootstrap, "group.id": "safiri-watch", "queued.max.messages.kbytes": 4096,
            "partition.assignment.strategy": "range",
        })  # fmt: skip
        try:
            consumer.assign([TopicPartition(topic, partition, offset)])
            message = consumer.poll(2)
            if message is None or message.error():
                return None
            return int(message.timestamp()[1]) * 1000
        except KafkaException as error:
            raise Retry(f"Kafka does not answer: {error}") from error
        finally:
            consumer.close()


def ensure_topics(watcher: Watcher, *, partitions: int, fsync: bool) -> None:
    """Makes the topics that are not there, adds partitions where there are too few, and sets what must be so."""
    settings = TOPIC | ({"flush.messages": "1"} if fsync else {})
    there = watcher.topics()
    few = min(4, partitions)
    wanted = {TOPICS["call"]: partitions, TOPICS["agent"]: few, TOPICS["account"]: few, TOPICS["quarantine"]: 1, UPDATES: few}
    missing = [
        NewTopic(name, count, -1, topic_configs=settings | ({"cleanup.policy": "compact"} if name == UPDATES else AT_FIRST))
        for name, count in wanted.items() if name not in there
    ]  # fmt: skip
    if missing:
        _tolerant(watcher, lambda admin: admin.create_topics(missing, wait_for_metadata=True))
    small = {name: NewPartitions(count) for name, count in wanted.items() if name in there and len(there[name]["partitions"]) < count}
    if small:
        watcher.ask(lambda admin: admin.create_partitions(small))
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, settings) for name in wanted if name in there]
    if resources:
        watcher.ask(lambda admin: admin.alter_configs(resources, incremental=True))


def _tolerant(watcher: Watcher, question: Callable[[KafkaAdminClient], Any]) -> None:
    """Two that start at once may both make a topic."""

    def create(admin: KafkaAdminClient) -> None:
        with suppress(TopicAlreadyExistsError):
            question(admin)

    watcher.ask(create)
