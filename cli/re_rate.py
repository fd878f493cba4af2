"""`safiri re-rate`: what a period's legs would cost under another version of a plan, beside what they came to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import click

from cli.asking import table
from cli.options import as_json, common
from cli.periods import of_an_account, period
from cli.reading import connected, database, known_tenant, tenant_option
from runtime import clock
from runtime.settings import Settings


@click.command("re-rate")
@of_an_account
@click.option("--plan", required=True, metavar="NAME", help="A plan by its name.")
@click.option("--version", required=True, metavar="NAME", help="The version of it that rates all legs, whenever it is valid.")
@click.option("--against", metavar="ID", help="An earlier re-rating to compare with (default: what the legs were charged).")
@tenant_option
@as_json
@common
def command(settings: Settings, tenant: str, plan: str, version: str, *, against: str | None, as_json: bool, **given: str | None) -> None:
    """Rate an account's period under one version of a plan. The result is kept as a fact; no charge changes."""
    from api import read
    from api.money import re_rate, re_rated

    zone = settings.tenant(known_tenant(settings, tenant)).timezone
    asked = re_rate.Asked(tenant, period(settings, tenant, given), plan, version, zone, against)
    with connected(settings) as engine:
        read.known_account(engine, settings, tenant=tenant, account=asked.period.account)
    name = re_rate.made(database(settings), asked, now=clock.now())
    if as_json:
        for piece in re_rated.told(database(settings), tenant, name):
            sys.stdout.write(piece.decode())
        click.echo()
    else:
        _shown(re_rated.head(database(settings), tenant, name))


def _shown(found: dict[str, Any]) -> None:
    from calls.ladder import plain

    click.echo(f"{found['id']}: {found['account']} from {found['from']} to {found['to']} by {found['plan']} {plain(found['version'])}")
    if found["correction"]:
        click.echo(f"a correction of {', '.join(one['from'] + ' to ' + one['to'] for one in found['corrects'])}")
    for line in table(["", found["currency"], "before", "after", "difference"], list(_rows(found)), left=2):
        click.echo(line)
    click.echo(f"{found['re_rated']} legs, {found['differing']} of them differ", err=True)
    if found["unrated"]:
        click.echo(f"{found['unrated']} legs are unrated under it, the first: {plain(found['unrated_legs'][0]['why'])}", err=True)


def _rows(found: dict[str, Any]) -> Iterator[list[str]]:
    from calls.ladder import plain

    for name in ("queue", "agent", "number"):
        for one in found[f"by_{name}"]:
            yield [name, plain(one[name]) if one[name] is not None else "-", *_amounts(one)]
    yield ["all", "", *_amounts(found)]


def _amounts(one: dict[str, Any]) -> list[str]:
    from calls.money import money

    return [money(one[f"{name}_minor"], None) for name in ("before", "after", "difference")]
