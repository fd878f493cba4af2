"""The metrics of whole calls: the caller's story from the first ring to the last hang-up. Calls placed to reach an agent are part of it."""

from __future__ import annotations

from calls.metrics.metric import CALL, Metric, ratio, terms

_FCR = "https://www.callcentrehelper.com/first-call-contact-resolution-fcr-208926.htm"
_WINDOW = ("window_days",)


def _count(id_: str, name: str, *, says: str, formula: str, measure: str, parameters: tuple[str, ...] = ()) -> Metric:
    return Metric(
        id=id_,
        name=name,
        unit="count",
        says=says,
        formula=formula,
        numerator=terms(measure),
        attributions=CALL,
        parameters=parameters,
    )


CALL_METRICS: tuple[Metric, ...] = (
    _count("calls.started", "Calls", says="Calls, in and out.", formula="journeys", measure="calls"),
    _count(
        "calls.answered",
        "Calls answered",
        says="Calls in which a person was reached.",
        formula="outcome answered",
        measure="calls_answered",
    ),
    _count(
        "calls.failed",
        "Calls failed",
        says="Calls that reached nobody: failed, busy, no answer, rejected or canceled.",
        formula="outcome failed, busy, no_answer, rejected or canceled",
        measure="calls_failed",
    ),
    _count(
        "calls.abandoned_in_menu",
        "Calls left in a menu",
        says="Callers who hung up in a menu, before any queue. Never part of queue.abandoned.",
        formula="outcome abandoned_in_menu",
        measure="calls_abandoned_in_menu",
    ),
    _count(
        "calls.transferred",
        "Calls transferred",
        says="Calls that somebody passed on after an answer.",
        formula="journeys with a transfer",
        measure="calls_transferred",
    ),
    ratio(
        "calls.answer_rate",
        "Answer-seizure ratio",
        says="The share of all calls in which a person was reached.",
        formula="answered calls / calls",
        top="calls_answered",
        bottom="calls",
        source="CGRateS, docs/stats.rst (ASR)",
        attributions=CALL,
    ),
    _count(
        "callers.repeat",
        "Repeat calls",
        says="Inbound calls of a known caller who had called within window_days before.",
        formula="inbound calls with an earlier one of the same caller within window_days",
        measure="repeats",
        parameters=_WINDOW,
    ),
    ratio(
        "fcr.window",
        "First-call resolution (window)",
        says="The share of inbound calls that the same known caller did not repeat within window_days. Final when those are over.",
        formula="calls without a later one of the same caller within window_days / inbound calls of known callers",
        top="not_repeated",
        bottom="known_callers",
        source=_FCR,
        parameters=_WINDOW,
        attributions=CALL,
    ),
    _count("bot.calls", "Calls with a bot", says="Calls that a bot answered.", formula="calls with a bot's leg", measure="bot_calls"),
    _count(
        "bot.contained",
        "Contained by a bot",
        says="Calls that a bot saw to the end: no person and no queue after it.",
        formula="bot calls that ended with the bot",
        measure="bot_contained",
    ),
    _count(
        "bot.handed_over",
        "Handed over by a bot",
        says="Calls that went from a bot to a queue or a person.",
        formula="bot calls that went on",
        measure="bot_handed_over",
    ),
    ratio(
        "bot.containment",
        "Bot containment",
        says="The share of calls with a bot that it saw to the end.",
        formula="contained / bot calls",
        top="bot_contained",
        bottom="bot_calls",
        attributions=CALL,
    ),
    Metric(
        id="cost.charged",
        name="Charged",
        unit="minor",
        says="What the legs of calls cost by their accounts' rate plans. Null where nothing is rated, or in several currencies.",
        formula="Σ charges",
        numerator=terms("charged"),
        attributions=CALL,
    ),
    ratio(
        "cost.per_call",
        "Cost of a call",
        says="Charges for each call, those without charges included.",
        formula="Σ charges / calls",
        top="charged",
        bottom="calls",
        unit="minor",
        attributions=CALL,
    ),
    ratio(
        "cost.per_minute",
        "Cost of a minute",
        says="Charges for each minute of talk.",
        formula="60,000 × Σ charges / ms of talk",
        top="charged_by_minute",
        bottom="talked",
        unit="minor",
        attributions=CALL,
    ),
    _count(
        "cost.unrated",
        "Unrated legs",
        says="Legs that are over and that no rule of their account's plan covers: what is charged leaves them out.",
        formula="legs without an amount",
        measure="unrated",
    ),
)
