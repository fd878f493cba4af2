"""What a client has already and what it still wants: If-None-Match, Range and If-Range (RFC 9110), for one range of bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

_ONE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*$", re.ASCII | re.IGNORECASE)
_TAG = re.compile(r'(?:W/)?("[^"]*")')


class Part(msgspec.Struct, frozen=True):
    """Bytes `first` to `last`, both included; `last` None: to the end; `first` None: the last so many."""

    first: int | None
    last: int | None

    def within(self, size: int) -> tuple[int, int] | None:
        """(first byte, the one after the last) of a file of that size; None where it has none of them."""
        if self.first is None:
            first, end = max(0, size - (self.last or 0)), size
        else:
            first, end = self.first, size if self.last is None else min(size, self.last + 1)
        return (first, end) if first < end else None


def wanted(headers: Mapping[str, str], etag: str) -> Part | None:
    """The part asked for; None: all of it. What is not understood, or is of other bytes than those of `etag`, asks for all."""
    found = _ONE.match(headers.get("range", "").strip())
    if found is None or headers.get("if-range", etag).strip() != etag:
        return None
    first, last = (int(one) if one else None for one in found.groups())
    backwards = first is not None and last is not None and last < first
    return None if backwards or (first is None and last is None) else Part(first, last)


def has_it(headers: Mapping[str, str], etag: str) -> bool:
    """The client has these bytes already: 304."""
    given = headers.get("if-none-match", "").strip()
    return given == "*" or etag in _TAG.findall(given)
