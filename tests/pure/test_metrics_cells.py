"""Which instant is counted into which row: by the clock on the wall, whatever it does."""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.clock import parse_time, rfc3339, to_datetime
from calls.metrics.cells import faults, grid, interval_starts, only
from calls.metrics.question import Question, Row
from calls.voice import hours

HOUR = 3_600_000_000


def at(text: str) -> int:
    found = parse_time(text)
    assert found is not None
    return found


def asked(since: str, until: str, interval: str = "1d", zone: str = "UTC", opening: tuple[str, ...] = (), **more) -> Question:
    opened = hours.read(list(opening), [], timezone=zone)[0] if opening else None
    return Question("default", ("queue.offered",), at(since), at(until), interval=interval, zone=zone, hours=opened, **more)


def row_of(question: Question, instant: str) -> Row | None:
    cells = grid(question)
    place = bisect_right(cells.edges, at(instant)) - 1
    key = cells.keys[place] if 0 <= place < len(cells.keys) else 0
    return cells.rows[key - 1] if key else None


def lengths(question: Question) -> list[float]:
    cells = grid(question)
    return [(end - start) / HOUR for start, end in zip(cells.edges, cells.edges[1:], strict=False)]


# ---------------------------------------------------------------- intervals


def test_the_whole_is_one_row_that_starts_at_from() -> None:
    cells = grid(asked("2026-01-01T10:07:00Z", "2026-01-03T00:00:00Z", "all"))
    assert (cells.edges, cells.keys) == ([at("2026-01-01T10:07:00Z"), at("2026-01-03T00:00:00Z")], [1])
    assert cells.rows == [Row(at("2026-01-01T10:07:00Z"))]


def test_the_first_and_the_last_interval_are_clipped_but_keep_their_calendar_start() -> None:
    question = asked("2026-01-01T10:07:00Z", "2026-01-01T12:30:00Z", "1h")
    assert [rfc3339(row.interval_start) for row in grid(question).rows] == [f"2026-01-01T{hour}:00:00.000Z" for hour in (10, 11, 12)]
    assert lengths(question) == pytest.approx([53 / 60, 1, 0.5])


@pytest.mark.parametrize(("since", "until", "hours_of_days"), [
    ("2001-03-23T23:00:00Z", "2001-03-25T22:00:00Z", [24, 23]),
    ("2001-10-26T22:00:00Z", "2001-10-28T23:00:00Z", [24, 25]),
])  # fmt: skip
def test_days_in_berlin_have_23_and_25_hours(since: str, until: str, hours_of_days: list[int]) -> None:
    assert lengths(asked(since, until, "1d", "Europe/Berlin")) == hours_of_days
    assert lengths(asked(since, until, "1h", "Europe/Berlin")) == [1] * sum(hours_of_days)


def test_nairobi_days_begin_at_nine_in_the_evening_of_utc() -> None:
    question = asked("2026-01-01T21:00:00Z", "2026-01-03T21:00:00Z", zone="Africa/Nairobi")
    assert [rfc3339(start) for start in interval_starts(question)] == ["2026-01-01T21:00:00.000Z", "2026-01-02T21:00:00.000Z"]


def test_hours_of_kathmandu_begin_at_a_quarter_past() -> None:
    starts = interval_starts(asked("2026-01-01T00:00:00Z", "2026-01-01T02:00:00Z", "1h", "Asia/Kathmandu"))
    assert [rfc3339(start) for start in starts] == [f"{day}:15:00.000Z" for day in ("2025-12-31T23", "2026-01-01T00", "2026-01-01T01")]


def test_weeks_begin_on_monday_and_months_on_their_first() -> None:
    weeks = interval_starts(asked("2026-01-01T00:00:00Z", "2026-01-13T00:00:00Z", "1w"))
    assert [rfc3339(start)[:10] for start in weeks] == ["2025-12-29", "2026-01-05", "2026-01-12"]
    months = interval_starts(asked("2025-11-30T12:00:00Z", "2026-03-01T00:00:00Z", "1mo"))
    assert [rfc3339(start)[:10] for start in months] == ["2025-11-01", "2025-12-01", "2026-01-01", "2026-02-01"]


def test_a_midnight_that_is_skipped_is_the_change_itself() -> None:
    """Cairo, 26 April 2024: from 00:00 to 01:00."""
    question = asked("2024-04-24T22:00:00Z", "2024-04-26T21:00:00Z", "1d", "Africa/Cairo")
    assert lengths(question) == [24, 23]


def test_a_change_of_half_an_hour_begins_an_hour_of_its_own() -> None:
    """Lord Howe, 5 April 2026: at 02:00 the clocks go back to 01:30."""
    question = asked("2026-04-04T13:00:00Z", "2026-04-04T17:30:00Z", "1h", "Australia/Lord_Howe")
    assert lengths(question) == [1, 1, 0.5, 1, 1]  # 00, 01, 01:30 once more, 02, 03


