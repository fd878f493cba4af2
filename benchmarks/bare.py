"""The projector without FastStream: the same projecting, fed by a plain loop over confluent-kafka's consumer.

`SAFIRI_… python -m benchmarks.bare`, with the environment of `safiri serve projector`.
"""

from __future__ import annotations

import gc
import signal
import time

from confluent_kafka import Consumer, TopicPartition

from projections.beside import AGENTS_S, SHARE
from projections.consumer import BATCH, WINDOW_S, Consumption, _record
from runtime.addresses import find
from runtime.kafka import CONSUME, LOG_TOPICS
from runtime.settings import load
from runtime.telemetry import set_up_logs


def main() -> None:
    """Until SIGTERM."""
    set_up_logs("bare")
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    settings = load()
    addresses = find(settings)
    share = Consumption(settings, bootstrap=addresses["kafka"], database_url=addresses["database"])  # its broker is never started
    consumer = Consumer(CONSUME | {"bootstrap.servers": addresses["kafka"], "group.id": "safiri-bare"})
    consumer.subscribe(list(LOG_TOPICS), on_assign=share._assigned)
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    due, marked = 0.0, False
    while not stopped:
        records = [_record(message) for message in consumer.consume(BATCH, WINDOW_S)]
        if records:
            share._project(records)
            marked = True
        if marked and (not records or time.monotonic() > due):  # agents' time, as seldom as projections/beside.py has it
            began = time.monotonic()
            marked = bool(share._projector().fold_agents())
            due = time.monotonic() + max(AGENTS_S, SHARE * (time.monotonic() - began))
        if not records:
            continue
        last = {(record.topic, record.partition): record.offset + 1 for record in records}
        consumer.commit(
            offsets=[TopicPartition(topic, partition, offset) for (topic, partition), offset in last.items()], asynchronous=True
        )
    consumer.close()


if __name__ == "__main__":
    main()
