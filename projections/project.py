"""One batch of the log = one Postgres transaction: journal, quarantine, journeys, counts, positions. Then, and only then, acknowledged.

Raises `Retry` where the environment failed (nothing is written, the batch will come again) and `Fenced` where another worker
has meanwhile taken a partition. A record that cannot be understood goes to quarantine and never stops the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
import psycopg
import structlog

from calls.clock import Micros
from calls.configuration import Configuration
from calls.history import Delivery
from projections import AGGREGATES, account_streams, agent_fold, agent_reports, bookkeeping, deferred, generations, groups, journal, store
from projections.agent_marks import Marks
from projections.compacting import compact
from projections.journal import Arrival, Stream
from projections.records import Poison, Record, envelope_of, sorted_out
from projections.refold import Memory, Outcome, refold
from projections.tariffs import Plans, state
from runtime.postgres import AWAY, CLASHED, TOO_LARGE, connect
from runtime.problems import Retry

log = structlog.get_logger()
Partition = tuple[str, int]
Done = TypeVar("Done")


class Fenced(Exception):
    """A record lies beyond its partition's position: read again from there, or what is between is lost."""


class Projected(msgspec.Struct):
    """What a batch came to."""

    arrivals: list[Arrival]
    poison: list[Poison]
    outcome: Outcome


