"""Who takes part in a call, in one writing: E.164 where a text can be read as a phone number, otherwise the text itself.

A party is a phone number in any writing, a short or service code (`40345`, `*100#`), a `sip:` URI, an address `user@host`,
or a word for a caller who is not shown (`anonymous`). Country codes are ISO 3166 (`KE`): they say what a national writing means.
"""

from __future__ import annotations

import re
from functools import lru_cache

LONGEST = 256
UNSHOWN = frozenset({"anonymous", "unknown", "restricted", "private", "unavailable", "withheld"})

_E164 = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)
_PHONE = re.compile(r"[+\uff0b]?[\d\s().\-/\u2010-\u2015\u2212\u00b7]*\d[\d\s().\-/\u2010-\u2015\u2212\u00b7]*")
_CODE = re.compile(r"[*#\d][*#\d\s.\-]*", re.ASCII)
_SEPARATORS = re.compile(r"[\s.\-]+")
_ADDRESS = re.compile(r"(?:sips?:[^\s\0]+|[^\s\0@]+@[^\s\0@]+)", re.IGNORECASE)


def normalise(text: str, country: str) -> str:
    """`text` in the one writing that is stored and searched; what is no number stays as it is, stripped, at most 256 characters."""
    return text if _E164.fullmatch(text) else _slowly(text[: 4 * LONGEST].strip()[:LONGEST], country)


def readable(text: str, country: str) -> str | None:
    """`normalise(text)` where it is a party at all, None where it is not (`nobody`)."""
    one = normalise(text, country)
    if _E164.fullmatch(one) or one in UNSHOWN or _CODE.fullmatch(one) or _ADDRESS.fullmatch(one):
        return one
    return None


@lru_cache(maxsize=4096)
def calling_code(number: str) -> str | None:
    """`+254` of a number that begins so, however little of it is given; None where no country has such a code."""
    import phonenumbers

    found = next(
        (number[:n] for n in (2, 3, 4) if number[1:n].isdigit() and int(number[1:n]) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE), None
    )
    return found if number.startswith("+") else None


@lru_cache(maxsize=65_536)
def _slowly(text: str, country: str) -> str:
    bare = text[4:].strip() if text[:4].lower() == "tel:" else text
    if _PHONE.fullmatch(bare):
        number = _number(bare, country)
        if number:
            return number
    if _CODE.fullmatch(bare):
        return _SEPARATORS.sub("", bare)
    return text.lower() if text.lower() in UNSHOWN else text


def _number(text: str, country: str) -> str | None:
    """E.164 of a number: as the country dials it, then as one from abroad without its plus."""
    national = _parsed(text, country, trusted=text.startswith(("+", "\uff0b", "0")))
    if national or text.startswith(("+", "\uff0b")):
        return national
    digits = re.sub(r"\D+", "", text)
    abroad = _parsed("+" + digits.removeprefix("00"), country, trusted=False)
    return abroad or _parsed("+" + digits, country, trusted=_begins_with_code_of(digits, country))


def _parsed(text: str, country: str, *, trusted: bool) -> str | None:
    """E.164 where the number is valid, or (`trusted`: written with a plus or a trunk prefix) at least of a possible length."""
    import phonenumbers  # here, for its tables cost 30 ms and 10 MB, and most texts are E.164 already

    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None
    possible = phonenumbers.is_possible_number_with_reason(number) == phonenumbers.ValidationResult.IS_POSSIBLE
    if not (phonenumbers.is_valid_number(number) or (trusted and possible and not number.italian_leading_zero)):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _begins_with_code_of(digits: str, country: str) -> bool:
    import phonenumbers

    code = phonenumbers.country_code_for_region(country)
    return bool(code) and digits.startswith(str(code))
