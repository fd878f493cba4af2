"""`safiri infer-tariff FILE`: which tariff explains what calls were charged, as a rate plan ready for use."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options import as_json, common
from runtime.settings import Settings

if TYPE_CHECKING:
    from calls.rating.infer import Inferred

SHOWN = 10


@click.command("infer-tariff")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True, allow_dash=True))
@click.option("--currency", default="KES", show_default=True, metavar="CODE", help="The currency of the plans.")
@as_json
@common
def command(settings: Settings, file: Path, currency: str, as_json: bool) -> int:
    """Find the tariff behind FILE: CSV with duration_s,charge_minor and, where known, at and direction. `-` reads stdin.

    Exit 0 where a rule explains every line, 1 where none does: then the best one is shown with the lines it leaves.
    """
    import msgspec

    from api.tariffs import inferred, known_currency

    body = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    found = inferred(body, known_currency(currency))
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        _shown(found)
    return 0 if found.explained else 1


def _shown(found: Inferred) -> None:
    """The best plan on stdout, so that it can be kept in a file; what there is to say about it on stderr."""
    best, others = found.rules[0], len(found.rules) - 1
    click.echo(best.plan_toml, nl=not best.plan_toml.endswith("\n"))
    if best.exceptions:
        lines = ", ".join(str(one["line"]) for one in best.exceptions[:SHOWN])
        more = len(best.exceptions) - SHOWN
        click.echo(f"not explained: line {lines}{f' and {more} more' if more > 0 else ''}", err=True)
    if others:
        rules = "1 other rule explains" if others == 1 else f"{others} other rules explain"
        click.echo(f"{rules} as much (--json shows all): a call of {found.tell_apart_s} s would tell them apart", err=True)
