"""Large journeys are folded a little later, once for many changes: the delay grows with their size.

Folding a journey costs what its whole history costs, so one with thousands of events that changes many times a second would
hold up everybody else. Its deliveries are in the journal at once; only the fold waits, and freshness counts it.
Calls whose legs can be rated only now (projections/tariffs.py, runtime/posted_plans.py) wait here too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg

from projections.journal import Stream

LARGE = 500  # events from which a journey's fold is put off
MICROS_PER_EVENT = 1000  # of delay: 0.5 s at 500 events
LONGEST_US = 10_000_000


def delay_us(events: int) -> int:
    """How long a journey of that many events may wait for its fold, in microseconds; 0 = not at all."""
    return 0 if events < LARGE else min(LONGEST_US, events * MICROS_PER_EVENT)


def put_off(cursor: psycopg.Cursor[Any], streams: Iterable[Stream], events: int) -> None:
    """Notes that these calls are to be folded; what was noted before keeps its earlier time."""
    rows = sorted(streams)
    cursor.execute(
        "INSERT INTO safiri.deferred (tenant, call_sid, due_at) "
        "SELECT a.tenant, a.call_sid, clock_timestamp() + %s * interval '1 microsecond' "
        "FROM unnest(%s::text[], %s::text[]) AS a (tenant, call_sid) "
        "ON CONFLICT DO NOTHING",
        (delay_us(events), [tenant for tenant, _ in rows], [sid for _, sid in rows]),
    )


def take_due(cursor: psycopg.Cursor[Any], most: int = 200, *, early: bool = False) -> set[Stream]:
    """Calls whose time has come, taken off the list in the caller's transaction; other workers take others. `early`: the others too."""
    come = "" if early else "WHERE due_at <= clock_timestamp() "
    cursor.execute(
        f"DELETE FROM safiri.deferred d USING (SELECT tenant, call_sid FROM safiri.deferred {come}"
        "ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED) due WHERE d.tenant = due.tenant AND d.call_sid = due.call_sid "
        "RETURNING d.tenant, d.call_sid",
        (most,),
    )
    return set(cursor.fetchall())
