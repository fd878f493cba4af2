"""Reads the log and projects it: FastStream over confluent-kafka, in batches of raw records, acknowledged by hand after the commit.

FastStream's defaults would lose data, so: the parser takes records as they are (a header that is no UTF-8 would otherwise kill
its whole batch), nothing ever leaves the handler as an exception (the batch would be skipped), positions live in Postgres and
are sought on assignment, and what failed for reasons around us is held: seek back, wait, try again.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import structlog
from confluent_kafka import Consumer, Message, TopicPartition
from faststream import AckPolicy
from faststream.confluent import KafkaBroker
from faststream.confluent.annotations import KafkaMessage

from projections import positions
from projections.beside import Beside, Work
from projections.bisecting import project_bisecting
from projections.project import Fenced, Projected, Projector
from projections.records import Record
from runtime import kafka
from runtime.addresses import find
from runtime.postgres import AWAY, connect
from runtime.problems import Missing, Retry
from runtime.settings import Settings
from runtime.telemetry import set_up_logs

log = structlog.get_logger()
QUIET = logging.getLogger("safiri.faststream")  # its producer half warns about every consumer setting
QUIET.setLevel(logging.ERROR)
QUIET.addFilter(lambda record: record.levelno >= logging.ERROR)
BATCH = 2000  # larger ones are hardly faster and hold more memory
WINDOW_S = 0.02  # a poll waits this long for a full batch: the floor of freshness
LONGEST_WAIT_S = 5.0
STUCK_S = 60.0  # records waiting and none projected for so long: end, to be started again


class Consumption:
    """One projector's share of the log."""

    def __init__(self, settings: Settings, *, bootstrap: str, database_url: str):
        self.settings, self.bootstrap, self.database_url = settings, bootstrap, database_url
        self.watcher = kafka.Watcher(bootstrap)
        self.failures = 0
        self.moved_at = time.monotonic()
        self.projector: Projector | None = None
        self.one_at_a_time = asyncio.Lock()
        self.done: dict[kafka.Partition, int] = {}  # where each of our partitions stands
        self.broker = KafkaBroker(bootstrap, config=kafka.CONSUME, allow_auto_create_topics=False, logger=QUIET)  # type: ignore[arg-type]  # a plain dict is one
        self.subscriber = self._subscribe()

    def _subscribe(self) -> Any:
        """The batch subscriber with the settings that the defaults get wrong."""

        async def as_it_is(messages: tuple[Message, ...]) -> KafkaMessage:
            return KafkaMessage(
                body=b"", raw_message=messages, consumer=self.subscriber.consumer, is_manual=True, headers={}, message_id="",
                correlation_id="",
            )  # fmt: skip

        async def unread(_: KafkaMessage) -> None:
            return None

        subscriber = self.broker.subscriber(
            *kafka.LOG_TOPICS, group_id=kafka.GROUP, batch=True, max_records=BATCH, polling_interval=WINDOW_S, parser=as_it_is,
            decoder=unread, ack_policy=AckPolicy.MANUAL, auto_offset_reset="earliest", no_reply=True,
            partition_assignment_strategy="cooperative-sticky", on_assign=self._assigned,
            title="call-events", description="Every delivery, as received, keyed by call SID (agent id, account, receipt).",
        )  # fmt: skip

        @subscriber
        async def project(message: KafkaMessage) -> None:
            await self._handle(message)

        return subscriber

    # ------------------------------------------------------------ partitions come and go

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Starts each partition where Postgres says. Runs in the consumer's own thread, never beside a handler."""
        wait = 0.2
        while True:
            try:
                begun = self._take([(one.topic, one.partition) for one in partitions])
                break
            except Retry as error:
                log.warning("cannot read positions, waiting", reason=str(error))
                time.sleep(wait)
                wait = min(LONGEST_WAIT_S, wait * 2)
        for one in partitions:
            one.offset = begun[one.topic, one.partition]
        self.done |= begun
        consumer.incremental_assign(partitions)
        log.info("assigned", partitions=len(partitions))

    def _take(self, partitions: list[kafka.Partition]) -> dict[kafka.Partition, int]:
        cluster_id, topic_ids = self.watcher.identity()
        try:
            with connect(self.database_url, name="positions") as connection:
                return positions.take(connection, partitions, cluster_id=cluster_id, topic_ids=topic_ids, oldest=self.watcher.beginnings())
        except AWAY as error:  # in the middle of it: this runs in a rebalance, out of which nothing may be raised
            raise Retry(f"Postgres went away: {type(error).__name__}") from error

    # ------------------------------------------------------------ one batch

    async def _handle(self, message: KafkaMessage) -> None:
        messages: Sequence[Message] = message.raw_message  # type: ignore[assignment]
        try:
            records = [_record(one) for one in messages]
            async with self.one_at_a_time:
                projected = await asyncio.to_thread(self._project, records)
            self.failures, self.moved_at = 0, time.monotonic()
            self.done |= {(record.topic, record.partition): record.offset + 1 for record in records}
            await self._tell_kafka()
            for one in projected.poison:
                log.warning("quarantined", reason=one.reason, topic=one.record.topic, offset=one.record.offset)
        except (Retry, Fenced) as error:
            log.warning("held", reason=str(error), records=len(messages))
            await self._hold(messages, reread=isinstance(error, Fenced))
        except Exception:  # a bug: hold as well, loudly; nothing may be skipped
            log.exception("projecting failed", records=len(messages))
            await self._hold(messages, reread=True)

    def _project(self, records: list[Record]) -> Projected:
        return project_bisecting(self._projector(), records)

    def _projector(self) -> Projector:
        if self.projector is None:
            cluster_id, topic_ids = self.watcher.identity()
            self.projector = Projector(self.database_url, cluster_id=cluster_id, topic_ids=topic_ids)
        return self.projector

    async def _hold(self, messages: Sequence[Message], *, reread: bool) -> None:
        """Seeks every partition of the batch back and waits; polling goes on, so the group does not drop us."""
        self.failures += 1
        starts: dict[kafka.Partition, int] = {}
        for one in messages:
            where = (one.topic() or "", one.partition() or 0)
            starts[where] = min(one.offset() or 0, starts.get(where, one.offset() or 0))
        if reread:
            with suppress(Retry):
                starts = await asyncio.to_thread(self._take, list(starts))
        for (topic, partition), offset in starts.items():
            with suppress(Exception):  # it was taken from us meanwhile
                await self._in_consumer(lambda c, t=topic, p=partition, o=offset: c.seek(TopicPartition(t, p, o)))
        await asyncio.sleep(min(LONGEST_WAIT_S, 0.1 * 2 ** min(self.failures, 8)))

    async def _tell_kafka(self) -> None:
        """The group's offsets, for Kafka's own tools; ours are in Postgres. Said again now and then, so one lost is no loss."""

        def tell(consumer: Consumer) -> None:
            ours = {(one.topic, one.partition) for one in consumer.assignment()}
            offsets = [TopicPartition(topic, n, offset) for (topic, n), offset in self.done.items() if (topic, n) in ours]
            if offsets:
                consumer.commit(offsets=offsets, asynchronous=True)

        with suppress(Exception):  # a rebalance may be under way
            await self._in_consumer(tell)

    async def _in_consumer(self, action: Any) -> None:
        """Runs in the single thread that owns the consumer."""
        held = self.subscriber.consumer
        await asyncio.get_running_loop().run_in_executor(held._thread_pool, action, held.consumer)  # noqa: SLF001  no other thread may touch it

    # ------------------------------------------------------------ running

    async def run(self) -> None:
        """Until SIGTERM. Raises Missing or Refused where it must not start."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await self._ready(stop)
        if stop.is_set():
            return
        await self.broker.start()
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        log.info("projecting", bootstrap=self.bootstrap)
        beside = Beside(self._beside, lambda: self.moved_at)
        beside.start()
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 10)
            if not stop.is_set():
                await self._tell_kafka()
                await self._watchdog()
        beside.stop()
        await self.broker.stop()
        if self.projector:
            self.projector.close()

    async def _beside(self, work: Work) -> int:
        async with self.one_at_a_time:
            return await asyncio.to_thread(lambda: work(self._projector()))

    async def _ready(self, stop: asyncio.Event) -> None:
        """Waits for Kafka, Postgres and the schema; refuses another Kafka than the one projected so far."""
        wait = 0.05
        while not stop.is_set():
            try:
                await asyncio.to_thread(self._check)
                return
            except Retry as error:
                log.info("waiting", reason=str(error))
                await asyncio.sleep(wait)
                wait = min(1.0, wait * 2)

    def _check(self) -> None:
        cluster_id, topic_ids = self.watcher.identity()
        if set(topic_ids) != set(kafka.LOG_TOPICS):
            raise Retry("the topics are not there yet")
        with connect(self.database_url, name="check") as connection:
            row = connection.execute(
                "SELECT to_regclass('live.journeys') IS NOT NULL AND to_regclass('safiri.positions') IS NOT NULL"
            ).fetchone()
            if not row or not row[0]:
                raise Retry("the schema is not there yet")
            positions.check(connection, cluster_id=cluster_id, topic_ids=topic_ids)

    async def _watchdog(self) -> None:
        """Records waiting in our partitions and none projected for STUCK_S: better to be started again than to sit."""
        if time.monotonic() - self.moved_at < STUCK_S or self.failures:
            return
        with suppress(Retry):
            if await asyncio.to_thread(self._behind):
                log.error("stuck: records wait and none were projected", seconds=STUCK_S)
                os._exit(1)
        self.moved_at = time.monotonic()

    def _behind(self) -> bool:
        ends = self.watcher.ends()
        mine = {(one.topic, one.partition) for one in self.subscriber.consumer.consumer.assignment()}
        begun = self._take(sorted(mine)) if mine else {}
        return any(ends.get(where, 0) > position for where, position in begun.items())


def _record(message: Message) -> Record:
    _, timestamp = message.timestamp()
    return Record(message.topic() or "", message.partition() or 0, message.offset() or 0, message.value(), message.key(), timestamp)


def run(settings: Settings) -> None:
    """`safiri serve projector`."""
    set_up_logs("projector")
    addresses = find(settings)
    if not addresses["kafka"] or not addresses["database"]:
        raise Missing("the projector needs SAFIRI_DATABASE_URL and SAFIRI_KAFKA_BOOTSTRAP")

    async def start() -> None:
        await Consumption(settings, bootstrap=addresses["kafka"], database_url=addresses["database"]).run()

    asyncio.run(start())
