"""The tolerant readers: what a field may look like, and what it is then taken for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.clock import parse_time
from calls.providers.africastalking import cost_minor
from calls.providers.reading import failure, identifier, moment, phone, seconds_ms


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("12.5000", "KES", 1250),
        ("0.29", "KES", 29),
        ("1", "KES", 100),
        (3, "KES", 300),
        ("0.005", "KES", 1),
        ("0.0049", "KES", 0),
        ("35", "UGX", 35),
        ("KES 1.10", "KES", 110),
        ("-1", "KES", None),
        ("1e5", "KES", None),
        ("", "KES", None),
        ("९", "KES", None),
        (1.5, "KES", None),
        ("999999999999.99", "KES", 99_999_999_999_999),
        ("1" * 29, "KES", None),
        (None, "KES", None),
        (True, "KES", None),
        ("2.5", None, 250),
    ],
)
def test_amounts_are_exact(amount: object, currency: str | None, minor: int | None) -> None:
    assert cost_minor(amount, currency) == minor


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        (73, 73_000),
        ("73", 73_000),
        ("73.25", 73_250),
        (0.5, 500),
        (0, 0),
        (-1, None),
        ("-1", None),
        (2_592_000, 2_592_000_000),
        (2_592_001, None),
        ("", None),
        ("1e3", None),
        (True, None),
        (None, None),
        ([1], None),
        (float("nan"), None),
        (float("inf"), None),
        ("٣", None),
        (10**40, None),
    ],
)
def test_durations(value: object, ms: int | None) -> None:
    assert seconds_ms(value) == ms


def test_words_for_failure_in_any_writing() -> None:
    for one in ("no_answer", "no-answer", "NO ANSWER", "NO_ANSWER", "timeout", "NO_USER_RESPONSE"):
        assert failure(one) == "no_answer"
    assert [failure(one) for one in ("User Busy", "call-rejected", "cancelled", "network_error", "??", None, 7)] == [
        "busy", "rejected", "canceled", "network", "unknown", "unknown", "unknown",
    ]  # fmt: skip


def test_ids_numbers_and_times() -> None:
    ids: list[object] = [" a ", 7, True, "", " ", "x" * 257, "a\nb", "\x85", "é", None, [], "a b"]
    assert [identifier(one) for one in ids] == ["a", "7", None, None, None, None, None, None, "é", None, None, "a b"]
    assert [phone(one) for one in (" 254711000100", "+254711000100", "sip:a@b", "", 254711000100)] == [
        "+254711000100", "+254711000100", "sip:a@b", None, "254711000100",
    ]  # fmt: skip
    written = ["2026-09-01T08:00:00.000Z", "2026-09-01T08:00:00Z", "2026-09-01 11:00:00+03:00", 1_788_249_600, 1_788_249_600_000]
    assert {moment(one) for one in written} == {1_788_249_600_000_000}
    odd = [
        "2026-W36-2T08:00:00.000Z",
        "2026-13-01T08:00:00.000Z",
        295,
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59",
        [],
        "now",
        1e300,
    ]
    assert [moment(one) for one in odd] == [None] * len(odd)


@given(st.datetimes().map(lambda one: one.isoformat(timespec="milliseconds") + "Z"))
def test_the_quick_reading_of_times_is_the_clocks(written: str) -> None:
    slow = parse_time(written)
    assert moment(written) == (slow if slow is not None and 0 <= slow < 7_258_118_400_000_000 else None)
