"""Tokens in addresses that we hand out: HMAC-SHA256 under the account's signing secrets, over what the address says.

An account without secrets has none: there the bare address is enough (its `signature` is then "none", or nothing gets in).
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

LENGTH = 32  # hex digits


def token(secrets: Sequence[str], *said: str) -> str:
    """The token of an address that says `said`, under the first secret; "" where there is none."""
    return _made(secrets[0], said) if secrets else ""


def genuine(given: str, secrets: Sequence[str], *said: str) -> bool:
    """Whether `given` is ours under any of the secrets (they rotate), in constant time."""
    found = [hmac.compare_digest(_made(secret, said).encode(), given.encode("utf-8", "replace")) for secret in secrets]
    return any(found)


def _made(secret: str, said: Sequence[str]) -> str:
    message = "\0".join(("safiri address", *said)).encode("utf-8", "surrogatepass")
    return hmac.digest(secret.encode(), message, "sha256").hex()[:LENGTH]
