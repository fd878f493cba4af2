"""Who asks: `Authorization: Bearer sfk_…` -> the grant of that key, 401 without one, 403 where its scope is not enough."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from runtime.keys import Grant, Keys, Scope
from runtime.problems import Refused

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="safiri"'}


def bearer(header: str | None) -> str:
    """The key in an Authorization header; Refused 401 where there is none."""
    scheme, _, key = (header or "").strip().partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise unauthorised("send `Authorization: Bearer <key>`; `safiri keys create --name NAME` makes a key")
    return key.strip()


def unauthorised(detail: str) -> Refused:
    return Refused(401, "Unauthorized", detail, headers=CHALLENGE)


def check(grant: Grant | None, scope: Scope) -> Grant:
    """The grant itself where it is there and allows `scope`; Refused 401 or 403 otherwise."""
    if grant is None:
        raise unauthorised("this API key is unknown or revoked; `safiri keys create --name NAME` makes another")
    if not grant.allows(scope):
        raise Refused(403, "Forbidden", f"this API key has scope {grant.scope}, and this needs {scope}: make one with --scope {scope}")
    return grant


def needs(scope: Scope) -> Callable[[Request], Awaitable[Grant]]:
    """A dependency that gives the caller's grant. Keys asked for lately cost no thread and no question to Postgres."""

    async def grant_of(request: Request) -> Grant:
        key = bearer(request.headers.get("authorization"))
        keys: Keys = request.app.state.keys
        return check(keys.known(key) or await run_in_threadpool(keys.find, key), scope)

    return grant_of


Reader = Annotated[Grant, Depends(needs("read"))]
"""A route's argument: the grant of whoever asks, scope read at least."""
Writer = Annotated[Grant, Depends(needs("write"))]
"""The same, scope write at least."""
