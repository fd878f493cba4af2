"""`POST /hooks/{account}`: a small ASGI application of its own around the API, because this is the hot path.

Read the body (bounded in size and time) → verify the signature over its raw bytes → mask → find whose it is → append → 202.
Refused before anything is stored: 401, 404, 405, 408, 411…, 413, 415; 503 with Retry-After where nothing can take it.
"""

from __future__ import annotations

import time

import structlog
from prometheus_client import Counter

from calls.providers import PROVIDERS, Provider
from ingest.accept import Log, Origin, envelope
from runtime.asgi import LARGEST, Application, Bodies, Gone, Receive, Scope, Send, TooLarge, TooMuch, headers_of, refuse
from runtime.clock import now
from runtime.problems import Refused, Retry
from runtime.settings import UNSIGNED, Settings
from runtime.telemetry import DELIVERIES, PUBLISH_SECONDS

log = structlog.get_logger()

PREFIX = "/hooks/"
BODY_WITHIN_S = 20.0
ACCEPTED = {"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]}
EMPTY = {"type": "http.response.body", "body": b""}


class Sender:
    """One account, ready to be verified against."""

    __slots__ = ("accepted", "hint", "name", "origin", "provider", "required", "secrets")

    def __init__(self, name: str, settings: Settings, provider: Provider):
        account = settings.accounts[name]
        self.name, self.provider = name, provider
        self.origin = Origin(name, account, provider, source="hook")
        self.secrets = [secret.get_secret_value() for secret in account.signing_secrets]
        self.required = account.signature == "required"
        self.accepted: Counter = DELIVERIES.labels(name, "202")
        self.hint = "sign the raw body with one of the account's signing_secrets"
        if provider.name in UNSIGNED:
            self.hint = f"deliver to the address that `safiri url hook {name}` prints"

    def verify(self, body: bytes, headers: dict[str, str]) -> str:
        """How the signature was found to be; raises Refused (401) where it is required and not good."""
        if not self.required and not self.secrets:
            return "none"
        verdict = self.provider.verify(body, headers, self.secrets, int(time.time()))
        if verdict.ok:
            return verdict.how
        if self.required:
            raise Refused(401, "Not signed by this account", f"{verdict.how}; {self.hint}")
        return "none"


class Hooks:
    """The ASGI application: /hooks/… here, everything else to `inner`."""

    def __init__(self, inner: Application, log_: Log, settings: Settings):
        self.inner, self.log = inner, log_
        self.senders = {
            name: Sender(name, settings, PROVIDERS[account.provider])
            for name, account in settings.accounts.items()
            if account.provider in PROVIDERS
        }
        self.bodies = Bodies()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self.inner(scope, receive, send)
            return
        account = scope["path"][len(PREFIX) :]
        try:
            await self._deliver(scope, receive, account)
            await send(ACCEPTED)
            await send(EMPTY)
        except Refused as refused:
            DELIVERIES.labels(account if account in self.senders else "unknown", str(refused.status)).inc()
            await refuse(send, refused)
        except Retry as away:
            DELIVERIES.labels(account, "503").inc()
            log.error("nothing can take deliveries", reason=str(away))
            await refuse(send, Refused(503, "Cannot take it now", f"{away}; send it again", headers={"Retry-After": "5"}))
        except Gone:
            return

    async def _deliver(self, scope: Scope, receive: Receive, account: str) -> None:
        if scope["method"] != "POST":
            raise Refused(405, "Method not allowed", "deliveries are POSTed to this address", headers={"Allow": "POST"})
        sender = self.senders.get(account)
        if sender is None:
            raise Refused(404, "Unknown account", f"no account {account[:100]!r} is configured; its address is /hooks/<account>")
        headers = _headers(scope)
        _check_framing(headers)
        body = await self._body(receive)
        began = time.perf_counter()
        signature = sender.verify(body, headers)
        made = envelope(
            sender.origin, body, content_type=headers.get("content-type", ""), headers=headers, received_at=now(), signature=signature
        )
        await self.log.append(made)
        PUBLISH_SECONDS.observe(time.perf_counter() - began)
        sender.accepted.inc()

    async def _body(self, receive: Receive) -> bytes:
        """The whole body. Refused over 1 MiB, after BODY_WITHIN_S, or while too much is being read already."""
        try:
            return await self.bodies.read(receive, rest_within_s=BODY_WITHIN_S)
        except TooLarge:
            raise _too_large() from None
        except TooMuch:
            detail = "too many large bodies are being read; send it again"
            raise Refused(503, "Too much at once", detail, headers={"Retry-After": "2"}) from None
        except TimeoutError:
            raise Refused(408, "Too slow", f"the body did not come within {BODY_WITHIN_S:.0f} s", headers={"Connection": "close"}) from None


def _headers(scope: Scope) -> dict[str, str]:
    """The request's; a `token` in the query counts as X-Safiri-Token."""
    found = headers_of(scope)
    query = scope.get("query_string")
    if query and b"token=" in query:
        given = [pair[6:] for pair in query.split(b"&", 50)[:50] if pair.startswith(b"token=")]
        found["x-safiri-token"] = given[0].decode("latin-1") if given else ""
    return found


def _check_framing(headers: dict[str, str]) -> None:
    length = headers.get("content-length", "")
    if length.isdigit() and int(length[:18]) > LARGEST:
        raise _too_large()
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise Refused(415, "Compressed body", f"content-encoding {encoding[:40]!r} is not taken here; send the body as it is")


def _too_large() -> Refused:
    return Refused(413, "Too large", f"a delivery may have at most {LARGEST} bytes")
