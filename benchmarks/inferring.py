"""Finding a tariff from 100,000 lines against finding it from 200 of them: from the bytes of the CSV to the plan, in one process."""

from __future__ import annotations

import os
import random
import time

from benchmarks.measuring import Meter, Result, Round, Size, Target, medians, noisy, rounds
from calls.rating.infer import Inferred, infer
from calls.rating.infer_read import decoded, read
from calls.rating.infer_tariff import Shape, Tariff

TARGET = Target("≤", 20)
FEW = 200
HIDDEN = (
    Tariff(Shape(0, 1, 1, 0), 300, 300, "half_up"),
    Tariff(Shape(5, 30, 6, 0), 30 * 247 + 60 * 40, 6 * 231, "up"),
    Tariff(Shape(0, 6, 6, 4), 6 * 318, 6 * 318, "half_even"),
)
WRONG = 0.02


def run(size: Size) -> list[Result]:
    many = size.of(100_000, 20_000)
    return [_judged(size, many, 0.0, "every line right"), _judged(size, many, WRONG, "2 % of the lines wrong")]


def _judged(size: Size, many: int, wrong: float, what: str) -> Result:
    faults: list[str] = []

    def one(number: int) -> Round:
        with Meter({"inferring": os.getpid()}) as meter:
            few, large = (_seconds(lines, wrong, number, faults) for lines in (FEW, many))
        return Round(large / few, {"few": few, "large": large}, meter.others)

    found = rounds(size, one)
    taken = medians(found)
    shown = {f"{FEW} lines": f"{taken['few']:.2f} s", f"{many:,} lines": f"{taken['large']:.2f} s", "of": f"{len(HIDDEN)} tariffs each"}
    name = f"{many:,} lines ÷ {FEW}, {what}"
    return Result("inferring", name, [one.ratio for one in found], TARGET, "", shown, noisy(found), "; ".join(faults[:1]))


def _seconds(lines: int, wrong: float, seed: int, faults: list[str]) -> float:
    """Of all hidden tariffs together; what is not found goes to `faults`."""
    taken = 0.0
    for tariff in HIDDEN:
        body, spoilt = _csv(tariff, lines, wrong, seed)
        began = time.perf_counter()
        found = infer(read(decoded(body)))
        taken += time.perf_counter() - began
        if not _right(found, spoilt):
            faults.append(f"{tariff} was not found from {lines:,} lines")
    return taken


def _right(found: Inferred, spoilt: list[int]) -> bool:
    return [one["line"] for one in found.rules[0].exceptions] == spoilt


def _csv(tariff: Tariff, lines: int, wrong: float, seed: int) -> tuple[bytes, list[int]]:
    """The file, and the numbers of the lines in it that the tariff does not explain."""
    drawn = random.Random(seed)
    lengths = [*range(1, 91), *(drawn.randint(91, 7200) for _ in range(lines - 90))]
    drawn.shuffle(lengths)
    spoilt = sorted(drawn.sample(range(lines), int(lines * wrong)))
    more = dict.fromkeys(spoilt, 0) | {place: 13 + n for n, place in enumerate(spoilt)}
    rows = (f"{length},{tariff.charge(length) + more.get(place, 0)}\n" for place, length in enumerate(lengths))
    return ("duration_s,charge_minor\n" + "".join(rows)).encode(), [place + 2 for place in spoilt]
