"""POST /v1/rate: what legs would cost under a plan; nothing is stored. /v1/rate-plans: the plans that there are, and new versions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeAlias

from fastapi import APIRouter, Request
from starlette.responses import Response

from api import schemas
from api.auth import Reader, Writer
from api.params import refuse_all
from calls.faults import Faults
from calls.rating import answer
from calls.rating.answer import plan_as_json
from calls.rating.legs import FIELDS, read_legs
from calls.rating.plan import parse
from calls.rating.rate import rate
from calls.rating.terms import DIRECTIONS, KINDS, Plan
from calls.voice.check_steps import word_for
from runtime import posted_plans
from runtime.bodies import as_json, object_in, whole
from runtime.plans import plan_named, refused
from runtime.postgres import AWAY, connect
from runtime.problems import Refused, Retry, invalid
from runtime.settings import Settings

Named: TypeAlias = Callable[[str], Plan]
LARGEST = 16 << 20
TOO_LARGE = f"at most {LARGEST >> 20} MiB: send the legs in several requests"
_SECONDS: schemas.Schema = {"type": "number", "minimum": 0, "description": "Seconds, to the millisecond."}
_LEG: schemas.Schema = {
    "type": "object",
    "additionalProperties": False,
    "required": ["direction", "kind"],
    "properties": dict.fromkeys(FIELDS, schemas.MAYBE_TEXT) | {
        "direction": {"type": "string", "enum": list(DIRECTIONS)}, "kind": {"type": "string", "enum": list(KINDS)},
        "talk_s": _SECONDS, "ring_s": _SECONDS,
    } | dict.fromkeys(("started_at", "answered_at", "ended_at"), schemas.MAYBE_TIME),
}  # fmt: skip
_ASKED: schemas.Schema = {
    "plan": {"type": "string", "description": "The name of a plan."},
    "plan_toml": {"type": "string", "description": "Or a plan as TOML."},
    "legs": schemas.list_of(_LEG),
}
_RATE = schemas.with_body(schemas.answer("Rated", errors=(400, 401, 403, 404, 413, 422, 503)), _ASKED, required=("legs",))
_POST = schemas.with_body(schemas.answer("RatePlan", errors=(400, 401, 403, 409, 413, 422, 503)), {
    "plan": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_.-]{0,63}$", "description": "Its name."},
    "plan_toml": {"type": "string", "description": "Its versions as TOML; those that are there already may be left out."},
}, required=("plan", "plan_toml"))  # fmt: skip
_PLAN: schemas.Schema = {
    "plan": schemas.TEXT, "currency": schemas.TEXT, "timezone": schemas.MAYBE_TEXT, "notes": schemas.TEXT,
    "versions": schemas.list_of(schemas.object_of({
        "version": schemas.TEXT, "valid_from": schemas.TIME, "appended_at": schemas.MAYBE_TIME, "evidence": schemas.TEXT,
        "rules": schemas.COUNT, "standing": schemas.COUNT,
    })),
    "plan_toml": schemas.TEXT,
}  # fmt: skip
SCHEMAS: dict[str, schemas.Schema] = {
    "Rated": schemas.object_of({
        "charges": schemas.list_of(schemas.object_of({
            "amount_minor": schemas.MAYBE_WHOLE, "tax_minor": schemas.MAYBE_WHOLE, "currency": schemas.TEXT, "plan": schemas.MAYBE_TEXT,
            "version": schemas.MAYBE_TEXT, "rule": schemas.MAYBE_WHOLE,
            "working": schemas.list_of(schemas.object_of({"what": schemas.TEXT, "exact": schemas.TEXT})),
        })),
        "total_minor": schemas.WHOLE, "currency": schemas.TEXT, "unrated": schemas.COUNT,
    }),
    "RatePlans": schemas.object_of({"plans": schemas.list_of(schemas.object_of(_PLAN))}),
    "RatePlan": schemas.object_of({**_PLAN, "appended": schemas.list_of(schemas.TEXT)}),
}  # fmt: skip
router = APIRouter(tags=["money"])


@router.post("/v1/rate", **_RATE)
async def rate_legs(request: Request, grant: Reader) -> Response:
    """One charge a leg, with the working line by line; what no rule covers is unrated, never free."""
    refuse_all(request.query_params.multi_items())
    body = await whole(request, LARGEST, too_large=TOO_LARGE)
    state = request.app.state
    settings: Settings = state.settings
    found: Named = partial(_named, state.database_url, grant.tenant)
    return as_json(await asyncio.to_thread(_rated, body, settings.tenant(grant.tenant).timezone, found))


@router.get("/v1/rate-plans", **schemas.answer("RatePlans", errors=(401, 403, 422, 503)))
async def list_plans(request: Request, grant: Reader) -> Response:
    """The plans that there are, shipped and posted, each with its versions and the whole of it as TOML."""
    refuse_all(request.query_params.multi_items())
    plans = await asyncio.to_thread(_listed, request.app.state.database_url, grant.tenant)
    return as_json({"plans": [plan_as_json(plan) for plan in plans]})


@router.post("/v1/rate-plans", **_POST)
async def post_plan(request: Request, grant: Writer) -> Response:
    """Appends the versions that are new; the same again is no change, other content under a version's name is a conflict."""
    refuse_all(request.query_params.multi_items())
    asked = object_in(await whole(request, LARGEST, too_large=TOO_LARGE), ("plan", "plan_toml"))
    name = asked.get("plan")
    if not isinstance(name, str):
        raise invalid("plan", "must be the name of the plan" if name is None else f"must be a name, not {word_for(name)}")
    given = _parsed(asked.get("plan_toml"), name)
    return as_json(await asyncio.to_thread(_posted, request.app.state.database_url, grant.tenant, given))


