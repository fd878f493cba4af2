"""The second fold: agents' days anew wherever something was marked (projections/agent_marks.py). The same code live and in a rebuild.

One pass is one transaction of bounded size: take marks, lock the agents' rows in order, and only then read, so that of two workers
on one agent the later sees what the earlier wrote, and everything that its own marks speak of. Only what changed is written.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from typing import Any, TypeAlias

import msgspec
import psycopg
import structlog

from calls.agents import Day, day_of, days
from calls.clock import to_micros
from calls.configuration import Configuration
from projections import agent_days, agent_intervals, agent_slots
from projections.agent_facts import Span, reach, read
from projections.agent_marks import Agent, Marks, Range, merged
from projections.writing import Writer

log = structlog.get_logger()
AGENTS, MARKS, SPANS = 20, 5000, 100  # of one pass
FEW = 30  # days up to which the rows of those that changed travel as JSON
WRITERS = [Writer(one.TABLE, ("tenant", "agent", "day")) for one in (agent_days, agent_intervals, agent_slots)]
Rows: TypeAlias = list[tuple[Any, ...]]
_pack = msgspec.msgpack.Encoder().encode
Mark: TypeAlias = tuple[Agent, Range, bool]  # …, whether a state changed

_TAKE = """
WITH chosen AS MATERIALIZED (
  SELECT DISTINCT tenant, agent FROM (
    SELECT tenant, agent FROM safiri.dirty_days WHERE generation = %(n)s ORDER BY id LIMIT %(marks)s) oldest LIMIT %(agents)s
), taken AS MATERIALIZED (
  SELECT d.id FROM chosen c JOIN safiri.dirty_days d ON d.generation = %(n)s AND d.tenant = c.tenant AND d.agent = c.agent
  LIMIT %(marks)s FOR UPDATE OF d SKIP LOCKED
)
DELETE FROM safiri.dirty_days d USING taken t WHERE d.id = t.id RETURNING d.tenant, d.agent, d.from_at, d.until_at, d.carries, d.since
"""


class Told(msgspec.Struct):
    """Rows of each of WRITERS' tables: of days that were not there before, of those that are now other, and whose days are to be swept."""

    fresh: tuple[Rows, Rows, Rows] = msgspec.field(default_factory=lambda: ([], [], []))
    changed: tuple[Rows, Rows, Rows] = msgspec.field(default_factory=lambda: ([], [], []))
    swept: list[tuple[str, str, date]] = []
    broken: list[tuple[str, str, str]] = []  # tenant, agent, reason


def prepare(connection: psycopg.Connection[Any]) -> None:
    """The scratch tables of this connection."""
    for writer in WRITERS:
        connection.execute(writer.make)


def fold_agents(cursor: psycopg.Cursor[Any], generation: int, configurations: Sequence[Configuration]) -> int:
    """One pass over what is marked of `generation`, whose schema the search path must name; returns how many marks it took.

    Local days are those of the tenant's time zone as it is configured today (projections/schema.py marks everything where it changes).
    """
    cursor.execute(_TAKE, {"n": generation, "marks": MARKS, "agents": AGENTS})
    rows = cursor.fetchall()
    if not rows:
        return 0
    marks = [
        ((tenant, agent), (to_micros(start), None if end is None else to_micros(end)), bool(carries))
        for tenant, agent, start, end, carries, _ in rows
    ]
    _lock(cursor, generation, sorted({agent for agent, _, _ in marks}))
    spans, late = _spans(cursor, _together(marks), configurations), Marks()
    for span in spans[SPANS:]:
        late.add(span.agent, span.start, None if span.last is None else span.end - 1)
    spans = spans[:SPANS]
    for agent, (start, end) in read(cursor, spans):
        late.add(agent, start, end)
    told = Told()
    for span in spans:
        _fold(span, told, late)
    _write(cursor, told)
    _note_broken(cursor, told, sorted({span.agent for span in spans}))
    late.write(cursor, generation, since=min(to_micros(row[-1]) for row in rows))
    return len(rows)


def _lock(cursor: psycopg.Cursor[Any], generation: int, agents: list[Agent]) -> None:
    asked = (generation, [tenant for tenant, _ in agents], [agent for _, agent in agents])
    cursor.execute(
        "INSERT INTO safiri.agent_locks (generation, tenant, agent) SELECT %s, a.* FROM unnest(%s::text[], %s::text[]) AS a "
        "ON CONFLICT DO NOTHING",
        asked,
    )
    cursor.execute(
        "SELECT FROM safiri.agent_locks l JOIN unnest(%s::text[], %s::text[]) AS a (tenant, agent) USING (tenant, agent) "
        "WHERE l.generation = %s ORDER BY l.tenant, l.agent FOR UPDATE OF l",
        (*asked[1:], generation),
    )


