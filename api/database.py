"""The API's connections: read-only, few, and none of them waits for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa

from projections.shape import DERIVED, LIVE
from runtime.postgres import engine
from runtime.problems import Retry


def reader(database_url: str, *, name: str = "api", size: int = 8) -> sa.Engine:
    """An engine that only reads: derived tables through the views of schema `live`, every statement a transaction of its own."""
    made = engine(database_url, name=name, size=size)

    def prepare(connection: psycopg.Connection[Any], _: object) -> None:
        connection.prepare_threshold = None  # a rebuild exchanges the views: a plan kept from before would fail
        connection.execute("SET default_transaction_read_only = on")
        connection.commit()

    sa.event.listen(made, "connect", prepare)
    return made.execution_options(schema_translate_map={DERIVED: LIVE}, isolation_level="AUTOCOMMIT")


@contextmanager
def away_is_retry() -> Iterator[None]:
    """Turns what SQLAlchemy says of an absent, unready or overloaded Postgres into `Retry`; a fault in a query stays what it is."""
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        reason = reason_of(error)
        if reason is None:
            raise
        raise Retry(reason) from error


def reason_of(error: sa.exc.SQLAlchemyError) -> str | None:
    """What to say where an error of the driver means that Postgres cannot answer now; None where it is our fault."""
    if isinstance(error, sa.exc.TimeoutError):
        return "all connections to Postgres are in use: ask again, or ask for less at once"
    cause = getattr(error, "orig", None)
    if isinstance(cause, psycopg.errors.QueryCanceled):
        return "the question took longer than 15 s: narrow it, for example with from and to"
    if isinstance(cause, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName):
        return "the schema is not there yet: `safiri migrate` makes it"
    if isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
        return "Postgres does not answer: it is being started again, or `safiri doctor` says what is wrong"
    return None
