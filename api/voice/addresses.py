"""The addresses that we hand out in answers, and whether one that comes back is ours.

Providers do not sign every request that they make to such an address, so each carries a token over what it says: the step and
the visit, the call, an offer or an order. An account without signing secrets has no tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from runtime import tokens

OURS = frozenset({"v", "r", "c", "o", "s", "k", "e"})  # the names in our queries


class Addresses:
    """Of one account: `public` is where providers reach us (http…), without a slash at its end."""

    def __init__(self, public: str, secrets: Sequence[str]):
        self.public, self.secrets = public.rstrip("/"), secrets
        self.socket = "ws" + self.public[4:] if self.public.startswith("http") else self.public

    def step(self, flow: str, step: str, *, visit: int, tries: int, call_sid: str) -> str:
        """Where the call goes on after the answer that contains this address."""
        made = tokens.token(self.secrets, "step", flow, step, str(visit), str(tries), call_sid)
        address = f"{self.public}/voice/{_quoted(flow)}/{_quoted(step)}?v={visit}&r={tries}&c={_quoted(call_sid)}"
        return f"{address}&k={made}" if made else address

    def events(self, flow: str, call_sid: str) -> str:
        """For status callbacks."""
        return self._with(f"/voice/{_quoted(flow)}/events", tokens.token(self.secrets, "events", flow, call_sid), c=call_sid)

    def audio(self, flow: str, step: str, call_sid: str) -> str:
        """The audio socket of a bot."""
        made = tokens.token(self.secrets, "audio", flow, call_sid, step)
        return self.socket + self._with(f"/audio/{_quoted(flow)}", made, c=call_sid, s=step)[len(self.public) :]

    def offer(self, account: str, offer: str, call_sid: str) -> str:
        """What the call of an agent who is rung asks; `call_sid` is the caller's."""
        made = tokens.token(self.secrets, "offer", account, offer, call_sid)
        return self._with(f"/voice/~offer/{quote(account)}", made, o=offer, c=call_sid)

    def _with(self, path: str, made: str, **said: str) -> str:
        query = "&".join(f"{name}={_quoted(value)}" for name, value in said.items())
        return f"{self.public}{path}?{query}" + (f"&k={made}" if made else "")

    def genuine(self, given: str, *said: str) -> bool:
        """Whether the token is that of an address which says this."""
        return bool(given) and tokens.genuine(given, self.secrets, *said)


def _quoted(text: str) -> str:
    """Ids and names of steps hardly ever need quoting, and asking for it costs more than all the rest of an address."""
    return text if text.isascii() and text.replace("_", "").isalnum() else quote(text, safe="")
