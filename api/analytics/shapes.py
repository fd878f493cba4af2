"""The shapes of the metrics' answers and parameters for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from api.schemas import COUNT, MAYBE_TEXT, MAYBE_TIME, TEXT, TIME, WHOLE, Schema, list_of, object_of, or_null, ref
from calls.metrics.parameters import ATTRIBUTIONS, SIDES, Parameter

_NUMBER: Schema = {"type": "number"}
_BOOLEAN: Schema = {"type": "boolean"}
_TERMS = list_of(object_of({"sign": {"type": "integer", "enum": [-1, 1]}, "measure": TEXT}))
_TEXTS = list_of(TEXT)
_RULE: Schema = {"type": "string", "enum": list(ATTRIBUTIONS)}
_VALUE = object_of({"value": or_null(_NUMBER), "numerator": WHOLE, "denominator": or_null(WHOLE)})
_DEFINITION = {
    "type": "object", "additionalProperties": True, "required": ["name", "version", "unit", "formula", "attribution"],
    "properties": {"name": TEXT, "version": COUNT, "unit": TEXT, "formula": TEXT, "attribution": _RULE},
}  # fmt: skip
_ROW = object_of({
    "interval_start": TIME, "group": {"type": "object", "additionalProperties": {"type": ["string", "integer", "null"]}},
    "values": {"type": "object", "additionalProperties": ref("MetricValue")},
})  # fmt: skip
_CONTRIBUTION = {
    "type": "object", "additionalProperties": True, "required": ["journey_id", "call_sid", "amount", "why", "at", "known_at", "open"],
    "properties": {
        "journey_id": MAYBE_TEXT, "call_sid": MAYBE_TEXT, "amount": WHOLE, "why": TEXT, "at": TIME, "known_at": MAYBE_TIME,
        "open": _BOOLEAN,
        "events": list_of(object_of({"event_id": TEXT, "known_at": TIME})),
    },
}  # fmt: skip
_END = object_of({"preset": TEXT, "metric": TEXT, "value": or_null(_NUMBER), "numerator": WHOLE, "denominator": or_null(WHOLE),
                  "definition": ref("MetricDefinition")})  # fmt: skip

SCHEMAS: dict[str, Schema] = {
    "MetricValue": _VALUE, "MetricDefinition": _DEFINITION, "MetricRow": _ROW, "Contribution": _CONTRIBUTION,
    "MetricCatalogue": object_of({
        "metrics": list_of(object_of({
            "id": TEXT, "name": TEXT, "unit": {"type": "string", "enum": ["count", "ms", "ratio", "minor"]},
            "kind": {"type": "string", "enum": ["sum", "ratio", "max", "quantile"]}, "description": TEXT, "formula": TEXT,
            "numerator": _TERMS, "denominator": _TERMS, "source": TEXT, "version": COUNT, "parameters": _TEXTS,
            "attribution": list_of(_RULE),
            "group_by": _TEXTS, "presets": _TEXTS,
        })),
        "presets": list_of(object_of({
            "id": TEXT, "product": TEXT, "description": TEXT, "service_level": TEXT, "metrics": _TEXTS, "attribution": or_null(_RULE),
            "threshold_s": _NUMBER, "short_abandon_s": _NUMBER,
        })),
    }),
    "MetricAnswer": object_of({
        "definitions": {"type": "object", "additionalProperties": ref("MetricDefinition")}, "complete_through": MAYBE_TIME,
        "final": _BOOLEAN, "rows": list_of(ref("MetricRow")),
        "previous": object_of({"from": TIME, "to": TIME, "rows": list_of(ref("MetricRow"))}),
    }, required=("definitions", "complete_through", "final", "rows")),
    "MetricExplanation": object_of({
        "metric": TEXT, "value": or_null(_NUMBER), "numerator": WHOLE, "denominator": or_null(WHOLE),
        "side": {"type": "string", "enum": list(SIDES)}, "definition": ref("MetricDefinition"), "complete_through": MAYBE_TIME,
        "final": _BOOLEAN, "contributions": list_of(ref("Contribution")), "next_cursor": MAYBE_TEXT, "why": TEXT,
    }, required=("metric", "value", "numerator", "denominator", "side", "definition", "complete_through", "final", "contributions",
                 "next_cursor")),
    "MetricBridge": object_of({
        "from": _END, "to": _END, "complete_through": MAYBE_TIME, "final": _BOOLEAN,
        "steps": list_of(object_of({"rule": TEXT, "numerator": WHOLE, "denominator": WHOLE, "visits": COUNT, "journeys": _TEXTS})),
    }),
}  # fmt: skip


def parameters(known: dict[str, Parameter]) -> list[dict[str, Any]]:
    """Query parameters as OpenAPI 3.1 has them; `attr.NAME` and `group.NAME` are in the descriptions, for OpenAPI cannot say them."""
    return [
        {
            "name": name, "in": "query", "required": name in _REQUIRED, "description": one.says,
            "schema": list_of(one.schema) if one.many else one.schema,
        }
        for name, one in known.items()
    ]  # fmt: skip


_REQUIRED = ("from", "to", "from_preset", "to_preset")
