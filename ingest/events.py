"""`POST /v1/events`: neutral events, one JSON object or NDJSON, under an API key with scope write."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, TypedDict

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from calls.envelope import Envelope
from calls.masking import mask_text
from calls.providers import PROVIDERS, neutral
from ingest.accept import Log, Origin, envelope
from ingest.files import LARGEST_LINE
from runtime.bodies import as_json, as_sent, whole
from runtime.clock import now
from runtime.keys import Grant
from runtime.problems import FieldError, Refused
from runtime.settings import Account, Settings

LARGEST = 8 << 20
MOST_LINES = 20_000
_LINES = re.compile(rb"\r?\n")


class Rejected(TypedDict):
    line: int
    detail: str


def router(log: Log, settings: Settings, write: Callable[[Request], Awaitable[Grant]]) -> APIRouter:
    """The route. `write` gives the grant of a key that may write, or refuses."""
    routes = APIRouter()

    @routes.post("/v1/events", status_code=202, openapi_extra=_OPENAPI, response_class=Response)
    async def post_events(request: Request, grant: Grant = Depends(write)) -> Response:  # noqa: B008  the dependency is an argument
        origin = _origin(settings, grant, _asked(request))
        body = await _body(request)
        envelopes, rejected = _read(origin, body, request.headers.get("content-type", ""))
        await log.append_all(envelopes)
        answer = {"accepted": len(envelopes), "rejected": rejected}
        return as_json(answer, 202)

    return routes


def _asked(request: Request) -> str | None:
    """The account that the query names."""
    unknown = sorted(set(request.query_params) - {"account"})
    if unknown:
        errors: list[FieldError] = [{"field": name[:100], "detail": "unknown parameter; known: account"} for name in unknown[:20]]
        raise Refused(422, "Invalid request", "this address takes the parameter account only", errors=errors)
    return request.query_params.get("account")


def _origin(settings: Settings, grant: Grant, asked: str | None) -> Origin:
    """The neutral account that the events belong to: the one asked for, else the tenant's first, else one named neutral."""
    own = {name: one for name, one in settings.accounts.items() if one.tenant == grant.tenant and one.provider == "neutral"}
    if asked is not None and asked not in own:
        detail = f"no neutral account of this tenant; it has: {', '.join(sorted(own)) or 'none'}"
        raise Refused(422, "Invalid request", detail, errors=[{"field": "account", "detail": detail}])
    name = asked or next(iter(own), "neutral")
    account = own.get(name) or Account(provider="neutral", tenant=grant.tenant)
    return Origin(name, account, PROVIDERS["neutral"], source="events")


async def _body(request: Request) -> bytes:
    as_sent(request)
    return await whole(request, LARGEST, too_large=f"at most {LARGEST} bytes a request; send the events in parts")


def _read(origin: Origin, body: bytes, content_type: str) -> tuple[list[Envelope], list[Rejected]]:
    """What is sound, as envelopes, and what is not, by line number from 1."""
    envelopes: list[Envelope] = []
    rejected: list[Rejected] = []
    lines = [(number, line) for number, line in enumerate(_split(body, content_type), 1) if line.strip()]
    if not lines:
        raise Refused(422, "Nothing sent", "send one JSON object, or one a line (NDJSON)")
    if len(lines) > MOST_LINES:
        raise Refused(413, "Too many", f"at most {MOST_LINES} events a request; send them in parts")
    for number, line in lines:
        try:
            envelopes.append(event(origin, line))
        except ValueError as error:
            rejected.append({"line": number, "detail": mask_text(str(error))[:500]})
    return envelopes, rejected


def _split(body: bytes, content_type: str) -> list[bytes]:
    """One object (also over several lines), or one a line."""
    if "ndjson" not in content_type and _is_object(body):
        return [body]
    return _LINES.split(body)


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(body), dict)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return False


def event(origin: Origin, line: bytes) -> Envelope:
    """One neutral event. Raises ValueError with one sentence that says what is wrong with it."""
    if len(line) > LARGEST_LINE:
        raise ValueError(f"an event may have at most {LARGEST_LINE} bytes")
    neutral.check(line)
    signature = {"events": "key"}.get(origin.source, origin.source)
    made = envelope(origin, line.strip(), content_type="application/json", headers={}, received_at=now(), signature=signature)
    if made.stream_kind == "quarantine":
        raise ValueError(made.reason)
    return made


_RESULT = {"type": "object", "properties": {
    "accepted": {"type": "integer", "minimum": 0},
    "rejected": {"type": "array", "items": {
        "type": "object", "required": ["line", "detail"],
        "properties": {"line": {"type": "integer", "minimum": 1}, "detail": {"type": "string"}},
    }},
}, "required": ["accepted", "rejected"]}  # fmt: skip
_PROBLEM = {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
_OPENAPI: dict[str, Any] = {
    "summary": "Append neutral events",
    "security": [{"key": []}],
    "parameters": [
        {"name": "account", "in": "query", "schema": {"type": "string"}, "description": "One of the tenant's neutral accounts."},
    ],
    "requestBody": {"required": True, "content": {
        "application/json": {"schema": {"type": "object", "required": ["type", "occurred_at"], "properties": {
            "type": {"type": "string"}, "call_sid": {"type": "string"}, "occurred_at": {"type": "string", "format": "date-time"},
        }}},
        "application/x-ndjson": {"schema": {"type": "string"}},
    }},
    "responses": {
        "202": {"description": "Kept; rejected lines are named", "content": {"application/json": {"schema": _RESULT}}},
        **{code: {"description": "Problem", **_PROBLEM} for code in ("400", "401", "403", "413", "415", "422", "503")},
    },
}  # fmt: skip
