"""`safiri journey ID`: one call's story as a ladder in text, from any id of the call; `--json` is what HTTP answers."""

from __future__ import annotations

import click

from cli.options import as_json, common
from cli.reading import complete_through, connected, known_tenant, tenant_option
from runtime.problems import Refused
from runtime.settings import Settings


@click.command("journey")
@click.argument("name", metavar="ID")
@tenant_option
@as_json
@common
def command(settings: Settings, name: str, tenant: str, as_json: bool) -> None:
    """Show one call's story. ID: a journey id, a call SID, an alias, or a client request id."""
    from zoneinfo import ZoneInfo

    from api import read
    from calls.ladder import ladder, plain

    known_tenant(settings, tenant)
    with connected(settings) as engine:
        through = complete_through(settings, engine)
        try:
            with engine.connect() as connection:
                document = read.one(connection, name, tenant=tenant, complete_through=through)
        except read.Ambiguous as several:
            listed = "".join(f"\n  {row['journey_id']}  {row['started_at']}  {plain(str(row['call_sid']))}" for row in several.journeys)
            raise Refused(409, several.title, several.detail + listed) from None
    click.echo(document.decode() if as_json else ladder(document, ZoneInfo(settings.tenant(tenant).timezone)).rstrip("\n"))
