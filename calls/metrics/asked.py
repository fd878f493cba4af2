"""From the parameters of a request to a question, or to all that is wrong with them. What is not understood is never ignored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec

from calls.clock import Micros
from calls.faults import Faults
from calls.metrics.catalogue import METRICS, PRESETS, lacks
from calls.metrics.cells import faults as calendar_faults
from calls.metrics.cells import interval_starts
from calls.metrics.measures import Attribution
from calls.metrics.parameters import ATTRIBUTE_FILTER, BRIDGE, EXPLAIN, GROUP, GROUP_VALUE, QUERY, Parameter, Value, is_dimension
from calls.metrics.question import ATTRIBUTE, DIMENSIONS, OF_CELLS, Interval, Parameters, Question
from calls.parameters import named
from calls.voice import hours

Items: TypeAlias = Iterable[tuple[str, str]]
Found: TypeAlias = list[tuple[str, str]]  # (parameter, what is wrong)
Side: TypeAlias = Literal["numerator", "denominator"]
USUAL_EXPLAINED = 100


class Scope(msgspec.Struct, frozen=True):
    """Whose question it is. `zone`: the tenant's. `queues`: (threshold, short abandon) in ms of each queue that configures its own."""

    tenant: str
    zone: str = "UTC"
    queues: dict[str, tuple[int | None, int | None]] = {}


class Explanation(msgspec.Struct, frozen=True):
    """Which cell of a question to explain. `interval_start` None: the whole range; `group` in the order of the question's group_by."""

    question: Question
    metric: str
    interval_start: Micros | None = None
    group: tuple[tuple[str, str | None], ...] = ()
    side: Side = "numerator"
    journey_id: str | None = None
    known_since: Micros | None = None
    limit: int = USUAL_EXPLAINED
    cursor: str | None = None


class Crossing(msgspec.Struct, frozen=True):
    """The same calls by two products' service levels: each question has its preset and one metric."""

    start: Question
    end: Question


class _Given(msgspec.Struct):
    """Values by name, as far as they could be read."""

    values: dict[str, Value] = {}
    hours: list[str] = []
    groups: dict[str, str] = {}  # group.NAME of explain
    faults: Found = []

    def text(self, name: str) -> str | None:
        value = self.values.get(name)
        return value if isinstance(value, str) else None

    def number(self, name: str) -> int | None:
        value = self.values.get(name)
        return value if isinstance(value, int) else None

    def names(self, name: str) -> tuple[str, ...]:
        value = self.values.get(name)
        return value if isinstance(value, tuple) else ()

    def wrong(self, field: str) -> bool:
        return any(name == field for name, _ in self.faults)


def query(items: Items, scope: Scope) -> Question:
    """The question of GET /v1/metrics/query. Raises Faults with everything that is wrong."""
    given = _read(items, QUERY)
    asked = _question(given, scope)
    _refuse(given)
    return asked


def explain(items: Items, scope: Scope) -> Explanation:
    """The question of GET /v1/metrics/explain: one metric, one cell. Raises Faults."""
    given = _read(items, EXPLAIN, groups=True)
    asked = _question(given, scope)
    if len(asked.metrics) != 1 and not given.wrong("metrics"):
        given.faults.append(("metrics", "name one metric: each has calls of its own"))
    group = _cell(given, asked)
    _refuse(given)
    side: Side = "denominator" if given.text("side") == "denominator" else "numerator"
    return Explanation(
        asked,
        asked.metrics[0],
        given.number("interval_start"),
        group,
        side,
        given.text("journey_id"),
        given.number("known_since"),
        given.number("limit") or USUAL_EXPLAINED,
        given.text("cursor"),
    )


def bridge(items: Items, scope: Scope) -> Crossing:
    """The question of GET /v1/metrics/bridge. Raises Faults."""
    given = _read(items, BRIDGE)
    ends = []
    for name in ("from_preset", "to_preset"):
        preset = given.text(name)
        if preset is None and not given.wrong(name):
            given.faults.append((name, f"name a preset: {', '.join(PRESETS)}"))
        ends.append(_question(given, scope, preset=preset or next(iter(PRESETS))))
    _refuse(given)
    start, end = (msgspec.structs.replace(one, metrics=(PRESETS[one.preset or ""].service_level,)) for one in ends)
    return Crossing(start, end)


def _refuse(given: _Given) -> None:
    if given.faults:
        raise Faults(list(dict.fromkeys(given.faults)))


# ---------------------------------------------------------------- one parameter after the other


def _read(items: Items, known: dict[str, Parameter], *, groups: bool = False) -> _Given:
    given = _Given()
    seen: set[str] = set()
    for name, text in items:
        try:
            found = _known(named(name), known, groups=groups)
            if name in seen and not found.many:
                raise ValueError("given twice: give it once")
            seen.add(name)
            _take(given, name, found.read(text))
        except ValueError as error:
            given.faults.append((name or "(no name)", str(error)))
    return given


def _known(name: str, known: dict[str, Parameter], *, groups: bool) -> Parameter:
    if name in known:
        return known[name]
    if name.startswith(ATTRIBUTE) and is_dimension(name):
        return ATTRIBUTE_FILTER
    if groups and name.startswith(GROUP) and is_dimension(name.removeprefix(GROUP)):
        return GROUP_VALUE
    raise ValueError(f"unknown parameter; known are {', '.join(known)} and {ATTRIBUTE}NAME{' and group.NAME' if groups else ''}")


