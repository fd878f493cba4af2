"""The data directory of one stack: held by one `safiri up` at a time, with ports that stay the same from start to start."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime.problems import Missing, Refused

# Below the range from which systems take the ports of outgoing connections: those would be taken at the next start.
PORTS = range(20000, 30000)
LAST_START_S = 30  # how long the processes of a killed start may take to end


class Home:
    """Open it once; the lock goes with the process."""

    def __init__(self, path: Path) -> None:
        """Raises Refused where another `up` holds it, Missing where it cannot be written."""
        self.path = path
        try:
            _make(path)
            self.logs = path / "logs"
            self.logs.mkdir(mode=0o700, exist_ok=True)
            self._lock = (path / "lock").open("a")
        except OSError as error:
            raise Missing(f"the data directory {path} cannot be used: {error.strerror}; name another with --data-dir") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refused(409, "Already running", f"another `safiri up` runs on {path}: stop it, or name another --data-dir") from None

    def port(self, name: str) -> int:
        """The port this part had last time if it is free, else another, remembered."""
        known = _read(self.path / "stack.json")
        port = known.get(name)
        if not isinstance(port, int) or not is_free(port):
            port = next(one for one in iter(lambda: random.choice(PORTS), None) if one not in known.values() and is_free(one))
            _write(self.path / "stack.json", known | {name: port})
        return port

    def remember(self, children: Mapping[str, int]) -> None:
        """Writes down who runs (name -> pid), with the time each was started, for `wait_for_leftovers` of the next start."""
        _write(self.path / "children.json", {name: [pid, _started(pid)] for name, pid in children.items()})

    def wait_for_leftovers(self) -> list[str]:
        """Waits for what a killed start left behind: it has had its signal and is ending. Returns the names of those met."""
        left = [(name, int(pid), int(began)) for name, (pid, began) in _read(self.path / "children.json").items()]
        met = [name for name, pid, began in left if began and _started(pid) == began]
        end = time.monotonic() + LAST_START_S
        for _, pid, began in left:
            while began and _started(pid) == began:
                if time.monotonic() > end:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.05)
        return met


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that are only fading out do not count
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _make(path: Path) -> None:
    """What we make ourselves may be walked through (as root, Postgres is another account), not listed; what exists stays as it is."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)


def _started(pid: int) -> int:
    """When the process began, in the kernel's ticks; 0 where it is gone, a zombie, or the system does not say."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return 0
    return 0 if state in "ZX" else int(rest[18])


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, content: Mapping[str, object]) -> None:
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps(content))
    scratch.rename(path)
