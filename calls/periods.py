"""Days and months as somebody writes them: instants by the calendar of a zone."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from calls.clock import Micros, to_micros
from calls.parameters import zoned_time

_DAY = re.compile(r"(\d{4})-(\d\d)(?:-(\d\d))?", re.ASCII)
_HOW = "write a month (2026-05), a day (2026-05-01) or a time with a zone (2026-05-01T00:00:00Z)"


def instant(text: str, zone: str) -> Micros:
    """Where a day or a month begins in `zone`, or the instant of an RFC 3339 time. Raises ValueError with what to write."""
    match = _DAY.fullmatch(text.strip())
    if match is None:
        try:
            return zoned_time(text)
        except ValueError as why:
            raise ValueError(f"{why}; {_HOW}") from None
    return _midnight(int(match[1]), int(match[2]), int(match[3] or 1), zone=zone)


def stretch(text: str, zone: str) -> tuple[Micros, Micros]:
    """[begin, end) of a whole month or day in `zone`. Raises ValueError with what to write."""
    match = _DAY.fullmatch(text.strip())
    if match is None:
        raise ValueError("no month or day: write it as 2026-05 or 2026-05-01, or give the end too")
    if match[3] is None:
        return month(text, zone)
    begin = instant(text, zone)
    after = date(int(match[1]), int(match[2]), int(match[3])).toordinal() + 1
    if after > date.max.toordinal():
        raise ValueError(f"the calendar has no such day; {_HOW}")
    then = date.fromordinal(after)
    return begin, _midnight(then.year, then.month, then.day, zone=zone)


def month(text: str, zone: str) -> tuple[Micros, Micros]:
    """[begin, end) of a month such as 2026-05 in `zone`. Raises ValueError with what to write."""
    match = _DAY.fullmatch(text.strip())
    if match is None or match[3] is not None:
        raise ValueError("no month: write it as 2026-05")
    year, number = int(match[1]), int(match[2])
    begin = _midnight(year, number, 1, zone=zone)
    return begin, _midnight(year + number // 12, number % 12 + 1, 1, zone=zone)


def _midnight(year: int, number: int, day: int, *, zone: str) -> Micros:
    """A midnight that a change of the clocks skips is the change itself, one that it repeats is the first. East of Greenwich the
    first of all days begins before the calendar does."""
    try:
        return to_micros(datetime(year, number, day, tzinfo=ZoneInfo(zone)).astimezone(UTC))
    except (ValueError, OverflowError):
        raise ValueError(f"the calendar has no such day; {_HOW}") from None
