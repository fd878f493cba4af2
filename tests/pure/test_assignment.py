"""The cheapest assignment against all assignments there are."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calls.reconciliation.assignment import assign

COSTS = st.lists(st.dictionaries(st.integers(3, 7), st.integers(0, 4), max_size=5), max_size=5)
Costs = list[dict[int, int]]


def best(costs: Costs) -> tuple[int, int, list[float]]:
    """(how many without a column, the sum, the columns) that is least."""
    found = []
    for columns in itertools.product(*([*row, None] for row in costs)):
        held = [one for one in columns if one is not None]
        if len(set(held)) == len(held):
            total = sum(row[one] for row, one in zip(costs, columns, strict=True) if one is not None)
            found.append((len(columns) - len(held), total, [float("inf") if one is None else one for one in columns]))
    return min(found)


@settings(max_examples=200, deadline=None)
@given(COSTS)
def test_least_of_all(costs: Costs) -> None:
    found = assign(costs)
    held = [(row, one) for row, one in zip(costs, found, strict=True) if one is not None]
    assert (len(costs) - len(held), sum(row[one] for row, one in held), [float("inf") if one is None else one for one in found]) == best(
        costs
    )


@pytest.mark.parametrize(("costs", "found"), [
    ([], []), ([{}], [None]), ([{5: 9}], [5]), ([{1: 0}, {1: 1}], [1, None]),
    ([{1: 0, 2: 50}, {1: 1}], [2, 1]),  # as many as possible, then the least sum
    ([{1: 3, 2: 3}, {1: 3, 2: 3}], [1, 2]), ([{2: 1, 1: 1}, {2: 1, 1: 1}, {1: 1, 2: 1}], [1, 2, None]),
])  # fmt: skip
def test_examples(costs: Costs, found: list[int | None]) -> None:
    assert assign(costs) == found


def test_a_large_one() -> None:
    """Everyone would rather have the next one's column."""
    assert assign([{row: 2, row + 1: 1} if row < 199 else {row: 2} for row in range(200)]) == list(range(200))
