"""SELECTs that count facts: by cell of the grid and group, or one by one.

A cell is [edges[i], edges[i+1]) and belongs to the row `keys[i]` of the answer (0: to none). Where the grid is one cell, nothing
has to look for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec

from api.analytics.sources import SOURCES, Facts, Reading, amount, dimension, ended, joined, milliseconds, moment, passes, whole
from calls.clock import to_datetime
from calls.metrics.catalogue import METRICS
from calls.metrics.measures import MEASURES, PRICED, Measure, Source
from calls.metrics.metric import Metric
from calls.metrics.plan import Moment, Selection
from calls.metrics.question import Grid
from projections.shape import NEAR

NARROWED = ("stretches", "agents")  # facts that no open one of another state could still become
Value: TypeAlias = str | None
Rest: TypeAlias = Literal["open", "long"]
"""Only what a rollup leaves out: open facts of queues (queue_slots), or what is open or very long (agent_slots)."""


class Scope(msgspec.Struct, frozen=True):
    """Which facts, in which cells. `filters`: a dimension has this text (None: it is missing)."""

    reading: Reading
    grid: Grid
    groups: tuple[str, ...] = ()
    filters: tuple[tuple[str, Value], ...] = ()
    rest: Rest | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.groups, *(name for name, _ in self.filters))


def by_cell(one: Selection, scope: Scope) -> str:
    """Rows (key, groups…, whether any is open, sums of the measures…, the extremes…). Key NULL or 0: counted nowhere.

    Of a selection with money, at the end: the currencies.
    """
    facts, reading = SOURCES[one.source], scope.reading
    groups = [f"{dimension(facts, name, reading.bind)} AS g{n}" for n, name in enumerate(scope.groups)]
    sums = [_sum(MEASURES[name], one.moment, scope) for name in one.measures]
    extremes = [_extreme(METRICS[name], reading) for name in one.extremes]
    money = ["array_agg(DISTINCT j.currency) FILTER (WHERE j.currency IS NOT NULL)"] if one.priced else []
    columns = [f"{_key(one, scope)} AS key", *groups, f"bool_or({facts.is_open})", *sums, *extremes, *money]
    grouping = ", ".join(str(n + 1) for n in range(len(groups) + 1))
    where = " AND ".join(_conditions(one, scope))
    return f"SELECT {', '.join(columns)} FROM {_from(one, scope)} WHERE {where} GROUP BY {grouping}"


def _sum(measure: Measure, when: Moment, scope: Scope) -> str:
    reading = scope.reading
    test = passes(measure, reading)
    filtered = f" FILTER (WHERE {test})" if test != "true" else ""
    if measure.adds == "one":
        return f"count(*){filtered}"
    each = part(SOURCES[measure.source], scope) if when == "split" else amount(measure, reading)
    return f"coalesce(sum({each}){filtered}, 0){'' if measure.adds in PRICED else '::bigint'}"


def _extreme(metric: Metric, reading: Reading) -> str:
    """The greatest amount, or by nearest rank the one at a place in their order."""
    measure = MEASURES[metric.numerator[0].measure]
    each, test = amount(measure, reading), passes(measure, reading)
    if metric.quantile is None:
        return f"max({each}) FILTER (WHERE {test})"
    place = reading.bind(metric.quantile, "float8")
    return f"percentile_disc({place}) WITHIN GROUP (ORDER BY {each}) FILTER (WHERE {test})"


# ---------------------------------------------------------------- cells


def is_whole(grid: Grid) -> bool:
    return grid.keys == [1]


def edges(scope: Scope) -> str:
    return scope.reading.bind([to_datetime(edge) for edge in scope.grid.edges], "timestamptz[]")


def keys(scope: Scope) -> str:
    return scope.reading.bind(scope.grid.keys, "int[]")


def cell_of(instant: str, scope: Scope) -> str:
    """The key of the row in whose cells an instant lies."""
    if is_whole(scope.grid):
        return "1"
    return f"({keys(scope)})[width_bucket({instant}, {edges(scope)})]"


def _key(one: Selection, scope: Scope) -> str:
    if one.moment != "split":
        return cell_of(moment(one.source, one.moment, scope.reading), scope)
    return "1" if is_whole(scope.grid) else f"({keys(scope)})[c.i]"


def cells_touched(facts: Facts, scope: Scope) -> str:
    """The cells that a stretch has a part in, as a set of numbers `i`."""
    last = len(scope.grid.keys)
    first, end = f"width_bucket({facts.begins}, {edges(scope)})", f"{ended(facts, scope.reading)} - interval '1 microsecond'"
    return f"generate_series(greatest(1, {first}), least({last}, width_bucket({end}, {edges(scope)})))"


def part(facts: Facts, scope: Scope) -> str:
    """The length of what a stretch has in one cell: `c.i`, or the whole grid where it is one cell."""
    bind, grid = scope.reading.bind, scope.grid
    lower, upper = (
        (bind.at(grid.edges[0]), bind.at(grid.edges[-1])) if is_whole(grid) else (f"({edges(scope)})[c.i]", f"({edges(scope)})[c.i + 1]")
    )
    end = ended(facts, scope.reading)
    cut = f"greatest(0, {milliseconds(f'least({end}, {upper})')} - {milliseconds(f'greatest({facts.begins}, {lower})')})"
    return f"(CASE WHEN {facts.begins} >= {lower} AND {end} <= {upper} THEN {whole(facts, scope.reading)} ELSE {cut} END)"


# ---------------------------------------------------------------- which facts


def _from(one: Selection, scope: Scope) -> str:
    table = joined(SOURCES[one.source], scope.names)
    if one.moment == "split" and not is_whole(scope.grid):
        return f"{table} CROSS JOIN LATERAL {cells_touched(SOURCES[one.source], scope)} AS c(i)"
    return table


def _conditions(one: Selection, scope: Scope) -> Iterable[str]:
    yield from of_tenant(SOURCES[one.source], scope)
    yield in_time(one.source, one.moment, scope)
    if one.queueless:
        yield f"{SOURCES[one.source].own}.queue IS NULL"
    measures = [MEASURES[name] for name in (*one.measures, *(METRICS[name].numerator[0].measure for name in one.extremes))]
    tests = {passes(measure, scope.reading) for measure in measures}
    if one.source in NARROWED and tests and "true" not in tests:
        yield "(" + " OR ".join(sorted(tests)) + ")"


def of_tenant(facts: Facts, scope: Scope) -> Iterable[str]:
    """The tenant's facts of this kind, filtered."""
    bind = scope.reading.bind
    yield f"{facts.own}.tenant = {bind(scope.reading.tenant)}"
    if facts.only:
        yield facts.only
    if scope.rest is not None:
        yield facts.odd
        yield facts.long if scope.rest == "long" else f"{facts.is_open} AND {facts.own}.queue IS NOT NULL"
    for name, value in scope.filters:
        yield f"{dimension(facts, name, bind)} {'IS NULL' if value is None else f'= {bind(value)}'}"


def in_time(source: Source, when: Moment, scope: Scope) -> str:
    """The fact posts, or has a part, within the grid."""
    reading, facts = scope.reading, SOURCES[source]
    since, until = reading.bind.at(scope.grid.edges[0]), reading.bind.at(scope.grid.edges[-1])
    if when == "split":
        within = f"{facts.begins} < {until} AND {ended(facts, reading)} > greatest({since}, {facts.begins})"
    else:
        at = moment(source, when, reading)
        within = f"{at} >= {since} AND {at} < {until}"
        if at == facts.indexed:
            return within
    if not facts.odd or scope.rest is not None:
        return within
    return f"{within} AND (({facts.indexed} >= {since} - {NEAR} AND {facts.indexed} < {until} + {NEAR}) OR {facts.odd})"
