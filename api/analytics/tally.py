"""Counts what a plan asks for, in one snapshot of the tables: several statements, one moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import sqlalchemy as sa

from api.analytics import rollups, statements
from api.analytics.sources import Binds, Reading
from api.analytics.statements import Rest, Scope, Value
from calls.clock import Micros
from calls.metrics.plan import Selection
from calls.metrics.question import Grid, Question, Tally

Record: TypeAlias = sa.RowMapping


@contextmanager
def snapshot(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection in one read-only transaction that sees one moment. Whatever `complete_through` says must be asked before."""
    with engine.connect() as connection:
        seeing = connection.execution_options(isolation_level="REPEATABLE READ")
        with seeing.begin():
            seeing.execute(sa.text("SET LOCAL jit = off"))  # compiling costs more than it saves on tables of this size
            yield seeing


def rows(connection: sa.Connection, statement: str, bind: Binds) -> Sequence[Any]:
    return connection.execute(sa.text(statement), bind.values).all()


def records(connection: sa.Connection, statement: str, bind: Binds) -> Sequence[Record]:
    return connection.execute(sa.text(statement), bind.values).mappings().all()


def scope_of(
    question: Question, grid: Grid, *, through: Micros | None, cell: Sequence[tuple[str, Value]] = (), rest: Rest | None = None
) -> Scope:
    """What a question's statements are about, with parameters of its own. `cell`: also these values of dimensions (None: missing)."""
    reading = Reading(Binds(), question.tenant, question.parameters, through)
    return Scope(reading, grid, question.groups, (*question.facts_filters, *cell), rest)


def tally(
    connection: sa.Connection, question: Question, *, plan: Iterable[Selection], grid: Grid, through: Micros | None,
    cell: Sequence[tuple[str, Value]] = (),
) -> Tally:  # fmt: skip
    """The sums of every place. `through`: open facts count up to here. `cell`: of facts with these values of dimensions only."""
    found = Tally()
    for one in plan:
        for selection, rest in [(one, None), *(rollups.left_out(one) if one.path != "raw" else ())]:
            scope = scope_of(question, grid, through=through, cell=cell, rest=rest)
            write = statements.by_cell if selection.path == "raw" else rollups.by_cell
            _add(found, selection, rows(connection, write(selection, scope), scope.reading.bind), groups=len(question.groups))
    return found


def _add(found: Tally, selection: Selection, counted: Sequence[Any], *, groups: int) -> None:
    sums = len(selection.measures)
    for row in counted:
        key, group, is_open, amounts = row[0], tuple(row[1 : 1 + groups]), row[1 + groups], row[2 + groups :]
        if not key:
            continue
        found.open = found.open or bool(is_open)
        into = found.amounts.setdefault((key, group), {})
        for name, amount in zip(selection.measures, amounts[:sums], strict=True):
            into[name] = into.get(name, 0) + amount
        into |= {name: amount for name, amount in zip(selection.extremes, amounts[sums:], strict=True) if amount is not None}
