"""Whatever is sent as a statement, every line that is not blank is taken once or told with a reason, and nothing raises."""

from __future__ import annotations

import io
import json

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st
from statement_reading import reading, table_of

from calls.faults import Faults
from calls.statements import written
from calls.statements.columns import understand
from calls.statements.identity import Identities
from calls.statements.parse import parse
from calls.statements.read import csv_table
from calls.statements.seen import Seen, mark
from ingest.files import LARGEST_LINE, as_utf8, bounded_lines

NAMES = [
    "id",
    "Call ID",
    "created_at",
    "Date",
    "Time",
    "amount",
    "Cost (KES)",
    "Debit",
    "Credit",
    "Balance",
    "Duration",
    "From",
    "direction",
    "currency",
    "notes",
    "",
    "metadata",
    "updated_at",
]
CELLS = st.one_of(
    st.sampled_from(["", "4.50", "1,234.50", "2026-06-01", "12:00", "-", "debit", "KES", "lots", '"', '""', "x\ny", "\0", "\ud7ff", "9" * 40, "(1)", "01/06/2026", "{", '{"client_request_id":3}']),
    st.text(max_size=12),
)  # fmt: skip
FILES = st.one_of(
    st.binary(max_size=300),
    st.text(alphabet='ab1,;"\n\r \t{}[]', max_size=120).map(lambda body: ("id,date,amount\n" + body).encode()),
    st.builds(
        lambda names, rows, comma, end: end.join(comma.join(row) for row in [names, *rows]).encode("utf-8", "surrogatepass"),
        st.lists(st.sampled_from(NAMES), min_size=1, max_size=7), st.lists(st.lists(CELLS, max_size=7), max_size=6), st.sampled_from(",;\t|:"), st.sampled_from(["\n", "\r\n", "\r"]),
    ),
    st.lists(st.dictionaries(st.sampled_from(NAMES), st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), CELLS, st.lists(CELLS, max_size=2)), max_size=6), max_size=5).map(
        lambda rows: json.dumps(rows).encode()
    ),
)  # fmt: skip


@given(FILES)
@example(b'id,date,amount\n1,"\n2,"\n')
@example(b'[{"id": "\\ud800", "date": "2026-06-01", "amount": "1"}]')
def test_every_line_is_taken_or_told(body: bytes) -> None:
    try:
        read = reading(body)
    except Faults as faults:
        assert all(column and why for column, why in faults.faults)
        return
    rows = list(table_of(body).rows)
    assert sorted([*read.lines, *read.bad]) == [row.line for row in rows]
    assert sorted({row.line for row in rows}) == [row.line for row in rows]
    assert reading(body) == read
    for event_id, line in read.lines.values():
        assert event_id.startswith((f"{line.kind}:", f"{line.kind}~")) and "\0" not in event_id and len(event_id) < 600
        assert line.kind == "balance" or line.at is not None


@given(
    st.sampled_from(["call_record", "ledger", "balance"]),
    st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text(max_size=20)), CELLS, max_size=8),
)
def test_no_body_of_the_journal_raises_anything_but_a_sentence(kind: written.LineKind, fields: dict[str, str]) -> None:
    body = written.body(kind, written.fields_of(fields))
    known = written.read(body)
    assert known is not None
    try:
        parse(known.kind, known.fields, row_id="x", zone="Africa/Nairobi", country="KE")
    except ValueError as error:
        assert type(error) is ValueError and str(error)


@given(st.text(max_size=300))
def test_any_name_of_a_column_is_understood_or_not(name: str) -> None:
    try:
        column = understand(name)
    except ValueError as error:
        assert str(error)
        return
    assert column is None or column.name == name


def test_an_open_quote_never_swallows_the_file() -> None:
    body = "id,date,amount,notes\n" + "".join(
        f'{n},2026-06-01,1,"{"x" if n % 7 else ""}\n' if n % 50 == 0 else f"{n},2026-06-01,1,x\n" for n in range(2000)
    )
    read = reading(body)
    assert len(read.bad) == 40
    assert len(read.lines) == 1960


def test_a_line_too_long_to_be_kept_is_a_bad_line() -> None:
    wide = "\x01" * (LARGEST_LINE // 4)  # six bytes each in JSON
    assert reading(f"id,date,amount,notes\n1,2026-06-01,1,{wide}\n2,2026-06-01,1,x\n").bad == {2: "a line of more than 1 MiB"}


def test_what_a_spreadsheet_writes_as_utf_16() -> None:
    text = "id\tdate\tamount\tnotes\r\n1\t2026-06-01\t1,00\tNäirobi\r\n"
    source = io.BufferedReader(io.BytesIO(text.encode("utf-16")))  # type: ignore[arg-type]
    (row,) = csv_table(bounded_lines(as_utf8(source))).rows
    assert row.fields == {"amount": "1,00", "date": "2026-06-01", "id": "1", "notes": "Näirobi"}


@given(st.lists(st.integers(0, 2**64 - 1)), st.integers(0, 2**64 - 1))
def test_seen_is_a_map_of_first_values(keys: list[int], other: int) -> None:
    seen, plain = Seen(), dict[int, int]()
    for value, key in enumerate([*keys, *keys, other]):
        assert seen.first(key, value) == plain.get(key or 1)
        plain.setdefault(key or 1, value)


def test_seen_grows() -> None:
    seen = Seen()
    keys = [mark(str(n)) for n in range(5000)]
    assert [seen.first(key, key) for key in keys] == [None] * len(keys)
    assert [seen.first(key, 0) for key in keys] == keys


def test_many_lines_under_one_id_are_told_apart_in_time() -> None:
    from calls.statements.columns import header_of

    identities = Identities(header_of(["receipt", "date", "amount"], currency="KES"))
    ids = {identities.event_id("ledger", {"receipt": "R"}, f"{n:032x}"[::-1]) for n in range(20_000)}
    assert len(ids) == 20_000


def test_a_body_that_is_none_is_none() -> None:
    for body in (
        b"",
        b"[]",
        b'{"kind":"ledger"}',
        b'{"kind":"x","fields":{}}',
        b"\xff",
        b"[" * 10_000,
        msgspec.json.encode({"kind": "ledger", "fields": {"a": 1}}),
    ):
        assert written.read(body) is None
