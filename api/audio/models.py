"""What both vendors' models share: the socket to them, what they are told to be, and the functions they may call."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from api.audio.engine import Ending, Unavailable
from calls.voice.flow import Bot
from runtime.settings import EngineSettings

OPENED_WITHIN_S = 5.0
CLOSED_WITHIN_S = 0.3  # the caller waits meanwhile
SET_UP_WITHIN_S = 10.0
LARGEST = 8 << 20  # one message of a model: half a minute of speech as base64
Message: TypeAlias = dict[str, Any]

INSTRUCTIONS = (
    "You answer the telephone for a company. Greet the caller first. Be brief and friendly; speak the caller's language. "
    "Call hand_over when the caller asks for a person or you cannot help; say that you connect them, then call it. "
    "Call end_call when the caller has said goodbye."
)
HAND_OVER, END_CALL = "hand_over", "end_call"
FUNCTIONS = {
    HAND_OVER: "Connect the caller to a person. The talk with you ends.",
    END_CALL: "Hang up. Only when the caller has said goodbye and needs nothing more.",
}
GREETING = "A caller is on the line. Greet them."


def instructions(step: Bot) -> str:
    return step.instructions or INSTRUCTIONS


def key_of(settings: EngineSettings, engine: str) -> str:
    if settings.api_key is None:
        raise Unavailable(f"engines.{engine} has no api_key")
    return settings.api_key.get_secret_value()


def ending_by(function: object) -> Ending | None:
    """What a function that the model called means."""
    if function == HAND_OVER:
        return Ending("handed_over", "the model called hand_over")
    return Ending("ended", "the model called end_call") if function == END_CALL else None


@asynccontextmanager
async def dialled(url: str, headers: Mapping[str, str]) -> AsyncIterator[ClientConnection]:
    """The vendor's socket. Raises Unavailable where it cannot be opened; the address may hold a key, so it is never quoted."""
    try:
        socket = await connect(
            url, additional_headers=headers, compression=None, open_timeout=OPENED_WITHIN_S, close_timeout=CLOSED_WITHIN_S,
            max_size=LARGEST, ping_interval=20, ping_timeout=20,
        )  # fmt: skip
    except InvalidStatus as refused:
        raise Unavailable(f"the vendor answered {refused.response.status_code}") from None
    except (OSError, ValueError, WebSocketException) as error:  # a TimeoutError is an OSError
        raise Unavailable(f"the vendor's socket cannot be opened ({type(error).__name__})") from None
    async with socket:
        yield socket


async def received(socket: ClientConnection) -> Message:
    """The next message that is a JSON object. Raises Unavailable where the socket closes first."""
    while True:
        try:
            message = parsed(await socket.recv())
        except ConnectionClosed as closed:
            raise Unavailable(closing(closed)) from None
        if message:
            return message


async def awaited(socket: ClientConnection, *wanted: str, within_s: float = SET_UP_WITHIN_S) -> Message:
    """The first message that has one of these as its `type` or as a field; others are passed over. For setting up."""
    try:
        async with asyncio.timeout(within_s):
            while True:
                message = await received(socket)
                if message.get("type") in wanted or any(name in message for name in wanted):
                    return message
    except TimeoutError:
        raise Unavailable(f"the vendor was not ready within {within_s:.0f} s") from None


def parsed(raw: str | bytes) -> Message:
    """{} where it is no JSON object."""
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def audio_of(encoded: object) -> bytes:
    try:
        return base64.b64decode(encoded) if isinstance(encoded, str) else b""
    except binascii.Error:
        return b""


def lost(closed: ConnectionClosed) -> Ending:
    return Ending("failed", closing(closed))


def closing(closed: ConnectionClosed) -> str:
    frame = closed.rcvd
    return f"the vendor closed the socket ({frame.code} {frame.reason[:80]})" if frame else "the vendor's socket was lost"
