"""Lines that are not all charged alike: other tariffs by direction, or before and after the day the rates changed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from calls.clock import Micros, to_datetime
from calls.events import Direction
from calls.rating.infer_fit import fitted
from calls.rating.infer_read import Line
from calls.rating.infer_tariff import Tariff

DAY = 86_400_000_000
ALWAYS: Micros = 946_684_800_000_000  # 2000-01-01: before any call
LEAST_GAIN = 3
GAIN = 0.02
"""A further tariff must explain more lines than these: a few lines are explained by anything."""

FULL = 10
"""Fewer lines than these do not show that a tariff is one."""

Cut = tuple[int, int]
"""Places in lines ordered by time between which a change is equally likely: (first, last)."""


class Part(NamedTuple):
    """The lines of one direction (None: of every one) from `since` until the next part of it, and the tariffs that explain them."""

    direction: Direction | None
    since: Micros
    tariffs: list[Tariff]


Parts = list[Part]
Way = Callable[[Sequence[Line], Direction | None, bool], Parts]


def parted(lines: Sequence[Line]) -> Parts:
    """The parts that explain most of `lines` with as few tariffs as it takes; each part's tariffs are plainest first."""
    for parts in _ways(lines, vote=False):
        if len(parts) == 1 or min(_sizes(parts, lines)) >= FULL:
            return parts
    best: tuple[float, Parts] | None = None
    for parts in _ways(lines, vote=True):
        price = _price(parts, lines)
        if best is None or price < best[0]:
            best = price, parts
        if best[0] <= _gain(lines):
            break
    assert best is not None, "votes always find something"
    return best[1]


def _ways(lines: Sequence[Line], *, vote: bool) -> Iterator[Parts]:
    """One tariff, one a direction, a change, changes by direction; without `vote` only those that explain every line."""
    by: defaultdict[Direction | None, list[Line]] = defaultdict(list)
    for line in lines:
        by[line.direction].append(line)
    ways: list[Way] = [_alike] if lines[0].at is None else [_alike, _changed]
    for way in ways:
        parts = way(lines, None, vote)
        if parts:
            yield parts
        sides = [way(by[each], each, vote) or _alike(by[each], each, vote) for each in sorted(by, key=str)] if len(by) > 1 else []
        if sides and all(sides):
            yield [part for side in sides for part in side]


def _alike(lines: Sequence[Line], direction: Direction | None, vote: bool) -> Parts:
    found = fitted(lines, vote=vote)
    return [Part(direction, ALWAYS, found)] if found else []


def _sizes(parts: Parts, lines: Sequence[Line]) -> list[int]:
    counted = Counter(part_of(parts, line) for line in lines)
    return [counted[place] for place in range(len(parts))]


def wrong(parts: Parts, lines: Sequence[Line]) -> int:
    """Lines that the plainest tariff of their part does not explain."""
    charges: dict[tuple[int, int], int] = {}
    found = 0
    for line in lines:
        place = part_of(parts, line)
        key = place, line.duration_s
        if key not in charges:
            charges[key] = parts[place].tariffs[0].charge(line.duration_s)
        found += charges[key] != line.charge
    return found


def part_of(parts: Parts, line: Line) -> int:
    """The place of the part that `line` belongs to."""
    found = 0
    for place, part in enumerate(parts):
        if part.direction in (None, line.direction) and (line.at is None or line.at >= part.since or part.since == ALWAYS):
            found = place
    return found


def _price(parts: Parts, lines: Sequence[Line]) -> float:
    return wrong(parts, lines) + (len(parts) - 1) * _gain(lines)


def _gain(lines: Sequence[Line]) -> float:
    return max(LEAST_GAIN, GAIN * len(lines))


def _changed(lines: Sequence[Line], direction: Direction | None, vote: bool) -> Parts:
    """Before and after the change that explains most; empty where there is none.

    A change falls into one third of the lines, so the first or the last third has only one tariff: what it finds there is followed to
    where it stops being right, and both sides are fitted again.
    """
    ordered = sorted(lines, key=lambda line: (line.at or 0, line.number))
    third = -(-len(ordered) // 3)
    found = []
    for late, end in ((True, ordered[-third:]), (False, ordered[:third])):
        followed = [_followed(one, ordered, late=late) for one in fitted(end, vote=vote)]
        if followed:
            parts = _refitted(ordered, max(followed)[1], direction, vote=vote)
            if parts and not wrong(parts, lines):
                return parts
            found.append(parts)
    return min((parts for parts in found if parts), key=lambda parts: wrong(parts, lines), default=[])


def _followed(tariff: Tariff, ordered: Sequence[Line], *, late: bool) -> tuple[int, Cut]:
    """(lines told rightly, where): with `late` the tariff holds after the cut and not before it, otherwise the other way round."""
    right = _right(tariff, ordered)
    against = [not one for one in right]
    return _cut(against, right) if late else _cut(right, against)


def _refitted(ordered: Sequence[Line], cut: Cut, direction: Direction | None, *, vote: bool) -> Parts:
    """Both sides of `cut` fitted; once more where what they say moves it. Empty where a side is, or is not explained."""
    parts: Parts = []
    for _ in range(2):
        place = cut[1]
        before, after = fitted(ordered[:place], vote=vote), fitted(ordered[place:], vote=vote)
        if not before or not after:
            return []
        moved = _cut(_right(before[0], ordered), _right(after[0], ordered))[1]
        parts = [Part(direction, ALWAYS, before), Part(direction, _moment(ordered, moved), after)]
        if moved[0] <= place <= moved[1]:
            break
        cut = moved
    return parts


def _right(tariff: Tariff, lines: Sequence[Line]) -> list[bool]:
    charges: Mapping[int, int] = {length: tariff.charge(length) for length in {line.duration_s for line in lines}}
    return [charges[line.duration_s] == line.charge for line in lines]


def _cut(before: Sequence[bool], after: Sequence[bool]) -> tuple[int, Cut]:
    """(how many are true, where): cutting so that most of `before` ahead of the cut and of `after` behind it are true."""
    ahead = list(accumulate(before, initial=0))
    behind = list(accumulate(reversed(after), initial=0))[::-1]
    sums = [one + other for one, other in zip(ahead, behind, strict=True)]
    best = max(sums)
    return best, (sums.index(best), len(sums) - 1 - sums[::-1].index(best))


def _moment(ordered: Sequence[Line], cut: Cut) -> Micros:
    """When the rates changed, within what the lines leave open: the first of a month, else the last midnight (UTC), else a line's time."""
    low = (ordered[cut[0] - 1].at or 0) + 1 if cut[0] else ordered[0].at or 0
    high = ordered[min(cut[1], len(ordered) - 1)].at or 0
    midnights = range(high - high % DAY, low - 1, -DAY)
    first = next((at for at in midnights[:400] if to_datetime(at).day == 1), None)
    return first if first is not None else midnights[0] if midnights else high
