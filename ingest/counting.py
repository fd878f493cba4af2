"""What became of lines that were sent under one import id: the projector counts them in its own transaction, and only it can know."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import psycopg

from runtime.postgres import AWAY, connect
from runtime.problems import Refused, Retry

POLLED_S = (0.05, 0.5)  # how often a request looks: soon at first, then less


class Counts(msgspec.Struct):
    """Of lines that are not blank. read = accepted + duplicate + quarantined once all is projected."""

    read: int = 0
    accepted: int = 0
    duplicate: int = 0
    quarantined: int = 0

    @property
    def pending(self) -> int:
        """Lines that the projector has not come to."""
        return self.read - self.accepted - self.duplicate - self.quarantined


def counted(database_url: str, import_id: str, read: int, within_s: float = 600) -> Counts:
    """Waits until the projector has seen every line. Raises Refused where it gets nowhere for that long, Retry where Postgres is away."""
    counts, end = Counts(), time.monotonic() + within_s
    while True:
        try:
            with connect(database_url, name="import", autocommit=True) as connection:
                while True:
                    before, counts = counts, so_far(connection, import_id, read)
                    if counts.pending <= 0:
                        return counts
                    if counts != before:
                        end = time.monotonic() + within_s
                    if time.monotonic() > end:
                        raise Refused(503, "Not projected", "everything is in the log, but the projector does not get on; see `safiri lag`")
                    time.sleep(0.1)
        except (Retry, *AWAY):
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


async def counted_within(database_url: str, import_id: str, read: int, within_s: float) -> Counts:
    """The same for a request: what the projector has come to when it is through, or when the time is up."""
    counts, end, pause = Counts(read), time.monotonic() + within_s, POLLED_S[0]
    connection: psycopg.Connection[Any] | None = None
    try:
        while True:
            try:
                if connection is None:
                    connection = await asyncio.to_thread(connect, database_url, name="import", autocommit=True)
                counts = await asyncio.to_thread(so_far, connection, import_id, read)
            except (Retry, *AWAY):
                connection = None
            if counts.pending <= 0 or time.monotonic() > end:
                return counts
            await asyncio.sleep(pause)
            pause = min(POLLED_S[1], 1.5 * pause)
    finally:
        if connection is not None:
            connection.close()


def so_far(connection: psycopg.Connection[Any], import_id: str, read: int) -> Counts:
    """What the projector has come to."""
    row = connection.execute(
        "SELECT coalesce(sum(accepted), 0)::bigint, coalesce(sum(duplicate), 0)::bigint, coalesce(sum(quarantined), 0)::bigint "
        "FROM safiri.imports WHERE import_id = %s",
        (import_id,),
    ).fetchone()
    return Counts(read, *(row or (0, 0, 0)))
