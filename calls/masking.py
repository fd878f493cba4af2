"""Which digits of a body are a card number, and how they are made unreadable before anything is written anywhere.

A card number has 13 to 19 digits and passes Luhn's check, with or without separators, wherever it stands: in texts, numbers,
keys, form values and bodies that nobody can read, also behind JSON and percent escapes. A UUID is none, nor is a field that
the dialect knows as an id, a phone number or a time. Of a card all but the last four digits become `*`.
"""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import accumulate
from urllib.parse import unquote_plus

import msgspec

SHORTEST, LONGEST = 13, 19
# A longer run of digits and separators is no number that anybody wrote. It is hidden unread, for there is always a window in
# it that passes, and trying them all is what its sender may want of us.
LONGEST_RUN = 400

_DIGIT = r"(?:[0-9]|%3[0-9]|\\+u003[0-9])"
_SEPARATOR = r"(?:[ \-+.\xa0\x00]|\xc2\xa0|%20|%2[BDEbde]|%[Cc]2%[Aa]0|%[Aa]0|\\+u00(?:20|2[BDEbde]|[Aa]0))"
_RUN = re.compile(f"{_DIGIT}(?:{_SEPARATOR}{{0,3}}+{_DIGIT}){{12,}}+")
_ANY_DIGIT = re.compile(_DIGIT)
_ONE = re.compile(f"({_SEPARATOR}*)({_DIGIT})")
_UUID = re.compile(r"(?<![0-9A-Za-z])([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})(?![0-9A-Za-z])")
_TOKEN = re.compile(r'("(?:[^"\\]++|\\.)*+")(\s*+:)?|(-?[0-9][0-9.eE+\-]*)|([{}])')

# The quick look: every digit becomes 0 and separators go, so a run of 13 zeros is what a card would leave.
_CLASSES = bytes(48 if 48 <= byte <= 57 else byte for byte in range(256))
_GONE = b" +.\x00\xa0\xc2"
_ZEROS = b"0" * SHORTEST
_PLAIN_UUID = b"00000000-0000-0000-0000-000000000000"
_ESCAPES = (b"%20", b"%2B", b"%2b", b"%2D", b"%2d", b"%2E", b"%2e", b"%A0", b"%a0", b"%C2", b"%c2")
_ESCAPED_DIGIT = re.compile(rb"%3[0-9]")
# Digits, separators and the percent sign as JSON may write them. Other escapes (`\u0026`, `\u00e9`) are common and harmless.
_ESCAPED_JSON = re.compile(rb"\\u00(?:3[0-9]|2[05BDEbde]|[Aa]0)")
_decode = msgspec.json.Decoder().decode
_decode_text = msgspec.json.Decoder(str).decode


def mask(body: bytes, content_type: str, exempt: frozenset[str]) -> bytes:
    """`body` without card numbers; the very same object where it has none. `exempt`: lower-case names of fields left as they are."""
    escaped = b"\\u00" in body and _ESCAPED_JSON.search(body) is not None
    if not escaped and (_is_plain(body) or not _suspect(body.decode("latin-1"))):
        return body
    return _masked(body, content_type, exempt)


def _is_plain(body: bytes) -> bool:
    """A look of one or two microseconds: no run of 13 digits at all, whatever stands between them, but for UUIDs."""
    if b"%" in body:
        if _ESCAPED_DIGIT.search(body):
            return False
        for escape in _ESCAPES:
            body = body.replace(escape, b"")
    rest = body.translate(_CLASSES, _GONE)
    if _ZEROS not in rest.replace(b"-", b""):
        return True
    # Twelve zeros for a UUID of digits only: alone they are too short, and with any digit beside them they are looked at.
    return _ZEROS not in rest.replace(_PLAIN_UUID, _ZEROS[1:]).replace(b"-", b"")


def mask_text(text: str) -> str:
    """The same of one text."""
    if not _RUN.search(text):
        return text
    pieces = _UUID.split(text)  # odd pieces are UUIDs
    pieces[::2] = [_RUN.sub(_mask_run, piece) for piece in pieces[::2]]
    return "".join(pieces)


def _suspect(text: str) -> bool:
    """Is there a card, or what looks like one, in any field at all?"""
    if not _RUN.search(text):
        return False
    return any(len(run[0]) > LONGEST_RUN or _cards(run[0]) for piece in _UUID.split(text)[::2] for run in _RUN.finditer(piece))


def _masked(body: bytes, content_type: str, exempt: frozenset[str]) -> bytes:
    try:
        _decode(body)
        text = _mask_json(body.decode(), exempt)
        return body if text is None else text.encode()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass  # no JSON: as a form where it is one, else as bytes in which anything may stand
    return _mask_unread(body, content_type, exempt)


def _mask_unread(body: bytes, content_type: str, exempt: frozenset[str]) -> bytes:
    plain = body.decode("latin-1")
    form = "form" in content_type or (b"=" in body and body[:64].lstrip()[:1] not in (b"{", b"["))
    text = "&".join(_mask_pair(pair, exempt) for pair in plain.split("&")) if form else mask_text(plain)
    return body if text == plain else text.encode("latin-1")


