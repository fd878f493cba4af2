"""What the API's process grows to while it hands out a million queue visits, in each format; and how long that takes.

The rows are put straight into the tables. The process has exported a little of the same before, so that what is loaded once
counts for nothing; after that its peak is watched by the kernel.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import httpx
import msgspec
import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from benchmarks.measuring import Result, Size, Target, memory_mb, tree
from benchmarks.stack import Stack, serving
from cli.up import is_free
from projections import journeys, queue_visits

TARGET = Target("≤", 50)
VISITS = 4  # of one journey
FORMATS = ("csv", "ndjson", "parquet")
JOURNEY = {
    "tenant": "'default'", "journey_id": "'jn_' || md5(i::text)", "caller": "'+2547' || lpad((i % 10000000)::text, 8, '0')",
    "started_at": "{at}", "ended_at": "{at} + interval '3 min'", "document": "repeat('x', 1500)",
}  # fmt: skip
VISIT = {
    "tenant": "'default'", "journey_id": "'jn_' || md5(i::text)", "n": "k", "call_sid": "'call-' || md5(i::text)",
    "queue": "'queue ' || i % 20", "entered_at": "{at} + k * interval '1.234567 s'", "left_at": "{at} + k * interval '5 s'",
    "wait_ms": "k * 3765", "outcome": "'answered'", "agent": "'agent ' || i % 50", "menu": "'main'",
}  # fmt: skip
AT = "(timestamptz '2026-01-01 00:00+00' + i * interval '20 s')"
A_DAY = "?from=2026-01-02T00:00:00Z&to=2026-01-03T00:00:00Z"
NOTHING: dict[type[object], str] = {
    sa.Text: "''",
    sa.Boolean: "true",
    sa.Integer: "0",
    pg.ARRAY: "'{{}}'",
    pg.JSONB: "'{{}}'",
    sa.LargeBinary: "''",
}


class Taken(msgspec.Struct):
    """Of one export. MB of the process beyond what it had before, and of the program that writes Parquet at most."""

    seconds: float
    megabytes: float
    grown: float
    program: float


def run(size: Size) -> list[Result]:
    amount = size.of(1_000_000, 100_000)
    with Stack() as stack:
        env = stack.env(stack.database_url)
        fill(stack.database_url, amount)
        key = stack.safiri("keys", "create", "--name", "export", env=env).split()[-1]
        port = next(port for port in range(18_100, 18_200) if is_free(port))
        served = stack.role("http", env=env | {"SAFIRI_HTTP_PORT": str(port)})
        serving(f"http://127.0.0.1:{port}", served)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {key}"}, timeout=600) as client:
            for form in FORMATS:
                _bytes(client, form, A_DAY)
            taken = {form: _take(client, form, served.pid) for form in FORMATS}
    shown = {
        form: f"{one.seconds:.1f} s, {amount / one.seconds:,.0f} rows/s, {one.megabytes:.0f} MB, grown by {one.grown:.0f} MB"
        + (f" (and a program of {one.program:.0f} MB)" if one.program else "")
        for form, one in taken.items()
    }
    return [
        Result(
            "exporting",
            f"growth of the API while it exports {amount:,} rows",
            [max(one.grown for one in taken.values())],
            TARGET,
            "MB",
            shown,
        )
    ]


def fill(url: str, amount: int) -> None:
    """`amount` visits and their journeys in the live generation."""
    with psycopg.connect(url, autocommit=True) as connection:
        (n,) = connection.execute("SELECT n FROM safiri.generations WHERE state = 'live'").fetchone() or (1,)
        series = f"generate_series(1, {amount // VISITS}) i"
        for table, given, rows in (
            (journeys.TABLE, JOURNEY, series),
            (queue_visits.TABLE, VISIT, f"{series}, generate_series(0, {VISITS - 1}) k"),
        ):
            needed = {str(one.name): NOTHING[type(one.type)] for one in table.columns if not one.nullable and one.name not in given}
            values = needed | given
            listed = ", ".join(values.values()).format(at=AT)
            connection.execute(f"INSERT INTO g{n}.{table.name} ({', '.join(values)}) SELECT {listed} FROM {rows}".encode())
        connection.execute("VACUUM ANALYZE")


def _take(client: httpx.Client, form: str, pid: int) -> Taken:
    before = memory_mb(pid)["rss"]
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew
    most, over = [0.0], threading.Event()
    watch = threading.Thread(target=_watch, args=(pid, most, over))
    watch.start()
    began = time.monotonic()
    try:
        taken = _bytes(client, form)
    finally:
        over.set()
        watch.join()
    return Taken(time.monotonic() - began, taken / 1e6, memory_mb(pid)["peak"] - before, most[0])


def _watch(pid: int, most: list[float], over: threading.Event) -> None:
    """The largest of the processes below `pid`."""
    while not over.wait(0.05):
        for child in tree(pid) - {pid}:
            try:
                most[0] = max(most[0], memory_mb(child)["rss"])
            except (OSError, KeyError):
                continue  # it has just ended


def _bytes(client: httpx.Client, form: str, query: str = "") -> int:
    """How many came. Raises httpx.HTTPError where the answer is none, or is cut short."""
    with client.stream("GET", f"/v1/exports/queue_visits.{form}{query}") as reply:
        reply.raise_for_status()
        return sum(len(piece) for piece in reply.iter_bytes())
