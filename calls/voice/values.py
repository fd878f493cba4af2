"""What may stand in one field of an action: each kind of value, and in words what to do where it is wrong.

A test returns "" where the value holds, else what must change, as the end of a sentence that begins with the field.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec

Test: TypeAlias = Callable[[object], str]

# What XML cannot carry, and what UTF-8 cannot (half a surrogate pair).
UNSPEAKABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}|[0-9*#]{2,15}", re.ASCII)
_SIP = re.compile(r"sips?:[^\s@<>\"',]+@[A-Za-z0-9.\-\[\]:]+(;[^\s<>\"',]*)?", re.ASCII)
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_MINI_ROOM = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_KEYS = re.compile(r"[0-9*#A-DwW,]{1,128}", re.ASCII)
_LONGEST_URL = 4096
_WORDS: tuple[tuple[type, str], ...] = (
    (bool, "true or false"), (str, "a text"), (int, "a whole number"), (float, "a number with a point"), (list, "a list"),
    (dict, "an object"),
)  # fmt: skip


class Value(msgspec.Struct, frozen=True):
    """One field's rule. `kind` is how an XML attribute, which is always text, is read before it is tested."""

    kind: Literal["text", "number", "flag", "list", "object"]
    wrong: Test


def called(value: object) -> str:
    """What a value is, in words: the JSON kind."""
    return next((word for kind, word in _WORDS if isinstance(value, kind)), "null" if value is None else type(value).__name__)


def _texts(then: Callable[[str], str]) -> Value:
    def wrong(value: object) -> str:
        if not isinstance(value, str):
            return f"must be a text, not {called(value)}"
        if UNSPEAKABLE.search(value):
            return "has a character that cannot be sent (a control character or half of a surrogate pair): take it out"
        return then(value)

    return Value("text", wrong)


def text(*, most: int = 4096, empty: bool = False) -> Value:
    """Any text; `empty` allows none."""

    def wrong(value: str) -> str:
        if not empty and not value.strip():
            return "must not be empty"
        return f"is longer than {most} characters: shorten it" if len(value) > most else ""

    return _texts(wrong)


def _matches(pattern: re.Pattern[str], otherwise: str) -> Value:
    return _texts(lambda value: "" if pattern.fullmatch(value) else otherwise)


def word(*words: str) -> Value:
    """One of these words."""
    return _texts(lambda value: "" if value in words else f"must be {' or '.join(words)}")


def words(*known: str) -> Value:
    """Some of these words with spaces between them."""

    def wrong(value: str) -> str:
        odd = [one for one in value.split() if one not in known]
        return f"does not know {odd[0]!r}: write some of {' '.join(known)}, with spaces between them" if odd else ""

    return _texts(wrong)


def url(*schemes: str) -> Value:
    """An absolute address with one of these schemes."""

    def wrong(value: str) -> str:
        try:
            parts = urlsplit(value)
            whole = parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            whole = False
        if not whole or re.search(r"\s", value):
            return f"must be an absolute {' or '.join(f'{one}://' for one in schemes)} address without spaces"
        return f"is longer than {_LONGEST_URL} characters: shorten it" if len(value) > _LONGEST_URL else ""

    return _texts(wrong)


def number(least: int, most: int) -> Value:
    """A whole number; true and 5.0 are none."""

    def wrong(value: object) -> str:
        if isinstance(value, bool) or not isinstance(value, int):
            return f"must be a whole number, not {called(value)}"
        return "" if least <= value <= most else f"must be between {least} and {most}"

    return Value("number", wrong)


def one_of(*numbers: int) -> Value:
    """One of these numbers."""
    whole = number(min(numbers), max(numbers))
    return Value("number", lambda value: whole.wrong(value) or ("" if value in numbers else f"must be {' or '.join(map(str, numbers))}"))


def list_of(each: Value, *, most: int) -> Value:
    """A list of 1 to `most` values of one kind."""

    def wrong(value: object) -> str:
        if not isinstance(value, list) or not 1 <= len(value) <= most:
            return f"must be a list of 1 to {most}"
        found = next(((place, why) for place, one in enumerate(value) if (why := each.wrong(one))), None)
        return f"{found[1]} (the value at place {found[0]} does not hold)" if found else ""

    return Value("list", wrong)


def _destination(value: str) -> str:
    if _NUMBER.fullmatch(value) or _SIP.fullmatch(value):
        return ""
    return f"must be {_PHONE}, or {_ADDRESS}"


def _headers(value: str) -> str:
    try:
        flat: object = msgspec.json.decode(value)
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        flat = None
    if not isinstance(flat, dict) or any(isinstance(one, dict | list) for one in flat.values()):
        return 'must be the JSON text of a flat object, such as "{\\"tenant\\": \\"acme\\"}"'
    return ""


def _pairs(value: object) -> str:
    if not isinstance(value, dict):
        return f"must be an object of texts, not {called(value)}"
    return next((f"must have texts as values: {name!r} does not" for name, one in value.items() if TEXT.wrong(one)), "")


_PHONE = "a number such as +254720000001 (or a service code) without spaces"
_ADDRESS = "a SIP address such as sip:alice@pbx.example.com"
TEXT = text(empty=True)
FLAG = Value("flag", lambda value: "" if isinstance(value, bool) else f"must be true or false, not {called(value)}")
PHONE = _matches(_NUMBER, f"must be {_PHONE}")
SIP = _matches(_SIP, f"must be {_ADDRESS}")
DESTINATION = _texts(_destination)
LANGUAGE = _matches(_LANGUAGE, "must be a language tag such as en-KE or sw-KE")
UUID = _matches(_UUID, "must be a UUID")
KEY = _matches(re.compile(r"[0-9*#]?", re.ASCII), 'must be one key of 0-9 * #, or "" for none')
ONE_KEY = _matches(re.compile(r"[0-9*#]", re.ASCII), "must be one key of 0-9 * #")
KEYS = _matches(_KEYS, "must be 1 to 128 of 0-9 * # A-D w W and comma")
MINI_ROOM = _matches(_MINI_ROOM, "must be 1 to 128 letters, digits, dots, hyphens or underscores")
WEB = url("http", "https")
METHOD = word("GET", "POST")
HEADERS = _texts(_headers)
PAIRS = Value("object", _pairs)
