"""Every tariff of the family that charges exactly what all given points say.

For one shape the charge before rounding is `base + n × step`, n being counted from the duration. So each point confines it to a
cell, the two farthest points leave a handful of whole rates, and for each of those the bases are an intersection of intervals.
Nothing is tried at random and nothing is left out.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import gcd

from calls.rating.infer_shapes import Point, shapes
from calls.rating.infer_tariff import SIXTY, Shape, Tariff, cell, distinct, odd_amount
from calls.rating.terms import ROUNDINGS, Rounding

MOST = 20
"""So many rules are told. Where there are more, the lines say too little, and the plainest come first."""
MOST_KEPT = 200
MOST_RATES = 50
AT_ONCE = 240
"""So many points are searched with; what the others say is checked afterwards, and those that speak against a find join."""
SHORT_S = 90
FINE = 10**6
FEW = 24


def explaining(points: Sequence[Point], *, percents: Sequence[int] = (0,)) -> list[Tariff]:
    """The tariffs with tax of one of `percents` on top that explain every one of `points` (one charge a duration, ascending).

    At most MOST, plainest first, one per behaviour.
    """
    falls = any(other.charge < one.charge for one, other in pairwise(points))  # and no tariff of the family does
    if falls or any(one.duration_s == 0 and one.charge for one in points):
        return []
    chosen = sample(points, AT_ONCE)
    while True:
        found = _found(chosen, percents)
        against = {point for one in found if (point := first_against(one, points)) is not None}
        if not against:
            return distinct(found, MOST)
        chosen = sorted({*chosen, *against})


def sample(points: Sequence[Point], most: int) -> list[Point]:
    """At most `most` of `points`: the short ones, where tariffs differ most, and others spread evenly up to the longest."""
    if len(points) <= most:
        return list(points)
    short = [one for one in points if one.duration_s <= SHORT_S]
    some = _spread(short, most // 2)
    return [*some, *_spread(points[len(short) :], most - len(some))]


def _spread(points: Sequence[Point], most: int) -> list[Point]:
    """At most `most` of them, the first and the last among these."""
    if len(points) <= most:
        return list(points)
    return [points[n * (len(points) - 1) // (most - 1)] for n in range(most)]


def first_against(tariff: Tariff, points: Sequence[Point]) -> Point | None:
    """The first of `points` that `tariff` does not explain."""
    return next((one for one in points if tariff.charge(one.duration_s) != one.charge), None)


def _found(points: Sequence[Point], percents: Sequence[int]) -> list[Tariff]:
    """The plainest MOST_KEPT or fewer, plainest first. Odd shapes are looked at where the plain ones leave room."""
    cells = [Cells(points, percent) for percent in percents]
    plain, odd = shapes(points)
    found = _plainest(plain, points, cells)
    if len(distinct(found, MOST)) < MOST:
        found += _plainest(odd, points, cells)
    return sorted(found, key=lambda one: one.oddness)


def _plainest(candidates: Sequence[Shape], points: Sequence[Point], cells: Sequence[Cells]) -> list[Tariff]:
    """The plainest MOST_KEPT: of the shapes in the order of their own oddness, until no further one can be plainer."""
    few = sample(points, FEW)
    kept: list[tuple[int, int, Tariff]] = []  # a heap: the oddest first, of equals the latest
    serial = 0
    for shape in sorted(candidates, key=lambda one: one.oddness):
        below = -kept[0][0] if len(kept) == MOST_KEPT else 1 << 60
        if shape.oddness >= below:
            break
        if not _straight(_counted(shape, few)) or not _straight(of := _counted(shape, points)):
            continue
        for each in cells:
            for one in _of_shape(shape, of or {}, each, below=below):
                serial += 1
                (heapq.heappushpop if len(kept) == MOST_KEPT else heapq.heappush)(kept, (-one.oddness, -serial, one))
    return [one for _, _, one in sorted(kept, reverse=True)]


class Cells:
    """For every charge: between what the amount before rounding lies, by rounding, and whatever the rounding (`loose`)."""

    def __init__(self, points: Sequence[Point], percent: int) -> None:
        charges = {one.charge for one in points}
        self.percent = percent
        self.of: dict[Rounding, dict[int, tuple[int, int]]] = {
            rounding: {charge: cell(charge, rounding, percent=percent) for charge in charges} for rounding in ROUNDINGS
        }
        self.loose = {
            charge: (min(of[charge][0] for of in self.of.values()), max(of[charge][1] for of in self.of.values())) for charge in charges
        }


def _of_shape(shape: Shape, counted: dict[int, int], cells: Cells, *, below: int) -> Iterator[Tariff]:
    if not counted:  # every call was free
        yield Tariff(shape, 0, 0, "half_up", cells.percent)
        return
    loose = [(n, *cells.loose[charge]) for n, charge in counted.items()]
    for rate in _rates(shape, loose):
        if shape.oddness + odd_amount(rate) >= below:
            continue
        step = rate * shape.next_s
        if max(low - n * step for n, low, _ in loose) > min(high - n * step for n, _, high in loose):
            continue
        yield from _of_rate(shape, counted, cells, step=step)


def _counted(shape: Shape, points: Sequence[Point]) -> dict[int, int] | None:
    """Increments after the first -> charge, ascending; None where the same increments cost differently, or free ones cost."""
    found: dict[int, int] = {}
    for duration, charge, _ in points:
        if duration <= shape.free_s:
            if charge:
                return None
        elif found.setdefault(shape.following(duration), charge) != charge:
            return None
    return found


def _straight(counted: dict[int, int] | None) -> bool:
    """Whether the charges can lie on a line at all, whatever the rate: between two of them roundings add up to less than one unit."""
    if counted is None or len(counted) < 3:
        return counted is not None
    points = list(counted.items())
    least, most = 0, FINE * (max(counted.values()) + 1)
    for n, charge in (points[0], points[-1], points[len(points) // 2]):
        for m, other in points:
            if m != n:
                slopes = (other - charge - 1) * FINE // (m - n), (other - charge + 1) * FINE // (m - n)
                least, most = max(least, min(slopes)), min(most, max(slopes) + 1)
        if least > most:
            return False
    return True


def _rates(shape: Shape, loose: Sequence[tuple[int, int, int]]) -> range:
    """Whole rates per minute that the shortest and the longest of `loose` (n, low, high) leave."""
    (n, low, high), (m, lower, higher) = loose[0], loose[-1]
    if n == m:  # one price: any rate, so the one that the first increment has as well
        seconds = shape.first_s + n * shape.next_s
        return _round_ones(-(-low // seconds), high // seconds)
    seconds = (m - n) * shape.next_s
    least, most = max(0, -((high - lower) // seconds)), (higher - low) // seconds
    for k, under, over in loose[1:-1] if most - least > SIXTY else ():
        if k > n:
            least = max(least, -((high - under) // ((k - n) * shape.next_s)))
            most = min(most, (over - low) // ((k - n) * shape.next_s))
    return _round_ones(least, most)


def _round_ones(least: int, most: int) -> range:
    """From `least` to `most`; where these are more than MOST_RATES, the round ones among them: the lines do not tell them apart."""
    least = max(0, least)
    unit = next((unit for unit in (1, 5, 10, 50, 100) if most - least < MOST_RATES * unit), 1000)
    return range(-(-least // unit) * unit, most + 1, unit)


def _of_rate(shape: Shape, counted: dict[int, int], cells: Cells, *, step: int) -> Iterator[Tariff]:
    """For every rounding the bases, at their plainest for each that may behave differently."""
    plainest: dict[tuple[str, int], Tariff] = {}
    unit = shape.first_s
    for rounding in ROUNDINGS:
        of = cells.of[rounding]
        low = max(of[charge][0] - n * step for n, charge in counted.items())
        high = min(of[charge][1] - n * step for n, charge in counted.items())
        for base in range(-(-max(0, low) // unit) * unit, high + 1, unit):
            one = Tariff(shape, base, step, rounding, cells.percent)
            key = _alike(one)
            if key not in plainest or one.oddness < plainest[key].oddness:
                plainest[key] = one
    yield from plainest.values()


def _alike(tariff: Tariff) -> tuple[str, int]:
    """Tariffs of one shape and step with the same key charge the same: rounding up or half up is rounding down something more.

    A base moves only the remainders of the amounts, and those are multiples of gcd(step, 60) apart.
    """
    if tariff.percent or tariff.rounding == "half_even":
        return tariff.rounding, tariff.base
    more = {"up": SIXTY - 1, "half_up": SIXTY // 2, "down": 0}[tariff.rounding]
    return "down", (tariff.base + more) // gcd(tariff.step, SIXTY)
