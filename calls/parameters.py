"""What texts in a query may be, read strictly. Every reader raises ValueError with a sentence for whoever wrote it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from calls.clock import Micros, parse_time, to_datetime

LONGEST = 1024
ATTRIBUTE = "attr."
_ZONED = re.compile(r"(?:[Zz]|[+-]\d\d:?\d\d)$", re.ASCII)
_SPACE_FOR_PLUS = re.compile(r"(?<=\d) (?=\d\d:?\d\d$)", re.ASCII)  # a `+` that was not percent-encoded


def named(name: str) -> str:
    """The name of a parameter."""
    if not name.isprintable():
        raise ValueError("no parameter has such a name")
    return name


def plain(text: str, most: int = LONGEST) -> str:
    """Text that every table can hold, and not empty."""
    if not text.strip():
        raise ValueError("empty: give a value or leave it out")
    if "\0" in text or len(text) > most or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError(f"give plain text of at most {most} characters")
    return text


def zoned_time(text: str) -> Micros:
    """RFC 3339 with a zone."""
    written = _SPACE_FOR_PLUS.sub("+", text.strip())
    at = parse_time(written)
    if at is None:
        raise ValueError("no time: write it as 2026-01-31T08:00:00Z")
    if not _ZONED.search(written):
        raise ValueError("a time without a zone: add Z for UTC or an offset such as +03:00")
    try:
        to_datetime(at)
    except OverflowError:
        raise ValueError("a time outside the years 1 to 9999") from None
    return at


def one_of(text: str, choices: Sequence[str]) -> str:
    """One of the words in `choices`, written as there."""
    if text not in choices:
        raise ValueError(f"not one of {', '.join(choices)}")
    return text


def whole(text: str, *, least: int, most: int) -> int:
    """A whole number from `least` to `most`."""
    if not re.fullmatch(r"-?\d{1,30}", text.strip(), re.ASCII) or not least <= int(text) <= most:
        raise ValueError(f"not a whole number from {least} to {most}")
    return int(text)
