"""Which ways of counting billable time can explain the lines at all: every shape of the family that few enough lines speak against."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from calls.rating.infer_tariff import Shape

INCREMENTS = (1, 6, 10, 15, 30, 60)
FREE = range(61)
MINIMA = (*range(61), 90, 120, 180, 300)
TELLING = 20
ROUND_FREE = (0, 1, 2, 3, 5, 6, 10, 15, 20, 30, 60)
ROUND_MINIMA = (0, 6, 10, 15, 20, 30, 45, 60, 90, 120)


class Point(NamedTuple):
    """What `lines` lines say alike: a call of `duration_s` costs `charge` minor units."""

    duration_s: int
    charge: int
    lines: int = 1


def shapes(points: Sequence[Point], *, wrong: int = 0) -> tuple[list[Shape], list[Shape]]:
    """(plain ones, the others): every shape that at most `wrong` lines of `points` (by duration) rule out.

    Each once, however its minimum is written. Free seconds and minima are any whole second up to a minute; plain are those with one
    of the two, or with round numbers of both; fewer than TELLING points say too little for others.
    """
    plain: list[tuple[int, int]] = []
    odd: list[tuple[int, int]] = []
    for free in _free(points, wrong):
        for minimum in _minima(points, free, wrong):
            if _plain(free, minimum):
                plain.append((free, minimum))
            elif len(points) >= TELLING:
                odd.append((free, minimum))
    first = dict.fromkeys(_counted(plain))
    return list(first), [one for one in dict.fromkeys(_counted(odd)) if one not in first]


def _counted(pairs: Iterable[tuple[int, int]]) -> Iterator[Shape]:
    for free, minimum in pairs:
        for first in INCREMENTS:
            for following in INCREMENTS:
                yield Shape(free, first, following, max(0, -((first - minimum) // following)))


def _plain(free: int, minimum: int) -> bool:
    return free == 0 or minimum == 0 or (free in ROUND_FREE and minimum in ROUND_MINIMA)


def _free(points: Sequence[Point], wrong: int) -> list[int]:
    """Free seconds: a call that costs something is longer."""
    found = []
    for free in FREE:
        if sum(one.lines for one in points if 0 < one.duration_s <= free and one.charge) > wrong:
            break
        found.append(free)
    return found


def _minima(points: Sequence[Point], free: int, wrong: int) -> list[int]:
    """Minima: all calls within it cost the same."""
    found = []
    for minimum in MINIMA:
        within: dict[int, int] = {}
        for one in points:
            if free < one.duration_s <= free + minimum:
                within[one.charge] = within.get(one.charge, 0) + one.lines
        if sum(within.values()) - max(within.values(), default=0) > wrong:
            break
        found.append(minimum)
    return found
