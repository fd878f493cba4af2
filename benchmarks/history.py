"""Ninety days of queue visits, made once: as Parquet, and straight in the tables of a database, without a delivery for any of them.

Everything about a visit follows from its number. Queues are open for twelve hours a day; their sums by quarter of an hour are made
by the definitions of the measures, and compared with the product's own counting of every visit before anything is timed.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import psycopg

from calls.metrics.measures import MEASURES, Measure
from calls.metrics.slots import COLUMNS, COUNTS, EDGES_S, LENGTHS
from projections import generations

TENANT = "default"
DAYS = 90
FIRST = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
UNTIL = FIRST + dt.timedelta(days=DAYS)
OPENS_S, OPEN_S = 7 * 3600, 12 * 3600
VISITS = """
SELECT i, 'queue ' || lpad((roll(i, 1) % {queues})::text, 2, '0') AS queue,
  TIMESTAMP '{first}' + to_days((roll(i, 2) % {days})::int) + to_milliseconds({opens} + roll(i, 3) % {open}) AS entered_at,
  CASE WHEN roll(i, 4) % 100 < 82 THEN 'answered' WHEN roll(i, 4) % 100 < 96 THEN 'abandoned' WHEN roll(i, 4) % 100 < 98 THEN 'timeout'
       ELSE 'closed' END AS outcome,
  (-30000 * ln((1 + roll(i, 5) % 100000) / 100001.0))::bigint AS wait_ms
FROM range({visits}) AS all_of_them(i) ORDER BY entered_at, i
"""
ROWS = """
SELECT '{tenant}' AS tenant, 'jn_' || lpad(i::text, 16, '0') AS journey_id, 0 AS n, 'call-' || i AS call_sid, queue,
  strftime(entered_at, '%Y-%m-%d %H:%M:%S.%g') || 'Z' AS entered_at,
  strftime(entered_at + to_milliseconds(wait_ms), '%Y-%m-%d %H:%M:%S.%g') || 'Z' AS left_at, wait_ms, outcome
FROM '{parquet}'
"""


class Size(msgspec.Struct, frozen=True):
    """As dense whatever the size: a sum of a quarter of an hour is of some twenty visits."""

    visits: int
    queues: int


def parquet(path: Path, size: Size) -> Path:
    """The visits as one file, sorted by the moment of entry."""
    asked = VISITS.format(
        queues=size.queues, first=FIRST.strftime("%Y-%m-%d"), days=DAYS, opens=OPENS_S * 1000, open=OPEN_S * 1000, visits=size.visits
    )
    with duckdb.connect() as engine:
        engine.execute("CREATE MACRO roll(i, n) AS hash(i * 8 + n)")
        engine.execute(f"COPY ({asked}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
    return path


def load(url: str, source: Path) -> None:
    """The visits and their sums in the live generation's tables; vacuumed and analysed."""
    rows = source.with_suffix(".csv")
    with duckdb.connect() as engine:
        engine.execute(f"COPY ({ROWS.format(tenant=TENANT, parquet=source)}) TO '{rows}' (FORMAT csv, HEADER false)")
    with psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as connection:
        (schema,) = connection.execute("SELECT 'g' || n FROM safiri.generations WHERE state = 'live'").fetchone() or ("",)
        connection.execute(f"SET search_path = {schema}")
        _copy(connection, schema, rows)
        connection.execute(_sums())
        generations.lay_out(connection, "queue_slots")  # as after a rebuild
        for table in ("queue_visits", "queue_slots"):
            connection.execute(f"VACUUM (FREEZE, ANALYZE) {table}")
        connection.execute("CHECKPOINT")
    rows.unlink()


def _copy(connection: psycopg.Connection[Any], schema: str, rows: Path) -> None:
    """Indexes are made afterwards, at once: quicker than row by row."""
    asked = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = %s AND tablename = 'queue_visits' AND indexname <> 'queue_visits_pkey'"
    indexes = connection.execute(asked, (schema,)).fetchall()
    for name, _ in indexes:
        connection.execute(f'DROP INDEX "{name}"')
    columns = "tenant, journey_id, n, call_sid, queue, entered_at, left_at, wait_ms, outcome"
    with connection.cursor().copy(f"COPY queue_visits ({columns}) FROM STDIN (FORMAT csv)") as copy, open(rows, "rb") as file:
        while chunk := file.read(1 << 20):
            copy.write(chunk)
    for _, made in indexes:
        connection.execute(made)


def _sums() -> str:
    """INSERT of queue_slots out of queue_visits."""
    filled = {name: _column(MEASURES[name]) for name in (*COUNTS, *LENGTHS)}
    for name in ("answered", "abandoned"):
        filled |= {f"{name}_{edge}": f"count(*) FILTER (WHERE outcome = '{name}' AND wait_ms <= {edge * 1000})" for edge in EDGES_S}
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    return (
        f"INSERT INTO queue_slots (tenant, queue, slot, shard, {names}) "
        "SELECT tenant, queue, date_bin('15 minutes', entered_at, 'epoch'), -1, "
        f"{', '.join(filled[name] for name in COLUMNS)} FROM queue_visits GROUP BY 1, 2, 3"
    )


def _column(measure: Measure) -> str:
    if measure.source != "visits":
        return "0"  # these visits are answered by nobody
    amount = "coalesce(sum(wait_ms){}, 0)" if measure.adds == "wait" else "count(*){}"
    outcomes = ", ".join(f"'{name}'" for test in measure.tests for name in test.one_of)
    return amount.format(f" FILTER (WHERE outcome IN ({outcomes}))" if outcomes else "")
