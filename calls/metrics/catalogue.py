"""Every metric there is, and the presets: what another product shows, by its own rules.

A new metric is one entry in one of the four families and one line in tests/corpus/metrics/vectors.csv.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from calls.metrics.agent_metrics import AGENT_METRICS
from calls.metrics.call_metrics import CALL_METRICS
from calls.metrics.measures import Attribution
from calls.metrics.metric import Metric
from calls.metrics.question import OF_CELLS, Question
from calls.metrics.queue_metrics import QUEUE_METRICS
from calls.metrics.service_levels import SERVICE_LEVELS

METRICS: dict[str, Metric] = {one.id: one for one in (*CALL_METRICS, *QUEUE_METRICS, *SERVICE_LEVELS, *AGENT_METRICS)}


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """What a product shows of its queues. `service_level` is its definition; the thresholds (ms) stand in for the built-in 20 s and 5 s.

    `attribution`: the product's own rule; None = each metric's default. It is told, not applied: a preset says what is counted,
    and `attribution=` when, so that two products' numbers of one hour are of the same calls.
    """

    id: str
    product: str
    service_level: str
    companions: tuple[str, ...]
    attribution: Attribution | None = None
    threshold_ms: int = 20_000
    short_abandon_ms: int = 5_000
    says: str

    @property
    def metrics(self) -> tuple[str, ...]:
        return (self.service_level, *self.companions)


_COUNTS = ("queue.offered", "queue.answered", "queue.abandoned", "queue.flowed_out")
_USUAL = (*_COUNTS, "abandonment.rate", "queue.asa", "queue.average_time_to_abandon", "handle.count", "handle.aht")
_CISCO = (*_COUNTS, "queue.short_abandoned", "abandonment.adjusted", "queue.asa", "handle.count", "handle.aht")
_EVENT = (
    "A call enters it when it is answered, abandoned or reaches the threshold. Short abandons (10 s) are neither abandoned nor offered."
)


def _cisco(name: Literal["positive", "negative", "ignore"], *, service_level: str, says: str) -> Preset:
    return Preset(
        id=f"cisco-{name}",
        product="Cisco ICM",
        service_level=service_level,
        companions=_CISCO,
        attribution="threshold",
        short_abandon_ms=10_000,
        says=f"{says} {_EVENT}",
    )


_PRESETS = (
    Preset(
        id="genesys",
        product="Genesys Cloud",
        service_level="sl.negative",
        companions=_USUAL,
        attribution="emit",
        says="Every abandon counts against the service level. Counts post at their own moment, durations when they are complete.",
    ),
    Preset(
        id="aws",
        product="Amazon Connect",
        service_level="sl.positive",
        companions=_USUAL,
        attribution="end",
        says="Whoever left the queue in time counts as served, even by hanging up. A contact belongs to the interval in which it ended.",
    ),
    _cisco("positive", service_level="sl.positive", says="Abandons within the threshold raise the service level."),
    _cisco("negative", service_level="sl.negative", says="Abandons within the threshold lower the service level."),
    _cisco("ignore", service_level="sl.ignore_in_threshold", says="Abandons within the threshold are left out of the service level."),
    Preset(
        id="wazo",
        product="Wazo",
        service_level="sl.answered_only",
        companions=("qos.wazo", "answered_rate.wazo", "average_wait.wazo", *_COUNTS, "queue.timed_out", "queue.full", "queue.refused"),
        says="Only answered calls are in the service level (its name there is qos).",
    ),
    Preset(
        id="ringcentral",
        product="RingCentral",
        service_level="sl.exclude_short",
        companions=("queue.short_abandoned", *_USUAL),
        says="Abandons within abandonedThresholdSeconds are left out of the service level.",
    ),
    Preset(
        id="twilio-flex",
        product="Twilio Flex Insights",
        service_level="sl.exclude_short",
        companions=("queue.short_abandoned", *_USUAL),
        attribution="start",
        threshold_ms=60_000,
        says="Its own defaults: a threshold of 60 s, and abandons within 5 s do not lower the service level. A conversation belongs to "
        "the interval in which it began (https://www.twilio.com/docs/flex/end-user-guide/insights/metrics/sla).",
    ),
)
PRESETS: dict[str, Preset] = {preset.id: preset for preset in _PRESETS}


def attribution_of(metric: str, question: Question) -> Attribution:
    """The rule that holds for a metric: the one asked for where the metric allows it, else the metric's own."""
    allowed = METRICS[metric].attributions
    return question.attribution if question.attribution in allowed else allowed[0]


def lacks(metric: str, dimension: str) -> bool:
    """Whether a metric's facts do not have what it is to be grouped or filtered by. Hour and weekday are of the instant: all have them."""
    known = METRICS[metric].dimensions
    return known is not None and dimension not in known and dimension not in OF_CELLS
