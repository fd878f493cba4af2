"""A real Postgres and a real Kafka to measure against, and the roles on them.

`python -m benchmarks.stack DIR` is the program of the two servers alone: the product's own supervisor with nothing but the stack.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg

from benchmarks.measuring import eventually, pinned
from runtime.embedded import kafka, postgres, spawn
from runtime.embedded.home import Home
from runtime.supervisor import Plan, Supervisor

ROOT = Path(__file__).resolve().parents[1]
CONFIG = """
[tenants.default]
[accounts.acme]
provider = "sautikit"
signing_secrets = ["whsec_measured"]
numbers = ["+254711000100"]
[accounts.mini]
provider = "minivoice"
signing_secrets = ["mv_measured"]
numbers = ["+254711000200"]
[accounts.desk]
provider = "neutral"
signing_secrets = ["desk_measured"]
numbers = ["+254711000300"]
[agents.amina]
number = "+254720000001"
queues = ["support"]
"""
SECRET = "whsec_measured"


def start(
    argv: list[str], *, env: dict[str, str] | None = None, errors: Path | None = None, core: int | None = None
) -> subprocess.Popen[str]:
    """A child that does not outlive us; its stdout is a pipe."""
    with pinned(core), open(errors or os.devnull, "a") as err:
        command = spawn.shimmed(argv, death=signal.SIGTERM)
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True, env={**os.environ, **(env or {})}, cwd=ROOT)


def stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def first_line(process: subprocess.Popen[str], errors: Path) -> str:
    """What it says when it is ready. Raises RuntimeError with its last words where it ends instead."""
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise RuntimeError(f"{process.args!r:.200} ended with {process.wait()}: {errors.read_text()[-2000:]}")
    return line


class Folder:
    """A temporary folder that the account of Postgres may enter."""

    def __enter__(self) -> Path:
        self.path = Path(tempfile.mkdtemp(prefix="safiri-bench-", dir="/tmp"))
        self.path.chmod(0o755)
        (self.path / "safiri.toml").write_text(CONFIG)
        return self.path

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


class Stack:
    """Postgres and Kafka without roles; `core`: both of them (and what they start) on that core."""

    def __init__(self, *, core: int | None = None):
        self.core = core
        self._open = ExitStack()

    def __enter__(self) -> Stack:
        with ExitStack() as undo:
            self.path = undo.enter_context(Folder())
            self.errors = self.path / "errors.log"
            process = start([sys.executable, "-m", "benchmarks.stack", str(self.path / "data")], errors=self.errors, core=self.core)
            undo.callback(stop, process)
            found = json.loads(first_line(process, self.errors))
            self.database_url, self.kafka = str(found["database"]), str(found["kafka"])
            self.pids: dict[str, int] = found["pids"]
            self.safiri("migrate", env=self.env(self.database_url))
            self._open = undo.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()

    def env(self, database_url: str, **more: str) -> dict[str, str]:
        return {
            "SAFIRI_CONFIG": str(self.path / "safiri.toml"), "SAFIRI_DATA_DIR": str(self.path / "role"), "SAFIRI_DATABASE_URL": database_url,
            "SAFIRI_KAFKA_BOOTSTRAP": self.kafka, "MALLOC_ARENA_MAX": "2", **more,
        }  # fmt: skip

    def safiri(self, *args: str, env: dict[str, str]) -> str:
        command = [sys.executable, "-P", "-m", "cli", *args]
        done = subprocess.run(command, env={**os.environ, **env}, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            raise RuntimeError(f"safiri {' '.join(args)} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def role(self, name: str, *, env: dict[str, str], core: int | None = None) -> subprocess.Popen[str]:
        """`safiri serve NAME`; stopped with the stack at the latest."""
        return self.program("cli", "serve", name, env=env, core=core)

    def program(self, module: str, *args: str, env: dict[str, str], core: int | None = None) -> subprocess.Popen[str]:
        process = start([sys.executable, "-P", "-m", module, *args] if module == "cli" else [sys.executable, "-m", module, *args],
                        env=env, errors=self.errors, core=core)  # fmt: skip
        self._open.callback(stop, process)
        return process

    def template(self) -> str:
        """Sets the migrated, still empty database aside for `database`; roles must not run on it."""
        self.execute("CREATE DATABASE pristine TEMPLATE safiri")
        return "pristine"

    def database(self) -> str:
        """The address of a fresh copy of the template."""
        name = f"round_{uuid.uuid4().hex[:8]}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE pristine")
        self.execute("CHECKPOINT")
        return f"{self.database_url.rsplit('/', 1)[0]}/{name}"

    def drop(self, url: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {url.rsplit('/', 1)[1]} WITH (FORCE)")

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            done = connection.execute(statement.encode())
            return done.fetchall() if done.description else []


def serving(url: str, process: subprocess.Popen[str]) -> bool:
    """Waits until GET /health/ready (or, of the no-op, anything) is answered with 200 or 202."""
    from cli.up import http_is_ready

    def probe() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        return http_is_ready(url)

    return eventually(probe, f"{url} is ready")


def main(folder: Path) -> None:
    """Starts the two and prints where they are."""
    home = Home(folder)
    cluster = postgres.Cluster(home.path, home.port("postgres"))
    broker, controller = home.port("kafka"), home.port("controller")

    def ready() -> None:
        pids = {child.part.name: child.process.pid for child in supervisor.children if child.process}
        print(json.dumps({"database": cluster.url, "kafka": f"127.0.0.1:{broker}", "pids": pids}), flush=True)

    plan = Plan(stack=[cluster.prepare, lambda: kafka.prepare(home.path, broker, controller)], roles=[], on_ready=ready)
    supervisor = Supervisor(home, plan, lambda line: print(line, file=sys.stderr, flush=True))
    supervisor.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
