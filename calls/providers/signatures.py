"""Is this delivery really from whom it says? HMAC-SHA256 over the raw bytes, as each sender computes it.

Sautikit signs the body, a dot and the time (`t=…,v1=…`), or the bare body; MiniVoice the time, a dot and the body; neutral
senders the standard-webhooks way. Every secret is tried and every comparison takes the same time. A verdict that says no
says why in one sentence, and never shows a secret or the signature that would have been right.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping

from calls.providers.interface import Verdict

Headers = Mapping[str, str]
WINDOW_S = 300
LONGEST_HEADER = 4_096
MOST_SIGNATURES = 16

_SHOWN = {
    "x-sautikit-signature": "X-Sautikit-Signature",
    "x-minivoice-timestamp": "X-MiniVoice-Timestamp",
    "x-minivoice-signature": "X-MiniVoice-Signature",
}
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_TIME = re.compile(r"[0-9]{1,12}")
_MESSAGE_ID = re.compile(r"[\x21-\x7e]{1,256}")


def hex_digest(secret: str, message: bytes) -> str:
    """HMAC-SHA256 in lower-case hex; the secret is the UTF-8 text itself, `whsec_` included."""
    return hmac.digest(_bytes(secret), message, "sha256").hex()


def verify_sautikit(body: bytes, headers: Headers, secrets: list[str], now: int) -> Verdict:
    """`X-Sautikit-Signature`: `t=<unix s>,v1=<hex>` over body + "." + t, or 64 hex over the body (then `how` is `bare`)."""
    given = _header(headers, "x-sautikit-signature")
    if isinstance(given, Verdict):
        return given
    if _HEX.fullmatch(given):
        return _matched([given], [hex_digest(secret, body) for secret in secrets], "bare")
    parts = _parts(given)
    if parts is None:
        return Verdict(ok=False, how="the X-Sautikit-Signature header is neither t=…,v1=… nor 64 hex digits")
    stamp, signatures = parts
    late = _outside(int(stamp), now)
    if late:
        return late
    message = b"%b.%b" % (body, stamp.encode())
    return _matched(signatures, [hex_digest(secret, message) for secret in secrets], "verified")


def sign_sautikit(body: bytes, secret: str, at: int, message_id: str) -> dict[str, str]:
    """The header of a delivery sent at `at` (unix seconds)."""
    return {"X-Sautikit-Signature": f"t={at},v1={hex_digest(secret, b'%b.%d' % (body, at))}"}


def verify_minivoice(body: bytes, headers: Headers, secrets: list[str], now: int) -> Verdict:
    """`X-MiniVoice-Timestamp` (unix seconds) and `X-MiniVoice-Signature: v1=<hex>` over the timestamp + "." + body."""
    stamp, given = _header(headers, "x-minivoice-timestamp"), _header(headers, "x-minivoice-signature")
    if isinstance(stamp, Verdict):
        return stamp
    if isinstance(given, Verdict):
        return given
    if not _TIME.fullmatch(stamp):
        return Verdict(ok=False, how="the X-MiniVoice-Timestamp header is no time in unix seconds")
    signatures = _versions(given.split(","))
    if not signatures:
        return Verdict(ok=False, how="the X-MiniVoice-Signature header holds no v1=… of 64 hex digits")
    late = _outside(int(stamp), now)
    if late:
        return late
    message = b"%b.%b" % (stamp.encode(), body)
    return _matched(signatures, [hex_digest(secret, message) for secret in secrets], "verified")


def sign_minivoice(body: bytes, secret: str, at: int, message_id: str) -> dict[str, str]:
    """The headers of a delivery sent at `at` (unix seconds)."""
    digest = hex_digest(secret, b"%d.%b" % (at, body))
    return {"X-MiniVoice-Timestamp": str(at), "X-MiniVoice-Signature": f"v1={digest}"}


def verify_token(body: bytes, headers: Headers, secrets: list[str], now: int) -> Verdict:
    """For senders that do not sign: the address that we handed out carries a token, which the receiver passes as a header."""
    given = _header(headers, "x-safiri-token")
    if isinstance(given, Verdict):
        return Verdict(ok=False, how="the address lacks its token, and this provider does not sign its deliveries")
    if not _HEX.fullmatch(given):
        return Verdict(ok=False, how="the token in the address is not 64 hex digits")
    return _matched([given], [token(secret) for secret in secrets], "bare", what="token")


def sign_token(body: bytes, secret: str, at: int, message_id: str) -> dict[str, str]:
    """The header that stands for the token of the address."""
    return {"X-Safiri-Token": token(secret)}


def token(secret: str) -> str:
    """The token of an account's delivery address: 64 hex digits."""
    return hex_digest(secret, b"hook")


