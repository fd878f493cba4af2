"""`safiri explain METRIC`: the calls behind a number, or why one call is not in it, as `GET /v1/metrics/explain` tells it."""

from __future__ import annotations

from typing import Any

import click

from calls.metrics.parameters import EXPLAIN
from cli.asking import figure, items, pairs, parameters, table
from cli.options import as_json, common
from cli.reading import complete_through, connected, known_tenant, tenant_option
from runtime.settings import Settings


@click.command("explain")
@click.argument("metric")
@parameters(EXPLAIN, without=("metrics", "fill", "compare"))
@click.option("--group", "groups", multiple=True, metavar="NAME=VALUE", help="Which group of the answer; may be repeated.")
@tenant_option
@as_json
@common
def command(
    settings: Settings, *, metric: str, groups: tuple[str, ...], tenant: str, attributes: tuple[str, ...], as_json: bool, **given: Any
) -> None:
    """Show the calls that a number is made of; with --journey-id, what one call adds to it or why nothing."""
    import msgspec

    from api.analytics.asking import known, known_account, understood
    from api.analytics.explain import explain
    from calls.metrics import asked

    known_tenant(settings, tenant)
    wanted = [("metrics", metric), *items(given, attributes), *pairs(groups, "group.")]
    explanation = understood(asked.explain, wanted, settings=settings, tenant=tenant)
    with connected(settings) as engine:
        known_account(engine, explanation.question, settings)
        document = explain(engine, explanation, known(settings, explanation.question, complete_through(settings, engine)))
    if as_json:
        click.echo(msgspec.json.encode(document).decode())
    else:
        _shown(document)


def _shown(document: dict[str, Any]) -> None:
    from calls.ladder import plain

    definition = document["definition"]
    sides = f" ({document['numerator']} / {document['denominator']})" if document["denominator"] is not None else ""
    value = figure(document["value"], definition["unit"], definition.get("currency"))
    click.echo(f"{document['metric']}: {value}{sides}, {definition['formula']}")
    rows = [[str(one["amount"]), plain(one["call_sid"] or one.get("agent") or "-"), one["why"]] for one in document["contributions"]]
    if rows:
        for line in table(["amount", "call", "why"], rows, left=3):
            click.echo(line)
    if "why" in document:
        click.echo(f"not counted: {document['why']}")
    if document["next_cursor"]:
        click.echo(f"more: add --cursor {document['next_cursor']}", err=True)
