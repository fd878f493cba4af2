"""Who goes with whom at the least total cost: exact, in integers, and the same for the same costs.

As many rows as possible get a column; of all such assignments the one with the least sum; of those the one whose columns, read row by
row, come first (no column comes last). The last wish is part of the cost: below the unit of the costs stands a number with a digit a
row, so one assignment alone is best. Rows are added one by one, each along a shortest augmenting path under potentials
(Edmonds and Karp 1972, "Theoretical improvements in algorithmic efficiency for network flow problems").
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from heapq import heappop, heappush


def assign(costs: Sequence[Mapping[int, int]]) -> list[int | None]:
    """The column of each row, None where others need all of its columns. `costs`: a row's columns with their costs, 0 or more."""
    columns = sorted({column for row in costs for column in row})
    rank, base = {column: place for place, column in enumerate(columns)}, len(columns) + 1
    scale = base ** len(costs)
    nobody = (1 + sum(max(row.values(), default=0) for row in costs)) * scale
    exact: list[dict[int, int]] = []
    for row, priced in enumerate(costs):
        digit = base ** (len(costs) - 1 - row)
        exact.append({rank[column]: cost * scale + rank[column] * digit for column, cost in priced.items()})
        exact[row][-1 - row] = nobody + len(columns) * digit  # its own column, beside all others
    taken = _Assigned(exact).taken
    return [columns[column] if column >= 0 else None for column in taken]


class _Assigned:
    """`taken`: the column of each row so far, `owner`: the row of each column taken."""

    def __init__(self, costs: list[dict[int, int]]) -> None:
        self.costs, self.owner = costs, dict[int, int]()
        self.taken, self.row_price, self.column_price = [-1] * len(costs), [0] * len(costs), defaultdict[int, int](int)
        for row in range(len(costs)):
            self._add(row)

    def _add(self, row: int) -> None:
        reached, via = self._reach(row)
        column, far = next(reversed(reached.items()))
        self.row_price[row] += far
        for other, distance in list(reached.items())[:-1]:
            self.column_price[other] += distance - far
            self.row_price[self.owner[other]] += far - distance
        at = -1
        while at != row:
            at = via[column]
            self.owner[column] = at
            self.taken[at], column = column, self.taken[at]

    def _reach(self, row: int) -> tuple[dict[int, int], dict[int, int]]:
        """({column: its distance} in their order up to the first that is free, {column: the row before it})."""
        reached, nearest, via = dict[int, int](), dict[int, int](), dict[int, int]()
        heap: list[tuple[int, int]] = []
        at, far = row, 0
        while True:
            for column, cost in self.costs[at].items():
                distance = far + cost - self.row_price[at] - self.column_price[column]
                if column not in reached and (column not in nearest or distance < nearest[column]):
                    nearest[column], via[column] = distance, at
                    heappush(heap, (distance, column))
            far, column = heappop(heap)
            while column in reached:
                far, column = heappop(heap)
            reached[column] = far
            if column not in self.owner:
                return reached, via
            at = self.owner[column]