def _mask_pair(pair: str, exempt: frozenset[str]) -> str:
    name, equals, _ = pair.partition("=")
    if equals and unquote_plus(name).strip().lower() in exempt:
        return pair
    return mask_text(pair)


# ---------------------------------------------------------------- JSON, in place: what is no card stays as it was spelt


def _mask_json(text: str, exempt: frozenset[str]) -> str | None:
    """The masked document, None where there is nothing to mask. `text` is valid JSON."""
    out: list[str] = []
    done = 0
    name: str | None = None  # the field that the next value belongs to; an array's values belong to the array's
    outer: list[str | None] = []
    for token in _TOKEN.finditer(text):
        string, colon, number, brace = token.groups()
        if brace == "{":
            outer.append(name)
        elif brace:
            name = outer.pop()
        elif colon or name is None or name.lower() not in exempt:
            new = _mask_number(number) if number else _mask_string(string)
            if new is not None:
                out += (text[done : token.start()], new)
                done = token.end(3 if number else 1)
        if colon:
            name = _decode_text(string)
    return "".join([*out, text[done:]]) if out else None


def _mask_string(string: str) -> str | None:
    if "\\" not in string and not _RUN.search(string):
        return None
    text = _decode_text(string)
    new = mask_text(text)
    return None if new == text else msgspec.json.encode(new).decode()


def _mask_number(number: str) -> str | None:
    """A number that is a card becomes a text. Digits after a point are no card: a share or a score has as many."""
    whole = number.lstrip("-")
    if "e" in whole or "E" in whole:
        exact = Decimal(whole)
        if not SHORTEST - 1 <= exact.adjusted() < LONGEST or exact != exact.to_integral_value():
            return None
        whole = str(int(exact))
    new = mask_text(whole.partition(".")[0])
    return None if "*" not in new else f'"{new}"'


# ---------------------------------------------------------------- one run of digits


def _mask_run(run: re.Match[str]) -> str:
    """Until nothing changes: what is left of a run must not read as another card, or masking twice would differ from once."""
    text = run[0]
    while True:
        new = _RUN.sub(_mask_once, text)
        if new == text:
            return text
        text = new


def _mask_once(run: re.Match[str]) -> str:
    if len(run[0]) > LONGEST_RUN:
        return _ANY_DIGIT.sub("*", run[0][:-4]) + run[0][-4:]
    hidden = _cards(run[0])
    if not hidden:
        return run[0]
    return "".join(gap + ("*" if n in hidden else digit) for n, (gap, digit) in enumerate(_ONE.findall(run[0])))


def _cards(run: str) -> set[int]:
    """The indexes of the digits to hide. A card begins and ends where a group of digits does."""
    found = _ONE.findall(run)
    digits = [int(digit[-1]) for _, digit in found]
    edges = [n for n, (gap, _) in enumerate(found) if gap or n == 0] + [len(digits)]
    sums = _luhn_sums(digits)
    hidden: set[int] = set()
    for first, start in enumerate(edges[:-1]):
        for end in edges[first + 1 :]:
            if end - start > LONGEST:
                break
            if end - start >= SHORTEST and _is_card(digits, sums, start, end):
                hidden.update(range(start, end - 4))
        end = edges[first + 1]
        if end - start > 16 and _begins_with_card(digits, sums, start, end):
            hidden.update(range(start, end - 4))
    return hidden


def _begins_with_card(digits: list[int], sums: tuple[list[int], list[int]], start: int, end: int) -> bool:
    """A card with more typed right behind it (its expiry, its code): 16 digits of 2, 4, 5, 6, or 15 of 34, 37."""
    issuer = digits[start]
    if issuer in (2, 4, 5, 6):
        return _is_card(digits, sums, start, start + 16)
    return issuer == 3 and digits[start + 1] in (4, 7) and _is_card(digits, sums, start, start + 15)


def _luhn_sums(digits: list[int]) -> tuple[list[int], list[int]]:
    """Running sums with the digits at even and at odd places doubled: a window's check is then one subtraction."""
    twice = [2 * digit - 9 * (digit > 4) for digit in digits]
    even = accumulate((two if n % 2 == 0 else one for n, (one, two) in enumerate(zip(digits, twice, strict=True))), initial=0)
    odd = accumulate((two if n % 2 else one for n, (one, two) in enumerate(zip(digits, twice, strict=True))), initial=0)
    return list(even), list(odd)


def _is_card(digits: list[int], sums: tuple[list[int], list[int]], start: int, end: int) -> bool:
    """Luhn: the last digit counts once, the one before it twice, and so on; the sum is a multiple of ten. Zeros are no card."""
    chosen = sums[end % 2]  # the digit before the last stands at end - 2, whose parity is end's
    total = chosen[end] - chosen[start]
    return total > 0 and total % 10 == 0
