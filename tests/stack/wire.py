"""Bytes on a wire, sent as no polite client would, and roles of one's own beside a running stack."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
from running import eventually
from whole import PROVIDER, SECRETS, Stack

from calls.providers import PROVIDERS


def marker() -> str:
    """A name that no other test has, without a digit: a run of digits may by chance look like a card and be masked."""
    return uuid.uuid4().hex.translate(str.maketrans("0123456789", "ghijklmnop"))


class Reply(NamedTuple):
    """`status` 0: the connection ended without an answer."""

    status: int
    head: str
    body: bytes


def signed(account: str, body: bytes, *, secret: str | None = None, at: int | None = None) -> dict[str, str]:
    """The headers that the account's provider would send; none for one that signs nothing."""
    if account not in SECRETS:
        return {}
    return PROVIDERS[PROVIDER[account]].sign(
        body, SECRETS[account] if secret is None else secret, int(time.time() if at is None else at), uuid.uuid4().hex
    )


def request(path: str, body: bytes, headers: dict[str, str], *, version: str = "1.1", length: bool = True) -> bytes:
    """A POST as it goes over the wire; header values are sent as latin-1."""
    lines = [f"POST {path} HTTP/{version}", "Host: safiri.test", *(f"{name}: {value}" for name, value in headers.items())]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def connect(url: str, seconds: float = 10.0) -> socket.socket:
    where = urlsplit(url)
    wire = socket.create_connection((where.hostname or "", where.port or 80), seconds)
    wire.settimeout(seconds)
    return wire


def exchange(url: str, sent: bytes | Iterable[bytes]) -> Reply:
    """Sends until the other side has had enough, then reads one answer."""
    with connect(url) as wire:
        with suppress(OSError):
            for piece in (sent,) if isinstance(sent, bytes) else sent:
                wire.sendall(piece)
        return answer(wire)


def answer(wire: socket.socket) -> Reply:
    got = b""
    with suppress(OSError):
        while b"\r\n\r\n" not in got and (more := wire.recv(65536)):
            got += more
        head = got.partition(b"\r\n\r\n")[0].lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        while len(got) < len(head) + 4 + length and (more := wire.recv(65536)):
            got += more
    head, _, body = got.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1]) if head.startswith(b"HTTP/1.") else 0
    return Reply(status, head.decode("latin-1"), body)


def rss(pid: int) -> int:
    """Resident bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def kept(stack: Stack, marker: str) -> list[str]:
    """What the stack has of the deliveries whose body has `marker` in it: `event`, or the reason for quarantine."""
    there = "position(%s::bytea in body) > 0"
    rows = stack.execute(
        f"SELECT 'event' FROM safiri.journal WHERE {there} UNION ALL SELECT reason FROM safiri.quarantine WHERE {there}",
        marker.encode(), marker.encode(),
    )  # fmt: skip
    return [row[0] for row in rows]


class Role:
    """`safiri serve NAME` with a configuration and a data directory of its own, on the stack's Postgres and Kafka."""

    def __init__(self, stack: Stack, name: str, home: Path, config: str, **env: str) -> None:
        self.data, self.log = home / "data", home / f"{name}.log"
        self.data.mkdir(exist_ok=True)
        (home / "safiri.toml").write_text(config)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        addresses = {"SAFIRI_DATABASE_URL": stack.database_url, "SAFIRI_KAFKA_BOOTSTRAP": stack.kafka, "SAFIRI_HTTP_PORT": str(self.port)}
        self.env = {**os.environ, **addresses, "SAFIRI_CONFIG": str(home / "safiri.toml"), "SAFIRI_DATA_DIR": str(self.data), **env}
        self.name, self.process = name, None
        self.start()

    def start(self) -> Role:
        with self.log.open("ab") as log:
            command = [sys.executable, "-P", "-m", "cli", "serve", self.name]
            self.process = subprocess.Popen(command, env=self.env, stdout=log, stderr=log, cwd=Path(__file__).parents[2])
        if self.name == "http":
            eventually(self._lives, f"serve http answers: {self.log.read_text()}", 30)
        return self

    def _lives(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/health/live", timeout=2).status_code == 200
        return False

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        assert self.process
        self.process.terminate()
        return self.process.wait(20)

    def waiting(self) -> int:
        """Records in its spool."""
        from ingest.spool import count

        return count(self.data / "spool")


@contextmanager
def role(stack: Stack, name: str, home: Path, config: str, **env: str) -> Iterator[Role]:
    made = Role(stack, name, home, config, **env)
    try:
        yield made
    finally:
        made.kill()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
