"""`safiri url http|database|kafka|bi`: one address of the running stack on stdout, for scripts."""

from __future__ import annotations

import json
from typing import Literal

import click

from cli.options import as_json, common
from runtime import addresses
from runtime.problems import Missing
from runtime.settings import Settings


@click.command("url")
@click.argument("what", type=click.Choice(["http", "database", "kafka", "bi"]))
@as_json
@common
def command(settings: Settings, what: Literal["http", "database", "kafka", "bi"], as_json: bool) -> None:
    """Print an address of the running stack. Exit 3 where nothing runs."""
    if what == "bi":
        raise Missing("there is no read-only role for BI tools yet; `safiri url database` is the owner's address")
    address = addresses.find(settings)[what]
    if not address:
        raise Missing(
            f"no address of {what} is known: set SAFIRI_DATABASE_URL and SAFIRI_KAFKA_BOOTSTRAP, or start the stack with `safiri up`"
        )
    click.echo(json.dumps({what: address}) if as_json else address)
