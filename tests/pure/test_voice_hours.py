"""Opening hours: weekly spans by the clock on the wall, over midnight, over a change of the clocks, less single days."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from calls.clock import to_micros
from calls.voice.hours import Opening, is_open, read

NAIROBI, BERLIN, NEW_YORK = "Africa/Nairobi", "Europe/Berlin", "America/New_York"


def opening(*lines: str, zone: str = NAIROBI, closed: tuple[str, ...] = ()) -> Opening:
    made, faults = read(list(lines), list(closed), timezone=zone)
    assert made is not None, faults
    return made


def at(moment: str, zone: str = NAIROBI, fold: int = 0) -> int:
    return to_micros(datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(zone), fold=fold))


@pytest.mark.parametrize(
    ("moment", "open_"),
    [
        ("2026-09-04T07:59:59", False),  # a Friday
        ("2026-09-04T08:00", True),
        ("2026-09-04T16:59:59", True),
        ("2026-09-04T17:00", False),
        ("2026-09-05T10:00", True),
        ("2026-09-05T13:00", False),
        ("2026-09-06T10:00", False),
    ],
)
def test_a_working_week(moment: str, open_: bool) -> None:
    assert is_open(opening("mon-fri 08:00-17:00", "sat 09:00-13:00"), at(moment)) is open_


@pytest.mark.parametrize(
    ("moment", "open_"),
    [
        ("2026-09-04T21:59", False),
        ("2026-09-04T22:00", True),
        ("2026-09-05T05:59", True),
        ("2026-09-05T06:00", False),
        ("2026-09-05T23:00", False),
    ],
)
def test_a_span_over_midnight_belongs_to_the_day_on_which_it_begins(moment: str, open_: bool) -> None:
    assert is_open(opening("fri 22:00-06:00"), at(moment)) is open_


def test_hours_that_overlap_are_open_where_any_of_them_is() -> None:
    hours = opening("mon-fri 08:00-17:00", "fri 16:00-18:00")
    assert [is_open(hours, at(f"2026-09-04T{time}")) for time in ("16:30", "17:30", "18:00")] == [True, True, False]


def test_sunday_night_runs_into_monday() -> None:
    assert is_open(opening("sun 22:00-02:00"), at("2026-09-07T01:00"))


def test_days_round_the_end_of_the_week_and_several_spans_of_a_day() -> None:
    shop = opening("sat-mon,wed 08:00-12:00, 13:00-17:00")
    assert [is_open(shop, at(f"2026-09-{day:02d}T09:00")) for day in range(1, 8)] == [False, True, False, False, True, True, True]
    assert [is_open(shop, at(f"2026-09-02T{hour}:30")) for hour in (11, 12, 13)] == [True, False, True]


def test_a_holiday_is_closed_all_day_and_so_is_what_would_begin_on_it() -> None:
    bar = opening("mon-sun 20:00-03:00", closed=("2026-12-25",))
    assert is_open(bar, at("2026-12-24T23:59")) and not is_open(bar, at("2026-12-25T01:00"))
    assert not is_open(bar, at("2026-12-25T21:00")) and not is_open(bar, at("2026-12-26T02:00"))
    assert is_open(bar, at("2026-12-26T20:00"))


def test_the_zone_decides_and_not_ours() -> None:
    office, noon = opening("mon-fri 08:00-17:00", zone=NEW_YORK), at("2026-09-01T12:00")
    assert not is_open(office, noon)  # five in the morning there
    assert is_open(office, at("2026-09-01T08:00", NEW_YORK))


def test_an_hour_that_the_clocks_skip_or_repeat() -> None:
    """In Berlin 02:00 became 03:00 on 29 March 2026, and 03:00 became 02:00 on 25 October."""
    office = opening("sun 08:00-17:00", zone=BERLIN)
    before, after = at("2026-03-22T08:00", BERLIN), at("2026-03-29T08:00", BERLIN)
    assert is_open(office, after) and after - before == (7 * 24 - 1) * 3_600_000_000
    assert not is_open(office, before + 7 * 24 * 3_600_000_000 - 1 * 3_600_000_000 - 1)
    night = opening("sun 02:00-03:00", zone=BERLIN)
    assert [is_open(night, at("2026-10-25T02:30", BERLIN, fold)) for fold in (0, 1)] == [True, True]
    assert not is_open(night, at("2026-10-25T03:00", BERLIN))
    assert not is_open(night, at("2026-03-29T03:00", BERLIN)) and not is_open(night, at("2026-03-29T01:59:59", BERLIN))


def test_round_the_clock() -> None:
    assert all(
        is_open(opening("mon-sun 00:00-24:00"), at(f"2026-09-0{day}T{hour}")) for day in range(1, 8) for hour in ("00:00", "23:59:59")
    )


@pytest.mark.parametrize(
    ("lines", "closed", "zone", "fields"),
    [
        (["mon-fri"], [], NAIROBI, ["open[0]"]),
        (["mon-fri 08:00-17:00", "someday 9-5"], [], NAIROBI, ["open[1]"]),
        (["mon 25:00-26:00"], [], NAIROBI, ["open[0]"]),
        (["mon 24:00-25:00"], [], NAIROBI, ["open[0]"]),
        (["mon 08:00-24:30"], [], NAIROBI, ["open[0]"]),
        (["mon 08:00-08:00"], [], NAIROBI, ["open[0]"]),
        ([""], [], NAIROBI, ["open[0]"]),
        (["mon 08:00-17:00"], ["25.12.2026", "2026-02-30", "2026-W01-1"], NAIROBI, ["closed_on[0]", "closed_on[1]", "closed_on[2]"]),
        (["mon 08:00-17:00"], [], "Mars/Olympus", ["timezone"]),
        (["mon 08:00-17:00"], [], "../etc/passwd", ["timezone"]),
        (["x"], ["y"], "z", ["open[0]", "closed_on[0]", "timezone"]),
    ],
)
def test_what_cannot_be_read_is_named(lines: list[str], closed: list[str], zone: str, fields: list[str]) -> None:
    made, faults = read(lines, closed, timezone=zone)
    assert made is None and [field for field, _ in faults] == fields
