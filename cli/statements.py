"""`safiri statements import FILE`: a provider's statement into the log."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options import as_json, common
from runtime.settings import Settings

if TYPE_CHECKING:
    from ingest.statement_files import Told

SHOWN = 20


@click.group("statements")
def command() -> None:
    """A provider's call records, ledger lines and balances."""


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--account", required=True, help="The account that the statement is of.")
@as_json
@common
def import_(settings: Settings, file: Path, account: str, as_json: bool) -> None:
    """Take in FILE: CSV or a JSON array, plain or gzip, `-` for stdin. Twice is once; interrupted, run it again.

    Exit 0 where the file was taken, 2 where its header cannot be understood (then nothing of it is taken).
    """
    import msgspec

    from ingest.statement_files import import_statement
    from runtime.addresses import find

    told = import_statement(file, account=account, settings=settings, addresses=find(settings))
    if as_json:
        click.echo(msgspec.json.encode(told).decode())
    else:
        _shown(told)


def _shown(told: Told) -> None:
    click.echo(f"read {told.read}  accepted {told.accepted}  duplicate {told.duplicate}  rejected {len(told.rejected)}")
    for what, lines in (("rejected", told.rejected), ("does not add up", told.unbalanced)):
        for one in lines[:SHOWN]:
            click.echo(f"line {one['line']}: {what}: {one['detail']}", err=True)
        if len(lines) > SHOWN:
            click.echo(f"and {len(lines) - SHOWN} more (--json lists all)", err=True)
    if told.rejected:
        click.echo("rejected lines are kept aside: `safiri quarantine ls`", err=True)
    sys.stderr.flush()
