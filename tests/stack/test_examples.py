"""Every example of docs/examples, as its README tells it: the requests are sent to its flows, the answers and journeys must be those.

A transcript is a block of kind `call`. `> POST /voice/flow name=value …` is a request (a form, or with GET a query; `{name}` an
address captured before), `> hook {…}` a provider's webhook (NOW: this moment), `> audio {name}` the audio socket until it is closed,
`> wait SECONDS`, `> agent NAME STATE` an agent's state, `> call NUMBER FLOW` an order of ours, `> order ADDRESS {name}` waits for the provider to be asked to call
that address and captures where it asks when it is answered. `<` lines are the answer, an action a line, in which `"{name}"` stands
for one of our addresses; `= path value` is what the journey comes to.
"""

from __future__ import annotations

import http.server
import json
import re
import shlex
import threading
import time
import tomllib
import uuid
import xml.sax.saxutils
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from running import eventually
from websockets.sync.client import connect
from whole import EXAMPLES, EXCHANGE, Stack

from calls.clock import rfc3339
from calls.providers import PROVIDERS

BLOCK = re.compile(r"^```call\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/safiri.toml"))


class Exchange(http.server.BaseHTTPRequestHandler):
    """The provider's `POST /v1/calls`: every call rings."""

    protocol_version = "HTTP/1.1"
    orders: list[dict[str, Any]] = []  # noqa: RUF012  one provider for all

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
        answer = json.dumps({"call_id": str(uuid.uuid4()), "status": "ringing"}).encode()
        self.send_response(201)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        if "to" in asked:
            self.orders.append(asked)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module", autouse=True)
def exchange() -> Iterator[None]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", urlsplit(EXCHANGE).port or 0), Exchange)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield
    server.shutdown()
    server.server_close()


