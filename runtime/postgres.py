"""Connections to Postgres: one plain psycopg connection for the projector's transactions, one engine for what people ask."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.adapt import Dumper
from psycopg.pq import Format

from calls.clock import Micros, to_micros
from runtime.problems import Retry

AWAY = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.AdminShutdown, psycopg.errors.CannotConnectNow)
TOO_LARGE = psycopg.errors.ProgramLimitExceeded  # the data's fault, though psycopg calls it operational: trying again helps nobody
GATE = 0x5AF1_0001  # advisory lock: shared by every transaction that projects, alone for what all of them must see at once
LONGEST_WAIT_S = 18.0  # for an answer of a reading connection; the server itself ends a statement after 15 s
CLASHED = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure, psycopg.errors.LockNotAvailable)


_SINCE_2000 = 946_684_800_000_000  # microseconds from 1970 to Postgres's own epoch
_PACK = struct.Struct(">q").pack


class Instant(Dumper):
    """Writes microseconds since 1970 (or an aware datetime) as a binary timestamptz: what COPY asks for by type."""

    format = Format.BINARY
    oid = psycopg.adapters.types["timestamptz"].oid

    def dump(self, obj: Micros | datetime) -> bytes:
        return _PACK((obj if isinstance(obj, int) else to_micros(obj)) - _SINCE_2000)


class JsonText(Dumper):
    """Writes text that is JSON already as a binary jsonb: psycopg's own would quote it once more."""

    format = Format.BINARY
    oid = psycopg.adapters.types["jsonb"].oid

    def dump(self, obj: str) -> bytes:
        return b"\x01" + obj.encode()


def rows_as_kept(connection: psycopg.Connection[Any]) -> None:
    """Lets COPY on this connection take instants and JSON as rows have them; making datetimes would cost more than the rest of a row."""
    connection.adapters.register_dumper(None, Instant)
    connection.adapters.register_dumper(None, JsonText)


def connect(database_url: str, *, name: str, **options: Any) -> psycopg.Connection[Any]:
    """A connection in UTC. Raises Retry where Postgres does not answer within 5 s."""
    try:
        return psycopg.connect(
            database_url, application_name=f"safiri {name}", connect_timeout=5, options="-c timezone=UTC", prepare_threshold=3, **options
        )
    except psycopg.OperationalError as error:
        raise Retry(f"Postgres does not answer: {str(error).strip().splitlines()[-1]}") from error


class Bounded(psycopg.Connection[Any]):
    """A connection that waits `longest_s` at most: a server that stands still keeps its sockets open and would hold us for ever."""

    longest_s = LONGEST_WAIT_S

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, self.longest_s if timeout is None else timeout)
        except psycopg.errors._WaitTimeout as error:  # noqa: SLF001  its documentation asks callers to convert it
            self.pgconn.finish()  # in the middle of an answer it is of no more use
            raise psycopg.OperationalError(f"the server did not answer within {self.longest_s:.0f} s") from error


@contextmanager
def patient(database_url: str, *, name: str, longest_s: int) -> Iterator[psycopg.Connection[Any]]:
    """One snapshot to read from, for questions that may take `longest_s` each. Raises Retry where Postgres is away or takes longer."""
    options = f"-c timezone=UTC -c jit=off -c work_mem=64MB -c statement_timeout={longest_s}s"
    try:
        with Bounded.connect(
            database_url, application_name=f"safiri {name}", connect_timeout=5, options=options, prepare_threshold=None
        ) as connection:
            connection.longest_s = longest_s + 3.0
            connection.isolation_level, connection.read_only = psycopg.IsolationLevel.REPEATABLE_READ, True
            yield connection
    except psycopg.errors.QueryCanceled as error:
        raise Retry(f"the question took longer than {longest_s} s: narrow it, for example with from and to") from error
    except AWAY as error:
        raise Retry(f"Postgres does not answer: {(str(error).strip().splitlines() or ['it went away'])[-1]}") from error


def engine(database_url: str, *, name: str, size: int = 8) -> sa.Engine:
    """A pool for short reads: 15 s at most a statement, broken connections noticed before use."""
    url = sa.make_url(database_url).set(drivername="postgresql+psycopg")

    def opened(_: Any, __: Any, arguments: Any, options: dict[str, Any]) -> Any:
        return Bounded.connect(*arguments, **options)

    made = sa.create_engine(
        url, pool_size=size, max_overflow=4, pool_timeout=5, pool_pre_ping=True, pool_recycle=600,
        connect_args={"application_name": f"safiri {name}", "connect_timeout": 5, "options": "-c timezone=UTC -c statement_timeout=15s"},
    )  # fmt: skip
    sa.event.listen(made, "do_connect", opened)
    return made
