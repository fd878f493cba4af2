"""The formats of an export, each as SQL: how a cell is written, how a row is, and what COPY is told.

Postgres writes the bytes, so that a row costs the process that hands them on next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from api.exports.datasets import Column, Kind

Cell = Callable[[str], str]
LIVE_SIGNS = r"^[-=+@\t\r\n\uff1d\uff0b\uff0d\uff20]"
"""A regular expression of Postgres: what a spreadsheet would take for the beginning of a formula, in wide letters too."""


class Format(msgspec.Struct, frozen=True):
    """`cells`: kind of a column -> its SQL, where it is not the column itself. `line`: a row is one text of JSON.

    `version` goes up when the same rows become other bytes.
    """

    name: str
    media_type: str
    cells: Mapping[Kind, Cell]
    options: str
    line: bool = False
    version: int = 1


def _time(sql: str) -> str:
    """RFC 3339 with milliseconds, or microseconds where there are any, as everywhere else."""
    whole = f"date_part('microseconds', {sql})::int % 1000 = 0"
    return f"CASE WHEN {whole.replace('%', '%%')} THEN {_written(sql, 'MS')} ELSE {_written(sql, 'US')} END"


def _written(sql: str, fraction: str) -> str:
    return f"""to_char({sql}, 'YYYY-MM-DD"T"HH24:MI:SS.{fraction}"Z"')"""


def _defused(sql: str) -> str:
    return f"CASE WHEN {sql} ~ '{LIVE_SIGNS}' THEN '''' || {sql} ELSE {sql} END"


def _text(sql: str) -> str:
    return f"{sql}::text"


def _array(sql: str) -> str:
    return f"to_json({sql})::text"


def _micros(sql: str) -> str:
    return f"(extract(epoch FROM {sql}) * 1000000)::bigint"


def _days(sql: str) -> str:
    return f"{sql} - date '1970-01-01'"


_LINES = r"(FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02', ENCODING 'UTF8')"  # JSON has no such letters: lines come as they are
CSV = Format(
    "csv", "text/csv; charset=utf-8", {"time": _time, "text": _defused, "flag": _text, "date": _text, "texts": _array, "json": _text},
    "(FORMAT csv, HEADER true, ENCODING 'UTF8')",
)  # fmt: skip
NDJSON = Format("ndjson", "application/x-ndjson", {"time": _time}, _LINES, line=True)
PARQUET = Format("parquet", "application/vnd.apache.parquet", {"time": _micros, "date": _days, "json": _text}, _LINES, line=True)
FORMATS: dict[str, Format] = {one.name: one for one in (CSV, NDJSON, PARQUET)}


def cell(form: Format, column: Column) -> str:
    """The SQL of one cell, under the column's name."""
    written = form.cells.get(column.kind)
    return f'{written(column.sql) if written else column.sql} AS "{column.name}"'
