"""`safiri lag`: what was acknowledged and is not yet in the tables, partition by partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.options import as_json, common
from cli.reading import connected, database, freshness, printed
from runtime import addresses
from runtime.settings import Settings

if TYPE_CHECKING:
    from api.freshness import Reading


@click.command("lag")
@click.option("--adopt-new-kafka", "adopt", is_flag=True, help="Kafka was replaced and that was meant: go on with the new log.")
@as_json
@common
def command(settings: Settings, adopt: bool, as_json: bool) -> None:
    """Show what is not yet projected. Exit 3 where nothing runs."""
    if adopt:
        _adopt(settings)
        return
    with connected(settings) as engine, freshness(settings, engine) as readings:
        reading = readings.read()
    shown = reading.shown() | {"group": _group(), "partitions": _rows(reading)}
    if as_json:
        printed(shown)
        return
    parts = ", ".join(f"{name} {count}" for name, count in (("kafka", reading.parts.kafka), ("spool", reading.parts.spool)))
    click.echo(f"unprojected {reading.unprojected} ({parts}), oldest {shown['oldest_unprojected_at'] or '-'}")
    click.echo(f"complete through {shown['complete_through'] or 'nobody knows yet'}, consumer group {shown['group']}")
    for row in _rows(reading):
        click.echo(f"  {row['topic']:<16} {row['partition']:>3}  next {row['next']:>12}  end {row['end']:>12}  lag {row['lag']:>10}")


def _group() -> str:
    from runtime.kafka import GROUP

    return GROUP


def _rows(reading: Reading) -> list[dict[str, str | int]]:
    return [
        {"topic": where[0], "partition": where[1], "next": reading.next.get(where, 0), "end": reading.ends[where], "lag": lag}
        for where, lag in reading.lag.items()
    ]


def _adopt(settings: Settings) -> None:
    from projections.positions import adopt
    from runtime.kafka import Watcher
    from runtime.postgres import connect

    watcher = Watcher(addresses.find(settings)["kafka"])
    try:
        cluster, topics = watcher.identity()
    finally:
        watcher.close()
    with connect(database(settings), name="lag") as connection:
        gone = adopt(connection, cluster_id=cluster, topic_ids=topics)
    click.echo(f"the log of cluster {cluster} is read from now on; {gone} positions of other logs are forgotten", err=True)
