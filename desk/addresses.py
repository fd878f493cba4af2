"""The addresses that we hand out for calls of our own: each says what it is for and carries our token."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from runtime.settings import Settings
from runtime.tokens import token


def offer_address(settings: Settings, public: str, *, account: str, offer: str, call_sid: str) -> str:
    """What an agent's own call asks when it is answered; `call_sid` is the waiting caller's."""
    made = token(secrets_of(settings, account), "offer", account, offer, call_sid)
    return _address(public, f"~offer/{account}", o=offer, c=call_sid, k=made)


def order_address(settings: Settings, public: str, *, account: str, order: str) -> str:
    """What a call placed by POST /v1/calls asks when it is answered."""
    return _address(public, f"~order/{account}", o=order, k=token(secrets_of(settings, account), "order", account, order))


def secrets_of(settings: Settings, account: str) -> list[str]:
    return [secret.get_secret_value() for secret in settings.accounts[account].signing_secrets]


def _address(public: str, path: str, **said: str) -> str:
    known = {name: value for name, value in said.items() if value}
    return f"{public.rstrip('/')}/voice/{quote(path, safe='/~')}?{urlencode(known)}"
