"""How a delivery's body is read: tolerantly, once, and without ever raising anything but NotUnderstood.

Every reader takes what a sender really wrote (`object`) and answers with the wanted value or None, so that one odd field
never costs the rest of a delivery. Senders are not trusted: nesting, sizes, NUL and numbers out of range end here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TypeAlias, cast
from urllib.parse import unquote_plus

import msgspec

from calls.clock import Micros, parse_time
from calls.events import Direction, Failure
from calls.providers.interface import NotUnderstood

Fields: TypeAlias = Mapping[str, object]
NOTHING: Fields = {}
LONGEST_ID = 256
LONGEST_NAME = 500  # of a queue, an agent or a menu
LONGEST_LABEL = 5_000
MOST_FIELDS = 1_000
LONGEST_DURATION_S = 30 * 86_400
EARLIEST_UNIX = 100_000_000  # 1973, in seconds
LATEST = 7_258_118_400_000_000  # the year 2200: a later time is a mistake, and some of them no calendar can show

_AMOUNT = re.compile(r"\d{1,12}(?:\.\d{1,12})?", re.ASCII)
_BAD = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_LOST_PLUS = re.compile(r" \d{7,15}", re.ASCII)
_decode = msgspec.json.Decoder().decode


def read_fields(body: bytes, content_type: str) -> dict[str, object]:
    """The fields of a JSON object or of a form, whatever the content type says. Raises NotUnderstood with a sentence."""
    head = body[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if head == b"{" or head == b"[" or "json" in content_type:
        return read_json(body)
    if b"=" not in body:
        raise NotUnderstood("The body is empty." if not body.strip() else "The body is neither a JSON object nor a form.")
    return cast(dict[str, object], read_form(body))


def read_json(body: bytes) -> dict[str, object]:
    """The JSON object in `body`. Raises NotUnderstood."""
    try:
        value = _decode(body)
    except RecursionError:
        raise NotUnderstood("The JSON is nested too deeply.") from None
    except (msgspec.MsgspecError, ValueError):
        return _read_marked(body)
    if isinstance(value, dict):
        return value
    raise NotUnderstood(f"The body is a JSON {_kind(value)}, not an object.")


def _read_marked(body: bytes) -> dict[str, object]:
    """What does not read as JSON, once more without a byte order mark."""
    if body.startswith(b"\xef\xbb\xbf"):
        return read_json(body[3:])
    raise NotUnderstood("The body is not valid JSON.")


def _kind(value: object) -> str:
    return "array" if isinstance(value, list) else "text" if isinstance(value, str) else "scalar"


def read_form(body: bytes) -> dict[str, str]:
    """A form's fields; of a name that comes twice the first. Raises NotUnderstood where it is none."""
    try:
        pairs = body.decode().split("&", MOST_FIELDS)
    except UnicodeDecodeError:
        raise NotUnderstood("The body is neither UTF-8 text nor JSON.") from None
    if len(pairs) > MOST_FIELDS:
        raise NotUnderstood(f"The form has more than {MOST_FIELDS} fields.")
    fields: dict[str, str] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        fields.setdefault(_unquoted(name), _unquoted(value))
    return fields


def _unquoted(text: str) -> str:
    # Most names and values carry no escape, and unquoting costs more than all the rest of reading a form.
    return unquote_plus(text) if "%" in text or "+" in text else text


def folded(fields: Fields) -> dict[str, object]:
    """The same fields under lower-case names without underscores: `CallSid`, `callSid` and `call_sid` are one."""
    same: dict[str, object] = {}
    for name, value in fields.items():
        plain = name.replace("_", "").lower()
        if value is not None and value != "" and same.get(plain) in (None, ""):
            same[plain] = value
        else:
            same.setdefault(plain, value)
    return same


def part(fields: Fields, *names: str) -> Fields:
    """The first of `names` that holds an object, else an empty one."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, dict):
            return value
    return NOTHING


def first(fields: Fields, names: Iterable[str]) -> str | None:
    """The first of `names` that holds a text, cleaned."""
    for name in names:
        value = text(fields.get(name))
        if value is not None:
            return value
    return None


def identifier(value: object, longest: int = LONGEST_ID) -> str | None:
    """An id as its sender wrote it: 1 to 256 (`longest`) characters, none of them a control character."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**24:
        value = str(value)
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        return None
    value = value.strip()
    # Printable ASCII is the rule; of the rest, only control characters and lone surrogates are no part of an id.
    return value if value and ((value.isascii() and value.isprintable()) or not _unfit(value)) else None


