"""Why a journey adds nothing to a number: what it did, and where that parts from what is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import sqlalchemy as sa

from api.analytics.contributions import Candidate, Part, of_journey
from api.analytics.statements import Scope
from calls.clock import Micros
from calls.ladder import plain, spoken
from calls.metrics.measures import MEASURES
from calls.metrics.question import Grid
from calls.metrics.reasons import NOTHING, Share, Telling, added, adds_nothing, fails, told

MOST = 5  # facts that are spoken of
_KINDS = ("kind", "state")


class Cell(msgspec.Struct, frozen=True):
    """The rows of the whole grid that are asked for (numbers as its keys have them)."""

    grid: Grid
    keys: frozenset[int]


def why_not(
    connection: sa.Connection, asked: list[Part], scope: Scope, *, journey_id: str, cell: Cell, telling: Telling, extreme: int | None = None
) -> str:
    """A sentence for each fact of the journey that could have been counted; one where there is none.

    `extreme`: what a maximum or percentile came to, which is the wait of some visits only.
    """
    found: list[str] = []
    for part in asked:
        candidates = _likely(part, of_journey(connection, part, scope, journey_id=journey_id))
        sentences = [
            f"{told(one.fact, telling)}: {'; '.join(_reasons(part, one, scope=scope, cell=cell, telling=telling, extreme=extreme))}"
            for one in candidates
        ]
        found += sentences or [NOTHING[part.source]]
    more = f" (and {len(found) - MOST} more)" if len(found) > MOST else ""
    return ". ".join(dict.fromkeys(found[:MOST])) + more


def _likely(part: Part, candidates: list[Candidate]) -> list[Candidate]:
    """Talk alone where there is talk, and a wrap-up where there is one: nobody asks why a hold is no talk, or a ringing."""
    candidates = [one for one in candidates if one.fact.state != "ring"]
    right = [one for one in candidates if all(passed for test, passed in one.passed.items() if test.field in _KINDS)]
    several = len({test for one in candidates for test in one.passed if test.field in _KINDS}) > 1
    return right if right and not several else candidates


def _reasons(part: Part, one: Candidate, *, scope: Scope, cell: Cell, telling: Telling, extreme: int | None) -> list[str]:
    found = [*_elsewhere(one, scope), *_untested(part, one, telling), *_at_another_time(part, one, cell=cell, telling=telling)]
    return found or [_nothing(part, one, telling=telling, extreme=extreme)]


def _nothing(part: Part, one: Candidate, *, telling: Telling, extreme: int | None) -> str:
    """It is looked at, and adds nothing all the same."""
    if extreme is not None:
        return f"it is among those asked for, but the value is {spoken(extreme)} and stands for visits that waited just so long"
    if part.source == "calls":
        return "; ".join(dict.fromkeys(adds_nothing(term.measure, one.fact) for term in part.terms))
    if part.source != "visits":
        return "it lasted no millisecond"
    passed = [term for term in part.terms if all(one.passed[test] for test in MEASURES[term.measure].tests)]
    both = [Share(term.measure, term.sign * (1 if MEASURES[term.measure].adds == "one" else one.fact.ms)) for term in passed]
    return f"{added(one.fact, both, telling)}, which comes to 0" if one.fact.ms or len(both) > 1 else "it waited no millisecond"


def _elsewhere(one: Candidate, scope: Scope) -> Iterator[str]:
    for (name, wanted), value in zip(scope.filters, one.values, strict=True):
        if value != wanted:
            has = f"its {name} is {plain(value)}" if value is not None else f"it has no {name}"
            yield f"{has}, and asked for is {plain(wanted) if wanted is not None else 'none'}"


def _untested(part: Part, one: Candidate, telling: Telling) -> list[str]:
    """What fails of the term that comes nearest; nothing where one is passed."""
    of_terms = [[test for test in MEASURES[term.measure].tests if not one.passed[test]] for term in part.terms]
    nearest = min(of_terms, key=len)
    return [f"{fails(test, one.fact, telling)}" for test in nearest]


def _at_another_time(part: Part, one: Candidate, *, cell: Cell, telling: Telling) -> Iterator[str]:
    if part.moment == "split":
        yield from _apart(one, cell, telling)
    elif one.fact.at is None:
        yield "it is not over yet, and is counted when it is"
    elif one.key is None:
        since, until = (telling.clock(edge) for edge in (cell.grid.edges[0], cell.grid.edges[-1]))
        yield f"it belongs to {telling.clock(one.fact.at)}, outside {since} to {until}"
    elif one.key == 0:
        yield f"it belongs to {telling.clock(one.fact.at)}, which is not in the hours and days asked for"
    elif one.key not in cell.keys:
        yield f"it belongs to {telling.clock(one.fact.at)}, in the interval of {_name(cell.grid, one.key, telling)}"


def _apart(one: Candidate, cell: Cell, telling: Telling) -> Iterator[str]:
    ends = one.fact.ends
    pairs = zip(cell.grid.edges, cell.grid.edges[1:], cell.grid.keys, strict=False)
    met = [key for start, end, key in pairs if one.fact.begins < end and (ends is None or ends > start)]
    if not cell.keys & set(met):
        others = ", ".join(_name(cell.grid, key, telling) for key in dict.fromkeys(met) if key) or "none that is asked for"
        yield f"no part of it lies in this interval: it lies in {others}"


def _name(grid: Grid, key: int, telling: Telling) -> str:
    row = grid.rows[key - 1]
    start: Micros = row.interval_start
    marks = [f"hour {row.hour}"] if row.hour is not None else []
    marks += [f"weekday {row.weekday}"] if row.weekday is not None else []
    return " ".join([telling.clock(start), *marks])
