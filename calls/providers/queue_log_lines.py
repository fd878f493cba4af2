"""One row of Asterisk's queue_log, as it is found: a line of the file, a row of its realtime table as JSON or CSV.

`epoch[.micros]|callid|queuename|agent|event|data1|data2|…`, also with commas; or `{"time", "callid", "queuename", "agent",
"event", "data1" … "data5"}`; or the same as an array. Blanks around a separator are nothing. A time without offset counts as UTC.
"""

from __future__ import annotations

import csv
import hashlib
import re
from decimal import Decimal

import msgspec

from calls.clock import Micros, parse_time
from calls.masking import mask, mask_text
from calls.providers.interface import NotUnderstood
from calls.providers.reading import LATEST, folded, identifier, read_json

COLUMNS = ("time", "callid", "queuename", "agent", "event")
MOST_DATA = 20
_NOBODY = frozenset({"", "NONE"})
_NO_CALL = frozenset({"MANAGER", "REALTIME"})  # in the place of a call id: who changed a queue's members
_EPOCH = re.compile(r"\d{1,11}(?:\.\d{1,9})?", re.ASCII)
_SHORT_OFFSET = re.compile(r"[T ]\d\d:\d\d:\d\d(?:\.\d+)?[+-]\d\d", re.ASCII)  # as Postgres writes it: `+00`
_array = msgspec.json.Decoder(list[str | int | float | None])

# Which data of which events are ids, numbers or lengths: never masked as cards.
_SPARED = {"ENTERQUEUE": ("data2",), "CONNECT": ("data2",), "DID": ("data1",), "TRANSFER": ("data1",), "BLINDTRANSFER": ("data1",)}
_IDS = frozenset({"time", "eventtime", "callid", "queuename", "queue", "agent", "event"})


class Row(msgspec.Struct, frozen=True):
    """`call`, `queue` and `agent` are None where the row says NONE or nothing; `event` is in capitals."""

    at: Micros
    call: str | None
    queue: str | None
    agent: str | None
    event: str
    data: tuple[str, ...] = ()

    def said(self, n: int) -> str | None:
        """`data`n, None where there is nothing in it."""
        return self.data[n - 1] or None if n <= len(self.data) else None

    @property
    def mark(self) -> str:
        """What it is known by: the hash of its cells, so that one row in two writings is one, and a copy is no second event."""
        last = max((n for n, cell in enumerate(self.data, 1) if cell), default=0)
        cells = [str(self.at), self.call or "", self.queue or "", self.agent or "", self.event, *self.data[:last]]
        return hashlib.blake2b("\0".join(cells).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def read_row(body: bytes) -> Row:
    """Raises NotUnderstood with a sentence."""
    cells = _cells(body)
    if len(cells) < len(COLUMNS):
        raise NotUnderstood(f"The row has {len(cells)} fields, not the five of a queue_log: {', '.join(COLUMNS)}.")
    if len(cells) > len(COLUMNS) + MOST_DATA:
        raise NotUnderstood(f"The row has more than {MOST_DATA} data fields.")
    at = _time(cells[0])
    if at is None:
        raise NotUnderstood("The row's time is neither a unix time nor a date with its time.")
    event = _name(cells[4], "event")
    if event is None:
        raise NotUnderstood("The row names no event.")
    call, queue, agent = (_name(cells[n], COLUMNS[n]) for n in (1, 2, 3))
    return Row(at, None if call in _NO_CALL else call, queue, agent, event.upper(), tuple(_clean(cell) for cell in cells[5:]))


def mask_row(body: bytes, content_type: str, exempt: frozenset[str]) -> bytes:
    """`body` without card numbers. Ids and times stand in a line without their names, and many would read as a card."""
    if mask(body, "", exempt) is body:
        return body  # nothing in it, wherever it stands
    if _is_json(body):
        return mask(body, content_type, exempt | _IDS | _spared(body))
    try:
        text = body.decode()
        line = text.rstrip("\r\n")
        cells = _split(line)
    except (UnicodeDecodeError, NotUnderstood):
        cells = []
    if len(cells) < len(COLUMNS):
        return mask(body, content_type, exempt)  # no row: anything may stand anywhere
    names = [*COLUMNS, *(f"data{n}" for n in range(1, len(cells)))]
    spared = _IDS | set(_SPARED.get(cells[4].strip().upper(), ()))
    new = [cell if name in spared else mask_text(cell) for name, cell in zip(names, cells, strict=False)]
    return body if new == cells else (_joined(new, line) + text[len(line) :]).encode()


def _spared(body: bytes) -> frozenset[str]:
    try:
        return frozenset(_SPARED.get(read_row(body).event, ()))
    except NotUnderstood:
        return frozenset()


# ---------------------------------------------------------------- cells


def _cells(body: bytes) -> list[str]:
    if _is_json(body):
        return _values(body)
    try:
        return [cell.strip() for cell in _split(body.decode().strip("\ufeff \t\r\n"))]
    except UnicodeDecodeError:
        raise NotUnderstood("The row is no UTF-8 text.") from None


def _is_json(body: bytes) -> bool:
    return body[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")


def _split(line: str) -> list[str]:
    if "\n" in line or "\r" in line:
        raise NotUnderstood("The body has more than one line: send one a request, or import the file.")
    if "|" in line:
        return line.split("|")
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error:
        raise NotUnderstood("The row is neither fields between bars nor CSV.") from None


def _joined(cells: list[str], line: str) -> str:
    return "|".join(cells) if "|" in line else ",".join('"' + cell.replace('"', '""') + '"' for cell in cells)


def _values(body: bytes) -> list[str]:
    if body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"[":
        try:
            return [_plain(cell) for cell in _array.decode(body)]
        except (msgspec.MsgspecError, RecursionError, ValueError):
            raise NotUnderstood("The body is no array of a row's fields.") from None
    fields = folded(read_json(body))
    head = [fields.get("time", fields.get("eventtime")), fields.get("callid"), fields.get("queuename", fields.get("queue"))]
    head += [fields.get("agent"), fields.get("event")]
    if fields.get("event") is None or head[0] is None:
        raise NotUnderstood("The object has no time or no event: it is no row of a queue_log.")
    return [_plain(cell) for cell in [*head, *(fields.get(f"data{n}") for n in range(1, 6))]]


def _plain(cell: object) -> str:
    return str(cell)[:10_000].strip() if isinstance(cell, str | int | float) and not _is_huge(cell) else ""


def _is_huge(cell: object) -> bool:
    return isinstance(cell, int) and abs(cell) >= 10**24


def _time(cell: str) -> Micros | None:
    if _EPOCH.fullmatch(cell):
        at: Micros | None = int(Decimal(cell) * 1_000_000)
    else:
        at = parse_time(cell + "00" if _SHORT_OFFSET.fullmatch(cell[10:]) else cell)
    return at if at is not None and 0 <= at < LATEST else None


def _name(cell: str, column: str) -> str | None:
    if cell.upper() in _NOBODY:
        return None
    name = identifier(cell)
    if name is None:
        raise NotUnderstood(f"The row's {column} is longer than 256 characters, or holds a control character.")
    return name


def _clean(cell: str) -> str:
    return identifier(cell) or ""
