"""The AI receptionist: a call's audio, relayed between the provider's socket and an engine that listens and speaks."""

from api.audio.app import SERVER, Audio
from api.audio.engine import Ending, Engine, Maker, Unavailable
from api.audio.line import Line

__all__ = ["SERVER", "Audio", "Ending", "Engine", "Line", "Maker", "Unavailable"]