@contextmanager
def _connected(database_url: str) -> Iterator[posted_plans.Connection]:
    try:
        with connect(database_url, name="plans", autocommit=True) as connection:
            yield connection
    except AWAY as error:
        raise Retry("Postgres went away: ask again") from error


def _named(database_url: str, tenant: str, name: str) -> Plan:
    """Shipped, or posted by the tenant."""
    with _connected(database_url) as connection:
        found = posted_plans.named(connection, tenant, name) if name.isprintable() else None
    if found is None:
        raise Refused(404, "Unknown plan", f"there is no plan {name[:64]!r}: GET /v1/rate-plans lists them")
    return found


def _listed(database_url: str, tenant: str) -> list[Plan]:
    with _connected(database_url) as connection:
        return list(posted_plans.plans_of(connection, tenant).values())


def _posted(database_url: str, tenant: str, given: Plan) -> dict[str, object]:
    with _connected(database_url) as connection:
        new = posted_plans.append(connection, tenant, given)
        plan = posted_plans.named(connection, tenant, given.id)
    assert plan is not None, "it was just appended to"
    return plan_as_json(plan) | {"appended": new}


def _rated(body: bytes, zone: str, named: Named = plan_named) -> dict[str, object]:
    asked = object_in(body, tuple(_ASKED))
    plan = _plan(asked, named)
    try:
        return answer.as_json(plan, rate(plan, read_legs(asked.get("legs")), zone=zone))
    except Faults as faults:
        raise refused(faults, "Invalid legs") from None


def _plan(asked: dict[str, object], named: Named) -> Plan:
    name, text = asked.get("plan"), asked.get("plan_toml")
    if (name is None) == (text is None):
        raise invalid("plan", "name a plan, or send one as plan_toml: one of the two")
    if name is not None and not isinstance(name, str):
        raise invalid("plan", f"must be the name of a plan, not {word_for(name)}")
    if name is not None:
        return named(name)
    return _parsed(text, "")


def _parsed(text: object, name: str) -> Plan:
    if not isinstance(text, str):
        raise invalid(
            "plan_toml", "is missing: a plan as TOML text" if text is None else f"must be a plan as TOML text, not {word_for(text)}"
        )
    try:
        return parse(text, name=name)
    except Faults as faults:
        raise refused(faults, "Invalid plan") from None
