"""`safiri export DATASET`: the files of `GET /v1/exports`, straight from Postgres."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from cli.options import as_json, common
from cli.reading import database, known_tenant, printed, tenant_option
from runtime.problems import Refused
from runtime.settings import Settings

if TYPE_CHECKING:
    from api.exports.statements import Asked


@click.command("export")
@click.argument("dataset")
@click.option("--from", "begin", metavar="TIME", help="Journeys that started at this time or later (RFC 3339).")
@click.option("--to", "end", metavar="TIME", help="Journeys that started before this time.")
@click.option("--format", "form", metavar="csv|parquet|ndjson", help="Default: the file's ending, else csv.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Whole or not at all (default: stdout).")
@tenant_option
@as_json
@common
def command(settings: Settings, dataset: str, tenant: str, output: Path | None, as_json: bool, **given: str | None) -> None:
    """Write a whole DATASET: journeys, calls, legs, segments, queue_visits, menu_steps and more (docs/exports.md)."""
    if as_json and output is None:
        raise Refused(422, "No file", "--json needs -o FILE: without it the rows themselves are on stdout")
    asked = _asked(dataset, given, tenant=known_tenant(settings, tenant), output=output)
    if output is None:
        if asked.form.name == "parquet" and sys.stdout.isatty():
            raise Refused(422, "No file", "Parquet is nothing to read on a screen: name a file with -o FILE")
        _export(settings, asked, sys.stdout.buffer)
        return
    with _whole(output) as file:
        rows = _export(settings, asked, file)
        size = os.fstat(file.fileno()).st_size
    if as_json:
        printed({"file": str(output), "dataset": dataset, "format": asked.form.name, "rows": rows, "bytes": size})
    else:
        click.echo(f"{output}: {rows:,} rows, {size:,} bytes", err=True)


def _asked(dataset: str, given: dict[str, str | None], *, tenant: str, output: Path | None) -> Asked:
    from api.exports.formats import FORMATS
    from api.exports.statements import asked_for
    from api.params import period_of

    ending = output.suffix[1:].lower() if output else ""
    form = given["form"] or (ending if ending in FORMATS else "csv")
    period = period_of((name, text) for name, text in (("from", given["begin"]), ("to", given["end"])) if text is not None)
    return asked_for(dataset, form, tenant=tenant, period=period)


def _export(settings: Settings, asked: Asked, file: BinaryIO) -> int:
    """Writes all; the number of rows."""
    from api.exports.export import Export

    export = Export(asked, database(settings))
    try:
        rows = export.open().rows
        export.write(file, _progress(asked.dataset.name, rows))
    finally:
        export.close()
    return rows


def _progress(name: str, rows: int) -> Callable[[int], None] | None:
    """Says on a terminal how far it is."""
    if not sys.stderr.isatty():
        return None

    def say(done: int) -> None:
        click.echo(f"\r{name}: {min(done, rows):,} of {rows:,} rows", nl=done >= rows, err=True)

    return say


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A file that takes its name when it is complete; until then what was there before stays. Devices and pipes are written to."""
    there = path.resolve()
    if there.is_dir() or not there.parent.is_dir():
        raise Refused(422, "No file", f"{path} is a folder: name a file" if there.is_dir() else f"there is no folder {there.parent}")
    if there.exists() and not stat.S_ISREG(there.stat().st_mode):
        with open(there, "wb") as file:
            yield file
        return
    scratch = there.with_name(f".{there.name[:200]}.{os.getpid()}.part")
    try:
        with open(scratch, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(there)
    except BaseException:
        with suppress(OSError):
            scratch.unlink()
        raise
