"""What one line of a statement says: columns by their names, amounts exact, times in the tenant's zone where they name none."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from calls.clock import Micros
from calls.events import Direction
from calls.parties import normalise
from calls.providers.reading import LONGEST_ID, identifier, text, word_of
from calls.providers.reading import direction as direction_of
from calls.statements import values
from calls.statements.columns import Column, Field, columns_of
from calls.statements.line import Line, LineKind
from calls.statements.units import PLAIN
from calls.statements.values import MONTH_FIRST, Amount

Fields: TypeAlias = Mapping[str, str]
CREDITS = frozenset({
    "credit", "cr", "c", "topup", "topups", "recharge", "refund", "refunded", "reversal", "reversed", "deposit", "paidin", "bonus",
    "cashback", "received",
})  # fmt: skip
DEBITS = frozenset({
    "debit", "dr", "d", "charge", "charged", "usage", "call", "calls", "withdrawal", "withdrawn", "fee", "rental", "rent", "storage",
})  # fmt: skip
BESIDE_CALLS = re.compile(r"top.?up|deposit|rent|storage|subscri|\bsms\b|month|number|\bfee|payment|pay.?bill|fund|withdraw")
MOVED = frozenset({"completed", "complete", "success", "successful", "settled", "posted", "ok"})
_DIRECTIONS: dict[str, Direction] = {"in": "inbound", "i": "inbound", "out": "outbound", "o": "outbound"}
TIMES: tuple[Field, ...] = ("at", "started_at", "answered_at", "ended_at", "updated_at")
_DATES: dict[LineKind, tuple[Field, ...]] = {
    "call_record": ("started_at", "at", "answered_at", "ended_at"),
    "ledger": ("at", "ended_at", "started_at", "answered_at"),
    "balance": ("at", "updated_at", "started_at"),
}


def parse(kind: LineKind, fields: Fields, *, row_id: str, zone: str, country: str, currency: str = "KES") -> Line:
    """One line. `fields`: columns by name, blank ones left out. Raises ValueError with one sentence where it cannot be counted.

    `zone`, `country`: of the tenant, for times and numbers that name none. `currency`: of amounts that name none.
    """
    read = _Reader(columns_of(tuple(fields)), fields, zone, country)
    said = read.said_currency()
    money = _money(kind, read, said or currency)
    balance = read.amount("balance", said or currency)
    direction = read.direction()
    caller, called = _parties(read, direction)
    times = {field: read.moment(field) for field in TIMES if field in read.found}
    if "clock" in read.found and not times.keys() - {"updated_at"}:
        times["at"] = read.moment("clock")
    started = times.get("started_at")
    return Line(
        kind=kind, row_id=row_id, at=_date(kind, times), updated_at=times.get("updated_at"),
        call_id=_call_id(kind, read, money),
        session_id=read.identifier("session_id"), client_request_id=_request_id(read),
        direction=direction, caller=caller, called=called,
        started_at=times.get("at") if started is None and kind == "call_record" else started,
        answered_at=times.get("answered_at"), ended_at=times.get("ended_at"), duration_ms=read.duration(), status=read.text("status"),
        amount_minor=money.minor if money else None, rest_millicents=money.rest if money else 0, currency=_agreed(said, money, balance),
        rate_per_minute=read.rate(said or currency), entry_type=read.text("entry_type"), description=read.text("description"),
        balance_minor=balance.minor if balance else None,
    )  # fmt: skip


class _Reader:
    """One line's values by field. Raises ValueError that names the column."""

    __slots__ = ("columns", "country", "found", "zone")

    def __init__(self, columns: tuple[Column, ...], fields: Fields, zone: str, country: str) -> None:
        self.columns, self.zone, self.country = columns, zone, country
        self.found: dict[Field, tuple[str, Column]] = {}
        for column in columns:
            value = fields[column.name]
            value = values.bare(value) if value[:1] in ("=", "'") else value
            if column.field not in self.found and not values.is_blank(value):
                self.found[column.field] = value, column

    def text(self, field: Field) -> str | None:
        found = self.found.get(field)
        return text(found[0]) if found else None

    def identifier(self, field: Field) -> str | None:
        found = self.found.get(field)
        if found is None:
            return None
        known = identifier(found[0])
        if known is None:
            raise ValueError(f"{found[1].name}: an id has at most {LONGEST_ID} characters and no control character")
        return known

    def amount(self, field: Field, currency: str) -> Amount | None:
        return self._read(field, lambda value, column: values.amount(value, column.unit, currency=currency))

    def duration(self) -> int | None:
        return self._read("duration", lambda value, column: values.duration_ms(value, column.unit))

    def rate(self, currency: str) -> str | None:
        found = self.found.get("rate")
        return values.rate_per_minute(found[0], found[1].unit, currency=currency) if found else None

    def moment(self, field: Field) -> Micros | None:
        return self._read(field, self._at)

    def direction(self) -> Direction | None:
        for field in ("direction", "entry_type"):
            found = self.found.get(field)
            known = direction_of(found[0]) or _DIRECTIONS.get(found[0].lower()) if found else None
            if known:
                return known
        return None

    def party(self, field: Field) -> str | None:
        told = self.text(field)
        return normalise(told, self.country) if told else None

    def said_currency(self) -> str | None:
        found = self.found.get("currency")
        return values.currency(found[0], found[1].name) if found else None

    def _read(self, field: Field, how: Callable[[str, Column], values.Read]) -> values.Read | None:
        found = self.found.get(field)
        if found is None:
            return None
        try:
            return how(*found)
        except ValueError as error:
            raise ValueError(f"{found[1].name}: {error}") from None

    def _at(self, value: str, column: Column) -> Micros:
        """A day in one column and its hour in another are one time."""
        unit = column.unit
        if values.is_clock(value):
            day = self.found.get("at")
            if day is None or day[1] is column:
                raise ValueError(f"{value[:64]!r} is a time of day without its date")
            value = f"{day[0]} {value}"
        elif column.field == "at" and ":" not in value and (clock := self.found.get("clock")) and values.is_clock(clock[0]):
            value, unit = f"{value} {clock[0]}", clock[1].unit if clock[1].unit != PLAIN else unit
        return values.moment(value, zone=unit.zone or self.zone, month_first=unit.month_first or self.country in MONTH_FIRST)


