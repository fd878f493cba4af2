"""POSTs signed deliveries over many kept-alive connections: by `wrk` where the machine has it, else by a loader of our own.

`python -m benchmarks.load PORT --seconds S | --count N` is the loader; it prints one JSON document.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import msgspec
import uvloop

from benchmarks.measuring import percentile, pinned
from benchmarks.stack import ROOT, SECRET
from benchmarks.traffic import hook_body, samples
from calls.providers import PROVIDERS
from calls.providers.signatures import sign_sautikit
from calls.sample import JSON

CONNECTIONS = 64
BODIES = 200
SECRETS = {"acme": ("sautikit", SECRET), "desk": ("neutral", "desk_measured")}
LUA = """
local made, next_one = {}, 0
init = function()
  for line in io.lines("%s") do
    local signature, body = line:match("([^\\t]*)\\t(.*)")
    made[#made + 1] = wrk.format("POST", nil, {["Content-Type"] = "application/json", ["X-Sautikit-Signature"] = signature}, body)
  end
end
request = function()
  next_one = next_one %% #made + 1
  return made[next_one]
end
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format('{"requests": %%d, "seconds": %%f, "errors": %%d, "p50_ms": %%f, "p99_ms": %%f}\\n', summary.requests,
    summary.duration / 1e6, errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
"""


class Loaded(msgspec.Struct):
    """What a loader saw. `errors`: answers that were not 202, and connections that failed."""

    requests: int
    seconds: float
    errors: int
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def by() -> str:
    return "wrk" if shutil.which("wrk") else "own loader"


def run(port: int, *, seconds: float, folder: Path, core: int | None) -> Loaded:
    """CONNECTIONS connections for `seconds`, BODIES distinct bodies signed just now."""
    with pinned(core):
        if shutil.which("wrk"):
            return _wrk(port, seconds, folder)
        return own(port, "--seconds", str(seconds))


def own(port: int, *args: str) -> Loaded:
    """The loader in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.load", str(port), *args]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return msgspec.json.decode(done.stdout, type=Loaded)


def _wrk(port: int, seconds: float, folder: Path) -> Loaded:
    lines = []
    for n in range(BODIES):
        body = hook_body(n)
        lines.append(f"{sign_sautikit(body, SECRET, int(time.time()), '')['X-Sautikit-Signature']}\t{body.decode()}")
    (folder / "bodies.tsv").write_text("\n".join(lines) + "\n")
    (folder / "post.lua").write_text(LUA % (folder / "bodies.tsv"))
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "-s", str(folder / "post.lua"), f"http://127.0.0.1:{port}/hooks/acme"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return msgspec.json.decode(said.strip().splitlines()[-1], type=Loaded)


# ---------------------------------------------------------------- our own


class Connection(asyncio.Protocol):
    """One request after the other, until `more` has none."""

    def __init__(self, more: Iterator[bytes], seen: Seen):
        self.more, self.seen = more, seen
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent = 0.0
        self.answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._next()

    def _next(self) -> None:
        request = next(self.more, None)
        if request is None:
            self.transport.close()
            return
        self.sent = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.answer += data
        if b"\r\n\r\n" not in self.answer:
            return
        self.seen.statuses[self.answer[9:12]] += 1
        self.seen.waits.append(time.perf_counter() - self.sent)
        self.answer = b""  # a refusal's body, if any, is cut short: it is an error in any case
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self.done.set_result(None)


class Seen:
    """All connections' answers."""

    def __init__(self) -> None:
        self.statuses: Counter[bytes] = Counter()
        self.waits: deque[float] = deque(maxlen=200_000)


def _request(account: str, body: bytes, content_type: str) -> bytes:
    provider, secret = SECRETS[account]
    headers = PROVIDERS[provider].sign(body, secret, int(time.time()), "msg")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = (
        f"POST /hooks/{account} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
    )
    return head.encode() + body


def _until(seconds: float) -> Iterator[bytes]:
    end = time.monotonic() + seconds
    for request in cycle([_request("acme", hook_body(n), JSON) for n in range(BODIES)]):
        if time.monotonic() > end:
            return
        yield request


def _distinct(amount: int) -> Iterator[bytes]:
    for one in samples(1, amount):
        yield _request(one.account, one.body, one.content_type)


async def _load(port: int, requests: Iterator[bytes]) -> Loaded:
    seen, began = Seen(), time.monotonic()
    made = [
        await asyncio.get_running_loop().create_connection(lambda: Connection(requests, seen), "127.0.0.1", port)
        for _ in range(CONNECTIONS)
    ]
    await asyncio.wait([protocol.done for _, protocol in made])
    total = sum(seen.statuses.values())
    waits = [wait * 1000 for wait in seen.waits]
    return Loaded(total, time.monotonic() - began, total - seen.statuses[b"202"], percentile(waits, 0.5), percentile(waits, 0.99))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--count", type=int, default=0)
    asked = parser.parse_args()
    requests = _until(asked.seconds) if asked.seconds else _distinct(asked.count)
    print(json.dumps(msgspec.to_builtins(uvloop.run(_load(asked.port, requests)))))


if __name__ == "__main__":
    main()
