"""The lines that a tariff is inferred from: CSV with `duration_s,charge_minor` and, where known, `at` and `direction`."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from calls.clock import Micros, parse_time
from calls.events import Direction
from calls.faults import Faults
from calls.rating.terms import DIRECTIONS

NEEDED = ("duration_s", "charge_minor")
COLUMNS = (*NEEDED, "at", "direction")
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
MOST_FAULTS = 20
LONGEST_S = 30 * 86_400
MOST_MINOR = 10**12
_DATE = len("2026-06-01")

Fault = tuple[str, str]


class Line(NamedTuple):
    """`number`: in the file, whose header is line 1. `at`: None where there is no such column."""

    number: int
    duration_s: int
    charge: int
    at: Micros | None = None
    direction: Direction | None = None


def decoded(body: bytes) -> str:
    """The text of a file, without a byte order mark. Raises Faults where it is not UTF-8."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as why:
        line = body.count(b"\n", 0, why.start) + 1
        raise Faults([(f"line {line}", "is no UTF-8: save the file as CSV in UTF-8")]) from None


def read(text: str) -> list[Line]:
    """The lines of a CSV; empty ones are passed over. Raises Faults that name line and column, at most MOST_FAULTS of them."""
    rows = csv.reader(text.removeprefix("\ufeff").splitlines(keepends=True), skipinitialspace=True)
    faults: list[Fault] = []
    found: list[Line] = []
    try:
        places = _header(next(rows, []))
        for row in rows:
            if any(cell.strip() for cell in row):
                line = _line(row, rows.line_num, places, faults)
                if line is not None:
                    found.append(line)
    except csv.Error as why:
        raise Faults([(f"line {rows.line_num}", f"is no CSV: {why}")]) from None
    if faults:
        more = len(faults) - MOST_FAULTS
        raise Faults([*faults[:MOST_FAULTS], *([("file", f"and {more} more faults")] if more > 0 else [])])
    if not found:
        raise Faults([("line 2", "is missing: under the header, one line a call")])
    return found


def _header(row: Sequence[str]) -> dict[str, int]:
    """Column -> its place. Other columns are left alone."""
    names = [cell.strip().lower() for cell in row]
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise Faults(list(_missing(missing, ",".join(row))))
    twice = [name for name in COLUMNS if names.count(name) > 1]
    if twice:
        raise Faults([(f"line 1, {name}", "is there twice: one column of that name") for name in twice])
    return {name: names.index(name) for name in COLUMNS if name in names}


def _missing(names: Sequence[str], header: str) -> Iterator[Fault]:
    for separator, called in SEPARATORS.items():
        if separator in header and "duration_s" in header:
            yield "line 1", f"is separated by {called}: separate columns by commas"
            return
    for name in names:
        yield f"line 1, {name}", "no such column: the header must name duration_s and charge_minor (and at, direction where known)"


def _line(row: Sequence[str], number: int, places: Mapping[str, int], faults: list[Fault]) -> Line | None:
    before = len(faults)
    cells = {name: row[place].strip() if place < len(row) else "" for name, place in places.items()}
    duration = _whole(cells["duration_s"], LONGEST_S)
    charge = _whole(cells["charge_minor"], MOST_MINOR)
    at = _moment(cells["at"]) if "at" in cells else None
    direction = next((one for one in DIRECTIONS if one == cells.get("direction", "").lower()), None)
    if duration is None:
        faults.append((f"line {number}, duration_s", f"{cells['duration_s']!r} must be whole seconds, 0 to {LONGEST_S:,}, such as 61"))
    if charge is None:
        faults.append((f"line {number}, charge_minor", f"{cells['charge_minor']!r} must be whole minor units, such as 305 for 3.05"))
    if "at" in cells and at is None:
        faults.append((f"line {number}, at", f"{cells['at']!r} must be a time such as 2026-06-01T08:00:00Z"))
    if "direction" in cells and direction is None:
        faults.append((f"line {number}, direction", f"{cells['direction']!r} must be one of {', '.join(DIRECTIONS)}"))
    if duration is None or charge is None or len(faults) > before:
        return None
    return Line(number, duration, charge, at, direction)


def _whole(text: str, most: int) -> int | None:
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MOST_MINOR))):
        return None
    found = int(text)
    return found if found <= most else None


def _moment(text: str) -> Micros | None:
    """RFC 3339, a date alone is its midnight in UTC; never a bare number."""
    return parse_time(f"{text}T00:00:00Z" if len(text) == _DATE else text) if "-" in text else None
