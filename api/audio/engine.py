"""What an engine is: something that hears one caller and speaks to them, until it hands over or the talk is at its end.

An engine is one coroutine over one `Line`:

- `async for pcm in line.heard()` is the caller: S16LE mono at `line.rate`, as it comes; the oldest is lost where it is not taken;
- `line.ready()` says that it listens (the bot's leg begins); before that nothing may be said;
- `await line.say(pcm)` is played in real time, in order; it waits where a minute is waiting already;
- `await line.barge_in()` takes back all that was said and not yet heard, and returns how many milliseconds that was;
- `line.turn(role, text)` is for the journey: who said what.

It returns an `Ending`, or raises `Unavailable` where it cannot be had at all. It is cancelled where the caller leaves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, TypeAlias

import msgspec

from api.audio.line import Line
from calls.voice.flow import Bot
from runtime.settings import EngineSettings


class Ending(msgspec.Struct, frozen=True):
    """How a bot's part of a call ended. `failed`: the caller is told the step's fallback text and goes to a human."""

    how: Literal["handed_over", "ended", "failed"]
    reason: str = ""


class Unavailable(Exception):
    """The engine cannot be had: no key, refused, not set up in time. Says why, without secrets."""


Engine: TypeAlias = Callable[[Line], Awaitable[Ending]]
Maker: TypeAlias = Callable[[Bot, EngineSettings], Engine]  # of one call's engine