# ---------------------------------------------------------------- what the fields come to


def _call_id(kind: LineKind, read: _Reader, money: Amount | None) -> str | None:
    """A reference is a call's where nothing says that the line is about something else."""
    known = read.identifier("call_id")
    if known is None and kind == "call_record":
        return read.identifier("row") or (None if "session_id" in read.found else read.identifier("reference"))
    if known is None and "reference" in read.found and money is not None and money.minor > 0:
        told = f"{read.text('entry_type') or ''} {read.text('description') or ''}".lower()
        return None if BESIDE_CALLS.search(told) else read.identifier("reference")
    return known


def _date(kind: LineKind, times: Mapping[Field, Micros | None]) -> Micros | None:
    at = next((times[field] for field in _DATES[kind] if field in times), None)
    if at is None and kind != "balance":  # which is as of its receipt
        raise ValueError("no column says when it was")
    return at


def _money(kind: LineKind, read: _Reader, currency: str) -> Amount | None:
    """Of a call record what it cost; of a ledger line debit +, credit −."""
    amount = read.amount("amount", currency)
    debit, credit = read.amount("debit", currency), read.amount("credit", currency)
    if kind == "ledger":
        settled = read.text("settled")
        if settled and word_of(settled) not in MOVED:
            raise ValueError(f"no money moved: it is {settled[:40]}")
        signed = _signed(amount, word_of(read.text("entry_type"))) if amount else _between(debit, credit)
        if signed is None:
            raise ValueError("no column says an amount")
        return signed
    return _absolute(amount, 1) if amount else _between(debit, credit)  # some write what a call cost as what it took from the wallet


def _signed(amount: Amount, word: str) -> Amount:
    if word in CREDITS or word.endswith(("topup", "refund", "reversal", "credit")):
        return _absolute(amount, -1)
    return _absolute(amount, 1) if word in DEBITS or word.endswith(("debit", "charge", "fee", "rental")) else amount


def _absolute(amount: Amount, sign: int) -> Amount:
    """Whichever way the sign was written: the type says which way the money went."""
    own = -sign if amount.minor < 0 or (amount.minor == 0 and amount.rest < 0) else sign
    return Amount(own * amount.minor, own * amount.rest, amount.currency)


def _between(debit: Amount | None, credit: Amount | None) -> Amount | None:
    """Debit less credit, each without the sign that some write before one of them."""
    if debit is None or credit is None:
        return _absolute(debit, 1) if debit else _absolute(credit, -1) if credit else None
    if (debit.minor or debit.rest) and (credit.minor or credit.rest):
        raise ValueError("it has a debit and a credit: one of the two moved the money")
    return _absolute(debit, 1) if debit.minor or debit.rest else _absolute(credit, -1)


def _agreed(said: str | None, *amounts: Amount | None) -> str | None:
    for amount in amounts:
        if amount is not None and amount.currency is not None:
            if said not in (None, amount.currency):
                raise ValueError(f"an amount is in {amount.currency}, the line in {said}")
            said = amount.currency
    return said


def _parties(read: _Reader, direction: Direction | None) -> tuple[str | None, str | None]:
    caller, called = read.party("caller"), read.party("called")
    local, remote = read.party("local"), read.party("remote")
    if direction in ("inbound", "outbound") and (local or remote):
        ends = (remote, local) if direction == "inbound" else (local, remote)
        return caller or ends[0], called or ends[1]
    return caller, called


def _request_id(read: _Reader) -> str | None:
    own = read.text("client_request_id")
    told = None if own else read.found.get("metadata")
    if told is None:
        return own
    try:
        return text(msgspec.json.decode(told[0], type=_Metadata).client_request_id)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


class _Metadata(msgspec.Struct):
    client_request_id: str | None = None
