"""How a question is counted: which facts are read, from where, and at which of their moments they post."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from calls.metrics.catalogue import METRICS, attribution_of
from calls.metrics.measures import MEASURES, PRICED, Attribution, Source
from calls.metrics.question import Grid, Parameters, Question
from calls.metrics.slots import COLUMNS, EDGES_S, SLOT_US

Path: TypeAlias = Literal["raw", "queue_slots", "agent_slots"]
Moment: TypeAlias = Literal["start", "end", "first", "last", "split", "threshold"]
"""When a fact posts; `emit` is either the `first` or the `last` moment of each measure."""

OF_CALLS = "wrapped_up"  # the one measure of agents that has the dimensions of the call before it
_SLOTTED: frozenset[Source] = frozenset({"visits", "handles", "stretches"})


class Selection(msgspec.Struct, frozen=True):
    """What one SELECT reads: sums of `measures` (ids) and places in the order of waits for `extremes` (ids of max and quantile metrics).

    On the raw path all measures are of `source`; a rollup is read once for all that it has. `queueless`: only the facts without a
    queue, which queue_slots leaves out: a measure's total is the sum over all selections that name it.
    """

    source: Source
    path: Path
    attribution: Attribution
    moment: Moment
    measures: tuple[str, ...] = ()
    extremes: tuple[str, ...] = ()
    queueless: bool = False

    @property
    def priced(self) -> bool:
        """Whether some of it is money."""
        return any(MEASURES[name].adds in PRICED for name in self.measures)


class _Way(msgspec.Struct, frozen=True):
    """What measures must share to be read together."""

    source: Source
    path: Path
    attribution: Attribution
    moment: Moment
    of_calls: bool = False
    queueless: bool = False


def selections(question: Question, grid: Grid, *, raw: bool = False) -> list[Selection]:
    """What to read. `raw`: leave the rollups aside; the answer is the same to the unit."""
    found: dict[_Way, tuple[list[str], list[str]]] = {}
    for metric in question.metrics:
        one, attribution = METRICS[metric], attribution_of(metric, question)
        extreme = one.kind in ("max", "quantile")
        for measure in one.measures:
            slots = not raw and not extreme and _slotted(question, grid, measure=measure, attribution=attribution)
            for way in _rolled_up(measure, question) if slots else [_raw(measure, attribution)]:
                sums, extremes = found.setdefault(way, ([], []))
                wanted, name = (extremes, metric) if extreme else (sums, measure)
                if name not in wanted:
                    wanted.append(name)
    return [
        Selection(way.source, way.path, way.attribution, way.moment, tuple(sums), tuple(extremes), way.queueless)
        for way, (sums, extremes) in found.items()
    ]


def _raw(measure: str, attribution: Attribution, *, queueless: bool = False) -> _Way:
    one = MEASURES[measure]
    moment: Moment = one.emits if attribution == "emit" else attribution
    return _Way(one.source, "raw", attribution, moment, of_calls=measure == OF_CALLS, queueless=queueless)


def _rolled_up(measure: str, question: Question) -> list[_Way]:
    """A rollup; and for answers outside every queue, which queue_slots leaves out, their rows, unless the question is of one queue."""
    if _of_agents(measure):
        return [_Way("agents", "agent_slots", "split", "split")]
    slots = _Way("visits", "queue_slots", "start", "start")
    alone = MEASURES[measure].source == "visits" or any(name == "queue" for name, _ in question.filters)
    return [slots] if alone else [slots, _raw(measure, "start", queueless=True)]


def _of_agents(measure: str) -> bool:
    """Whether the rollup that could have it is that of agents."""
    return measure == "agent_talk" or MEASURES[measure].source == "agents"


def _slotted(question: Question, grid: Grid, *, measure: str, attribution: Attribution) -> bool:
    """Whether a rollup has the sum: its rule, its dimension and nothing finer than a quarter of an hour of UTC."""
    asked = {*question.groups, *(name for name, _ in question.facts_filters)}
    if any(edge % SLOT_US for edge in grid.edges):
        return False
    if _of_agents(measure):
        return attribution == "split" and measure != OF_CALLS and asked <= {"agent"}
    if attribution != "start" or MEASURES[measure].source not in _SLOTTED or not asked <= {"queue"}:
        return False
    within = [test.within for test in MEASURES[measure].tests if test.within]
    return measure in COLUMNS if not within else all(kept(question.parameters, name) for name in within)


def kept(parameters: Parameters, name: str) -> bool:
    """Whether queue_slots has a column for this threshold, of every queue."""
    place = 0 if name == "threshold_s" else 1
    default = (parameters.threshold_ms, parameters.short_abandon_ms)
    return all(pair[place] % 1000 == 0 and pair[place] // 1000 in EDGES_S for pair in (default, *parameters.by_queue.values()))
