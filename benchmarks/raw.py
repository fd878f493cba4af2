"""The limit of projecting: one process that reads the same records and copies the same rows, encoded beforehand, in the same batches.

`python -m benchmarks.raw BOOTSTRAP DATABASE FILE`; `dump` makes the file from the tables of a real run.
"""

from __future__ import annotations

import gc
import pickle
import sys
from collections import Counter
from pathlib import Path

import psycopg
from confluent_kafka import Consumer

from benchmarks.filled import tables
from projections.consumer import BATCH
from runtime.kafka import CONSUME, LOG_TOPICS, Watcher

HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TAIL = b"\xff\xff"
Batches = list[dict[str, bytes]]  # table -> rows, ready for COPY


def dump(url: str, file: Path, *, events: int) -> None:
    """Every table's rows as the server encodes them, divided into as many batches as the events make."""
    batches: Batches = [{} for _ in range(-(-events // BATCH))]
    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        for table in tables(connection):
            with cursor.copy(f"COPY (SELECT * FROM {table}) TO STDOUT (FORMAT BINARY)".encode()) as copy:
                rows = [bytes(row).removeprefix(HEAD) for row in copy]
            rows = [row for row in rows if row not in (b"", TAIL)]
            for n, batch in enumerate(batches):
                part = rows[n * len(rows) // len(batches) : (n + 1) * len(rows) // len(batches)]
                if part:
                    batch[table] = HEAD + b"".join(part) + TAIL
    file.write_bytes(pickle.dumps(batches))


def main(bootstrap: str, url: str, file: Path) -> None:
    batches: Batches = pickle.loads(file.read_bytes())
    watcher = Watcher(bootstrap)
    cluster, topics = watcher.identity()
    goal = sum(watcher.ends().values())
    consumer = Consumer(CONSUME | {"bootstrap.servers": bootstrap, "group.id": "safiri-raw"})
    consumer.subscribe(list(LOG_TOPICS))
    gc.freeze()
    gc.disable()
    ends: Counter[tuple[str, int]] = Counter()
    seen = written = 0
    with psycopg.connect(url) as connection:
        while seen < goal:
            for message in consumer.consume(BATCH, 0.02):
                ends[message.topic() or "", message.partition() or 0] = (message.offset() or 0) + 1
                seen += 1
            while batches and (seen - written >= BATCH or seen == goal):
                _write(connection, batches.pop(0))
                written += BATCH
                rows = [(cluster, topics[topic], topic, partition, end) for (topic, partition), end in ends.items()]
                _move(connection, rows)
    consumer.close()


def _write(connection: psycopg.Connection[tuple[object, ...]], batch: dict[str, bytes]) -> None:
    for table, rows in batch.items():
        with connection.cursor().copy(f"COPY {table} FROM STDIN (FORMAT BINARY)".encode()) as copy:
            copy.write(rows)


def _move(connection: psycopg.Connection[tuple[object, ...]], rows: list[tuple[str, str, str, int, int]]) -> None:
    """The positions, in the same transaction, which ends here."""
    connection.execute(
        "INSERT INTO safiri.positions (cluster_id, topic_id, topic, partition, next) "
        "SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::int[], %s::bigint[]) "
        "ON CONFLICT (cluster_id, topic_id, partition) DO UPDATE SET next = excluded.next",
        [list(column) for column in zip(*rows, strict=True)],
    )
    connection.commit()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
