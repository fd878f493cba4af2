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
MOST_ODD = 12_000
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


def most_agreed(points: Sequence[Point], *, percent: int = 0) -> Tariff:
    """The tariff under which most lines of `points` (one charge a duration, ascending) are right."""
    chosen = sample(points, AT_ONCE)
    cells = Cells(chosen, percent)
    total = sum(one.lines for one in chosen)
    plain, odd = shapes(chosen, wrong=max(1, round(WRONG * total)))
    best = _best(plain, chosen, cells)
    if best[0] < (1 - WRONG) * total and len(odd) <= MOST_ODD:
        best = max(best, _best(odd, chosen, cells), key=lambda one: one[0])
    return best[1]


def _best(candidates: Sequence[Shape], points: Sequence[Point], cells: Cells) -> tuple[int, Tariff]:
    """(lines explained, the tariff), the plainest of equals."""
    best = 0, Tariff(Shape(0, 1, 1, 0), 0, 0, "half_up", cells.percent)
    for bound, shape, step in _screened(candidates, points, cells):
        if bound < best[0]:
            break
        for lines, one in _rounded(shape, step, points, cells):
            if lines > best[0] or (lines == best[0] and one.oddness < best[1].oddness):
                best = lines, one
    return best


def _screened(candidates: Sequence[Shape], points: Sequence[Point], cells: Cells) -> list[Tried]:
    """Shapes and rates, those first that may explain the most; only such that are near the best on a few points."""
    few = sample(points, FEW)
    tried = [one for shape in candidates for one in _at_rates(shape, few, cells)]
    near = max((one.bound for one in tried), default=0) - 2 * WRONG * sum(one.lines for one in few)
    again = [Tried(_bound(one.shape, one.step, points, cells), one.shape, one.step) for one in tried if one.bound >= near]
    return sorted(again, key=lambda one: -one.bound)


def _at_rates(shape: Shape, points: Sequence[Point], cells: Cells) -> Iterator[Tried]:
    for rate in _named(shape, points, cells):
        step = rate * shape.next_s
        yield Tried(_bound(shape, step, points, cells), shape, step)


def _named(shape: Shape, points: Sequence[Point], cells: Cells) -> list[int]:
    """The rates that most pairs of points allow."""
    longer = [one for one in points if one.duration_s > shape.free_s]
    half = len(longer) // 2
    votes: Counter[int] = Counter()
    for place in range(0, half, max(1, half // PAIRS)):
        votes.update(_between(shape, longer[place], longer[place + half], cells))
    if not votes:
        votes.update(rate for one in longer for rate in _alone(shape, one, cells))
    return [rate for rate, _ in sorted(votes.items(), key=lambda one: (-one[1], one[0]))[:RATES]]


def _between(shape: Shape, one: Point, other: Point, cells: Cells) -> range:
    seconds = (shape.following(other.duration_s) - shape.following(one.duration_s)) * shape.next_s
    if not seconds:
        return range(0)
    (low, high), (lower, higher) = cells.loose[one.charge], cells.loose[other.charge]
    return _some(-((high - lower) // seconds), (higher - low) // seconds)


def _alone(shape: Shape, one: Point, cells: Cells) -> range:
    """The rate of a point where every second costs the same."""
    seconds = shape.first_s + shape.following(one.duration_s) * shape.next_s
    low, high = cells.loose[one.charge]
    return _some(-(-low // seconds), high // seconds)


def _some(least: int, most: int) -> range:
    """From `least` to `most`, none below zero; the middle WIDEST where that is too wide to be a vote."""
    least = max(0, least)
    spare = max(0, most - least + 1 - WIDEST) // 2
    return range(least + spare, most - spare + 1)


def _bound(shape: Shape, step: int, points: Sequence[Point], cells: Cells) -> int:
    return _free(shape, points) + _crowd(_bands(shape, step, points, cells.loose))[0]


def _rounded(shape: Shape, step: int, points: Sequence[Point], cells: Cells) -> Iterator[tuple[int, Tariff]]:
    """(lines explained, the tariff) for every rounding, at its best base."""
    free = _free(shape, points)
    for rounding in ROUNDINGS:
        lines, base = _crowd(_bands(shape, step, points, cells.of[rounding]))
        yield free + lines, Tariff(shape, base * shape.first_s, step, rounding, cells.percent)


def _free(shape: Shape, points: Sequence[Point]) -> int:
    """Lines that free seconds explain."""
    return sum(one.lines for one in points if one.duration_s <= shape.free_s and not one.charge)


def _bands(shape: Shape, step: int, points: Sequence[Point], cells: dict[int, tuple[int, int]]) -> list[Band]:
    found = []
    for duration, charge, lines in points:
        if duration > shape.free_s:
            low, high = cells[charge]
            moved = shape.following(duration) * step
            least, most = max(0, -((moved - low) // shape.first_s)), (high - moved) // shape.first_s
            if least <= most:
                found.append((lines, least, most))
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
