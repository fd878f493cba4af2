"""Whether the balances of a ledger add up: each must follow from the one before it and its line's amount, in the file's order or back."""

from __future__ import annotations

from typing import NamedTuple

from calls.statements.line import Line

MOST = 1000  # faults that are told


class Unbalanced(NamedTuple):
    line: int
    detail: str


class Balances:
    """Fed line by line."""

    def __init__(self) -> None:
        self._before: tuple[int, Line] | None = None
        self._down: list[Unbalanced] = []
        self._up: list[Unbalanced] = []
        self._wrong = [0, 0]

    def line(self, number: int, line: Line) -> None:
        """A line with a balance and no amount (an opening balance) moves nothing."""
        if line.balance_minor is None:
            return
        before, self._before = self._before, (number, line)
        if before is None or before[1].currency != line.currency:
            return
        self._check(0, self._down, before, (number, line))
        self._check(1, self._up, (number, line), before)

    def gap(self) -> None:
        """A line that could not be read may have moved money: what comes after it does not follow from what came before."""
        self._before = None

    def _check(self, way: int, faults: list[Unbalanced], first: tuple[int, Line], then: tuple[int, Line]) -> None:
        """`then`'s balance is `first`'s less `then`'s amount. A part below a minor unit may be rounded either way."""
        had, amount, rest = first[1].balance_minor or 0, then[1].amount_minor or 0, then[1].rest_millicents
        has = then[1].balance_minor or 0
        off = 1000 * (has - had) + 1000 * amount + rest
        if abs(off) <= (1000 if rest else 0):
            return
        self._wrong[way] += 1
        if len(faults) < MOST:
            told = f"the balance {_shown(has)} does not follow: {_shown(had)} on line {first[0]} and {_shown(-amount)} here make"
            faults.append(Unbalanced(then[0], f"{told} {_shown(had - amount)}"))

    def unbalanced(self) -> list[Unbalanced]:
        """The lines that do not add up, read the way in which fewer of them do not. At most MOST of them."""
        down = self._wrong[0] <= self._wrong[1]
        return sorted(self._down if down else self._up)


def _shown(minor: int) -> str:
    return f"{'-' if minor < 0 else ''}{abs(minor) // 100}.{abs(minor) % 100:02}"
