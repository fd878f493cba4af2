"""`safiri url http|database|kafka|virtual|bi|hook`: one address of the running stack on stdout, for scripts."""

from __future__ import annotations

import json
from typing import Literal, cast

import click

from cli.options import as_json, common
from runtime import addresses
from runtime.problems import Missing, Refused
from runtime.settings import UNSIGNED, Settings

Running = Literal["http", "database", "kafka", "virtual"]


@click.command("url")
@click.argument("what", type=click.Choice(["http", "database", "kafka", "virtual", "bi", "hook"]))
@click.argument("account", required=False)
@as_json
@common
def command(
    settings: Settings, what: Literal["http", "database", "kafka", "virtual", "bi", "hook"], account: str | None, as_json: bool
) -> None:
    """Print an address of the running stack: `hook ACCOUNT` is where that account's provider delivers."""
    if (what == "hook") != (account is not None):
        raise click.UsageError("`hook` takes an account" if account is None else f"`{what}` takes no account")
    if what == "bi":
        raise Missing("there is no read-only role for BI tools yet; `safiri url database` is the owner's address")
    address = _hook(settings, account) if account is not None else addresses.find(settings)[cast(Running, what)]
    if not address and what == "virtual":
        raise Missing('no account of the running stack has api_url = "virtual"')
    if not address:
        raise Missing(
            f"no address of {what} is known: set SAFIRI_DATABASE_URL and SAFIRI_KAFKA_BOOTSTRAP, or start the stack with `safiri up`"
        )
    click.echo(json.dumps({what: address}) if as_json else address)


def _hook(settings: Settings, name: str) -> str:
    """Where deliveries go; with the token for a provider that signs nothing."""
    from calls.providers.signatures import token

    account = settings.accounts.get(name)
    if account is None:
        names = ", ".join(sorted(settings.accounts)) or "none"
        raise Refused(422, "Unknown account", f"no account {name!r} is configured; known: {names}")
    address = f"{settings.public_url or addresses.find(settings)['http']}/hooks/{name}"
    if account.provider not in UNSIGNED or account.signature == "none":
        return address
    if not account.signing_secrets:
        raise Refused(422, "No secret", f"accounts.{name} has no signing_secrets: any text of your own will do, the token is made of it")
    return f"{address}?token={token(account.signing_secrets[0].get_secret_value())}"
