"""What changed of agents' time in a transaction: marks, which the second fold (projections/agent_fold.py) takes away.

A mark says that something changed between two instants. The projector writes it together with what changed, so that whoever sees the
mark sees the change. Marks are plain inserts: two projectors never wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import psycopg

from calls.clock import Micros, to_datetime, to_micros
from calls.journey import Journey
from projections.shape import clean

Address: TypeAlias = tuple[str, str]  # tenant, journey id
Agent: TypeAlias = tuple[str, str]  # tenant, agent
Told: TypeAlias = tuple[str | None, Micros, Micros | None, str, str, str | None, str | None, Micros | None]
"""A stretch of a leg as it stands in table segments: agent, start, end, kind, call SID, leg, queue, cohort."""
Range: TypeAlias = tuple[Micros, Micros | None]

NEAR: Micros = 6 * 3_600_000_000  # marks of one agent that lie nearer than this become one
OF_AGENTS = (  # rows of table segments that are time of an agent: talk and hold of who answered, ringing, with a length
    "agent IS NOT NULL AND (kind = 'ring' OR kind IN ('talk', 'hold') AND cohort_at IS NOT NULL) AND (ended_at IS NULL OR duration_ms > 0)"
)


class Marks:
    """Collects; `write` is the last thing that a transaction does with it."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, bool], list[Range]] = {}

    def add(self, agent: Agent, start: Micros, end: Micros | None, *, carries: bool = False) -> None:
        """Something of `agent` changed in [start, end] (None: and after). `carries`: a state, which holds until the next one."""
        self._found.setdefault((*agent, carries), []).append((start, end))

    def stretches(self, tenant: str, before: Iterable[Told], now: Iterable[Told]) -> None:
        """A journey's stretches were `before` and are `now`."""
        for agent, start, end, *_ in set(before) ^ set(now):
            self.add((tenant, agent or ""), start, end)

    def write(self, cursor: psycopg.Cursor[Any], generation: int, *, since: Micros | None = None) -> None:
        """`since`: when the earliest of what changed was received (None: now)."""
        rows = [(*key, *one) for key, ranges in sorted(self._found.items()) for one in merged(ranges)]
        self._found = {}
        if rows:
            tenants, agents, carries, starts, ends = zip(*rows, strict=True)
            cursor.execute(
                "INSERT INTO safiri.dirty_days (generation, tenant, agent, carries, from_at, until_at, since) "
                "SELECT %s, a.*, coalesce(%s, clock_timestamp()) "
                "FROM unnest(%s::text[], %s::text[], %s::bool[], %s::timestamptz[], %s::timestamptz[]) AS a",
                (
                    generation, None if since is None else to_datetime(since), list(tenants), list(agents), list(carries),
                    [to_datetime(at) for at in starts], [None if at is None else to_datetime(at) for at in ends],
                ),
            )  # fmt: skip


def merged(ranges: Iterable[Range], *, near: Micros = NEAR) -> list[Range]:
    """In order, those that touch or nearly touch as one."""
    found: list[Range] = []
    for start, end in sorted(ranges, key=lambda one: one[0]):
        last = found[-1] if found else None
        if last is None or (last[1] is not None and start > last[1] + near):
            found.append((start, end))
        else:
            found[-1] = (last[0], None if end is None or last[1] is None else max(last[1], end))
    return found


def stretches_of(journey: Journey) -> set[Told]:
    """Talk and hold of people who answered, and ringing, where an agent is named and it has a length."""
    return {
        (
            clean(segment.agent), segment.started_at, segment.ended_at, segment.kind, call.call_sid, clean(leg.leg) or "",
            clean(segment.queue), segment.cohort_at,
        )
        for call in journey.calls for leg in call.legs for segment in leg.segments
        if segment.agent and segment.kind in ("talk", "hold", "ring") and (segment.kind == "ring" or segment.cohort_at is not None)
        and segment.duration_ms != 0
    }  # fmt: skip


def standing(cursor: psycopg.Cursor[Any], addresses: Sequence[Address]) -> dict[Address, set[Told]]:
    """The stretches of these journeys as the tables have them."""
    found: dict[Address, set[Told]] = {address: set() for address in addresses}
    if not addresses:
        return found
    cursor.execute(
        "SELECT s.tenant, s.journey_id, s.agent, s.started_at, s.ended_at, s.kind, s.call_sid, s.leg, s.queue, s.cohort_at "
        "FROM unnest(%s::text[], %s::text[]) AS a (tenant, journey_id) "
        f"JOIN segments s USING (tenant, journey_id) WHERE {OF_AGENTS}",
        ([tenant for tenant, _ in addresses], [journey for _, journey in addresses]),
    )
    for tenant, journey, agent, start, end, *rest, cohort in cursor:
        told = (agent, to_micros(start), None if end is None else to_micros(end), *rest, None if cohort is None else to_micros(cohort))
        found[tenant, journey].add(told)
    return found


def everything(connection: psycopg.Connection[Any], tenants: Sequence[str]) -> None:
    """These tenants' local days are others now: takes away what was folded of them, and marks all their agents' time."""
    there = "SELECT n FROM safiri.generations WHERE state IN ('live', 'building') AND to_regclass(format('g%s.agent_days', n)) IS NOT NULL"
    for (n,) in connection.execute(there).fetchall() if tenants else ():
        connection.execute(
            "INSERT INTO safiri.dirty_days (generation, tenant, agent, from_at) "
            f"SELECT %s, tenant, agent, min(day_started_at) - interval '1 day' FROM g{n}.agent_days WHERE tenant = ANY(%s) GROUP BY 2, 3",
            (n, list(tenants)),
        )
        for table in ("agent_days", "agent_intervals", "agent_slots"):
            connection.execute(f"DELETE FROM g{n}.{table} WHERE tenant = ANY(%s)", (list(tenants),))