class Talk:
    """One transcript on the running service, against one example's account."""

    def __init__(self, stack: Stack, name: str) -> None:
        config = tomllib.loads((EXAMPLES / name / "safiri.toml").read_text())
        ((self.account, settings),) = config["accounts"].items()
        self.stack, self.secret, self.provider = stack, settings["signing_secrets"][0], PROVIDERS[settings["provider"]]
        self.places: dict[str, str] = {}
        self.sid = ""

    def signed(self, body: bytes) -> dict[str, str]:
        return self.provider.sign(body, self.secret, int(time.time()), uuid.uuid4().hex)

    def place(self, text: str) -> str:
        """A path, or what a captured address stands for."""
        if not text.startswith("{"):
            return text
        url = urlsplit(self.places[text.strip("{}")])
        return f"{url.path}?{url.query}"

    def request(self, method: str, where: str, *pairs: str) -> Any:
        fields = dict(pair.split("=", 1) for pair in pairs)
        self.sid = self.sid or fields.get("sessionId") or fields.get("CallId") or fields.get("call_id") or ""
        path, body = self.place(where), urlencode(fields)
        if method == "GET":
            return self.stack.http.get(f"{path}{'&' if '?' in path else '?'}{body}", headers=self.signed(b""))
        headers = {"content-type": "application/x-www-form-urlencoded", **self.signed(body.encode())}
        return self.stack.http.post(path, content=body, headers=headers)

    def hook(self, text: str) -> Any:
        body = text.replace("NOW", rfc3339(time.time_ns() // 1000) or "").encode()
        return self.stack.http.post(
            f"/hooks/{self.account}", content=body, headers={"content-type": "application/json", **self.signed(body)}
        )

    def audio(self, where: str) -> None:
        url = self.stack.url.replace("http://", "ws://") + self.place(where)
        with connect(url, subprotocols=["audio.drachtio.org"]) as line:  # type: ignore[list-item]
            line.send(json.dumps({"callSid": self.sid}))
            line.send(bytes(640))
            heard = [frame for frame in line if isinstance(frame, bytes)]
        assert heard, "the bot said nothing"

    def api(self, path: str, **fields: str) -> None:
        headers = {"authorization": f"Bearer {self.stack.key}", "idempotency-key": uuid.uuid4().hex}
        assert self.stack.http.post(path, json=fields, headers=headers).is_success

    def order(self, address: str, name: str) -> None:
        """Waits until the provider is asked to call `address`; captures the callback."""
        eventually(lambda: any(address in one["to"] for one in Exchange.orders), f"a call to {address}")
        asked = next(one for one in Exchange.orders if address in one["to"])
        Exchange.orders.remove(asked)
        self.places[name.strip("{}")] = asked["voice_callback_url"]

    def turn(self, sent: str, wanted: list[str]) -> None:
        """Sends one line and compares what is answered."""
        kind, _, rest = sent.partition(" ")
        said = rest.split()
        match kind:
            case "wait":
                time.sleep(float(rest))
            case "hook":
                self.expect(self.hook(rest), wanted)
            case "audio":
                self.audio(rest)
            case "agent":
                self.api(f"/v1/agents/{said[0]}/state", state=said[1])
            case "call":
                self.api("/v1/calls", to=said[0], flow=said[1])
            case "order":
                self.order(*said)
            case _:
                self.expect(self.request(kind, *shlex.split(rest)), wanted)

    def expect(self, answer: Any, wanted: list[str]) -> None:
        assert answer.status_code in (200, 202, 204), answer.text
        if wanted and wanted[0].startswith("<"):
            said = answer.text[answer.text.index("<Response>") :].removeprefix("<Response>").removesuffix("</Response>")
            self.same("".join(wanted), said, unescape=True)
        elif wanted:
            actions = [] if wanted == ["nothing"] else [json.loads(line) for line in wanted]
            self.same(json.dumps(actions, sort_keys=True), json.dumps(answer.json()["actions"], sort_keys=True))

    def same(self, wanted: str, said: str, *, unescape: bool = False) -> None:
        pattern = re.sub(r"\\\{(\w+)\\\}", lambda found: f'(?P<{found[1]}>[^"<]+)', re.escape(wanted))
        found = re.fullmatch(pattern, said)
        assert found, f"wanted {wanted}\nheard  {said}"
        self.places |= {name: xml.sax.saxutils.unescape(value) if unescape else value for name, value in found.groupdict().items()}


def turns(transcript: str) -> Iterator[tuple[str, list[str]]]:
    """(what is sent, the lines it is answered with)."""
    sent: str | None = None
    answer: list[str] = []
    for line in transcript.splitlines():
        if line.startswith(">  ") and sent is not None:
            sent += " " + line[1:].strip()
        elif line.startswith(">"):
            if sent is not None:
                yield sent, answer
            sent, answer = line[1:].strip(), []
        elif line.startswith("<"):
            answer.append(line[1:].strip())
    if sent is not None:
        yield sent, answer


@pytest.mark.parametrize(
    ("name", "transcript"), [(name, block) for name in NAMES for block in BLOCK.findall((EXAMPLES / name / "README.md").read_text())]
)
def test_an_example_does_what_it_says(stack: Stack, name: str, transcript: str) -> None:
    talk = Talk(stack, name)
    for sent, wanted in turns(transcript):
        talk.turn(sent, wanted)
    expectations = [line[1:].split(maxsplit=1) for line in transcript.splitlines() if line.startswith("=")]
    end = time.monotonic() + 20
    while (wrong := differs(stack, talk.sid, expectations)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not wrong, f"the journey of {talk.sid}: {wrong}"


def differs(stack: Stack, sid: str, expectations: list[list[str]]) -> list[str]:
    """Where the journey is not what the transcript says."""
    reply = stack.http.get(f"/v1/journeys/{sid}", headers={"authorization": f"Bearer {stack.key}"})
    if reply.status_code != 200:
        return [reply.text]
    wrong = []
    for path, wanted in expectations:
        found: Any = reply.json()
        for part in path.split("."):
            found = at(found, part)
        if json.dumps(found) != wanted and str(found) != wanted:
            wrong.append(f"{path} is {json.dumps(found)}, not {wanted}")
    return wrong


def at(value: Any, part: str) -> Any:
    """A field, an item by its number, or that field of all items; None where it is not there (yet)."""
    if isinstance(value, list) and not part.isdigit():
        return [at(one, part) for one in value]
    if isinstance(value, list):
        return value[int(part)] if int(part) < len(value) else None
    return value.get(part) if value else None


def test_every_example_is_told() -> None:
    assert len(NAMES) >= 5 and all(BLOCK.search((EXAMPLES / name / "README.md").read_text()) for name in NAMES)
