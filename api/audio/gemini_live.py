"""Google's Gemini Live models over a WebSocket.

As of the reference of its WebSockets (ai.google.dev/api/live) and the guide to raw WebSockets: `setup` first, then nothing until
`setupComplete`; audio as `realtimeInput.audio` with its rate in the MIME type (the vendor resamples by itself), answers as
`serverContent.modelTurn` parts with inline PCM, usually 24 kHz; `serverContent.interrupted` where the caller spoke into one;
`toolCall`, answered by `toolResponse`. Transcriptions come in pieces. A connection lasts about ten minutes: `goAway` comes some
50 s before its end. Messages come as binary frames.
"""

from __future__ import annotations

import asyncio
import base64
import re
from urllib.parse import quote

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from api.audio import models
from api.audio.engine import Ending, Engine
from api.audio.line import Line, Role
from api.audio.models import Message
from api.audio.resample import Resampler
from calls.voice.flow import Bot
from runtime.settings import EngineSettings

URL = "wss://generativelanguage.googleapis.com/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
MODEL = "gemini-3.1-flash-live-preview"
RATE = 24000
RATES = range(8000, 48001)
_RATE = re.compile(r"rate=(\d{4,6})")
LONGEST_TURN = 20_000  # characters of one transcript


def gemini_live(step: Bot, settings: EngineSettings) -> Engine:
    async def run(line: Line) -> Ending:
        key = models.key_of(settings, "gemini-live")
        async with models.dialled(f"{settings.url or URL}?key={quote(key, safe='')}", {}) as socket:
            try:
                await _send(socket, {"setup": settings_of(step, step.model or settings.model or MODEL)})
                await models.awaited(socket, "setupComplete")
                line.ready()
                await _send(socket, {"realtimeInput": {"text": models.GREETING}})
                sending = asyncio.create_task(_send_audio(socket, line))
                try:
                    return await Talk(socket, line).listen()
                finally:
                    sending.cancel()
            except ConnectionClosed as closed:
                return models.lost(closed)

    return run


def settings_of(step: Bot, model: str) -> Message:
    generation: Message = {"responseModalities": ["AUDIO"]}
    if step.voice:
        generation["speechConfig"] = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": step.voice}}}
    functions = [{"name": name, "description": purpose} for name, purpose in models.FUNCTIONS.items()]
    return {
        "model": model if "/" in model else f"models/{model}", "generationConfig": generation,
        "systemInstruction": {"parts": [{"text": models.instructions(step)}]}, "tools": [{"functionDeclarations": functions}],
        "inputAudioTranscription": {}, "outputAudioTranscription": {},
    }  # fmt: skip


async def _send(socket: ClientConnection, message: Message) -> None:
    await socket.send(msgspec.json.encode(message).decode())


async def _send_audio(socket: ClientConnection, line: Line) -> None:
    """Waits where the vendor does not take it; the line then loses the oldest of what comes."""
    before, after = f'{{"realtimeInput":{{"audio":{{"mimeType":"audio/pcm;rate={line.rate}","data":"', '"}}}'
    try:
        async for pcm in line.heard():
            await socket.send(before + base64.b64encode(pcm).decode() + after)
    except ConnectionClosed:
        return  # whoever listens says so


class Talk:
    """What the model says, until it hands over, hangs up or fails."""

    def __init__(self, socket: ClientConnection, line: Line):
        self.socket, self.line = socket, line
        self.rate, self.resample = RATE, Resampler(RATE, line.rate)
        self.heard: dict[Role, str] = {"caller": "", "bot": ""}  # the transcripts of this turn so far
        self.speaking = False
        self.leaving = ""  # the vendor has said that it goes

    async def listen(self) -> Ending:
        while True:
            try:
                message = models.parsed(await self.socket.recv())
            except ConnectionClosed as closed:
                return models.lost(closed)
            ending = await self._take(message)
            if ending is not None:
                self._turns()
                return ending
            if self.leaving and not self.speaking:
                self._turns()
                await self.line.drained(models.SET_UP_WITHIN_S)
                return Ending("failed", self.leaving)

    async def _take(self, message: Message) -> Ending | None:
        content, call = message.get("serverContent"), message.get("toolCall")
        if isinstance(content, dict):
            await self._content(content)
        if "goAway" in message:
            self.leaving = "the vendor ends the connection (goAway)"
        return await self._called(call) if isinstance(call, dict) else None

    async def _content(self, content: Message) -> None:
        self._transcribe(content.get("inputTranscription"), "caller")
        self._transcribe(content.get("outputTranscription"), "bot")
        if content.get("interrupted"):
            self.resample = Resampler(self.rate, self.line.rate)
            await self.line.barge_in()
        else:
            for part in (content.get("modelTurn") or {}).get("parts") or []:
                await self._say(part.get("inlineData") or {})
        if content.get("interrupted") or content.get("turnComplete"):
            self.speaking = False
            self._turns()

    async def _say(self, data: Message) -> None:
        kind = str(data.get("mimeType") or "")
        if not kind.startswith("audio/pcm"):
            return
        named = _RATE.search(kind)
        rate = int(named[1]) if named else RATE
        if rate != self.rate and rate in RATES:
            self.rate, self.resample = rate, Resampler(rate, self.line.rate)
        self.speaking = True
        await self.line.say(self.resample(models.audio_of(data.get("data"))))

    async def _called(self, call: Message) -> Ending | None:
        """Every call is answered; the first one that means the end is it."""
        calls = [one for one in call.get("functionCalls") or [] if isinstance(one, dict)]
        answers = [{"id": one.get("id"), "name": one.get("name"), "response": {"result": "ok"}} for one in calls]
        await _send(self.socket, {"toolResponse": {"functionResponses": answers}})
        return next((ending for one in calls if (ending := models.ending_by(one.get("name")))), None)

    def _transcribe(self, piece: object, role: Role) -> None:
        text = piece.get("text") if isinstance(piece, dict) else None
        if isinstance(text, str):
            self.heard[role] = (self.heard[role] + text)[:LONGEST_TURN]

    def _turns(self) -> None:
        """What was transcribed so far is a turn: the caller's first."""
        for role, text in self.heard.items():
            if text.strip():
                self.line.turn(role, text)
            self.heard[role] = ""
