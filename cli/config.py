"""`safiri config check`: reads the configuration as every role would."""

from __future__ import annotations

import json

import click

from cli.options import as_json, common
from runtime.flows import flows_of
from runtime.plans import to_be_posted
from runtime.settings import Settings


@click.group("config")
def command() -> None:
    """Check the configuration."""


@command.command("check")
@as_json
@common
def check(settings: Settings, as_json: bool) -> None:
    """Exit 0 where the configuration holds; 2 and the field where it does not. Warnings and notes are said and stop nothing."""
    flows = sorted(flows_of(settings))
    if as_json:
        file = str(settings.config_path) if settings.config_path else None
        told = {"file": file, "accounts": sorted(settings.accounts), "flows": flows, "warnings": settings.warnings}
        click.echo(json.dumps(told | {"notes": to_be_posted(settings.accounts)}, indent=2))
        return
    for warning in settings.warnings:
        click.echo(f"warning: {warning}", err=True)
    for note in to_be_posted(settings.accounts):
        click.echo(f"note: {note}", err=True)
    accounts = ", ".join(sorted(settings.accounts)) or "none"
    walked = f"; flows: {', '.join(flows)}" if flows else ""
    click.echo(f"ok: {settings.config_path or 'no safiri.toml, defaults only'}; accounts: {accounts}{walked}")
