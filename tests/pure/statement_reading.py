"""A statement's text as its readers see it: what a header says, what each line comes to."""

from __future__ import annotations

import io
import json
from typing import Any, NamedTuple

from calls.faults import Faults
from calls.statements import written
from calls.statements.columns import header_of
from calls.statements.line import Line
from calls.statements.parse import parse
from calls.statements.read import Table, csv_table, json_table
from calls.statements.taking import Taking
from ingest.files import bounded_lines

NAIROBI = {"zone": "Africa/Nairobi", "country": "KE"}


class Read(NamedTuple):
    """`lines`: line number -> (event id, the line); `bad`: line number -> why."""

    kind: str
    lines: dict[int, tuple[str, Line]]
    bad: dict[int, str]
    unbalanced: list[tuple[int, str]]

    @property
    def all(self) -> list[Line]:
        return [line for _, line in self.lines.values()]

    @property
    def ids(self) -> list[str]:
        return [event_id for event_id, _ in self.lines.values()]


def table_of(text: str | bytes) -> Table:
    raw = text.encode() if isinstance(text, str) else text
    return json_table(raw) if raw.lstrip(b"\xef\xbb\xbf \n")[:1] == b"[" else csv_table(bounded_lines(io.BytesIO(raw)))


def reading(text: str | bytes, *, currency: str = "KES", **means: str) -> Read:
    """Every line as the projector reads it out of the body that is kept. Raises Faults."""
    table = table_of(text)
    header = header_of(table.names, currency=currency)
    means = NAIROBI | means
    taking = Taking(header, currency=currency, **means)
    lines: dict[int, tuple[str, Line]] = {}
    bad: dict[int, str] = {}
    for row in table.rows:
        try:
            taken = taking.take(row)
        except ValueError as error:
            assert str(error)
            bad[row.line] = str(error)
            continue
        known = written.read(taken.body)
        assert known is not None
        row_id = written.row_id(known.kind, taken.event_id)
        lines[row.line] = taken.event_id, parse(known.kind, known.fields, row_id=row_id, currency=currency, **means)
    return Read(header.kind, lines, bad, [tuple(one) for one in taking.balances.unbalanced()])


def refused(text: str | bytes, **means: str) -> dict[str, str]:
    """Column -> what is wrong, of a file of which nothing is taken."""
    try:
        reading(text, **means)
    except Faults as faults:
        return dict(faults.faults)
    raise AssertionError("nothing was wrong with the header")


def said(line: Line) -> dict[str, Any]:
    """What a line says, without what it does not."""
    return {
        name: value for name in line.__struct_fields__ if (value := getattr(line, name)) not in (None, 0) and name not in ("kind", "row_id")
    }


def as_json(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps(rows).encode()
