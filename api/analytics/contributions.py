"""The facts behind a number, one by one: what each adds to one side of a metric, in a stable order; and those of one journey."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from api.analytics.sources import SOURCES, amount, dimension, joined, moment, passes, test_passes, whole
from api.analytics.statements import Scope, Value, cell_of, cells_touched, in_time, is_whole, keys, of_tenant, part
from api.analytics.tally import Record, records
from api.cursors import Place
from calls.clock import Micros, to_micros
from calls.metrics.catalogue import METRICS, attribution_of
from calls.metrics.measures import MEASURES, PRICED, Source, Test
from calls.metrics.metric import Term
from calls.metrics.plan import Moment
from calls.metrics.question import Question
from calls.metrics.reasons import Fact, Share

_FIELDS: dict[Source, dict[str, str]] = {  # field of a Fact -> column, of the source's own table
    "calls": {
        name: name for name in ("journey_id", "queue", "agent", "outcome", "bot", "handled", "caller", "direction", "currency", "unrated")
    }
    | {"charged": "charged_minor"},
    "visits": {name: name for name in ("journey_id", "call_sid", "queue", "agent", "outcome")},
    "handles": {name: name for name in ("journey_id", "call_sid", "leg", "queue", "agent")},
    "stretches": {name: name for name in ("journey_id", "call_sid", "leg", "queue", "agent")} | {"state": "kind"},
    "agents": {name: name for name in ("journey_id", "call_sid", "leg", "queue", "agent", "state", "reason")},
    "shifts": {"agent": "agent"},
}
_MEASURED = ("at", "begins", "ends", "cohort", "ms", "open")


class Part(msgspec.Struct, frozen=True):
    """The terms of one side of a metric whose facts are of one source and post at one moment."""

    source: Source
    moment: Moment
    terms: tuple[Term, ...]


class Contribution(msgspec.Struct):
    """A fact, its place in the order of all, and what each measure adds for it."""

    fact: Fact
    place: tuple[Micros, str]
    shares: list[Share]

    @property
    def amount(self) -> int:
        return sum(share.amount for share in self.shares)


class Candidate(msgspec.Struct):
    """A fact of the journey asked about: its values of the filtered dimensions, which tests it passes, the row it posts in (0: none)."""

    fact: Fact
    values: list[Value]
    passed: dict[Test, bool]
    key: int | None


def parts(metric: str, question: Question, *, denominator: bool) -> list[Part]:
    """A metric without a denominator is its own."""
    one, attribution = METRICS[metric], attribution_of(metric, question)
    found: dict[tuple[Source, Moment], list[Term]] = {}
    for term in (one.denominator or one.numerator) if denominator else one.numerator:
        measure = MEASURES[term.measure]
        when: Moment = measure.emits if attribution == "emit" else attribution
        found.setdefault((measure.source, when), []).append(term)
    return [Part(source, when, tuple(terms)) for (source, when), terms in found.items()]


def listed(
    connection: sa.Connection, asked: Part, scope: Scope, *, limit: int, after: Place | None = None, exactly: int | None = None,
    journey_id: str | None = None, known_since: Micros | None = None,
) -> list[Contribution]:  # fmt: skip
    """At most `limit` facts that add something in the one row of the grid, from `after` on.

    `exactly`: only facts that add just this. `known_since`: only those of which something was learned since.
    """
    bind = scope.reading.bind
    where = ["true" if exactly is not None else f"({' + '.join(f'm{n}' for n in range(len(asked.terms)))}) <> 0"]
    if exactly is not None:
        where.append(f"m0 = {bind(exactly, 'bigint')}")
    if after is not None:
        where.append(f"(at, id) > ({bind.at(after.at)}, {bind(after.id)})")
    if known_since is not None:
        where.append(_learned(scope, known_since))
    inner = _facts(asked, scope, journey_id=journey_id)
    statement = f"SELECT * FROM ({inner}) f WHERE {' AND '.join(where)} ORDER BY at, id LIMIT {bind(limit, 'bigint')}"
    return [_contribution(asked, row) for row in records(connection, statement, bind)]


def _facts(asked: Part, scope: Scope, *, journey_id: str | None) -> str:
    facts, reading = SOURCES[asked.source], scope.reading
    where = [*of_tenant(facts, scope), in_time(asked.source, asked.moment, scope)]
    if not is_whole(scope.grid) and asked.moment != "split":
        where.append(f"{cell_of(moment(asked.source, asked.moment, reading), scope)} = 1")
    if journey_id is not None:
        where.append(_of_journey(asked.source, reading.bind(journey_id)))
    columns = [*_columns(asked, scope), *(f"{_adds(term, asked, scope)} AS m{n}" for n, term in enumerate(asked.terms))]
    return f"SELECT {', '.join(columns)} FROM {joined(facts, scope.names)} WHERE {' AND '.join(where)}"


def _adds(term: Term, asked: Part, scope: Scope) -> str:
    measure, facts = MEASURES[term.measure], SOURCES[asked.source]
    each = amount(measure, scope.reading)
    if asked.moment == "split":
        each = part(facts, scope)
        if not is_whole(scope.grid):
            each = f"(SELECT coalesce(sum({each}), 0) FROM {cells_touched(facts, scope)} AS c(i) WHERE ({keys(scope)})[c.i] = 1)"
    type_ = "numeric" if measure.adds in PRICED else "bigint"
    return f"{'-' if term.sign < 0 else ''}(CASE WHEN {passes(measure, scope.reading)} THEN {each} ELSE 0 END)::{type_}"


def _columns(asked: Part, scope: Scope) -> list[str]:
    facts, reading = SOURCES[asked.source], scope.reading
    own, known = facts.own, _FIELDS[asked.source]
    at = facts.begins if asked.moment == "split" else moment(asked.source, asked.moment, reading)
    key = ", ".join(f"{own}.{name}" for name in facts.key)
    return [
        f"{at} AS at", f"md5(concat_ws(chr(31), '{asked.source} {asked.moment}', {key})) COLLATE \"C\" AS id", f"{facts.begins} AS begins",
        f"{facts.ends} AS ends", f"{facts.cohort} AS cohort", f"{whole(facts, reading)} AS ms", f"{facts.is_open} AS open",
        *(f"{own}.{column} AS {name}" for name, column in known.items()),
    ]  # fmt: skip


def _of_journey(source: Source, journey_id: str) -> str:
    return "false" if source == "shifts" else f"{SOURCES[source].own}.journey_id = {journey_id}"


def _learned(scope: Scope, since: Micros) -> str:
    """Something of the fact's journey, or of its agent where it has none, was learned since. Read from the columns of `f`."""
    tenant, at = scope.reading.bind(scope.reading.tenant), scope.reading.bind.at(since)
    fact = "to_jsonb(f)"  # sources differ in what they have
    of_call = (
        f"SELECT FROM live.call_index i JOIN safiri.journal e ON e.tenant = i.tenant AND e.stream = i.call_sid AND e.stream_kind = 'call' "
        f"WHERE i.tenant = {tenant} AND i.journey_id = {fact} ->> 'journey_id' AND e.known_at >= {at}"
    )
    of_agent = (
        f"SELECT FROM safiri.journal e WHERE e.tenant = {tenant} AND e.stream = {fact} ->> 'agent' AND e.stream_kind = 'agent' "
        f"AND e.known_at >= {at} AND {fact} ->> 'journey_id' IS NULL"
    )
    return f"(EXISTS ({of_call}) OR EXISTS ({of_agent}))"


