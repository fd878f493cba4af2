"""Logs, and what every process counts for Prometheus.

Each role has a registry of its own; what is read from Postgres and Kafka joins when asked.
"""

from __future__ import annotations

import logging
import sys

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram

REGISTRY = CollectorRegistry()
DELIVERIES = Counter("safiri_deliveries", "Deliveries answered, by account and HTTP status.", ["account", "status"], registry=REGISTRY)
PUBLISH_SECONDS = Histogram(
    "safiri_publish_seconds", "From a delivery's last byte to Kafka's acknowledgement.", registry=REGISTRY,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)  # fmt: skip


def set_up_logs(role: str) -> None:
    """One line an event on stderr, `key=value`, with control characters escaped; bodies and keys are never logged."""
    structlog.configure(
        processors=[
            lambda _, __, event: {"role": role, **event},
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "role", "event"], sort_keys=True),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for handler in logging.getLogger().handlers:  # librdkafka says of each consumer setting that a producer has no use for it
        handler.addFilter(lambda record: "CONFWARN" not in record.getMessage())
