"""A tariff of the family that inference knows, as integers: what a call of a length costs under it, how simple it is, and it as a rule.

The first increment of billable time costs `base` (with the setup fee), every following one `step`, both in sixtieths of a minor
unit: so whole minor units per minute stay whole for every increment that divides a minute. Tax on top and one rounding come last.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import msgspec

from calls.rating.terms import Applies, Rounding, Rule, Step, Tax

LONGEST_S = 7200
"""Two tariffs that charge the same up to this length are one."""
SCALE = 6000  # a minor unit in sixtieths of hundredths: tax percents stay whole
SIXTY = 60
_ODD_INCREMENT = {1: 0, 60: 0, 6: 1, 30: 1, 10: 2, 15: 2}
_ODD_ROUNDING: dict[Rounding, int] = {"half_up": 0, "up": 1, "down": 2, "half_even": 2}
_ROUND_MINIMA = (30, 60, 10, 20, 15, 45, 90, 120, 180, 300, 5, 40, 50, 6, 12, 18, 24, 36)


class Shape(msgspec.Struct, frozen=True):
    """How billable time is counted. `least`: increments after the first one that the minimum makes of any call."""

    free_s: int
    first_s: int
    next_s: int
    least: int

    def following(self, duration_s: int) -> int:
        """Increments after the first one in a call longer than `free_s`."""
        return max(self.least, -((self.free_s + self.first_s - duration_s) // self.next_s))

    @property
    def minimum_s(self) -> int:
        """The roundest minimum that makes `least` increments; 0 where no minimum is needed."""
        if not self.least:
            return 0
        most = self.first_s + self.least * self.next_s
        return next((one for one in _ROUND_MINIMA if most - self.next_s < one <= most), most)

    @property
    def oddness(self) -> int:
        """The part of a tariff's oddness that is its shape's."""
        found = _ODD_INCREMENT[self.first_s] + _ODD_INCREMENT[self.next_s] + (2 if self.first_s != self.next_s else 0)
        found += 4 + _odd_seconds(self.free_s) if self.free_s else 0
        return found + (4 + _odd_seconds(self.minimum_s) if self.least else 0)


class Tariff(msgspec.Struct, frozen=True):
    """`base`, `step`: sixtieths of a minor unit. `percent`: tax on top, 0 for none."""

    shape: Shape
    base: int
    step: int
    rounding: Rounding
    percent: int = 0

    def charge(self, duration_s: int) -> int:
        """Minor units for a call of `duration_s` seconds."""
        if duration_s <= self.shape.free_s:
            return 0
        return rounded((self.base + self.shape.following(duration_s) * self.step) * (100 + self.percent), self.rounding)

    def charges(self) -> tuple[int, ...]:
        """Minor units for every length from 0 to LONGEST_S: what the tariff does, however it is written."""
        shape, tax = self.shape, 100 + self.percent
        most = shape.following(LONGEST_S)
        prices = [rounded((self.base + n * self.step) * tax, self.rounding) for n in range(most + 1)]
        found = [0] * (shape.free_s + 1)
        found += [prices[shape.least]] * max(0, shape.first_s + shape.least * shape.next_s)
        for n in range(shape.least + 1, most + 1):
            found += [prices[n]] * shape.next_s
        return tuple(found[: LONGEST_S + 1])

    @property
    def rates(self) -> tuple[int, int, int]:
        """(setup, rate of the first increment, rate of the following ones), minor units and minor units per minute, at their simplest.

        Setup fee and first rate cannot be told apart by charges: one rate for all where the rest is a whole fee, else no fee, else
        as much fee as leaves the first increment no cheaper than the following ones.
        """
        shape = self.shape
        first, a_unit = self.base // shape.first_s, SIXTY // shape.first_s
        rate = self.step // shape.next_s
        fee, rest = divmod(first - rate, a_unit)
        if fee >= 0 and rest == 0:
            return fee, rate, rate
        if fee < 0 or first <= 4 * rate:
            return 0, first, rate
        return fee, first - fee * a_unit, rate

    @property
    def oddness(self) -> int:
        """How much it takes to say this tariff: the smaller, the likelier that somebody sells it."""
        setup, first, rate = self.rates
        found = self.shape.oddness + _ODD_ROUNDING[self.rounding] + odd_amount(rate)
        found += 6 + odd_amount(first) if first != rate else 0
        found += 4 + odd_amount(setup) if setup else 0
        return found + (6 if self.percent else 0)

    def rule(self, applies: Applies | None = None) -> Rule:
        """It as a rule of a plan. Two steps only where they differ."""
        shape = self.shape
        setup, first, rate = self.rates
        steps = [Step(Fraction(first), 0, SIXTY, shape.first_s), Step(Fraction(rate), shape.first_s, SIXTY, shape.next_s)]
        return Rule(
            tuple(steps[:1] if first == rate and shape.first_s == shape.next_s else steps),
            applies=applies or Applies(),
            setup_minor=setup,
            free_s=shape.free_s,
            minimum_s=shape.minimum_s,
            rounding=self.rounding,
            tax=Tax(Fraction(self.percent), included=False) if self.percent else None,
        )


def rounded(exact: int, rounding: Rounding) -> int:
    """`exact`, in 1/SCALE of a minor unit, as whole minor units."""
    if rounding == "up":
        return -(-exact // SCALE)
    if rounding == "down":
        return exact // SCALE
    if rounding == "half_up":
        return (exact + SCALE // 2) // SCALE
    whole, rest = divmod(exact, SCALE)
    return whole + (rest > SCALE // 2 or (rest == SCALE // 2 and whole % 2 == 1))


def cell(charge: int, rounding: Rounding, *, percent: int) -> tuple[int, int]:
    """The least and the greatest `base + n × step` that becomes `charge`; empty where the least is greater."""
    tax, half = 100 + percent, SCALE // 2
    bounds = {
        "up": ((charge - 1) * SCALE + 1, charge * SCALE),
        "down": (charge * SCALE, (charge + 1) * SCALE - 1),
        "half_up": (charge * SCALE - half, charge * SCALE + half - 1),
        "half_even": (charge * SCALE - half + charge % 2, charge * SCALE + half - charge % 2),
    }
    low, high = bounds[rounding]
    return max(0, -(-low // tax)), high // tax


def distinct(tariffs: Sequence[Tariff], most: int) -> list[Tariff]:
    """The first `most` that behave differently, in their order."""
    found: dict[tuple[int, ...], Tariff] = {}
    for one in tariffs:
        found.setdefault(one.charges(), one)
        if len(found) == most:
            break
    return list(found.values())


def odd_amount(amount: int) -> int:
    """0 for whole hundreds, up to 4 for what is not even a multiple of five."""
    return next((odd for odd, unit in enumerate((100, 50, 10, 5)) if amount % unit == 0), 4)


def _odd_seconds(seconds: int) -> int:
    return 0 if seconds % 10 == 0 or seconds in (3, 5, 6, 15) else 1 if seconds % 5 == 0 or seconds <= 6 else 2
