"""The metrics of queues: what became of the visits, and how long callers waited."""

from __future__ import annotations

from calls.metrics.metric import VISIT, WAIT, Metric, ratio, terms

_THRESHOLD, _SHORT = ("threshold_s",), ("short_abandon_s",)
_WAZO = "Wazo, database/queries/queue_stat.py"
_GENESYS = "https://help.mypurecloud.com/articles/metric-definitions"
_AWS = "https://docs.aws.amazon.com/connect/latest/adminguide/metrics-definitions.md"
_CISCO = "Cisco: http://www.callcentrevoice.com/topic.asp?forumid=11&threadid=5449"


def _count(id_: str, name: str, *, says: str, formula: str, measure: str, parameters: tuple[str, ...] = ()) -> Metric:
    return Metric(
        id=f"queue.{id_}",
        name=name,
        unit="count",
        says=says,
        formula=formula,
        numerator=terms(measure),
        attributions=VISIT,
        parameters=parameters,
    )


def _wait(id_: str, name: str, *, says: str, measure: str) -> Metric:
    return Metric(
        id=f"queue.{id_}",
        name=name,
        unit="ms",
        says=says,
        formula=f"the sum of the waits of {says[:1].lower()}{says[1:]}",
        numerator=terms(measure),
        attributions=WAIT,
    )


def _percentile(percent: int) -> Metric:
    return Metric(
        id=f"queue.wait_p{percent}",
        name=f"Wait, {percent}th percentile",
        unit="ms",
        kind="quantile",
        says=f"The shortest wait that at least {percent} % of the waits do not exceed.",
        formula=f"nearest rank: the wait at place ceil({percent / 100:g} × n) of all n waits in order",
        numerator=terms("wait_all"),
        attributions=VISIT,
        quantile=percent / 100,
    )


QUEUE_METRICS: tuple[Metric, ...] = (
    _count(
        "offered", "Offered", says="Visits of the queue, whatever became of them.", formula="O: entries into the queue", measure="offered"
    ),
    _count("answered", "Answered", says="Visits that ended with an agent's answer.", formula="A: left answered", measure="answered"),
    _count(
        "answered_within",
        "Answered within the threshold",
        says="Answered after a wait of at most threshold_s.",
        formula="A_T: left answered, wait ≤ threshold_s",
        measure="answered_within",
        parameters=_THRESHOLD,
    ),
    _count(
        "abandoned",
        "Abandoned",
        says="Callers who hung up while they waited, short abandons among them.",
        formula="B: left abandoned",
        measure="abandoned",
    ),
    _count(
        "abandoned_within",
        "Abandoned within the threshold",
        says="Abandoned after a wait of at most threshold_s.",
        formula="B_T: left abandoned, wait ≤ threshold_s",
        measure="abandoned_within",
        parameters=_THRESHOLD,
    ),
    _count(
        "short_abandoned",
        "Short abandons",
        says="Abandoned after a wait of at most short_abandon_s.",
        formula="B_s: left abandoned, wait ≤ short_abandon_s",
        measure="short_abandoned",
        parameters=_SHORT,
    ),
    _count(
        "flowed_out",
        "Flowed out",
        says="Visits that went elsewhere: timeout, overflow, transferred or callback.",
        formula="F: left by timeout, overflow, transfer or for a callback",
        measure="flowed_out",
    ),
    _count(
        "timed_out",
        "Timed out",
        says="Visits ended by the queue's longest wait.",
        formula="left by timeout (part of F)",
        measure="timed_out",
    ),
    _count(
        "refused", "Refused", says="Visits that the queue did not take: closed or full.", formula="C: closed or full", measure="refused"
    ),
    _count("full", "Refused, full", says="Visits refused because the queue was full.", formula="full (part of C)", measure="full"),
    _count("waiting", "Waiting", says="Visits that have not ended.", formula="W: not left yet", measure="waiting"),
    _wait("wait_answered", "Wait of the answered", says="Answered visits.", measure="wait_answered"),
    _wait("wait_abandoned", "Wait of the abandoned", says="Abandoned visits.", measure="wait_abandoned"),
    _wait("wait_all", "Wait of all", says="All visits, open ones up to complete_through.", measure="wait_all"),
    Metric(
        id="queue.wait_max",
        name="Longest wait",
        unit="ms",
        kind="max",
        says="The longest wait of any visit, open ones up to complete_through.",
        formula="the greatest of all waits",
        numerator=terms("wait_all"),
        attributions=VISIT,
    ),
    *(_percentile(percent) for percent in (50, 90, 95, 99)),
    ratio(
        "queue.asa",
        "Average speed of answer",
        unit="ms",
        says="The mean wait of those who were answered; those who hung up are not in it.",
        formula="Σ wait(answered) / A",
        top="wait_answered",
        bottom="answered",
        attributions=VISIT,
        source=f"{_GENESYS} ; {_AWS} (AVG_QUEUE_ANSWER_TIME)",
    ),
    ratio(
        "queue.average_time_to_abandon",
        "Average time to abandon",
        unit="ms",
        says="The mean wait of those who hung up.",
        formula="Σ wait(abandoned) / B",
        top="wait_abandoned",
        bottom="abandoned",
        attributions=VISIT,
        source=f"{_AWS} (AVG_ABANDON_TIME)",
    ),
    ratio(
        "queue.average_wait",
        "Average wait of all",
        unit="ms",
        says="The mean wait of every visit: what queueing theory calls Lq/λ, sometimes sold as the speed of answer.",
        formula="Σ wait(all) / O",
        top="wait_all",
        bottom="offered",
        attributions=VISIT,
    ),
    ratio(
        "abandonment.rate",
        "Abandonment rate",
        says="The share of all visits that the caller ended by hanging up. Who leaves in a menu was in no queue.",
        formula="B / O",
        top="abandoned",
        bottom="offered",
        attributions=VISIT,
        source=f"{_GENESYS} ; {_AWS}",
    ),
    ratio(
        "abandonment.adjusted",
        "Abandonment rate without short abandons",
        says="Who hangs up within short_abandon_s is neither abandoned nor offered.",
        formula="(B − B_s) / (O − B_s)",
        top="abandoned - short_abandoned",
        bottom="offered - short_abandoned",
        attributions=VISIT,
        parameters=_SHORT,
        source=_CISCO,
    ),
    ratio(
        "answered_rate.wazo",
        "Answered rate (Wazo)",
        says="Visits refused as closed and diverted ones are left out, refused as full and timed out are not.",
        formula="A / (A + B + full + timeout)",
        top="answered",
        bottom="answered + abandoned + full + timed_out",
        attributions=VISIT,
        source=_WAZO,
    ),
    ratio(
        "average_wait.wazo",
        "Average wait (Wazo)",
        unit="ms",
        says="The waits of all visits over those that were answered, abandoned or timed out: the two sides cover different sets.",
        formula="Σ wait(all) / (A + B + timeout)",
        top="wait_all",
        bottom="answered + abandoned + timed_out",
        attributions=VISIT,
        source=_WAZO,
    ),
)
