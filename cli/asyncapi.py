"""`safiri asyncapi`: the AsyncAPI document of the log's topics."""

from __future__ import annotations

import json

import click


@click.command("asyncapi")
def command() -> None:
    """Print the AsyncAPI document of the log."""
    from projections.asyncapi import document

    click.echo(json.dumps(document(), indent=2))
