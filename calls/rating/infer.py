"""Which tariff is it? From what calls of known lengths were charged, every rate plan of the family that explains it.

The family: a setup fee, free seconds, a minimum, whole minor units per minute, a first increment and equal following ones at a rate of
their own, of 1, 6, 10, 15, 30 or 60 s each, four roundings of the leg, tax on top; by direction and from a date on, where the lines
say direction and time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import msgspec

from calls.rating.infer_parts import ALWAYS, Part, Parts, part_of, parted
from calls.rating.infer_read import Line
from calls.rating.infer_search import MOST
from calls.rating.infer_tariff import LONGEST_S, Tariff
from calls.rating.plan import written
from calls.rating.terms import Applies, Plan, Version

Exceptions = dict[str, int]
Chosen = tuple[Tariff, ...]
"""One tariff for each part."""


class Found(msgspec.Struct, frozen=True):
    """A rate plan ready for use, and the lines that it does not explain, as `{"line": number}` (the header is line 1)."""

    plan_toml: str
    exceptions: list[Exceptions]


class Inferred(msgspec.Struct, frozen=True):
    """`rules`: best first, no two that charge the same. `tell_apart_s`: where there are several, which call would tell them apart."""

    rules: list[Found]
    tell_apart_s: int | None

    @property
    def explained(self) -> bool:
        """Whether a rule explains every line."""
        return not self.rules[0].exceptions


def infer(lines: Sequence[Line], *, currency: str = "KES") -> Inferred:
    """The rules that explain `lines` (at least one), or the one that explains the most with its exceptions; at most MOST of them."""
    parts = parted(lines)
    grouped = _grouped(lines, parts)
    ranked = sorted(((_exceptions(one, grouped), one) for one in _choices(parts)), key=lambda pair: len(pair[0]))
    least = len(ranked[0][0])
    best = [(wrong, one) for wrong, one in ranked if len(wrong) == least]
    rules = [Found(_plan(parts, one, currency, _evidence(len(lines), len(wrong))), [{"line": n} for n in wrong]) for wrong, one in best]
    return Inferred(rules, _telling([one for _, one in best]))


def _choices(parts: Parts) -> Iterator[Chosen]:
    """The plainest of every part, then the others of one part at a time."""
    plainest = tuple(part.tariffs[0] for part in parts)
    yield plainest
    others = sorted((place, n) for n, part in enumerate(parts) for place in range(1, len(part.tariffs)))
    for place, n in others[: MOST - 1]:
        yield (*plainest[:n], parts[n].tariffs[place], *plainest[n + 1 :])


def _grouped(lines: Sequence[Line], parts: Parts) -> dict[tuple[int, int, int], list[int]]:
    """(part, duration, charge) -> the numbers of its lines: each is checked once."""
    found: defaultdict[tuple[int, int, int], list[int]] = defaultdict(list)
    alone = len(parts) == 1
    for line in lines:
        found[0 if alone else part_of(parts, line), line.duration_s, line.charge].append(line.number)
    return found


def _exceptions(chosen: Chosen, grouped: dict[tuple[int, int, int], list[int]]) -> list[int]:
    wrong = [
        number
        for (part, duration, charge), numbers in grouped.items()
        if chosen[part].charge(duration) != charge
        for number in numbers
    ]  # fmt: skip
    return sorted(wrong)


def _telling(chosen: Sequence[Chosen]) -> int | None:
    """The shortest call that leaves the fewest of the rules with one charge; None for a single rule."""
    if len(chosen) < 2:
        return None
    charges = [list(zip(*(one.charges() for one in each), strict=True)) for each in chosen]
    most = [max(Counter(at[length] for at in charges).values()) for length in range(LONGEST_S + 1)]
    return most.index(min(most))


def _plan(parts: Parts, chosen: Chosen, currency: str, evidence: str) -> str:
    """TOML: a version from each date on which a part begins, with the rules in force then."""
    starts = sorted({part.since for part in parts})
    versions = []
    for number, start in enumerate(starts, 1):
        in_force: dict[str, tuple[Part, Tariff]] = {}
        for part, tariff in zip(parts, chosen, strict=True):
            if part.since <= start:
                in_force[str(part.direction)] = part, tariff
        rules = tuple(tariff.rule(Applies(direction=part.direction)) for part, tariff in in_force.values())
        versions.append(Version(f"inferred-{number}", start, rules, evidence))
    return written(Plan("", currency, tuple(versions)))


def _evidence(lines: int, wrong: int) -> str:
    return f"inferred from what {lines:,} calls were charged" + (f"; {wrong:,} of them not explained" if wrong else "")


__all__ = ["ALWAYS", "Found", "Inferred", "infer"]
