"""Is it open? Weekly hours in a time zone, less single days, read once and asked for every call.

A span such as `fri 22:00-06:00` belongs to the day on which it begins. On a day of `closed_on` nothing is open, and nothing
that begins on it.
"""

from __future__ import annotations

import re
from datetime import date
from zoneinfo import ZoneInfo

import msgspec

from calls.clock import Micros, to_datetime

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = 24 * 60  # minutes
_TIME = r"([01]?\d|2[0-4])[:.]([0-5]\d)"
_SPAN = re.compile(rf"{_TIME}\s*-\s*{_TIME}", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class Opening(msgspec.Struct, frozen=True):
    """`week[day]` holds that day's spans in minutes of its clock; an end beyond 1440 is on the next day. `closed`: ordinals of dates."""

    zone: str
    week: tuple[tuple[tuple[int, int], ...], ...]
    closed: frozenset[int] = frozenset()


def is_open(opening: Opening, at: Micros) -> bool:
    """By the clock on the wall there: an hour that a change of the clocks repeats or skips is repeated or skipped."""
    local = to_datetime(at).astimezone(ZoneInfo(opening.zone))
    minute, day, ordinal = local.hour * 60 + local.minute, local.weekday(), local.toordinal()
    if ordinal in opening.closed:
        return False
    if any(start <= minute < end for start, end in opening.week[day]):
        return True
    late = opening.week[day - 1]
    return ordinal - 1 not in opening.closed and any(minute + DAY < end for _, end in late)


def read(open_: list[str], closed_on: list[str], *, timezone: str) -> tuple[Opening | None, list[tuple[str, str]]]:
    """The hours, and (field, what is wrong) of everything that cannot be read."""
    faults: list[tuple[str, str]] = []
    week: list[list[tuple[int, int]]] = [[] for _ in DAYS]
    for place, text in enumerate(open_):
        try:
            days, spans = _line(text)
        except ValueError as why:
            faults.append((f"open[{place}]", str(why)))
            continue
        for day in days:
            week[day] += spans
    closed = [_date(text, place, faults) for place, text in enumerate(closed_on)]
    if not is_zone(timezone):
        faults.append(("timezone", f"{timezone!r} is no IANA time zone such as Africa/Nairobi"))
    if faults:
        return None, faults
    return Opening(timezone, tuple(tuple(sorted(spans)) for spans in week), frozenset(closed)), []


def _line(text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """`mon-fri 08:00-12:00, 13:00-17:00` as (days, spans)."""
    words, _, times = text.strip().lower().partition(" ")
    days = [day for part in words.split(",") if part for day in _days(part)]
    spans = [span(part) for part in times.split(",") if part.strip()]
    if not days or not spans:
        raise ValueError(f'{text!r} is no opening time such as "mon-fri 08:00-17:00"')
    return sorted(set(days)), spans


def _days(text: str) -> list[int]:
    """`sat`, or `fri-mon` round the end of the week."""
    first, _, last = text.partition("-")
    for word in (first, last or first):
        if word not in DAYS:
            raise ValueError(f"{word!r} is no day: write {', '.join(DAYS)}")
    start, end = DAYS.index(first), DAYS.index(last or first)
    return [day % 7 for day in range(start, (end if end >= start else end + 7) + 1)]


def span(text: str) -> tuple[int, int]:
    """`08:00-17:00` in minutes of a day's clock; an end beyond 1440 is on the next day. Raises ValueError."""
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text.strip()!r} is no span of time such as 08:00-17:00")
    hour, minute, end_hour, end_minute = (int(part) for part in match.groups())
    start, end = hour * 60 + minute, end_hour * 60 + end_minute
    if start >= DAY or end > DAY:
        raise ValueError(f"{text.strip()!r} is no span of time: the last minute of a day is 24:00")
    if start == end:
        raise ValueError(f"{text.strip()!r} is empty: for the whole day write 00:00-24:00")
    return start, end if end > start else end + DAY


def _date(text: str, place: int, faults: list[tuple[str, str]]) -> int:
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        return date.fromisoformat(text).toordinal()
    except ValueError:
        faults.append((f"closed_on[{place}]", f"{text!r} is no date such as 2026-12-25"))
        return 0


def is_zone(name: str) -> bool:
    """Whether `name` is an IANA time zone that is known here. What only this machine means by a name is none."""
    if name in ("localtime", "posixrules"):
        return False
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
