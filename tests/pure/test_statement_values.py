"""Amounts, durations and times as statements write them: exact, or refused."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.clock import rfc3339
from calls.statements import values
from calls.statements.columns import understand
from calls.statements.units import PLAIN, Unit


def amount(text: str, column: str = "Amount") -> tuple[int, int]:
    known = understand(column)
    assert known is not None
    found = values.amount(text, known.unit, currency="KES")
    return found.minor, found.rest


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("4.50", 450), ("4.5", 450), ("4", 400), ("0", 0), ("0.35", 35), (".35", 35), ("-4.50", -450), ("\u22124.50", -450), ("(4.50)", -450), ("+4.50", 450),
        ("KES 4.50", 450), ("KSh. 4.50", 450), ("Ksh4.50", 450), ("4.50 KES", 450), ("KES -4.50", -450), ("-KES 4.50", -450), ("(KES 4.50)", -450),
        ("KSh 450/=", 45_000), ("450.00 CR", -45_000), ("450.00 Dr", 45_000), ("1,234.50", 123_450), ("1,234,567.00", 123_456_700),
        ("1,234,567", 123_456_700), ("1.234,50", 123_450), ("1 234.50", 123_450), ("1\u00a0234,50", 123_450), ("1'234.50", 123_450), ("4,50", 450), ("0,350", 35),
        ("1.234.567", 123_456_700), ("10000000000000", 10**15),
    ],
)  # fmt: skip
def test_amounts_in_whole_currency(text: str, minor: int) -> None:
    assert amount(text) == (minor, 0)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1,234", "without the comma"), ("12,345", "without the comma"), ("lots", "no amount"), ("", "no amount"), ("4.5.0", "no amount"), ("1,23,456.00", "no amount"),
        ("1234,567.00", "no amount"), ("--4", "negative twice"), ("(-4.50)", "negative twice"), ("(4.50", "no amount"), ("4.50)", "no amount"), ("XYZ 4.50", "no currency"),
        ("1e3", "no amount"), ("٤", "no amount"), ("9" * 30, "no amount"), ("4.50 per call", "no amount"), ("0x10", "no amount"), ("nan", "no amount"),
    ],
)  # fmt: skip
def test_amounts_with_two_readings_or_none_are_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        amount(text)


@pytest.mark.parametrize(
    ("column", "text", "want"),
    [
        ("cost_minor", "450", (450, 0)), ("Cost (minor)", "450", (450, 0)), ("amount_cents", "-450", (-450, 0)), ("Amount (cents)", "1,234,567", (1_234_567, 0)),
        ("amount_kes_millicents", "450000", (450, 0)), ("amount_millicents", "450499", (450, 499)), ("amount_millicents", "-450499", (-450, -499)),
        ("cost_kes", "4.50", (450, 0)), ("Cost (KES)", "4.505", (451, -500)), ("Price (Ksh)", "0.00001", (0, 1)), ("costKes", "4.123456789", (412, 346)),
    ],
)  # fmt: skip
def test_the_unit_is_the_columns(column: str, text: str, want: tuple[int, int]) -> None:
    assert amount(text, column) == want


@pytest.mark.parametrize(
    ("column", "text"), [("cost_minor", "4.50"), ("cost_minor", "450.0"), ("amount_millicents", "450000.5"), ("amount_minor", "KES 450")]
)
def test_parts_of_a_minor_unit_show_that_the_unit_is_another(column: str, text: str) -> None:
    with pytest.raises(ValueError, match="must be whole"):
        amount(text, column)


@given(st.integers(0, 10**12), st.integers(0, 10**9), st.integers(1, 9), st.sampled_from(["major", "minor", "millicents"]))
def test_an_amount_is_the_nearest_minor_unit_and_its_rest(whole: int, part: int, places: int, money: str) -> None:
    written = f"{whole}.{part % 10**places:0{places}}" if money == "major" else str(whole)
    exact = Fraction(written) * {"major": 100, "minor": 1, "millicents": Fraction(1, 1000)}[money]
    found = values.amount(written, Unit(money=money), currency="KES")  # type: ignore[arg-type]
    assert abs(exact - found.minor) <= Fraction(1, 2)
    assert abs(found.minor + Fraction(found.rest, 1000) - exact) <= Fraction(1, 2000)
    assert (-found.minor, -found.rest) == values.amount(f"-{written}", Unit(money=money), currency="KES")[:2]  # type: ignore[arg-type]


def test_a_currency_without_minor_units_has_none() -> None:
    assert values.amount("4500", PLAIN, currency="UGX")[:2] == (4500, 0)
    assert values.amount("UGX 4500", PLAIN, currency="KES")[:2] == (4500, 0)


@pytest.mark.parametrize(
    ("column", "text", "ms"),
    [
        ("duration_s", "90", 90_000), ("Duration (s)", "90.5", 90_500), ("durationInSeconds", "61", 61_000), ("billsec", "60", 60_000), ("duration_ms", "90500", 90_500),
        ("Duration (min)", "1.5", 90_000), ("Minutes", "2", 120_000), ("Duration", "00:01:30", 90_000), ("Duration", "1:30", 90_000), ("Duration (HH:MM:SS)", "26:00:00", 93_600_000),
        ("Duration (mm:ss)", "90:00", 5_400_000), ("Duration", "1m 30s", 90_000), ("Duration", "1 min 30 sec", 90_000), ("Duration", "90 seconds", 90_000), ("Duration", "250 ms", 250),
        ("Duration", "2h", 7_200_000), ("Duration", "0", 0), ("Duration", "00:00:07.250", 7_250),
    ],
)  # fmt: skip
def test_durations(column: str, text: str, ms: int) -> None:
    known = understand(column)
    assert known is not None
    assert (known.field, values.duration_ms(text, known.unit)) == ("duration", ms)


@pytest.mark.parametrize("text", ["-5", "a while", "", "1:75", "9999999999", "721:00:00", "1,5", "٤"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="duration|30 days"):
        values.duration_ms(text, PLAIN)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-06-01T09:00:00Z", "2026-06-01T09:00:00.000Z"), ("2026-06-01T09:00:00.123456Z", "2026-06-01T09:00:00.123456Z"), ("2026-06-01 09:00:00Z", "2026-06-01T09:00:00.000Z"),
        ("2026-06-01T12:00:00+03:00", "2026-06-01T09:00:00.000Z"), ("2026-06-01 12:00:00 +0300", "2026-06-01T09:00:00.000Z"), ("2026-06-01 09:00 UTC", "2026-06-01T09:00:00.000Z"),
        ("2026-06-01 12:00:00", "2026-06-01T09:00:00.000Z"), ("2026-06-01T12:00", "2026-06-01T09:00:00.000Z"), ("2026-06-01", "2026-05-31T21:00:00.000Z"),
        ("01/06/2026 12:00", "2026-06-01T09:00:00.000Z"), ("1-6-2026", "2026-05-31T21:00:00.000Z"), ("01.06.2026 12:00:30", "2026-06-01T09:00:30.000Z"),
        ("01-Jun-2026 12:00:00", "2026-06-01T09:00:00.000Z"), ("1 June 2026, 12:00 PM", "2026-06-01T09:00:00.000Z"), ("Jun 1, 2026 12:00 AM", "2026-05-31T21:00:00.000Z"),
        ("1780304400", "2026-06-01T09:00:00.000Z"), ("1780304400.25", "2026-06-01T09:00:00.250Z"), ("1780304400250", "2026-06-01T09:00:00.250Z"), ("20260601120000", "2026-06-01T09:00:00.000Z"),
    ],
)  # fmt: skip
def test_times(text: str, at: str) -> None:
    assert rfc3339(values.moment(text, zone="Africa/Nairobi")) == at


@pytest.mark.parametrize("text", ["the first of June", "", "2026-13-01", "2026-02-30", "06/31/2026", "31/13/2026", "12:00", "45809.375", "450", "2026", "2026-06-01 25:00", "2026-06-01 13:00 PM",
                                  "1999999999999999999", "0001-01-01", "2026-06-01T09:00:00+99:99", "2026-06-01 9"])  # fmt: skip
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="no time such as"):
        values.moment(text, zone="Africa/Nairobi")


def test_the_month_comes_first_where_that_is_said_or_the_custom() -> None:
    known = understand("Date (MM/DD/YYYY)")
    assert known is not None
    assert known.unit.month_first
    assert rfc3339(values.moment("06/01/2026", zone="UTC", month_first=True)) == "2026-06-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("column", "text", "rate"),
    [("rate_per_minute_minor", "300", "300"), ("Rate (KES/min)", "3.00", "300"), ("rate", "2.505", "501/2"), ("Rate (KES/s)", "0.05", "300"), ("rate", "KES 3.00/min", "300"), ("rate", "KES", None), ("rate", "dear", None)],
)  # fmt: skip
def test_rates_are_exact_and_never_cost_a_line(column: str, text: str, rate: str | None) -> None:
    known = understand(column)
    assert known is not None
    assert values.rate_per_minute(text, known.unit, currency="KES") == rate
