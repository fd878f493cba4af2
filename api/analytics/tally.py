"""Counts what a plan asks for, in one snapshot of the tables: several statements, one moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeAlias

import sqlalchemy as sa

from api.analytics import rollups, statements
from api.analytics.sources import Binds, Reading
from api.analytics.statements import Rest, Scope, Value
from calls.clock import Micros
from calls.metrics.plan import Selection
from calls.metrics.question import CURRENCIES, Grid, Question, Tally
from runtime.problems import invalid

MOST_ROWS = 250_000  # of an answer
# Compiling costs more than it saves on tables of this size; and sums by interval and group fit into memory, without a sort.
_SETTINGS = sa.text("SELECT set_config('jit', 'off', true), set_config('work_mem', '32MB', true)")
Record: TypeAlias = sa.RowMapping


@contextmanager
def snapshot(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection in one read-only transaction that sees one moment. Whatever `complete_through` says must be asked before."""
    with engine.connect() as connection:
        seeing = connection.execution_options(isolation_level="REPEATABLE READ")
        with seeing.begin():
            seeing.execute(_SETTINGS)
            yield seeing


def rows(connection: sa.Connection, statement: str, bind: Binds) -> Sequence[Any]:
    return connection.execute(sa.text(statement), sent(bind)).all()


def records(connection: sa.Connection, statement: str, bind: Binds) -> Sequence[Record]:
    return connection.execute(sa.text(statement), sent(bind)).mappings().all()


def _bounded(connection: sa.Connection, statement: str, scope: Scope) -> Sequence[Any]:
    """Refused 422 where there are too many rows for an answer."""
    found = rows(connection, f"{statement} LIMIT {MOST_ROWS + 1}", scope.reading.bind)
    if len(found) > MOST_ROWS:
        field = "group_by" if scope.groups else "interval"
        raise invalid(field, f"more than {MOST_ROWS:,} rows: ask for a shorter range, longer intervals or fewer groups")
    return found


def sent(bind: Binds) -> dict[str, object]:
    """Lists of instants and numbers go as the text of an array: psycopg would make it of each element on its own, in four times the
    time, and a question may have ten thousand intervals."""
    return {name: _array(value) if isinstance(value, list) else value for name, value in bind.values.items()}


def _array(values: list[Any]) -> object:
    if all(isinstance(value, datetime) for value in values):
        return f"{{{','.join([value.isoformat() for value in values])}}}"
    return f"{{{','.join(map(str, values))}}}" if all(isinstance(value, int) for value in values) else values


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

    def count(selection: Selection, rest: Rest | None = None) -> bool:
        scope = scope_of(question, grid, through=through, cell=cell, rest=rest)
        write = statements.by_cell if selection.path == "raw" else rollups.by_cell
        return _add(found, selection, _bounded(connection, write(selection, scope), scope), groups=len(question.groups))

    for one in plan:
        waits = count(one)
        for selection, rest in rollups.left_out(one) if one.path != "raw" else ():
            if waits or selection.source != "visits":  # the sums say how many wait: where nobody does, no visit is open
                count(selection, rest)
    return found


def _currencies(found: Tally, listed: Sequence[str] | None) -> int:
    """How many there are in a place. A journey with several has them joined (projections.journeys)."""
    known = {currency for one in listed or () for currency in one.split("+")}
    found.currencies |= known
    return len(known)


def _add(found: Tally, selection: Selection, counted: Sequence[Any], *, groups: int) -> bool:
    """Whether any of what was counted is open."""
    sums, open_ = len(selection.measures), False
    end = sums + len(selection.extremes)
    for row in counted:
        key, group, is_open, amounts = row[0], tuple(row[1 : 1 + groups]), row[1 + groups], row[2 + groups :]
        if not key:
            continue
        open_ = open_ or bool(is_open)
        into = found.amounts.setdefault((key, group), {})
        for name, amount in zip(selection.measures, amounts[:sums], strict=True):
            into[name] = into.get(name, 0) + int(amount)
        into |= {name: amount for name, amount in zip(selection.extremes, amounts[sums:end], strict=True) if amount is not None}
        if selection.priced:
            into[CURRENCIES] = _currencies(found, amounts[end])
    found.open = found.open or open_
    return open_
