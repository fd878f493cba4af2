"""`safiri close-period`: the charges of a period that is over stand for good."""

from __future__ import annotations

from typing import Any

import click

from cli.options import as_json, common
from cli.periods import of_an_account, period
from cli.reading import complete_through, connected, database, known_tenant, printed, tenant_option
from runtime import clock
from runtime.settings import Settings


@click.command("close-period")
@of_an_account
@click.option("--anyway", is_flag=True, help="Also with legs that are open or unrated.")
@tenant_option
@as_json
@common
def command(settings: Settings, tenant: str, *, anyway: bool, as_json: bool, **given: str | None) -> None:
    """Close an account's period: what is learned of it later is a correction and changes no charge in it."""
    from api import read
    from api.money import closing

    asked = closing.Asked(known_tenant(settings, tenant), period(settings, tenant, given), anyway)
    with connected(settings) as engine:
        read.known_account(engine, settings, tenant=tenant, account=asked.period.account)
        through = complete_through(settings, engine)
    closed = closing.close(database(settings), asked, now=clock.now(), complete_through=through)
    if as_json:
        printed(closed)
    else:
        _shown(closed)


def _shown(closed: dict[str, Any]) -> None:
    from calls.money import money

    click.echo(f"{closed['id']}: {closed['account']} from {closed['from']} to {closed['to']} is closed")
    for one in closed["by_plan"]:
        click.echo(f"{money(one['amount_minor'], one['currency']):>20}  {one['legs']} legs by {one['plan']} {one['version']}")
    if closed["unrated"]:
        click.echo(f"{closed['unrated']} legs are unrated", err=True)
