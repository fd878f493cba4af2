"""A statement out of a request, a file or a pipe: its rows, and the command's whole way into the log, as a stream.

Interrupted it is run again from the beginning: lines that are there already count once.
"""

from __future__ import annotations

import sys
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from calls.faults import Faults
from calls.statements.read import Table, csv_table, json_table
from ingest.counting import counted
from ingest.files import as_utf8, bounded_lines, unzipped
from ingest.publish import Appender
from ingest.statement_lines import Rejected, Statement, account_of, means_of, origin_of
from runtime.addresses import Addresses
from runtime.problems import Missing, Refused, invalid, refusal
from runtime.settings import Settings

AT_ONCE = 2000  # lines between two looks at what Kafka acknowledged


class Told(msgspec.Struct):
    """read = accepted + duplicate + the number of those rejected."""

    read: int
    accepted: int
    duplicate: int
    rejected: list[Rejected]
    unbalanced: list[Rejected]


def import_statement(path: Path, *, account: str, settings: Settings, addresses: Addresses) -> Told:
    """`path` may be `-`. Raises Refused for an account, header or file that cannot be, Retry where Kafka or Postgres is away."""
    known = account_of(settings, None, account)
    if not (addresses["kafka"] and addresses["database"]):
        raise Missing("nothing runs here: start the stack with `safiri up`, or set SAFIRI_DATABASE_URL and SAFIRI_KAFKA_BOOTSTRAP")
    means = means_of(settings, known, database_url=addresses["database"], signature="import")
    origin = origin_of(account, known, import_id=uuid.uuid4().hex)
    appender = Appender(addresses["kafka"])
    with _opened(path) as source:
        statement = Statement(origin, table_of(source), means)
        for chunk in statement.chunks(AT_ONCE):
            appender.append(chunk)
    appender.flush()
    counts = counted(addresses["database"], origin.import_id, statement.read)
    return Told(statement.read, counts.accepted, counts.duplicate, statement.rejected, statement.unbalanced)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        if str(path) == "-":
            yield unzipped(sys.stdin.buffer)  # type: ignore[arg-type]
        else:
            with open(path, "rb") as raw:
                yield unzipped(raw)
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise Refused(
            422, "Unreadable", f"{path}: {why}; lines that could be read before may be in: import the whole file again"
        ) from error


def table_of(source: Any, content_type: str = "") -> Table:
    """Rows of a JSON array or of CSV, whichever it is. `source` can be peeked at. Raises Refused where it is neither."""
    begin = source.peek(64)[:64]
    if not begin:
        raise invalid("body", "is empty: send CSV with a header, or a JSON array of objects")
    try:
        if "json" in content_type or begin.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"[":
            return json_table(source.read())
        return csv_table(bounded_lines(as_utf8(source)))
    except Faults as faults:
        raise refusal(faults, title="Not a statement") from None
