"""`safiri migrate`: makes the schema, the topics and today's configuration what the code expects. Idempotent."""

from __future__ import annotations

import time

import click

from cli.options import common
from runtime import clock
from runtime.problems import Missing, Retry
from runtime.settings import Settings

WAIT_S = 120


@click.command("migrate")
@click.option("--wait", "wait_s", type=float, default=WAIT_S, help="How long to wait for Postgres and Kafka, in seconds.")
@common
def command(settings: Settings, wait_s: float) -> None:
    """Make schema, topics and configuration."""
    from runtime.addresses import find
    from runtime.telemetry import set_up_logs

    set_up_logs("migrate")
    addresses = find(settings)
    end = time.monotonic() + wait_s
    while True:
        try:
            _migrate(settings, database=addresses["database"], bootstrap=addresses["kafka"])
            break
        except Retry as error:
            if time.monotonic() > end:
                raise Missing(str(error)) from error
            time.sleep(0.2)
    click.echo("schema, topics and configuration are in place", err=True)


def _migrate(settings: Settings, *, database: str, bootstrap: str) -> None:
    from projections.schema import migrate
    from runtime.kafka import Watcher, ensure_topics

    watcher = Watcher(bootstrap)
    try:
        ensure_topics(watcher, partitions=settings.kafka_partitions, fsync=settings.kafka_fsync)
    finally:
        watcher.close()
    migrate(settings, database, now=clock.now())
