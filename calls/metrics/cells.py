"""From a question's calendar to edges on the axis of UTC: which instant is counted into which row.

Days, weeks (from Monday) and months begin at local midnight, so that a day has 23, 24 or 25 hours; a midnight that a change of the
clocks skips is the change itself, one that it repeats is the first. Hours and quarters follow the clock on the wall: an hour that is
repeated is two intervals, and a change of the clocks within one begins another.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from calls.clock import Micros, to_datetime, to_micros
from calls.metrics.question import Grid, Question, Row
from calls.voice.hours import Opening

MINUTE = 60_000_000
DAY = 1440 * MINUTE
WEEK = 7 * DAY
MOST_INTERVALS = 10_000
MOST_CELLS = 100_000
_STEPS = {"15m": 15 * MINUTE, "1h": 60 * MINUTE}
_LENGTHS = {**_STEPS, "1d": DAY, "1w": WEEK, "1mo": 31 * DAY}
_MONDAY = 4 * DAY  # 1970-01-05: local weeks are counted from it


class Stretch(msgspec.Struct, frozen=True):
    """[start, end) of UTC during which local time = UTC + offset."""

    start: Micros
    end: Micros
    offset: Micros


def interval_starts(question: Question) -> list[Micros]:
    """Where the intervals that meet [since, until) begin, in order. The first may begin before `since`; that of `all` is `since`."""
    if question.interval == "all":
        return [question.since]
    if question.interval in _STEPS:
        return _steps(question, _STEPS[question.interval])
    return _days(question)


def faults(question: Question) -> list[tuple[str, str]]:
    """What makes a question's calendar too much to answer."""
    span = question.until - question.since
    if question.interval != "all" and span // _LENGTHS[question.interval] > MOST_INTERVALS:
        return [_too_many(question)]
    if _marked(question) and span // DAY * _marks_a_day(question) > MOST_CELLS:
        return [("to", f"more than {MOST_CELLS:,} cells of interval, hour and weekday: ask for a shorter range")]
    if len(interval_starts(question)) > MOST_INTERVALS:
        return [_too_many(question)]
    return []


def _too_many(question: Question) -> tuple[str, str]:
    return "interval", f"more than {MOST_INTERVALS:,} intervals of {question.interval}: ask for longer ones or a shorter range"


def grid(question: Question) -> Grid:
    """The cells of a question without `faults`. Neighbouring stretches of one row are one cell."""
    starts = interval_starts(question)
    edges = {question.since, question.until, *(start for start in starts if start > question.since)}
    stretches = _stretches(question) if _marked(question) else []
    for stretch in stretches:
        edges.update(_marks(question, stretch))
    keys: dict[Row, int] = {}
    found = Grid([], [], [])
    for edge in sorted(edges):
        row = _row(question, edge, starts=starts, stretches=stretches) if edge < question.until else None
        if row is not None and row not in keys:
            keys[row] = len(keys) + 1
            found.rows.append(row)
        key = keys[row] if row is not None else 0
        if edge == question.until or not found.keys or found.keys[-1] != key:
            found.edges.append(edge)
            found.keys.append(key)
    found.keys.pop()  # nothing is counted from `until` on
    return found


def only(grid: Grid, *, interval_start: Micros | None, hour: int | None = None, weekday: int | None = None) -> Grid:
    """The same cells, of which those of one row are counted (of every interval where `interval_start` is None)."""
    kept = {
        number
        for number, row in enumerate(grid.rows, start=1)
        if interval_start in (None, row.interval_start) and (row.hour, row.weekday) == (hour, weekday)
    }
    return Grid(grid.edges, [key if key in kept else 0 for key in grid.keys], grid.rows)


def _row(question: Question, at: Micros, *, starts: list[Micros], stretches: list[Stretch]) -> Row | None:
    """What the cell that begins at `at` is counted into."""
    interval = starts[bisect_right(starts, at) - 1]
    if not stretches:
        return Row(interval)
    stretch = stretches[bisect_right(stretches, at, key=lambda one: one.start) - 1]
    minute = (at + stretch.offset - _MONDAY) % WEEK // MINUTE
    hour, weekday = minute % 1440 // 60, minute // 1440 + 1
    if question.hours is not None and not _is_open(question.hours, minute):
        return None
    filters = dict(question.filters)
    if filters.get("hour", str(hour)) != str(hour) or filters.get("weekday", str(weekday)) != str(weekday):
        return None
    return Row(interval, hour if "hour" in question.group_by else None, weekday if "weekday" in question.group_by else None)


