"""A line of a statement as it is written to the log: its columns by name, in one writing whatever file or answer it came from.

The same line from a CSV file, from its rows as JSON and from a provider's answer has the same body, and so counts once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from calls.statements.line import LineKind

Fields: TypeAlias = dict[str, str]  # name of a column as written, trimmed -> its value as text
_encode = msgspec.json.Encoder(order="sorted").encode


class Written(msgspec.Struct, frozen=True):
    """`fields` has no blank value."""

    kind: LineKind
    fields: Fields


_decode = msgspec.json.Decoder(Written).decode


def fields_of(row: Mapping[str, object]) -> Fields:
    """A row of a file or an answer: values as text; what is blank or null is left out."""
    told = ((name.strip(), text(value)) for name, value in row.items())
    return {name: said for name, said in sorted(told) if name and said}


def text(value: object) -> str:
    """Numbers in their own digits, yes and no as true and false, nested values as compact JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip().replace("\r\n", "\n")
    return _encode(value).decode()


def body(kind: LineKind, fields: Fields) -> bytes:
    return _encode({"kind": kind, "fields": fields})


def read(raw: bytes) -> Written | None:
    """None where it is no body of a line."""
    try:
        return _decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def event_id(kind: LineKind, row_id: str) -> str:
    """Of a line that has an id of its own."""
    return f"{kind}:{row_id}"


def nameless(kind: LineKind, mark: str, n: int) -> str:
    """Of a line without one: the digest of its body, and how often the file had said the same before."""
    return f"{kind}~{mark}~{n}"


def row_id(kind: str, event: str) -> str:
    """The line's own id, or what names a line without one."""
    return event.removeprefix(f"{kind}:")
