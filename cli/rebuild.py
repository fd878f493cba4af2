"""`safiri rebuild [--verify]`: refolds the journal beside the live tables, then switches and checks the laws, or only compares."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from cli.options import as_json, common
from runtime.settings import Settings

if TYPE_CHECKING:
    from projections.rebuild import Report
    from runtime.laws.check import Checked


@click.command("rebuild")
@click.option("--projection", help="Only this table.")
@click.option("--verify", is_flag=True, help="Only compare; exit 1 where a cell differs.")
@as_json
@common
def command(settings: Settings, projection: str | None, verify: bool, as_json: bool) -> int:
    """Rebuild the derived tables from the journal, and check every law over them."""
    from projections.rebuild import rebuild
    from runtime.addresses import find
    from runtime.laws.check import broken, check_all

    database, said = find(settings)["database"], sys.stderr.isatty()
    report = rebuild(
        database, verify=verify, projection=projection,
        progress=lambda done: click.echo(f"\r{done} calls", nl=False, err=True) if said else None,
    )  # fmt: skip
    laws = {} if verify else check_all(database)
    if as_json:
        _as_json(report, laws)
    else:
        _told(report, verify=verify)
        _obeyed(laws)
    return 1 if report.differences or report.broken or any(broken(found) for found in laws.values()) else 0


def _as_json(report: Report, laws: dict[str, list[Checked]]) -> None:
    import msgspec

    from api.analytics.invariants import shown

    found: dict[str, Any] = {tenant: shown(checked, None)["laws"] for tenant, checked in laws.items()}
    click.echo(msgspec.json.encode(msgspec.to_builtins(report) | {"laws": found}).decode())


def _told(report: Report, *, verify: bool) -> None:
    for name, root in report.roots.items():
        click.echo(f"{name:15} {root['rows']:>9} rows  {root['digest']}")
    for one in report.differences:
        where = ", ".join(f"{key}={value}" for key, value in one.key.items())
        click.echo(f"differs: {one.table} ({where}) column {one.column or '(row)'}: live {one.live!r}, rebuilt {one.rebuilt!r}")
    done = "compared" if verify else "rebuilt and switched"
    click.echo(f"{done}: {report.calls} call ids, generation {report.generation}, {len(report.differences)} differences", err=True)


def _obeyed(laws: dict[str, list[Checked]]) -> None:
    """How many laws hold; of the others, where they do not."""
    from cli.invariants import said

    for tenant, found in laws.items():
        wrong = [one for one in found if one.broken]
        click.echo(f"laws: {len(found) - len(wrong)} of {len(found)} hold for tenant {tenant}", err=True)
        for one in wrong:
            said(one)
