"""Makes the database what the code expects: migrations, a live generation of derived tables, the configuration of today."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import structlog
from alembic import command
from alembic.config import Config

from calls.clock import Micros
from calls.configuration import Configuration
from calls.parties import normalise
from projections import agent_marks, generations, rereading, tariffs
from projections.rebuild import rebuild
from runtime.laws.check import broken, check_all
from runtime.postgres import connect
from runtime.problems import Retry
from runtime.settings import Settings

log = structlog.get_logger()
MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
LOCK = 0x5AF1_0003  # advisory: one migration at a time


def alembic(database_url: str) -> Config:
    """Alembic's configuration for our migrations."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["database_url"] = database_url
    return config


def migrate(settings: Settings, database_url: str, *, now: Micros) -> None:
    """Idempotent, and safe from several processes at once. A generation of another shape or fold is rebuilt before it is shown."""
    with connect(database_url, name="migrate", autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        command.upgrade(alembic(database_url), "head")
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (generations.GATE,))  # whoever projects has seen it, or will
            before = _last(connection)
            remember(connection, configuration_of(settings, now))
            after = _last(connection)
            agent_marks.everything(connection, _differing(before.timezones, after.timezones))
            if _of_today(connection):
                tariffs.defer_uncharged(connection, tariffs.newly_named(before, after))
            rereading.mark(connection, [*_differing(before.timezones, after.timezones), *_differing(before.countries, after.countries)])
        _generation(connection, database_url)
        rereading.reread(connection)
        connection.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))


def _last(connection: psycopg.Connection[Any]) -> Configuration:
    row = connection.execute("SELECT content FROM safiri.configuration ORDER BY version DESC LIMIT 1").fetchone()
    return msgspec.json.decode(row[0], type=Configuration) if row else Configuration()


def _of_today(connection: psycopg.Connection[Any]) -> bool:
    """Whether the live tables are those of this code; others are rebuilt, which rates everything."""
    live = connection.execute("SELECT fingerprint FROM safiri.generations WHERE state = 'live'").fetchone()
    return live is not None and live[0] == generations.fingerprint()


def _differing(before: dict[str, str], now: dict[str, str]) -> list[str]:
    return sorted(tenant for tenant in {*before, *now} if before.get(tenant) != now.get(tenant))


def _generation(connection: psycopg.Connection[Any], database_url: str) -> None:
    live = connection.execute("SELECT n, fingerprint FROM safiri.generations WHERE state = 'live'").fetchone()
    if live is None:
        with connection.transaction():
            generations.show(connection, generations.make(connection, "live"))
    elif live[1] != generations.fingerprint():
        rebuild(database_url)
        _hold(database_url)


def _hold(database_url: str) -> None:
    """Says which laws the new tables break; the tables are shown all the same, for the old ones are of the past."""
    try:
        found = check_all(database_url)
    except Retry as error:
        log.warning("laws not checked", reason=str(error))
        return
    for tenant, laws in found.items():
        for one in broken(laws):
            log.error("law broken", tenant=tenant, law=one.law.id, places=one.broken, says=one.law.says)
        log.info("laws hold", tenant=tenant, hold=len(laws) - len(broken(laws)), of=len(laws))


def configuration_of(settings: Settings, now: Micros) -> Configuration:
    """What a fold may know of the settings."""
    agents: dict[str, str] = {}
    for name, agent in settings.agents.items():
        country = settings.tenant(agent.tenant).country
        if agent.number:
            agents[normalise(agent.number, country)] = name
        if agent.sip:
            agents[agent.sip] = name
    numbers = {
        name: sorted(normalise(number, settings.tenant(account.tenant).country) for number in account.numbers)
        for name, account in settings.accounts.items()
    }
    return Configuration(
        since=now,
        countries={name: settings.tenant(name).country for name in sorted(settings.tenant_names)},
        numbers=numbers,
        agents=dict(sorted(agents.items())),
        timezones={name: str(settings.tenant(name).timezone) for name in sorted(settings.tenant_names)},
        rate_plans={name: account.rate_plan for name, account in sorted(settings.accounts.items()) if account.rate_plan},
    )


def remember(connection: psycopg.Connection[Any], configuration: Configuration) -> bool:
    """Appends the configuration where it is another than the last one; returns whether it was."""
    content = msgspec.json.encode(configuration)
    digest = hashlib.blake2b(msgspec.json.encode(msgspec.structs.replace(configuration, since=0)), digest_size=16).digest()
    last = connection.execute("SELECT digest FROM safiri.configuration ORDER BY version DESC LIMIT 1").fetchone()
    if last and last[0] == digest:
        return False
    connection.execute("INSERT INTO safiri.configuration (digest, content) VALUES (%s, %s)", (digest, content.decode()))
    return True
