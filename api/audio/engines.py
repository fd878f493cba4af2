"""The engines that a bot step may name."""

from __future__ import annotations

from collections.abc import Mapping

from api.audio.engine import Maker
from api.audio.gemini_live import gemini_live
from api.audio.openai_realtime import openai_realtime
from api.audio.scripted import scripted

ENGINES: Mapping[str, Maker] = {"scripted": scripted, "openai-realtime": openai_realtime, "gemini-live": gemini_live}