@given(st.sampled_from(["UTC", "Europe/Berlin", "Africa/Nairobi", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe"]),
       st.sampled_from(["15m", "1h", "1d", "1w", "1mo"]), st.integers(0, 365 * 24), st.integers(1, 14 * 24), st.integers(0, 10**9))  # fmt: skip
def test_every_instant_is_in_the_one_interval_that_its_local_time_names(
    zone: str, interval: str, start: int, length: int, place: int
) -> None:
    since = at("2026-01-01T00:00:00Z") + start * HOUR + 7_000_000
    question = Question("default", ("queue.offered",), since, since + length * HOUR, interval=interval, zone=zone)
    instant = since + place % (length * HOUR)
    cells = grid(question)
    row = cells.rows[cells.keys[bisect_right(cells.edges, instant) - 1] - 1]
    local, begun = (to_datetime(one).astimezone(ZoneInfo(zone)) for one in (instant, row.interval_start))
    named = {"15m": lambda one: (one.date(), one.hour, one.minute // 15), "1h": lambda one: (one.date(), one.hour), "1d": datetime.date,
             "1w": lambda one: one.isocalendar()[:2], "1mo": lambda one: (one.year, one.month)}[interval]  # fmt: skip
    assert row.interval_start <= instant and named(local) == named(begun)


# ---------------------------------------------------------------- hours and weekdays


def test_hours_of_the_day_are_groups_across_days() -> None:
    question = asked("2026-01-05T00:00:00Z", "2026-01-07T00:00:00Z", "all", group_by=("hour",))
    assert len(grid(question).rows) == 24 and len(grid(question).keys) == 48
    assert row_of(question, "2026-01-05T07:59:59Z") == row_of(question, "2026-01-06T07:00:00Z") == Row(question.since, hour=7)


def test_weekdays_are_numbered_from_monday_in_local_time() -> None:
    question = asked("2026-01-05T00:00:00Z", "2026-01-12T00:00:00Z", "all", "Africa/Nairobi", group_by=("weekday",))
    assert row_of(question, "2026-01-05T20:59:59Z") == Row(question.since, weekday=1)
    assert row_of(question, "2026-01-05T21:00:00Z") == Row(question.since, weekday=2)


def test_the_hour_that_the_clocks_repeat_is_one_group() -> None:
    question = asked("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", "1d", "Europe/Berlin", group_by=("hour",))
    assert row_of(question, "2026-10-25T00:30:00Z") == row_of(question, "2026-10-25T01:30:00Z") == Row(question.since, hour=2)


def test_a_filter_on_the_hour_or_weekday_leaves_the_rest_out() -> None:
    question = asked("2026-01-05T00:00:00Z", "2026-01-12T00:00:00Z", "all", filters=(("hour", "8"), ("weekday", "2")))
    assert row_of(question, "2026-01-06T08:30:00Z") == Row(question.since)
    assert row_of(question, "2026-01-06T09:00:00Z") is None
    assert row_of(question, "2026-01-07T08:30:00Z") is None


def test_opening_hours_run_past_midnight_into_the_next_day() -> None:
    question = asked("2026-01-05T00:00:00Z", "2026-01-12T00:00:00Z", opening=("fri 22:00-06:00", "mon,wed 09:00-12:30"))
    for instant, counted in [
        ("2026-01-09T21:59:59Z", False), ("2026-01-09T22:00:00Z", True), ("2026-01-10T05:59:59Z", True), ("2026-01-10T06:00:00Z", False),
        ("2026-01-05T09:00:00Z", True), ("2026-01-06T10:00:00Z", False), ("2026-01-07T12:29:59Z", True), ("2026-01-07T12:30:00Z", False),
    ]:  # fmt: skip
        assert (row_of(question, instant) is not None) == counted, instant
    assert row_of(question, "2026-01-10T01:00:00Z") == Row(at("2026-01-10T00:00:00Z"))  # its interval is its own day


def test_a_sunday_night_runs_into_monday() -> None:
    question = asked("2026-01-04T00:00:00Z", "2026-01-06T00:00:00Z", "all", opening=("sun 23:00-01:00",))
    assert row_of(question, "2026-01-05T00:30:00Z") == Row(question.since)
    assert row_of(question, "2026-01-05T01:00:00Z") is None


def test_opening_hours_follow_the_clock_on_the_wall_through_a_change() -> None:
    question = asked("2026-03-27T23:00:00Z", "2026-03-30T22:00:00Z", "all", "Europe/Berlin", opening=("mon-sun 08:00-09:00",))
    open_at = [edge for edge, key in zip(grid(question).edges, grid(question).keys, strict=False) if key]
    assert [rfc3339(edge)[:16] for edge in open_at] == ["2026-03-28T07:00", "2026-03-29T06:00", "2026-03-30T06:00"]


def test_neighbouring_stretches_of_one_row_are_one_cell() -> None:
    question = asked("2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z", "all", opening=("mon-sun 00:00-24:00",))
    assert (grid(question).edges, grid(question).keys) == ([question.since, question.until], [1])


def test_one_row_alone_keeps_its_cells() -> None:
    question = asked("2026-01-05T00:00:00Z", "2026-01-07T00:00:00Z", group_by=("hour",))
    cells = grid(question)
    alone = only(cells, interval_start=at("2026-01-06T00:00:00Z"), hour=3)
    assert [cells.edges[n] for n, key in enumerate(alone.keys) if key] == [at("2026-01-06T03:00:00Z")]


# ---------------------------------------------------------------- too much


@pytest.mark.parametrize(("until", "interval", "refused"), [
    ("2026-04-15T04:00:00Z", "15m", []), ("2026-04-15T04:15:00Z", "15m", ["interval"]), ("2199-01-01T00:00:00Z", "1d", ["interval"]),
    ("2199-01-01T00:00:00Z", "1w", []), ("2199-01-01T00:00:00Z", "all", []),
])  # fmt: skip
def test_more_than_ten_thousand_intervals_are_refused(until: str, interval: str, refused: list[str]) -> None:
    assert [field for field, _ in faults(asked("2026-01-01T00:00:00Z", until, interval))] == refused


def test_more_cells_than_an_answer_can_hold_are_refused() -> None:
    assert [field for field, _ in faults(asked("1999-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "all", group_by=("hour",)))] == ["to"]
