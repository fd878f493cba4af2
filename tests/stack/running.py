"""One `safiri up` seen from outside: started, watched, killed. Linux only, by /proc."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.embedded import spawn

PARTS = Path(__file__).with_name("parts.py")


def eventually(probe: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    """Polls until `probe` returns something true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = probe()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


class Up:
    """`safiri up` with stand-in roles on one data directory; `env` is added to ours."""

    def __init__(self, data: Path, *args: str, env: dict[str, str] | None = None, account: spawn.Account | None = None) -> None:
        self.data, self.args, self.account = data, args, account
        self.out, self.err = data.parent / f"{data.name}.out", data.parent / f"{data.name}.err"
        self.env = {**os.environ, **(env or {}), "PYTHONPATH": str(Path(__file__).parents[2])}
        self.process: subprocess.Popen[bytes] | None = None
        self.command = [sys.executable, str(PARTS), "up", "--data-dir", str(data), "--port", "0", *args]
        if account:
            self.command[0] = interpreter(account)
            self.env |= {"PYTHONPATH": f"{self.env['PYTHONPATH']}:{sysconfig.get_path('purelib')}", "HOME": "/nonexistent"}

    def launch(self) -> Up:
        with self.out.open("wb") as out, self.err.open("wb") as err:
            who = {"user": self.account.uid, "group": self.account.gid, "extra_groups": []} if self.account else {}
            self.process = subprocess.Popen(self.command, stdout=out, stderr=err, env=self.env, **who)  # type: ignore[call-overload]
        return self

    def ready(self) -> Up:
        def probe() -> bool:
            assert self.process and self.process.poll() is None, f"up ended: {self.err.read_text()}"
            return self.out.read_text().startswith("ready http://127.0.0.1:")

        eventually(probe, f"up is ready: {self.err.read_text()}", 120)
        return self

    def start(self) -> Up:
        return self.launch().ready()

    def ended(self, seconds: float = 30) -> tuple[int, str]:
        assert self.process
        return self.process.wait(seconds), self.err.read_text()

    def tree(self) -> set[int]:
        """Every live descendant, and itself."""
        assert self.process
        parents = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
        found = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return {pid for pid in found if alive(pid)}

    @property
    def own_pid(self) -> int:
        assert self.process
        return self.process.pid

    def pid(self, name: str) -> int:
        return int(self.json("children")[name][0])

    def json(self, name: str) -> Any:
        return json.loads((self.data / f"{name}.json").read_text())

    def trace(self) -> list[str]:
        return (self.data / "trace").read_text().split("\n")[:-1]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Stops it and asserts that nothing of it lives on. Returns seconds."""
        assert self.process
        tree, began = self.tree(), time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(30)
        took = time.monotonic() - began
        if number != signal.SIGKILL:
            assert code == 0, self.err.read_text()
        eventually(lambda: not any(alive(pid) for pid in tree), f"nothing lives on after {number.name}")
        return took

    def close(self) -> None:
        if self.process and self.process.poll() is None:
            self.stop()


def interpreter(account: spawn.Account) -> str:
    """A Python of our version which that account may run; empty where there is none."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    known = [sys.executable, *(shutil.which(version, path=folder) for folder in ("/usr/bin", "/usr/local/bin"))]
    return next((path for path in known if path and spawn.may_run(Path(path), account)), "")
