"""From one product's service level to another's: the visits that each counts differently, by rule, adding up from one to the other."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from api.analytics.answer import Document, Known, counted_rows, final
from api.analytics.sources import SOURCES, Binds, Reading, joined, moment, passes, threshold, whole
from api.analytics.statements import Scope, cell_of, in_time, of_tenant
from api.analytics.tally import rows, snapshot
from calls.ladder import spoken
from calls.metrics.asked import Crossing
from calls.metrics.catalogue import METRICS, attribution_of
from calls.metrics.cells import grid
from calls.metrics.evaluate import Value, definitions
from calls.metrics.measures import MEASURES
from calls.metrics.metric import Term
from calls.metrics.question import Question
from calls.metrics.reasons import words

MOST_JOURNEYS = 10_000  # named in one step; `visits` counts all


class Counts(msgspec.Struct, frozen=True):
    """What one visit adds to both sides of a service level: within the range, and whenever."""

    numerator: int
    denominator: int
    ever: tuple[int, int]

    @property
    def words(self) -> str:
        both = (self.numerator, self.denominator)
        if both != self.ever and both == (0, 0):
            return "not within this time"
        return {(0, 0): "left out", (1, 1): "a success", (0, 1): "a failure", (1, 0): "in the numerator alone"}.get(
            both, f"{both[0]} of {both[1]}"
        )


class _Class(msgspec.Struct, frozen=True):
    """Visits alike in all that either definition looks at. `within`: threshold and short abandon, of the one and the other."""

    outcome: str
    within: tuple[bool, bool, bool, bool]
    start: Counts
    end: Counts


def bridge(engine: sa.Engine, crossing: Crossing, known: Known) -> Document:
    """The document of `GET /v1/metrics/bridge`."""
    with snapshot(engine) as connection:
        ends = [_end(connection, one, known) for one in (crossing.start, crossing.end)]
        steps = _steps(connection, crossing, known)
    return {
        "from": ends[0][0], "to": ends[1][0], "steps": steps, "complete_through": known.complete_through,
        "final": ends[0][1] and ends[1][1],
    }  # fmt: skip


def _end(connection: sa.Connection, question: Question, known: Known) -> tuple[Document, bool]:
    (metric,) = question.metrics
    found, counted = counted_rows(connection, question, known)
    value = found[0].values[metric] if found else Value(None, 0, 0)
    document = {"preset": question.preset, "metric": metric, **msgspec.to_builtins(value), "definition": definitions(question)[metric]}
    return document, final(question, counted, known)


def _steps(connection: sa.Connection, crossing: Crossing, known: Known) -> list[Document]:
    bind = Binds()
    found: dict[str, Document] = {}
    for row in rows(connection, _statement(crossing, known, bind), bind):
        one = _class_of(row)
        rule = _rule(one, crossing)
        step = found.setdefault(rule, {"rule": rule, "numerator": 0, "denominator": 0, "visits": 0, "journeys": []})
        step["numerator"] += row.visits * (one.end.numerator - one.start.numerator)
        step["denominator"] += row.visits * (one.end.denominator - one.start.denominator)
        step["visits"] += row.visits
        step["journeys"] = sorted({*step["journeys"], *row.journeys})[:MOST_JOURNEYS]
    return [found[rule] for rule in sorted(found)]


def _class_of(row: Any) -> _Class:
    start, end = (
        Counts(getattr(row, f"n{at}"), getattr(row, f"d{at}"), (getattr(row, f"n{at}e"), getattr(row, f"d{at}e"))) for at in (0, 1)
    )
    return _Class(row.outcome, (row.w0, row.s0, row.w1, row.s1), start, end)


def _statement(crossing: Crossing, known: Known, bind: Binds) -> str:
    """One row a class of visits that the two count differently: how many, and of which journeys."""
    scopes = [_scope(question, known, bind) for question in (crossing.start, crossing.end)]
    columns, times = ["v.journey_id AS journey_id", "v.outcome AS outcome"], set()
    for at, (question, scope) in enumerate(zip((crossing.start, crossing.end), scopes, strict=True)):
        columns += _counted(question, scope, at=at)
        times |= {_when(term, question, scope) for term in METRICS[question.metrics[0]].terms}
    facts = SOURCES["visits"]
    where = [*of_tenant(facts, scopes[0]), f"({' OR '.join(sorted(times))})"]
    inner = f"SELECT {', '.join(columns)} FROM {joined(facts, scopes[0].names)} WHERE {' AND '.join(where)}"
    alike = "outcome, w0, s0, w1, s1, n0, d0, n0e, d0e, n1, d1, n1e, d1e"
    return (
        f"SELECT {alike}, count(*) AS visits, (array_agg(DISTINCT journey_id))[1:{MOST_JOURNEYS}] AS journeys FROM ({inner}) f "
        f"WHERE n0 <> n1 OR d0 <> d1 GROUP BY {alike}"
    )


def _scope(question: Question, known: Known, bind: Binds) -> Scope:
    return Scope(Reading(bind, question.tenant, question.parameters, known.through), grid(question), (), question.facts_filters)


def _counted(question: Question, scope: Scope, *, at: int) -> list[str]:
    metric, reading = METRICS[question.metrics[0]], scope.reading
    wait = whole(SOURCES["visits"], reading)
    found = [f"{wait} <= {threshold(reading, name)} AS {short}{at}" for name, short in (("threshold_s", "w"), ("short_abandon_s", "s"))]
    for side, terms in (("n", metric.numerator), ("d", metric.denominator)):
        found.append(f"{_sum(terms, question, scope, timed=True)} AS {side}{at}")
        found.append(f"{_sum(terms, question, scope, timed=False)} AS {side}{at}e")
    return found


def _sum(terms: tuple[Term, ...], question: Question, scope: Scope, *, timed: bool) -> str:
    each = []
    for term in terms:
        test = passes(MEASURES[term.measure], scope.reading)
        when = f" AND {_when(term, question, scope)}" if timed else ""
        each.append(f"{'-' if term.sign < 0 else '+'} (CASE WHEN {test}{when} THEN 1 ELSE 0 END)")
    return f"(0 {' '.join(each)})"


def _when(term: Term, question: Question, scope: Scope) -> str:
    """The visit posts within the range, and within the hours asked for."""
    attribution = attribution_of(question.metrics[0], question)
    when = MEASURES[term.measure].emits if attribution == "emit" else attribution
    row = cell_of(moment("visits", when, scope.reading), scope)
    return f"({in_time('visits', when, scope)} AND coalesce({row}, 0) <> 0)"


def _rule(one: _Class, crossing: Crossing) -> str:
    """`abandoned within 20.0 s: a failure by genesys, left out by wazo`."""
    waits = _waits(one, crossing)
    told = [f"{counts.words} by {question.preset}" for counts, question in ((one.start, crossing.start), (one.end, crossing.end))]
    return f"{words(one.outcome)}{waits}: {', '.join(told)}"


def _waits(one: _Class, crossing: Crossing) -> str:
    """How the wait lies to the thresholds, as far as the outcome's wait is looked at."""
    if one.outcome not in ("answered", "abandoned"):
        return ""
    marks = {}
    for question, within in ((crossing.start, one.within[:2]), (crossing.end, one.within[2:])):
        names = METRICS[question.metrics[0]].parameters
        asked = question.parameters
        if "threshold_s" in names:
            marks[_said(asked.threshold_ms, question, 0)] = within[0]
        if "short_abandon_s" in names and one.outcome == "abandoned":
            marks[_said(asked.short_abandon_ms, question, 1)] = within[1]
    inside, outside = ([mark for mark, is_in in marks.items() if is_in is wanted] for wanted in (True, False))
    parts = [f"within {' and '.join(inside)}"] if inside else []
    parts += [f"after more than {' and '.join(outside)}"] if outside else []
    return " " + ", ".join(parts) if parts else ""


def _said(ms: int, question: Question, place: int) -> str:
    own = any(pair[place] != ms for pair in question.parameters.by_queue.values())
    return f"{spoken(ms)}{' (or its queue’s own threshold)' if own else ''}"
