"""The event loop that our processes run on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


def fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where there is one: four times the requests of the loop that comes with Python."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
