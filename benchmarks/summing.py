"""What sums by quarter of an hour cost the projector: the real role against one whose journeys add nothing to them."""

from __future__ import annotations

from benchmarks.filled import Run, fill, fresh, measured, told
from benchmarks.measuring import Result, Round, Size, Target, noisy, rounds
from benchmarks.stack import Stack

TARGET = Target("≥", 0.8)
OTHERWISE = ("queue_slots", "journeys")  # the sums, and what a journey says that it added to them


def run(size: Size) -> list[Result]:
    ours: list[Run] = []
    without: list[Run] = []
    wrong: list[str] = []
    with Stack() as stack:
        goal = fill(stack, size.of(150_000, 40_000))

        def one(_: int) -> Round:
            with fresh(stack) as url:
                ours.append(measured(stack, url, stack.role("projector", env=stack.env(url)), goal))
            with fresh(stack) as url:
                without.append(measured(stack, url, stack.program("benchmarks.unsummed", env=stack.env(url)), goal))
            wrong.extend(_faults(ours[-1], without[-1]))
            return Round(ours[-1].rate / without[-1].rate, {}, max(ours[-1].others, without[-1].others))

        found = rounds(size, one)
    shown = {"with sums": told(ours), "without": told(without), "of": f"{ours[-1].sums['queue_slots'][0]:,} sums"}
    ratios = [one.ratio for one in found]
    return [Result("summing", "projecting with sums ÷ without", ratios, TARGET, "", shown, noisy(found), "; ".join(wrong[:1]))]


def _faults(ours: Run, without: Run) -> list[str]:
    found = [f"{name} is not the same" for name, sum_ in ours.sums.items() if name not in OTHERWISE and sum_ != without.sums[name]]
    there, gone = ours.sums["queue_slots"][0], without.sums["queue_slots"][0]
    return found if there and not gone else [*found, f"{there} sums with them, {gone} without"]
