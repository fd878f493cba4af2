"""Where a list goes on: the last row's place and the filters it belongs to, as opaque text. From outside it is data, never SQL."""

from __future__ import annotations

import base64
import binascii
import hashlib

import msgspec

from calls.clock import Micros, to_datetime
from runtime.problems import Refused, invalid

LONGEST = 2048


class Place(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """After this row: its sort time in µs, its id, and the digest of the filters."""

    at: Micros
    id: str
    filters: str


def filters_digest(tenant: str, filters: object) -> str:
    """Names a set of filters. `filters`: anything JSON can say, its order fixed by the caller."""
    return hashlib.blake2b(msgspec.json.encode([tenant, filters]), digest_size=9).hexdigest()


def encode(place: Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def decode(text: str, filters: str) -> Place:
    """Refused 422 where `text` is no cursor of ours or belongs to other filters."""
    try:
        if len(text) > LONGEST:
            raise ValueError
        padded = text + "=" * (-len(text) % 4)
        place = msgspec.json.decode(base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True), type=Place)
        to_datetime(place.at)
    except (ValueError, OverflowError, binascii.Error, msgspec.MsgspecError):
        raise unusable() from None
    if "\0" in place.id:
        raise unusable()
    if place.filters != filters:
        raise invalid("cursor", "this cursor belongs to other filters: repeat the filters of the page it came with")
    return place


def unusable() -> Refused:
    return invalid("cursor", "this is no cursor of ours: take next_cursor as it came, or leave cursor out for the first page")
