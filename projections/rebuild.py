"""Refolds the whole journal into a new generation beside the live one, and switches in one transaction, or only compares.

Live traffic goes on: projectors note which calls they touch meanwhile; those are folded again until few remain, then the gate
is taken, the rest is done, and readers see the new tables at once. Nothing is ever emitted. Killed half-way, the next run starts anew.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import psycopg

from calls.history import Delivery
from projections import AGGREGATES, account_streams, agent_fold, agent_reports, deferred, generations, journal, store, tariffs
from projections.adding import REBUILT
from projections.agent_marks import Marks
from projections.comparing import Difference, differences, root
from projections.journal import Stream
from projections.project import configurations
from projections.refold import Memory, Outcome, refold
from runtime.postgres import connect
from runtime.problems import Refused

BATCH = 2000  # calls a transaction
FEW = 200  # touched calls that are left for the last, gated step
Progress = Callable[[int], None]


class Report(msgspec.Struct):
    """What a rebuild did. `roots`: table -> {"rows", "digest"} of the rebuilt generation."""

    generation: int
    calls: int
    switched: bool
    roots: dict[str, dict[str, Any]]
    differences: list[Difference]
    broken: int


def rebuild(database_url: str, *, verify: bool = False, projection: str | None = None, progress: Progress = lambda _: None) -> Report:
    """Raises Refused where another rebuild is under way or `projection` is unknown, Retry where Postgres is away."""
    if projection is not None and projection not in {table.name for table in generations.TABLES}:
        names = ", ".join(sorted(table.name for table in generations.TABLES))
        raise Refused(422, "Unknown projection", f"there is no projection {projection!r}; known: {names}")
    with connect(database_url, name="rebuild", autocommit=True) as connection:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (generations.MAKING,)).fetchone()
        if not row or not row[0]:
            raise Refused(409, "Rebuild under way", "another rebuild is running; wait for it to end")
        journal.prepare(connection)
        store.prepare(connection)
        agent_fold.prepare(connection)
        account_streams.prepare(connection)
        try:
            return Rebuild(connection, progress).run(verify=verify, projection=projection)
        finally:  # at once: Postgres would notice a closed connection only a little later
            with suppress(psycopg.Error):
                connection.execute("SELECT pg_advisory_unlock(%s)", (generations.MAKING,))


class Rebuild:
    """One run on one connection (autocommit; every step is its own transaction)."""

    def __init__(self, connection: psycopg.Connection[Any], progress: Progress):
        self.connection, self.progress = connection, progress
        self.memory, self.plans = Memory(), tariffs.Plans()
        self.rated_by: tariffs.State = (0, 0)  # what was known when the calls folded so far were known to be rated by all of it
        self.broken: dict[Stream, str] = {}
        self.calls = 0
        self.n = 0
        self.accounts_read = 0  # the journal's seq up to which accounts' streams are read

    def run(self, *, verify: bool, projection: str | None) -> Report:
        self._begin()
        try:
            self._fill()
            self._fill_agents()
            while self._fill_accounts() > FEW:
                pass
            self._settle()
            while self._touched(limit=BATCH) > FEW:
                pass
            while self._fold_agents():
                pass
            return self._last(verify=verify, projection=projection)
        except BaseException:
            with suppress(psycopg.Error):  # what cannot be dropped now, the next run drops
                self.connection.rollback()
                self._clear()
            raise

    def _clear(self) -> None:
        """Drops every generation but the live one: of this run, or of one that was killed."""
        for (old,) in self.connection.execute("SELECT n FROM safiri.generations WHERE state <> 'live'").fetchall():
            generations.drop(self.connection, old)

    def _begin(self) -> None:
        self._clear()
        with self.connection.transaction():
            self.connection.execute("TRUNCATE safiri.touched")
            self.n = generations.make(self.connection, "building")
            self.rated_by = tariffs.state(self.connection.cursor())
        with self.connection.transaction():  # whoever began before it was known as building has ended after this
            self.connection.execute("SELECT pg_advisory_xact_lock(%s)", (generations.GATE,))

    def _fill(self) -> None:
        after: Stream = ("", "")
        while True:
            with self.connection.transaction(), self.connection.cursor() as cursor:
                cursor.execute(
                    "SELECT DISTINCT tenant, stream FROM safiri.journal WHERE stream_kind = 'call' AND (tenant, stream) > (%s, %s) "
                    "ORDER BY tenant, stream LIMIT %s",
                    (*after, BATCH),
                )
                streams = cursor.fetchall()
                if not streams:
                    return
                self._fold(cursor, journal.history(cursor, streams))
            after = streams[-1]
            self.calls += len(streams)
            self.progress(self.calls)

    def _fill_accounts(self) -> int:
        """What accounts' streams say that was not read yet; returns how many deliveries that were."""
        count = 0
        with self.connection.transaction(), self.connection.cursor() as cursor:  # nobody is at work: whatever is there can be seen
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (generations.GATE,))
            until = account_streams.latest(cursor)
        while self.accounts_read < until:
            with self.connection.transaction(), self.connection.cursor() as cursor:
                count += self._page_of_accounts(cursor, until)
        return count

    def _page_of_accounts(self, cursor: psycopg.Cursor[Any], until: int) -> int:
        generations.use(cursor, self.n)
        said, self.accounts_read = account_streams.page(cursor, self.accounts_read, until)
        account_streams.keep(cursor, said, configurations(cursor))
        return len(said)

    def _fill_agents(self) -> None:
        """The states that agents were reported in, then their days."""
        after = journal.FIRST
        while True:
            with self.connection.transaction(), self.connection.cursor() as cursor:
                generations.use(cursor, self.n)
                found, after = journal.reports(cursor, after, BATCH)
                self._keep(cursor, found)
            if not found:
                break
        while self._fold_agents():
            pass

    def _keep(self, cursor: psycopg.Cursor[Any], reported: list[tuple[str, Delivery]]) -> None:
        marks = Marks()
        agent_reports.keep(cursor, reported, marks)
        marks.write(cursor, self.n)

    def _fold_agents(self) -> int:
        with self.connection.transaction(), self.connection.cursor() as cursor:
            generations.use(cursor, self.n)
            return agent_fold.fold_agents(cursor, self.n, configurations(cursor))

    def _settle(self) -> None:
        """Sums are laid out for readers, and the planner knows the tables, before anybody reads them."""
        if self.calls <= BATCH:
            return
        for aggregate in AGGREGATES:
            generations.lay_out(self.connection, f"g{self.n}.{aggregate.name}")
        for table in generations.TABLES:
            self.connection.execute(f"ANALYZE g{self.n}.{table.name}")

    def _fold(self, cursor: psycopg.Cursor[Any], arrived: dict[Stream, list[Any]]) -> None:
        generations.use(cursor, self.n)
        marks = Marks()
        self.plans.refresh(tariffs.state(cursor)[1])
        outcome: Outcome = refold(
            cursor, arrived, generation=self.n, memory=self.memory, configurations=configurations(cursor), plans=self.plans, shard=REBUILT,
            marks=marks,
        )  # fmt: skip
        marks.write(cursor, self.n)
        self.broken |= {(tenant, sid): reason for tenant, sid, reason in outcome.broken}

    def _touched(self, *, limit: int) -> int:
        """Folds calls that changed meanwhile once more; returns how many were waiting."""
        with self.connection.transaction(), self.connection.cursor() as cursor:
            self.rated_by = tariffs.touch(cursor, self.n, since=self.rated_by, configurations=configurations(cursor))
            cursor.execute("SELECT count(*) FROM safiri.touched")
            (waiting,) = cursor.fetchone() or (0,)
            self._touch(cursor, limit)
        return int(waiting)

    def _touch(self, cursor: psycopg.Cursor[Any], limit: int) -> int:
        cursor.execute(
            "DELETE FROM safiri.touched WHERE (tenant, call_sid) IN "
            "(SELECT tenant, call_sid FROM safiri.touched ORDER BY tenant, call_sid LIMIT %s FOR UPDATE) RETURNING tenant, call_sid",
            (limit,),
        )
        streams = cursor.fetchall()
        if streams:
            self._fold(cursor, journal.history(cursor, streams))  # with what they say, for a link may be new
            self._keep(cursor, journal.reports_of(cursor, streams))
            for said in account_streams.of_streams(cursor, streams):
                account_streams.keep(cursor, said, configurations(cursor))
        return len(streams)

    def _last(self, *, verify: bool, projection: str | None) -> Report:
        with self.connection.transaction(), self.connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (generations.GATE,))
            self.rated_by = tariffs.touch(cursor, self.n, since=self.rated_by, configurations=configurations(cursor))
            while self._touch(cursor, BATCH):
                pass
            until = account_streams.latest(cursor)
            while self.accounts_read < until:
                self._page_of_accounts(cursor, until)
            cursor.execute("SELECT n FROM safiri.generations WHERE state = 'live'")
            (live,) = cursor.fetchone() or (0,)
            self._fold_put_off(cursor, live, stays=verify or projection is not None)
            for n in (live, self.n) if verify else (self.n,):
                generations.use(cursor, n)
                while agent_fold.fold_agents(cursor, n, configurations(cursor)):
                    pass
            tables = [table.name for table in generations.TABLES if projection in (None, table.name)]
            roots = {name: root(cursor, self.n, name) for name in tables}
            found = [one for name in tables for one in differences(cursor, name, live=live, rebuilt=self.n)] if verify else []
            if not verify:
                self._switch(cursor, live, projection)
        self._clear()
        return Report(self.n, self.calls, not verify, roots, found, len(self.broken))

    def _fold_put_off(self, cursor: psycopg.Cursor[Any], live: int, *, stays: bool) -> None:
        """What large journeys still wait for is folded now: both generations then know the same. One that goes may be of another
        shape, and nobody will read it."""
        if not stays:
            cursor.execute("DELETE FROM safiri.deferred")
        self.plans.refresh(tariffs.state(cursor)[1])
        while streams := deferred.take_due(cursor, BATCH, early=True):
            generations.use(cursor, live)
            waiting: dict[Stream, list[Any]] = {stream: [] for stream in streams}
            marks = Marks()
            known = configurations(cursor)
            refold(cursor, waiting, generation=live, memory=Memory(), configurations=known, plans=self.plans, marks=marks)
            marks.write(cursor, live)

    def _switch(self, cursor: psycopg.Cursor[Any], live: int, projection: str | None) -> None:
        if projection:
            for table in generations.TABLES:
                cursor.execute(f"DROP VIEW live.{table.name}")
            if projection == "call_index":  # counts go on, for projectors remember what was folded at which
                cursor.execute(
                    f"UPDATE g{self.n}.call_index SET version = version + (SELECT coalesce(max(version), 0) FROM g{live}.call_index)"
                )
            for name in _unit(projection):
                cursor.execute(f"DROP TABLE g{live}.{name}")
                cursor.execute(f"ALTER TABLE g{self.n}.{name} SET SCHEMA g{live}")
            for table in generations.TABLES:
                cursor.execute(f"CREATE VIEW live.{table.name} AS SELECT * FROM g{live}.{table.name}")
            return
        cursor.execute("UPDATE safiri.generations SET state = 'retired' WHERE n = %s", (live,))
        cursor.execute("UPDATE safiri.generations SET state = 'live' WHERE n = %s", (self.n,))
        generations.show(self.connection, self.n)
        cursor.execute("DELETE FROM safiri.broken")
        for (tenant, sid), reason in sorted(self.broken.items()):
            row = (tenant, sid, reason.replace("\0", ""))
            cursor.execute("INSERT INTO safiri.broken (tenant, call_sid, reason) VALUES (%s, %s, %s)", row)


def _unit(projection: str) -> list[str]:
    """The tables that are switched with one: sums are kept by what journeys say that they have added, so both come from one generation."""
    summed = ["journeys", *(one.name for one in AGGREGATES)]
    return summed if projection in summed else [projection]