def _contribution(asked: Part, row: Record) -> Contribution:
    shares = [Share(term.measure, int(row[f"m{n}"])) for n, term in enumerate(asked.terms)]
    return Contribution(_fact(asked, row), (to_micros(row["at"]), row["id"]), [share for share in shares if share.amount])


def _fact(asked: Part, row: Record) -> Fact:
    names = (*_MEASURED, *_FIELDS[asked.source])
    values: dict[str, Any] = {
        name: to_micros(value) if isinstance(value, datetime) else value for name, value in row.items() if name in names
    }
    return Fact(source=asked.source, moment=asked.moment, **values)


# ---------------------------------------------------------------- all facts of one journey, counted or not


def of_journey(connection: sa.Connection, asked: Part, scope: Scope, *, journey_id: str) -> list[Candidate]:
    """`scope`: the whole grid of the question; its filters are not applied but told."""
    facts, reading = SOURCES[asked.source], scope.reading
    tests = tests_of(asked)
    key = "NULL::int" if asked.moment == "split" else _row_of(asked, scope)
    columns = [
        *_columns(asked, scope), f"{key} AS key",
        *(f"{dimension(facts, name, reading.bind)} AS f{n}" for n, (name, _) in enumerate(scope.filters)),
        *(f"coalesce({test_passes(asked.source, test, reading)}, false) AS t{n}" for n, test in enumerate(tests)),
    ]  # fmt: skip
    where = [f"{facts.own}.tenant = {reading.bind(reading.tenant)}", _of_journey(asked.source, reading.bind(journey_id))]
    where += [facts.only] if facts.only else []
    statement = f"SELECT {', '.join(columns)} FROM {joined(facts, scope.names)} WHERE {' AND '.join(where)} ORDER BY begins, id LIMIT 20"
    return [_candidate(asked, tests, row, filters=len(scope.filters)) for row in records(connection, statement, reading.bind)]


def tests_of(asked: Part) -> list[Test]:
    return list(dict.fromkeys(test for term in asked.terms for test in MEASURES[term.measure].tests))


def _row_of(asked: Part, scope: Scope) -> str:
    """The row that the fact posts in; 0: one that is not asked for; NULL: outside the range, or not yet."""
    if not is_whole(scope.grid):
        return cell_of(moment(asked.source, asked.moment, scope.reading), scope)
    return f"(CASE WHEN {in_time(asked.source, asked.moment, scope)} THEN 1 END)"


def _candidate(asked: Part, tests: Sequence[Test], row: Record, *, filters: int) -> Candidate:
    values = [row[f"f{n}"] for n in range(filters)]
    return Candidate(_fact(asked, row), values, {test: row[f"t{n}"] for n, test in enumerate(tests)}, row["key"])