class Projector:
    """Holds one connection and the memory of recent calls. Not thread-safe."""

    def __init__(self, database_url: str, *, cluster_id: str, topic_ids: dict[str, str]):
        self.database_url, self.cluster_id, self.topic_ids = database_url, cluster_id, topic_ids
        self.memory, self.plans = Memory(), Plans()
        self._connection: psycopg.Connection[Any] | None = None
        self._configurations: list[Configuration] = []
        self._configuration_version = -1

    def connection(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self.database_url, name="projector")
            journal.prepare(self._connection)
            store.prepare(self._connection)
            agent_fold.prepare(self._connection)
            account_streams.prepare(self._connection)
            self._connection.commit()
            self.memory.clear()
        return self._connection

    def close(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None

    def project(self, records: Sequence[Record]) -> Projected:
        """Projects what of `records` is not projected yet. All or nothing."""

        def whole(cursor: psycopg.Cursor[Any]) -> tuple[Projected, Outcome]:
            projected = self._project(cursor, records)
            return projected, projected.outcome

        return self._in_transaction(whole)

    def _in_transaction(self, work: Callable[[psycopg.Cursor[Any]], tuple[Done, Outcome]]) -> Done:
        """Runs `work` in one transaction; only after its commit is anything remembered."""
        try:
            connection = self.connection()
            with connection.transaction(), connection.cursor() as cursor:
                done, outcome = work(cursor)
        except CLASHED as error:
            self.memory.clear()
            raise Retry(f"another worker was in the way: {type(error).__name__}") from error
        except TOO_LARGE:
            raise
        except AWAY as error:
            self.close()
            raise Retry(f"Postgres went away: {type(error).__name__}") from error
        for key, version, deliveries in outcome.remember:
            self.memory.keep(key, version, deliveries)
        return done

    def fold_due(self) -> int:
        """Folds large journeys whose time has come; returns how many calls of theirs had changed. Raises Retry like `project`."""

        def due(cursor: psycopg.Cursor[Any], n: int) -> tuple[int, Outcome]:
            self._read_configurations(cursor)
            streams = deferred.take_due(cursor)
            if not streams:
                return 0, Outcome([], [], [])
            arrived: dict[Stream, list[Delivery]] = {stream: [] for stream in streams}
            marks = Marks()
            outcome = refold(
                cursor, arrived, generation=n, memory=self.memory, configurations=self._configurations, plans=self.plans, marks=marks
            )
            marks.write(cursor, n)
            bookkeeping.mark_broken(cursor, outcome, arrived)
            return len(streams), outcome

        return self._beside(due)

    def fold_agents(self) -> int:
        """One pass of the second fold (projections/agent_fold.py); returns how many marks it took. Raises Retry like `project`."""

        def fold(cursor: psycopg.Cursor[Any], n: int) -> tuple[int, Outcome]:
            self._read_configurations(cursor)
            return agent_fold.fold_agents(cursor, n, self._configurations), Outcome([], [], [])

        return self._beside(fold)

    def compact(self, *, until: Micros) -> int:
        """Gathers some sums of slots before `until` (projections/compacting.py); returns how many rows. Raises Retry like `project`."""

        def gather(cursor: psycopg.Cursor[Any], _: int) -> tuple[int, Outcome]:
            return sum(compact(cursor, aggregate, until=until) for aggregate in AGGREGATES), Outcome([], [], [])

        return self._beside(gather)

    def _beside(self, work: Callable[[psycopg.Cursor[Any], int], tuple[int, Outcome]]) -> int:
        """Runs `work` on the live generation, which it is told; returns how much it did."""

        def whole(cursor: psycopg.Cursor[Any]) -> tuple[int, Outcome]:
            n, _ = generations.enter(cursor)
            generations.use(cursor, n)
            return work(cursor, n)

        return self._in_transaction(whole)

    def quarantine(self, record: Record, reason: str) -> Projected:
        """Puts one record aside as it is and moves past it."""
        try:
            with self.connection().transaction(), self.connection().cursor() as cursor:
                generations.enter(cursor)
                poison = [Poison(one, reason, envelope_of(one)) for one in self._move(cursor, [record])]
                bookkeeping.aside(cursor, poison)
                bookkeeping.count(cursor, [], poison)
        except AWAY as error:
            self.close()
            raise Retry(f"Postgres went away: {type(error).__name__}") from error
        return Projected([], poison, Outcome([], [], []))

    def _project(self, cursor: psycopg.Cursor[Any], records: Sequence[Record]) -> Projected:
        n, building = generations.enter(cursor)
        generations.use(cursor, n)
        self._read_configurations(cursor)
        due = self._move(cursor, records)
        arrivals, poison = sorted_out(due)
        fresh = groups.register(cursor, sorted({_stream(one) for one in arrivals if one.envelope.stream_kind == "call"}))
        appended = journal.append(cursor, arrivals, fresh)
        changed, earlier = appended.changed | appended.earlier, appended.earlier
        arrived: dict[Stream, list[Delivery]] = {stream: [] for stream in changed}
        for arrival in arrivals:
            stream = _stream(arrival)
            if arrival.new and arrival.envelope.stream_kind == "call":
                arrived[stream].append(journal.of_arrival(arrival))
        outcome, marks = Outcome([], [], []), Marks()
        reported = [
            (arrival.envelope.tenant, journal.of_arrival(arrival)) for arrival in arrivals if arrival.envelope.stream_kind == "agent"
        ]
        agent_reports.keep(cursor, reported, marks)
        if arrived:
            outcome = refold(
                cursor, arrived, generation=n, memory=self.memory, configurations=self._configurations, plans=self.plans, fresh=fresh,
                reread=earlier, patient=True, shard=min(arrival.partition for arrival in arrivals), marks=marks,
            )  # fmt: skip
            for streams, events in outcome.deferred:
                deferred.put_off(cursor, streams, events)
        account_streams.keep(cursor, account_streams.of_arrivals(arrivals), self._configurations)
        marks.write(cursor, n, since=min((arrival.envelope.received_at for arrival in arrivals), default=None))
        touched = changed | appended.accounts | {(tenant, delivery.stream) for tenant, delivery in reported}
        if building and touched:
            bookkeeping.touch(cursor, touched)
        bookkeeping.aside(cursor, poison)
        bookkeeping.mark_broken(cursor, outcome, arrived)
        bookkeeping.count(cursor, arrivals, poison)
        if any(arrival.new for arrival in arrivals):
            cursor.execute("SELECT pg_notify('journal', '')")  # at the commit: whoever waits for what became of a call looks then
        return Projected(arrivals, poison, outcome)

    def _read_configurations(self, cursor: psycopg.Cursor[Any]) -> None:
        version, posted = state(cursor)
        self.plans.refresh(posted)
        if version != self._configuration_version:
            self._configurations = configurations(cursor)
            self._configuration_version = version
            self.memory.clear()

    def _move(self, cursor: psycopg.Cursor[Any], records: Sequence[Record]) -> list[Record]:
        """Moves the positions past `records`; returns those that are not projected yet.

        Raises Fenced where a record lies beyond the position: what is between would be lost.
        """
        first: dict[Partition, int] = {}
        last: dict[Partition, int] = {}
        for record in records:
            where = (record.topic, record.partition)
            first[where] = min(record.offset, first.get(where, record.offset))
            last[where] = max(record.offset, last.get(where, record.offset))
        rows = sorted(last)
        asked = ([self.topic_ids[topic] for topic, _ in rows], [partition for _, partition in rows])
        cursor.execute(
            "SELECT p.topic, p.partition, p.next FROM safiri.positions p JOIN unnest(%s::text[], %s::int[]) AS a (topic_id, partition) "
            "USING (topic_id, partition) WHERE p.cluster_id = %s ORDER BY p.topic_id, p.partition FOR UPDATE OF p",
            (*asked, self.cluster_id),
        )
        here = {(topic, partition): position for topic, partition, position in cursor}
        for where in rows:
            if where not in here or first[where] > here[where]:
                raise Fenced(f"{where[0]}/{where[1]}: got offset {first[where]}, the position is {here.get(where)}")
        cursor.execute(
            "UPDATE safiri.positions p SET next = greatest(p.next, a.next), moved_at = clock_timestamp() "
            "FROM unnest(%s::text[], %s::int[], %s::bigint[]) AS a (topic_id, partition, next) "
            "WHERE p.cluster_id = %s AND p.topic_id = a.topic_id AND p.partition = a.partition",
            (*asked, [last[where] + 1 for where in rows], self.cluster_id),
        )
        return [record for record in records if record.offset >= here[record.topic, record.partition]]


def _stream(arrival: Arrival) -> Stream:
    return (arrival.envelope.tenant, arrival.envelope.stream)


def configurations(cursor: psycopg.Cursor[Any]) -> list[Configuration]:
    """Every version of the configuration, oldest first; the first counts from the beginning of time."""
    cursor.execute("SELECT content FROM safiri.configuration ORDER BY version")
    found = [msgspec.json.decode(content, type=Configuration) for (content,) in cursor.fetchall()]
    return [msgspec.structs.replace(one, since=0) if n == 0 else one for n, one in enumerate(found)]
