"""Time as the core keeps it: integer microseconds since 1970 in UTC. Text at the edge is RFC 3339 in UTC.

`parse_time` reads what providers really send and says None for what is no time; nothing here asks what time it is.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

Micros = int
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICRO = timedelta(microseconds=1)
USUAL = (20, 24, 27)  # lengths of 2026-06-27T10:00:05Z, with .000 and with .000000
_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,12}))?\s*(?:([Zz])|([+-])(\d\d):?(\d\d))?", re.ASCII)


def parse_time(value: object) -> Micros | None:
    """RFC 3339 (any offset; none counts as UTC), or unix seconds or milliseconds as a number. None where it is no time."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return _unix(value)
    if not isinstance(value, str):
        return None
    if len(value) in USUAL and value[-1] == "Z" and value[4] == value[7] == "-" and value[10] == "T" and value[13] == value[16] == ":":
        with suppress(ValueError):  # the usual writing, at a tenth of the cost
            return (datetime.fromisoformat(value) - EPOCH) // MICRO
    match = _RFC3339.fullmatch(value.strip())
    return _from_parts(match) if match else None


def _from_parts(match: re.Match[str]) -> Micros | None:
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    micros = int((match[7] or "0").ljust(6, "0")[:6])
    leap = second == 60  # RFC 3339 allows a leap second; it is the instant after :59
    try:
        zone = UTC if not match[9] else _offset(match)
        moment = datetime(year, month, day, hour, minute, 59 if leap else second, micros, tzinfo=zone)
        return (moment - EPOCH) // MICRO + (1_000_000 if leap else 0)
    except (ValueError, OverflowError):
        return None


def _offset(match: re.Match[str]) -> timezone:
    shift = timedelta(hours=int(match[10]), minutes=int(match[11]))
    return timezone(shift if match[9] == "+" else -shift)


def _unix(value: float) -> Micros | None:
    if value != value or not 0 < value < 4_102_444_800_000:  # up to the year 2100 in milliseconds
        return None
    return int(value * 1_000_000) if value < 4_102_444_800 else int(value * 1_000)


def to_datetime(at: Micros) -> datetime:
    """The aware UTC datetime of `at`."""
    return EPOCH + timedelta(microseconds=at)


def to_micros(moment: datetime) -> Micros:
    """Microseconds since 1970 of an aware datetime."""
    return (moment - EPOCH) // MICRO


def rfc3339(at: Micros | None) -> str | None:
    """`2026-06-27T10:00:05.000Z`: milliseconds, or microseconds where there are any."""
    if at is None:
        return None
    second, micros = divmod(at, 1_000_000)
    milli, rest = divmod(micros, 1000)
    return f"{_second(second)}.{micros:06d}Z" if rest else f"{_second(second)}.{milli:03d}Z"


@lru_cache(maxsize=8192)
def _second(second: int) -> str:
    """The facts of one call share their seconds, and writing one is dear."""
    return (EPOCH + timedelta(seconds=second)).isoformat()[:19]


def milliseconds(start: Micros, end: Micros) -> int:
    """The length of [start, end) in whole milliseconds, 0 where it ends before it starts.

    Each instant is taken at its own millisecond, so that the parts of a stretch add up to it wherever it is cut.
    """
    return max(0, end // 1000 - start // 1000)
