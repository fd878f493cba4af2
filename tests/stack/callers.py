"""A call as its provider sees it: what it asks on /voice, what it is told, and the flows that these tests walk."""

from __future__ import annotations

import json
import threading
import time
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import httpx
from whole import Stack

from calls.providers import PROVIDERS

OURS = "+254711000300"
CALLER = "+254722000300"
SECRET = {"lines": "whsec_lines", "loose": "whsec_loose", "mini-lines": "mv_lines"}

FLOWS = """
[accounts.lines]
provider = "sautikit"
signing_secrets = ["whsec_new", "whsec_lines"]
numbers = ["+254711000300"]
[accounts.loose]
provider = "sautikit"
signature = "none"
signing_secrets = ["whsec_loose"]
[accounts.mini-lines]
provider = "minivoice"
signature = "none"
signing_secrets = ["mv_lines"]
[queues.voice-hold]
announce = "Please hold."
music = "https://cdn.example.com/hold.mp3"
[agents.voice-agent]
number = "+254720000300"
queues = ["voice-hold"]

[flows.ivr]
account = "lines"
start = "menu"
[flows.ivr.steps]
menu = { kind = "menu", prompt = "One or two?", choices = { "1" = "sales", "2" = "line", "3" = "pin", "4" = "hello" }, retries = 2 }
sales = { kind = "dial", to = "+254720000001", next = "thanks", on_no_answer = "menu" }
thanks = { kind = "say", text = "Thank you." }
line = { kind = "queue", queue = "voice-hold" }
pin = { kind = "menu", prompt = "Your pin?", digits = 4, sensitive = true, choices = { "4242" = "thanks" } }
hello = { kind = "delegate", url = "APPLICATION/json", timeout_ms = 600, fallback = "thanks" }
[flows.markup]
account = "loose"
start = "menu"
format = "xml"
[flows.markup.steps]
menu = { kind = "menu", prompt = "Fish & <chips>?", choices = { "1" = "sales" } }
sales = { kind = "dial", to = "+254720000001" }
[flows.bot]
account = "lines"
start = "greet"
[flows.bot.steps]
greet = { kind = "bot", engine = "scripted", hand_over_to = "human", fallback_text = "One moment." }
human = { kind = "dial", to = "+254720000001" }
[flows.mini-ivr]
account = "mini-lines"
start = "menu"
[flows.mini-ivr.steps]
menu = { kind = "menu", prompt = "One or two?", choices = { "1" = "sales" } }
sales = { kind = "dial", to = "+254720000001" }
""" + "".join(
    f"""
[flows.app-{name}]
account = "lines"
start = "ask"
[flows.app-{name}.steps]
ask = {{ kind = "delegate", url = "APPLICATION/{name}?of=acme", timeout_ms = 600, fallback = "sorry" }}
sorry = {{ kind = "say", text = "Resting." }}
"""
    for name in ("json", "xml", "slow", "endless", "large", "bad", "error", "moved", "odd")
)


class Told(NamedTuple):
    """An answer. `actions` as (verb, fields) in order, values of XML as text."""

    status: int
    actions: list[tuple[str, dict[str, Any]]]
    xml: bool
    raw: bytes
    took: float

    @property
    def verbs(self) -> list[str]:
        return [verb for verb, _ in self.actions]

    def __getitem__(self, verb: Any) -> Any:
        return next(fields for name, fields in self.actions if name == verb)

    @property
    def onward(self) -> str:
        """The address after the last dial, room or stream."""
        return str(self["redirect"]["url"])


