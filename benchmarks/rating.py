"""Legs rated a second, with their working: integers over one denominator beside the plain fractions that define it.

The plain version goes increment by increment, so plans of few and of many increments are told apart: by the started minute, where
it has least to do, by the second, and by the second across borders of the time of day. CPU time of this process counts.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from benchmarks.measuring import Result, Round, Size, Target, medians, rounds
from calls.clock import parse_time
from calls.rating.charge import Charge, RatedLeg
from calls.rating.plain import rate_plainly
from calls.rating.rate import rate
from calls.rating.terms import Plan
from runtime.plans import shipped

TARGET = Target("≥", 5)
PLANS = {
    "rating minutes": ("by the started minute", "sautikit-ke-minute"),
    "rating seconds": ("by the second", "sautikit-ke"),
    "rating hours": ("by the second, other rates at night and on Sundays", "example"),
}
SEED = 6
Rater = Callable[[Plan, list[RatedLeg]], list[Charge]]


def run(size: Size) -> list[Result]:
    return [_measured(size, name) for name in PLANS]


def legs(count: int) -> list[RatedLeg]:
    """A month of calls: half a second to twelve minutes, most of them short."""
    drawn, first, found = random.Random(SEED), parse_time("2026-05-01T00:00:00Z") or 0, []
    for number in range(count):
        talk_ms, ring_ms = round(min(720_000, 500 + drawn.expovariate(1 / 150_000))), drawn.randrange(2_000, 30_000)
        start = first + drawn.randrange(30 * 86_400) * 1_000_000
        found.append(RatedLeg(
            "outbound", "external", f"+2547{drawn.randrange(10**8):08}", talk_ms, ring_ms, start, start + ring_ms * 1000,
            call_sid=f"call-{number}", leg="caller",
        ))  # fmt: skip
    return found


def _measured(size: Size, name: str) -> Result:
    what, plan = PLANS[name][0], shipped()[PLANS[name][1]]
    given = legs(size.of(3000, 500))
    ours, plain = ([(one.amount_minor, one.working) for one in rater(plan, given)] for rater in (rate, rate_plainly))
    assert ours == plain
    found = rounds(size, lambda _: _round(plan, given))
    shown = {arm: f"{per_s:,.0f} legs/s" for arm, per_s in medians(found).items()}
    return Result(name, f"legs rated {what}, in integers and in fractions", [one.ratio for one in found], TARGET, "", shown)


def _round(plan: Plan, given: list[RatedLeg]) -> Round:
    ours, plain = _per_s(rate, plan, given), _per_s(rate_plainly, plan, given)
    return Round(ours / plain, {"integers": ours, "fractions": plain}, 0.0)


def _per_s(rater: Rater, plan: Plan, given: list[RatedLeg]) -> float:
    """With the working as it is shown: its texts are part of a charge."""
    began = time.process_time()
    for charge in rater(plan, given):
        for line in charge.lines:
            line.text()
    return len(given) / (time.process_time() - began)
