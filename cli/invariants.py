"""`safiri invariants`: every law that the numbers obey, and where one is broken. Exit 1 where one is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.options import as_json, common
from cli.reading import complete_through, connected, database, known_tenant, printed, tenant_option
from runtime.settings import Settings

if TYPE_CHECKING:
    from runtime.laws.check import Checked

SHOWN = 5  # violations a law


@click.command("invariants")
@click.option("--from", "since", metavar="TIME", help="What lies before this is left out (RFC 3339).")
@click.option("--to", "until", metavar="TIME", help="What lies at or after this is left out.")
@tenant_option
@as_json
@common
def command(settings: Settings, tenant: str, since: str | None, until: str | None, as_json: bool) -> int:
    """Check the laws that the numbers obey."""
    from api.analytics.invariants import shown
    from api.params import period_of
    from runtime.laws.check import Range, broken, check

    known_tenant(settings, tenant)
    within = Range(*period_of([(name, value) for name, value in (("from", since), ("to", until)) if value is not None]))
    if as_json:
        with connected(settings) as engine:
            through = complete_through(settings, engine)
        found = check(database(settings), tenant, within)
        printed(shown(found, through))
    else:
        found = check(database(settings), tenant, within)
        for one in found:
            said(one)
    return 1 if broken(found) else 0


def said(one: Checked) -> None:
    """A line where the law holds; what it says and the first places where it does not."""
    from calls.ladder import plain

    word = "broken" if one.broken else "ok"
    click.echo(f"{word:<7} {one.law.id:<20} {one.left} {one.law.relation} {one.right}")
    if not one.broken:
        return
    click.echo(f"        in {one.broken} places {one.law.says} is not so; the first of them:")
    for violation in one.violations[:SHOWN]:
        where = ", ".join(f"{name}={plain(str(value))}" for name, value in violation.where.items() if value is not None)
        click.echo(f"        {where}: {violation.left} {one.law.relation} {violation.right}")
