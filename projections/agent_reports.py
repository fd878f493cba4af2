"""Keeps the states in which agents were reported: table agent_states, in the transaction that appends them to the journal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import psycopg

from calls.clock import Micros, to_datetime, to_micros
from calls.events import AgentState
from calls.history import Delivery
from projections.agent_marks import Marks
from projections.shape import clean

Key: TypeAlias = tuple[str, str, str, str]  # tenant, agent, account, event id
Report: TypeAlias = tuple[Micros, bytes, AgentState]  # received, digest of the body, what it says
LONGEST_MS = 366 * 86_400_000  # of a state of known length; a longer one has none
COLUMNS = "tenant, agent, account, event_id, at, state, reason, queue, lasts_ms, received_at, digest"
GIVEN = (
    "SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::text[], %s::text[], %s::text[], "
    f"%s::bigint[], %s::timestamptz[], %s::bytea[]) AS a ({COLUMNS})"
)


def keep(cursor: psycopg.Cursor[Any], deliveries: Iterable[tuple[str, Delivery]], marks: Marks) -> None:
    """`deliveries`: (tenant, delivery of an agent's stream), copies too. Of several under one key the one received first stands."""
    found: dict[Key, Report] = {}
    for tenant, delivery in deliveries:
        for fact in sorted((one for one in delivery.facts if isinstance(one, AgentState)), key=lambda one: one.at, reverse=True):
            key = (tenant, clean(fact.agent) or "", delivery.account, delivery.event_id)
            report = (delivery.received_at, delivery.digest, fact)
            if key not in found or report[:2] < found[key][:2]:
                found[key] = report
    if not found:
        return
    fresh = _insert(cursor, found)
    for key in fresh:
        _mark(marks, key, found[key][2].at)
    _replace(cursor, {key: report for key, report in found.items() if key not in fresh}, marks)


def _mark(marks: Marks, key: Key, at: Micros) -> None:
    marks.add((key[0], key[1]), at, at, carries=True)


def _insert(cursor: psycopg.Cursor[Any], found: dict[Key, Report]) -> set[Key]:
    """Writes those of which nothing was known; returns their keys."""
    cursor.execute(
        f"INSERT INTO agent_states ({COLUMNS}) {GIVEN} ORDER BY 1, 2, 3, 4 ON CONFLICT DO NOTHING "
        "RETURNING tenant, agent, account, event_id",
        _columns(found),
    )
    return set(cursor.fetchall())


def _replace(cursor: psycopg.Cursor[Any], found: dict[Key, Report], marks: Marks) -> None:
    """Of those that were known, writes what was received earlier."""
    if not found:
        return
    cursor.execute(
        "SELECT s.tenant, s.agent, s.account, s.event_id, s.at, s.received_at, s.digest "
        "FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS a (tenant, agent, account, event_id) "
        "JOIN agent_states s USING (tenant, agent, account, event_id) ORDER BY 1, 2, 3, 4 FOR UPDATE OF s",
        [list(column) for column in zip(*found, strict=True)],
    )
    earlier: dict[Key, Report] = {}
    for *names, at, received_at, digest in cursor.fetchall():
        key: Key = tuple(names)
        if found[key][:2] < (to_micros(received_at), digest):
            earlier[key] = found[key]
            _mark(marks, key, to_micros(at))
            _mark(marks, key, found[key][2].at)
    if earlier:
        rest = ", ".join(f"{name} = a.{name}" for name in COLUMNS.split(", ")[4:])
        cursor.execute(
            f"UPDATE agent_states s SET {rest} FROM ({GIVEN}) a WHERE (s.tenant, s.agent, s.account, s.event_id) "
            "= (a.tenant, a.agent, a.account, a.event_id)",
            _columns(earlier),
        )


def _columns(found: dict[Key, Report]) -> list[list[Any]]:
    rows = [
        (
            *key, to_datetime(fact.at), fact.state, clean(fact.reason), clean(fact.queue),
            fact.lasts_ms if fact.lasts_ms is not None and fact.lasts_ms < LONGEST_MS else None, to_datetime(received_at), digest,
        )
        for key, (received_at, digest, fact) in found.items()
    ]  # fmt: skip
    return [list(column) for column in zip(*rows, strict=True)]