def _is_open(opening: Opening, minute: int) -> bool:
    """`minute` of the local week, from Monday 00:00."""
    day, clock = divmod(minute, 1440)
    return any(start <= clock < end for start, end in opening.week[day]) or any(clock + 1440 < end for _, end in opening.week[day - 1])


def _marked(question: Question) -> bool:
    """Whether something but the intervals divides time."""
    return question.hours is not None or any(name in ("hour", "weekday") for name in (*question.group_by, *dict(question.filters)))


def _marks_a_day(question: Question) -> int:
    return max(1, len(_week_marks(question)) // 7)


def _week_marks(question: Question) -> set[int]:
    """Minutes of the local week at which the row may change."""
    asked = (*question.group_by, *dict(question.filters))
    marks = set(range(0, 7 * 1440, 60 if "hour" in asked else 1440))
    if question.hours is not None:
        marks |= {(day * 1440 + minute) % (7 * 1440) for day, spans in enumerate(question.hours.week) for span in spans for minute in span}
    return marks


def _marks(question: Question, stretch: Stretch) -> Iterator[Micros]:
    yield stretch.start
    marks = sorted(_week_marks(question))
    week = (stretch.start + stretch.offset - _MONDAY) // WEEK * WEEK + _MONDAY
    while week - stretch.offset < stretch.end:
        for mark in marks:
            at = week + mark * MINUTE - stretch.offset
            if stretch.start < at < stretch.end:
                yield at
        week += WEEK


def _steps(question: Question, step: Micros) -> list[Micros]:
    """Hours and quarters of the local clock. A change of the clocks begins an interval of its own where it falls within one."""
    found: list[Micros] = []
    for number, stretch in enumerate(_stretches(question)):
        first = (stretch.start + stretch.offset) // step * step - stretch.offset
        found.append(first if number == 0 else stretch.start)
        found.extend(range(first + step, stretch.end, step))
    return found


def _stretches(question: Question) -> list[Stretch]:
    """[since, until) by the zone's offset. A change and its taking back within one day would not be seen; no zone has such a day."""
    zone = ZoneInfo(question.zone)
    found: list[Stretch] = []
    start, offset = question.since, _offset(zone, question.since)
    at = question.since
    while at < question.until:
        later = min(at + DAY, question.until)
        if (then := _offset(zone, later)) != offset:
            change = _change(zone, at, later)
            if change < question.until:
                found.append(Stretch(start, change, offset))
                start, offset = change, then
        at = later
    return [*found, Stretch(start, question.until, offset)]


def _change(zone: ZoneInfo, low: Micros, high: Micros) -> Micros:
    """The first instant in (low, high] with another offset than at `low`. Changes are on whole seconds."""
    before = _offset(zone, low)
    low_second, high_second = low // 1_000_000, -(-high // 1_000_000)
    while high_second - low_second > 1:
        middle = (low_second + high_second) // 2
        low_second, high_second = (middle, high_second) if _offset(zone, middle * 1_000_000) == before else (low_second, middle)
    return high_second * 1_000_000


def _offset(zone: ZoneInfo, at: Micros) -> Micros:
    offset = to_datetime(at).astimezone(zone).utcoffset()
    assert offset is not None
    return offset // timedelta(microseconds=1)


def _days(question: Question) -> list[Micros]:
    zone = ZoneInfo(question.zone)
    day = to_datetime(question.since).astimezone(zone).date()
    if question.interval == "1w":
        day -= timedelta(days=day.weekday())
    if question.interval == "1mo":
        day = day.replace(day=1)
    found: list[Micros] = []
    while (at := _midnight(day, zone)) < question.until:
        found.append(at)
        day = _next(day, question.interval)
    return found


def _next(day: date, interval: str) -> date:
    if interval == "1mo":
        return date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return day + timedelta(days=7 if interval == "1w" else 1)


def _midnight(day: date, zone: ZoneInfo) -> Micros:
    return to_micros(datetime(day.year, day.month, day.day, tzinfo=zone))
