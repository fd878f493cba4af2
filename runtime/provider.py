"""Asks the providers' REST APIs: connections kept, what may pass tried again under one idempotency key, nobody waited for too long."""

from __future__ import annotations

import itertools
import time
from email.utils import parsedate_to_datetime

import httpx
import msgspec
import stamina

from calls.providers import rest
from runtime.addresses import api_url
from runtime.problems import Retry
from runtime.settings import Settings

PATIENCE_S = 8.0  # for one answer
stamina.instrumentation.set_on_retry_hooks([])  # who asks says what became of it, once; a command's stdout is for its result
TRIES, TRYING_S = 5, 12.0
POOLS = 8


class Away(Retry):
    """The provider did not answer, or said that it cannot now (`refusal`, what it said last), as often as it was asked.

    `after_s`: how long it said that we are to wait.
    """

    def __init__(self, detail: str, refusal: rest.Refusal | None = None, *, after_s: float | None = None) -> None:
        super().__init__(detail)
        self.refusal, self.after_s = refusal, after_s


class _Passing(Exception):
    """A try that may go better next time."""

    def __init__(self, detail: str, refusal: rest.Refusal | None = None, *, after_s: float | None = None) -> None:
        super().__init__(detail)
        self.refusal, self.after_s = refusal, after_s


class Answered(msgspec.Struct, frozen=True):
    status: int
    body: bytes


class Provider:
    """Asks for the accounts of the settings. Belongs to one event loop; nothing is connected before the first question."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._clients: list[httpx.AsyncClient] = []
        self._turn = itertools.count()

    async def ask(
        self, account: str, asked: rest.Asked, *, key: str | None = None, tries: int = TRIES, trying_s: float = TRYING_S
    ) -> Answered:  # fmt: skip
        """The answer, whatever its status below 500 (but 429). `key`: the idempotency key of all tries. Raises Away."""
        base = api_url(self.settings, account)
        if not base:
            raise Away("the virtual provider does not run here" if account in self.settings.accounts else f"no account {account!r}")
        secret = self.settings.accounts[account].api_key
        headers = rest.headers(secret.get_secret_value() if secret else None, idempotency_key=key)
        content = None if asked.body is None else msgspec.json.encode(asked.body)
        if content is not None:
            headers["Content-Type"] = "application/json"
        waits = {"wait_initial": 0.1, "wait_max": 2.0, "wait_jitter": 0.1}
        try:
            async for attempt in stamina.retry_context(on=_Passing, attempts=tries, timeout=trying_s, **waits):
                with attempt:
                    return await self._once(asked.method, base + asked.path, content=content, headers=headers)
        except _Passing as error:
            raise Away(f"{account}: {error}", error.refusal, after_s=error.after_s) from error
        raise AssertionError("unreachable")

    async def _once(self, method: str, url: str, *, content: bytes | None, headers: dict[str, str]) -> Answered:
        try:
            answer = await self._client().request(method, url, content=content, headers=headers)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise _Passing(f"no answer ({type(error).__name__})") from error
        if rest.Refusal(answer.status_code, "", "").passing:
            refused = rest.refusal(answer.status_code, answer.content)
            after_s = _seconds(answer.headers.get("retry-after", ""))
            raise _Passing(f"answered {answer.status_code} {refused.code}".rstrip(), refused, after_s=after_s)
        return Answered(answer.status_code, answer.content)

    def _client(self) -> httpx.AsyncClient:
        """One of several in turn: what a request costs in httpx's pool grows with the requests that are under way in it."""
        if not self._clients:
            trusted = httpx.create_ssl_context()
            limits = httpx.Limits(max_connections=50, max_keepalive_connections=25, keepalive_expiry=60)
            self._clients = [httpx.AsyncClient(timeout=PATIENCE_S, limits=limits, verify=trusted) for _ in range(POOLS)]
        return self._clients[next(self._turn) % POOLS]

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()


def _seconds(retry_after: str) -> float | None:
    """Retry-After as seconds from now: a number, or a date."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
