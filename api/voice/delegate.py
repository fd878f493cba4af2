"""A step that asks the user's own application: the provider's request is forwarded as it came, the reply is what the caller hears.

Bounded in time and size; no redirects are followed. Whatever goes wrong is a sentence in `Delegated.fault`, never an exception.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import httpx

from calls.voice import answers
from calls.voice.actions import Dialect
from calls.voice.answers import BadActions
from calls.voice.decide import Delegated

LARGEST = 256 << 10
SHOWN = 4_000  # characters kept of a reply that cannot be used
PASSED_ON = ("content-type", "user-agent", "accept", "accept-language")
SIGNATURES = ("x-sautikit-", "x-minivoice-")


class Forwarded(NamedTuple):
    """The provider's request. `query` without what our own address added to it."""

    method: str
    query: str
    headers: dict[str, str]
    body: bytes


class Reply(NamedTuple):
    """What was understood, and the document itself where it can be sent on as it is; `said` for the record."""

    delegated: Delegated
    document: bytes = b""
    content_type: str = ""
    said: str = ""


class Applications:
    """One client for all of them."""

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(
            http2=False, follow_redirects=False, trust_env=False, timeout=10,
            limits=httpx.Limits(max_connections=500, max_keepalive_connections=50, keepalive_expiry=30),
        )  # fmt: skip

    async def ask(self, url: str, request: Forwarded, *, dialect: Dialect, within_s: float) -> Reply:
        try:
            async with asyncio.timeout(within_s):
                return await self._ask(url, request, dialect)
        except TimeoutError:
            return Reply(Delegated(fault=f"the application did not answer within {within_s * 1000:.0f} ms"))
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return Reply(Delegated(fault=f"the application cannot be reached: {str(error) or type(error).__name__}"))

    async def _ask(self, url: str, request: Forwarded, dialect: Dialect) -> Reply:
        target = url + (("&" if "?" in url else "?") + request.query if request.query else "")
        headers = {name: value for name, value in request.headers.items() if name in PASSED_ON or name.startswith(SIGNATURES)}
        headers["accept-encoding"] = "identity"
        async with self._client.stream(request.method, target, content=request.body or None, headers=headers) as response:
            body = b""
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > LARGEST:
                    return Reply(Delegated(fault=f"the application's reply has more than {LARGEST} bytes"))
            return _read(response, body, dialect)

    async def close(self) -> None:
        await self._client.aclose()


def _read(response: httpx.Response, body: bytes, dialect: Dialect) -> Reply:
    said = body[: 4 * SHOWN].decode("utf-8", "replace")[:SHOWN]
    if not response.is_success:
        return Reply(Delegated(fault=f"the application answered {response.status_code}"), said=said)
    try:
        actions, xml = answers.read_body(body, response.headers.get("content-type", ""), dialect)
    except BadActions as bad:
        return Reply(Delegated(fault=f"the application's reply cannot be used: {bad}"), said=said)
    return Reply(Delegated(actions=actions, xml=xml), body, "application/xml" if xml else "application/json", said)
