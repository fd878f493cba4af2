"""How reading commands reach the running stack: Postgres directly, found through the data directory. Who may read that may read all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from runtime import addresses
from runtime.problems import Missing, Refused, Retry
from runtime.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy as sa

    from api.freshness import Freshness
    from calls.rating.terms import Plan

tenant_option = click.option("--tenant", default="default", show_default=True, metavar="NAME", help="Whose rows.")


def known_tenant(settings: Settings, tenant: str) -> str:
    """The tenant itself; Refused (exit 2) where nothing names it."""
    if tenant not in settings.tenant_names:
        raise Refused(422, "Unknown tenant", f"no tenant {tenant!r}; known are {', '.join(sorted(settings.tenant_names))}")
    return tenant


def database(settings: Settings) -> str:
    """Postgres' address. Missing (exit 3) where nothing runs."""
    found = addresses.find(settings)["database"]
    if not found:
        raise Missing("no address of Postgres is known: start the stack with `safiri up`, or set SAFIRI_DATABASE_URL")
    return found


@contextmanager
def connected(settings: Settings, *, size: int = 1) -> Iterator[sa.Engine]:
    """An engine that reads the live tables. What Postgres cannot answer becomes Retry (exit 3)."""
    from api.database import away_is_retry, reader

    engine = reader(database(settings), name="cli", size=size)
    try:
        with away_is_retry():
            yield engine
    finally:
        engine.dispose()


@contextmanager
def freshness(settings: Settings, engine: sa.Engine) -> Iterator[Freshness]:
    """Readings of how far the tables are behind, as the API takes them."""
    from api.freshness import Freshness
    from ingest.spool import count
    from runtime.kafka import Watcher

    watcher = Watcher(addresses.find(settings)["kafka"])
    try:
        yield Freshness(watcher, engine, spool=lambda: (count(settings.data_dir / "spool"), None))
    finally:
        watcher.close()


def complete_through(settings: Settings, engine: sa.Engine) -> str | None:
    """Up to when the tables have everything; None where nobody can say now."""
    with freshness(settings, engine) as readings:
        return readings.complete_through()


def plans(settings: Settings, tenant: str) -> dict[str, Plan]:
    """Every plan that the tenant can name: those that come with Safiri, and where a stack runs, those posted to it too."""
    import psycopg

    from runtime.plans import shipped
    from runtime.posted_plans import plans_of
    from runtime.postgres import AWAY, connect

    known_tenant(settings, tenant)
    try:
        address = database(settings)
    except Missing:
        return shipped()
    try:
        with connect(address, name="plans", autocommit=True) as connection:
            return plans_of(connection, tenant)
    except psycopg.errors.UndefinedTable as error:
        raise Retry("the schema is not there yet: `safiri migrate` makes it") from error
    except AWAY as error:
        raise Retry("Postgres went away: ask again") from error


def plan_named(settings: Settings, tenant: str, name: str) -> Plan:
    """One of them. Refused 404 where there is none."""
    known = plans(settings, tenant)
    if name not in known:
        raise Refused(404, "Unknown plan", f"there is no plan {name[:64]!r}; there are {', '.join(known)}")
    return known[name]


def printed(document: Any) -> None:
    """One JSON document on stdout, as people can read it too."""
    import json

    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
