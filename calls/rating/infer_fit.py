"""One tariff for lines that are all charged alike: every one that explains them all, or else what most of them agree on."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence

from calls.rating.infer_read import Line
from calls.rating.infer_search import explaining
from calls.rating.infer_shapes import Point
from calls.rating.infer_tariff import Tariff
from calls.rating.infer_votes import WRONG, most_agreed

TAXES = (16, 18, 15, 20, 5, 10, 12, 14, 17, 19, 21, 22, 23, 24, 25)
"""Percents on top of whole rates that are tried where no whole rate explains the lines; a tax within the rates changes no charge."""
TAXES_VOTED = TAXES[:4]
HOPELESS = 0.25
"""Where more of the points than this contradict each other, they have no tariff in common: the first good one will do."""
FEW = 10


def fitted(lines: Sequence[Line], *, vote: bool) -> list[Tariff]:
    """The tariffs that explain `lines`, plainest first, one per behaviour.

    Where none explains them all: those that explain the most with `vote`, otherwise none.
    """
    points = points_of(lines)
    alike = sum(one.lines for one in points) == len(lines)
    if not points or not (vote or alike):
        return []
    found = explaining(points) or explaining(points, percents=TAXES)
    if found or not vote:
        return found
    best = _agreed(points)
    left = [one for one in points if best.charge(one.duration_s) == one.charge]
    return explaining(left, percents=(best.percent,)) or [best]


def points_of(lines: Iterable[Line]) -> list[Point]:
    """One point a duration, ascending: the charge that most lines say, the least of equals."""
    counted = Counter((one.duration_s, one.charge) for one in lines)
    best: dict[int, Point] = {}
    for (duration, charge), times in sorted(counted.items()):
        if duration not in best or times > best[duration].lines:
            best[duration] = Point(duration, charge, times)
    return [best[duration] for duration in sorted(best)]


def _agreed(points: Sequence[Point]) -> Tariff:
    if _out_of_order(points) > max(HOPELESS * len(points), FEW):
        return most_agreed(points, thorough=False)
    best = most_agreed(points)
    if _wrong(best, points) > WRONG * sum(one.lines for one in points):
        taxed = [most_agreed(points, percent=percent) for percent in TAXES_VOTED]
        best = min((best, *taxed), key=lambda one: _wrong(one, points))
    return best


def _out_of_order(points: Sequence[Point]) -> int:
    """So many points no tariff can explain beside the others: a longer call costs no less, and the rest is the longest such row."""
    row: list[int] = []  # the least charge that a row of each length can end with
    for one in points:
        place = bisect_right(row, one.charge)
        row[place : place + 1] = [one.charge]
    return len(points) - len(row)


def _wrong(tariff: Tariff, points: Sequence[Point]) -> int:
    return sum(one.lines for one in points if tariff.charge(one.duration_s) != one.charge)
