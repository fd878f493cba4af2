"""`safiri metrics`: the numbers of `GET /v1/metrics/query` as a table or as the same JSON; without any asked for, the catalogue."""

from __future__ import annotations

from typing import Any

import click

from calls.metrics.parameters import QUERY
from cli.asking import figure, items, parameters, table
from cli.options import as_json, common
from cli.reading import complete_through, connected, known_tenant, tenant_option
from runtime.settings import Settings


@click.command("metrics")
@click.argument("ids", nargs=-1, metavar="[METRIC]...")
@parameters(QUERY, without=("metrics",))
@tenant_option
@as_json
@common
def command(settings: Settings, ids: tuple[str, ...], tenant: str, attributes: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Show numbers of queues, agents and calls. Without METRIC and --preset: what there is."""
    known_tenant(settings, tenant)
    if ids:
        given["asked_metrics"] = ",".join(ids)
    if not ids and given["asked_preset"] is None:
        _catalogue(as_json=as_json)
        return
    import msgspec

    from api.analytics.answer import answer
    from api.analytics.asking import known, known_account, understood
    from calls.metrics import asked

    question = understood(asked.query, items(given, attributes), settings=settings, tenant=tenant)
    with connected(settings) as engine:
        known_account(engine, question, settings)
        document = answer(engine, question, known(settings, question, complete_through(settings, engine)))
    written = msgspec.json.encode(document)
    if as_json:
        click.echo(written.decode())
    else:
        _shown(msgspec.json.decode(written), question.zone)


def _catalogue(*, as_json: bool) -> None:
    import msgspec

    from api.analytics.catalogue import catalogue

    document: Any = catalogue()
    if as_json:
        click.echo(msgspec.json.encode(document).decode())
        return
    rows = [[one["id"], one["unit"], one["formula"]] for one in document["metrics"]]
    for line in table(["metric", "unit", "formula"], rows, left=3):
        click.echo(line)
    click.echo("\npresets: " + ", ".join(one["id"] for one in document["presets"]), err=True)


def _shown(document: dict[str, Any], zone: str) -> None:
    for name in ("previous", ""):
        part = document.get(name) if name else document
        if part and part["rows"]:
            if name:
                click.echo(f"the period before, {part['from']} to {part['to']}:", err=True)
            _rows(part["rows"], document["definitions"], zone)
        elif part:
            click.echo("nothing was counted", err=True)
    final = "final" if document["final"] else "not final"
    click.echo(f"{final}; complete through {document['complete_through'] or 'nobody can say now'}", err=True)


def _rows(found: list[dict[str, Any]], definitions: dict[str, Any], zone: str) -> None:
    from zoneinfo import ZoneInfo

    from calls.ladder import moment, plain

    groups = list(found[0]["group"])
    rows = [
        [
            moment(row["interval_start"], ZoneInfo(zone))[:16],
            *("-" if value is None else plain(str(value)) for value in row["group"].values()),
            *(figure(row["values"][name]["value"], one["unit"], one.get("currency")) for name, one in definitions.items()),
        ]
        for row in found
    ]
    for line in table(["from", *groups, *definitions], rows, left=1 + len(groups)):
        click.echo(line)
