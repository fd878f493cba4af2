"""`safiri import FILE…`: history into the log."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from cli.options import as_json, common
from runtime.settings import Settings


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--account", required=True, help="The account that the deliveries belong to.")
@click.option(
    "--format", "form", help="neutral, sautikit, minivoice, africastalking, asterisk-queue-log (default: the account's provider)."
)
@as_json
@common
def command(settings: Settings, files: tuple[Path, ...], account: str, form: str | None, as_json: bool) -> None:
    """Import history: one delivery a line, plain or gzip. Twice is once."""
    from ingest.counting import Counts
    from ingest.imports import import_file
    from runtime.addresses import find

    addresses = find(settings)
    total = Counts()
    for path in files:
        size = path.stat().st_size if path.exists() else 0
        with click.progressbar(length=size, label=path.name, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
            one = import_file(
                path, account=account, form=form, settings=settings, bootstrap=addresses["kafka"], database_url=addresses["database"],
                progress=bar.update, say=lambda line: click.echo(line, err=True),
            )  # fmt: skip
        total = Counts(*(getattr(total, name) + getattr(one, name) for name in Counts.__struct_fields__))
    counts = {name: getattr(total, name) for name in Counts.__struct_fields__}
    click.echo(json.dumps(counts) if as_json else "  ".join(f"{name} {count}" for name, count in counts.items()))
    if total.quarantined:
        click.echo(f"{total.quarantined} lines were not understood: see `safiri quarantine ls`", err=True)
        raise SystemExit(1)
