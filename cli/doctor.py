"""`safiri doctor`: one line a dependency and setting, ok or how to mend it. Exit 1 where something is wrong that matters."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import click

from cli.options import as_json, places, settings_of
from runtime import addresses
from runtime.embedded import jars, java, postgres, spawn
from runtime.plans import to_be_posted
from runtime.problems import Missing, Refused, Retry
from runtime.settings import Settings

State = Literal["ok", "note", "wrong"]
COLOURS: dict[State, str] = {"ok": "green", "note": "yellow", "wrong": "red"}
FREE_BYTES = 1 << 30
OLDEST_PYTHON = (3, 11)


class Finding(NamedTuple):
    """`note` is worth knowing and stops nothing; `wrong` says how to mend it."""

    name: str
    state: State
    text: str


@click.command("doctor")
@as_json
@places
def command(as_json: bool, config: Path | None, data_dir: Path | None) -> int:
    """One line a dependency and setting: ok, or how to mend it."""
    found = []
    for finding in examine(config, data_dir):
        found.append(finding)
        if not as_json:
            click.echo(f"{click.style(f'{finding.state:5}', fg=COLOURS[finding.state])}  {finding.name:17}  {finding.text}")
    wrong = any(finding.state == "wrong" for finding in found)
    if as_json:
        click.echo(json.dumps({"ok": not wrong, "checks": [finding._asdict() for finding in found]}, indent=2))
    return 1 if wrong else 0


def examine(config: Path | None, data_dir: Path | None) -> Iterator[Finding]:
    """All findings, as they are made: what is slow to answer does not hold back the rest."""
    yield _python()
    try:
        settings = settings_of(config, data_dir)
    except Refused as refused:
        yield Finding("configuration", "wrong", refused.detail)
        return
    yield from _configuration(settings)
    yield from _data_dir(settings.data_dir)
    external = bool(settings.database_url and settings.kafka_bootstrap)
    for name, check in (("java", _java), ("postgres binaries", _binaries), ("kafka jars", _jars)):
        yield _guarded(name, check, needed=not external)
    yield from _stack(settings)


def _python() -> Finding:
    shown = f"{sys.version.split()[0]} ({sys.executable})"
    if sys.version_info < OLDEST_PYTHON:
        return Finding("python", "wrong", f"{shown}: 3.11 or newer is needed")
    return Finding("python", "ok", shown)


def _configuration(settings: Settings) -> Iterator[Finding]:
    counts = f"{len(settings.accounts)} accounts, {len(settings.queues)} queues, {len(settings.agents)} agents, {len(settings.flows)} flows"
    if settings.config_path:
        yield Finding("configuration", "ok", f"{settings.config_path}: {counts}")
    else:
        yield Finding("configuration", "note", "no safiri.toml: defaults only; name one with --config or SAFIRI_CONFIG")
    for warning in settings.warnings:
        yield Finding("configuration", "note", warning)
    for note in to_be_posted(settings.accounts):
        yield Finding("configuration", "note", note)


def _data_dir(path: Path) -> Iterator[Finding]:
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        yield Finding("data directory", "wrong", f"{path} cannot be written: name another with --data-dir or SAFIRI_DATA_DIR")
        return
    account = spawn.borrowed_account()
    if account and not spawn.may_enter(there, account):
        yield Finding(
            "data directory", "wrong", f"`{account.name}`, as whom Postgres runs here, cannot enter {there}: name another with --data-dir"
        )
        return
    yield Finding("data directory", "ok", str(path) if path.exists() else f"{path} (made by the first start)")
    free = shutil.disk_usage(there).free
    state: State = "ok" if free >= FREE_BYTES else "wrong"
    yield Finding(
        "disk", state, f"{free / 1e9:.1f} GB free" + ("" if state == "ok" else f": make room, {FREE_BYTES / 1e9:.0f} GB at least")
    )


# ---------------------------------------------------------------- what the embedded stack is made of


def _java() -> tuple[State, str]:
    found = java.find()
    return "ok", f"{java.version_of(found)} ({found})"


def _binaries() -> tuple[State, str]:
    return "ok", str(postgres.binaries())


def _jars() -> tuple[State, str]:
    folder = jars.present()
    if folder is None:
        return "note", f"not here yet: the first start fetches Kafka {jars.KAFKA_VERSION} (45 MB) into {jars.cache_dir()}"
    return "ok", str(folder)


def _guarded(name: str, check: Callable[[], tuple[State, str]], *, needed: bool) -> Finding:
    try:
        return Finding(name, *check())
    except Missing as missing:
        return Finding(
            name, "wrong" if needed else "note", str(missing) if needed else "not here; not needed with the addresses configured"
        )


# ---------------------------------------------------------------- what runs


def _stack(settings: Settings) -> Iterator[Finding]:
    try:
        found = addresses.find(settings)
    except Missing:
        yield Finding("stack", "note", f"nothing runs on {settings.data_dir}: `safiri up` starts it")
        yield Finding("postgres", "note", "not running")
        yield Finding("kafka", "note", "not running")
        return
    yield Finding("stack", "ok", f"runs at {found['http']}" + (f", process {found['pid']}" if found["pid"] else ", addresses configured"))
    if found["database"]:
        yield from _answering("postgres", lambda: _postgres(found["database"], settings))
    if found["kafka"]:
        yield from _answering("kafka", lambda: _kafka(found["kafka"]))


def _answering(name: str, ask: Callable[[], list[Finding]]) -> Iterator[Finding]:
    try:
        yield from ask()
    except (Retry, Missing) as away:
        yield Finding(name, "wrong", f"{away}; its log is in the data directory's logs/, if it runs here")


def _postgres(url: str, settings: Settings) -> list[Finding]:
    from runtime.postgres import AWAY, connect

    try:
        with connect(url, name="doctor") as connection:
            version = _one(connection, "SHOW server_version")
            size = _one(connection, "SELECT pg_size_pretty(pg_database_size(current_database()))")
            schema = _schema(connection)
            polls = _polls(connection, settings) if schema.state == "ok" else []
            return [Finding("postgres", "ok", f"answers, PostgreSQL {version}, {size}"), schema, *polls]
    except AWAY as error:  # it went while we asked
        raise Retry(f"Postgres ended the connection: {type(error).__name__}") from error


def _schema(connection: Any) -> Finding:
    from alembic.script import ScriptDirectory

    import migrations

    wanted = ScriptDirectory(str(Path(migrations.__path__[0]))).get_current_head()
    table = _one(connection, "SELECT coalesce(to_regclass('safiri.alembic_version'), to_regclass('alembic_version'))::text")
    there = _one(connection, f"SELECT version_num FROM {table}") if table else None
    if there == wanted:
        return Finding("schema", "ok", f"version {there}")
    return Finding("schema", "wrong", f"version {there or 'none'}, this program needs {wanted}: run `safiri migrate`")


def _polls(connection: Any, settings: Settings) -> list[Finding]:
    """One line an account whose last poll failed, else one for all."""
    polled = {(account.tenant, name): account for name, account in settings.accounts.items() if account.poll_every_s}
    asked = "SELECT tenant, account, string_agg(failed, '; ' ORDER BY what), min(polled_at) FROM safiri.polls GROUP BY 1, 2 ORDER BY 1, 2"
    found = [(name, failed, at) for tenant, name, failed, at in connection.execute(asked).fetchall() if (tenant, name) in polled]
    failing = [
        Finding(f"polls of {name}", "wrong", f"{failed} (last tried {at:%Y-%m-%d %H:%M} UTC)") for name, failed, at in found if failed
    ]
    if failing or not polled:
        return failing
    never = len(polled) - len(found)
    accounts = f"{len(polled)} account{'s' if len(polled) != 1 else ''}"
    return [Finding("polls", "note" if never else "ok", accounts + (f", {never} not polled yet" if never else ""))]


def _one(connection: Any, query: str) -> Any:
    row = connection.execute(query).fetchone()
    return row[0] if row else None


def _kafka(bootstrap: str) -> list[Finding]:
    from runtime.kafka import LOG_TOPICS, UPDATES, Watcher

    watcher = Watcher(bootstrap)
    try:
        brokers = len(watcher.ask(lambda admin: admin.describe_cluster())["brokers"])
        there = watcher.topics()
    finally:
        watcher.close()
    missing = [name for name in (*LOG_TOPICS, UPDATES) if name not in there]
    topics = Finding("topics", "ok", f"{len(there)}, {sum(len(topic['partitions']) for topic in there.values())} partitions")
    if missing:
        topics = Finding("topics", "wrong", f"missing: {', '.join(missing)}: run `safiri migrate`")
    return [Finding("kafka", "ok", f"answers at {bootstrap}, {brokers} broker{'s' if brokers != 1 else ''}"), topics]
