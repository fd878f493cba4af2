"""Benches: logs without a broker, each with a database of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from projecting import Bench


@pytest.fixture
def another(fresh_database: Callable[[], str]) -> Iterator[Callable[[], Bench]]:
    """Makes benches."""
    made: list[Bench] = []

    def make() -> Bench:
        made.append(Bench(fresh_database()))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def bench(another: Callable[[], Bench]) -> Bench:
    return another()
