"""`POST /v1/statements?account=`: the provider's call records, ledger lines or balances, under an API key with scope write."""

from __future__ import annotations

import asyncio
import io
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from ingest.accept import Log
from ingest.counting import counted_within
from ingest.statement_files import table_of
from ingest.statement_lines import Statement, account_of, means_of, origin_of
from runtime.bodies import as_json, as_sent, whole
from runtime.keys import Grant
from runtime.problems import FieldError, Refused, invalid
from runtime.settings import Settings

LARGEST = 64 << 20
TOO_LARGE = f"at most {LARGEST >> 20} MiB: send it in parts, or use `safiri statements import`"
AT_ONCE = 500  # lines between two acknowledgements
WITHIN_S = 60.0
_END: list[Any] = []


def router(log: Log, settings: Settings, *, database_url: str, write: Callable[[Request], Awaitable[Grant]]) -> APIRouter:
    """The route. `write` gives the grant of a key that may write, or refuses."""
    routes = APIRouter(tags=["money"])

    @routes.post("/v1/statements", openapi_extra=_OPENAPI, response_class=Response)
    async def post_statement(request: Request, grant: Grant = Depends(write)) -> Response:  # noqa: B008  the dependency is an argument
        """Keeps every line as an event; a line that is there already is a duplicate, one that cannot be counted is listed and put aside."""
        name = _asked(request)
        account = account_of(settings, grant.tenant, name)
        as_sent(request)
        body = await whole(request, LARGEST, too_large=TOO_LARGE)
        means = await asyncio.to_thread(means_of, settings, account, database_url=database_url, signature="key")
        origin, kind = origin_of(name, account, import_id=uuid.uuid4().hex), request.headers.get("content-type", "")
        statement = Statement(origin, await asyncio.to_thread(table_of, io.BufferedReader(io.BytesIO(body)), kind), means)
        chunks = statement.chunks(AT_ONCE)
        while chunk := await asyncio.to_thread(next, chunks, _END):
            await log.append_all(chunk)
        counts = await counted_within(database_url, origin.import_id, statement.read, WITHIN_S)
        answer = {
            "read": statement.read, "accepted": counts.accepted, "duplicate": counts.duplicate, "rejected": statement.rejected,
            "unbalanced": statement.unbalanced,
        }  # fmt: skip
        if counts.pending <= 0:
            return as_json(answer)
        said = "every line is in the log; the projector has not counted them all: send the file again for the rest of the counts"
        return as_json(answer | {"pending": counts.pending, "detail": said}, 202)

    return routes


def _asked(request: Request) -> str:
    """The account that the query names."""
    unknown = sorted(set(request.query_params) - {"account"})
    if unknown:
        errors: list[FieldError] = [{"field": name[:100], "detail": "unknown parameter; known: account"} for name in unknown[:20]]
        raise Refused(422, "Invalid request", "this address takes the parameter account only", errors=errors)
    given = request.query_params.getlist("account")
    if len(given) != 1:
        raise invalid("account", "given twice: give it once" if given else "is missing: name the account that the statement is of")
    return given[0]


_LINES: dict[str, Any] = {"type": "array", "items": {
    "type": "object", "required": ["line", "detail"],
    "properties": {"line": {"type": "integer", "minimum": 1}, "detail": {"type": "string"}},
}}  # fmt: skip
_COUNT = {"type": "integer", "minimum": 0}
_RESULT: dict[str, Any] = {
    "type": "object", "required": ["read", "accepted", "duplicate", "rejected", "unbalanced"],
    "properties": {
        "read": {**_COUNT, "description": "Lines that are not blank, without the header."},
        "accepted": _COUNT, "duplicate": _COUNT,
        "rejected": {**_LINES, "description": "Not counted and put aside; the header is line 1, an array's first object line 2."},
        "unbalanced": {**_LINES, "description": "In all the same: their balance does not follow from the line before."},
    },
}  # fmt: skip
_PENDING: dict[str, Any] = {
    **_RESULT, "required": [*_RESULT["required"], "pending", "detail"],
    "properties": {**_RESULT["properties"], "pending": _COUNT, "detail": {"type": "string"}},
}  # fmt: skip
_PROBLEM = {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
_OPENAPI: dict[str, Any] = {
    "summary": "Take in a statement of an account",
    "security": [{"key": []}],
    "parameters": [
        {"name": "account", "in": "query", "required": True, "schema": {"type": "string"}, "description": "One of the tenant's accounts."},
    ],
    "requestBody": {"required": True, "content": {
        "text/csv": {
            "schema": {"type": "string"},
            "example": "entry_id,created_at,call_id,entry_type,amount_minor,currency\nl-1,2026-06-01T09:01:35Z,c-1,debit,450,KES\n",
        },
        "application/json": {"schema": {"type": "array", "minItems": 1, "items": {"type": "object", "additionalProperties": True}}},
    }},
    "responses": {
        "200": {"description": "Every line counted", "content": {"application/json": {"schema": _RESULT}}},
        "202": {"description": "Every line kept, not all of them counted yet", "content": {"application/json": {"schema": _PENDING}}},
        **{code: {"description": "Problem", **_PROBLEM} for code in ("400", "401", "403", "413", "415", "422", "503")},
    },
}  # fmt: skip
