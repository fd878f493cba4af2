"""One export: a snapshot of the tables, what state it is in, and its bytes. Memory does not grow with the rows."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from typing import IO, Any

import msgspec
import psycopg

from api.exports import statements
from api.exports.formats import PARQUET
from api.exports.parquet import feeding
from api.exports.statements import Asked
from api.live import exchanged_is_retry, schema_of
from runtime.postgres import AWAY, connect
from runtime.problems import Retry

CHUNK = 256 << 10  # bytes handed on at once
Progress = Callable[[int], object]


class Given(msgspec.Struct, frozen=True):
    """What will be written: so many rows, and a strong ETag of the bytes."""

    rows: int
    etag: str


class Stopped(Exception):
    """Nobody wants it any more: `close` was called meanwhile."""


class Export:
    """`open`, then `write` at most once, then `close`; each of the first two may work long, and `close` from another thread ends it.

    A connection of its own: the pool's statements end after 15 s. It reads the generation's tables and not the views on them: a
    rebuild exchanges the views, and would wait for us while everybody else waited for it.
    """

    def __init__(self, asked: Asked, database_url: str) -> None:
        self.asked, self._url = asked, database_url
        self._connection: psycopg.Connection[Any] | None = None
        self._schema = ""
        self._busy, self._stopped = threading.Lock(), threading.Event()

    def open(self) -> Given:
        """Takes the snapshot. Raises Retry where Postgres is away or its tables are being exchanged, Stopped."""
        with self._working():
            connection = self._connection = connect(self._url, name="export")
            self._go_on()
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            connection.execute("SET LOCAL client_connection_check_interval = '5s'")  # were we killed, the query would go on
            self._schema = schema_of(connection)
            self._go_on()
            rows, *sums = self._one(statements.state(self.asked, self._schema), statements.parameters(self.asked))
        return Given(rows, _etag(self.asked, rows, sums))

    def write(self, out: IO[bytes], progress: Progress | None = None) -> None:
        """All bytes into a file (a real one: Parquet is written through its number). Raises as `open` does, and OSError of `out`."""
        with self._working():
            assert self._connection is not None
            with self._connection:  # closed as soon as the last row is here: who is slow to take them holds no snapshot
                if self.asked.form is PARQUET:
                    out.flush()
                    with feeding(out, [(one.name, one.kind) for one in self.asked.dataset.columns]) as into:
                        self._rows(into, progress)
                else:
                    self._rows(out, progress)
                    out.flush()

    def close(self) -> None:
        """Frees the connection, whoever still works on it."""
        self._stopped.set()
        while not self._busy.acquire(timeout=0.2):
            if self._connection is not None:
                with suppress(psycopg.Error):
                    self._connection.cancel_safe(timeout=5)
        if self._connection is not None:
            self._connection.close()
        self._busy.release()

    def _rows(self, out: IO[bytes], progress: Progress | None) -> None:
        assert self._connection is not None
        held, rows = bytearray(), 0
        statement = statements.copying(self.asked, self._schema)
        with self._connection.cursor() as cursor, cursor.copy(statement.encode(), statements.parameters(self.asked)) as copy:
            while row := copy.read():
                held += row
                rows += 1
                if len(held) >= CHUNK:
                    self._go_on()
                    out.write(held)
                    held.clear()
                    if progress:
                        progress(rows)
        out.write(held)
        if progress:
            progress(rows)

    def _one(self, statement: str, given: statements.Parameters | None = None) -> tuple[Any, ...]:
        assert self._connection is not None
        found: tuple[Any, ...] | None = self._connection.execute(statement.encode(), given).fetchone()
        self._go_on()
        assert found is not None, "an aggregate has a row"
        return found

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise Stopped

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Turns what Postgres says into what the caller must do."""
        with self._busy:
            self._go_on()
            try:
                with exchanged_is_retry():
                    yield
            except psycopg.errors.QueryCanceled as error:
                self._go_on()
                raise Retry("Postgres broke the export off: ask again") from error
            except AWAY as error:
                raise Retry("Postgres does not answer: it is being started again, or `safiri doctor` says what is wrong") from error


def _etag(asked: Asked, rows: int, sums: list[int]) -> str:
    """Of what the bytes are made of: the rows, their names, and who writes them."""
    writer = version("polars") if asked.form is PARQUET else ""
    made_of = (asked.dataset.name, [one.name for one in asked.dataset.columns], asked.form.name, asked.form.version, writer, rows, sums)
    return f'"{hashlib.blake2b(msgspec.json.encode(made_of), digest_size=16).hexdigest()}"'
