"""/voice in the OpenAPI document: these routes are answered around the API, not by it."""

from __future__ import annotations

from typing import Any

_ACTIONS = {
    "type": "object",
    "required": ["actions"],
    "properties": {"actions": {"type": "array", "maxItems": 50, "items": {"type": "object"}}},
}
_PROBLEM = {"application/problem+json": {"schema": {"type": "object"}}}
_REFUSED = {
    "401": {"description": "Neither signed by the flow's account nor an address of ours", "content": _PROBLEM},
    "404": {"description": "No such flow", "content": _PROBLEM},
}
_ANSWER = {
    "200": {
        "description": "What to do with the call; nothing where the request only tells something",
        "content": {"application/json": {"schema": _ACTIONS}, "application/xml": {"schema": {"type": "string"}}},
    },
    **_REFUSED,
}
_BODY = {
    "description": "The provider's own fields, in whichever of its writings",
    "content": {kind: {"schema": {"type": "object"}} for kind in ("application/x-www-form-urlencoded", "application/json")},
}


def _named(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _asked(summary: str, *names: str) -> dict[str, Any]:
    said = {"tags": ["voice"], "summary": summary, "parameters": _named(*names), "responses": _ANSWER}
    return {"get": said, "post": {**said, "requestBody": _BODY}}


PATHS: dict[str, Any] = {
    "/voice/{flow}": _asked("A provider asks what to do with a call", "flow"),
    "/voice/{flow}/{step}": _asked("The same at a step: an address out of an earlier answer", "flow", "step"),
    "/voice/{flow}/events": {
        "post": {
            "tags": ["voice"], "summary": "Status callbacks of conferences, streams and recordings", "parameters": _named("flow"),
            "requestBody": _BODY, "responses": {"204": {"description": "Recorded"}, **_REFUSED},
        }
    },
}  # fmt: skip
