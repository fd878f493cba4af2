"""How each kind of facts (calls/metrics/measures.py) is read from its table: moments, lengths, dimensions and tests as SQL.

Every value that came from outside is a bound parameter, names of attributes too; what is written into a statement is ours.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from calls.clock import Micros, to_datetime
from calls.metrics.measures import A_MINUTE_MS, Adds, Measure, Source, Test
from calls.metrics.plan import Moment
from calls.metrics.question import ATTRIBUTE, Parameters
from projections.segments import long
from projections.shape import odd


class Binds:
    """The parameters of one statement: `bind(value)` gives the SQL that stands for it; equal values share one."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        self._names: dict[tuple[type, object], str] = {}

    def __call__(self, value: object, kind: str = "text") -> str:
        return f"CAST(:{self._name(value, kind)} AS {kind})"

    def at(self, value: Micros) -> str:
        return self(to_datetime(value), "timestamptz")

    def _name(self, value: object, kind: str) -> str:
        key = (type(value), (kind, tuple(value) if isinstance(value, list) else value))
        if key not in self._names:
            self._names[key] = f"p{len(self.values)}"
            self.values[self._names[key]] = value
        return self._names[key]


class Reading(msgspec.Struct, frozen=True):
    """What a statement is written for. `through`: open facts count up to here (µs); None: nobody can say, and they count 0."""

    bind: Binds
    tenant: str
    parameters: Parameters
    through: Micros | None

    @property
    def until_now(self) -> str:
        return "CAST(NULL AS timestamptz)" if self.through is None else self.bind.at(self.through)


class Facts(msgspec.Struct, frozen=True):
    """One source. `own` is the alias of its table, `j` that of its journey; `key` names one fact within its tenant."""

    table: str
    own: str
    key: tuple[str, ...]
    begins: str
    ends: str
    cohort: str  # the moment under `start`
    first: str  # the moment under `emit` of what posts at once
    dimensions: dict[str, str]
    journey: str = ""  # how its journey is joined
    open: str = ""
    only: str = ""
    length: str = ""  # stored, where it is; of closed facts
    long: str = ""  # of the few that are open or last longer than calls.agents.LONGEST: agent_slots leaves them out
    indexed: str = ""  # the column that ranges of time are found by
    odd: str = ""  # of the few of which another moment is more than projections.shape.NEAR away from it, or unknown

    @property
    def is_open(self) -> str:
        return self.open or f"{self.ends} IS NULL"


_OF_JOURNEY = {"direction": "j.direction", "account": "j.account", "flow": "j.flow", "outcome": "j.outcome"}


def _own(alias: str, *names: str) -> dict[str, str]:
    return {name: f"{alias}.{name}" for name in names}


def _join(alias: str, how: str = "JOIN") -> str:
    return f"{how} live.journeys j ON j.tenant = {alias}.tenant AND j.journey_id = {alias}.journey_id"


SOURCES: dict[Source, Facts] = {
    "calls": Facts(
        "live.journeys j", "j", ("journey_id",), "j.started_at", "j.ended_at", "j.started_at", "j.started_at",
        _OF_JOURNEY | _own("j", "queue", "agent", "menu"), open="j.state = 'open'",
        indexed="j.started_at", odd=odd(("j.started_at", "j.ended_at")),
    ),
    "visits": Facts(
        "live.queue_visits v", "v", ("journey_id", "n"), "v.entered_at", "v.left_at", "v.entered_at", "v.entered_at",
        _OF_JOURNEY | _own("v", "queue", "agent", "menu"), journey=_join("v"), length="v.wait_ms",
        indexed="v.entered_at", odd=odd(("v.entered_at", "v.left_at")),
    ),
    "handles": Facts(
        "live.legs l", "l", ("journey_id", "call_sid", "leg"), "l.answered_at", "l.ended_at", "l.cohort_at", "l.answered_at",
        _OF_JOURNEY | _own("l", "queue", "agent", "menu"), journey=_join("l"), only="l.cohort_at IS NOT NULL",
        indexed="l.cohort_at", odd=odd(("l.cohort_at", "l.answered_at"), ("l.cohort_at", "l.ended_at")),
    ),
    "stretches": Facts(
        "live.segments s", "s", ("journey_id", "call_sid", "leg", "n"), "s.started_at", "s.ended_at", "s.cohort_at", "s.started_at",
        _OF_JOURNEY | _own("s", "queue", "agent", "menu"), journey=_join("s"), only="s.cohort_at IS NOT NULL", length="s.duration_ms",
        long=long("s."),
        indexed="s.started_at", odd=odd(("s.started_at", "s.ended_at"), ("s.cohort_at", "s.started_at")),
    ),
    "agents": Facts(
        "live.agent_intervals a", "a", ("agent", "day", "n"), "a.started_at", "a.ended_at", "coalesce(a.cohort_at, a.started_at)",
        "a.started_at", _OF_JOURNEY | _own("a", "agent", "queue") | {"menu": "j.menu"}, journey=_join("a", "LEFT JOIN"),
        long="NOT a.in_slots", indexed="a.started_at",
        odd=odd(("a.started_at", "a.ended_at"), ("coalesce(a.cohort_at, a.started_at)", "a.started_at")),
    ),
    "shifts": Facts(
        "live.agent_days d", "d", ("agent", "day"), "d.shift_started_at", "d.shift_ended_at", "d.shift_started_at",
        "d.shift_started_at", _own("d", "agent"), only="d.shift_started_at IS NOT NULL",
    ),
}  # fmt: skip


