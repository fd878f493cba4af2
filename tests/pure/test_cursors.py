"""A cursor comes back as it went out, and whatever else is sent in its place is refused."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cursors import Place, decode, encode, filters_digest
from runtime.problems import Refused

DIGEST = filters_digest("default", {"caller": "+254712345678"})
MICROS = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)


@given(MICROS, st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=80))
def test_a_cursor_comes_back(at: int, identity: str) -> None:
    place = Place(at, identity, DIGEST)
    text = encode(place)
    assert decode(text, DIGEST) == place
    assert text.replace("-", "").replace("_", "").isalnum()


def test_other_filters_and_other_tenants_have_other_digests() -> None:
    one = filters_digest("default", {"a": "1"})
    assert one != filters_digest("other", {"a": "1"})
    assert one != filters_digest("default", {"a": "2"})
    with pytest.raises(Refused, match="other filters"):
        decode(encode(Place(0, "x", one)), DIGEST)


def sent(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


@pytest.mark.parametrize("text", [
    "", "';drop", "x", "\u00e9", "=" * 8, "A" * 5000, sent(b"[]"), sent(b'[1,"a"]'), sent(b'["1","a","b"]'), sent(b'[1,"a","b","c"]'),
    sent(b'[99999999999999999999999,"a","b"]'), sent(f'[{2**62},"a","{DIGEST}"]'.encode()), sent(b"[" * 3000), sent(b'{"at":1}'),
    sent(f'[1,"a\\u0000","{DIGEST}"]'.encode()), sent(b"\xff"), encode(Place(0, "x", DIGEST)) + "!", "\ud800",
])  # fmt: skip
def test_anything_else_is_refused_and_named(text: str) -> None:
    with pytest.raises(Refused) as refused:
        decode(text, DIGEST)
    assert refused.value.status == 422
    assert refused.value.errors[0]["field"] == "cursor"


@given(st.text(max_size=60) | st.binary(max_size=60).map(sent))
def test_no_text_makes_it_fail(text: str) -> None:
    with pytest.raises(Refused):
        decode(text, DIGEST)
