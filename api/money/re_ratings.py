"""/v1/re-ratings: what a period's legs would cost under another version of a plan. Each is a fact of its own; nothing is overwritten."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import chain

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from api import read, schemas
from api.auth import Reader, Writer
from api.money import periods, re_rate, re_rated
from api.params import CURSOR, FILTERS, USUAL, Filter, described, read_all, refuse_all
from runtime import clock
from runtime.bodies import as_json, object_in, whole
from runtime.settings import Settings

LARGEST = 64 << 10
TOO_LARGE = f"at most {LARGEST >> 10} KiB"
_TEXT: schemas.Schema = {"type": "string", "minLength": 1}
_FIELDS: schemas.Schema = {
    **periods.SCHEMA,
    "plan": _TEXT | {"description": "The name of a plan."},
    "version": _TEXT | {"description": "The one version of it that rates all legs, whenever it is valid."},
    "against": {
        "anyOf": [_TEXT, {"type": "null"}],
        "description": "The id of an earlier re-rating of this period to compare with; left out: what the legs were charged.",
    },
}
_AMOUNTS: schemas.Schema = dict.fromkeys(("before_minor", "after_minor", "difference_minor"), schemas.WHOLE)
_HEAD: schemas.Schema = {
    "id": schemas.TEXT, "account": schemas.TEXT, "from": schemas.TIME, "to": schemas.TIME, "plan": schemas.TEXT, "version": schemas.TEXT,
    "against": schemas.MAYBE_TEXT, "made_at": schemas.TIME, "correction": {"type": "boolean"},
    "corrects": schemas.list_of(schemas.object_of({"from": schemas.TIME, "to": schemas.TIME})), "currency": schemas.TEXT, **_AMOUNTS,
} | dict.fromkeys(("re_rated", "differing", "unrated", "unrated_before", "new", "gone"), schemas.COUNT)  # fmt: skip
_LEG = schemas.object_of({
    "call_sid": schemas.TEXT, "journey_id": schemas.TEXT, "leg": schemas.TEXT, "queue": schemas.MAYBE_TEXT, "agent": schemas.MAYBE_TEXT,
    "number": schemas.MAYBE_TEXT, "before_minor": schemas.MAYBE_WHOLE, "after_minor": schemas.MAYBE_WHOLE,
    "difference_minor": schemas.WHOLE,
})  # fmt: skip


def _groups(name: str) -> schemas.Schema:
    return schemas.list_of(schemas.object_of({name: schemas.MAYBE_TEXT, **_AMOUNTS}))


SCHEMAS: dict[str, schemas.Schema] = {
    "ReRating": schemas.object_of({
        **_HEAD, "by_queue": _groups("queue"), "by_agent": _groups("agent"), "by_number": _groups("number"),
        "unrated_legs": schemas.list_of(schemas.object_of({"call_sid": schemas.TEXT, "leg": schemas.TEXT, "why": schemas.TEXT})),
        "legs": schemas.list_of(_LEG),
    }),
    "ReRatings": schemas.object_of({"re_ratings": schemas.list_of(schemas.object_of(_HEAD)), "next_cursor": schemas.MAYBE_TEXT}),
}  # fmt: skip
_LISTED: dict[str, Filter] = {"account": FILTERS["account"], "limit": FILTERS["limit"], "cursor": CURSOR}
_MAKE = schemas.with_body(
    schemas.answer("ReRating", errors=(400, 401, 403, 404, 413, 422, 503)), _FIELDS,
    required=[name for name in _FIELDS if name != "against"],
)  # fmt: skip
_LIST = schemas.answer(
    "ReRatings",
    parameters=described(_LISTED),
    errors=(401, 403, 422, 503),
)
_ONE = schemas.answer("ReRating", errors=(401, 403, 404, 422, 503))
router = APIRouter(tags=["money"])


@router.post("/v1/re-ratings", **_MAKE)
async def make(request: Request, grant: Writer) -> Response:
    """Rates the legs that began in the period under one version, and keeps the result; `legs` has those that differ."""
    refuse_all(request.query_params.multi_items())
    fields = object_in(await whole(request, LARGEST, too_large=TOO_LARGE), tuple(_FIELDS))
    state = request.app.state
    settings: Settings = state.settings
    asked = asked_for(fields, settings=settings, tenant=grant.tenant)
    await run_in_threadpool(read.known_account, state.engine, settings, tenant=grant.tenant, account=asked.period.account)
    name = await asyncio.to_thread(re_rate.made, state.database_url, asked, now=clock.now())
    return await _streamed(re_rated.told(state.database_url, grant.tenant, name))


@router.get("/v1/re-ratings", **_LIST)
async def list_all(request: Request, grant: Reader) -> Response:
    """The latest first, without their legs."""
    given = read_all(request.query_params.multi_items(), _LISTED)
    account, cursor = (None if given.get(name) is None else str(given[name]) for name in ("account", "cursor"))
    state = request.app.state
    if account is not None:
        await run_in_threadpool(read.known_account, state.engine, state.settings, tenant=grant.tenant, account=account)
    found = await run_in_threadpool(
        re_rated.listed, state.database_url, grant.tenant, account=account, limit=int(given.get("limit", USUAL)), cursor=cursor
    )
    return as_json(found)


@router.get("/v1/re-ratings/{id}", **_ONE)
async def one(request: Request, grant: Reader) -> Response:
    """As it was answered when it was made."""
    refuse_all(request.query_params.multi_items())
    return await _streamed(re_rated.told(request.app.state.database_url, grant.tenant, request.path_params["id"]))


def asked_for(fields: dict[str, object], *, settings: Settings, tenant: str) -> re_rate.Asked:
    """Refused 422 with every field that is wrong."""
    period = periods.period_in(fields)
    plan, version = periods.texts_in(fields, ("plan", "version"))
    against = periods.texts_in(fields, ("against",))[0] if fields.get("against") is not None else None
    return re_rate.Asked(tenant, period, plan, version, settings.tenant(tenant).timezone, against)


async def _streamed(pieces: Iterator[bytes]) -> Response:
    """What can be refused is refused before the answer begins."""
    first = await run_in_threadpool(next, pieces)
    return StreamingResponse(chain([first], pieces), media_type="application/json")
