"""`safiri serve http|projector|worker|virtual`: one role in the foreground, any number of each."""

from __future__ import annotations

import importlib

import click

from cli.options import common
from runtime.settings import Settings

# role -> the module whose `run(settings)` is that role until SIGTERM.
ROLES = {"http": "cli.http", "projector": "projections.consumer", "worker": "cli.worker", "virtual": "virtual.server"}


@click.command("serve")
@click.argument("role", type=click.Choice(list(ROLES)))
@click.option("--host", metavar="ADDRESS", help="http: listen here (default: the configuration's http_host).")
@click.option("--port", type=click.IntRange(0, 65535), help="http: listen on this port (default: the configuration's http_port).")
@common
def command(settings: Settings, role: str, host: str | None, port: int | None) -> None:
    """Run one role until SIGTERM."""
    given = {"http_host": host, "http_port": port}
    chosen = settings.model_copy(update={name: value for name, value in given.items() if value is not None})
    importlib.import_module(ROLES[role]).run(chosen)
