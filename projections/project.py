"""One batch of the log = one Postgres transaction: journal, quarantine, journeys, counts, positions. Then, and only then, acknowledged.

Raises `Retry` where the environment failed (nothing is written, the batch will come again) and `Fenced` where another worker
has meanwhile taken a partition. A record that cannot be understood goes to quarantine and never stops the rest.
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import psycopg
import structlog

from calls.clock import Micros, to_datetime
from calls.configuration import Configuration
from calls.history import Delivery
from projections import AGGREGATES, agent_fold, agent_reports, deferred, generations, groups, journal, store
from projections.agent_marks import Marks
from projections.compacting import compact
from projections.journal import Arrival, Stream
from projections.records import Poison, Record, envelope_of, sorted_out
from projections.refold import Memory, Outcome, refold
from runtime.postgres import AWAY, CLASHED, TOO_LARGE, connect
from runtime.problems import Retry

log = structlog.get_logger()
Partition = tuple[str, int]


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
        self.memory = Memory()
        self._connection: psycopg.Connection[Any] | None = None
        self._configurations: list[Configuration] = []
        self._configuration_version = -1

    def connection(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self.database_url, name="projector")
            journal.prepare(self._connection)
            store.prepare(self._connection)
            agent_fold.prepare(self._connection)
            self._connection.commit()
            self.memory.clear()
        return self._connection

    def close(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None

    def project(self, records: Sequence[Record]) -> Projected:
        """Projects what of `records` is not projected yet. All or nothing."""
        return self._in_transaction(lambda cursor: self._project(cursor, records))

    def _in_transaction(self, work: Callable[[psycopg.Cursor[Any]], Projected]) -> Projected:
        """Runs `work` in one transaction; only after its commit is anything remembered."""
        try:
            connection = self.connection()
            with connection.transaction(), connection.cursor() as cursor:
                projected = work(cursor)
        except CLASHED as error:
            self.memory.clear()
            raise Retry(f"another worker was in the way: {type(error).__name__}") from error
        except TOO_LARGE:
            raise
        except AWAY as error:
            self.close()
            raise Retry(f"Postgres went away: {type(error).__name__}") from error
        for key, version, deliveries in projected.outcome.remember:
            self.memory.keep(key, version, deliveries)
        return projected

    def fold_due(self) -> int:
        """Folds large journeys whose time has come; returns how many calls of theirs had changed. Raises Retry like `project`."""

        def due(cursor: psycopg.Cursor[Any]) -> Projected:
            n, _ = generations.enter(cursor)
            generations.use(cursor, n)
            self._read_configurations(cursor)
            streams = deferred.take_due(cursor)
            outcome = Outcome([], [], [])
            if streams:
                arrived: dict[Stream, list[Delivery]] = {stream: [] for stream in streams}
                marks = Marks()
                outcome = refold(cursor, arrived, generation=n, memory=self.memory, configurations=self._configurations, marks=marks)
                marks.write(cursor, n)
                _mark_broken(cursor, outcome, arrived)
            done.append(len(streams))
            return Projected([], [], outcome)

        done: list[int] = []
        self._in_transaction(due)
        return done[-1]

    def fold_agents(self) -> int:
        """One pass of the second fold (projections/agent_fold.py); returns how many marks it took. Raises Retry like `project`."""

        def fold(cursor: psycopg.Cursor[Any]) -> Projected:
            n, _ = generations.enter(cursor)
            generations.use(cursor, n)
            self._read_configurations(cursor)
            done.append(agent_fold.fold_agents(cursor, n, self._configurations))
            return Projected([], [], Outcome([], [], []))

        done: list[int] = []
        self._in_transaction(fold)
        return done[-1]

    def compact(self, *, until: Micros) -> int:
        """Gathers some sums of slots before `until` (projections/compacting.py); returns how many rows. Raises Retry like `project`."""

        def gather(cursor: psycopg.Cursor[Any]) -> Projected:
            n, _ = generations.enter(cursor)
            generations.use(cursor, n)
            done.append(sum(compact(cursor, aggregate, until=until) for aggregate in AGGREGATES))
            return Projected([], [], Outcome([], [], []))

        done: list[int] = []
        self._in_transaction(gather)
        return done[-1]

    def quarantine(self, record: Record, reason: str) -> Projected:
        """Puts one record aside as it is and moves past it."""
        try:
            with self.connection().transaction(), self.connection().cursor() as cursor:
                generations.enter(cursor)
                poison = [Poison(one, reason, envelope_of(one)) for one in self._move(cursor, [record])]
                _aside(cursor, poison)
                _count(cursor, [], poison)
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
        changed, earlier = journal.append(cursor, arrivals, fresh) if arrivals else (set(), set())
        changed |= earlier
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
                cursor, arrived, generation=n, memory=self.memory, configurations=self._configurations, fresh=fresh, reread=earlier,
                patient=True, shard=min(arrival.partition for arrival in arrivals), marks=marks,
            )  # fmt: skip
            for streams, events in outcome.deferred:
                deferred.put_off(cursor, streams, events)
        marks.write(cursor, n, since=min((arrival.envelope.received_at for arrival in arrivals), default=None))
        touched = changed | {(tenant, delivery.stream) for tenant, delivery in reported}
        if building and touched:
            _touch(cursor, touched)
        _aside(cursor, poison)
        _mark_broken(cursor, outcome, arrived)
        _count(cursor, arrivals, poison)
        if any(arrival.new for arrival in arrivals):
            cursor.execute("SELECT pg_notify('journal', '')")  # at the commit: whoever waits for what became of a call looks then
        return Projected(arrivals, poison, outcome)

    def _read_configurations(self, cursor: psycopg.Cursor[Any]) -> None:
        cursor.execute("SELECT coalesce(max(version), 0) FROM safiri.configuration")
        (version,) = cursor.fetchone() or (0,)
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


# ---------------------------------------------------------------- the rest of the transaction


def _aside(cursor: psycopg.Cursor[Any], poison: Sequence[Poison]) -> None:
    for one in poison:
        record, envelope = one.record, one.envelope
        # what was no envelope of ours gets an id from where it lay, so that the same record is kept once
        own = uuid.uuid5(uuid.NAMESPACE_URL, f"{record.topic}/{record.partition}/{record.offset}/{record.timestamp_ms}")
        cursor.execute(
            "INSERT INTO safiri.quarantine (id, tenant, account, provider, source, reason, received_at, content_type, headers, body, "
            'topic, partition, "offset", import_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING',
            (
                uuid.UUID(envelope.receipt) if envelope else own,
                envelope.tenant if envelope else None, envelope.account if envelope else None, envelope.provider if envelope else None,
                envelope.source if envelope else "log", one.reason.replace("\0", "\ufffd"),
                to_datetime(envelope.received_at if envelope else max(0, record.timestamp_ms) * 1000),
                envelope.content_type if envelope else "",
                msgspec.json.encode(envelope.headers).decode() if envelope and envelope.headers else None,
                envelope.raw if envelope else record.value, record.topic, record.partition, record.offset,
                (envelope.import_id or None) if envelope else None,
            ),
        )  # fmt: skip


def _mark_broken(cursor: psycopg.Cursor[Any], outcome: Outcome, folded: Iterable[Stream]) -> None:
    """Notes the calls whose fold failed, and takes off the list those that could be folded again."""
    cursor.execute("SELECT EXISTS (SELECT FROM safiri.broken)")
    if (cursor.fetchone() or (False,))[0]:
        rows = sorted(folded)
        cursor.execute(
            "DELETE FROM safiri.broken b USING unnest(%s::text[], %s::text[]) AS a (tenant, call_sid) "
            "WHERE b.tenant = a.tenant AND b.call_sid = a.call_sid",
            ([tenant for tenant, _ in rows], [sid for _, sid in rows]),
        )
    for tenant, sid, reason in sorted(outcome.broken):
        cursor.execute(
            "INSERT INTO safiri.broken (tenant, call_sid, reason) VALUES (%s, %s, %s) "
            "ON CONFLICT (tenant, call_sid) DO UPDATE SET reason = excluded.reason",
            (tenant, sid, reason.replace("\0", "\ufffd")),
        )


def _touch(cursor: psycopg.Cursor[Any], changed: set[Stream]) -> None:
    """Tells a rebuild that is under way which calls to fold again."""
    rows = sorted(changed)
    cursor.execute(
        "INSERT INTO safiri.touched (tenant, call_sid) SELECT * FROM unnest(%s::text[], %s::text[]) "
        "ON CONFLICT (tenant, call_sid) DO UPDATE SET at = nextval('safiri.journal_seq')",
        ([tenant for tenant, _ in rows], [sid for _, sid in rows]),
    )


def _count(cursor: psycopg.Cursor[Any], arrivals: Sequence[Arrival], poison: Sequence[Poison]) -> None:
    """What became of each import, in the same transaction: only the projector knows."""
    counts: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    for arrival in arrivals:
        if arrival.envelope.import_id:
            counts[arrival.envelope.import_id, arrival.partition]["accepted" if arrival.new else "duplicate"] += 1
    for one in poison:
        if one.envelope and one.envelope.import_id:
            counts[one.envelope.import_id, one.record.partition]["quarantined"] += 1
    for (import_id, partition), count in sorted(counts.items()):
        cursor.execute(
            "INSERT INTO safiri.imports AS i (import_id, partition, accepted, duplicate, quarantined) VALUES (%s, %s, %s, %s, %s) "
            "ON CONFLICT (import_id, partition) DO UPDATE SET accepted = i.accepted + excluded.accepted, "
            "duplicate = i.duplicate + excluded.duplicate, quarantined = i.quarantined + excluded.quarantined",
            (import_id, partition, count["accepted"], count["duplicate"], count["quarantined"]),
        )
