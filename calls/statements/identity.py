"""Under which event id a line is kept: the same line again is the same event, however often and in whatever file it comes.

A line with an id of its own is known by it. A receipt or a call's id may stand on several lines: where one file has several different
lines under it they are told apart in the file's order (`~1`, `~2`); a line of M-Pesa is known by its receipt and its details, for a
payment and its charge share the receipt. A line without any id is known by what it says, and by how often the file had said it before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from calls.providers.reading import identifier
from calls.statements import written
from calls.statements.columns import Column, Field, Header
from calls.statements.line import LineKind
from calls.statements.seen import Seen, mark
from calls.statements.values import bare

MOST_SAID = 160  # characters of a line's details in its id
_ORDER: dict[LineKind, tuple[Field, ...]] = {
    "call_record": ("row", "call_id", "session_id", "shared", "reference"),
    "ledger": ("row", "shared"),
    "balance": ("row", "shared"),
}


class Identities:
    """Of the lines of one file, in their order."""

    def __init__(self, header: Header) -> None:
        fields = {column.field for column in header.columns}
        self._ids = [column for field in _ORDER[header.kind] for column in _of(header, field)]
        self._details = _of(header, "description") if header.kind == "ledger" else []
        self._versioned = "updated_at" in fields
        self._seen = Seen()
        self._again: dict[int, int] = {}  # how often a line without an id came again; how many lines share an id
        self._shared: dict[tuple[int, int], int] = {}

    def event_id(self, kind: LineKind, fields: Mapping[str, str], digest: str) -> str:
        """`digest`: of the line's body, as hex. Raises ValueError where its id cannot be one."""
        column = next((one for one in self._ids if one.name in fields), None)
        said = int(digest[:16], 16)
        if column is None:
            return f"{kind}~{digest}~{self._occurrence(said)}"
        own = identifier(bare(fields[column.name]))
        if own is None:
            raise ValueError(f"{column.name}: an id has at most 256 characters and no control character")
        if column.field == "shared":
            own = self._with_details(own, fields)
        if column.field != "row" and not self._versioned:
            place = self._place(mark(own), said)
            own = f"{own}~{place}" if place else own
        return written.event_id(kind, own)

    def _occurrence(self, said: int) -> int:
        if self._seen.first(said, 0) is None:
            return 0
        self._again[said] = self._again.get(said, 0) + 1
        return self._again[said]

    def _place(self, own: int, said: int) -> int:
        """0 for the first line under this id and its copies, then 1, 2 … for others under it."""
        first = self._seen.first(own, said)
        if first in (None, said):
            return 0
        if (own, said) not in self._shared:
            self._again[own] = self._again.get(own, 0) + 1
            self._shared[own, said] = self._again[own]
        return self._shared[own, said]

    def _with_details(self, own: str, fields: Mapping[str, str]) -> str:
        details = next((fields[column.name] for column in self._details if column.name in fields), "")
        short = identifier(" ".join(details.split())[:MOST_SAID])
        return f"{own} {short}" if short else own


def _of(header: Header, field: Field) -> Sequence[Column]:
    return sorted((column for column in header.columns if column.field == field), key=lambda one: one.place)
