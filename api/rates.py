"""POST /v1/rate: what legs would cost under a plan; nothing is stored. GET /v1/rate-plans: the plans that there are."""

from __future__ import annotations

import asyncio

import msgspec
from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from api import schemas
from api.auth import Reader
from api.params import refuse_all
from calls.faults import Faults
from calls.rating.answer import as_json, plan_as_json
from calls.rating.legs import FIELDS, read_legs
from calls.rating.plan import parse
from calls.rating.rate import rate
from calls.rating.terms import DIRECTIONS, KINDS, Plan
from calls.voice.check_steps import near, word_for
from runtime.plans import plan_named, refused, shipped
from runtime.problems import Refused, invalid
from runtime.settings import Settings

LARGEST = 16 << 20
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
_BODY: schemas.Schema = {
    "type": "object", "additionalProperties": False, "required": ["legs"],
    "properties": {
        "plan": {"type": "string", "description": "The name of a plan."},
        "plan_toml": {"type": "string", "description": "Or a plan as TOML."},
        "legs": schemas.list_of(_LEG),
    },
}  # fmt: skip
_RATE = schemas.answer("Rated", errors=(400, 401, 403, 404, 413, 422))
_RATE["openapi_extra"]["requestBody"] = {"required": True, "content": {"application/json": {"schema": _BODY}}}
_MAYBE_WHOLE = schemas.or_null(schemas.WHOLE)
SCHEMAS: dict[str, schemas.Schema] = {
    "Rated": schemas.object_of({
        "charges": schemas.list_of(schemas.object_of({
            "amount_minor": _MAYBE_WHOLE, "tax_minor": _MAYBE_WHOLE, "currency": schemas.TEXT, "plan": schemas.MAYBE_TEXT,
            "version": schemas.MAYBE_TEXT, "rule": _MAYBE_WHOLE,
            "working": schemas.list_of(schemas.object_of({"what": schemas.TEXT, "exact": schemas.TEXT})),
        })),
        "total_minor": schemas.WHOLE, "currency": schemas.TEXT, "unrated": schemas.COUNT,
    }),
    "RatePlans": schemas.object_of({
        "plans": schemas.list_of(schemas.object_of({
            "plan": schemas.TEXT, "currency": schemas.TEXT, "timezone": schemas.MAYBE_TEXT, "notes": schemas.TEXT,
            "versions": schemas.list_of(schemas.object_of({
                "version": schemas.TEXT, "valid_from": schemas.TIME, "evidence": schemas.TEXT, "rules": schemas.COUNT,
                "standing": schemas.COUNT,
            })),
            "plan_toml": schemas.TEXT,
        })),
    }),
}  # fmt: skip
router = APIRouter(tags=["money"])


@router.post("/v1/rate", **_RATE)
async def rate_legs(request: Request, grant: Reader) -> Response:
    """One charge a leg, with the working line by line; what no rule covers is unrated, never free."""
    refuse_all(request.query_params.multi_items())
    body = await _body(request)
    settings: Settings = request.app.state.settings
    return _json(await asyncio.to_thread(_rated, body, settings.tenant(grant.tenant).timezone))


@router.get("/v1/rate-plans", **schemas.answer("RatePlans", errors=(401, 403, 422)))
async def list_plans(request: Request, grant: Reader) -> Response:
    """The plans that come with Safiri, each with its versions and the whole of it as TOML."""
    refuse_all(request.query_params.multi_items())
    return _json({"plans": [plan_as_json(plan) for plan in shipped().values()]})


def _rated(body: bytes, zone: str) -> dict[str, object]:
    asked = _object(body)
    plan = _plan(asked)
    try:
        return as_json(plan, rate(plan, read_legs(asked.get("legs")), zone=zone))
    except Faults as faults:
        raise refused(faults, "Invalid legs") from None


def _object(body: bytes) -> dict[str, object]:
    try:
        asked = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as why:
        raise invalid("body", f'{why}: send {{"plan": …, "legs": […]}}') from None
    if not isinstance(asked, dict):
        raise invalid("body", f'must be an object {{"plan": …, "legs": […]}}, not {word_for(asked)}')
    for name in asked:
        if name not in _BODY["properties"]:
            raise invalid(name[:64], f"is no field here{near(name, _BODY['properties'])}")
    return asked


def _plan(asked: dict[str, object]) -> Plan:
    name, text = asked.get("plan"), asked.get("plan_toml")
    if (name is None) == (text is None):
        raise invalid("plan", "name a plan, or send one as plan_toml: one of the two")
    if name is not None and not isinstance(name, str):
        raise invalid("plan", f"must be the name of a plan, not {word_for(name)}")
    if name is not None:
        return plan_named(name)
    if not isinstance(text, str):
        raise invalid("plan_toml", f"must be a plan as TOML text, not {word_for(text)}")
    try:
        return parse(text)
    except Faults as faults:
        raise refused(faults, "Invalid plan") from None


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST:
                raise Refused(413, "Too large", f"at most {LARGEST >> 20} MiB: send the legs in several requests")
    except ClientDisconnect:
        raise Refused(400, "Incomplete", "the body ended early") from None
    return bytes(body)


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
