"""The tariff that most lines agree on, where no tariff explains them all.

Pairs of points far apart, no point in two pairs, name the rates: while fewer points are wrong than there are pairs, a clean pair is
among them and names the right one. Every shape is counted on a few points, then the best ones on all; how many points a shape and a
rate can explain at most, whatever the rounding, says when to stop. Ties go to the plainer tariff: nothing is drawn at random.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from calls.rating.infer_search import AT_ONCE, Cells, sample
from calls.rating.infer_shapes import Point, shapes
from calls.rating.infer_tariff import Shape, Tariff
from calls.rating.terms import ROUNDINGS

FEW = 48
PAIRS = 24
RATES = 3
MOST_TRIED = 600
FEW_TRIED = 30
WIDEST = 12
WRONG = 0.05
"""Shapes that a larger part of the lines rules out are left out."""

Band = tuple[int, int, int]
"""(lines, least, greatest base in increments) of one point, under one rate."""


class Tried(NamedTuple):
    """`bound`: so many lines the shape explains at this rate at most."""

    bound: int
    shape: Shape
    step: int


def most_agreed(points: Sequence[Point], *, percent: int = 0, thorough: bool = True) -> Tariff:
    """The tariff under which most lines of `points` (one charge a duration, ascending) are right.

    Without `thorough`, of the plain shapes and the few that look best.
    """
    chosen = sample(points, AT_ONCE)
    cells = Cells(chosen, percent)
    total = sum(one.lines for one in chosen)
    plain, odd = shapes(chosen, wrong=max(1, round(WRONG * total)))
    best = _best(plain, chosen, cells, most=MOST_TRIED if thorough else FEW_TRIED)
    if thorough and total / 2 < best[0] < (1 - WRONG) * total:
        best = max(best, _best(odd, chosen, cells, most=MOST_TRIED), key=lambda one: one[0])
    return best[1]


def _best(candidates: Sequence[Shape], points: Sequence[Point], cells: Cells, *, most: int) -> tuple[int, Tariff]:
    """(lines explained, the tariff), the plainest of equals."""
    best = 0, Tariff(Shape(0, 1, 1, 0), 0, 0, "half_up", cells.percent)
    for bound, shape, step in _screened(candidates, points, cells, most=most):
        if bound < best[0]:
            break
        for lines, one in _rounded(Counted(shape, points), step, cells):
            if lines > best[0] or (lines == best[0] and one.oddness < best[1].oddness):
                best = lines, one
    return best


def _screened(candidates: Sequence[Shape], points: Sequence[Point], cells: Cells, *, most: int) -> list[Tried]:
    """Shapes and rates, those first that may explain the most; only such that are near the best on a few points, `most` of them."""
    few = sample(points, FEW)
    tried = [one for shape in candidates for one in _at_rates(Counted(shape, few), cells)]
    near = max((one.bound for one in tried), default=0) - 2 * WRONG * sum(one.lines for one in few)
    best = sorted((one for one in tried if one.bound >= near), key=lambda one: -one.bound)[:most]
    again = [Tried(_bound(Counted(one.shape, points), one.step, cells), one.shape, one.step) for one in best]
    return sorted(again, key=lambda one: -one.bound)


class Counted:
    """Points as a shape counts them. `free`: lines that its free seconds explain. `of`: (n, charge, lines) of each longer call."""

    def __init__(self, shape: Shape, points: Sequence[Point]) -> None:
        self.shape = shape
        self.free = sum(one.lines for one in points if one.duration_s <= shape.free_s and not one.charge)
        edge, each, least = shape.free_s + shape.first_s, shape.next_s, shape.least
        self.of = [
            (max(least, -((edge - duration) // each)), charge, lines) for duration, charge, lines in points if duration > shape.free_s
        ]


def _at_rates(counted: Counted, cells: Cells) -> Iterator[Tried]:
    for rate in _named(counted, cells):
        step = rate * counted.shape.next_s
        yield Tried(_bound(counted, step, cells), counted.shape, step)


def _named(counted: Counted, cells: Cells) -> list[int]:
    """The rates that most pairs of points allow."""
    half = len(counted.of) // 2
    votes: Counter[int] = Counter()
    for place in range(0, half, max(1, half // PAIRS)):
        (n, one, _), (m, other, _) = counted.of[place], counted.of[place + half]
        if m > n:
            votes.update(_between((m - n) * counted.shape.next_s, cells.loose[one], cells.loose[other]))
    if not votes:
        votes.update(rate for n, charge, _ in counted.of for rate in _alone(counted.shape, n, cells.loose[charge]))
    return [rate for rate, _ in sorted(votes.items(), key=lambda one: (-one[1], one[0]))[:RATES]]


def _between(seconds: int, one: tuple[int, int], other: tuple[int, int]) -> range:
    return _some(-((one[1] - other[0]) // seconds), (other[1] - one[0]) // seconds)


def _alone(shape: Shape, n: int, bounds: tuple[int, int]) -> range:
    """The rate of a point where every second costs the same."""
    seconds = shape.first_s + n * shape.next_s
    return _some(-(-bounds[0] // seconds), bounds[1] // seconds)


def _some(least: int, most: int) -> range:
    """From `least` to `most`, none below zero; the middle WIDEST where that is too wide to be a vote."""
    least = max(0, least)
    spare = max(0, most - least + 1 - WIDEST) // 2
    return range(least + spare, most - spare + 1)


def _bound(counted: Counted, step: int, cells: Cells) -> int:
    return counted.free + _crowd(_bands(counted, step, cells.loose))[0]


def _rounded(counted: Counted, step: int, cells: Cells) -> Iterator[tuple[int, Tariff]]:
    """(lines explained, the tariff) for every rounding, at its best base."""
    shape = counted.shape
    for rounding in ROUNDINGS:
        lines, base = _crowd(_bands(counted, step, cells.of[rounding]))
        yield counted.free + lines, Tariff(shape, base * shape.first_s, step, rounding, cells.percent)


def _bands(counted: Counted, step: int, cells: dict[int, tuple[int, int]]) -> list[Band]:
    found = []
    unit = counted.shape.first_s
    for n, charge, lines in counted.of:
        low, high = cells[charge]
        least, most = -((n * step - low) // unit), (high - n * step) // unit
        if least <= most >= 0:
            found.append((lines, max(0, least), most))
    return found


def _crowd(bands: Sequence[Band]) -> tuple[int, int]:
    """(lines, base): where the most bands overlap; the least such base."""
    marks = sorted([(least, 0, -lines) for lines, least, _ in bands] + [(most, 1, lines) for lines, _, most in bands])
    best, where, now = 0, 0, 0
    for at, _, lines in marks:
        now -= lines
        if now > best:
            best, where = now, at
    return best, where