def dimension(facts: Facts, name: str, bind: Binds) -> str:
    """The text of a dimension; an empty one is none. Raises KeyError where the source has none of this name."""
    if name.startswith(ATTRIBUTE):
        if not facts.journey and facts.own != "j":
            raise KeyError(name)
        return f"nullif(j.attributes ->> {bind(name.removeprefix(ATTRIBUTE))}, '')"
    return facts.dimensions[name]


def joined(facts: Facts, names: Iterable[str]) -> str:
    """What stands after FROM where these dimensions are asked for: the journey only where one of them is the journey's."""
    of_journey = any(name.startswith(ATTRIBUTE) or facts.dimensions[name].startswith("j.") for name in names)
    return f"{facts.table} {facts.journey}" if of_journey and facts.journey else facts.table


# ---------------------------------------------------------------- moments and amounts


def milliseconds(instant: str) -> str:
    """An instant at its own millisecond since 1970, as calls.clock.milliseconds takes it."""
    return f"floor(extract(epoch FROM {instant}) * 1000)::bigint"


def between(start: str, end: str) -> str:
    return f"greatest(0, {milliseconds(end)} - {milliseconds(start)})"


def ended(facts: Facts, reading: Reading) -> str:
    """Its end; of an open fact, how far it is known to have come."""
    return f"coalesce({facts.ends}, {reading.until_now})"


def whole(facts: Facts, reading: Reading) -> str:
    """The length of a fact in ms."""
    so_far = f"coalesce({between(facts.begins, ended(facts, reading))}, 0)"
    return f"coalesce({facts.length}, {so_far})" if facts.length else so_far


_OF_JOURNEYS: dict[Adds, str] = {
    "one": "1", "charge": "coalesce(j.charged_minor, 0)", "charge_by_minute": f"coalesce(j.charged_minor, 0)::numeric * {A_MINUTE_MS}",
    "unrated": "coalesce(j.unrated, 0)", "talk": "coalesce(j.talk_ms, 0)",
}  # fmt: skip


def amount(measure: Measure, reading: Reading) -> str:
    return _OF_JOURNEYS.get(measure.adds) or whole(SOURCES[measure.source], reading)


def threshold(reading: Reading, name: str) -> str:
    """A threshold of a visit's queue in ms; `name` is threshold_s or short_abandon_s."""
    asked, bind, place = reading.parameters, reading.bind, int(name == "short_abandon_s")
    usual = (asked.threshold_ms, asked.short_abandon_ms)[place]
    special = sorted((queue, both[place]) for queue, both in asked.by_queue.items() if both[place] != usual)
    if not special:
        return bind(usual, "bigint")
    cases = " ".join(f"WHEN {bind(queue)} THEN {bind(ms, 'bigint')}" for queue, ms in special)
    return f"(CASE v.queue {cases} ELSE {bind(usual, 'bigint')} END)"


def moment(source: Source, when: Moment, reading: Reading) -> str:
    """The instant at which a fact posts; NULL = not yet. Not for `split`, where it posts at every instant."""
    facts = SOURCES[source]
    if when == "threshold":
        reached = f"v.entered_at + {threshold(reading, 'threshold_s')} * interval '1 millisecond'"
        within = f"v.wait_ms <= {threshold(reading, 'threshold_s')}"
        known = f"v.left_at IS NOT NULL OR {reached} <= {reading.until_now}"
        return f"(CASE WHEN {within} THEN v.left_at WHEN {known} THEN {reached} END)"
    return {"start": facts.cohort, "end": facts.ends, "last": facts.ends, "first": facts.first}[when]


# ---------------------------------------------------------------- tests


def passes(measure: Measure, reading: Reading) -> str:
    """The condition that a fact is counted by the measure."""
    return " AND ".join(test_passes(measure.source, one, reading) for one in measure.tests) or "true"


def test_passes(source: Source, test: Test, reading: Reading) -> str:
    own = SOURCES[source].own
    if test.within is not None:
        return f"{whole(SOURCES['visits'], reading)} <= {threshold(reading, test.within)}"
    if test.is_true is not None:
        holds = _again(reading, later=test.field == "repeated") if test.field in _AGAIN else _TRUTHS[test.field].format(own=own)
        return holds if test.is_true else f"NOT {holds}"
    listed = ", ".join(reading.bind(value) for value in test.one_of)
    return f"{own}.{test.field} IN ({listed})"


_AGAIN = ("repeated", "repeats")
_TRUTHS = {
    "handled": "(j.handled > 0)",
    "transferred": "(j.handled >= 2)",
    "inbound_known": "(j.direction IS NOT DISTINCT FROM 'inbound' AND j.caller IS NOT NULL AND j.caller <> 'anonymous')",
    "named": "({own}.agent IS NOT NULL)",
}


def _again(reading: Reading, *, later: bool) -> str:
    """The same caller calls in once more within window_days: after this call (`later`) or before it."""
    bound, sign, order = ("<=", "+", ">") if later else (">=", "-", "<")
    window = f"{reading.bind(reading.parameters.window_days, 'int')} * interval '1 day'"
    return (
        "EXISTS (SELECT FROM live.journeys o WHERE o.tenant = j.tenant AND o.caller = j.caller AND o.direction = 'inbound' "
        f"AND (o.started_at, o.journey_id) {order} (j.started_at, j.journey_id) AND o.started_at {bound} j.started_at {sign} {window})"
    )
