"""How amounts, durations and times are written in statements: exact, and refused with a sentence where two readings are possible."""

from __future__ import annotations

import re
from datetime import datetime
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from calls.clock import EPOCH, MICRO, Micros, parse_time
from calls.statements.units import CURRENCIES, WITHOUT_MINOR, Unit

LONGEST_MS = 30 * 86_400_000
EARLIEST, LATEST = 100_000_000_000_000, 7_258_118_400_000_000  # 1973, 2200
MOST = 2**63
BLANK = frozenset({"-", "–", "—", "n/a", "na", "null", "none", "nil", "nan"})
MONTH_FIRST = frozenset({"US", "PH"})

_SIMPLE = re.compile(r"(-?)(\d{1,15})(?:\.(\d{1,12}))?", re.ASCII)
_SPOKEN = re.compile(
    r"(?P<open>\()?\s*(?P<sign>[-+\u2212])?\s*(?P<before>[A-Za-z]{2,4}\.?)?\s*(?P<inner>[-+\u2212])?\s*"
    r"(?P<digits>[\d.][\d.,'\s\u00a0\u202f]*)(?:/[=\-])?\s*(?P<after>[A-Za-z]{2,4}\.?)?\s*(?P<close>\))?",
    re.ASCII,
)
_GROUPED = (
    re.compile(r"([1-9]\d{0,2}(?:,\d{3})+)(?:\.(\d{1,12}))?", re.ASCII),
    re.compile(r"([1-9]\d{0,2}(?:\.\d{3})+),(\d{1,12})", re.ASCII),
    re.compile(r"([1-9]\d{0,2}(?:\.\d{3}){2,})()", re.ASCII),
    re.compile(r"([1-9]\d{0,2}(?:[ '\u00a0\u202f]\d{3})+)(?:[.,](\d{1,12}))?", re.ASCII),
    re.compile(r"(\d{0,15})[.,](\d{1,12})", re.ASCII),
    re.compile(r"(\d{1,15})()", re.ASCII),
)
_RATE = re.compile(
    r"(?:[A-Z]{2,4}\.?\s*)?(\d{0,12})(?:\.(\d{1,12}))?(?:\s*[A-Z]{3})?(?:\s*(?:/|per)\s*(min|minute|s|sec|second))?",
    re.ASCII | re.IGNORECASE,
)
_UNSURE = re.compile(r"[1-9]\d{0,2},\d{3}", re.ASCII)
_LENGTH = re.compile(r"(\d{1,10})(?:\.(\d{1,9}))?\s*(ms|s|secs?|seconds?|min|mins|minutes?|h|hrs?|hours?)?", re.ASCII | re.IGNORECASE)
_CLOCKED = re.compile(r"(?:(\d{1,3}):)?(\d{1,5}):([0-5]\d)(?:\.(\d{1,6}))?", re.ASCII)
_WORDED = re.compile(r"(?:(\d{1,3})\s*h\w{0,4})?\s*(?:(\d{1,5})\s*m(?:in\w{0,4})?)?\s*(?:(\d{1,7})\s*s\w{0,6})?", re.ASCII | re.IGNORECASE)
_OF_LENGTH = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}

_HOUR = r"(?:[T ,]+(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s*([AaPp]\.?[Mm]\.?)?)?"
_ISO = re.compile(rf"(\d{{4}})[-/.](\d\d?)[-/.](\d\d?){_HOUR}", re.ASCII)
_DAYS = re.compile(rf"(\d\d?)[-/.](\d\d?)[-/.](\d{{4}}){_HOUR}", re.ASCII)
_NAMED = re.compile(rf"(\d\d?)[-/ .]*([A-Za-z]{{3,9}})[-/ .,]*(\d{{4}}){_HOUR}", re.ASCII)
_NAMED_FIRST = re.compile(rf"([A-Za-z]{{3,9}})[-/ .]*(\d\d?)[-/ .,]+(\d{{4}}){_HOUR}", re.ASCII)
_ZONED = re.compile(r"(.*:\d\d(?:[.,]\d{1,9})?(?:\s*[AaPp]\.?[Mm]\.?)?)\s*(Z|z|UTC|GMT|EAT|[+-](?:0\d|1[0-4]):?[0-5]\d)", re.ASCII)
_CLOCK = re.compile(r"\d{1,2}:\d\d(?::\d\d(?:\.\d{1,9})?)?\s*(?:[AaPp]\.?[Mm]\.?)?", re.ASCII)
_UNIX = re.compile(r"(\d{9,10})(?:\.(\d{1,9}))?|(\d{12,13})|(\d{15,16})", re.ASCII)
_COMPACT = re.compile(r"((?:19|20)\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)", re.ASCII)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_zone = lru_cache(maxsize=64)(ZoneInfo)
Read = TypeVar("Read")


