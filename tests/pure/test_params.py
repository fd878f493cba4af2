"""Filters are read strictly: what is not understood is named, never ignored."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.params import FILTERS, Asked, openapi_parameters, page_of, parse, refuse_all
from calls.clock import parse_time
from runtime.problems import Refused

NOON = parse_time("2026-01-01T12:00:00Z")


def ask(query: str, country: str = "KE") -> Asked:
    return parse(parse_qsl(query, keep_blank_values=True), tenant="default", country=country)


def faults(query: str) -> list[str]:
    with pytest.raises(Refused) as refused:
        ask(query)
    assert refused.value.status == 422
    assert all(error["detail"] for error in refused.value.errors)
    return [error["field"] for error in refused.value.errors]


@pytest.mark.parametrize(("query", "filters"), [
    ("", {}), ("caller=0712345678", {"caller": "+254712345678"}), ("number=%2B254712345678", {"number": "+254712345678"}),
    ("number=+254712345678", {"number": "+254712345678"}), ("called=*100%23", {"called": "*100#"}), ("caller=ANONYMOUS", {"caller": "anonymous"}),
    ("from=2026-01-01T12:00:00Z", {"from": NOON}), ("from=2026-01-01T15:00:00%2B03:00", {"from": NOON}),
    ("from=2026-01-01T15:00:00+03:00", {"from": NOON}),  # its plus came as a space
    ("from=2026-01-01T12:00:00Z&to=2026-01-01T12:00:00Z", {"from": NOON, "to": NOON}), ("to=1960-01-01T00:00:00Z", {"to": -315619200000000}),
    ("min_wait_ms=0", {"min_wait_ms": 0}), ("outcome=answered&state=open", {"outcome": "answered", "state": "open"}),
    ("attr.a.b=x%20y", {"attr.a.b": "x y"}), ("agent=amina", {"agent": "amina"}),
])  # fmt: skip
def test_good_filters_are_read(query: str, filters: dict[str, object]) -> None:
    assert ask(query).filters == filters


@pytest.mark.parametrize(("query", "fields"), [
    ("colour=red", ["colour"]), ("Caller=0712345678", ["Caller"]), ("from=yesterday", ["from"]), ("from=2026-01-01", ["from"]),
    ("from=2026-01-01T12:00:00", ["from"]), ("from=2026-02-30T00:00:00Z", ["from"]), ("to=0001-01-01T00:00:00%2B03:00", ["to"]),
    ("to=9999-12-31T23:59:59-03:00", ["to"]), ("from=1700000000", ["from"]), ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", ["from"]),
    ("limit=0", ["limit"]), ("limit=501", ["limit"]), ("limit=1e2", ["limit"]), ("limit=%D9%A1", ["limit"]), ("limit=" + "9" * 5000, ["limit"]),
    ("min_wait_ms=-1", ["min_wait_ms"]), ("min_wait_ms=1.5", ["min_wait_ms"]), ("min_duration_ms=9223372036854775808", ["min_duration_ms"]),
    ("outcome=splendid", ["outcome"]), ("outcome=Answered", ["outcome"]), ("caller=nobody", ["caller"]), ("caller=", ["caller"]),
    ("agent=%00", ["agent"]), ("agent=" + "x" * 2000, ["agent"]), ("attr.=x", ["attr."]), ("attr=x", ["attr"]), ("attr.%00=x", ["attr.\0"]),
    ("cursor=", ["cursor"]), ("state=open&state=open", ["state"]), ("=x", ["(no name)"]), ("state=solid&limit=two&hue=1", ["state", "limit", "hue"]),
])  # fmt: skip
def test_bad_ones_are_all_named(query: str, fields: list[str]) -> None:
    assert faults(query) == fields


def test_one_filter_in_two_writings_has_one_digest() -> None:
    assert ask("caller=0712345678&state=open").digest == ask("state=open&caller=%2B254712345678&limit=3").digest
    assert ask("caller=0712345678").digest != ask("called=0712345678").digest


@given(st.lists(st.tuples(st.sampled_from([*FILTERS, "cursor", "attr.x", "x"]) | st.text(max_size=9), st.text(max_size=40)), max_size=4))
def test_nothing_but_refused_is_ever_raised(items: list[tuple[str, str]]) -> None:
    try:
        parse(items, tenant="default", country="KE")
    except Refused as refused:
        assert refused.status == 422
        assert refused.errors


def test_lists_without_filters_take_limit_and_cursor_only() -> None:
    assert page_of([]) == (None, None)
    assert page_of([("limit", "10000"), ("cursor", "x")]) == (10_000, "x")
    for items in ([("limit", "0")], [("limit", "10001")], [("limit", "two")], [("from", "x")], [("limit", "1"), ("limit", "1")]):
        with pytest.raises(Refused):
            page_of(items)
    refuse_all([])
    with pytest.raises(Refused):
        refuse_all([("limit", "1")])


def test_the_openapi_has_every_filter() -> None:
    assert [one["name"] for one in openapi_parameters()] == [*FILTERS, "cursor"]
