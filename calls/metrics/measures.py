"""What can be counted: five kinds of facts, and measures, each a sum over those facts that pass its tests.

A metric (calls/metrics/catalogue.py) is made of measures. Nothing here knows how facts are stored: the API turns a measure
into SQL (api/analytics/sources.py), a rollup keeps its sums by quarter of an hour (calls/metrics/slots.py).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Source: TypeAlias = Literal["calls", "visits", "handles", "stretches", "agents", "shifts"]
"""The kinds of facts, each one row of a table.

`calls`: a journey (table journeys). `visits`: a queue visit (queue_visits). `handles`: a leg of a person who answered (legs with a
cohort_at). `stretches`: a talk or hold of such a leg (segments with a cohort_at). `agents`: an agent's time in one state
(agent_intervals). `shifts`: an agent's first login to last logout of a local day (agent_days).
"""
Adds: TypeAlias = Literal["one", "wait", "length", "charge", "charge_by_minute", "unrated", "talk"]
"""What a fact adds: 1, its wait in ms, or its length in ms. Open ones count up to `complete_through`.

Of a journey alone: what its legs cost in minor units, 60,000 times that (so that over ms it is what a minute costs), how many of its
legs are unrated, or its talk in ms; of those legs that are over.
"""
PRICED: tuple[Adds, ...] = ("charge", "charge_by_minute")
A_MINUTE_MS = 60_000
Moment: TypeAlias = Literal["first", "last"]
"""Under `emit`, where the measure posts: at the fact's own first moment (offered, started, answered by a person) or its last."""
Attribution: TypeAlias = Literal["start", "end", "emit", "split", "threshold"]


class Test(msgspec.Struct, frozen=True):
    """`field` of the fact is one of `one_of`; or lies `within` a parameter (threshold_s, short_abandon_s), both in ms; or is (not) true.

    Fields: calls: outcome, bot (open, contained, handed_over), handled (`yes`: a person answered), transferred, inbound_known
    (inbound with a known caller), repeated (the same caller calls again within window_days), repeats (called before within them);
    visits: outcome, wait; stretches: kind, named (its agent is known); agents: state, named.
    """

    field: str
    one_of: tuple[str, ...] = ()
    within: str | None = None  # name of a parameter
    is_true: bool | None = None


class Measure(msgspec.Struct, frozen=True):
    """A sum over the facts of one source that pass every test."""

    id: str
    source: Source
    adds: Adds = "one"
    tests: tuple[Test, ...] = ()
    emits: Moment = "last"


def _outcome(*names: str) -> Test:
    return Test("outcome", one_of=names)


FLOWED_OUT = ("timeout", "overflow", "transferred", "callback")
REFUSED = ("closed", "full")
FAILED = ("failed", "busy", "no_answer", "rejected", "canceled")
WITHIN, SHORT = Test("wait", within="threshold_s"), Test("wait", within="short_abandon_s")
TRUE_BOT = ("open", "contained", "handed_over")

_ALL = (
    Measure("calls", "calls", emits="first"),
    Measure("calls_answered", "calls", tests=(_outcome("answered"),)),
    Measure("calls_failed", "calls", tests=(_outcome(*FAILED),)),
    Measure("calls_abandoned_in_menu", "calls", tests=(_outcome("abandoned_in_menu"),)),
    Measure("calls_transferred", "calls", tests=(Test("transferred", is_true=True),)),
    Measure("bot_calls", "calls", tests=(Test("bot", one_of=TRUE_BOT),)),
    Measure("bot_contained", "calls", tests=(Test("bot", one_of=("contained",)),)),
    Measure("bot_handed_over", "calls", tests=(Test("bot", one_of=("handed_over",)),)),
    Measure("known_callers", "calls", tests=(Test("inbound_known", is_true=True),), emits="first"),
    Measure("not_repeated", "calls", tests=(Test("inbound_known", is_true=True), Test("repeated", is_true=False)), emits="first"),
    Measure("repeats", "calls", tests=(Test("inbound_known", is_true=True), Test("repeats", is_true=True)), emits="first"),
    Measure("charged", "calls", "charge"),
    Measure("charged_by_minute", "calls", "charge_by_minute"),
    Measure("unrated", "calls", "unrated"),
    Measure("talked", "calls", "talk"),
    Measure("offered", "visits", emits="first"),
    Measure("answered", "visits", tests=(_outcome("answered"),)),
    Measure("answered_within", "visits", tests=(_outcome("answered"), WITHIN)),
    Measure("abandoned", "visits", tests=(_outcome("abandoned"),)),
    Measure("abandoned_within", "visits", tests=(_outcome("abandoned"), WITHIN)),
    Measure("short_abandoned", "visits", tests=(_outcome("abandoned"), SHORT)),
    Measure("flowed_out", "visits", tests=(_outcome(*FLOWED_OUT),)),
    Measure("timed_out", "visits", tests=(_outcome("timeout"),)),
    Measure("refused", "visits", tests=(_outcome(*REFUSED),)),
    Measure("full", "visits", tests=(_outcome("full"),)),
    Measure("waiting", "visits", tests=(_outcome("waiting"),), emits="first"),
    Measure("wait_answered", "visits", "wait", (_outcome("answered"),)),
    Measure("wait_abandoned", "visits", "wait", (_outcome("abandoned"),)),
    Measure("wait_all", "visits", "wait"),
    Measure("handled", "handles", emits="first"),
    Measure("talk", "stretches", "length", (Test("kind", one_of=("talk",)),)),
    Measure("hold", "stretches", "length", (Test("kind", one_of=("hold",)),)),
    Measure("agent_talk", "stretches", "length", (Test("kind", one_of=("talk",)), Test("named", is_true=True))),
    Measure(
        "wrapped_up", "agents", "length", (Test("state", one_of=("wrap_up",)),)
    ),  # of the talk before it: its queue, its entry, its call
    Measure("wrap_up", "agents", "length", (Test("state", one_of=("wrap_up",)),)),  # as a state of the agent alone
    Measure("logged_in", "agents", "length"),
    Measure("busy", "agents", "length", (Test("state", one_of=("talking",)),)),
    Measure("held", "agents", "length", (Test("state", one_of=("hold",)),)),
    Measure("available", "agents", "length", (Test("state", one_of=("available",)),)),
    Measure("paused", "agents", "length", (Test("state", one_of=("paused",)),)),
    Measure("ringing", "agents", "length", (Test("state", one_of=("ringing",)),)),
    Measure("communicating", "agents", "length", (Test("state", one_of=("communicating",)),)),
    Measure("shift", "shifts", "length"),
)
MEASURES: dict[str, Measure] = {measure.id: measure for measure in _ALL}
