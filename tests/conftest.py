"""What all tests share. Everything that is real (Postgres, Kafka, the service) is started once, by the first test that asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from whole import Databases, Stack

settings.register_profile("safiri", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True, database=None)
settings.load_profile("safiri")


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A running `safiri up` with one account of each provider (`whole.CONFIG`)."""
    from whole import running

    from runtime.embedded import jars, java, postgres
    from runtime.problems import Missing

    try:
        postgres.binaries(), java.find(), jars.present() or jars.fetch()
    except Missing as missing:
        pytest.skip(f"no embedded stack: {missing}")
    with running() as made:
        yield made


@pytest.fixture(scope="session")
def databases(stack: Stack) -> Databases:
    """Makes databases in the stack's Postgres."""
    from whole import Databases

    return Databases(stack.database_url)


@pytest.fixture(scope="module")
def database_url(databases: Databases) -> Iterator[str]:
    """A database of this module's own, migrated and empty."""
    with databases.fresh() as url:
        yield url


@pytest.fixture
def fresh_database(databases: Databases) -> Iterator[Callable[[], str]]:
    """Makes databases of one test's own, migrated and empty."""
    with ExitStack() as opened:
        yield lambda: opened.enter_context(databases.fresh())
