"""Where each partition of the log has been projected to, kept in Postgres beside the rows themselves.

Positions belong to one Kafka: a cluster or topic that was wiped and made anew has other ids, and reading it from an old
position would silently skip. That is a loud stop, until `safiri lag --adopt-new-kafka` says that it was meant.
"""

from __future__ import annotations

from typing import Any

import psycopg
import structlog

from runtime.kafka import Partition
from runtime.problems import Refused

log = structlog.get_logger()


class AnotherKafka(Refused):
    """The log's identity changed."""


def check(connection: psycopg.Connection[Any], *, cluster_id: str, topic_ids: dict[str, str]) -> None:
    """Raises AnotherKafka where positions stand for another cluster or for another topic of the same name."""
    rows = connection.execute("SELECT DISTINCT topic, cluster_id, topic_id FROM safiri.positions").fetchall()
    others = {topic for topic, cluster, topic_id in rows if topic in topic_ids and (cluster, topic_id) != (cluster_id, topic_ids[topic])}
    ours = {topic for topic, cluster, topic_id in rows if topic in topic_ids and (cluster, topic_id) == (cluster_id, topic_ids[topic])}
    if others - ours:
        raise AnotherKafka(
            409, "Another Kafka",
            f"the topics {', '.join(sorted(others - ours))} are not the ones that were projected so far (Kafka was wiped or replaced): "
            "what the journal has stays; to go on with the new log run `safiri lag --adopt-new-kafka`",
        )  # fmt: skip


def adopt(connection: psycopg.Connection[Any], *, cluster_id: str, topic_ids: dict[str, str]) -> int:
    """Forgets the positions of every other Kafka; returns how many. Nothing else is touched."""
    done = connection.execute(
        "DELETE FROM safiri.positions WHERE (cluster_id, topic_id) NOT IN (SELECT %s, unnest(%s::text[]))",
        (cluster_id, list(topic_ids.values())),
    )
    connection.commit()
    return done.rowcount


def take(
    connection: psycopg.Connection[Any], partitions: list[Partition], *, cluster_id: str, topic_ids: dict[str, str],
    oldest: dict[Partition, int],
) -> dict[Partition, int]:  # fmt: skip
    """The offset to read each partition from. One never read starts at its beginning; one whose unread records Kafka has
    already removed goes on at the oldest that is left, loudly."""
    begun: dict[Partition, int] = {}
    with connection.transaction():
        for topic, partition in sorted(partitions):
            row = connection.execute(
                "INSERT INTO safiri.positions (cluster_id, topic_id, topic, partition, next) VALUES (%s, %s, %s, %s, %s) "
                "ON CONFLICT (cluster_id, topic_id, partition) DO UPDATE SET next = greatest(safiri.positions.next, excluded.next) "
                "RETURNING next, (SELECT next FROM safiri.positions o WHERE (o.cluster_id, o.topic_id, o.partition) = (%s, %s, %s))",
                (
                    cluster_id, topic_ids[topic], topic, partition, oldest.get((topic, partition), 0),
                    cluster_id, topic_ids[topic], partition,
                ),
            ).fetchone()  # fmt: skip
            begun[topic, partition], before = row or (0, None)
            if before is not None and begun[topic, partition] > before:
                log.error("records were removed from Kafka before they were projected", topic=topic, partition=partition,
                          lost=begun[topic, partition] - before)  # fmt: skip
    return begun
