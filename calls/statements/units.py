"""What unit a column's name declares: `Cost (KES)`, `amount_kes_millicents`, `duration_ms`, `Start Time (UTC)`.

A name without a unit means whole currency, seconds, and local time. A unit that is written but not known is refused: an amount read in
the wrong one is wrong by a hundred.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import msgspec

Money: TypeAlias = Literal["major", "minor", "millicents"]
Measure: TypeAlias = Literal["money", "rate", "duration", "time", "none"]

_CODES = "KES UGX TZS RWF BIF ETB SOS SSP DJF ZAR NGN GHS XOF XAF ZMW MWK MZN BWP NAD EGP MAD USD EUR GBP CHF INR AED JPY CNY"
CURRENCIES: dict[str, str] = {code.lower(): code for code in _CODES.split()} | {"ksh": "KES", "kshs": "KES", "ush": "UGX", "tsh": "TZS"}
WITHOUT_MINOR = frozenset({"UGX", "RWF", "BIF", "DJF", "XOF", "XAF", "JPY"})
_MONEY: dict[str, Money] = {
    **dict.fromkeys(("millicents", "millicent"), "millicents"), **dict.fromkeys(("minor", "minorunits", "cents", "cent"), "minor"),
    **dict.fromkeys(("major", "majorunits", "shillings", "shilling"), "major"),
}  # fmt: skip
_MS: dict[str, int] = {
    **dict.fromkeys(("ms", "msec", "msecs", "millis", "milliseconds"), 1), **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1000),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60_000), **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3_600_000),
}  # fmt: skip
_ZONES = {"utc": "UTC", "gmt": "UTC", "z": "UTC", "eat": "Africa/Nairobi"}
_CLOCKS = frozenset({"unix", "epoch", "timestamp"})  # the number itself says whether it is seconds
_SILENT: dict[Measure, frozenset[str]] = {
    "money": frozenset({"in", "units", "unit"}),
    "rate": frozenset({"in", "units", "unit", "per"}),
    "duration": frozenset({"in", "hh", "mm", "ss"}),
    "time": frozenset({"local", "time", "hh", "ss", "yyyy", "yy", "dd", "iso", "rfc"}),
    "none": frozenset(),
}
_WORDS = re.compile(r"[a-z]+")
SUFFIXES = tuple(sorted({*_MONEY, *CURRENCIES, *_MS, *_ZONES, *_CLOCKS, "in", "per"}, key=lambda word: (-len(word), word)))


class Unit(msgspec.Struct, frozen=True):
    """What numbers and times of one column are in. `ms`: of one; `per_ms`: what a rate is for."""

    money: Money = "major"
    currency: str | None = None
    ms: int = 1000
    per_ms: int = 60_000
    zone: str | None = None
    month_first: bool = False


PLAIN = Unit()


def unit_of(measure: Measure, words: list[str]) -> Unit | None:
    """The unit that these words declare for such a column, None where one of them is no unit of it."""
    unit = PLAIN
    for word in words:
        told = _read(measure, word)
        if told is not None:
            unit = msgspec.structs.replace(unit, **told)
        elif word not in _SILENT[measure] and word != "mm":
            return None
    days = [word for word in words if word in ("dd", "mm")]
    return msgspec.structs.replace(unit, month_first=True) if measure == "time" and days[:2] == ["mm", "dd"] else unit


def _read(measure: Measure, word: str) -> dict[str, str | int] | None:
    if measure in ("money", "rate") and word in _MONEY:
        return {"money": _MONEY[word]}
    if measure in ("money", "rate") and word in CURRENCIES:
        return {"currency": CURRENCIES[word]}
    if measure in ("duration", "rate") and word in _MS:
        return {"ms" if measure == "duration" else "per_ms": _MS[word]}
    if measure == "time" and word in _ZONES:
        return {"zone": _ZONES[word]}
    return {} if measure == "time" and (word in _CLOCKS or word in _MS) else None


def words_of(text: str) -> list[str]:
    """The words of what stands in parentheses."""
    return _WORDS.findall(text.lower())
