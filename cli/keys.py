"""`safiri keys create|ls|revoke`: API keys, shown once and kept as a digest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from cli.options import as_json, common
from cli.reading import database, known_tenant, printed
from runtime.problems import Refused
from runtime.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy as sa

    from runtime.keys import Scope


@click.group("keys")
def command() -> None:
    """Create, list and revoke API keys."""


@command.command("create")
@click.option("--name", required=True, metavar="NAME", help="Whose key it is, for people who read the list.")
@click.option("--tenant", default="default", show_default=True, metavar="NAME", help="Whose rows it opens.")
@click.option("--scope", type=click.Choice(["read", "write", "admin"]), default="read", show_default=True)
@as_json
@common
def create(settings: Settings, name: str, tenant: str, scope: Scope, as_json: bool) -> None:
    """Print a new API key, once."""
    from runtime import keys

    known_tenant(settings, tenant)
    if not name.strip() or not name.isprintable():
        raise Refused(422, "Invalid name", "--name: give a name of printable characters")
    with transaction(settings) as connection:
        key = keys.create(connection, name=name, tenant=tenant, scope=scope)
    if as_json:
        printed({"id": key.split("_")[1], "name": name, "tenant": tenant, "scope": scope, "key": key})
        return
    click.echo("this key is shown once: keep it where secrets are kept", err=True)
    click.echo(key)


@command.command("ls")
@as_json
@common
def list_(settings: Settings, as_json: bool) -> None:
    """List all keys, without their secrets."""
    from runtime import keys

    with transaction(settings) as connection:
        found = keys.listing(connection)
    if as_json:
        shown = [{**row, "created_at": _time(row["created_at"]), "revoked_at": _time(row["revoked_at"])} for row in found]
        printed({"keys": shown})
        return
    for row in found:
        state = f"revoked {_time(row['revoked_at'])}" if row["revoked_at"] else "valid"
        click.echo(f"{row['id']}  {row['scope']:5}  {row['tenant']:12}  {_time(row['created_at'])}  {state:8}  {row['name']}")


@command.command("revoke")
@click.argument("identity", metavar="ID")
@common
def revoke(settings: Settings, identity: str) -> None:
    """Revoke a key by its id (the eight characters after sfk_). It opens nothing after ten seconds."""
    from runtime import keys

    short = identity.split("_")[1] if identity.startswith("sfk_") else identity
    with transaction(settings) as connection:
        found = "\0" not in short and keys.revoke(connection, short)
    if not found:
        raise Refused(404, "Unknown key", f"no key has the id {short!r}; `safiri keys ls` lists them")
    click.echo(f"{short} is revoked", err=True)


def _time(at: object) -> str | None:
    import datetime

    return at.astimezone(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if isinstance(at, datetime.datetime) else None


@contextmanager
def transaction(settings: Settings) -> Iterator[sa.Connection]:
    """One that may write."""
    from api.database import away_is_retry
    from runtime.postgres import engine

    made = engine(database(settings), name="keys", size=1)
    try:
        with away_is_retry(), made.begin() as connection:
            yield connection
    finally:
        made.dispose()
