"""The API's connections: read-only, few, and none of them waits for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import sqlalchemy as sa

from projections.shape import DERIVED, LIVE
from runtime.problems import Retry

STATEMENT_MS = 15_000


def open_engine(url: str, *, size: int = 8, writes: bool = False) -> sa.Engine:
    """An engine on the libpq address `url`, derived tables seen through the views of schema `live`. Statements end after 15 s.

    Every statement is a transaction of its own unless `writes`.
    """
    settings = f"-c statement_timeout={STATEMENT_MS} -c timezone=UTC" + ("" if writes else " -c default_transaction_read_only=on")

    def connect() -> psycopg.Connection[tuple[object, ...]]:
        # no prepared statements: a rebuild exchanges the views, and a plan kept from before would fail
        return psycopg.connect(url, connect_timeout=3, options=settings, application_name="safiri api", prepare_threshold=None)

    engine = sa.create_engine(
        "postgresql+psycopg://", creator=connect, pool_size=size, max_overflow=2, pool_timeout=5, pool_pre_ping=True, pool_recycle=1800
    )
    return engine.execution_options(schema_translate_map={DERIVED: LIVE}, **({} if writes else {"isolation_level": "AUTOCOMMIT"}))


@contextmanager
def away_is_retry() -> Iterator[None]:
    """Turns what SQLAlchemy says of an absent, unready or overloaded Postgres into `Retry`; a fault in a query stays what it is."""
    try:
        yield
    except sa.exc.TimeoutError as error:
        raise Retry("all connections to Postgres are in use: ask again, or ask for less at once") from error
    except sa.exc.DBAPIError as error:
        reason = reason_of(error)
        if reason is None:
            raise
        raise Retry(reason) from error


def reason_of(error: sa.exc.DBAPIError) -> str | None:
    """What to say where an error of the driver means that Postgres cannot answer now; None where it is our fault."""
    cause = error.orig
    if isinstance(cause, psycopg.errors.QueryCanceled):
        return f"the question took longer than {STATEMENT_MS // 1000} s: narrow it, for example with from and to"
    if isinstance(cause, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName):
        return "the schema is not there yet: `safiri migrate` makes it"
    if isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
        return "Postgres does not answer: it is being started again, or `safiri doctor` says what is wrong"
    return None
