"""From what was counted to the rows of an answer. Sums are integers throughout; only a ratio divides, and only at the end."""

from __future__ import annotations

from collections.abc import Set
from functools import lru_cache
from itertools import product
from typing import TypeAlias

import msgspec

from calls.clock import Micros, rfc3339
from calls.faults import Faults
from calls.metrics.catalogue import METRICS, attribution_of
from calls.metrics.cells import DAY, interval_starts
from calls.metrics.metric import Metric, Term
from calls.metrics.question import CURRENCIES, OF_CELLS, Amounts, Grid, Group, Question, Row, Tally

HOUR_US = 3_600_000_000
MOST_FILLED = 200_000
GroupValue: TypeAlias = str | int | None
Definition: TypeAlias = dict[str, object]
_Counted: TypeAlias = tuple[Row, Group, Amounts]


class Value(msgspec.Struct, frozen=True, gc=False):
    """`numerator` / `denominator`; a count, a sum, a maximum or a percentile has no denominator and is its own numerator."""

    value: int | float | None
    numerator: int
    denominator: int | None = None


class AnswerRow(msgspec.Struct, frozen=True):
    """One row as the API gives it: `group` in the order of group_by, `hour` and `weekday` as numbers."""

    interval_start: str
    group: dict[str, GroupValue]
    values: dict[str, Value]


def rows(question: Question, grid: Grid, tally: Tally) -> list[AnswerRow]:
    """By interval, then group (a missing value last). Where nothing was counted there is no row, unless the question has `fill`.

    Raises Faults where `fill` would add more rows than anybody reads.
    """
    found = {place: amounts for place, amounts in tally.amounts.items() if _anything(amounts)}
    counted = [(grid.rows[key - 1], group, amounts) for (key, group), amounts in found.items()]
    if question.fill:
        counted += _empty(question, grid, counted)
    return [_answer_row(question, row, group, amounts) for row, group, amounts in sorted(counted, key=_order)]


def value_of(metric: str, amounts: Amounts) -> Value:
    """A metric of one cell."""
    one = METRICS[metric]
    if one.unit == "minor" and not is_added_up(amounts):
        return Value(None, 0, _total(one.denominator, amounts) if one.kind == "ratio" else None)
    if one.kind in ("max", "quantile"):
        found = amounts.get(metric)
        return Value(found, found or 0)
    top = _total(one.numerator, amounts)
    if one.kind == "sum":
        return Value(top, top)
    bottom = _total(one.denominator, amounts)
    return Value(top / bottom if bottom else None, top, bottom)


def is_added_up(amounts: Amounts) -> bool:
    """Whether what a cell was charged is one amount: something is rated, all in one currency. Where nothing was counted it is 0."""
    return amounts.get(CURRENCIES, 1) == 1


def definitions(question: Question, currencies: Set[str] = frozenset()) -> dict[str, Definition]:
    """What each number means here: every parameter as it was used, under its name in a query. `currencies`: of what was charged."""
    money = _currency(currencies)
    return {
        metric: _definition(METRICS[metric], question) | (money if METRICS[metric].unit == "minor" else {}) for metric in question.metrics
    }


def is_final(question: Question, *, open_facts: bool, complete_through: Micros, horizon_h: float) -> bool:
    """Whether nothing counted is open and nothing can arrive any more: a retry horizon after the end, and for fcr its window too."""
    windowed = any("window_days" in METRICS[metric].parameters for metric in question.metrics)
    late = int(horizon_h * HOUR_US) + (question.parameters.window_days * DAY if windowed else 0)
    return not open_facts and question.until + late <= complete_through


def _total(terms: tuple[Term, ...], amounts: Amounts) -> int:
    total = 0
    for term in terms:  # an answer has thousands of values: a loop is half of what a sum over a generator is
        total += term.sign * amounts.get(term.measure, 0)
    return total


def _anything(amounts: Amounts) -> bool:
    """A longest wait of 0 ms is a wait all the same."""
    return any(amount or name in METRICS for name, amount in amounts.items())


def _empty(question: Question, grid: Grid, counted: list[_Counted]) -> list[_Counted]:
    """A row of nothing for every interval and group that has none."""
    groups = {group for _, group, _ in counted} or ({()} if not question.groups else set())
    every = _every_row(question, grid)
    if len(every) * len(groups) > MOST_FILLED:
        raise Faults([("fill", f"more than {MOST_FILLED:,} rows: ask for longer intervals, fewer groups, or without fill")])
    there = {(row, group) for row, group, _ in counted}
    return [(row, group, {}) for row, group in product(every, groups) if (row, group) not in there]


def _every_row(question: Question, grid: Grid) -> list[Row]:
    divided = any(name in OF_CELLS for name in question.group_by)
    return grid.rows if divided else [Row(start) for start in interval_starts(question)]


def _order(counted: _Counted) -> tuple[int, int, int, list[tuple[bool, str]]]:
    row, group, _ = counted
    return row.interval_start, row.weekday or 0, row.hour or 0, [(value is None, value or "") for value in group]


def _answer_row(question: Question, row: Row, group: Group, amounts: Amounts) -> AnswerRow:
    names: dict[str, GroupValue] = dict(zip(question.groups, group, strict=True))
    if row.hour is not None or row.weekday is not None:
        cells: dict[str, GroupValue] = {**names, "hour": row.hour, "weekday": row.weekday}
        names = {name: cells[name] for name in question.group_by}
    return AnswerRow(_text(row.interval_start), names, {metric: value_of(metric, amounts) for metric in question.metrics})


@lru_cache(maxsize=10_000)
def _text(start: Micros) -> str:
    """Of every interval once, however many groups it has."""
    text = rfc3339(start)
    assert text is not None
    return text


def _currency(found: Set[str]) -> Definition:
    if len(found) <= 1:
        return {"currency": next(iter(found), None)}
    warning = f"charged in {' and '.join(sorted(found))}, which are never added: ask for one account, or group by account"
    return {"currency": None, "warning": warning}


def _definition(one: Metric, question: Question) -> Definition:
    attribution = attribution_of(one.id, question)
    used = set(one.parameters) | ({"threshold_s"} if attribution == "threshold" else set())
    found: Definition = {"name": one.name, "version": one.version, "unit": one.unit, "formula": one.formula, "attribution": attribution}
    if one.kind == "quantile":
        found |= {"quantile": "nearest-rank", "rank": one.quantile}
    return found | _parameters(question, used)


def _parameters(question: Question, used: set[str]) -> Definition:
    """Parameters of this metric as resolved; `…_by_queue` names the queues that are configured otherwise."""
    given = question.parameters
    found: Definition = {}
    for place, (name, usual) in enumerate((("threshold_s", given.threshold_ms), ("short_abandon_s", given.short_abandon_ms))):
        if name in used:
            found[name] = seconds(usual)
            own = {queue: seconds(pair[place]) for queue, pair in sorted(given.by_queue.items()) if pair[place] != usual}
            found |= {f"{name}_by_queue": own} if own else {}
    return found | ({"window_days": given.window_days} if "window_days" in used else {})


def seconds(ms: int) -> int | float:
    """Seconds as they are written in a query: whole where they are."""
    return ms // 1000 if ms % 1000 == 0 else ms / 1000
