"""History into the same log through the same path. Twice is once; interrupted, it goes on where it was acknowledged.

A file has one delivery a line (plain or gzip): a neutral event, a provider's body as it was sent, a line of a queue_log, or an
archive line `{"body": …, "content_type"?, "headers"?, "received_at"?}` whose body is text or an object. Lines that are none go
to quarantine. What became of all of them only the projector knows: it counts per import in its own transaction.
"""

from __future__ import annotations

import hashlib
import os
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from calls.envelope import Envelope, digest
from calls.providers import PROVIDERS
from calls.providers.reading import moment
from ingest.accept import Origin, envelope
from ingest.counting import Counts, counted
from ingest.events import event
from ingest.files import LARGEST_LINE, bounded_lines, unzipped
from ingest.publish import Appender
from runtime.clock import now
from runtime.problems import Refused
from runtime.settings import Settings

AT_ONCE = 2000  # lines between two notes of how far it is
Progress = Callable[[int], None]  # bytes of the file read since the last call


class Mark(msgspec.Struct):
    """How far an import of one file is: lines up to `line` are acknowledged."""

    line: int = 0


def import_file(
    path: Path,
    *,
    account: str,
    form: str | None,
    settings: Settings,
    bootstrap: str,
    database_url: str,
    progress: Progress,
    say: Callable[[str], None] = lambda _: None,
) -> Counts:
    """Raises Refused for a wrong account, format or file, Retry where Kafka or Postgres is away (run it again: it goes on).

    The counts are of this run's lines: what an interrupted run had sent and not yet noted comes again, as duplicates.
    """
    origin = _origin(settings, account, form)
    place = _mark_file(settings.data_dir, path, account, origin.provider.name)
    mark, read = _known(place), 0
    origin.import_id = uuid.uuid4().hex
    if mark.line:
        say(f"{path}: goes on after line {mark.line}, where an interrupted import stopped")
    appender = Appender(bootstrap)
    for number, chunk in _chunks(path, progress):
        lines = [line for n, line in enumerate(chunk, number) if n > mark.line and line.strip()]
        appender.append(_envelope(origin, line) for line in lines)
        appender.flush()
        read += len(lines)
        if number + len(chunk) - 1 > mark.line:
            mark = Mark(number + len(chunk) - 1)
            _note(place, mark)
    counts = counted(database_url, origin.import_id, read)
    place.unlink(missing_ok=True)
    return counts


def _origin(settings: Settings, account: str, form: str | None) -> Origin:
    if account not in settings.accounts:
        names = ", ".join(sorted(settings.accounts)) or "none"
        raise Refused(422, "Unknown account", f"no account {account!r} is configured; known: {names}")
    name = form or settings.accounts[account].provider
    if name not in PROVIDERS:
        raise Refused(422, "Unknown format", f"no format {name!r}; known: {', '.join(sorted(PROVIDERS))}")
    return Origin(account, settings.accounts[account], PROVIDERS[name], source="import")


# ---------------------------------------------------------------- lines


def _chunks(path: Path, progress: Progress) -> Iterator[tuple[int, list[bytes]]]:
    """(number of the first line, lines), AT_ONCE at a time; a line over 1 MiB comes shortened and will not be understood."""
    number, chunk, before = 1, [], 0
    try:
        with open(path, "rb") as raw:
            for line in bounded_lines(unzipped(raw)):
                chunk.append(line)
                if len(chunk) == AT_ONCE:
                    yield number, chunk
                    number, chunk = number + len(chunk), []
                    progress(raw.tell() - before)
                    before = raw.tell()
            if chunk:
                yield number, chunk
            progress(raw.tell() - before)
    except (OSError, EOFError, zlib.error) as error:
        raise Refused(422, "Unreadable", f"{path}: {getattr(error, 'strerror', None) or error}") from error


class _Archived(msgspec.Struct):
    body: str | dict[str, Any]
    content_type: str = ""
    headers: dict[str, str] = {}
    received_at: str | float | None = None


def _envelope(origin: Origin, line: bytes) -> Envelope:
    """One line. What is wrong with it is the reason for which it goes to quarantine, once however often it is imported."""
    made = _read(origin, line.strip())
    if made.stream_kind != "quarantine":
        return made
    receipt = digest(f"{made.tenant}\n{made.account}\n{made.digest}".encode())
    return msgspec.structs.replace(made, receipt=receipt, stream=receipt)


def _read(origin: Origin, line: bytes) -> Envelope:
    if len(line) > LARGEST_LINE:
        return _aside(origin, line[:LARGEST_LINE], "a line of more than 1 MiB; its beginning is kept")
    if origin.provider.name == "neutral":
        try:
            return event(origin, line)
        except ValueError as error:
            return _aside(origin, line, str(error))
    try:
        archived = msgspec.json.decode(line, type=_Archived)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        kind = "application/json" if line[:1] in (b"{", b"[") else origin.provider.line_type
        return envelope(origin, line, content_type=kind, headers={}, received_at=now(), signature="import")
    body = archived.body.encode() if isinstance(archived.body, str) else msgspec.json.encode(archived.body)
    said = archived.content_type if archived.content_type.isprintable() else ""
    kind = said or ("application/json" if body[:1] in b"{[" else "application/x-www-form-urlencoded")
    headers = {name.lower(): value for name, value in archived.headers.items()}
    return envelope(origin, body, content_type=kind, headers=headers, received_at=moment(archived.received_at) or now(), signature="import")


def _aside(origin: Origin, line: bytes, reason: str) -> Envelope:
    return envelope(origin, line, content_type="", headers={}, received_at=now(), signature="import", reason=reason)


# ---------------------------------------------------------------- how far it is


def _mark_file(data_dir: Path, path: Path, account: str, form: str) -> Path:
    """One note a file (by its content's size and ends), account and format."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as source:
            ends = source.read(65536)
            source.seek(max(0, size - 65536))
            ends += source.read()
    except OSError as error:
        raise Refused(422, "Unreadable", f"{path}: {error.strerror}") from None
    name = hashlib.blake2b(f"{account}\0{form}\0{size}\0".encode() + ends, digest_size=12).hexdigest()
    folder = data_dir / "imports"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.json"


def _known(place: Path) -> Mark:
    try:
        return msgspec.json.decode(place.read_bytes(), type=Mark)
    except (OSError, msgspec.MsgspecError):
        return Mark()


def _note(place: Path, mark: Mark) -> None:
    scratch = place.with_suffix(f".{os.getpid()}")
    scratch.write_bytes(msgspec.json.encode(mark))
    scratch.rename(place)