def verify_standard(body: bytes, headers: Headers, secrets: list[str], now: int) -> Verdict:
    """standard-webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,<base64> …` over id.timestamp.body."""
    found = [_header(headers, name) for name in ("webhook-id", "webhook-timestamp", "webhook-signature")]
    for value in found:
        if isinstance(value, Verdict):
            return value
    message_id, stamp, given = (str(value) for value in found)
    if not _TIME.fullmatch(stamp):
        return Verdict(ok=False, how="the webhook-timestamp header is no time in unix seconds")
    if not _MESSAGE_ID.fullmatch(message_id):
        return Verdict(ok=False, how="the webhook-id header is no id of at most 256 visible characters")
    late = _outside(int(stamp), now)
    if late:
        return late
    signatures = [one[3:] for one in given.split(" ")[:MOST_SIGNATURES] if one.startswith("v1,") and one.isascii()]
    return _matched(signatures, [_standard(body, secret, stamp, message_id) for secret in secrets], "verified")


def sign_standard(body: bytes, secret: str, at: int, message_id: str) -> dict[str, str]:
    """The headers of a delivery sent at `at` (unix seconds) under `message_id`."""
    signature = f"v1,{_standard(body, secret, str(at), message_id)}"
    return {"webhook-id": message_id, "webhook-timestamp": str(at), "webhook-signature": signature}


def _standard(body: bytes, secret: str, stamp: str, message_id: str) -> str:
    message = b"%b.%b.%b" % (message_id.encode(), stamp.encode(), body)
    return base64.b64encode(hmac.digest(_standard_key(secret), message, "sha256")).decode()


def _standard_key(secret: str) -> bytes:
    """`whsec_` + base64, or where it is not that, the text itself."""
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret[6:], validate=True)
        except (binascii.Error, ValueError):
            pass
    return _bytes(secret)


def _bytes(secret: str) -> bytes:
    return secret.encode("utf-8", "surrogatepass")


def _header(headers: Headers, name: str) -> str | Verdict:
    value = headers.get(name, "").strip()
    if not value:
        return Verdict(ok=False, how=f"no {_SHOWN.get(name, name)} header")
    if len(value) > LONGEST_HEADER:
        return Verdict(ok=False, how=f"the {_SHOWN.get(name, name)} header is longer than {LONGEST_HEADER} characters")
    return value


def _parts(given: str) -> tuple[str, list[str]] | None:
    """(t, every v1) of `t=…,v1=…` in any order; None unless there is exactly one t and at least one v1."""
    pairs = [pair.strip() for pair in given.split(",")]
    stamps = [pair[2:] for pair in pairs if pair.startswith("t=")]
    signatures = _versions(pairs)
    if len(stamps) != 1 or not _TIME.fullmatch(stamps[0]) or not signatures:
        return None
    return stamps[0], signatures


def _versions(pairs: list[str]) -> list[str]:
    found = [pair.strip()[3:] for pair in pairs if pair.strip().startswith("v1=")]
    return [one for one in found[:MOST_SIGNATURES] if _HEX.fullmatch(one)]


def _outside(stamp: int, now: int) -> Verdict | None:
    age = now - stamp
    if age > WINDOW_S:
        return Verdict(ok=False, how=f"the signature is {age} s old, more than {WINDOW_S} s")
    if age < -WINDOW_S:
        return Verdict(ok=False, how=f"the signature is {-age} s in the future, more than {WINDOW_S} s")
    return None


def _matched(given: list[str], right: list[str], how: str, *, what: str = "signature") -> Verdict:
    """Every pair is compared, whatever the earlier ones said: the time taken tells nothing."""
    if not right:
        return Verdict(ok=False, how="this account has no signing secret")
    found = False
    for one in given:
        # Hex may come in capitals; base64 (standard-webhooks) has 44 characters and is compared as it is.
        shape = one.lower() if len(one) == 64 else one
        for other in right:
            found |= hmac.compare_digest(shape.encode(), other.encode())
    return Verdict(ok=True, how=how) if found else Verdict(ok=False, how=f"the {what} matches none of this account's secrets")
