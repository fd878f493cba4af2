"""How a law is asked of the tables: one statement that gives both sides of every place, and what they add up to.

Names are those of the views in schema `live`; `tenant`, `since`, `until` and what else is bound are given by `check`.
"""

from __future__ import annotations

import msgspec

MINE = "j.tenant = %(tenant)s AND j.started_at >= %(since)s AND j.started_at < %(until)s"
OF_JOURNEY = "t.tenant = j.tenant AND t.journey_id = j.journey_id"
SLOT = "date_bin('15 minutes', {0}, 'epoch')"
SHOWN = 50  # violations


class Asked(msgspec.Struct, frozen=True):
    """`rows` is a SELECT of the columns of `where` (any types), then `l` and `r`; places are summed over all its rows.

    A row whose `where` is all NULL counts in the sums only: for rows of which it is known that both sides agree.
    """

    where: tuple[str, ...]
    rows: str


def both(where: tuple[str, ...], left: str, right: str) -> Asked:
    """Of two SELECTs, each giving the columns of `where` and an `amount`."""
    names = ", ".join(where)
    return Asked(where, f"SELECT {names}, amount AS l, 0 AS r FROM ({left}) a UNION ALL SELECT {names}, 0, amount FROM ({right}) b")


def agreeing(where: tuple[str, ...], *rows: str) -> Asked:
    """Of SELECTs that give both sides of single places: those that agree lose their place, and need not be grouped by it."""
    places = ", ".join(f"CASE WHEN l <> r THEN {name} END AS {name}" for name in where)
    return Asked(where, f"SELECT {places}, l, r FROM ({' UNION ALL '.join(rows)}) x")


def of(table: str, *columns: str, when: str = "true", group: str = "") -> str:
    """SELECT `columns` from the rows `t` of a table whose journeys `j` are asked for."""
    grouped = f" GROUP BY {group}" if group else ""
    return f"SELECT {', '.join(columns)} FROM live.{table} t JOIN live.journeys j ON {OF_JOURNEY} WHERE {MINE} AND ({when}){grouped}"


def journeys(*columns: str, when: str = "true") -> str:
    """SELECT `columns` from the journeys `j` that are asked for."""
    return f"SELECT {', '.join(columns)} FROM live.journeys j WHERE {MINE} AND ({when})"


def ms(at: str) -> str:
    """An instant's own millisecond, as calls.clock.milliseconds takes it. Cut first, so that a double holds it exactly up to year 9999."""
    return f"round(date_part('epoch', {_cut(at)}) * 1000)::int8"


def length(start: str, end: str) -> str:
    """Milliseconds of [start, end); 0 where it ends before it starts or has no end."""
    return f"coalesce(greatest(0, round(date_part('epoch', {_cut(end)} - {_cut(start)}) * 1000)::int8), 0)"


def _cut(at: str) -> str:
    return f"date_bin('1 millisecond', {at}, 'epoch')"


def sound(table: str, row: str, *, fault: str, source: str) -> str:
    """Both counts of the rows of a table; where `fault` is true, `row` says which it is."""
    place = f"CASE WHEN {fault} THEN '{table}' END AS of, CASE WHEN {fault} THEN {row} END AS row"
    return f"SELECT {place}, 1 AS l, (coalesce(NOT ({fault}), true))::int AS r FROM {source}"


def words(*known: str) -> str:
    """A list of our own words, as SQL."""
    return ", ".join(f"'{word}'" for word in known)


def statement(asked: Asked, relation: str) -> str:
    """left, right, how many places break the relation, and SHOWN of them as JSON."""
    names = ", ".join(asked.where)
    broken = f"NOT (l {relation} r)"
    shown = ", ".join(f"'{name}', {name}" for name in asked.where)
    return (
        f"WITH places AS MATERIALIZED (SELECT {names}, sum(l) AS l, sum(r) AS r FROM ({asked.rows}) sides GROUP BY {names}) "
        f"SELECT coalesce(sum(l), 0), coalesce(sum(r), 0), count(*) FILTER (WHERE {broken}), "
        "(SELECT coalesce(json_agg(json_build_object('where', place, 'left', l, 'right', r)), '[]') FROM "
        f"(SELECT json_build_object({shown}) AS place, l, r FROM places WHERE {broken} ORDER BY {names} LIMIT {SHOWN}) first) "
        "FROM places"
    )
