"""How far the tables are behind, health and metrics; on a real Postgres and a pretended log."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from asking import NOON, SECOND, SETTINGS, Desk, Kafka, journey, opened, problem
from fastapi.testclient import TestClient

from api.app import build
from api.database import reader
from api.freshness import Freshness
from calls.clock import parse_time, rfc3339
from runtime.problems import Retry


@pytest.fixture(scope="module")
def desk(database_url: str) -> Iterator[Desk]:
    with opened(database_url) as made:
        yield made


def place(desk: Desk, next_: int) -> None:
    with psycopg.connect(desk.url) as connection:
        connection.execute(
            "INSERT INTO safiri.positions (cluster_id, topic_id, topic, partition, next) VALUES ('cluster', 'topic', 'call-events', 0, %s) "
            "ON CONFLICT (cluster_id, topic_id, partition) DO UPDATE SET next = excluded.next", (next_,),
        )  # fmt: skip


def test_freshness_counts_what_is_not_in_the_tables(desk: Desk) -> None:
    place(desk, 5)
    desk.kafka.end, desk.kafka.times = 8, {5: NOON}
    told = desk.get("/v1/freshness").json()
    assert (told["unprojected"], told["oldest_unprojected_at"]) == (3, rfc3339(NOON))
    assert told["parts"] == {"kafka": 3, "spool": 0, "deferred": 0, "outbox": 0}
    before = time.time()
    place(desk, 8)
    told = desk.get("/v1/freshness").json()
    assert (told["unprojected"], told["oldest_unprojected_at"]) == (0, None)
    assert before - 1 < (parse_time(told["complete_through"]) or 0) / 1e6 < time.time() + 1


def test_complete_through_is_never_newer_than_the_truth(desk: Desk) -> None:
    now, tick = [1000.0], [0.0]
    kafka = Kafka()
    spool: list[tuple[int, int | None]] = [(0, None)]
    engine = reader(desk.url)
    freshness = Freshness(kafka, engine, spool=lambda: spool[0], now=lambda: now[0], ticks=lambda: tick[0])

    def through(seconds: float) -> str | None:
        now[0] += seconds
        tick[0] += seconds
        return freshness.complete_through()

    def at(seconds: int) -> str | None:
        return rfc3339(seconds * SECOND)

    place(desk, 0)
    assert through(2) == at(1002)
    kafka.end = 4
    assert through(2) == at(1002)  # 4 behind since some time after 1002
    kafka.end = 9
    assert through(2) == at(1002)
    place(desk, 4)
    assert through(2) == at(1004)  # what was there at 1004 is in the tables now
    place(desk, 9)
    spool[0] = (1, 1_009 * SECOND)  # received after that reading
    assert through(2) == at(1009)
    kafka.away = True
    assert through(2) == at(1009)
    with pytest.raises(Retry):
        freshness.read()
    kafka.away, spool[0] = False, (0, None)
    assert through(1) == at(1009)  # backs off after a failure
    assert through(9) == at(1022)
    engine.dispose()


def test_those_who_ask_at_once_share_a_reading(desk: Desk) -> None:
    class Slow(Kafka):
        asked = 0

        def ends(self) -> dict[tuple[str, int], int]:
            Slow.asked += 1
            time.sleep(0.05)
            return super().ends()

    engine = reader(desk.url)
    freshness = Freshness(Slow(), engine)
    threads = [threading.Thread(target=freshness.read) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Slow.asked <= 5
    engine.dispose()


def test_while_kafka_is_away_journeys_are_told_and_freshness_is_503(desk: Desk) -> None:
    one = journey(desk)
    desk.store(one)
    assert desk.http.get("/health/ready").status_code == 200
    desk.kafka.away = True
    try:
        reply = desk.get("/v1/freshness")
        problem(reply, 503)
        assert int(reply.headers["retry-after"]) > 0
        assert desk.get(f"/v1/journeys/{one.journey_id}").status_code == 200
        ready = desk.http.get("/health/ready")
        assert ready.status_code == 200  # the spool takes deliveries
        assert ready.json()["status"] == "degraded"
        assert "Kafka" in ready.json()["dependencies"]["kafka"]
        text = desk.http.get("/metrics").text
        assert 'safiri_up{part="kafka"} 0.0' in text
        assert 'safiri_up{part="postgres"} 1.0' in text
        assert "safiri_unprojected" not in text
    finally:
        desk.kafka.away = False


def test_metrics_say_lag_quarantine_and_restarts(desk: Desk, tmp_path: Any) -> None:
    place(desk, desk.kafka.end)
    (tmp_path / "restarts.json").write_text('{"kafka": 2}')
    app = build(
        SETTINGS.model_copy(update={"data_dir": tmp_path}),
        {"http": "", "database": desk.url, "kafka": "", "virtual": "", "pid": 0},
        log=desk.kafka,
    )
    with TestClient(app) as http:
        text = http.get("/metrics").text
    for line in ('safiri_lag{partition="0",topic="call-events"} 0.0', "safiri_unprojected 0.0", 'safiri_restarts_total{part="kafka"} 2.0',
                 "safiri_quarantine ", "safiri_broken_journeys ", "safiri_spool_depth 0.0", "safiri_publish_seconds_bucket"):  # fmt: skip
        assert line in text, line


def test_while_postgres_is_away_answers_are_503_and_health_says_so() -> None:
    addresses = {"http": "", "database": "postgresql://nobody:x@127.0.0.1:1/none", "kafka": "", "virtual": "", "pid": 0}
    with TestClient(build(SETTINGS, addresses, log=Kafka())) as http:  # type: ignore[arg-type]
        problem(http.get("/v1/journeys", headers={"Authorization": f"Bearer sfk_aaaaaaaa_{'b' * 43}"}), 503)
        assert http.get("/health/live").json() == {"status": "ok"}
        reply = http.get("/health/ready")
        assert reply.status_code == 503
        assert reply.json()["dependencies"]["kafka"] == "ok"
        assert "Postgres" in reply.json()["dependencies"]["postgres"]
        began = time.monotonic()
        text = http.get("/metrics").text
        assert time.monotonic() - began < 2
        assert 'safiri_up{part="postgres"} 0.0' in text
