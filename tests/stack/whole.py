"""One whole `safiri up` for all tests: its address, its keys, its databases."""

from __future__ import annotations

import json
import signal
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
from forked import FORKED
from psycopg import sql
from running import Up, eventually

from calls.providers import PROVIDERS
from projections.schema import migrate
from runtime.embedded import spawn
from runtime.settings import Settings

CONFIG = """
[tenants.default]
[tenants.other]
[accounts.acme]
provider = "sautikit"
signing_secrets = ["whsec_test", "whsec_next"]
numbers = ["+254711000100"]
[accounts.mini]
provider = "minivoice"
signing_secrets = ["mv_secret"]
numbers = ["+254711000200"]
[accounts.at]
provider = "africastalking"
signature = "none"
[accounts.bank]
provider = "neutral"
signing_secrets = ["neutral_secret"]
[accounts.silent]
provider = "neutral"
[accounts.priced]
provider = "neutral"
rate_plan = "sautikit-ke"
[accounts.rival]
provider = "sautikit"
tenant = "other"
signing_secrets = ["whsec_rival"]
[agents.amina]
number = "+254720000001"
queues = ["support"]
""" + Path(__file__).with_name("simulated.toml").read_text()
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
NOWHERE = "http://127.0.0.1:9"  # the examples' provider; here one of these tests


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


EXCHANGE = f"http://127.0.0.1:{_free_port()}"
CONFIG += "".join(path.read_text().replace(NOWHERE, EXCHANGE) for path in sorted(EXAMPLES.glob("*/safiri.toml")))
SECRETS = {"acme": "whsec_test", "mini": "mv_secret", "bank": "neutral_secret", "rival": "whsec_rival"}
PROVIDER = {"acme": "sautikit", "mini": "minivoice", "bank": "neutral", "rival": "sautikit", "at": "africastalking"}


class Stack:
    """The running service. `key` may do everything in tenant `default`."""

    def __init__(self, home: Path, config: str = CONFIG) -> None:
        self.config = home / "safiri.toml"
        self.config.write_text(config)
        self.up = Up(home / "data", env={"SAFIRI_CONFIG": str(self.config)})
        command = [sys.executable, "-P", "-m", "cli", "up", "--data-dir", str(home / "data"), "--port", "0"]
        self.up.command = spawn.shimmed(command, death=signal.SIGTERM)  # a test run that is killed leaves no stack behind
        self.key = ""

    def start(self) -> Stack:
        FORKED.start()
        self.up.start()
        self.http = httpx.Client(base_url=self.url, timeout=30)
        self.key = self.key or self.cli("keys", "create", "--name", "tests", "--scope", "admin").split()[-1]
        return self

    @property
    def url(self) -> str:
        return str(self.up.json("run")["http"])

    @property
    def database_url(self) -> str:
        return str(self.up.json("run")["database"])

    @property
    def kafka(self) -> str:
        return str(self.up.json("run")["kafka"])

    def cli(self, *args: str, code: int = 0) -> str:
        """`safiri …` on this stack; returns its stdout."""
        done = FORKED.run([*args, "--data-dir", str(self.up.data)], env=self.up.env)
        assert done.returncode == code, (args, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout

    def post(self, account: str, body: bytes, *, headers: dict[str, str] | None = None) -> httpx.Response:
        """A delivery, signed as its provider would."""
        signed: dict[str, str] = {}
        if account in SECRETS:
            signed = PROVIDERS[PROVIDER[account]].sign(body, SECRETS[account], int(time.time()), uuid.uuid4().hex)
        return self.http.post(f"/hooks/{account}", content=body, headers={"content-type": "application/json", **signed, **(headers or {})})

    def events(self, *events: dict[str, Any], account: str = "bank") -> None:
        """Neutral events, which must all be taken."""
        lines = "\n".join(json.dumps(event) for event in events)
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/x-ndjson"}
        reply = self.http.post("/v1/events", params={"account": account}, content=lines, headers=headers)
        assert (reply.status_code, reply.json()) == (202, {"accepted": len(events), "rejected": []}), reply.text

    def get(self, path: str, *, status: int = 200, **query: Any) -> Any:
        reply = self.http.get(path, params=query or None, headers={"authorization": f"Bearer {self.key}"})
        assert reply.status_code == status, (path, reply.status_code, reply.text)
        return reply.json()

    def fresh(self, seconds: float = 60) -> None:
        """Waits until everything that was acknowledged is in the tables."""

        def caught_up() -> bool:
            try:
                return bool(self.get("/v1/freshness")["unprojected"] == 0)
            except (httpx.HTTPError, AssertionError):
                return False

        eventually(caught_up, "everything is projected", seconds)

    def execute(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url, connect_timeout=5, autocommit=True) as connection:
            done = connection.execute(statement, values or None)
            return done.fetchall() if done.description else []


@contextmanager
def running(config: str = CONFIG) -> Iterator[Stack]:
    """A stack of one's own, in a folder that root's Postgres may enter."""
    with tempfile.TemporaryDirectory(prefix="safiri-tests-", dir="/tmp") as path:
        Path(path).chmod(0o755)
        stack = Stack(Path(path), config)
        try:
            yield stack.start()
        finally:
            stack.up.close()


class Databases:
    """Databases beside the stack's own: copies of one that was migrated once, emptied and lent again, for dropping one is slow."""

    def __init__(self, url: str) -> None:
        self.url, self.template = url, f"template_{uuid.uuid4().hex[:8]}"
        self.spare: list[str] = []
        self._do("CREATE DATABASE {}", self.template)
        migrate(Settings(), self._of(self.template), now=0)

    @contextmanager
    def fresh(self, template: str = "") -> Iterator[str]:
        name = self.spare.pop() if self.spare and not template else self._made(template or self.template)
        try:
            yield self._of(name)
        finally:
            if template or not self._emptied(name):
                self._do("DROP DATABASE {} WITH (FORCE)", name)
            else:
                self.spare.append(name)

    def _made(self, template: str) -> str:
        name = f"test_{uuid.uuid4().hex[:8]}"
        self._do("CREATE DATABASE {} TEMPLATE {}", name, template)
        return name

    def _emptied(self, name: str) -> bool:
        """Whether it is as new again; one that was rebuilt, grew large or is still in use is not worth it."""
        with psycopg.connect(self._of(name), autocommit=True) as connection:
            others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            states = connection.execute("SELECT n, state FROM safiri.generations").fetchall()
            (rows,) = connection.execute("SELECT count(*) FROM safiri.journal").fetchone() or (0,)
            if states != [(1, "live")] or rows > 2000 or connection.execute(others).fetchone() != (0,):
                return False
            kept = "('alembic_version', 'configuration', 'generations')"
            found = connection.execute(
                "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('safiri', 'g1') "
                f"AND tablename NOT IN {kept} AND tablename !~ '^journal_[0-9]+$'"
            ).fetchall()
            with connection.transaction():
                for schema, table in found:
                    connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(schema, table)))
                connection.execute("DELETE FROM safiri.configuration WHERE version > (SELECT min(version) FROM safiri.configuration)")
        return True

    def _of(self, name: str) -> str:
        return f"{self.url.rsplit('/', 1)[0]}/{name}"

    def _do(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))  # type: ignore[arg-type]