class Phone:
    """One call. `account` signs; "" sends without a signature."""

    def __init__(self, url: str, flow: str, *, account: str = "lines", sid: str = "", caller: str = CALLER) -> None:
        self.url, self.flow, self.account, self.caller = url, flow, account, caller
        self.sid = sid or f"HD_{uuid.uuid4().hex[:12].translate(str.maketrans('0123456789', 'ghijklmnop'))}1"

    def ask(self, where: str = "", *, state: str = "Ringing", **fields: str) -> Told:
        said = {"sessionId": self.sid, "callerNumber": self.caller, "destinationNumber": OURS, "direction": "Inbound"}
        said |= {"callSessionState": state, "isActive": "0" if state == "Completed" else "1"} | fields
        return self.send(urlencode(said).encode(), where)

    def press(self, digits: str, where: str = "", **fields: str) -> Told:
        return self.ask(where, state="Answered", dtmfDigits=digits, **fields)

    def send(self, body: bytes, where: str = "", *, content_type: str = "application/x-www-form-urlencoded", **headers: str) -> Told:
        signed = headers or (PROVIDERS["sautikit"].sign(body, SECRET[self.account], int(time.time()), "") if self.account else {})
        reply, took = self.request("POST", where, content=body, headers={"content-type": content_type, **signed})
        return told(reply, took)

    def request(self, method: str, where: str = "", **more: Any) -> tuple[httpx.Response, float]:
        path = urlsplit(where or f"/voice/{self.flow}")
        began = time.monotonic()
        target = f"{self.url}{path.path}" + (f"?{path.query}" if path.query else "")
        reply = httpx.request(method, target, timeout=20, **more)
        return reply, time.monotonic() - began


def told(reply: httpx.Response, took: float = 0.0) -> Told:
    if reply.status_code != 200:
        return Told(reply.status_code, [], False, reply.content, took)
    if reply.headers["content-type"] == "application/xml":
        return Told(200, [_element(one) for one in ET.fromstring(reply.content)], True, reply.content, took)
    assert reply.headers["content-type"] == "application/json", reply.headers
    actions = [(one.pop("type"), one) if "type" in one else next(iter(one.items())) for one in reply.json()["actions"]]
    return Told(200, actions, False, reply.content, took)


def _element(element: ET.Element) -> tuple[str, dict[str, Any]]:
    inside = {"nested": [_element(child) for child in element]} if len(element) else {}
    text = {"url" if element.tag in ("Redirect", "Stream", "Play") else "text": element.text} if element.text else {}
    return element.tag[0].lower() + element.tag[1:], dict(element.attrib) | inside | text


def journey(stack: Stack, sid: str, what: str = "") -> Any:
    return stack.get(f"/v1/journeys/{sid}{what}")


class Application:
    """The user's own application: what it was asked, and one way of answering a path."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        application = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                application.asked.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                status, kind, text, extra = application.says(urlsplit(self.path).path)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                for name, value in extra.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    for piece in text:
                        self.wfile.write(piece)
                except OSError:
                    pass  # whoever asked has had enough

            do_GET = do_POST = handle_any  # noqa: N815  the names that the server looks for

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def says(self, path: str) -> tuple[int, str, Iterator[bytes], dict[str, str]]:
        def once(value: Any) -> Iterator[bytes]:
            yield value if isinstance(value, bytes) else json.dumps(value).encode()

        def endless() -> Iterator[bytes]:
            for _ in range(100):
                time.sleep(0.1)
                yield b" "

        speaks = {"actions": [{"say": {"text": "The application speaks."}}]}
        found: dict[str, tuple[int, str, Iterator[bytes]]] = {
            "/json": (200, "application/json", once(speaks)),
            "/xml": (200, "text/xml", once(b'<?xml version="1.0"?>\n<Response><Say voice="woman" x-own="1">It speaks.</Say></Response>')),
            "/bad": (200, "application/json", once({"actions": [{"say": {"text": "The bad one."}}, {"explode": {}}]})),
            "/error": (500, "text/plain", once(b"boom in the application")),
            "/moved": (302, "text/plain", once(b"")),
            "/large": (200, "application/json", iter([b" " * 100_000] * 4)),
            "/odd": (200, "application/json", once(b"\xff\xfe\x00")),
            "/endless": (200, "application/json", endless()),
        }
        if path == "/slow":
            time.sleep(2)
        status, kind, text = found.get(path, found["/json"])
        return status, kind, text, {"Location": f"{self.url}/json"} if status == 302 else {}

    def of(self, sid: str) -> list[tuple[str, str, dict[str, str], bytes]]:
        return [one for one in self.asked if sid.encode() in one[3] or sid in one[1]]


@contextmanager
def application() -> Iterator[Application]:
    made = Application()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
