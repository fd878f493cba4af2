"""A statement's rows with their line numbers, from the lines of a CSV file or from a JSON array.

A line that cannot be read is a row with a fault, and the next line is read as if nothing had been: an open quote never swallows a file.
Numbers are those that an editor shows: the header is line 1; of an array the first object is line 2.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

import msgspec

from calls.faults import Faults
from calls.statements.columns import understand
from calls.statements.written import Fields, fields_of

DELIMITERS = (",", ";", "\t", "|")
LARGEST_LINE = 1 << 20
MOST_LINES = 200  # of one quoted value
MOST_COLUMNS = 500
FEWEST = 4  # columns by which a line looks like a row; less may be a sentence with commas
_BOM = b"\xef\xbb\xbf"
_Raws = dict[str, msgspec.Raw]


class Row(NamedTuple):
    """`fields`: values by column, blank ones left out; None where `fault` says why there are none. `raw`: as it was written."""

    line: int
    fields: Fields | None
    fault: str
    raw: bytes


class Table(NamedTuple):
    """The names of the columns, and the rows that are not blank, read as they are asked for."""

    names: list[str]
    rows: Iterator[Row]


# ---------------------------------------------------------------- CSV


def csv_table(lines: Iterable[bytes]) -> Table:
    """`lines` with their ends; one that is longer than LARGEST_LINE is not read. Raises Faults where there is no header."""
    numbered = _Numbered(lines)
    given, text = _header_line(numbered)
    delimiter = given or _delimiter(text)
    try:
        names = [name.strip() for name in next(csv.reader([text], delimiter=delimiter, strict=True, skipinitialspace=True), [])]
    except csv.Error as error:
        raise Faults([("header", f"is no CSV: {error}")]) from None
    if len(names) > MOST_COLUMNS:
        raise Faults([("header", f"has more than {MOST_COLUMNS} columns")])
    return Table([name for name in names if name], _rows(numbered, names, delimiter))


class _Numbered:
    """Lines with their numbers, some of which may be given back."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self.rest: Iterator[tuple[int, bytes]] = enumerate(lines, 1)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        while (one := next(self.rest, None)) is not None:
            yield one

    def give_back(self, lines: list[tuple[int, bytes]]) -> None:
        self.rest = chain(lines, self.rest)


def _header_line(numbered: _Numbered) -> tuple[str | None, str]:
    """(the delimiter that a line `sep=;` gives, the header)."""
    given: str | None = None
    for _, raw in numbered:
        try:
            text = raw.removeprefix(_BOM).decode().strip("\r\n")
        except UnicodeDecodeError:
            raise Faults([("header", "is no UTF-8: save the file as CSV in UTF-8")]) from None
        if text[:4].lower() == "sep=" and len(text) == 5 and given is None:
            given = text[4]
        elif text.strip(" \t"):
            if "\r" in text:
                raise Faults([("header", "lines end with CR alone: save the file with LF or CRLF")])
            return given, text
    raise Faults([("header", "is missing: the first line names the columns")])


def _delimiter(header: str) -> str:
    """That by which most columns are understood."""

    def understood(delimiter: str) -> tuple[int, int]:
        names = [name.strip().strip('"').strip() for name in header.split(delimiter)]
        return sum(map(_is_known, names)), len(names)

    return max(DELIMITERS, key=understood)


def _is_known(name: str) -> bool:
    try:
        return understand(name) is not None
    except ValueError:
        return True


def _rows(numbered: _Numbered, names: list[str], delimiter: str) -> Iterator[Row]:
    order = sorted((name, place) for place, name in enumerate(names) if name)
    needed = 1 + max((place for _, place in order), default=0)
    for number, raw in numbered:
        if not raw.strip():
            continue
        try:
            cells = _cells(raw, numbered, delimiter, width=len(names))
        except ValueError as error:
            yield Row(number, None, str(error), raw)
            continue
        if len(cells) != len(names) and (len(cells) < needed or any(cell.strip() for cell in cells[len(names) :])):
            if any(cell.strip() for cell in cells):
                fault = f"it has {len(cells)} cells, the header {len(names)}"
                hint = "it is cut off" if len(cells) < needed else 'put a value with a separator in it in quotes: "1,234.50"'
                yield Row(number, None, f"{fault}: {hint}", raw)
            continue
        fields = {name: value for name, place in order if (value := cells[place].strip())}
        if fields:
            yield Row(number, fields, "", raw)


def _cells(raw: bytes, numbered: _Numbered, delimiter: str, *, width: int) -> list[str]:
    """Raises ValueError with what is wrong with the line."""
    if len(raw) > LARGEST_LINE:
        raise ValueError("a line of more than 1 MiB")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise ValueError("it is no UTF-8") from None
    if '"' not in text and "\r" not in text[:-2]:
        return text.rstrip("\r\n").split(delimiter)
    return _quoted(text, numbered, delimiter, width=width)


def _quoted(text: str, numbered: _Numbered, delimiter: str, *, width: int) -> list[str]:
    """A line with quotes, and the lines that its values run over: only a whole row may, and not over lines that look like rows."""
    more: list[tuple[int, bytes]] = []
    size = len(text)

    def whole() -> Iterator[str]:
        nonlocal size
        yield text
        while size <= LARGEST_LINE and len(more) < MOST_LINES and (line := next(numbered.rest, None)) is not None:
            more.append(line)
            size += len(line[1])
            yield line[1].decode(errors="replace").replace("\r\n", "\n")

    try:
        cells = next(csv.reader(whole(), delimiter=delimiter, strict=True, skipinitialspace=True))
    except (csv.Error, StopIteration) as error:
        numbered.give_back(more)
        fault = "a quote is opened and not closed" if more or "end of data" in str(error) else f"it is no CSV: {error}"
        raise ValueError(fault) from None
    whole_rows = width >= FEWEST and any(line.count(delimiter.encode()) == width - 1 for _, line in more[:-1])
    if more and (len(cells) != width or whole_rows):
        numbered.give_back(more)
        raise ValueError("a quote is opened and not closed")
    return cells


# ---------------------------------------------------------------- JSON


def json_table(body: bytes) -> Table:
    """Raises Faults where `body` is no JSON array."""
    try:
        found = msgspec.json.decode(body.removeprefix(_BOM), type=list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Faults([("body", f"is no JSON array of objects: {str(error)[:200]}")]) from None
    rows = [_json_row(number, bytes(raw)) for number, raw in enumerate(found, 2)]
    names = dict.fromkeys(name.strip() for row in rows for name in row[0])
    if not rows:
        raise Faults([("body", "is an empty array: send the rows as objects")])
    if len(names) > MOST_COLUMNS:
        raise Faults([("body", f"has objects of more than {MOST_COLUMNS} names")])
    return Table([name for name in names if name], (row for _, row in rows if row.fields or row.fault))


def _json_row(number: int, raw: bytes) -> tuple[list[str], Row]:
    try:
        found = msgspec.json.decode(raw, type=_Raws)
        return list(found), Row(number, fields_of({name: _value(bytes(value)) for name, value in found.items()}), "", raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return [], Row(number, None, "it is no JSON object", raw)


def _value(raw: bytes) -> object:
    """Numbers in the very digits that they were written in."""
    return raw.decode() if raw[:1] in b"-0123456789" else msgspec.json.decode(raw)
