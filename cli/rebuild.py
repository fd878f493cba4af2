"""`safiri rebuild [--verify]`: refolds the journal beside the live tables, then switches, or only compares."""

from __future__ import annotations

import sys

import click

from cli.options import as_json, common
from runtime.settings import Settings


@click.command("rebuild")
@click.option("--projection", help="Only this table.")
@click.option("--verify", is_flag=True, help="Only compare; exit 1 where a cell differs.")
@as_json
@common
def command(settings: Settings, projection: str | None, verify: bool, as_json: bool) -> None:
    """Rebuild the derived tables from the journal."""
    import msgspec

    from projections.rebuild import rebuild
    from runtime.addresses import find

    said = sys.stderr.isatty()
    report = rebuild(
        find(settings)["database"], verify=verify, projection=projection,
        progress=lambda done: click.echo(f"\r{done} calls", nl=False, err=True) if said else None,
    )  # fmt: skip
    if as_json:
        click.echo(msgspec.json.encode(report).decode())
    else:
        for name, root in report.roots.items():
            click.echo(f"{name:14} {root['rows']:>9} rows  {root['digest']}")
        for one in report.differences:
            where = ", ".join(f"{key}={value}" for key, value in one.key.items())
            click.echo(f"differs: {one.table} ({where}) column {one.column or '(row)'}: live {one.live!r}, rebuilt {one.rebuilt!r}")
        done = "compared" if verify else "rebuilt and switched"
        click.echo(f"{done}: {report.calls} call ids, generation {report.generation}, {len(report.differences)} differences", err=True)
    if report.differences or report.broken:
        raise SystemExit(1)
