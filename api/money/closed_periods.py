"""/v1/closed-periods: periods whose charges stand for good. What is learned of them later is told, and booked by a re-rating."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api import read, schemas
from api.auth import Reader, Writer
from api.money import closing, periods
from api.params import FILTERS, described, read_all, refuse_all
from calls.voice.check_steps import word_for
from runtime import clock
from runtime.bodies import as_json, object_in, whole
from runtime.problems import invalid
from runtime.settings import Settings

LARGEST = 64 << 10
TOO_LARGE = f"at most {LARGEST >> 10} KiB"
_FIELDS: schemas.Schema = {
    **periods.SCHEMA,
    "anyway": {"type": "boolean", "default": False, "description": "Also with legs that are open or unrated."},
}
_CLOSED: schemas.Schema = {
    "id": schemas.TEXT, "account": schemas.TEXT, "from": schemas.TIME, "to": schemas.TIME, "closed_at": schemas.TIME,
    "legs": schemas.COUNT, "calls": schemas.COUNT, "unrated": schemas.COUNT,
    "total_minor": schemas.MAYBE_WHOLE, "tax_minor": schemas.MAYBE_WHOLE,
    "currency": schemas.MAYBE_TEXT,
    "by_plan": schemas.list_of(schemas.object_of({
        "currency": schemas.TEXT, "plan": schemas.TEXT, "version": schemas.MAYBE_TEXT, "legs": schemas.COUNT,
        "amount_minor": schemas.WHOLE, "tax_minor": schemas.WHOLE,
    })),
}  # fmt: skip
_LATE = schemas.object_of(dict.fromkeys(("legs", "new", "gone", "changed"), schemas.COUNT) | {"difference_minor": schemas.WHOLE})
SCHEMAS: dict[str, schemas.Schema] = {
    "ClosedPeriod": schemas.object_of(_CLOSED),
    "ClosedPeriodAndSince": schemas.object_of(_CLOSED | {"late": _LATE}),
    "ClosedPeriods": schemas.object_of({"closed_periods": schemas.list_of(schemas.ref("ClosedPeriod"))}),
}
_CLOSE = schemas.with_body(
    schemas.answer("ClosedPeriod", errors=(400, 401, 403, 413, 422, 503)), _FIELDS, required=tuple(periods.SCHEMA)
)  # fmt: skip
_LISTED = {"account": FILTERS["account"]}
_LIST = schemas.answer(
    "ClosedPeriods",
    parameters=described(_LISTED),
    errors=(401, 403, 422, 503),
)
_ONE = schemas.answer("ClosedPeriodAndSince", errors=(401, 403, 404, 422, 503))
router = APIRouter(tags=["money"])


@router.post("/v1/closed-periods", **_CLOSE)
async def close(request: Request, grant: Writer) -> Response:
    """Closes a period that is over: its charges never change again. The same again is no change."""
    refuse_all(request.query_params.multi_items())
    fields = object_in(await whole(request, LARGEST, too_large=TOO_LARGE), tuple(_FIELDS))
    period = periods.period_in(fields)
    anyway = fields.get("anyway", False)
    if not isinstance(anyway, bool):
        raise invalid("anyway", f"must be true or false, not {word_for(anyway)}")
    state = request.app.state
    settings: Settings = state.settings
    await run_in_threadpool(read.known_account, state.engine, settings, tenant=grant.tenant, account=period.account)
    through = await run_in_threadpool(state.freshness.complete_through)
    asked = closing.Asked(grant.tenant, period, anyway)
    return as_json(await asyncio.to_thread(closing.close, state.database_url, asked, now=clock.now(), complete_through=through))


@router.get("/v1/closed-periods", **_LIST)
async def list_all(request: Request, grant: Reader) -> Response:
    """By account and time, each with its totals."""
    given = read_all(request.query_params.multi_items(), _LISTED)
    account = None if "account" not in given else str(given["account"])
    state = request.app.state
    if account is not None:
        await run_in_threadpool(read.known_account, state.engine, state.settings, tenant=grant.tenant, account=account)
    return as_json(await run_in_threadpool(closing.listed, state.database_url, grant.tenant, account))


@router.get("/v1/closed-periods/{id}", **_ONE)
async def one(request: Request, grant: Reader) -> Response:
    """With `late`: how far what is known today has moved away from it, which is what a re-rating of it would book."""
    refuse_all(request.query_params.multi_items())
    return as_json(await asyncio.to_thread(closing.one, request.app.state.database_url, grant.tenant, request.path_params["id"]))
