"""SELECTs over the sums by quarter of an hour (tables queue_slots, agent_slots), and over what these leave out: open and very long facts.

Both together say to the unit what the facts say one by one.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from api.analytics.sources import Reading
from api.analytics.statements import Rest, Scope, cell_of
from calls.metrics.measures import MEASURES, Measure
from calls.metrics.plan import Path, Selection

_OF_AGENTS = {"busy": "talking", "held": "hold", "agent_talk": "talk"}  # measure -> column, where they differ
_DIMENSION: dict[Path, str] = {"queue_slots": "queue", "agent_slots": "agent"}


def by_cell(one: Selection, scope: Scope) -> str:
    """Rows as statements.by_cell has them."""
    name, bind = _DIMENSION[one.path], scope.reading.bind
    sums = [f"sum({_column(MEASURES[measure], scope.reading, path=one.path)})::bigint" for measure in one.measures]
    opened = "sum(r.waiting) > 0" if one.path == "queue_slots" else "false"
    columns = [f"{cell_of('r.slot', scope)} AS key", *(f"r.{group}" for group in scope.groups), opened, *sums]
    edges = scope.grid.edges
    where = [f"r.tenant = {bind(scope.reading.tenant)}", f"r.slot >= {bind.at(edges[0])}", f"r.slot < {bind.at(edges[-1])}"]
    where += [f"r.{name} = {bind(value)}" for _, value in scope.filters]
    grouping = ", ".join(str(n + 1) for n in range(len(scope.groups) + 1))
    return f"SELECT {', '.join(columns)} FROM live.{one.path} r WHERE {' AND '.join(where)} GROUP BY {grouping}"


def left_out(one: Selection) -> Iterator[tuple[Selection, Rest]]:
    """What has to be read fact by fact besides, and which facts. One without measures only says whether there are any."""
    rest: Rest = "open" if one.path == "queue_slots" else "long"
    lengths = [MEASURES[name] for name in one.measures if MEASURES[name].adds != "one"]
    asked = {MEASURES[name].source for name in one.measures}
    for source in ("visits", "stretches", "agents"):
        names = tuple(measure.id for measure in lengths if measure.source == source)
        if names or (source == "stretches" and "handles" in asked):
            yield msgspec.structs.replace(one, source=source, path="raw", measures=names), rest


def _column(measure: Measure, reading: Reading, *, path: Path) -> str:
    """The column that has the measure. A threshold is one of those that are kept (calls.metrics.plan.kept)."""
    if path == "agent_slots":
        return f"r.{_OF_AGENTS.get(measure.id, measure.id)}"
    within = next((test.within for test in measure.tests if test.within), None)
    if within is None:
        return f"r.{measure.id}"
    (outcome,) = next(test.one_of for test in measure.tests if test.field == "outcome")
    asked, place = reading.parameters, int(within == "short_abandon_s")
    usual = f"r.{outcome}_{(asked.threshold_ms, asked.short_abandon_ms)[place] // 1000}"
    cases = " ".join(f"WHEN {reading.bind(queue)} THEN r.{outcome}_{both[place] // 1000}" for queue, both in sorted(asked.by_queue.items()))
    return f"CASE r.queue {cases} ELSE {usual} END" if cases else usual
