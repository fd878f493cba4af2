"""How each provider's REST API is asked and read: what goes into a request, and what an answer says. Pure; `runtime/provider.py` sends.

Sautikit's own pages disagree on several paths: which one an account's provider has is an argument here (PATHS of numbers), and
answers are read tolerantly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias
from urllib.parse import quote

import msgspec

from calls.providers.interface import NotUnderstood
from calls.providers.reading import Fields, identifier, label, part, read_json

Json: TypeAlias = dict[str, object]
Claim: TypeAlias = Literal["numbers", "inventory", "id"]
Route: TypeAlias = Literal["patch", "patch-routing", "put-routing"]
CALLS = "/v1/calls"


class Asked(msgspec.Struct, frozen=True):
    """A request: `path` below the account's base address, `body` as JSON (None: none)."""

    method: Literal["GET", "POST", "PUT", "PATCH"]
    path: str
    body: Json | None = None


class Placed(msgspec.Struct, frozen=True):
    """A call that the provider took. `call_sid` is its REST id, else the PBX's; `aliases` are its other ids."""

    call_sid: str
    session_id: str | None = None
    status: str = ""
    label: str | None = None

    @property
    def aliases(self) -> list[str]:
        return [self.session_id] if self.session_id and self.session_id != self.call_sid else []


class Refusal(msgspec.Struct, frozen=True):
    """Why the provider did not do it: its own code and words."""

    status: int
    code: str
    message: str

    @property
    def passing(self) -> bool:
        """Whether the same request may be taken a moment later."""
        return self.status == 429 or self.status >= 500


def place(
    provider: str, *, to: str, from_: str | None, callback: str, label: str, path: str = CALLS
) -> Asked:  # fmt: skip
    """Places a call. A MiniVoice application has an answer_url of its own: there nobody can be told of `callback`."""
    if provider == "minivoice":
        return Asked("POST", path, {"from": from_, "to": to, "metadata": {"client_request_id": label}})
    return Asked("POST", path, {"from": from_, "to": [to], "voice_callback_url": callback, "client_request_id": label})


def hang_up(call_sid: str) -> Asked:
    return Asked("POST", f"{CALLS}/{quote(call_sid, safe='')}/hangup")


def end_room(room: str) -> Asked:
    """Ends a conference. Clients use it; no page of the provider's describes it."""
    return Asked("POST", f"/v1/conferences/{quote(room, safe='')}/commands", {"command": "end"})


def headers(key: str | None, *, idempotency_key: str | None = None) -> dict[str, str]:
    """`key`: the account's API key."""
    named = {"Authorization": f"Bearer {key}"} if key else {}
    return named | ({"Idempotency-Key": idempotency_key} if idempotency_key else {})


def placed(status: int, body: bytes) -> Placed | Refusal:
    """What the answer to `place` says."""
    if not 200 <= status < 300:
        return refusal(status, body)
    fields = _fields(body)
    inner = part(fields, "call") or part(fields, "data") or fields
    rest = identifier(inner.get("call_id")) or identifier(inner.get("id"))
    pbx = identifier(inner.get("session_id")) or identifier(inner.get("provider_call_id"))
    if rest is None and pbx is None:
        return Refusal(502, "no_call_id", "The provider took the call and told no id of it.")
    return Placed(rest or pbx or "", pbx, label(inner.get("status")) or "", label(inner.get("client_request_id")))


def refusal(status: int, body: bytes) -> Refusal:
    """`{"error": {"code", "message"}}`, or the bare `{"code", "reason"}`."""
    fields = _fields(body)
    error = part(fields, "error") or fields
    code = label(error.get("code")) or label(fields.get("error")) or ""
    message = label(error.get("message")) or label(error.get("reason")) or label(error.get("detail")) or ""
    return Refusal(status, code, message)


# ---------------------------------------------------------------- numbers


class Number(msgspec.Struct, frozen=True):
    """A number that the account has, or could have."""

    number: str
    id: str | None = None
    country: str | None = None
    status: str | None = None
    monthly_minor: int | None = None
    currency: str | None = None
    answered_at: str | None = None  # the address that is asked what to do