def _together(marks: list[Mark]) -> list[Mark]:
    """Marks of one agent and kind that lie near each other as one."""
    kept: dict[tuple[Agent, bool], list[Range]] = defaultdict(list)
    for agent, one, carries in marks:
        kept[agent, carries].append(one)
    return [(agent, one, carries) for (agent, carries), ranges in sorted(kept.items()) for one in merged(ranges)]


def _spans(cursor: psycopg.Cursor[Any], marks: list[Mark], configurations: Sequence[Configuration]) -> list[Span]:
    """The days that marks reach, each agent's that lie side by side as one span."""
    kept: dict[Agent, list[tuple[int, int | None]]] = defaultdict(list)
    zones = {tenant: zone_of(configurations, tenant) for (tenant, _), _, _ in marks}
    for (agent, _, _), (start, end) in zip(marks, reach(cursor, marks), strict=True):
        zone = zones[agent[0]]
        kept[agent].append((day_of(start, zone).toordinal(), None if end is None else day_of(end, zone).toordinal()))
    return [
        Span(agent, zones[agent[0]], date.fromordinal(first), None if last is None else date.fromordinal(last))
        for agent, ranges in sorted(kept.items())
        for first, last in merged(ranges, near=1)
    ]


def zone_of(configurations: Sequence[Configuration], tenant: str) -> str:
    """The tenant's time zone today."""
    return (configurations[-1] if configurations else Configuration()).zone(tenant)


# ---------------------------------------------------------------- folding and writing


def _fold(span: Span, told: Told, late: Marks) -> None:
    """Adds the rows of what has changed in `span`. A fold that raises is our bug: that span stays as it is, the rest goes on."""
    try:
        found = days(span.states, span.stretches, zone=span.zone, since=span.start, until=span.until)
    except Exception as error:
        log.exception("fold of an agent failed", tenant=span.agent[0], agent=span.agent[1], first=span.first, last=span.last)
        told.broken.append((*span.agent, f"{type(error).__name__}: {error}"[:500].replace("\0", "\ufffd")))
        return
    for day in found:
        digest = hashlib.blake2b(_pack(day), digest_size=16).digest()
        stood = span.known.pop(day.day, None)
        if stood != digest:
            _rows(span.agent, day, digest, told.fresh if stood is None else told.changed)
            if stood is not None:
                told.swept.append((*span.agent, day.day))
    told.swept += [(*span.agent, day) for day in span.known]
    if span.first in span.known:  # it speaks no longer: what the day before it says reaches further
        late.add(span.agent, span.start - 1, span.start - 1)


def _rows(agent: Agent, day: Day, digest: bytes, rows: tuple[Rows, Rows, Rows]) -> None:
    key = (*agent, day.day)
    rows[0].append((*key, day.started_at, day.ended_at, day.shift_started_at, day.shift_ended_at, digest))
    rows[1].extend(
        (
            *key, n, one.state, one.started_at, one.ended_at, one.reason, one.journey_id, one.call_sid, one.leg, one.queue,
            one.cohort_at, one.in_slots,
        )
        for n, one in enumerate(day.intervals)
    )  # fmt: skip
    rows[2].extend((*key, slot, *sums) for slot, sums in day.slots.items())


def _note_broken(cursor: psycopg.Cursor[Any], told: Told, folded: Sequence[Agent]) -> None:
    """Beside calls whose fold failed (table broken), under the name `agent NAME`; taken away when it can be folded again."""
    cursor.execute(
        "DELETE FROM safiri.broken b USING unnest(%s::text[], %s::text[]) AS a (tenant, name) "
        "WHERE b.tenant = a.tenant AND b.call_sid = a.name",
        ([tenant for tenant, _ in folded], [f"agent {name}" for _, name in folded]),
    )
    for tenant, agent, reason in sorted(told.broken):
        cursor.execute(
            "INSERT INTO safiri.broken (tenant, call_sid, reason) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (tenant, f"agent {agent}", reason),
        )


def _write(cursor: psycopg.Cursor[Any], told: Told) -> None:
    swept = [[one[n] for one in told.swept] for n in range(3)]
    for writer, fresh, changed in zip(WRITERS, told.fresh, told.changed, strict=True):
        if told.swept and len(told.swept) <= FEW and changed:
            cursor.execute(writer.few, (writer.as_json(changed), *swept))
        elif told.swept and changed:
            writer.write(cursor, changed, into=writer.scratch)
            cursor.execute(writer.many, swept)
        elif told.swept:
            cursor.execute(writer.empty, swept)
        if fresh:
            writer.write(cursor, fresh, into=writer.name)
