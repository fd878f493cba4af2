"""Gathers the shards of sums that have become old into one row each, so that readers do not add up a dozen rows for ever.

One does it at a time, a little in each step, and passes over what somebody else is changing: nobody waits for anybody.
"""

from __future__ import annotations

from typing import Any

import psycopg

from calls.clock import Micros, to_datetime
from projections.adding import REBUILT
from projections.columns import type_names
from projections.shape import Aggregate

ALONE = 0x5AF1_0005  # advisory lock
MOST = 5000  # rows a step: some 0.1 s
AGE: Micros = 24 * 3600 * 1_000_000  # of a sum that hardly changes any more


def compact(cursor: psycopg.Cursor[Any], aggregate: Aggregate, *, until: Micros, most: int = MOST) -> int:
    """Gathers sums of slots before `until` in the generation of the search path; returns how many rows it took."""
    cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", (ALONE,))
    if not (cursor.fetchone() or (False,))[0]:
        return 0
    name = aggregate.name
    cursor.execute(  # locked here and read by the next statement, which sees what was changed until then
        f"SELECT tenant, queue, slot, shard FROM {name} WHERE shard <> {REBUILT} AND slot < %s ORDER BY slot, queue LIMIT %s "
        "FOR UPDATE SKIP LOCKED",
        (to_datetime(until), most),
    )
    rows = cursor.fetchall()
    if rows:
        given = [list(column) for column in zip(*rows, strict=True)]
        cursor.execute(_gather(aggregate), given)
        cursor.execute(_sweep(aggregate), given[:3])
    return len(rows)


def _gather(aggregate: Aggregate) -> str:
    name, names = aggregate.name, [f'"{one}"' for one in aggregate.sums]
    types = dict(zip((column.name for column in aggregate.table.columns), type_names(aggregate.table), strict=True))
    sums = ", ".join(f'sum("{one}")::{types[one]}' for one in aggregate.sums)
    return (
        f"WITH taken AS (DELETE FROM {name} t USING unnest(%s::text[], %s::text[], %s::timestamptz[], %s::int[]) "
        "AS a (tenant, queue, slot, shard) WHERE (t.tenant, t.queue, t.slot, t.shard) = (a.tenant, a.queue, a.slot, a.shard) "
        f"RETURNING t.*) INSERT INTO {name} AS t (tenant, queue, slot, shard, {', '.join(names)}) "
        f"SELECT tenant, queue, slot, {REBUILT}, {sums} FROM taken GROUP BY tenant, queue, slot ORDER BY tenant, queue, slot "
        f"ON CONFLICT (tenant, queue, slot, shard) DO UPDATE SET {', '.join(f'{one} = t.{one} + excluded.{one}' for one in names)}"
    )


def _sweep(aggregate: Aggregate) -> str:
    """Sums of nothing go: whoever was counted there was moved elsewhere."""
    nothing = " AND ".join(f't."{one}" = 0' for one in aggregate.sums)
    return (
        f"DELETE FROM {aggregate.name} t USING unnest(%s::text[], %s::text[], %s::timestamptz[]) AS a (tenant, queue, slot) "
        f"WHERE (t.tenant, t.queue, t.slot, t.shard) = (a.tenant, a.queue, a.slot, {REBUILT}) AND {nothing}"
    )
