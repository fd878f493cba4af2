"""A row of a statement becomes the body and the event id under which it is kept; what cannot be counted is refused with a sentence."""

from __future__ import annotations

from typing import NamedTuple

from calls.envelope import digest
from calls.masking import mask
from calls.statements import written
from calls.statements.balances import Balances
from calls.statements.columns import AMOUNTS, Header
from calls.statements.identity import Identities
from calls.statements.line import Line, LineKind
from calls.statements.parse import parse
from calls.statements.read import LARGEST_LINE, Row

TYPED = frozenset({"description", "entry_type", "status", "settled", "metadata"})  # people's words: a card number may be among them


class Taken(NamedTuple):
    event_id: str
    body: bytes
    digest: str


class Taking:
    """The rows of one file, one after the other. `zone`, `country`: the tenant's; `currency`: the account's."""

    def __init__(self, header: Header, *, zone: str, country: str, currency: str) -> None:
        self.kind: LineKind = header.kind
        self.balances = Balances()
        self._identities = Identities(header)
        self._zone, self._country, self._currency = zone, country, currency
        self._amounts = [column.name for column in header.columns if column.field in AMOUNTS] if header.kind == "ledger" else []
        self._balance = {column.name for column in header.columns if column.field == "balance"}
        self._exempt = frozenset(column.name.lower() for column in header.columns if column.field not in TYPED)

    def take(self, row: Row) -> Taken:
        """Raises ValueError with one sentence."""
        if row.fields is None:
            self.balances.gap()
            raise ValueError(row.fault)
        kind = self.kind_of(row.fields)
        body, fields = self.masked(row.fields)
        try:
            if len(body) > LARGEST_LINE:
                raise ValueError("a line of more than 1 MiB")
            line = self._line(kind, fields)
            mark = digest(body)
            event_id = self._identities.event_id(kind, fields, mark)
        except ValueError:
            self.balances.gap()
            raise
        self.balances.line(row.line, line)
        return Taken(event_id, body, mark)

    def kind_of(self, fields: written.Fields) -> LineKind:
        """A ledger's opening balance moves no money."""
        if self._amounts and not any(name in fields for name in self._amounts) and self._balance & fields.keys():
            return "balance"
        return self.kind

    def masked(self, fields: written.Fields) -> tuple[bytes, written.Fields]:
        """The line's body without card numbers, and its fields as that has them."""
        plain = written.body(self.kind_of(fields), fields)
        body = mask(plain, "application/json", self._exempt)
        if body is plain:
            return body, fields
        known = written.read(body)
        return body, known.fields if known else fields

    def aside(self, row: Row) -> tuple[bytes, str]:
        """(body, content type) of a row that cannot be counted, without card numbers."""
        body = b"" if row.fields is None else self.masked(row.fields)[0]
        if 0 < len(body) <= LARGEST_LINE:
            return body, "application/json"
        return mask(row.raw[:LARGEST_LINE].rstrip(b"\r\n"), "text/csv", frozenset()), "text/csv"

    def _line(self, kind: LineKind, fields: written.Fields) -> Line:
        line = parse(kind, fields, row_id="", zone=self._zone, country=self._country, currency=self._currency)
        if line.currency not in (None, self._currency):
            raise ValueError(f"it is in {line.currency}, the account in {self._currency}")
        return line
