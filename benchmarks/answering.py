"""In Safiri's place, an application that answers the virtual provider at once and keeps nothing: what the provider itself can drive.

`python -m benchmarks.answering CONFIG` prints its port. It walks the same flows with the same kinds of answers; whoever comes into a
queue is connected to the agent who has not been rung for longest, and to the next one where nobody answers.
"""

from __future__ import annotations

import asyncio
import re
import sys
from itertools import cycle
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec
import uvloop

from runtime.settings import Settings, load

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
DIGITS = ("dtmfDigits", "Digits")
ANSWERED = ("completed", "answered")


class Flows:
    """What the configuration's flows say, step by step. `http` is where we listen."""

    def __init__(self, settings: Settings):
        self.flows, self.http = settings.flows, ""
        self.agents = cycle([agent.number for agent in settings.agents.values()])

    def answer(self, path: str, said: dict[str, str]) -> list[object]:
        """The actions for a request to /voice/{flow}[/{step}]."""
        flow, _, name = path.removeprefix("/voice/").partition("/")
        known = self.flows[flow]
        steps, step = known["steps"], known["steps"].get(name)
        if step is None or said.get("callSessionState") == "Completed":
            return self._enter(flow, known["start"], steps) if step is None else []
        if step["kind"] == "menu":
            digits = next((said[field] for field in DIGITS if field in said), "")
            return self._enter(flow, step["choices"].get(digits, name), steps)
        if said.get("dialCallStatus") in ANSWERED or step["kind"] != "queue":
            return [{"hangup": {}}]
        return self._enter(flow, name, steps)

    def _enter(self, flow: str, name: str, steps: dict[str, dict[str, object]]) -> list[object]:
        step, here = steps[name], f"{self.http}/voice/{flow}/{name}"
        match step["kind"]:
            case "menu":
                say = {"say": {"text": step["prompt"]}}
                return [{"getDigits": {"timeout": step["timeout_s"], "numDigits": 1, "action": here, "nested": [say]}}]
            case "say":
                return [{"say": {"text": step["text"]}}, {"hangup": {}}]
        number = next(self.agents) if step["kind"] == "queue" else step["to"]
        return [{"dial": {"number": number, "timeout": 30}}, {"redirect": {"url": here}}]


class Application(asyncio.Protocol):
    flows: Flows

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.come = b""

    def data_received(self, data: bytes) -> None:
        self.come += data
        end = self.come.find(b"\r\n\r\n") + 4
        length = LENGTH.search(self.come, 0, end)
        if end < 4 or len(self.come) < end + (int(length[1]) if length else 0):
            return
        target, body, self.come = self.come.split(b" ", 2)[1].decode(), self.come[end:], b""
        status, answer = self._answer(urlsplit(target).path, body)
        head = b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.transport.write(head % (status, len(answer)) + answer)

    def _answer(self, path: str, body: bytes) -> tuple[int, bytes]:
        if path.startswith("/voice/"):
            return 200, msgspec.json.encode({"actions": self.flows.answer(path, _fields(body))})
        return (202, b"") if path.startswith("/hooks/") else (200, b'{"agents":[]}')


def _fields(body: bytes) -> dict[str, str]:
    if body.startswith(b"{"):
        return msgspec.json.decode(body, type=dict[str, str])
    return {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}


async def main(config: Path) -> None:
    Application.flows = Flows(load(config))
    server = await asyncio.get_running_loop().create_server(Application, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    Application.flows.http = f"http://127.0.0.1:{port}"
    print(port, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
