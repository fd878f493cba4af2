"""The catalogue as the API tells it."""

from __future__ import annotations

from functools import cache

from calls.metrics.catalogue import METRICS, PRESETS, Preset
from calls.metrics.evaluate import seconds
from calls.metrics.metric import Metric
from calls.metrics.question import ATTRIBUTE, DIMENSIONS


@cache
def catalogue() -> dict[str, object]:
    """The document of `GET /v1/metrics`."""
    return {"metrics": [_metric(one) for one in METRICS.values()], "presets": [_preset(one) for one in PRESETS.values()]}


def _metric(one: Metric) -> dict[str, object]:
    return {
        "id": one.id, "name": one.name, "unit": one.unit, "kind": one.kind, "description": one.says, "formula": one.formula,
        "numerator": [{"sign": term.sign, "measure": term.measure} for term in one.numerator],
        "denominator": [{"sign": term.sign, "measure": term.measure} for term in one.denominator],
        "source": one.source, "version": one.version, "parameters": one.parameters, "attribution": one.attributions,
        "group_by": one.dimensions or (*DIMENSIONS, f"{ATTRIBUTE}NAME"),
        "presets": [preset.id for preset in PRESETS.values() if one.id in preset.metrics],
    }  # fmt: skip


def _preset(one: Preset) -> dict[str, object]:
    return {
        "id": one.id, "product": one.product, "description": one.says, "service_level": one.service_level, "metrics": one.metrics,
        "attribution": one.attribution, "threshold_s": seconds(one.threshold_ms), "short_abandon_s": seconds(one.short_abandon_ms),
    }  # fmt: skip
