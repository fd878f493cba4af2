"""How a question is counted: which facts are read, from where, and at which of their moments they post."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from calls.metrics.catalogue import METRICS, attribution_of
from calls.metrics.measures import MEASURES, Attribution, Source
from calls.metrics.question import Grid, Parameters, Question
from calls.metrics.slots import COLUMNS, EDGES_S, SLOT_US

Path: TypeAlias = Literal["raw", "queue_slots", "agent_slots"]
Moment: TypeAlias = Literal["start", "end", "first", "last", "split", "threshold"]
"""When a fact posts; `emit` is either the `first` or the `last` moment of each measure."""

OF_CALLS = "wrapped_up"  # the one measure of agents that has the dimensions of the call before it
_SLOTTED: frozenset[Source] = frozenset({"visits", "handles", "stretches"})


class Selection(msgspec.Struct, frozen=True):
    """What one SELECT reads: sums of `measures` (ids) and places in the order of waits for `extremes` (ids of max and quantile metrics).

    All measures are of `source`. `queueless`: only the facts without a queue, which queue_slots leaves out. An agent's measure
    that is a split talk may be read from agent_slots, so there `source` says what the measure is of and `path` where its sum is.
    """

    source: Source
    path: Path
    attribution: Attribution
    moment: Moment
    measures: tuple[str, ...] = ()
    extremes: tuple[str, ...] = ()
    queueless: bool = False


class _Way(msgspec.Struct, frozen=True):
    """What measures must share to be read together."""

    source: Source
    path: Path
    attribution: Attribution
    moment: Moment
    of_calls: bool


def selections(question: Question, grid: Grid, *, raw: bool = False) -> list[Selection]:
    """What to read, each measure once. `raw`: leave the rollups aside; the answer is the same to the unit."""
    found: dict[_Way, tuple[list[str], list[str]]] = {}
    for metric in question.metrics:
        one, attribution = METRICS[metric], attribution_of(metric, question)
        extreme = one.kind in ("max", "quantile")
        for measure in one.measures:
            slots = not raw and not extreme and _slotted(question, grid, measure=measure, attribution=attribution)
            way = _way(measure, attribution, path=_rollup(measure) if slots else "raw")
            sums, extremes = found.setdefault(way, ([], []))
            wanted, name = (extremes, metric) if extreme else (sums, measure)
            if name not in wanted:
                wanted.append(name)
    made = [
        Selection(way.source, way.path, way.attribution, way.moment, tuple(sums), tuple(extremes))
        for way, (sums, extremes) in found.items()
    ]
    return made + [_rest(one) for one in made if _needs_rest(one, question)]


def _way(measure: str, attribution: Attribution, *, path: Path) -> _Way:
    one = MEASURES[measure]
    moment: Moment = one.emits if attribution == "emit" else attribution
    return _Way(one.source, path, attribution, moment, measure == OF_CALLS)


def _rollup(measure: str) -> Path:
    return "agent_slots" if measure == "agent_talk" or MEASURES[measure].source == "agents" else "queue_slots"


def _slotted(question: Question, grid: Grid, *, measure: str, attribution: Attribution) -> bool:
    """Whether a rollup has the sum: its rule, its dimension and nothing finer than a quarter of an hour of UTC."""
    asked = {*question.groups, *(name for name, _ in question.facts_filters)}
    if any(edge % SLOT_US for edge in grid.edges):
        return False
    if _rollup(measure) == "agent_slots":
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


def _needs_rest(one: Selection, question: Question) -> bool:
    """Answers outside every queue are in no queue_slots; with a filter on the queue nobody asks for them."""
    filtered = any(name == "queue" for name, _ in question.filters)
    return one.path == "queue_slots" and one.source in ("handles", "stretches") and not filtered


def _rest(one: Selection) -> Selection:
    return msgspec.structs.replace(one, path="raw", queueless=True)
