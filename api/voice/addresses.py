"""The addresses that we hand out in answers, and whether one that comes back is ours.

Providers do not sign every request that they make to such an address, so each carries a token over what it says: the step and
the visit, the call, an offer or an order. An account without signing secrets has no tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote, urlencode

from runtime import tokens

OURS = frozenset({"v", "r", "c", "o", "s", "k", "e"})  # the names in our queries
MOST = 1_000_000  # visits and tries


class Place(NamedTuple):
    """What the query of an address of ours says, as far as it can be believed."""

    visit: int | None = None
    tries: int | None = None
    call_sid: str = ""
    given: str = ""  # an offer's or an order's id


class Addresses:
    """Of one account: `public` is where providers reach us (http…), without a slash at its end."""

    def __init__(self, public: str, secrets: Sequence[str]):
        self.public, self.secrets = public.rstrip("/"), secrets
        self.socket = "ws" + self.public[4:] if self.public.startswith("http") else self.public

    def step(self, flow: str, step: str, *, visit: int, tries: int, call_sid: str) -> str:
        """Where the call goes on after the answer that contains this address."""
        made = tokens.token(self.secrets, "step", flow, step, str(visit), str(tries), call_sid)
        return f"{self.public}/voice/{quote(flow)}/{quote(step)}?v={visit}&r={tries}&c={quote(call_sid)}" + (f"&k={made}" if made else "")

    def events(self, flow: str, call_sid: str) -> str:
        """For status callbacks."""
        return self._with(f"/voice/{quote(flow)}/events", tokens.token(self.secrets, "events", flow, call_sid), c=call_sid)

    def audio(self, flow: str, step: str, call_sid: str) -> str:
        """The audio socket of a bot."""
        made = tokens.token(self.secrets, "audio", flow, call_sid, step)
        return self.socket + self._with(f"/audio/{quote(flow)}", made, c=call_sid, s=step)[len(self.public) :]

    def offer(self, account: str, offer: str, call_sid: str) -> str:
        """What the call of an agent who is rung asks; `call_sid` is the caller's."""
        made = tokens.token(self.secrets, "offer", account, offer, call_sid)
        return self._with(f"/voice/~offer/{quote(account)}", made, o=offer, c=call_sid)

    def order(self, account: str, order: str) -> str:
        """What a call placed by POST /v1/calls asks."""
        return self._with(f"/voice/~order/{quote(account)}", tokens.token(self.secrets, "order", account, order), o=order)

    def _with(self, path: str, made: str, **said: str) -> str:
        return f"{self.public}{path}?{urlencode(said, quote_via=quote)}" + (f"&k={made}" if made else "")

    def genuine(self, given: str, *said: str) -> bool:
        """Whether the token is that of an address which says this."""
        return bool(given) and tokens.genuine(given, self.secrets, *said)


def number(text: str | None) -> int | None:
    """A visit or a number of tries out of a query."""
    return int(text) if text is not None and len(text) < 8 and text.isascii() and text.isdigit() and int(text) < MOST else None
