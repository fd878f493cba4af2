"""One table of a plan while it is read: each reader gives the value, or notes under the field's path what to write and stands in.

Reading goes on after a fault, so that everything that is wrong with a plan is said at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction
from typing import TypeVar

from calls.clock import Micros, parse_time, to_micros
from calls.parameters import plain, zoned_time
from calls.voice.check_steps import near, word_for

Word = TypeVar("Word", bound=str)
Faulty = list[tuple[str, str]]  # (field path, what to write)
MOST = 10**18  # of an amount, and of either part of a rate: a charge stays far inside what a database keeps
LONGEST_S = 10**9
LONGEST_TEXT = 16_384
FIRST, LAST = parse_time("1900-01-01T00:00:00Z") or 0, parse_time("2200-01-01T00:00:00Z") or 0
_RATIONAL = re.compile(r"([0-9]{1,19})(?:/([0-9]{1,19})|\.([0-9]{1,18}))?", re.ASCII)


class Table:
    """`raw` at `path`; what is no table is a fault and reads as an empty one."""

    def __init__(self, raw: object, path: str, faults: Faulty) -> None:
        self.path, self.faults = path, faults
        self.raw: Mapping[str, object] = raw if isinstance(raw, Mapping) else {}
        if not isinstance(raw, Mapping):
            faults.append((path or "plan", f"must be a table, not {word_for(raw)}"))

    def at(self, name: str) -> str:
        """The path of a field."""
        return f"{self.path}.{name}" if self.path else name

    def fault(self, name: str, detail: str) -> None:
        self.faults.append((self.at(name), detail))

    def only(self, *known: str) -> None:
        """Every other field is a fault: what is not understood is never ignored where money depends on it."""
        for name in self.raw:
            if name not in known:
                self.fault(str(name)[:64], f"is no field here{near(str(name), known)}")

    def missing(self, name: str, detail: str) -> bool:
        if name in self.raw:
            return False
        self.fault(name, f"is missing: {detail}")
        return True

    def text(self, name: str, usual: str = "", most: int = LONGEST_TEXT) -> str:
        """Text that every table can hold; it may be left out."""
        value = self.raw.get(name, usual)
        if value == usual:
            return usual
        if not isinstance(value, str):
            self.fault(name, f"must be a text, not {word_for(value)}")
            return usual
        try:
            return plain(value, most)
        except ValueError as why:
            self.fault(name, str(why))
            return usual

    def word(self, name: str, known: tuple[Word, ...], usual: Word) -> Word:
        """One of the known words; left out it is the usual one."""
        value = self.raw.get(name, usual)
        for word in known:
            if value == word and isinstance(value, str):
                return word
        self.fault(name, f"must be one of {', '.join(known)}, not {_shown(value)}")
        return usual

    def whole(self, name: str, usual: int = 0, *, least: int = 0, most: int = LONGEST_S) -> int:
        """A whole number; left out it is the usual one."""
        value = self.raw.get(name, usual)
        if isinstance(value, bool) or not isinstance(value, int):
            self.fault(name, f"must be a whole number, not {_shown(value)}")
        elif not least <= value <= most:
            self.fault(name, f"must be {least} or more, not {_shown(value)}" if value < least else f"must be at most {most}")
        else:
            return value
        return max(usual, least)

    def rational(self, name: str, *, most: int = MOST) -> Fraction:
        """An exact number, 0 or more: a whole number, or text such as "25/6" or "2.5"."""
        value = self.raw.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            found: Fraction | None = Fraction(value)
        else:
            found = _rational(value) if isinstance(value, str) else None
        if found is None:
            self.fault(name, f'must be a whole number or an exact one as text such as "25/6" or "2.5", not {_shown(value)}')
        elif not 0 <= found <= most:
            self.fault(name, "must not be negative" if found < 0 else f"must be at most {most}")
        else:
            return found
        return Fraction(0)

    def flag(self, name: str) -> bool | None:
        value = self.raw.get(name)
        if value is None or isinstance(value, bool):
            return value
        self.fault(name, f"must be true or false, not {_shown(value)}")
        return None

    def time(self, name: str) -> Micros:
        """An instant of the years 1900 to 2199: a TOML time with its offset, or RFC 3339 with a zone as text."""
        value = self.raw.get(name)
        try:
            at = _instant(value)
        except ValueError as why:
            self.fault(name, str(why))
            return 0
        if not FIRST <= at < LAST:
            self.fault(name, "a time outside the years 1900 to 2199")
            return 0
        return at

    def items(self, name: str) -> list[object] | None:
        """A list; None where it is left out, empty where it is none."""
        value = self.raw.get(name)
        if value is None or isinstance(value, list):
            return value
        self.fault(name, f"must be a list, not {_shown(value)}")
        return []

    def tables(self, name: str) -> list[Table]:
        """A list of tables; left out it is empty."""
        return [Table(raw, f"{self.at(name)}[{place}]", self.faults) for place, raw in enumerate(self.items(name) or [])]


def _rational(text: str) -> Fraction | None:
    match = _RATIONAL.fullmatch(text.strip())
    if match is None or (match[2] is not None and int(match[2]) == 0):
        return Fraction(-1) if text.strip().startswith("-") else None
    return Fraction(text.strip())


def _instant(value: object) -> Micros:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return to_micros(value)
    if isinstance(value, str):
        return zoned_time(value)
    what = "a time without a zone" if isinstance(value, datetime) else _shown(value)
    raise ValueError(f"must be a time with a zone such as 2026-06-01T00:00:00Z, not {what}")


def _shown(value: object) -> str:
    """A wrong value as it was written, or what it is where that would be long."""
    if isinstance(value, float):
        return f"{value} (a number with a point is not exact)"
    if isinstance(value, str) and len(value) <= 64:
        return repr(value)
    if isinstance(value, int) and abs(value) < 10**64:
        return str(value).lower()
    return word_for(value)
