"""The engine that needs nobody: it answers with a tone and hands over when `hand_over_after_ms` are over. For demos and tests."""

from __future__ import annotations

import asyncio
import math
from array import array

from api.audio.engine import Ending, Engine
from api.audio.line import Line
from api.audio.resample import write
from calls.voice.flow import Bot
from runtime.settings import EngineSettings

TONE_HZ, TONE_MS, LOUD = 440, 600, 6000
FADE_MS = 20  # a tone that begins at once clicks


def scripted(step: Bot, _: EngineSettings) -> Engine:
    async def run(line: Line) -> Ending:
        line.ready()
        await line.say(tone(line.rate, min(TONE_MS, step.hand_over_after_ms)))
        line.turn("bot")
        try:
            async with asyncio.timeout(step.hand_over_after_ms / 1000):
                async for _frame in line.heard():
                    pass
        except TimeoutError:
            pass
        return Ending("handed_over", "as scripted")

    return run


def tone(rate: int, ms: int) -> bytes:
    """A gentle sine as S16LE."""
    count, fade = rate * ms // 1000, rate * FADE_MS // 1000
    step = 2 * math.pi * TONE_HZ / rate
    samples = array("h", (int(LOUD * min(1, i / fade, (count - i) / fade) * math.sin(i * step)) for i in range(count)))
    return write(samples)
