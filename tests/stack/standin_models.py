"""Stand-ins for the two vendors' models: they speak their protocols, check every message they are sent, and play a script.

A stand-in is told what to say by a coroutine, `script(model)`, that runs once the engine is set up. Whatever the engine sends is
checked against what the vendor documents, field by field; what it would refuse is kept in `faults`, which a test asserts is empty.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

KEY = "key-of-the-vendor"
PCM = {"type": "audio/pcm", "rate": 24000}
FUNCTIONS = ["hand_over", "end_call"]
Script = Callable[[Any], Awaitable[None]]


class Model:
    """What both have: a script, what was heard, what was wrong."""

    path = ""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.socket: ServerConnection = None  # type: ignore[assignment]
        self.url = ""
        self.got: list[dict[str, Any]] = []  # everything but audio
        self.audio = bytearray()
        self.faults: list[str] = []
        self.opened = 0

    def admit(self, connection: ServerConnection, request: Any) -> Any:
        url = urlsplit(request.path)
        if not self.known(request, parse_qs(url.query)):
            return connection.respond(HTTPStatus.UNAUTHORIZED, "no such key\n")
        if url.path != self.path:
            return connection.respond(HTTPStatus.NOT_FOUND, "no such path\n")
        return None

    async def serve(self, socket: ServerConnection) -> None:
        self.socket, self.opened = socket, self.opened + 1
        reading = None
        with suppress(ConnectionClosed):
            await self.set_up()
            reading = asyncio.create_task(self.read())
            await self.script(self)
            await socket.close()
        if reading:
            await asyncio.wait({reading}, timeout=2)

    async def read(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                await self.take(await self.received())

    async def received(self) -> dict[str, Any]:
        raw = await self.socket.recv()
        self.check(isinstance(raw, str), "client messages are text frames")
        return json.loads(raw)

    def check(self, holds: bool, what: str) -> None:
        if not holds:
            self.faults.append(what)

    def exactly(self, value: Any, *needed: str, may: tuple[str, ...] = (), where: str) -> None:
        """An object with these fields and no others."""
        found = set(value) if isinstance(value, dict) else set()
        self.check(set(needed) <= found <= {*needed, *may}, f"{where}: {sorted(found)}, want {sorted(needed)} and perhaps {sorted(may)}")

    def pcm(self, encoded: Any) -> bytes:
        try:
            found = base64.b64decode(encoded, validate=True)
        except (TypeError, ValueError) as error:
            self.check(False, f"audio is no base64: {error}")
            return b""
        self.check(len(found) % 2 == 0, "audio ends within a sample")
        return found

    async def until(self, probe: Callable[[Any], Any]) -> None:
        async with asyncio.timeout(5):
            while not probe(self):  # noqa: ASYNC110  probes look at several things at once
                await asyncio.sleep(0.005)

    # what a vendor's protocol says of itself

    def known(self, request: Any, query: dict[str, list[str]]) -> bool:
        raise NotImplementedError

    async def set_up(self) -> None:
        raise NotImplementedError

    async def take(self, message: dict[str, Any]) -> None:
        raise NotImplementedError


class OpenAI(Model):
    """As developers.openai.com describes client and server events of the Realtime API."""

    path = "/v1/realtime"

    def __init__(self, script: Script, *, model: str = "gpt-realtime", refuse: str = "") -> None:
        super().__init__(script)
        self.model, self.refuse = model, refuse
        self.lengths: dict[str, float] = {}  # ms of audio by item
        self.configured: dict[str, Any] = {}

    def known(self, request: Any, query: dict[str, list[str]]) -> bool:
        self.check("openai-beta" not in request.headers, "the header of the preview is gone")
        self.check(query == {"model": [self.model]}, f"query {query}")
        return request.headers.get("authorization") == f"Bearer {KEY}"

    async def set_up(self) -> None:
        await self.send("session.created", session={"type": "realtime", "id": "sess_1"})
        message = await self.received()
        self.exactly(message, "type", "session", where="session.update")
        self.check(message["type"] == "session.update", f"first of all a session.update, not {message['type']}")
        self.configure(message["session"])
        if self.refuse:
            await self.error(self.refuse)
            await self.socket.close()
            return
        await self.send("session.updated", session=self.configured)

    def configure(self, session: dict[str, Any]) -> None:
        self.exactly(session, "type", "audio", "instructions", "tools", may=("output_modalities", "tool_choice"), where="session")
        audio = session["audio"]
        self.exactly(audio, "input", "output", where="audio")
        self.exactly(audio["input"], "format", "turn_detection", "transcription", where="audio.input")
        self.exactly(audio["output"], "format", may=("voice",), where="audio.output")
        self.check(session["type"] == "realtime" and session["output_modalities"] == ["audio"], "type and modalities")
        self.check(audio["input"]["format"] == PCM == audio["output"]["format"], "PCM at 24 kHz")
        self.check(audio["input"]["turn_detection"]["type"] == "server_vad", "server_vad")
        for tool in session["tools"]:
            self.exactly(tool, "type", "name", "description", "parameters", where="tool")
            self.check(tool["type"] == "function" and tool["parameters"]["type"] == "object", f"tool {tool}")
        self.check([tool["name"] for tool in session["tools"]] == FUNCTIONS, "the functions")
        self.configured = session

    async def take(self, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "input_audio_buffer.append":
                self.exactly(message, "type", "audio", where="append")
                self.audio += self.pcm(message["audio"])
                return
            case "response.create":
                self.exactly(message, "type", where="response.create")
            case "conversation.item.truncate":
                self.exactly(message, "type", "item_id", "content_index", "audio_end_ms", where="truncate")
                longest = self.lengths.get(message["item_id"], -1)
                self.check(0 <= message["audio_end_ms"] <= longest, f"truncated at {message['audio_end_ms']} of {longest} ms")
                self.check(isinstance(message["audio_end_ms"], int) and message["content_index"] == 0, f"truncate {message}")
            case other:
                self.check(False, f"no client event: {other}")
        self.got.append(message)

    async def send(self, kind: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, "event_id": "event_1"} | fields))

    async def error(self, code: str) -> None:
        error = {"type": "invalid_request_error", "code": code, "message": f"It is {code}.", "param": None, "event_id": None}
        await self.send("error", error=error)

    async def begin(self, response: str) -> None:
        await self.send("response.created", response={"id": response, "status": "in_progress", "output": []})

    async def say(self, response: str, item: str, pcm: bytes, *, delta: str = "response.output_audio.delta") -> None:
        """Faster than it is heard, as the vendor does."""
        for start in range(0, len(pcm), 9600):
            piece = pcm[start : start + 9600]
            self.lengths[item] = self.lengths.get(item, 0) + len(piece) / 48
            await self.send(
                delta, response_id=response, item_id=item, output_index=0, content_index=0, delta=base64.b64encode(piece).decode()
            )

    async def done(self, response: str, *calls: str, status: str = "completed", **more: Any) -> None:
        output = [{"type": "function_call", "name": name, "call_id": "call_1", "arguments": "{}", "status": status} for name in calls]
        await self.send("response.done", response={"id": response, "status": status, "output": output} | more)


class Gemini(Model):
    """As ai.google.dev/api/live describes messages of BidiGenerateContent."""

    path = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
    KINDS = ("setup", "clientContent", "realtimeInput", "toolResponse")

    def __init__(self, script: Script, *, refuse: str = "") -> None:
        super().__init__(script)
        self.refuse = refuse
        self.rates: set[str] = set()
        self.configured: dict[str, Any] = {}
        self.called: dict[str, str] = {}  # open function calls

    def known(self, request: Any, query: dict[str, list[str]]) -> bool:
        return query.get("key") == [KEY]

    async def set_up(self) -> None:
        message = await self.received()
        self.exactly(message, "setup", where="the first message")
        self.configure(message["setup"])
        if self.refuse:
            await self.socket.close(1007, self.refuse)
            return
        with suppress(TimeoutError):
            early = await asyncio.wait_for(self.socket.recv(), 0.02)
            self.check(False, f"before setupComplete: {early!r}")
        await self.send(setupComplete={})

    def configure(self, setup: dict[str, Any]) -> None:
        transcribed = ("inputAudioTranscription", "outputAudioTranscription")
        self.exactly(setup, "model", "generationConfig", "systemInstruction", "tools", *transcribed, where="setup")
        self.exactly(setup["generationConfig"], "responseModalities", may=("speechConfig",), where="generationConfig")
        self.check(setup["model"].startswith("models/"), setup["model"])
        self.check(setup["generationConfig"]["responseModalities"] == ["AUDIO"], "AUDIO")
        self.check(list(setup["systemInstruction"]) == ["parts"], "systemInstruction")
        (tool,) = setup["tools"]
        self.exactly(tool, "functionDeclarations", where="tool")
        for declared in tool["functionDeclarations"]:
            self.exactly(declared, "name", "description", may=("parameters",), where="declaration")
        self.check([one["name"] for one in tool["functionDeclarations"]] == FUNCTIONS, "the functions")
        self.configured = setup

    async def take(self, message: dict[str, Any]) -> None:
        self.check(len(message) == 1 and set(message) <= set(self.KINDS[1:]), f"one kind a message: {sorted(message)}")
        realtime = message.get("realtimeInput")
        if realtime and "audio" in realtime:
            self.exactly(realtime, "audio", where="realtimeInput")
            self.exactly(realtime["audio"], "data", "mimeType", where="audio")
            self.rates.add(realtime["audio"]["mimeType"])
            self.audio += self.pcm(realtime["audio"]["data"])
            return
        if realtime:
            self.exactly(realtime, "text", where="realtimeInput")
        for answer in message.get("toolResponse", {}).get("functionResponses", []):
            self.exactly(answer, "id", "name", "response", where="functionResponse")
            self.check(self.called.pop(answer["id"], "") == answer["name"], f"answered a call that was not made: {answer}")
        self.got.append(message)

    async def send(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message).encode())  # the vendor sends binary frames

    async def say(self, pcm: bytes, *, rate: int = 24000) -> None:
        for start in range(0, len(pcm), 9600):
            data = {"mimeType": f"audio/pcm;rate={rate}", "data": base64.b64encode(pcm[start : start + 9600]).decode()}
            await self.content(modelTurn={"role": "model", "parts": [{"inlineData": data}]})

    async def content(self, **fields: Any) -> None:
        await self.send(serverContent=fields)

    async def call(self, **calls: str) -> None:
        """id=name"""
        self.called |= calls
        await self.send(toolCall={"functionCalls": [{"id": key, "name": name, "args": {}} for key, name in calls.items()]})


@asynccontextmanager
async def standing_in(model: Model) -> AsyncIterator[Model]:
    async with serve(model.serve, "127.0.0.1", 0, process_request=model.admit, compression=None, close_timeout=1) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        model.url = f"ws://127.0.0.1:{port}{model.path}"
        yield model
