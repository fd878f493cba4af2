"""What every process counts for Prometheus. Each role has a registry of its own; what is read from Postgres and Kafka joins when asked."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

REGISTRY = CollectorRegistry()
DELIVERIES = Counter("safiri_deliveries", "Deliveries answered, by account and HTTP status.", ["account", "status"], registry=REGISTRY)
PUBLISH_SECONDS = Histogram(
    "safiri_publish_seconds", "From a delivery's last byte to Kafka's acknowledgement.", registry=REGISTRY,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)  # fmt: skip
