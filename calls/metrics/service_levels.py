"""The service levels in use. There is no standard: the same calls differ by some five points from one product's definition to another's.

Within the threshold means wait ≤ threshold_s, everywhere.
"""

from __future__ import annotations

from calls.metrics.metric import VISIT, Metric, ratio

_HOUSE = "https://www.callcentrehelper.com/service-level-threshold-calculations-206890.htm"
_GENESYS = "https://help.mypurecloud.com/articles/configure-the-service-level-calculation/"
_CISCO = "Cisco ICM: https://manualsdump.com/en/manuals/cisco_systems-icm_software_version_4.5/180829/143"
_AWS = "https://docs.aws.amazon.com/connect/latest/adminguide/metrics-definitions.md"
_SHORT = ("threshold_s", "short_abandon_s")


def _level(
    id_: str, name: str, *, says: str, formula: str, top: str, bottom: str, source: str, parameters: tuple[str, ...] = ("threshold_s",)
) -> Metric:
    return ratio(id_, name, says=says, formula=formula, top=top, bottom=bottom, attributions=VISIT, parameters=parameters, source=source)


SERVICE_LEVELS: tuple[Metric, ...] = (
    _level(
        "sl.positive",
        "Service level, abandons within the threshold count as success",
        says="Everyone who left the queue within the threshold, by an answer or by hanging up, counts as served.",
        formula="(A_T + B_T) / (A + B)",
        top="answered_within + abandoned_within",
        bottom="answered + abandoned",
        source=f"{_CISCO} (“positively impact”) ; {_AWS} (removed from the queue within the threshold)",
    ),
    _level(
        "sl.answered_only",
        "Service level of the answered",
        says="Of those who were answered, the share within the threshold; who hung up is in neither side.",
        formula="A_T / A",
        top="answered_within",
        bottom="answered",
        source="Wazo (qos)",
    ),
    _level(
        "sl.negative",
        "Service level, every abandon counts against it",
        says="Of those who were answered or hung up, the share answered within the threshold.",
        formula="A_T / (A + B)",
        top="answered_within",
        bottom="answered + abandoned",
        source=f"{_GENESYS} (default) ; {_CISCO} (“negatively impact”)",
    ),
    _level(
        "sl.ignore_in_threshold",
        "Service level, abandons within the threshold left out",
        says="Who hung up within the threshold is not counted; who hung up later counts against it.",
        formula="A_T / (A + B − B_T)",
        top="answered_within",
        bottom="answered + abandoned - abandoned_within",
        source=f"{_CISCO} (“ignored”) ; https://blog.brightpattern.com/blog/service-level-ns-infographic",
    ),
    _level(
        "sl.credit_short",
        "Service level, short abandons count as success",
        says="Who hung up within short_abandon_s counts as served, other abandons against it.",
        formula="(A_T + B_s) / (A + B)",
        top="answered_within + short_abandoned",
        bottom="answered + abandoned",
        source=f"{_HOUSE} (formula 5)",
        parameters=_SHORT,
    ),
    _level(
        "sl.exclude_short",
        "Service level, short abandons left out",
        says="Who hung up within short_abandon_s is not counted; other abandons count against it.",
        formula="A_T / (A + B − B_s)",
        top="answered_within",
        bottom="answered + abandoned - short_abandoned",
        source=f"{_GENESYS} (short abandons off) ; RingCentral (abandonedThresholdSeconds)",
        parameters=_SHORT,
    ),
    _level(
        "sl.exclude_abandons",
        "Service level, all abandons left out",
        says="Nobody who hung up is counted: the same number as sl.answered_only, by another road.",
        formula="A_T / (A + B − B)",
        top="answered_within",
        bottom="answered",
        source=f"{_GENESYS} (abandons off)",
    ),
    _level(
        "sl.with_flowouts",
        "Service level, flow-outs count against it",
        says="Who was sent elsewhere (timeout, overflow, transfer, callback) counts against it, as every abandon does.",
        formula="A_T / (A + B + F)",
        top="answered_within",
        bottom="answered + abandoned + flowed_out",
        source=f"{_GENESYS} (flow-outs on)",
    ),
    _level(
        "qos.wazo",
        "Quality of service (Wazo)",
        says="Wazo's name for sl.answered_only.",
        formula="A_T / A",
        top="answered_within",
        bottom="answered",
        source="Wazo, database/queries/queue_stat.py",
    ),
)
