"""A question about ninety days of queues: asked of the product's sums, and of DuckDB on Parquet with the same visits.

Both give the same rows, or the result counts as zero; so do the product's sums and its own counting of single visits. What is timed
is the question up to its sums by place: its plan, its statements in one snapshot, what they fetch. DuckDB's rows are fetched as well.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import sqlalchemy as sa

from api.analytics.answer import Known, answer, counted_rows
from api.analytics.tally import snapshot, tally
from api.database import reader
from benchmarks import history
from benchmarks.measuring import Meter, Result, Round, Size, Target, medians, noisy, percentile, rounds
from benchmarks.stack import Stack
from calls.clock import rfc3339, to_micros
from calls.metrics.cells import grid
from calls.metrics.evaluate import AnswerRow
from calls.metrics.plan import selections
from calls.metrics.question import Question, Tally

METRICS = ("queue.offered", "queue.answered", "queue.abandoned", "queue.asa", "sl.negative")
KNOWN = Known(rfc3339(to_micros(history.UNTIL)), 33.0)
QUEUE = "queue 03"
WIDE, ONE = "all queues", "one queue"
TARGETS = {WIDE: Target("≤", 0.2), ONE: Target("≤", 0.05)}
GROWN = Target("≤", 1.3)
REPEATS = 7  # of one arm in a round
MANY = 60  # questions whose 95th percentile is compared
DUCK = """
SELECT queue, date_trunc('day', entered_at) AS day, count(*), count(*) FILTER (WHERE outcome = 'answered'),
  count(*) FILTER (WHERE outcome = 'abandoned'), coalesce(sum(wait_ms) FILTER (WHERE outcome = 'answered'), 0)::bigint,
  count(*) FILTER (WHERE outcome = 'answered' AND wait_ms <= 20000)
FROM '{parquet}' {where} GROUP BY ALL ORDER BY 2, 1
"""


def question(name: str) -> Question:
    """Five figures of each queue on each of ninety days."""
    filters = (("queue", QUEUE),) if name == ONE else ()
    return Question(
        tenant=history.TENANT, metrics=METRICS, since=to_micros(history.FIRST), until=to_micros(history.UNTIL), interval="1d",
        group_by=("queue",), filters=filters,
    )  # fmt: skip


class Arm(NamedTuple):
    """One history, by both engines."""

    engine: sa.Engine
    parquet: Path

    def ask(self, name: str) -> list[AnswerRow]:
        with snapshot(self.engine) as connection:
            return list(counted_rows(connection, question(name), KNOWN)[0])

    def count(self, name: str) -> Tally:
        asked = question(name)
        cells = grid(asked)
        with snapshot(self.engine) as connection:
            return tally(connection, asked, plan=selections(asked, cells), grid=cells, through=KNOWN.through)

    def wrong(self, name: str) -> str:
        """What differs from DuckDB, which counts every visit."""
        ours, theirs = [_plain(row) for row in self.ask(name)], duck(self.parquet, name)
        return "" if ours == theirs else f"{name}: {len(ours)} rows of ours are not DuckDB's {len(theirs)}"


def duck(parquet: Path, name: str) -> list[tuple[Any, ...]]:
    where = f"WHERE queue = '{QUEUE}'" if name == ONE else ""
    rows = ENGINE.execute(DUCK.format(parquet=parquet, where=where)).fetchall()
    return [(queue, day.strftime("%Y-%m-%d"), *amounts) for queue, day, *amounts in rows]


ENGINE = duckdb.connect()


def _plain(row: AnswerRow) -> tuple[Any, ...]:
    offered, answered, abandoned, asa, level = (row.values[name] for name in METRICS)
    found = (offered.value, answered.value, abandoned.value, asa.numerator, level.numerator)
    return (row.group["queue"], row.interval_start[:10], *found)


def run(size: Size) -> list[Result]:
    large = size.of(history.Size(5_000_000, 50), history.Size(500_000, 5))
    with Stack() as stack:
        stack.template()
        arms = [_made(stack, large), _made(stack, history.Size(large.visits // 10, large.queues))]
        try:
            wrong = [said for arm in arms for name in TARGETS if (said := arm.wrong(name))]
            pids = {"postgres": stack.pids["postgres"]}
            return [*(_against(arms[0], name, size=size, pids=pids, wrong=wrong) for name in TARGETS), _grown(arms, size, pids, wrong)]
        finally:
            for arm in arms:
                arm.engine.dispose()


def _made(stack: Stack, size: history.Size) -> Arm:
    url = stack.database()
    source = history.parquet(stack.path / f"visits-{size.visits}.parquet", size)
    history.load(url, source)
    return Arm(reader(url), source)


def _against(arm: Arm, name: str, *, size: Size, pids: dict[str, int], wrong: Sequence[str]) -> Result:
    def one(_: int) -> Round:
        with Meter(pids) as meter:
            ours, theirs = _median(lambda: arm.count(name)), _median(lambda: duck(arm.parquet, name))
            whole = _median(lambda: answer(arm.engine, question(name), KNOWN))
        return Round(ours / theirs, {"ours": ours, "theirs": theirs, "whole": whole}, meter.others)

    found = rounds(size, one)
    middle = medians(found)
    shown = {
        "sums": f"{middle['ours']:.1f} ms; the whole answer {middle['whole']:.1f} ms",
        f"DuckDB {duckdb.__version__} on Parquet": f"{middle['theirs']:.1f} ms",
        "of": f"{_visits(arm):,} visits, {history.DAYS} days, {len(arm.ask(name)):,} rows",
    }
    ratios = [each.ratio for each in found]
    target = None if size.quick else TARGETS[name]  # of fewer visits DuckDB is quicker, and as many sums are not
    return Result(f"rolling {name}", "numbers of 90 days from sums ÷ DuckDB on Parquet", ratios, target, "", shown, noisy(found),
                  "; ".join(wrong[:1]))  # fmt: skip


def _grown(arms: Sequence[Arm], size: Size, pids: dict[str, int], wrong: Sequence[str]) -> Result:
    """The 95th percentile with all visits ÷ that with a tenth of them, over the same queues and days."""

    def one(_: int) -> Round:
        times: list[list[float]] = [[], []]
        with Meter(pids) as meter:
            for _ in range(size.of(MANY, MANY // 3)):
                for arm, into in zip(arms, times, strict=True):
                    into.append(_timed(lambda arm=arm: arm.count(WIDE)))  # type: ignore[misc]
        large, small = (percentile(each, 0.95) for each in times)
        return Round(large / small, {"large": large, "small": small}, meter.others)

    found = rounds(size, one)
    middle = medians(found)
    shown = {"p95": f"{middle['large']:.1f} ms of {_visits(arms[0]):,} visits, {middle['small']:.1f} ms of {_visits(arms[1]):,}"}
    ratios = [each.ratio for each in found]
    return Result(
        "rolling growth", "p95 of that with ten times the visits ÷ p95", ratios, GROWN, "", shown, noisy(found), "; ".join(wrong[:1])
    )


def _visits(arm: Arm) -> int:
    found = ENGINE.execute(f"SELECT count(*) FROM '{arm.parquet}'").fetchone()
    return int(found[0]) if found else 0


def _median(work: Callable[[], object]) -> float:
    return statistics.median(_timed(work) for _ in range(REPEATS))


def _timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000
