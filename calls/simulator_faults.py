"""What goes wrong with a delivery of the virtual provider, and when is it tried again? Seeded: the same seed, the same bad luck."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

import msgspec

FAULTS = ("duplicates", "reorder", "delay", "losses", "skew")
SHORT_S = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
PUBLISHED_S = (0.0, 30.0, 120.0, 600.0, 1_800.0, 7_200.0, 21_600.0, 86_400.0)
UNLUCKY = 0.28  # journeys of which something is lost
LOST = 0.4  # of what an unlucky journey sends


class Fate(msgspec.Struct, frozen=True):
    """What becomes of one delivery: never sent, or sent after `delay_ms`, and again after each of `copies_ms`."""

    lost: bool = False
    delay_ms: int = 0
    copies_ms: tuple[int, ...] = ()


def fate(seed: int, *, faults: Collection[str], journey: int, n: int, timed: bool, lossable: bool) -> Fate:
    """Of the `n`-th delivery of a journey. `timed`: it says when it happened, so that a delay changes nothing that is read in it."""
    if not faults:
        return Fate()
    dice = random.Random(f"fate {seed}/{journey}/{n}")
    rolls = [dice.random() for _ in range(4)]
    unlucky = random.Random(f"luck {seed}/{journey}").random() < UNLUCKY
    if "losses" in faults and lossable and unlucky and rolls[0] < LOST:
        return Fate(lost=True)
    delay = dice.randrange(150, 600) if "reorder" in faults and rolls[1] < 0.15 else 0
    if "delay" in faults and rolls[2] < 0.15:
        delay += dice.randrange(200, 2_500) if timed else dice.randrange(50, 300)
    copies = tuple(dice.randrange(5, 800) for _ in range(dice.choice((1, 1, 2)))) if "duplicates" in faults and rolls[3] < 0.2 else ()
    return Fate(delay_ms=delay, copies_ms=copies)


def skew_ms(seed: int, faults: Collection[str]) -> int:
    """How much the provider's clock is off, in one run."""
    return random.Random(f"skew {seed}").randrange(-400, 400) if "skew" in faults else 0


def jittered(schedule: Sequence[float], seed: str) -> list[float]:
    """The pauses before each attempt, with full jitter in [0, base] as the vendor says."""
    dice = random.Random(f"retry {seed}")
    return [dice.uniform(0, base) for base in schedule]
