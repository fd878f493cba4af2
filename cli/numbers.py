"""`safiri numbers ls|claim|route`: the numbers of an account at its provider, and which flow answers them."""

from __future__ import annotations

import asyncio
import uuid

import click
import msgspec

from calls.parties import readable
from calls.providers import rest
from calls.providers.rest import Asked, Number
from cli.options import as_json, common
from cli.reading import printed
from runtime.addresses import VIRTUAL, find
from runtime.problems import Missing, Refused
from runtime.provider import Answered, Provider
from runtime.settings import Account, Settings

NOT_THERE = 404
account_option = click.option(
    "--account", "named", metavar="A", help="The account whose provider is asked (default: the first with an api_key; route: the flow's)."
)  # fmt: skip


@click.group("numbers")
def command() -> None:
    """The numbers of an account at its provider, and which flow answers them."""


@command.command("ls")
@account_option
@click.option("--available", is_flag=True, help="Those that could be had, instead.")
@as_json
@common
def list_(settings: Settings, named: str | None, available: bool, as_json: bool) -> None:
    """List the account's numbers."""
    name = named or _first(settings)
    found = _numbers(settings, name, available=available)
    if as_json:
        printed([msgspec.to_builtins(one) for one in found])
        return
    for one in found:
        monthly = f"{one.monthly_minor / 100:.2f} {one.currency or ''}" if one.monthly_minor is not None else "-"
        click.echo(f"{one.number:<16} {one.country or '-':3} {one.status or '-':10} {monthly:>12}  {one.answered_at or '-'}")
    if not found:
        click.echo("the provider lists none", err=True)


@command.command("claim")
@click.argument("number")
@account_option
@as_json
@common
def claim(settings: Settings, number: str, named: str | None, as_json: bool) -> None:
    """Take an available number. It costs what `ls --available` says."""
    name = named or _first(settings)
    wanted = _found(
        settings, name, number, available=True, otherwise="is not available; `safiri numbers ls --available` lists those that are"
    )
    _ask(settings, name, rest.claim(wanted, how=settings.accounts[name].number_claim), key=str(uuid.uuid4()))
    told = f"{wanted.number} is yours: add it to accounts.{name}.numbers, and say which flow answers it with `safiri numbers route`"
    printed(msgspec.to_builtins(wanted)) if as_json else click.echo(told)


@command.command("route")
@click.argument("number")
@click.argument("flow")
@account_option
@as_json
@common
def route(settings: Settings, number: str, flow: str, *, named: str | None, as_json: bool) -> None:
    """Let FLOW answer NUMBER: the provider is told its address."""
    known = settings.flows.get(flow)
    owner = known.get("account") if isinstance(known, dict) else None
    name = named or (owner if isinstance(owner, str) else _first(settings))
    account = _account(settings, name)
    if not isinstance(known, dict) or known.get("account") != name:
        raise Refused(422, "Unknown flow", f"account {name} has no flow {flow!r}: flows.{flow}.account must be {name!r}")
    mine = _found(settings, name, number, available=False, otherwise=f"is no number of account {name}; `safiri numbers ls` lists them")
    address = f"{_public(settings)}/voice/{flow}"
    _ask(settings, name, rest.route(mine, to=address, how=account.number_route, field=account.number_route_field))
    printed(msgspec.to_builtins(mine) | {"answered_at": address}) if as_json else click.echo(f"{mine.number} is answered by {address}")


def _numbers(settings: Settings, name: str, *, available: bool = False) -> list[Number]:
    return rest.numbers(_ask(settings, name, rest.list_numbers(available=available)).body)


def _found(settings: Settings, name: str, number: str, *, available: bool, otherwise: str) -> Number:
    """The number in any writing of its digits. A provider that lists none (404) is asked for it by the number itself."""
    try:
        listed = _numbers(settings, name, available=available)
    except Refused as refused:
        tenant = settings.tenant(settings.accounts[name].tenant)
        written = readable(number, tenant.country) if refused.status == NOT_THERE else None
        if written is None or (available and settings.accounts[name].number_claim == "inventory"):
            raise
        return Number(written)
    digits = "".join(letter for letter in number if letter.isdigit())
    found = next((one for one in listed if digits and one.number.lstrip("+") == digits), None)
    if found is None:
        raise Refused(422, "Unknown number", f"{number} {otherwise}")
    return found


def _ask(settings: Settings, name: str, asked: Asked, *, key: str | None = None) -> Answered:
    """What the provider answers. Refused where it refuses, Retry where it is away."""
    _account(settings, name)

    async def ask() -> Answered:
        provider = Provider(settings)
        try:
            return await provider.ask(name, asked, key=key, tries=3)
        finally:
            await provider.close()

    answered = asyncio.run(ask())
    if answered.status >= 300:
        why = rest.refusal(answered.status, answered.body)
        raise Refused(
            answered.status, "Refused", f"the provider refused ({answered.status} {why.code}): {why.message or 'no reason given'}"
        )
    return answered


def _first(settings: Settings) -> str:
    """The account that is asked where none is named."""
    able = (
        name
        for name, account in settings.accounts.items()
        if account.provider == "sautikit" and (account.api_key or account.api_url == VIRTUAL)
    )
    name = next(able, None)
    if name is None:
        raise Missing("no account has an api_key: make one at the provider and name it in accounts.NAME.api_key")
    return name


def _account(settings: Settings, name: str) -> Account:
    account = settings.accounts.get(name)
    if account is None:
        raise Refused(422, "Unknown account", f"no account {name!r} is configured; known: {', '.join(sorted(settings.accounts)) or 'none'}")
    if account.provider != "sautikit":
        raise Refused(422, "No numbers", f"the provider of account {name} ({account.provider}) has no REST for numbers")
    if account.api_key is None and account.api_url != VIRTUAL:
        raise Missing(f"account {name} has no api_key: make one at the provider and name it in accounts.{name}.api_key")
    return account


def _public(settings: Settings) -> str:
    """Where the provider reaches us."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    address = find(settings)["http"]
    click.echo(f"public_url is not set: the provider is told {address}, which it must be able to reach", err=True)
    return address
