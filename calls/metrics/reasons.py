"""Why a fact is in a number, or is not, as a sentence with its figures. Times are said in the question's own zone."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import msgspec

from calls.clock import Micros, to_datetime
from calls.ladder import plain, spoken
from calls.metrics.measures import A_MINUTE_MS, MEASURES, Source, Test
from calls.metrics.plan import Moment
from calls.metrics.question import Parameters
from calls.money import money

_COUNTED = ("one", "unrated")


class Fact(msgspec.Struct):
    """One row of a source, as far as its kind has the fields. `ms`: its wait or length; of an open one, so far.

    `at`: when it posts; None: not yet. `state`: of a stretch its kind (talk, hold), of agents' time the state.
    """

    source: Source
    moment: Moment
    at: Micros | None
    begins: Micros
    ends: Micros | None
    ms: int
    open: bool
    cohort: Micros | None = None
    journey_id: str | None = None
    call_sid: str | None = None
    leg: str | None = None
    queue: str | None = None
    agent: str | None = None
    outcome: str | None = None
    state: str | None = None
    reason: str | None = None
    bot: str | None = None
    handled: int | None = None
    caller: str | None = None
    direction: str | None = None
    charged: int | None = None  # of a call: minor units; None: nothing is rated, or in several currencies
    currency: str | None = None
    unrated: int | None = None


class Share(msgspec.Struct, frozen=True):
    """What a measure adds (or, negative, takes away) for a fact."""

    measure: str
    amount: int


class Telling(msgspec.Struct, frozen=True):
    """How sentences are told: in whose clock, with which thresholds."""

    zone: str
    parameters: Parameters

    def clock(self, at: Micros) -> str:
        shown = to_datetime(at).astimezone(ZoneInfo(self.zone))
        whole = shown.microsecond == 0
        return shown.isoformat(sep=" ", timespec="seconds" if whole else "milliseconds")[: 19 if whole else 23]

    def threshold_ms(self, name: str, queue: str | None) -> int:
        place = int(name == "short_abandon_s")
        usual = (self.parameters.threshold_ms, self.parameters.short_abandon_ms)
        return self.parameters.by_queue.get(queue or "", usual)[place]


def why(fact: Fact, shares: list[Share], telling: Telling) -> str:
    """`waited 12.0 s in queue PS, entered 2026-09-01 10:00:05, answered by KAZAV: counts 1 as answered, in the interval of its entry`."""
    return f"{told(fact, telling)}: {added(fact, shares, telling)}, {_where(fact, telling)}"


def told(fact: Fact, telling: Telling) -> str:
    """What happened."""
    sentence = {
        "calls": _call, "visits": _visit, "handles": _handle, "stretches": _stretch, "agents": _agent, "shifts": _shift,
    }[fact.source](fact, telling)  # fmt: skip
    return f"{sentence}{' (still open)' if fact.open and fact.source != 'visits' else ''}"


def _call(fact: Fact, telling: Telling) -> str:
    caller = f" from {plain(fact.caller)}" if fact.caller else ""
    bot = f", bot {fact.bot.replace('_', ' ')}" if fact.bot else ""
    return f"{fact.direction or 'a'} call{caller}, began {telling.clock(fact.begins)}, outcome {words(fact.outcome)}{bot}"


def _visit(fact: Fact, telling: Telling) -> str:
    ended = {"waiting": "still waiting", "answered": f"answered{_by(fact)}", "abandoned": "abandoned"}
    left = ended.get(fact.outcome or "", f"left by {words(fact.outcome)}")
    return f"waited {spoken(fact.ms)} in queue {plain(fact.queue or '?')}, entered {telling.clock(fact.begins)}, {left}"


def _by(fact: Fact) -> str:
    return f" by {plain(fact.agent)}" if fact.agent else ""


def _handle(fact: Fact, telling: Telling) -> str:
    return f"{plain(fact.agent or 'an unnamed person')} answered at {telling.clock(fact.begins)}{_of_queue(fact)}"


def _stretch(fact: Fact, telling: Telling) -> str:
    what = "held the caller" if fact.state == "hold" else "talked" if fact.state == "talk" else f"was in {words(fact.state)}"
    return f"{plain(fact.agent or 'an unnamed person')} {what} for {spoken(fact.ms)}, {_span(fact, telling)}{_of_queue(fact)}"


def _agent(fact: Fact, telling: Telling) -> str:
    reason = f" ({plain(fact.reason)})" if fact.reason else ""
    what = {"hold": "holding a caller", "wrap_up": "wrapping up"}.get(fact.state or "", words(fact.state))
    return f"{plain(fact.agent or '?')} was {what}{reason} for {spoken(fact.ms)}, {_span(fact, telling)}"


def _shift(fact: Fact, telling: Telling) -> str:
    return f"{plain(fact.agent or '?')} was at work for {spoken(fact.ms)}, {_span(fact, telling)}, first login to last logout"


def _of_queue(fact: Fact) -> str:
    return f" for queue {plain(fact.queue)}" if fact.queue else ""


def _span(fact: Fact, telling: Telling) -> str:
    return f"from {telling.clock(fact.begins)} " + (f"to {telling.clock(fact.ends)}" if fact.ends is not None else "until now")


def words(name: str | None) -> str:
    return plain((name or "unknown").replace("_", " "))


# ---------------------------------------------------------------- how it is counted


def added(fact: Fact, shares: list[Share], telling: Telling) -> str:
    """`counts 1 as abandoned, takes away 1 as abandoned within 5.0 s`."""
    return ", ".join(_share(one, fact, telling) for one in shares)


def _share(share: Share, fact: Fact, telling: Telling) -> str:
    verb = ("counts" if MEASURES[share.measure].adds in _COUNTED else "adds") if share.amount > 0 else "takes away"
    return f"{verb} {_much(share, fact)} as {named(share.measure, fact, telling)}"


def _much(share: Share, fact: Fact) -> str:
    much = abs(share.amount)
    match MEASURES[share.measure].adds:
        case "one" | "unrated":
            return str(much)
        case "charge":
            return money(much, fact.currency)
        case "charge_by_minute":
            return f"{A_MINUTE_MS:,} × {money(much // A_MINUTE_MS, fact.currency)}"
    return spoken(much)


def adds_nothing(measure: str, fact: Fact) -> str:
    """Why a call that is counted adds 0."""
    match MEASURES[measure].adds:
        case "charge" | "charge_by_minute" if fact.currency is None:
            return "none of its legs is rated" if fact.unrated else "it has no charges: its account names no rate plan, or no leg is over"
        case "charge" | "charge_by_minute":
            return "its legs cost nothing" if fact.charged == 0 else f"its legs are charged in {fact.currency}, which is never added"
        case "unrated":
            return "none of its legs is unrated"
    return "nobody talked in it"


def named(measure: str, fact: Fact, telling: Telling) -> str:
    """A measure in words: `answered within 20.0 s`."""
    within = next((test.within for test in MEASURES[measure].tests if test.within), None)
    words = measure.replace("_", " ").removesuffix(" within").removeprefix("short ")
    return words if within is None else f"{words} within {spoken(telling.threshold_ms(within, fact.queue))}"


def _where(fact: Fact, telling: Telling) -> str:
    match fact.moment:
        case "split":
            return "the part of it within the interval"
        case "threshold":
            threshold = telling.threshold_ms("threshold_s", fact.queue)
            return "in the interval of its end" if fact.ms <= threshold else f"in the interval in which it had waited {spoken(threshold)}"
        case "start":
            return f"in the interval of {_start(fact, telling)}"
        case "first":
            return "in the interval of " + {"visits": "its entry", "handles": "the answer"}.get(fact.source, "its start")
    return "in the interval of its end"


def _start(fact: Fact, telling: Telling) -> str:
    if fact.source == "visits":
        return "its entry"
    if fact.cohort is not None and fact.cohort != fact.begins:
        return f"the entry that was answered, {telling.clock(fact.cohort)}"
    return "the answer" if fact.source == "handles" else "its start"


# ---------------------------------------------------------------- and why it is not

NOTHING: dict[Source, str] = {
    "calls": "there is no such call",
    "visits": "the call entered no queue",
    "handles": "no person answered in this call",
    "stretches": "nobody talked in this call",
    "agents": "no such time of an agent belongs to this call",
    "shifts": "a shift is of an agent, not of a call",
}


def fails(test: Test, fact: Fact, telling: Telling) -> str:
    """What a fact would have had to be to be counted."""
    if test.within is not None:
        return f"it waited longer than {spoken(telling.threshold_ms(test.within, fact.queue))}"
    if test.field == "outcome":
        return f"its outcome is {words(fact.outcome)}, and counted is {' or '.join(map(words, test.one_of))}"
    if test.field in ("kind", "state"):
        return f"it is {words(fact.state)}, and counted is {' or '.join(map(words, test.one_of))}"
    return _UNTRUE.get(test.field, f"its {words(test.field)} is not counted")


_UNTRUE = {
    "bot": "no bot took part as counted here",
    "handled": "no person answered",
    "transferred": "fewer than two people answered one after the other",
    "inbound_known": "it is not an inbound call of a known caller",
    "repeated": "the same caller called again within the window",
    "repeats": "the same caller had not called within the window before",
    "named": "nobody knows which agent it was",
}
