"""What a provider's file must say: how a delivery is signed, whose it is, and what it means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from calls.clock import Micros
from calls.envelope import StreamKind
from calls.events import Event
from calls.masking import mask


class NotUnderstood(Exception):
    """The body belongs to no call, agent or account that we could name: the delivery goes to quarantine, with this reason."""


class Delivered(msgspec.Struct, frozen=True, gc=False):
    """One delivery, as its receiver saw it. `headers` have lower-case names."""

    body: bytes
    content_type: str
    headers: Mapping[str, str]
    received_at: Micros
    account: str


class Identity(msgspec.Struct, frozen=True, gc=False):
    """Whose delivery it is. `event_id` is the sender's own, None where there is none (then its digest serves)."""

    kind: StreamKind
    stream: str
    event_id: str | None


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """`ok`, and `how`: verified | bare where it is, otherwise one sentence that says what is wrong."""

    ok: bool
    how: str


Verify: TypeAlias = Callable[[bytes, Mapping[str, str], list[str], int], Verdict]
"""(raw body, lower-case headers, secrets, unix seconds now) -> Verdict, in constant time."""
Sign: TypeAlias = Callable[[bytes, str, int, str], dict[str, str]]
"""(raw body, secret, unix seconds, message id) -> the headers that the provider would send."""


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's dialect. Nothing here raises but `identify` (NotUnderstood)."""

    name: str
    verify: Verify
    sign: Sign
    identify: Callable[[Delivered], Identity]
    parse: Callable[[Delivered], list[Event]]  # 1…n facts; what cannot be understood is one Unrecognised
    exempt: frozenset[str]  # field names (lower case) that are ids, phone numbers or times: never masked as cards
    sid_rank: Callable[[str], int]  # 0 = the id by which a call is known; more = an alias
    ends: frozenset[str] = frozenset({"call.ended", "call.failed"})  # types one of which a complete call must have
    starts: frozenset[str] = frozenset({"call.started"})  # likewise for its beginning
    mask: Callable[[bytes, str, frozenset[str]], bytes] = mask  # (body, content type, exempt) -> the body without card numbers
    line_type: str = "application/json"  # content type of a bare line of a file
    kept_headers: frozenset[str] = frozenset()  # header names (lower case) that belong to the delivery's meaning