class Amount(NamedTuple):
    """`minor` + `rest` / 1000 minor units; the nearest minor unit, and what it leaves to the nearest thousandth."""

    minor: int
    rest: int
    currency: str | None


def bare(text: str) -> str:
    """What stands in a cell that a spreadsheet was told to leave alone: `="+254700000001"`, `'0712345678`."""
    if text[:2] == '="' and text[-1:] == '"' and len(text) > 3:
        return text[2:-1]
    return text[1:] if text[:1] == "'" and text[1:2] in "+0123456789" else text


def is_blank(text: str) -> bool:
    """Written, but saying nothing; some databases write a time that is not known as the year 0."""
    return not text or (len(text) < 5 and text.lower() in BLANK) or text[:10] == "0000-00-00"


# ---------------------------------------------------------------- amounts


def amount(text: str, unit: Unit, *, currency: str) -> Amount:
    """Raises ValueError with a sentence. `currency`: what an amount is in that says no currency of its own."""
    simple = _SIMPLE.fullmatch(text)
    if simple:
        return _exact(text, unit, simple[2], simple[3] or "", negative=bool(simple[1]), said=unit.currency, currency=currency)
    return _spoken(text, unit, currency)


def _spoken(text: str, unit: Unit, currency: str) -> Amount:
    found = _SPOKEN.fullmatch(text) if len(text) < 64 else None
    if found is None or (found["open"] is None) != (found["close"] is None):
        raise ValueError(f"{text[:64]!r} is no amount such as 4.50")
    negative = bool(found["open"]) + sum(found[name] in ("-", "\u2212") for name in ("sign", "inner") if found[name])
    said = unit.currency
    for name in ("before", "after"):
        word = (found[name] or "").rstrip(".").lower()
        if word in ("dr", "cr") and name == "after":
            negative += word == "cr"
        elif word:
            said = _same(said, CURRENCIES.get(word), text)
    if negative > 1:
        raise ValueError(f"{text[:64]!r} is negative twice: write -4.50 or (4.50)")
    whole, part = _digits(found["digits"].strip(), text)
    return _exact(text, unit, whole, part, negative=bool(negative), said=said, currency=currency)


def _same(said: str | None, word: str | None, text: str) -> str:
    if word is None:
        raise ValueError(f"{text[:64]!r} names no currency that is known: write KES 4.50")
    if said not in (None, word):
        raise ValueError(f"{text[:64]!r} is in {word}, its column in {said}")
    return word


def _digits(text: str, whole: str) -> tuple[str, str]:
    """Digits before and after the point."""
    if _UNSURE.fullmatch(text):
        raise ValueError(f"{whole[:64]!r} may be {text.replace(',', '')} or {text.replace(',', '.')}: write it without the comma")
    for pattern in _GROUPED:
        found = pattern.fullmatch(text)
        if found:
            return re.sub(r"\D", "", found[1]) or "0", found[2] or ""
    raise ValueError(f"{whole[:64]!r} is no amount such as 4.50")


def _exact(text: str, unit: Unit, whole: str, part: str, *, negative: bool, said: str | None, currency: str) -> Amount:
    if unit.money != "major" and (part or (said and said in text.upper())):
        raise ValueError(f"{text[:64]!r} must be whole {'minor units' if unit.money == 'minor' else 'millicents'}, such as 450")
    scale: int = 1 if unit.money == "millicents" else 1000 if unit.money == "minor" or (said or currency) in WITHOUT_MINOR else 100_000
    over: int = int(whole + part) * scale  # thousandths of a minor unit, over
    under: int = 10 ** len(part)
    minor = (2 * over + 1000 * under) // (2000 * under)
    rest = (2 * (over - minor * 1000 * under) + under) // (2 * under)
    if minor >= MOST:
        raise ValueError(f"{text[:64]!r} is too large an amount")
    return Amount(-minor, -rest, said) if negative else Amount(minor, rest, said)


@lru_cache(maxsize=1024)
def rate_per_minute(text: str, unit: Unit, *, currency: str) -> str | None:
    """Minor units a minute, as an exact rational; None where it cannot be read, for nothing is counted by it."""
    found = _RATE.fullmatch(text)
    if found is None or not (found[1] or found[2]):
        return None
    whole, part = found[1] or "0", found[2] or ""
    scale = {"major": 1 if (unit.currency or currency) in WITHOUT_MINOR else 100, "minor": 1}.get(unit.money, Fraction(1, 1000))
    per_ms = (1000 if found[3][:1].lower() == "s" else 60_000) if found[3] else unit.per_ms
    return str(Fraction(int(whole + part), 10 ** len(part)) * scale * Fraction(60_000, per_ms))


def currency(text: str, column: str) -> str:
    """The code of a currency. Raises ValueError where it is none that is known."""
    found = CURRENCIES.get(text.lower().rstrip("."))
    if found is None and not (len(text) == 3 and text.isascii() and text.isalpha()):
        raise ValueError(f"{column}: {text[:40]!r} is no currency such as KES")
    return found or text.upper()


