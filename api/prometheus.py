"""/metrics for Prometheus: what this process counted, and what Postgres and Kafka say now. What is not known is left out."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path

import sqlalchemy as sa
from fastapi import APIRouter, Request
from prometheus_client import Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.responses import Response

from api.analytics.invariants import Watch
from api.asking import Asking
from api.database import away_is_retry
from api.freshness import Depth, Freshness, Log
from runtime.problems import Retry
from runtime.telemetry import REGISTRY

router = APIRouter(tags=["health"])
WAIT_S = 1.5
_KEPT = sa.text(
    "SELECT (SELECT count(*) FROM safiri.quarantine WHERE redriven_at IS NULL) AS quarantine, "
    "(SELECT count(*) FROM safiri.broken) AS broken, (SELECT count(*) FROM safiri.polls WHERE failed IS NOT NULL) AS polls"
)


class Watched(Collector):
    """A Prometheus collector: asks each source in a thread of its own and waits 1.5 s for all of them together.

    `laws` is never waited for: it says what it found last.
    """

    def __init__(self, freshness: Freshness, engine: sa.Engine, log: Log, *, spool: Depth, data_dir: Path, laws: Watch) -> None:
        self._freshness, self._engine, self._log, self._spool, self._data_dir = freshness, engine, log, spool, data_dir
        self._laws = laws
        self._sources = {
            part: Asking(part, question)
            for part, question in (("kafka", self._answers), ("postgres", self._kept), ("freshness", self._behind))
        }

    def collect(self) -> Iterator[Metric]:
        until = time.monotonic() + WAIT_S
        up = GaugeMetricFamily("safiri_up", "1 where the part answered just now.", labels=["part"])
        asked = {part: source.ask() for part, source in self._sources.items()}
        for part, future in asked.items():
            found = _within(future, until)
            if part != "freshness":
                up.add_metric([part], 0 if found is None else 1)
            yield from found or ()
        yield up
        yield _gauge("safiri_spool_depth", "Deliveries in the durable spool, not yet in Kafka.", self._spool()[0])
        yield self._restarts()
        yield from self._laws.collect()

    def _answers(self) -> list[Metric]:
        self._log.ends()
        return []

    def _behind(self) -> list[Metric]:
        reading = self._freshness.read()
        lag = GaugeMetricFamily("safiri_lag", "Records of a partition that are not yet projected.", labels=["topic", "partition"])
        for (topic, partition), behind in reading.lag.items():
            lag.add_metric([topic, str(partition)], behind)
        age = (reading.at - reading.oldest) / 1e6 if reading.oldest else 0.0
        return [
            lag,
            _gauge("safiri_unprojected", "Deliveries acknowledged and not yet in the tables.", reading.unprojected),
            _gauge("safiri_oldest_unprojected_age_seconds", "How long the oldest of them has waited; 0 without any.", max(0.0, age)),
        ]

    def _kept(self) -> list[Metric]:
        with away_is_retry(), self._engine.connect() as connection:
            row = connection.execute(_KEPT).one()
        return [
            _gauge("safiri_quarantine", "Deliveries that could not be understood.", row.quarantine),
            _gauge("safiri_broken_journeys", "Calls whose fold failed: a bug of ours.", row.broken),
            _gauge("safiri_failing_polls", "Polls of providers' REST whose last try failed.", row.polls),
        ]

    def _restarts(self) -> Metric:
        found = CounterMetricFamily("safiri_restarts", "How often `safiri up` started a part again.", labels=["part"])
        for part, count in restarts(self._data_dir).items():
            found.add_metric([part], count)
        return found


def restarts(data_dir: Path) -> dict[str, int]:
    """Part -> how often it was started again, as `safiri up` notes it in restarts.json."""
    try:
        noted = json.loads((data_dir / "restarts.json").read_text())
    except (OSError, ValueError):
        return {}
    return {str(part): count for part, count in noted.items() if isinstance(count, int)} if isinstance(noted, dict) else {}


def _gauge(name: str, says: str, value: float) -> Metric:
    return GaugeMetricFamily(name, says, value=value)


def _within(future: Future[list[Metric]], until: float) -> list[Metric] | None:
    """None where the source is away or does not answer in time."""
    try:
        return future.result(max(0.0, until - time.monotonic()))
    except (Retry, sa.exc.SQLAlchemyError, TimeoutError):
        return None


class _Both(Collector):
    """The process's own registry and what is watched, as one."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    def collect(self) -> Iterable[Metric]:
        yield from REGISTRY.collect()
        yield from self._watched.collect()


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request) -> Response:
    """Prometheus text."""
    return Response(generate_latest(_Both(request.app.state.watched)), media_type=CONTENT_TYPE_LATEST)
