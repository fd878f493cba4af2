"""How near live projection from Kafka comes to merely copying the same rows, in one process each.

The tables of every run are compared with each other, and the first one's with a clean rebuild: a run that differs counts as zero.
"""

from __future__ import annotations

from benchmarks.filled import Run, fill, fresh, measured, told
from benchmarks.measuring import Result, Round, Size, Target, noisy, rounds
from benchmarks.raw import dump
from benchmarks.stack import Stack
from projections.rebuild import rebuild

TARGET = Target("≥", 0.25, 0.5)


def run(size: Size) -> list[Result]:
    amount = size.of(300_000, 60_000)
    with Stack() as stack:
        bench = Bench(stack, fill(stack, amount))
        bench.prepare()
        found = rounds(size, lambda _: bench.round())
    shown = {
        "projector": told(bench.ours),
        "raw limit": told(bench.limits),
        "events": f"{amount:,}, {bench.rows:,} rows, {bench.megabytes:.0f} MB of them",
    }
    ratios = [one.ratio for one in found]
    return [Result("projecting", "live projection ÷ raw limit", ratios, TARGET, "", shown, noisy(found), "; ".join(bench.wrong[:1]))]


class Bench:
    def __init__(self, stack: Stack, goal: int):
        self.stack, self.goal = stack, goal
        self.file = stack.path / "rows"
        self.ours: list[Run] = []
        self.limits: list[Run] = []
        self.wrong: list[str] = []

    def prepare(self) -> None:
        """A run that is not counted: its tables are compared with a rebuild and give the raw limit its rows."""
        with fresh(self.stack) as url:
            self.right = self._project(url).sums
            report = rebuild(url, verify=True)
            self.wrong += [f"{one.table}.{one.column} of {one.key} is not what a rebuild makes" for one in report.differences]
            dump(url, self.file, events=self.goal)
        self.rows = sum(rows for rows, _ in self.right.values())
        self.megabytes = self.file.stat().st_size / 1e6

    def round(self) -> Round:
        with fresh(self.stack) as url:
            ours = self._project(url)
        with fresh(self.stack) as url:
            limit = self._copy(url)
        self.ours.append(ours)
        self.limits.append(limit)
        for run in (ours, limit):
            self.wrong += [f"{table} differs between two runs" for table, sum_ in run.sums.items() if sum_ != self.right[table]]
        return Round(ours.rate / limit.rate, {}, max(ours.others, limit.others))

    def _project(self, url: str) -> Run:
        return measured(self.stack, url, self.stack.role("projector", env=self.stack.env(url)), self.goal)

    def _copy(self, url: str) -> Run:
        process = self.stack.program("benchmarks.raw", self.stack.kafka, url, str(self.file), env={"MALLOC_ARENA_MAX": "2"})
        return measured(self.stack, url, process, self.goal)