def _unfit(value: str) -> bool:
    return any(char < " " or "\x7f" <= char <= "\x9f" or "\ud800" <= char <= "\udfff" for char in value)


def first_id(fields: Fields, names: Iterable[str]) -> str | None:
    """The first of `names` that holds an id."""
    for name in names:
        value = identifier(fields.get(name))
        if value is not None:
            return value
    return None


def text(value: object) -> str | None:
    """A text without control characters (no store keeps NUL), None where it is none or empty."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**24:
        return str(value)
    if not isinstance(value, str):
        return None
    value = value.strip()
    if not value.isprintable():
        value = _BAD.sub("", value).strip()
    return value or None


def label(value: object) -> str | None:
    """A text of at most 256 characters: a name, a reason, a state. None where it is longer."""
    value = text(value)
    return value if value is not None and len(value) <= LONGEST_ID else None


def request_label(value: object) -> str | None:
    """A caller's own label of a call: at most 5,000 characters, as the vendor allows. None where it is longer."""
    value = text(value)
    return value if value is not None and len(value) <= LONGEST_LABEL else None


def phone(value: object) -> str | None:
    """A number or address as written, at most 256 characters. A form that forgot to escape its plus gets it back."""
    if isinstance(value, str) and value[:1] == " " and _LOST_PLUS.fullmatch(value):
        return "+" + value[1:]
    return label(value)


def direction(value: object) -> Direction | None:
    """`Inbound`, `outbound-api`, `incoming`… in the three words of the house."""
    if not isinstance(value, str):
        return None
    word = value.strip().lower()[:3]
    return "inbound" if word in ("inb", "inc") else "outbound" if word == "out" else "internal" if word == "int" else None


def count(value: object) -> int | None:
    """A whole number of at least 0 that a database can hold, from a number or a text."""
    if isinstance(value, str) and len(value) < 20 and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
        return value
    return None


def seconds_ms(value: object) -> int | None:
    """Seconds (73, 73.5, "73") as milliseconds. None below 0 and above 30 days."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value * 1000 if 0 <= value <= LONGEST_DURATION_S else None
    if isinstance(value, float):
        return round(value * 1000) if 0 <= value <= LONGEST_DURATION_S else None
    if isinstance(value, str) and _AMOUNT.fullmatch(value.strip()):
        exact = Decimal(value.strip())
        return round(exact * 1000) if exact <= LONGEST_DURATION_S else None
    return None


def flag(value: object) -> bool | None:
    """`1`, `"true"`, True and their opposites."""
    word = str(value).strip().lower() if isinstance(value, str | int | bool) and len(str(value)[:8]) < 8 else ""
    return True if word in ("1", "true", "yes") else False if word in ("0", "false", "no") else None


def moment(*values: object) -> Micros | None:
    """The first of `values` that is a time between 1970 and 2200."""
    for value in values:
        at = None if value is None else _at(value)
        if at is not None and 0 <= at < LATEST:
            return at
    return None


def _at(value: object) -> Micros | None:
    """As the clock reads it, less numbers that can be no time."""
    if isinstance(value, int | float) and value < EARLIEST_UNIX:
        return None  # a count or a length, whatever its field is called
    return parse_time(value)


FAILURES: dict[str, Failure] = {
    "noanswer": "no_answer",
    "timeout": "no_answer",
    "nouserresponse": "no_answer",
    "missed": "no_answer",
    "unanswered": "no_answer",
    "notanswered": "no_answer",
    "allottedtimeout": "no_answer",
    "busy": "busy",
    "userbusy": "busy",
    "rejected": "rejected",
    "callrejected": "rejected",
    "declined": "rejected",
    "canceled": "canceled",
    "cancelled": "canceled",
    "cancel": "canceled",
    "originatorcancel": "canceled",
    "loserace": "canceled",
    "aborted": "canceled",
    "network": "network",
    "networkerror": "network",
    "networkoutoforder": "network",
    "normaltemporaryfailure": "network",
    "recoveryontimerexpire": "network",
    "subscriberabsent": "network",
    "unallocatednumber": "network",
    "serviceunavailable": "network",
    "usernotregistered": "network",
}


def word_of(value: object) -> str:
    """`No-Answer`, `no_answer`, `NO ANSWER` as `noanswer`; "" where it is no short text."""
    if not isinstance(value, str) or len(value) > LONGEST_ID:
        return ""
    return value.lower() if value.isalpha() else "".join(char for char in value.lower() if char.isalnum())


def failure(value: object) -> Failure:
    """The house's word for why a call failed; `unknown` where the sender's says nothing that we know."""
    return FAILURES.get(word_of(value), "unknown")
