"""`safiri …` in a process of its own that need not import for a second first: a process that has, forks one for each command.

What is run is `cli/__main__.py` with its own arguments, environment and streams; only the imports are shared. As a program, this
file is the process that forks: it gets commands as JSON with three open files, and sends back the process's id and how it ended.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

MOST = 200_000  # bytes of a command with its environment
# What commands import when they run; a module that is not there is no fault here: the command itself says it better.
LATER = (
    "alembic.command",
    "httpx",
    "ingest.imports",
    "ingest.redrive",
    "ingest.statement_files",
    "projections.rebuild",
    "projections.schema",
    "runtime.telemetry",
)


class Forked:
    """The process that forks, started by the first command and gone with us."""

    def __init__(self) -> None:
        self._ours: socket.socket | None = None

    def start(self) -> None:
        """Begins to import."""
        self._socket()

    def run(self, args: Sequence[str], *, env: Mapping[str, str], timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """As subprocess.run with captured text. Raises TimeoutExpired when the command was killed for being slow."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            code = self._ended(list(args), {"env": dict(env), "cwd": str(Path.cwd())}, (out.fileno(), err.fileno()), timeout)
            said = [_text(file) for file in (out, err)]
        return subprocess.CompletedProcess(args, code, *said)

    def _ended(self, args: list[str], asked: dict[str, Any], files: tuple[int, int], timeout: float) -> int:
        near, far = socket.socketpair()
        with near, far, open(os.devnull) as nothing:
            command = json.dumps({"args": args, **asked}).encode()
            socket.send_fds(self._socket(), [command], [far.fileno(), nothing.fileno(), *files])
            far.close()
            near.settimeout(timeout)
            pid = int(near.recv(16))
            try:
                return int(near.recv(16) or -signal.SIGKILL)
            except TimeoutError:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(args, timeout) from None

    def _socket(self) -> socket.socket:
        if self._ours is None:
            self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST)
            root = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
            with theirs:
                subprocess.Popen([sys.executable, "-P", __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()], env=root)
        return self._ours


def _text(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode())


FORKED = Forked()


# ---------------------------------------------------------------- the process that forks


def serve(control: socket.socket) -> None:
    """One waiting process a command, and in it one that runs it; ends when nobody asks any more."""
    import cli

    for name in (*(f"cli.{one.name}" for one in pkgutil.iter_modules(cli.__path__) if one.name != "__main__"), *LATER):
        with suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # what is shared stays shared
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        asked, files, _, _ = socket.recv_fds(control, MOST, 4)
        if not asked:
            return
        if os.fork() == 0:
            control.close()
            _wait(json.loads(asked), files)
        for file in files:
            os.close(file)


def _wait(asked: dict[str, Any], files: Sequence[int]) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with socket.socket(fileno=files[0]) as answer:
        pid = os.fork()
        if pid == 0:
            answer.close()
            _become(asked, files[1:])
        for file in files[1:]:
            os.close(file)
        answer.send(f"{pid:<16}".encode())
        _, status = os.waitpid(pid, 0)
        with suppress(OSError):  # nobody waits for it any more
            answer.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(asked: dict[str, Any], files: Sequence[int]) -> NoReturn:
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(asked["env"])
    time.tzset()
    os.chdir(asked["cwd"])
    sys.argv = ["safiri", *asked["args"]]
    _leave(_run())


def _run() -> int:
    """What would be the process's exit code."""
    try:
        runpy.run_module("cli", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    return 0


def _leave(code: int) -> NoReturn:
    """As an interpreter does, but for taking apart every module, which needs a third of a second."""
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
