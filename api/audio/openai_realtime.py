"""OpenAI's Realtime models over a WebSocket.

As of its reference (developers.openai.com/api/reference/resources/realtime, client and server events) and its guide to realtime
conversations: `session.update` with `type: realtime` and PCM at 24 kHz (no other rate is taken), server-side voice activity
detection that answers and interrupts by itself, audio appended as base64. With WebSockets it is the client who says how much of
an interrupted answer was heard (`conversation.item.truncate`). Names of the preview (`response.audio.delta`, …) are read as well.
Most `error` events are recoverable; `session_expired` is not (after 60 minutes; the socket then closes with 1001).
"""

from __future__ import annotations

import asyncio
import base64
from urllib.parse import quote

import msgspec
import structlog
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from api.audio import models
from api.audio.engine import Ending, Engine, Unavailable
from api.audio.line import Line
from api.audio.models import Message
from api.audio.resample import Resampler
from calls.voice.flow import Bot
from runtime.settings import EngineSettings

log = structlog.get_logger()
URL = "wss://api.openai.com/v1/realtime"
MODEL = "gpt-realtime"
TRANSCRIBER = "gpt-4o-mini-transcribe"
RATE = 24000
PCM = {"type": "audio/pcm", "rate": RATE}
FATAL = frozenset({"session_expired", "invalid_api_key", "insufficient_quota"})


def openai_realtime(step: Bot, settings: EngineSettings) -> Engine:
    async def run(line: Line) -> Ending:
        key = models.key_of(settings, "openai-realtime")
        url = f"{settings.url or URL}?model={quote(step.model or settings.model or MODEL)}"
        async with models.dialled(url, {"Authorization": f"Bearer {key}"}) as socket:
            try:
                await _set_up(socket, step)
                line.ready()
                sending = asyncio.create_task(_send_audio(socket, line))
                try:
                    return await Talk(socket, line).listen()
                finally:
                    sending.cancel()
            except ConnectionClosed as closed:
                return models.lost(closed)

    return run


async def _set_up(socket: ClientConnection, step: Bot) -> None:
    created = await models.awaited(socket, "session.created", "error")
    if created["type"] == "session.created":
        await _send(socket, {"type": "session.update", "session": settings_of(step)})
        created = await models.awaited(socket, "session.updated", "error")
    if created["type"] == "error":
        raise Unavailable(f"the vendor refused the set-up: {_said(created)}")
    await _send(socket, {"type": "response.create"})  # it greets first


def settings_of(step: Bot) -> Message:
    tools = [
        {"type": "function", "name": name, "description": purpose, "parameters": {"type": "object", "properties": {}}}
        for name, purpose in models.FUNCTIONS.items()
    ]
    detection = {"type": "server_vad", "create_response": True, "interrupt_response": True}
    output = {"format": PCM} | ({"voice": step.voice} if step.voice else {})
    return {
        "type": "realtime", "output_modalities": ["audio"], "instructions": models.instructions(step), "tools": tools,
        "tool_choice": "auto", "audio": {
            "input": {"format": PCM, "transcription": {"model": TRANSCRIBER}, "turn_detection": detection}, "output": output,
        },
    }  # fmt: skip


async def _send(socket: ClientConnection, message: Message) -> None:
    await socket.send(msgspec.json.encode(message).decode())


async def _send_audio(socket: ClientConnection, line: Line) -> None:
    """Waits where the vendor does not take it; the line then loses the oldest of what comes."""
    resample = Resampler(line.rate, RATE)
    try:
        async for pcm in line.heard():
            await socket.send('{"type":"input_audio_buffer.append","audio":"' + base64.b64encode(resample(pcm)).decode() + '"}')
    except ConnectionClosed:
        return  # whoever listens says so


class Talk:
    """What the model says, until it hands over, hangs up or fails."""

    def __init__(self, socket: ClientConnection, line: Line):
        self.socket, self.line = socket, line
        self.resample = Resampler(RATE, line.rate)
        self.response = ""  # the answer that is being given
        self.silenced = ""  # the answer that was interrupted: what still comes of it is not said
        self.item, self.part, self.said_ms = "", 0, 0.0  # of the answer's audio

    async def listen(self) -> Ending:
        while True:
            try:
                message = models.parsed(await self.socket.recv())
            except ConnectionClosed as closed:
                return models.lost(closed)
            ending = await self._take(message)
            if ending is not None:
                return ending

    async def _take(self, message: Message) -> Ending | None:
        match message.get("type"):
            case "response.output_audio.delta" | "response.audio.delta":
                await self._say(message)
            case "response.created":
                self.response = _id(message.get("response"))
            case "input_audio_buffer.speech_started":
                await self._interrupted()
            case "conversation.item.input_audio_transcription.completed":
                self.line.turn("caller", _text(message.get("transcript")))
            case "response.output_audio_transcript.done" | "response.audio_transcript.done":
                self.line.turn("bot", _text(message.get("transcript")))
            case "response.done":
                return _done(message.get("response"))
            case "error":
                return _error(message)
        return None

    async def _say(self, message: Message) -> None:
        if message.get("response_id", "") == self.silenced and self.silenced:
            return
        if message.get("item_id") != self.item:
            self.item, self.part, self.said_ms = str(message.get("item_id")), message.get("content_index") or 0, 0.0
        pcm = models.audio_of(message.get("delta"))
        self.said_ms += 1000 * len(pcm) / (2 * RATE)
        await self.line.say(self.resample(pcm))

    async def _interrupted(self) -> None:
        """The vendor stops its answer by itself; it does not know how much of it was heard."""
        self.silenced = self.response
        self.resample = Resampler(RATE, self.line.rate)
        unheard = await self.line.barge_in()
        if self.item and unheard:
            heard = max(0, int(self.said_ms) - unheard)
            await _send(
                self.socket,
                {"type": "conversation.item.truncate", "item_id": self.item, "content_index": self.part, "audio_end_ms": heard},
            )
            self.item = ""


def _done(response: object) -> Ending | None:
    """An answer is complete: perhaps with a function call, perhaps because the vendor failed."""
    fields = response if isinstance(response, dict) else {}
    if fields.get("status") == "failed":
        details = fields.get("status_details") or {}
        return Ending("failed", f"the vendor could not answer: {_said(details)}")
    if fields.get("status", "completed") != "completed":
        return None  # interrupted: what it was about to do, it does not do
    for item in fields.get("output") or []:
        if isinstance(item, dict) and item.get("type") == "function_call":
            ending = models.ending_by(item.get("name"))
            if ending is not None:
                return ending
    return None


def _error(message: Message) -> Ending | None:
    error = message.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    if code in FATAL:
        return Ending("failed", f"the vendor ended it: {_said(message)}")
    log.warning("the vendor reports an error", code=code, reason=_said(message))
    return None


def _said(message: Message) -> str:
    error = message.get("error")
    fields = error if isinstance(error, dict) else {}
    return str(fields.get("message") or fields.get("code") or fields.get("type") or "no reason")[:200]


def _id(response: object) -> str:
    return str(response.get("id") or "") if isinstance(response, dict) else ""


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
