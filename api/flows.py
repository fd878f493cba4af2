"""GET /v1/flows, /v1/flows/{flow}, and POST /v1/flows/{flow}/try: the flows of the key's tenant, and walking one without a phone.

Trying stores nothing: the state goes out with each answer and comes back with the next request.
"""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from api import schemas
from api.auth import Reader
from api.params import refuse_all
from calls.voice import trial
from calls.voice.flow import Flow, shown
from calls.voice.position import State
from calls.voice.trial import try_step
from runtime import clock
from runtime.bodies import as_json, whole
from runtime.flows import tenant_of
from runtime.problems import Refused, invalid
from runtime.settings import Settings

LARGEST = 64 << 10
TOO_LARGE = f"at most {LARGEST} bytes: the state of the last answer and the digits"
_BODY: schemas.Schema = {
    "type": "object", "additionalProperties": False,
    "properties": {
        "digits": {"type": ["string", "null"], "description": 'Keys pressed; none, or "", is no input.'},
        "state": {"type": ["object", "null"], "description": "The state of the answer before; left out at first."},
        "agent": {"type": "boolean", "description": "An agent is free in every queue."},
        "answered": {"type": "boolean", "description": "The dial that is over was answered."},
    },
}  # fmt: skip
_NAME: list[schemas.Schema] = [{"name": "flow", "in": "path", "required": True, "schema": schemas.TEXT}]
_TRY = schemas.answer("TriedStep", parameters=_NAME, errors=(401, 403, 404, 413, 422))
_TRY["openapi_extra"]["requestBody"] = {"content": {"application/json": {"schema": _BODY}}}
router = APIRouter(tags=["flows"])


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `try`."""

    digits: str | None = None
    state: dict[str, Any] | None = None
    agent: bool = False
    answered: bool = False


@router.get("/v1/flows", **schemas.answer("FlowList", errors=(401, 403, 422)))
async def list_flows(request: Request, grant: Reader) -> Response:
    """The flows that answer calls, by name."""
    refuse_all(request.query_params.multi_items())
    flows: dict[str, Flow] = request.app.state.flows
    own = [flow for flow in flows.values() if tenant_of(request.app.state.settings, flow) == grant.tenant]
    return as_json({"flows": [_head(flow) | {"steps": list(flow.steps)} for flow in sorted(own, key=lambda flow: flow.name)]})


@router.get("/v1/flows/{flow}", **schemas.answer("Flow", parameters=_NAME, errors=(401, 403, 404, 422)))
async def get_flow(request: Request, flow: str, grant: Reader) -> Response:
    """One flow with all its steps."""
    refuse_all(request.query_params.multi_items())
    found = _own(request, flow, grant.tenant)
    return as_json(_head(found) | {"timezone": found.timezone, "steps": {name: shown(step) for name, step in found.steps.items()}})


@router.post("/v1/flows/{flow}/try", **_TRY)
async def try_flow(request: Request, flow: str, grant: Reader) -> Response:
    """The next answer of a walk: `{}` first, then the state that came back and the digits that are pressed."""
    refuse_all(request.query_params.multi_items())
    found = _own(request, flow, grant.tenant)
    asked = _asked(await whole(request, LARGEST, too_large=TOO_LARGE))
    settings: Settings = request.app.state.settings
    tried = try_step(
        found, _state(found, asked.state), asked.digits, now=clock.now(), agent=asked.agent, answered=asked.answered,
        public=(settings.public_url or str(request.base_url)).rstrip("/"),
    )  # fmt: skip
    return as_json(trial.as_json(found, tried))


def _head(flow: Flow) -> dict[str, object]:
    return {"flow": flow.name, "account": flow.account, "start": flow.start, "format": flow.form}


def _own(request: Request, name: str, tenant: str) -> Flow:
    """The flow, where it is the tenant's."""
    flow: Flow | None = request.app.state.flows.get(name)
    if flow is None or tenant_of(request.app.state.settings, flow) != tenant:
        raise Refused(404, "Not Found", f"no flow {name[:100]!r} of yours: GET /v1/flows lists them")
    return flow


def _asked(body: bytes) -> Step:
    try:
        return msgspec.json.decode(body, type=Step) if body.strip() else Step()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as why:
        field = str(why).partition("`$")[2].partition("`")[0].strip(".") or "body"
        raise invalid(field, f'{why}: send {{}} first, then {{"digits": …, "state": …}}') from None


def _state(flow: Flow, given: dict[str, Any] | None) -> State | None:
    """The state of the answer before. Raises Refused where it is none of this flow."""
    if given is None:
        return None
    try:
        state = msgspec.convert(given, State)
    except (msgspec.ValidationError, OverflowError) as why:
        raise invalid("state", f"this is no state of a walk ({why}): send the one of the answer before, unchanged") from None
    if state.step not in flow.steps or not 0 < state.visit < 1_000_000 or not 0 <= state.tries < 1_000_000:
        raise invalid("state", "this is no state of a walk through this flow: send the one of the answer before, unchanged")
    return state
