"""A whole `safiri up` with a configuration of one's own, for what only the whole product does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import psycopg

from benchmarks.stack import ROOT, Folder, first_line, start, stop


class Whole:
    """From its ready line to its end. `key` may write in tenant `default`."""

    def __init__(self, config: str):
        self.config = config
        self._open = ExitStack()

    def __enter__(self) -> Whole:
        with ExitStack() as undo:
            self.path = undo.enter_context(Folder())
            (self.path / "safiri.toml").write_text(self.config)
            self.errors = self.path / "errors.log"
            self.env = {"SAFIRI_CONFIG": str(self.path / "safiri.toml"), "SAFIRI_DATA_DIR": str(self.path / "data")}
            self.process = start([sys.executable, "-P", "-m", "cli", "up", "--port", "0"], env=self.env, errors=self.errors)
            undo.callback(stop, self.process)
            first_line(self.process, self.errors)
            self.where: dict[str, Any] = json.loads((self.path / "data" / "run.json").read_text())
            self.key = self.safiri("keys", "create", "--name", "benchmarks", "--scope", "write").split()[-1]
            self._open = undo.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()

    @property
    def port(self) -> int:
        return urlsplit(str(self.where["http"])).port or 80

    @property
    def pids(self) -> dict[str, int]:
        """Of every part that runs, by name."""
        known: dict[str, tuple[int, int]] = json.loads((self.path / "data" / "children.json").read_text())
        return {name: pid for name, (pid, _) in known.items() if Path(f"/proc/{pid}").exists()}

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """What the last of them returns; all in one transaction."""
        with psycopg.connect(str(self.where["database"])) as connection:
            for statement in statements:
                done = connection.execute(statement.encode())
            return done.fetchall() if done.description else []

    def safiri(self, *args: str) -> str:
        command = [sys.executable, "-P", "-m", "cli", *args]
        return subprocess.run(command, env={**os.environ, **self.env}, cwd=ROOT, capture_output=True, text=True, check=True).stdout
