"""Signatures: what is taken, what is refused, and that nothing but the right one is taken."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from calls.providers import PROVIDERS
from calls.providers.interface import Verdict
from runtime.settings import UNSIGNED

NOW = 1_788_249_600
BODY = b'{"kind":"call.started","data":{"call_id":"c-1"}}'
SECRET = "whsec_dGVzdA=="
ALL = pytest.mark.parametrize("name", PROVIDERS)


def verify(name: str, headers: dict[str, str], body: bytes = BODY, secrets: list[str] | None = None, now: int = NOW) -> Verdict:
    lower = {key.lower(): value for key, value in headers.items()}
    return PROVIDERS[name].verify(body, lower, [SECRET] if secrets is None else secrets, now)


def sign(name: str, body: bytes = BODY, secret: str = SECRET, at: int = NOW) -> dict[str, str]:
    return PROVIDERS[name].sign(body, secret, at, "msg_1")


def hexed(message: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


# ---------------------------------------------------------------- as the vendors write it


def test_sautikit_signs_the_body_then_the_time() -> None:
    right = hexed(BODY + b".%d" % NOW)
    assert sign("sautikit") == {"X-Sautikit-Signature": f"t={NOW},v1={right}"}
    for header in (
        f"t={NOW},v1={right}",
        f"v1={right},t={NOW}",
        f"t={NOW}, v0=00, v1={'0' * 64}, v1={right}, v2=zz",
        f"t={NOW},v1={right.upper()}",
    ):
        assert verify("sautikit", {"X-Sautikit-Signature": header}) == Verdict(ok=True, how="verified")
    swapped = hexed(b"%d." % NOW + BODY)
    assert not verify("sautikit", {"X-Sautikit-Signature": f"t={NOW},v1={swapped}"}).ok


def test_sautikit_may_sign_the_bare_body() -> None:
    assert verify("sautikit", {"X-Sautikit-Signature": hexed(BODY)}) == Verdict(ok=True, how="bare")
    assert not verify("sautikit", {"X-Sautikit-Signature": hexed(BODY, "other")}).ok
    assert not verify("sautikit", {"X-Sautikit-Signature": f"t={NOW},v1={hexed(BODY)}"}).ok, (
        "a bare digest under a time is no signature of that time"
    )


def test_minivoice_signs_the_time_then_the_body() -> None:
    right = hexed(b"%d." % NOW + BODY)
    assert sign("minivoice") == {"X-MiniVoice-Timestamp": str(NOW), "X-MiniVoice-Signature": f"v1={right}"}
    assert verify("minivoice", sign("minivoice")).how == "verified"
    swapped = hexed(BODY + b".%d" % NOW)
    assert not verify("minivoice", {"X-MiniVoice-Timestamp": str(NOW), "X-MiniVoice-Signature": f"v1={swapped}"}).ok


def test_neutral_is_signed_the_standard_webhooks_way() -> None:
    key = base64.b64decode("dGVzdA==")
    right = base64.b64encode(hmac.new(key, b"msg_1.%d." % NOW + BODY, hashlib.sha256).digest()).decode()
    assert sign("neutral") == {"webhook-id": "msg_1", "webhook-timestamp": str(NOW), "webhook-signature": f"v1,{right}"}
    assert verify("neutral", sign("neutral") | {"webhook-signature": f"v1a,xx v1,{'A' * 44} v1,{right}"}).ok
    assert not verify("neutral", sign("neutral") | {"webhook-id": "msg_2"}).ok
    assert verify("neutral", sign("neutral", secret="neutral_secret"), secrets=["neutral_secret"]).ok
    assert verify("neutral", sign("neutral", secret="whsec_no base64!"), secrets=["whsec_no base64!"]).ok


def test_africastalking_is_known_by_the_token_of_its_address() -> None:
    assert sign("africastalking") == {"X-Safiri-Token": hexed(b"hook")}
    assert verify("africastalking", sign("africastalking"), body=b"any").ok
    assert not verify("africastalking", {"X-Safiri-Token": hexed(b"hook", "other")}).ok
    assert "token" in verify("africastalking", {}).how


# ---------------------------------------------------------------- for all of them


@ALL
def test_every_secret_counts_while_they_rotate(name: str) -> None:
    for secret in ("old", "new"):
        assert verify(name, sign(name, secret=secret), secrets=["old", "new"]).ok
    assert not verify(name, sign(name, secret="older"), secrets=["old", "new"]).ok
    assert verify(name, sign(name), secrets=[]) == Verdict(ok=False, how="this account has no signing secret")


@pytest.mark.parametrize("name", ["sautikit", "minivoice", "neutral"])
@pytest.mark.parametrize(("age", "ok"), [(0, True), (300, True), (301, False), (-300, True), (-301, False), (10**11, False)])
def test_the_window_is_five_minutes_both_ways(name: str, age: int, ok: bool) -> None:
    verdict = verify(name, sign(name, at=NOW), now=NOW + age)
    assert verdict.ok is ok
    if not ok:
        assert f"{abs(age)} s" in verdict.how
        assert "300 s" in verdict.how


BROKEN = [
    "",
    " ",
    ",",
    "t=",
    "v1=",
    "t=1",
    f"t={NOW}",
    "v1=" + "0" * 64,
    f"t={NOW},v1=",
    f"t={NOW},v1=zz",
    f"t={NOW},t={NOW},v1=" + "0" * 64,
]
BROKEN += [
    "t=１７,v1=" + "0" * 64,
    "t=-5,v1=" + "0" * 64,
    "t=1e9,v1=" + "0" * 64,
    "é" * 64,
    "٠" * 64,
    "0" * 63,
    "0" * 65,
    "\ud800" * 64,
    "v1," + "\ud800",
]
BROKEN += [
    "t=" + "9" * 5_000 + ",v1=" + "0" * 64,
    "v1=" + "0" * 64 + ",v1=" + "0" * 64,
    f"T={NOW},V1=" + "0" * 64,
    "v1=0," * 100_000,
    "\x00",
    "v1," + "A" * 44,
]


@ALL
@pytest.mark.parametrize("value", BROKEN)
def test_a_broken_header_is_a_clean_no(name: str, value: str) -> None:
    right = sign(name)
    for header in right:
        verdict = verify(name, right | {header: value})
        assert not verdict.ok
        assert verdict.how
        assert len(verdict.how) < 200


@ALL
def test_each_missing_header_is_named(name: str) -> None:
    right = sign(name)
    for header in right:
        verdict = verify(name, {key: value for key, value in right.items() if key != header})
        assert not verdict.ok
        assert header in verdict.how or "token" in verdict.how


@ALL
@settings(max_examples=60, deadline=None)
@given(body=st.binary(max_size=80), place=st.integers(0), other=st.text(max_size=20), secret=st.text(max_size=20))
def test_only_the_right_signature_is_taken(name: str, body: bytes, place: int, other: str, secret: str) -> None:
    assume(other != secret)
    right = sign(name, body, secret)
    assert verify(name, right, body, [secret]).ok
    wrong = verify(name, right, body, [other])
    # The standard reads `whsec_` + base64 as bytes, and HMAC fills a key up with zeros: two texts may be one key.
    assert not wrong.ok or other.rstrip("\0") == secret.rstrip("\0") or name == "neutral"
    if body and name not in UNSIGNED:
        place %= 8 * len(body)
        flipped = bytearray(body)
        flipped[place // 8] ^= 1 << place % 8
        assert not verify(name, right, bytes(flipped), [secret]).ok


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, 10_000), char=st.characters())
def test_no_changed_character_of_a_header_is_taken(place: int, char: str) -> None:
    for name in PROVIDERS:
        right = sign(name)
        for header, value in right.items():
            at = place % len(value)
            changed = value[:at] + char + value[at + 1 :]
            if changed.strip().lower() != value.lower():
                assert not verify(name, right | {header: changed}).ok, (name, header, changed)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=120), st.binary(max_size=20))
def test_no_text_makes_it_raise(value: str, body: bytes) -> None:
    for name in PROVIDERS:
        assert not verify(name, dict.fromkeys(sign(name), value), body).ok


@ALL
def test_a_verdict_never_tells_a_secret(name: str) -> None:
    secret = "s3cr3t-of-the-account"
    for headers in (sign(name, secret="x"), sign(name, secret=secret, at=NOW - 9_999), {}):
        verdict = verify(name, headers, b"other", [secret])
        assert secret not in verdict.how
        assert not any(value in verdict.how for value in sign(name, b"other", secret).values() if len(value) > 20)
