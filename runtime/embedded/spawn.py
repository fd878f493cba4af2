"""How a child is started so that it never outlives us, and as whom.

Linux: between fork and exec a shim drops root's rights, asks the kernel for a signal at the parent's death and checks that
the parent still lives. The signal follows the *thread* that forked, so long-lived children are started by the main thread.
Elsewhere there is no such call: there a `safiri up` that is killed with SIGKILL leaves its children running, and the next
start on that data directory is refused by their locks until they are ended by hand. Every other way of ending stops them.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from runtime.problems import Missing

# setuid clears the death signal, hence the order; the parent may have died before prctl, hence the last check.
SHIM = """import ctypes,os,sys
parent,sig,uid,gid=map(int,sys.argv[1:5])
if uid>=0: os.setgroups([]); os.setgid(gid); os.setuid(uid)
if sys.platform=='linux': ctypes.CDLL(None).prctl(1,sig)
if os.getppid()!=parent: os._exit(1)
os.execv(sys.argv[5],sys.argv[5:])"""

Command = Sequence[str | Path]


class Account(NamedTuple):
    name: str
    uid: int
    gid: int


@dataclass
class Part:
    """One child: what to run, how to stop it, and when it answers."""

    name: str
    argv: Command
    answers: Callable[[], bool] | None = None  # None: it answers nobody, running is enough
    stop_signal: signal.Signals = signal.SIGTERM
    account: Account | None = None  # None: as whoever we are
    env: Mapping[str, str] | None = None  # None: ours
    cwd: str | None = None
    before: Callable[[], None] = field(default=lambda: None)  # run before each start


def borrowed_account() -> Account | None:
    """Postgres refuses root: an account that every machine has lends its number. None where we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise Missing("PostgreSQL does not run as root, and there is neither an account `postgres` nor `nobody`: start as an ordinary user")


def may_enter(path: Path, account: Account) -> bool:
    """Whether the account can walk into `path` and every folder above it."""
    return all(_may(folder, account, 0o1) for folder in (path, *path.parents))


def may_run(file: Path, account: Account) -> bool:
    real = file.resolve()
    return may_enter(real.parent, account) and _may(real, account, 0o5)


def _may(path: Path, account: Account, wanted: int) -> bool:
    status = path.stat()
    shift = 6 if status.st_uid == account.uid else 3 if status.st_gid == account.gid else 0
    return (status.st_mode >> shift) & wanted == wanted


def make_folder(path: Path, account: Account | None) -> Path:
    """A folder for one account's eyes only."""
    path.mkdir(mode=0o700, exist_ok=True)
    if account:
        os.chown(path, account.uid, account.gid)
    return path


def shimmed(argv: Command, account: Account | None = None, death: signal.Signals = signal.SIGKILL) -> list[str]:
    uid, gid = (account.uid, account.gid) if account else (-1, -1)
    return [sys.executable, "-ISc", SHIM, str(os.getpid()), str(int(death)), str(uid), str(gid), *map(str, argv)]


def run(argv: Command, account: Account | None = None, *, stdin: str | None = None, env: Mapping[str, str] | None = None) -> None:
    """One short command that must succeed; it dies with us. Raises RuntimeError with its last words."""
    done = subprocess.run(
        shimmed(argv, account), input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", cwd="/", env=env, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{Path(argv[0]).name} ended with {done.returncode}: {done.stdout.strip()[-2000:]}")


def start(part: Part, log: int, pass_fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Main thread only. A session of its own, so that a terminal's Ctrl-C reaches only us and the order of stopping is ours."""
    part.before()
    argv = shimmed(part.argv, part.account, part.stop_signal)
    return subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=part.cwd, env=part.env, start_new_session=True, pass_fds=tuple(pass_fds)
    )