# ---------------------------------------------------------------- durations


def duration_ms(text: str, unit: Unit) -> int:
    """Raises ValueError with a sentence."""
    number = _LENGTH.fullmatch(text)
    if number:
        word = (number[3] or "").lower()
        scale = (1 if word == "ms" else _OF_LENGTH[word[0]]) if word else unit.ms
        part = number[2] or ""
        under: int = 10 ** len(part)
        found = (2 * int(number[1] + part) * scale + under) // (2 * under)
    else:
        found = _clocked(text)
    if found > LONGEST_MS:
        raise ValueError(f"{text[:64]!r} is longer than 30 days")
    return found


def _clocked(text: str) -> int:
    """`01:02:03`, `2:03`, `1m 30s`."""
    clock = _CLOCKED.fullmatch(text)
    if clock:
        milli = int((clock[4] or "0").ljust(3, "0")[:3])
        return (int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + int(clock[3])) * 1000 + milli
    words = _WORDED.fullmatch(text) if text else None
    if words is None or not any(words.groups()):
        raise ValueError(f"{text[:64]!r} is no duration such as 90, 90.5 or 00:01:30")
    hours, minutes, seconds = (int(one or 0) for one in words.groups())
    return (hours * 3600 + minutes * 60 + seconds) * 1000


# ---------------------------------------------------------------- times


def is_clock(text: str) -> bool:
    """A time of day alone."""
    return _CLOCK.fullmatch(text) is not None


def moment(text: str, *, zone: str, month_first: bool = False) -> Micros:
    """`zone`: of times that name none. Raises ValueError with a sentence."""
    at = parse_time(text) if text[-1:] == "Z" else None
    if at is None:
        number = _UNIX.fullmatch(text)
        at = _unix(number) if number else _written(text, zone, month_first)
    if at is None or not EARLIEST <= at < LATEST:
        raise ValueError(f"{text[:64]!r} is no time such as 2026-06-01T09:00:00Z or 2026-06-01 12:00:00")
    return at


def _unix(found: re.Match[str]) -> Micros:
    """Seconds, milliseconds or microseconds since 1970: their size tells them apart."""
    if found[1]:
        return int(found[1]) * 1_000_000 + int((found[2] or "0").ljust(6, "0")[:6])
    return int(found[3]) * 1000 if found[3] else int(found[4])


def _written(text: str, zone: str, month_first: bool) -> Micros | None:
    zoned = _ZONED.fullmatch(text)
    bare, offset = (zoned[1], zoned[2]) if zoned else (text, "")
    parts = _parts(bare, month_first)
    if parts is None:
        return None
    at = _instant(parts, ("Africa/Nairobi" if offset == "EAT" else "UTC") if offset else zone)
    return at if at is None or offset[:1] not in ("+", "-") else at - _offset(offset)


def _offset(text: str) -> int:
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return (minutes if text[0] == "+" else -minutes) * 60_000_000


Parts = tuple[int, int, int, int, int, int, int]


def _parts(text: str, month_first: bool) -> Parts | None:
    """Year, month, day, hour, minute, second, microsecond."""
    if found := _ISO.fullmatch(text):
        return _with_hour(int(found[1]), int(found[2]), int(found[3]), found)
    if found := _DAYS.fullmatch(text):
        day, month = (found[2], found[1]) if month_first else (found[1], found[2])
        return _with_hour(int(found[3]), int(month), int(day), found)
    if found := _NAMED.fullmatch(text):
        return _with_hour(int(found[3]), _month(found[2]), int(found[1]), found)
    if found := _NAMED_FIRST.fullmatch(text):
        return _with_hour(int(found[3]), _month(found[1]), int(found[2]), found)
    if found := _COMPACT.fullmatch(text):
        year, month, day, hour, minute, second = map(int, found.groups())
        return year, month, day, hour, minute, second, 0
    return None


def _month(text: str) -> int:
    word = text[:3].lower()
    return _MONTHS.index(word) + 1 if word in _MONTHS else 0


def _with_hour(year: int, month: int, day: int, found: re.Match[str]) -> Parts:
    hour = int(found[4] or 0)
    half = (found[8] or "")[:1].lower()
    if half:
        hour = hour % 12 + (12 if half == "p" else 0) if 1 <= hour <= 12 else 99
    return year, month, day, hour, int(found[5] or 0), int(found[6] or 0), int((found[7] or "0").ljust(6, "0")[:6])


def _instant(parts: Parts, zone: str) -> Micros | None:
    try:
        return (datetime(*parts, tzinfo=_zone(zone)) - EPOCH) // MICRO
    except (ValueError, OverflowError, KeyError):
        return None
