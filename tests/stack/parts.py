"""Stand-ins for the roles, run as programs: `safiri up` itself is the real one, and so are Postgres and Kafka.

`python parts.py up …` is `safiri up` whose roles are `python parts.py role NAME`. What a role does wrong is said by
environment variables PART_<NAME>: `exit:2` ends with that code, `deaf` ignores SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health/ready" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def role(name: str) -> None:
    gate = os.environ.pop("SAFIRI_GATE_FD", None)
    while gate and os.read(int(gate), 1):
        pass
    fault = os.environ.get(f"PART_{name.upper()}", "")
    signal.signal(signal.SIGTERM, lambda *_: None if fault == "deaf" else end(name))
    trace(f"{name} started")
    if fault.startswith("exit:"):
        print(f"{name} cannot go on: nobody told it the word")
        sys.exit(int(fault[5:]))
    if name == "migrate":
        return
    if name == "http":
        HTTPServer(("127.0.0.1", int(os.environ["SAFIRI_HTTP_PORT"])), Ready).serve_forever()
    while True:
        time.sleep(60)


def end(name: str) -> None:
    trace(f"{name} stopped")
    os._exit(0)


def trace(line: str) -> None:
    with (Path(os.environ["SAFIRI_DATA_DIR"]) / "trace").open("a") as out:
        out.write(line + "\n")


def up(args: list[str]) -> None:
    import cli
    import cli.up
    from runtime import children
    from runtime.embedded import spawn

    def part(name: str, args: list[str], env: Mapping[str, str]) -> spawn.Part:
        return spawn.Part(name, [sys.executable, __file__, "role", name], env=env)

    cli.up._safiri = part
    if "PART_STOP_S" in os.environ:
        children.STOP_S, children.LAST_WORD_S = float(os.environ["PART_STOP_S"]), 0.2
    cli.main(["up", *args])


if __name__ == "__main__":
    role(sys.argv[2]) if sys.argv[1] == "role" else up(sys.argv[2:])
