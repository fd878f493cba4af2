"""What FastStream costs: the real projector role against the same projecting fed by a bare client."""

from __future__ import annotations

from benchmarks.filled import Run, fill, fresh, measured, told
from benchmarks.measuring import Result, Round, Size, Target, noisy, rounds
from benchmarks.stack import Stack

TARGET = Target("≥", 0.75)


def run(size: Size) -> list[Result]:
    ours: list[Run] = []
    bare: list[Run] = []
    wrong: list[str] = []
    with Stack() as stack:
        goal = fill(stack, size.of(150_000, 40_000))

        def one(_: int) -> Round:
            with fresh(stack) as url:
                ours.append(measured(stack, url, stack.role("projector", env=stack.env(url)), goal))
            with fresh(stack) as url:
                bare.append(measured(stack, url, stack.program("benchmarks.bare", env=stack.env(url)), goal))
            if ours[-1].sums != bare[-1].sums:
                wrong.append("the two made different tables")
            return Round(ours[-1].rate / bare[-1].rate, {}, max(ours[-1].others, bare[-1].others))

        found = rounds(size, one)
    shown = {"through FastStream": told(ours), "bare client": told(bare)}
    return [
        Result(
            "framework",
            "projecting through FastStream ÷ bare client",
            [one.ratio for one in found],
            TARGET,
            "",
            shown,
            noisy(found),
            "; ".join(wrong[:1]),
        )
    ]
