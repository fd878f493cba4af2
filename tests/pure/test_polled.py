"""What polls read, and how far they are: rows of pages as deliveries, positions in lists told from either end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from calls.clock import rfc3339
from calls.providers import rest
from calls.statements import polled
from calls.statements.polled import FIRST, LONGEST_CALL, OVERLAP, Position, Seen, Whose, deliveries, reading
from tests.given import NOON, SECOND

WHOSE = Whose("default", "acme", "sautikit")
MINUTE = 60 * SECOND
NOW = NOON + 24 * 60 * MINUTE


def rows(*minutes: int, running: Sequence[int] = ()) -> list[Seen]:
    return [Seen(NOON + at * MINUTE, at in running) for at in minutes]


# ---------------------------------------------------------------- pages


@pytest.mark.parametrize(("body", "count", "cursor"), [
    ({"data": [{"id": "a"}, {"id": "b"}], "next_cursor": "c 1"}, 2, "c 1"), ({"data": [], "next_cursor": None}, 0, None),
    ([{"id": "a"}], 1, None), ({"calls": [{"id": "a"}, 7], "pagination": {"next_cursor": "x"}}, 1, "x"), ({"entries": [{}]}, 1, None),
    ({"data": [{}], "next_cursor": ""}, 1, None), ({"data": [{}], "next_cursor": 7}, 1, None),
])  # fmt: skip
def test_a_page(body: Any, count: int, cursor: str | None) -> None:
    page = rest.page(json.dumps(body).encode())
    assert page and (len(page.rows), page.cursor) == (count, cursor)


@pytest.mark.parametrize("body", [b"", b"null", b"7", b"{}", b'{"data": {}}', b"<html>", b"\xff", b"[" * 10_000])
def test_what_is_no_page(body: bytes) -> None:
    assert rest.page(body) is None


def test_fractions_keep_their_digits() -> None:
    page = rest.page(b'{"data": [{"id": 12345678901234567890123, "amount": 1.10, "metadata": {"a": 0.30}}]}')
    assert page and deliveries(WHOSE, "ledger", page.rows, now=NOW)[0][0].body == (
        '{"fields":{"amount":"1.10","id":"12345678901234567890123","metadata":"{\\"a\\":\\"0.30\\"}"},"kind":"ledger"}'
    )


def test_a_cursor_is_written_as_an_address_takes_it() -> None:
    assert rest.list_rows("/v1/calls", cursor=None).path == "/v1/calls?limit=100"
    assert rest.list_rows("/v1/ledger?kind=all", cursor="a b&c").path == "/v1/ledger?kind=all&limit=100&cursor=a%20b%26c"


# ---------------------------------------------------------------- deliveries


def test_the_same_row_again_is_the_same_delivery() -> None:
    row = {"id": "e1", "amount_minor": 5, "created_at": "2026-09-01T12:00:00Z", "note": None}
    ((first,), _), ((again,), _) = (
        deliveries(WHOSE, "ledger", [one], now=NOW + n) for n, one in enumerate((row, dict(reversed(row.items()))))
    )
    assert (first.event_id, first.digest, first.receipt) == (again.event_id, again.digest, again.receipt)
    assert (first.event_id, first.source, first.stream, first.stream_kind) == ("ledger:e1", "poll", "acme", "account")
    ((changed,), _) = deliveries(WHOSE, "ledger", [row | {"amount_minor": 6}], now=NOW)
    assert changed.event_id == first.event_id and changed.receipt != first.receipt


def test_rows_without_an_id_are_known_by_what_they_say() -> None:
    row = {"amount_minor": 5, "created_at": "2026-09-01T12:00:00Z"}
    made, _ = deliveries(WHOSE, "ledger", [row, row, row | {"amount_minor": 6}], now=NOW)
    assert len({one.event_id for one in made}) == 3


def test_readings_are_known_by_their_time() -> None:
    made = reading(WHOSE, "balance", {"balance_minor": "5"}, now=NOW)
    assert made.event_id == f"balance:{rfc3339(NOW)}" and json.loads(made.body)["fields"]["at"] == rfc3339(NOW)


@pytest.mark.parametrize(("row", "seen"), [
    ({"id": "a", "started_at": rfc3339(NOON), "ended_at": rfc3339(NOON)}, Seen(NOON, running=False)),
    ({"id": "a", "started_at": rfc3339(NOON), "status": "answered"}, Seen(NOON, running=True)),
    ({"id": "a", "started_at": rfc3339(NOON), "status": "no-answer"}, Seen(NOON, running=False)),
    ({"id": "a", "started_at": rfc3339(NOON)}, Seen(NOON, running=True)), ({"id": "a"}, Seen(None, running=False)),
    ({"id": "a", "started_at": "soon"}, Seen(None, running=False)), ({}, Seen(None, running=False)),
])  # fmt: skip
def test_when_a_row_was_and_whether_it_may_change(row: dict[str, object], seen: Seen) -> None:
    assert deliveries(WHOSE, "call_record", [row], now=NOW)[1] == [seen]


def test_counts_are_a_line() -> None:
    line = polled.stats({"spend_minor": "305", "total": "7", "currency": "KES", "since": "month"}, row_id="x", at=NOON)
    assert (line.kind, line.amount_minor, line.currency, line.description, line.at) == ("stats", 305, "KES", "since month, total 7", NOON)
    assert polled.stats({"spend_minor": "--3"}, row_id="x", at=NOON).amount_minor is None


# ---------------------------------------------------------------- positions


def test_a_walk_goes_back_to_what_is_known() -> None:
    here = Position(since=NOON)
    here = here.after(rows(90, 80), "2", now=NOW)
    assert (here.walking, here.cursor, here.since) == (True, "2", NOON)
    here = here.after(rows(10, -29), "3", now=NOW)
    assert here.walking
    here = here.after(rows(-30, -31), "4", now=NOW)
    assert here == Position(since=NOON + 90 * MINUTE)


def test_a_walk_ends_where_the_list_does() -> None:
    assert Position().after(rows(5, 4), None, now=NOW) == Position(since=NOON + 5 * MINUTE)
    assert Position(since=NOON).after([], None, now=NOW) == Position(since=NOON)
    assert Position().after([Seen(None, running=False)], None, now=NOW) == Position()


def test_the_first_walk_does_not_go_back_for_ever() -> None:
    last = (NOW - FIRST - NOON) // MINUTE
    assert not Position().after(rows(5, last - 1), "2", now=NOW).walking
    assert Position().after(rows(5, last), "2", now=NOW).walking


def test_a_call_that_runs_is_read_again_but_not_for_ever() -> None:
    here = Position().after(rows(5, 1, running=[1]), "2", now=NOON).after(rows(0), None, now=NOON)
    assert here == Position(since=NOON + MINUTE)
    assert here.bound(NOW) == NOON + MINUTE - OVERLAP
    late = NOON + MINUTE + LONGEST_CALL
    assert Position().after(rows(5, 1, running=[1]), None, now=late) == Position(since=NOON + 5 * MINUTE)


def test_a_list_told_oldest_first_goes_on_at_its_last_page() -> None:
    here = Position(since=NOON + 999 * MINUTE).after(rows(1, 2), "2", now=NOW)
    assert (here.walking, here.rising, here.cursor) == (True, True, "2")
    here = here.after(rows(3), None, now=NOW)
    assert (here.walking, here.rising, here.cursor) == (False, True, "2")
    assert here.anew() == Position(since=here.since)


def test_two_rows_in_the_wrong_order_make_no_list_begin_with_its_oldest() -> None:
    """Else the next walk would begin at its end, and never see what is new."""
    here = Position().after(rows(9, 8), "2", now=NOW).after(rows(5, 6), None, now=NOW)
    assert here == Position(since=NOON + 9 * MINUTE)
    unsure = Position().after(rows(5, 6), "2", now=NOW).after(rows(4, 3), None, now=NOW)
    assert (unsure.rising, unsure.cursor) == (False, None)


def test_rows_of_one_instant_say_nothing_of_the_order() -> None:
    here = Position(since=NOW).after(rows(1, 1), "2", now=NOW)
    assert here.walking and not here.rising, "it may be the oldest page"
    assert here.after(rows(2, 3), "3", now=NOW).walking
    assert not here.after(rows(0, 0), "3", now=NOW).walking
