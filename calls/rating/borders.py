"""When the clock on the wall next reaches a minute at which rules may change."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from calls.clock import Micros, to_datetime, to_micros

QUARTER = 15 * 60 * 1_000_000  # clocks are changed at a quarter of an hour of UTC


def next_border(after: Micros, minutes: Iterable[int], *, zone: ZoneInfo) -> Micros:
    """The earliest instant later than `after` at which a rule can begin or cease; at the latest the next midnight there.

    `minutes` of the day. Where the clocks change before that, the next quarter of an hour, which may be no border: asking once
    too often costs nothing, once too seldom a charge.
    """
    local = to_datetime(after).astimezone(zone)
    midnight = datetime(local.year, local.month, local.day)  # noqa: DTZ001 - the wall's; its offset is taken away below
    wall = local.replace(tzinfo=None)
    edges = (midnight + timedelta(minutes=minute) for minute in (*minutes, 1440))
    gap = min(edge - wall for edge in edges if edge > wall)
    found = to_datetime(after) + gap
    if found.astimezone(zone).utcoffset() == local.utcoffset():
        return to_micros(found)
    return min(to_micros(found), after - after % QUARTER + QUARTER)
