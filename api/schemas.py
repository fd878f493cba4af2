"""The shapes of answers for the OpenAPI document. Answers are put together as text, so these describe; a test holds them to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from calls.journey import DIRECTIONS, OUTCOMES, STATES

Schema: TypeAlias = dict[str, Any]
TITLES = {
    400: "The provider does not take the call as asked", 402: "The provider's wallet is empty",
    401: "No key, or one that is unknown or revoked", 403: "The key's scope does not allow this", 404: "Nothing of yours has this id",
    409: "The id names several journeys", 422: "A parameter is wrong; errors names it", 503: "Something around us is away; ask again",
    413: "The body is too large", 429: "The provider takes no more calls just now", 502: "The provider does not answer",
    416: "The file has no such bytes",
}  # fmt: skip


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def object_of(properties: Schema, *, required: Sequence[str] | None = None) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties if required is None else required)}


def list_of(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TIME: Schema = {"type": "string", "format": "date-time"}
MAYBE_TEXT, MAYBE_TIME, MAYBE_MS, MAYBE_WHOLE = or_null(TEXT), or_null(TIME), or_null(COUNT), or_null(WHOLE)
ANYTHING: Schema = {"type": "object", "additionalProperties": True}
_SPENT = dict.fromkeys(("menu_ms", "queue_ms", "ring_ms", "talk_ms", "hold_ms", "bot_ms"), COUNT)

_SEGMENT = object_of({
    "kind": TEXT, "started_at": TIME, "ended_at": MAYBE_TIME, "duration_ms": MAYBE_MS, "queue": MAYBE_TEXT, "agent": MAYBE_TEXT,
})  # fmt: skip
_LEG = object_of({
    "leg": TEXT, "kind": TEXT, "address": MAYBE_TEXT, "agent": MAYBE_TEXT, "queue": MAYBE_TEXT, "started_at": TIME,
    "answered_at": MAYBE_TIME, "ended_at": MAYBE_TIME, "ended_by": MAYBE_TEXT, "cause": MAYBE_TEXT, "segments": list_of(ref("Segment")),
})  # fmt: skip
_CALL = object_of({
    "call_sid": TEXT, "aliases": list_of(TEXT), "account": TEXT, "direction": MAYBE_TEXT, "caller": MAYBE_TEXT, "called": MAYBE_TEXT,
    "started_at": TIME, "answered_at": MAYBE_TIME, "ended_at": MAYBE_TIME, "legs": list_of(ref("Leg")),
})  # fmt: skip
_VISIT = object_of({
    "call_sid": TEXT, "queue": TEXT, "entered_at": TIME, "left_at": MAYBE_TIME, "wait_ms": MAYBE_MS, "outcome": TEXT,
    "agent": MAYBE_TEXT, "priority": MAYBE_WHOLE,
})  # fmt: skip
_STEP = object_of({"menu": MAYBE_TEXT, "digits": MAYBE_TEXT, "at": TIME, "timed_out": {"type": "boolean"}, "call_sid": TEXT})
_CHARGE = object_of({
    "call_sid": TEXT, "leg": TEXT, "plan": TEXT, "version": MAYBE_TEXT, "rule": or_null(COUNT),
    "amount_minor": {**MAYBE_WHOLE, "description": "Null: unrated, and `unrated` says why."}, "tax_minor": MAYBE_WHOLE,
    "currency": MAYBE_TEXT,
    "working": list_of(object_of({"what": TEXT, "exact": {"type": "string", "description": "A rational in minor units."}})),
    "unrated": TEXT,
}, required=("call_sid", "leg", "plan", "version", "rule", "amount_minor", "tax_minor", "currency", "working"))  # fmt: skip
_JOURNEY = object_of({
    "journey_id": TEXT, "tenant": TEXT, "account": TEXT, "provider": TEXT,
    "direction": or_null({"type": "string", "enum": list(DIRECTIONS)}), "caller": MAYBE_TEXT, "called": MAYBE_TEXT,
    "started_at": TIME, "answered_at": MAYBE_TIME, "ended_at": MAYBE_TIME, "state": {"type": "string", "enum": list(STATES)},
    "outcome": {"type": "string", "enum": list(OUTCOMES)}, "ended_by": MAYBE_TEXT,
    "durations": object_of({"total_ms": MAYBE_MS, **_SPENT}), "calls": list_of(ref("Call")), "queue_visits": list_of(ref("QueueVisit")),
    "menu_path": list_of(ref("MenuStep")), "anomalies": list_of(object_of({"code": TEXT, "detail": TEXT, "event_ids": list_of(TEXT)})),
    "attributes": ANYTHING, "labels": list_of(TEXT), "complete": {"type": "boolean"}, "events": COUNT, "charges": list_of(ref("Charge")),
    "complete_through": MAYBE_TIME,
})  # fmt: skip
_DELIVERY = object_of({
    "event_id": TEXT, "type": TEXT, "call_sid": TEXT, "occurred_at": TIME, "received_at": TIME,
    "kafka": object_of({"topic": TEXT, "partition": COUNT, "offset": COUNT}), "signature": TEXT,
    "copies": {"type": "integer", "minimum": 1},
    "event": ANYTHING, "facts": list_of(ANYTHING), "raw": ANYTHING, "source": TEXT, "account": TEXT, "provider": TEXT, "stream": TEXT,
    "stands": {"type": "boolean", "description": "False where another body under the same event id came first."},
})  # fmt: skip
_PROBLEM = object_of(
    {
        "type": TEXT, "title": TEXT, "status": WHOLE, "detail": {"type": "string", "description": "What to do."},
        "errors": list_of(object_of({"field": TEXT, "detail": TEXT})),
        "journeys": list_of(object_of({"journey_id": TEXT, "call_sid": MAYBE_TEXT, "started_at": TIME})),
    },
    required=("type", "title", "status", "detail"),
)  # fmt: skip
_FRESHNESS = object_of({
    "unprojected": COUNT, "oldest_unprojected_at": MAYBE_TIME, "complete_through": MAYBE_TIME,
    "parts": object_of({"kafka": COUNT, "spool": COUNT, "deferred": COUNT, "outbox": COUNT}),
})  # fmt: skip
_FLOW_HEAD = {"flow": TEXT, "account": TEXT, "start": TEXT, "format": {"type": "string", "enum": ["json", "xml"]}}
_FLOWS: dict[str, Schema] = {
    "FlowList": object_of({"flows": list_of(object_of({**_FLOW_HEAD, "steps": list_of(TEXT)}))}),
    "Flow": object_of({**_FLOW_HEAD, "timezone": TEXT, "steps": {"type": "object", "additionalProperties": ANYTHING}}),
    "TriedStep": object_of({"actions": list_of(ANYTHING), "state": ANYTHING, "notes": list_of(TEXT)}),
}

_AGENT = object_of({
    "agent": TEXT, "name": TEXT, "state": {"type": "string", "enum": ["offline", "available", "paused", "wrap_up", "ringing", "talking"]},
    "since": MAYBE_TIME, "reason": MAYBE_TEXT, "queues": list_of(TEXT), "call_sid": MAYBE_TEXT, "queue": MAYBE_TEXT,
})  # fmt: skip
_DESK: dict[str, Schema] = {
    "Agent": _AGENT, "AgentList": object_of({"agents": list_of(ref("Agent"))}),
    "QueueList": object_of({"queues": list_of(object_of({
        "queue": TEXT, "waiting": COUNT, "oldest_since": MAYBE_TIME, "agents": list_of(TEXT),
        "states": {"type": "object", "additionalProperties": COUNT}, "threshold_s": {"type": "number"},
        "max_wait_s": or_null({"type": "number"}), "max_waiting": or_null(COUNT),
    }))}),
    "WaitingList": object_of({"queue": TEXT, "waiting": list_of(object_of({
        "call_sid": TEXT, "since": TIME, "position": COUNT, "caller": MAYBE_TEXT, "account": TEXT, "priority": WHOLE, "agent": MAYBE_TEXT,
        "leave_by": MAYBE_TIME,
    }))}),
    "PlacedCall": object_of({
        "call_sid": TEXT, "session_id": TEXT, "status": TEXT, "client_request_id": TEXT, "account": TEXT,
    }, required=("call_sid", "status", "client_request_id", "account")),
}  # fmt: skip

_VIOLATION = {"where": ANYTHING, "left": WHOLE, "right": WHOLE}
_INVARIANTS = object_of({
    "laws": list_of(object_of({
        "law": TEXT, "says": TEXT, "relation": {"type": "string", "enum": ["=", "<="]}, "left": WHOLE, "right": WHOLE, "broken": COUNT,
        "violations": list_of(object_of(_VIOLATION)),
    })),
    "violations": list_of(object_of({"law": TEXT, **_VIOLATION})), "complete_through": MAYBE_TIME,
})  # fmt: skip

SCHEMAS: dict[str, Schema] = {
    "Charge": _CHARGE,
    "Segment": _SEGMENT, "Leg": _LEG, "Call": _CALL, "QueueVisit": _VISIT, "MenuStep": _STEP, "Journey": _JOURNEY, "Delivery": _DELIVERY,
    "Problem": _PROBLEM, "Freshness": _FRESHNESS, **_FLOWS, **_DESK,
    "Invariants": _INVARIANTS,
    "JourneyPage": object_of({"journeys": list_of(ref("Journey")), "next_cursor": MAYBE_TEXT, "complete_through": MAYBE_TIME}),
    "DeliveryPage": object_of({"events": list_of(ref("Delivery")), "next_cursor": MAYBE_TEXT}),
    "Health": object_of({"status": TEXT, "dependencies": {"type": "object", "additionalProperties": TEXT}}, required=("status",)),
}  # fmt: skip
ID_PARAMETERS: list[Schema] = [
    {"name": "id", "in": "path", "required": True, "schema": TEXT, "description": "Any id of the call. Slashes percent-encoded."}
]
EVENTS_PARAMETERS: list[Schema] = [
    *ID_PARAMETERS,
    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 10_000}},
    {"name": "cursor", "in": "query", "schema": {"type": "string", "minLength": 1}, "description": "next_cursor of the page before."},
]


def answer(
    name: str, *, parameters: Sequence[Any] = (), errors: Sequence[int] = (401, 403, 404, 409, 422, 503), secured: bool = True
) -> Schema:
    """The keywords of a route whose 200 is the JSON of schema `name`."""
    responses: dict[int, Schema] = {200: {"description": "OK", "content": {"application/json": {"schema": ref(name)}}}}
    responses |= {code: problem(TITLES[code]) for code in errors}
    extra = {"parameters": list(parameters)} | ({"security": [{"key": []}]} if secured else {})
    return {"responses": responses, "openapi_extra": extra}


def with_body(made: Schema, properties: Schema, *, required: Sequence[str], parameters: Sequence[Schema] = ()) -> Schema:
    """The route `made` (of `answer`) with an object as its body, which has these properties and no others."""
    body = {"type": "object", "additionalProperties": False, "properties": properties, "required": list(required)}
    made["openapi_extra"]["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    made["openapi_extra"]["parameters"] = list(parameters)
    return made


def problem(title: str) -> Schema:
    return {"description": title, "content": {"application/problem+json": {"schema": ref("Problem")}}}


AGENT_STATE = with_body(
    answer("Agent", errors=(401, 403, 404, 413, 422, 503)),
    {"state": {"type": "string", "enum": ["offline", "available", "paused", "wrap_up"]}, "reason": MAYBE_TEXT}, required=("state",),
)  # fmt: skip
WAITING = answer("WaitingList", errors=(401, 403, 404, 422, 503))
_KEY: Schema = {
    "name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "The same key with the same body gives the same answer and one call. Left out: every request is a call of its own.",
}  # fmt: skip
PLACED = with_body(
    answer("PlacedCall", errors=(400, 401, 402, 403, 404, 409, 413, 422, 429, 502, 503)),
    {
        "to": {"type": "string", "description": "A phone number in any writing, or a sip: address."},
        "flow": MAYBE_TEXT, "agent": MAYBE_TEXT, "client_request_id": MAYBE_TEXT, "account": MAYBE_TEXT, "caller_id": MAYBE_TEXT,
    }, required=("to",), parameters=[_KEY],
)  # fmt: skip
PLACED["status_code"] = 201
PLACED["responses"][201] = PLACED["responses"].pop(200)