def list_numbers(*, available: bool = False) -> Asked:
    return Asked("GET", "/v1/numbers/available" if available else "/v1/numbers")


def claim(number: Number, *, how: Claim) -> Asked:
    """Takes an available number."""
    if how == "inventory":
        return Asked("POST", "/v1/numbers/available/claim", {"inventory_id": number.id})
    if how == "id":
        return Asked("POST", f"/v1/numbers/{quote(number.id or number.number, safe='')}/claim")
    wanted: Json = {"e164": number.number, "inventory_id": number.id} if number.id else {"e164": number.number}
    return Asked("POST", "/v1/numbers", wanted)


def route(number: Number, *, to: str, how: Route, field: str) -> Asked:
    """Tells the provider whom to ask when the number is called."""
    where = f"/v1/numbers/{quote(number.id or number.number, safe='')}"
    if how == "patch":
        return Asked("PATCH", where, {field: to})
    return Asked("PUT" if how == "put-routing" else "PATCH", f"{where}/routing", {field: to})


def numbers(body: bytes) -> list[Number]:
    """Rows under `numbers`, `available` or `data`; those without a number are left out."""
    fields = _fields(body)
    found: list[Number] = []
    for name in ("numbers", "available", "data"):
        rows = fields.get(name)
        for row in rows if isinstance(rows, list) else ():
            one = _number(row) if isinstance(row, dict) else None
            if one:
                found.append(one)
    return found


def _number(row: Fields) -> Number | None:
    number = label(row.get("e164")) or label(row.get("number"))
    if number is None:
        return None
    monthly = row.get("monthly_retail_minor")
    return Number(
        number, identifier(row.get("id")), label(row.get("country_iso2")) or label(row.get("country_code")), label(row.get("status")),
        monthly if isinstance(monthly, int) and not isinstance(monthly, bool) else None, label(row.get("currency")), _address(row),
    )  # fmt: skip


def _address(row: Fields) -> str | None:
    names: Sequence[str] = ("voice_callback_url", "routing_url", "voice_url")
    return next((address for address in (label(row.get(name)) for name in names) if address), None)


# ---------------------------------------------------------------- what is polled


class Page(msgspec.Struct, frozen=True):
    """Rows as they are written, in the answer's order. `cursor`: where the next page begins, None where there is none."""

    rows: list[Fields]
    cursor: str | None = None


def list_rows(path: str, *, cursor: str | None, limit: int = 100) -> Asked:
    """A page of the rows under `path`: calls, or lines of the ledger."""
    after = f"&cursor={quote(cursor, safe='')}" if cursor else ""
    return Asked("GET", f"{path}{'&' if '?' in path else '?'}limit={limit}{after}")


def page(body: bytes) -> Page | None:
    """None where the body is no list of rows. Fractions keep their digits, as text."""
    try:
        found = _decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    if isinstance(found, list):
        return Page(_rows(found))
    named = next((rows for rows in (found.get(name) for name in _LISTS) if isinstance(rows, list)), None)
    if named is None:
        return None
    inner = part(found, "pagination") or part(found, "meta") or {}
    cursor = next(
        (value for value in (one.get(name) for one in (found, inner) for name in _CURSORS) if isinstance(value, str) and value), None
    )
    return Page(_rows(named), cursor)


def one_row(body: bytes) -> Fields | None:
    """The object of an answer, or what it has under `data`; None where there is none."""
    try:
        found = _decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return None if isinstance(found, list) else part(found, "data") or found


_LISTS = ("data", "calls", "entries", "lines", "transactions", "statement", "ledger")
_CURSORS = ("next_cursor", "nextCursor", "cursor")
_decode = msgspec.json.Decoder(Fields | list[object], float_hook=str).decode


def _rows(found: list[object]) -> list[Fields]:
    return [one for one in found if isinstance(one, dict)]


def _fields(body: bytes) -> Fields:
    try:
        return read_json(body)
    except NotUnderstood:
        return {}
