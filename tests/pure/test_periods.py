"""Days and months by the calendar of a zone."""

from __future__ import annotations

import pytest

from calls.clock import rfc3339
from calls.periods import instant, month, stretch
from cli.periods import period
from runtime.problems import Refused
from runtime.settings import Settings

NAIROBI = "Africa/Nairobi"


@pytest.mark.parametrize(("written", "zone", "begins"), [
    ("2026-05", NAIROBI, "2026-04-30T21:00:00.000Z"),
    ("2026-05-01", NAIROBI, "2026-04-30T21:00:00.000Z"),
    ("2026-05-01T00:00:00Z", NAIROBI, "2026-05-01T00:00:00.000Z"),
    ("2026-05-01T00:00:00+02:00", NAIROBI, "2026-04-30T22:00:00.000Z"),
    ("2026-10-25", "Europe/Berlin", "2026-10-24T22:00:00.000Z"),
    ("2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00:00.000Z"),  # its midnight was skipped: the change itself
])  # fmt: skip
def test_where_a_day_a_month_or_a_time_begins(written: str, zone: str, begins: str) -> None:
    assert rfc3339(instant(written, zone)) == begins


def test_a_month_ends_where_the_next_begins() -> None:
    assert month("2026-12", NAIROBI) == (instant("2026-12", NAIROBI), instant("2027-01", NAIROBI))
    begin, end = month("2026-03", "Europe/Berlin")
    assert (end - begin) // 3_600_000_000 == 31 * 24 - 1  # the clocks went forward


@pytest.mark.parametrize(
    "written",
    ["2026", "2026-13", "2026-02-30", "2026-05-01T00:00:00", "May", "", "0000-01", "0001-01", "0001-01-01", "9999-12-31T23:59:59-23:00"],
)
def test_what_is_no_day_says_what_to_write(written: str) -> None:
    with pytest.raises(ValueError, match="write a month|outside"):
        instant(written, NAIROBI)


@pytest.mark.parametrize("written", ["2026-05-01T00:00:00Z", "9999-12-31", "2026-02-30", "May"])
def test_what_is_neither_a_day_nor_a_month_says_so(written: str) -> None:
    with pytest.raises(ValueError, match="no month or day|no such day"):
        stretch(written, NAIROBI)


@pytest.mark.parametrize("written", ["2026-05-01", "9999-12", "2026-00", "x"])
def test_what_is_no_month_says_so(written: str) -> None:
    with pytest.raises(ValueError, match="no month|no such day"):
        month(written, NAIROBI)


@pytest.mark.parametrize("written", ["2026-05", "2026-05-01"])
def test_a_period_that_ends_where_it_begins_says_how_to_ask_for_all_of_it(written: str) -> None:
    asked = {"account": "main", "begin": written, "end": written, "month_": None}
    with pytest.raises(Refused, match=f"for all of {written} leave --to out"):
        period(Settings(), "default", asked)
