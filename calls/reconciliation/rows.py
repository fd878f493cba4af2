"""The rows of one unit while they are found. They close: what is left at the end is a row too."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from calls.reconciliation.cause import Cause
from calls.reconciliation.sides import Difference, Entry, OurLeg, Unit
from calls.reconciliation.taken import Taken, lines_of

Working = Sequence[tuple[str, Fraction]]


class Rows:
    """`by_records`: theirs are the amounts of call records."""

    def __init__(self, unit: Unit, *, by_records: bool) -> None:
        self.unit = unit
        self.by_records = by_records
        self.found: list[Difference] = []

    def lines(self, *, without: Sequence[Entry] = ()) -> list[Taken]:
        """What they took, but for lines that are explained already."""
        if not without:
            return lines_of(self.unit, by_records=self.by_records)
        left = Unit(entries=tuple(entry for entry in self.unit.entries if entry not in without))
        return lines_of(left, by_records=False)

    def add(self, cause: Cause, amount_minor: int, working: Working, *, even_0: bool = False) -> None:
        """A row that costs nothing is left out, unless it says something all the same."""
        if amount_minor or even_0:
            self.found.append(Difference(cause, amount_minor, self.unit, tuple(working)))

    def take(self, row: Difference) -> None:
        self.found.append(row)

    @property
    def rest(self) -> int:
        """What no row explains yet: theirs − ours within the period, less the rows."""
        theirs = sum(line.amount_minor for line in lines_of(self.unit, by_records=self.by_records) if line.inside)
        return theirs - inside(self.unit.legs) - sum(row.amount_minor for row in self.found)

    def closed(self) -> list[Difference]:
        """All rows, with what is left as `unexplained`."""
        rest = self.rest
        if rest:
            self.add("unexplained", rest, self._left(rest))
        return self.found

    def _left(self, rest: int) -> Working:
        """Both sides, what other rows explain of it, and where a leg has no price, that."""
        lines = [line for line in lines_of(self.unit, by_records=self.by_records) if line.inside]
        said = [(line.what, Fraction(line.amount_minor)) for line in lines]
        ours = inside(self.unit.legs)
        if self.unit.legs:
            said.append((_without_price(self.unit.legs) or "our charge", Fraction(-ours)))
        explained = sum(line.amount_minor for line in lines) - ours - rest
        if explained:
            said.append(("explained by other causes", Fraction(-explained)))
        return said


def inside(legs: Sequence[OurLeg]) -> int:
    """What of our charges is the period's; what is unrated counts nothing."""
    return sum(leg.amount_minor or 0 for leg in legs if leg.inside)


def _without_price(legs: Sequence[OurLeg]) -> str:
    unrated = [leg for leg in legs if leg.amount_minor is None]
    if not unrated:
        return ""
    named = ", ".join(f"{leg.rated.direction or 'direction unknown'} to {leg.rated.to or 'nobody known'}" for leg in unrated)
    return f"no rule of {' and '.join(sorted({leg.plan for leg in unrated}))} covers our leg ({named}): it has no price, not a price of 0"
