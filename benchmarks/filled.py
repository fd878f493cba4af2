"""Topics with deliveries in them, and a watch on how fast a database takes them in: shared by what measures projecting."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg

from benchmarks.measuring import TICK_S, Meter, eventually
from benchmarks.stack import Stack, stop
from benchmarks.traffic import envelopes
from ingest.publish import Appender
from projections.generations import TABLES, facts
from runtime.kafka import Watcher

EVERY_S = 0.01
WITHIN_S = 300
POSITION = "SELECT coalesce(sum(next), 0)::bigint FROM safiri.positions"
LEFT_OUT = {"known_at", "seq"}  # of the journal: when and how often, not what
Sums = dict[str, tuple[int, int]]  # table -> (rows, a digest that does not depend on their order)


class Run(msgspec.Struct):
    """One arm: from its first commit to its last, without the events of the first."""

    events: int
    seconds: float
    cpu: dict[str, float]  # µs per event
    others: float
    sums: Sums
    url: str

    @property
    def rate(self) -> float:
        return self.events / self.seconds


def fill(stack: Stack, amount: int) -> int:
    """Appends `amount` deliveries and sets the empty, migrated database aside. Returns how many records the log has."""
    appender = Appender(stack.kafka)
    appender.append(envelopes(stack.path / "safiri.toml", 1, amount))
    appender.flush()
    stack.template()
    watcher = Watcher(stack.kafka)
    found = sum(watcher.ends().values())
    watcher.close()
    return found


def measured(stack: Stack, url: str, process: subprocess.Popen[str], goal: int) -> Run:
    """Watches the positions of the database from the first commit until `goal`; then lets it finish agents' time, and stops the process."""
    pids = {"client": process.pid, "postgres": stack.pids["postgres"], "kafka": stack.pids["kafka"]}
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            first = _passed(connection, 0, process)
            with Meter(pids) as meter:
                _passed(connection, goal - 1, process)
            eventually(lambda: not _marks(connection), "agents' time is folded", WITHIN_S)
    finally:
        stop(process)
    events = goal - first
    return Run(events, max(meter.seconds, TICK_S), meter.micros(events), meter.others, sums(url), url)


def _marks(connection: psycopg.Connection[Any]) -> int:
    """How much of agents' time waits for the second fold."""
    return int((connection.execute("SELECT count(*) FROM safiri.dirty_days").fetchone() or (0,))[0])


def _passed(connection: psycopg.Connection[Any], position: int, process: subprocess.Popen[str]) -> int:
    """Waits until the database is beyond `position`; returns where it is then."""
    end = time.monotonic() + WITHIN_S
    while time.monotonic() < end:
        (here,) = connection.execute(POSITION).fetchone() or (0,)
        if here > position:
            return int(here)
        if process.poll() is not None:
            raise RuntimeError(f"the program that was measured ended with {process.returncode}")
        time.sleep(EVERY_S)
    raise TimeoutError(f"position {position} was not reached within {WITHIN_S} s")


def tables(connection: psycopg.Connection[Any]) -> list[str]:
    """The journal and the live generation's tables, qualified."""
    (n,) = connection.execute("SELECT n FROM safiri.generations WHERE state = 'live'").fetchone() or (1,)
    return ["safiri.journal", *(f"g{n}.{table.name}" for table in TABLES)]


def sums(url: str) -> Sums:
    """Rows and digest of what each table says."""
    found: Sums = {}
    with psycopg.connect(url, autocommit=True) as connection:
        asked = "SELECT column_name FROM information_schema.columns WHERE table_schema = 'safiri' AND table_name = 'journal' ORDER BY ordinal_position"
        names = [f'"{column}"' for (column,) in connection.execute(asked) if column not in LEFT_OUT]
        said = {"journal": f"SELECT {', '.join(names)} FROM safiri.journal"} | {table.name: facts(table, "live") for table in TABLES}
        for name, rows_of in said.items():
            summed = f"SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM ({rows_of}) t"
            rows, total = connection.execute(summed.encode()).fetchone() or (0, 0)
            found[name] = (int(rows), int(total))
    return found


@contextmanager
def fresh(stack: Stack) -> Iterator[str]:
    """A database of one arm's own."""
    url = stack.database()
    try:
        yield url
    finally:
        stack.drop(url)


def told(runs: Sequence[Run]) -> str:
    """The rate, and the CPU of each process per event."""
    rate = statistics.median(run.rate for run in runs)
    cpu = ", ".join(f"{name} {statistics.median(run.cpu[name] for run in runs):.1f}" for name in runs[0].cpu)
    return f"{rate:,.0f} events/s; CPU µs/event: {cpu}"
