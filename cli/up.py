"""`safiri up`: Postgres, Kafka, schema, HTTP, projector and worker in one process tree.

Neither a web framework nor a database or Kafka client is imported here: this process lives as long as the stack and stays small.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import urlsplit

import click

from cli.options import common
from runtime import addresses
from runtime.embedded import kafka, postgres, spawn
from runtime.embedded.home import Home, is_free
from runtime.flows import flows_of
from runtime.problems import Refused
from runtime.settings import Settings
from runtime.supervisor import Ended, Plan, Supervisor

PORT_WAIT_S = 5.0
WILDCARDS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # listens everywhere; asked here


class Where(NamedTuple):
    """Postgres and Kafka: what to start for them, if anything, and their addresses."""

    stack: list[Callable[[], spawn.Part]]
    database: str
    kafka: str


@click.command("up")
@click.option("--port", type=click.IntRange(0, 65535), help="HTTP port; 0 takes a free one (default: the configuration's, 8070).")
@click.option(
    "--stack",
    type=click.Choice(["embedded", "external"]),
    help="Start Postgres and Kafka here, or use the addresses that the configuration names.",
)
@common
def command(settings: Settings, port: int | None, stack: str | None) -> int:
    """Start everything; prints `ready http://…` when it takes traffic. SIGTERM or Ctrl-C stops all of it."""
    flows_of(settings)  # a broken flow is refused here, not by a role that fails again and again
    say = teller()
    external = _external(settings) if (stack or _meant(settings)) == "external" else None
    home = Home(settings.data_dir)
    for name in home.wait_for_leftovers():
        say(f"waited for the last start's {name} to end")
    for warning in settings.warnings:
        say(f"warning: {warning}")
    chosen = settings.model_copy(update={"http_port": _http_port(home, settings, port), "virtual_url": _virtual_url(home, settings)})
    try:
        run(home, plan(home, chosen, external or _embedded(home)), say)
    except Ended as ended:
        click.echo(f"safiri: {ended}", err=True)
        return ended.code
    return 0


def teller() -> Callable[[str], None]:
    """Short lines on stderr, with the seconds since the start."""
    began = time.monotonic()
    return lambda line: print(f"{time.monotonic() - began:7.2f} s  {line}", file=sys.stderr, flush=True)


def plan(home: Home, settings: Settings, where: Where) -> Plan:
    """All roles on the given Postgres and Kafka."""
    http = http_address(settings)
    virtual = settings.virtual_url or ""
    env = environment(settings, where)
    found: addresses.Addresses = {"http": http, "database": where.database, "kafka": where.kafka, "virtual": virtual, "pid": os.getpid()}
    return Plan(
        stack=where.stack,
        migrate=_safiri("migrate", ["migrate"], env),
        roles=[
            replace(_safiri("http", ["serve", "http"], env), answers=lambda: http_is_ready(http)),
            _safiri("projector", ["serve", "projector"], env),
            _safiri("worker", ["serve", "worker"], env),
            *([replace(_safiri("virtual", ["serve", "virtual"], env), answers=lambda: http_is_ready(virtual))] if virtual else []),
        ],
        on_stack=lambda: addresses.write(home.path, found),
        on_ready=lambda: print(f"ready {http}", flush=True),
    )


def run(home: Home, what: Plan, say: Callable[[str], None]) -> None:
    """Until told to stop. Raises Ended, Missing."""
    addresses.file_of(home.path).unlink(missing_ok=True)  # a killed start's
    try:
        Supervisor(home, what, say).run()
    finally:
        addresses.file_of(home.path).unlink(missing_ok=True)
    say("stopped")


def _meant(settings: Settings) -> str:
    """Who names both addresses means them; who names one has forgotten the other."""
    named = [bool(settings.database_url), bool(settings.kafka_bootstrap)]
    if any(named) and not all(named):
        raise Refused(
            422, "One address", "only one of SAFIRI_DATABASE_URL and SAFIRI_KAFKA_BOOTSTRAP is set: set both, or say --stack embedded"
        )
    return "external" if all(named) else "embedded"


def _external(settings: Settings) -> Where:
    if not settings.database_url or not settings.kafka_bootstrap:
        raise Refused(422, "No addresses", "--stack external needs SAFIRI_DATABASE_URL and SAFIRI_KAFKA_BOOTSTRAP")
    return Where([], settings.database_url, settings.kafka_bootstrap)


def _embedded(home: Home) -> Where:
    cluster = postgres.Cluster(home.path, home.port("postgres"))
    broker, controller = home.port("kafka"), home.port("controller")
    return Where([cluster.prepare, lambda: kafka.prepare(home.path, broker, controller)], cluster.url, f"127.0.0.1:{broker}")


def _http_port(home: Home, settings: Settings, asked: int | None) -> int:
    port = settings.http_port if asked is None else asked
    if port == 0:
        return home.port("http")
    end = time.monotonic() + PORT_WAIT_S
    while not is_free(port, settings.http_host):
        if time.monotonic() > end:
            raise Refused(
                409, "Port taken", f"port {port} of {settings.http_host} is taken by another program: choose one with --port (0: any)"
            )
        time.sleep(0.1)
    return port


def _virtual_url(home: Home, settings: Settings) -> str | None:
    """Where the virtual provider is to listen; None where no account is with it."""
    return f"http://127.0.0.1:{home.port('virtual')}" if addresses.virtual_accounts(settings) else None


def environment(settings: Settings, where: Where) -> dict[str, str]:
    """What a role is told: the one code path of all modes is addresses in the environment."""
    told = {
        "SAFIRI_DATA_DIR": str(settings.data_dir),
        "SAFIRI_DATABASE_URL": where.database,
        "SAFIRI_KAFKA_BOOTSTRAP": where.kafka,
        "SAFIRI_HTTP_HOST": settings.http_host,
        "SAFIRI_HTTP_PORT": str(settings.http_port),
        "MALLOC_ARENA_MAX": "2",  # client libraries have many threads; glibc would keep an arena for each
    }
    if settings.virtual_url:
        told["SAFIRI_VIRTUAL_URL"] = settings.virtual_url
    if settings.config_path:
        told["SAFIRI_CONFIG"] = str(settings.config_path)
    return {**os.environ, **told}


def _safiri(name: str, args: list[str], env: Mapping[str, str]) -> spawn.Part:
    # -P: a file called cli.py in the folder where `up` was started is not our command.
    return spawn.Part(name, [sys.executable, "-P", "-m", "cli", *args], env=env)


def http_address(settings: Settings) -> str:
    host = WILDCARDS.get(settings.http_host, settings.http_host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.http_port}"


def http_is_ready(address: str) -> bool:
    """Whether GET /health/ready answers 200; bare, for an HTTP client would weigh more than all the rest of this process."""
    where = urlsplit(address)
    try:
        with socket.create_connection((where.hostname or "", where.port or 80), 1) as wire:
            wire.sendall(f"GET /health/ready HTTP/1.1\r\nHost: {where.netloc}\r\nConnection: close\r\n\r\n".encode())
            return wire.recv(64).split(b" ", 2)[1:2] == [b"200"]
    except OSError:
        return False
