"""This machine's clock, read where time enters: the pure core is always told it."""

from __future__ import annotations

import time

from calls.clock import Micros


def now() -> Micros:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000