def _take(given: _Given, name: str, value: Value) -> None:
    if name == "hours":
        given.hours.append(str(value))
    elif name.startswith(GROUP):
        given.groups[name.removeprefix(GROUP)] = str(value)
    else:
        given.values[name] = value


# ---------------------------------------------------------------- what they mean together


def _question(given: _Given, scope: Scope, *, preset: str | None = None) -> Question:
    """As good a question as can be made; what is missing or does not go together is added to the faults."""
    preset = preset or given.text("preset")
    zone = given.text("tz") or scope.zone
    since, until = _range(given)
    asked = Question(
        tenant=scope.tenant,
        metrics=_metrics(given, preset),
        since=since,
        until=until,
        interval=_interval(given),
        zone=zone,
        group_by=given.names("group_by"),
        filters=tuple(sorted((name, str(value)) for name, value in given.values.items() if is_dimension(name))),
        hours=_hours(given, zone),
        parameters=_parameters(given, scope, preset),
        attribution=_attribution(given),
        preset=preset,
        fill="fill" in given.values,
        compare="compare" in given.values,
    )
    given.faults += _unfit(asked)
    if not any(given.wrong(name) for name in ("from", "to", "interval", "tz", "hours")):
        given.faults += calendar_faults(asked)
    return asked


def _range(given: _Given) -> tuple[Micros, Micros]:
    for name in ("from", "to"):
        if name not in given.values and not given.wrong(name):
            given.faults.append((name, "missing: write a time such as 2026-01-31T08:00:00Z"))
    since, until = given.number("from"), given.number("to")
    if since is None or until is None:
        return 0, 1
    if since > until:
        given.faults.append(("from", "from is later than to: exchange them"))
    elif since == until:
        given.faults.append(("to", "from and to are the same: nothing lies between them"))
    return since, until


def _metrics(given: _Given, preset: str | None) -> tuple[str, ...]:
    found = given.names("metrics") or (PRESETS[preset].metrics if preset else ())
    if not found and not given.wrong("metrics") and not given.wrong("preset"):
        given.faults.append(("metrics", f"name metrics or a preset ({', '.join(PRESETS)}); metrics are {', '.join(METRICS)}"))
    return found


def _interval(given: _Given) -> Interval:
    intervals: dict[str, Interval] = {"15m": "15m", "1h": "1h", "1d": "1d", "1w": "1w", "1mo": "1mo"}
    return intervals.get(given.text("interval") or "", "all")


def _attribution(given: _Given) -> Attribution | None:
    rules: tuple[Attribution, ...] = ("start", "end", "emit", "split", "threshold")
    return next((rule for rule in rules if rule == given.text("attribution")), None)


def _hours(given: _Given, zone: str) -> hours.Opening | None:
    if not given.hours:
        return None
    opening, wrong = hours.read(given.hours, [], timezone=zone)
    given.faults += [("hours", detail) for field, detail in wrong if field != "timezone"]
    return opening


def _parameters(given: _Given, scope: Scope, preset: str | None) -> Parameters:
    """What was asked for, else each queue's own, else the preset's, else ours."""
    usual = Parameters()
    if preset:
        usual = Parameters(threshold_ms=PRESETS[preset].threshold_ms, short_abandon_ms=PRESETS[preset].short_abandon_ms)
    threshold, short = given.number("threshold_s"), given.number("short_abandon_s")
    both = (usual.threshold_ms if threshold is None else threshold, usual.short_abandon_ms if short is None else short)
    own = {
        queue: (both[0] if threshold is not None or first is None else first, both[1] if short is not None or second is None else second)
        for queue, (first, second) in scope.queues.items()
    }
    differing = {queue: pair for queue, pair in own.items() if pair != both}
    return Parameters(both[0], both[1], given.number("window_days") or usual.window_days, differing)


def _unfit(asked: Question) -> Found:
    """What a metric cannot be: attributed so, or grouped or filtered by what its facts do not have."""
    found: Found = []
    for metric in asked.metrics:
        allowed = METRICS[metric].attributions
        if asked.attribution and asked.attribution not in allowed:
            found.append(("attribution", f"{metric} cannot be attributed by {asked.attribution}: {', '.join(allowed)}"))
        for field, names in (("group_by", asked.group_by), (None, [name for name, _ in asked.filters])):
            found += [(field or name, _without(metric, name)) for name in names if lacks(metric, name)]
    return found


def _without(metric: str, dimension: str) -> str:
    known = METRICS[metric].dimensions or DIMENSIONS
    return f"{metric} has no {dimension}: it is of {', '.join(known)}"


def _cell(given: _Given, asked: Question) -> tuple[tuple[str, str | None], ...]:
    """The values of group_by in its order; a missing group.NAME is the group without a value."""
    for name, text in given.groups.items():
        if name not in asked.group_by and not given.wrong("group_by"):
            given.faults.append((GROUP + name, f"the question is not grouped by {name}: add it to group_by"))
        elif name in OF_CELLS and text not in map(str, range(24)):
            given.faults.append((GROUP + name, "not a whole number as in the rows of the answer"))
    for name in asked.group_by:
        if name in OF_CELLS and name not in given.groups:
            given.faults.append((GROUP + name, "missing: every instant has one"))
    start = given.number("interval_start")
    if start is not None and not given.faults and start not in interval_starts(asked):
        given.faults.append(("interval_start", "no interval of this question begins then: copy it from a row of the answer"))
    return tuple((name, given.groups.get(name)) for name in asked.group_by)
