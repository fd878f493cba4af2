"""The live generation's own schema, for long readings: a rebuild exchanges the views on it, and would wait for whoever reads those."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from runtime.problems import Retry

_LIVE = "SELECT n FROM safiri.generations WHERE state = 'live'"


def schema_of(connection: psycopg.Connection[Any]) -> str:
    """The schema of the tables that are live in the connection's transaction. Raises Retry where there are none yet."""
    found = connection.execute(_LIVE).fetchone()
    if found is None:
        raise Retry("there are no tables yet: `safiri migrate` makes them")
    return f"g{found[0]}"


@contextmanager
def exchanged_is_retry() -> Iterator[None]:
    """Turns what Postgres says of tables that have just been exchanged, or are not made yet, into Retry."""
    try:
        yield
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        raise Retry("the tables are being exchanged or made: ask again in a moment") from error
