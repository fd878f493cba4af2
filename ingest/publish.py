"""Producing from the command line: many records, all acknowledged, or Retry."""

from __future__ import annotations

import time
from collections.abc import Iterable

from confluent_kafka import KafkaError, Message, Producer

from calls.envelope import TOPICS, Envelope, encode
from runtime.kafka import PRODUCE
from runtime.problems import Retry


class Appender:
    """Appends envelopes in order; `flush` returns when every one is acknowledged. Raises Retry where one could not be."""

    def __init__(self, bootstrap: str):
        self._producer = Producer(PRODUCE | {"bootstrap.servers": bootstrap, "delivery.timeout.ms": 60_000, "linger.ms": 20})
        self._failed: KafkaError | None = None

    def append(self, envelopes: Iterable[Envelope]) -> None:
        for one in envelopes:
            while True:
                try:
                    self._producer.produce(TOPICS[one.stream_kind], encode(one), one.stream.encode(), on_delivery=self._reported)
                    break
                except BufferError:  # its queue is full: let it drain
                    self._producer.poll(0.05)
            self._producer.poll(0)

    def flush(self, within_s: float = 90) -> None:
        end = time.monotonic() + within_s
        while len(self._producer) and time.monotonic() < end and self._failed is None:
            self._producer.flush(0.5)
        if self._failed is not None or len(self._producer):
            raise Retry(f"Kafka did not acknowledge: {self._failed.str() if self._failed else 'no answer'}")

    def _reported(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failed = error
