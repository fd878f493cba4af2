"""How far the tables are behind what was acknowledged: Kafka's ends − the projected positions + the spool + the outbox + what is put off.

A reading takes the log's ends first and the positions after, so whatever was acknowledged before it began is either in
the tables or counted. `complete_through` may be older than the truth, never newer.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeAlias

import msgspec
import sqlalchemy as sa

from api.asking import Asking
from api.database import away_is_retry
from calls.clock import Micros, rfc3339, to_micros
from runtime.problems import Retry

Partition: TypeAlias = tuple[str, int]
Depth: TypeAlias = Callable[[], tuple[int, Micros | None]]
"""How many wait there, and when the oldest of them was received (None: none waits, or nobody knows)."""

RECENT_S = 1.0
BACK_OFF_S = 5.0  # after a failure, answers that only mention freshness do not wait for another one
PATIENCE_S, FIRST_PATIENCE_S = 0.25, 2.0  # how long such an answer waits for a reading
IDENTITY_S = 30.0
TIMES_S = 1.5  # for asking the log when records were appended
KEPT = 600  # readings remembered to be found complete later

_POSITIONS = sa.text("SELECT topic, topic_id, partition, next FROM safiri.positions WHERE cluster_id = :cluster")


_DEFERRED = sa.text(
    "SELECT count(*), min(since) FROM (SELECT since FROM safiri.deferred UNION ALL SELECT d.since FROM safiri.dirty_days d "
    "JOIN safiri.generations g ON g.n = d.generation AND g.state = 'live') waiting"
)
_OUTBOX = sa.text("SELECT count(*), min(made_at) FROM safiri.outbox")


class Log(Protocol):
    """What `runtime.kafka.Watcher` offers; every question raises Retry where Kafka is away."""

    def ends(self) -> dict[Partition, int]: ...
    def identity(self) -> tuple[str, dict[str, str]]: ...
    def record_time(self, topic: str, partition: int, offset: int) -> Micros | None: ...


class Parts(msgspec.Struct, frozen=True):
    kafka: int
    spool: int
    deferred: int
    outbox: int = 0


class Reading(msgspec.Struct, frozen=True):
    """At `at` (µs), `unprojected` deliveries were acknowledged and not in the tables; `lag` has every partition of the log."""

    at: Micros
    parts: Parts
    oldest: Micros | None
    complete_through: Micros | None
    lag: dict[Partition, int]
    next: dict[Partition, int]
    ends: dict[Partition, int]

    @property
    def unprojected(self) -> int:
        return self.parts.kafka + self.parts.spool + self.parts.deferred + self.parts.outbox

    def shown(self) -> dict[str, object]:
        """The JSON object of `GET /v1/freshness`."""
        return {
            "unprojected": self.unprojected, "oldest_unprojected_at": rfc3339(self.oldest),
            "complete_through": rfc3339(self.complete_through), "parts": msgspec.to_builtins(self.parts),
        }  # fmt: skip


def none_waits() -> tuple[int, Micros | None]:
    return 0, None


def put_off(engine: sa.Engine) -> Depth:
    """Calls of large journeys whose fold was put off (projections/deferred.py), and marks of agents' time (agent_marks.py)."""

    return _depth(engine, _DEFERRED)


def unsent(engine: sa.Engine) -> Depth:
    """What the call centre's transactions have to say and the worker has not sent yet."""
    return _depth(engine, _OUTBOX)


def _depth(engine: sa.Engine, question: sa.TextClause) -> Depth:
    def asked() -> tuple[int, Micros | None]:
        with away_is_retry(), engine.connect() as connection:
            count, since = connection.execute(question).one()
        return count, None if since is None else to_micros(since)

    return asked


class Freshness:
    """Takes readings. Thread-safe; those who ask at once share one."""

    def __init__(
        self, log: Log, engine: sa.Engine, *, spool: Depth = none_waits, deferred: Depth = none_waits, outbox: Depth = none_waits,
        now: Callable[[], float] = time.time, ticks: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._log, self._engine, self._spool, self._deferred, self._outbox = log, engine, spool, deferred, outbox
        self._now, self._ticks = now, ticks
        self._lock = threading.Lock()
        self._last: tuple[float, Reading | Retry] | None = None  # begun at this tick, with times
        self._began = self._failed = float("-inf")  # of the last reading of any kind; the last failure
        self._identity: tuple[float, tuple[str, dict[str, str]]] | None = None
        self._ends: deque[tuple[Micros, dict[Partition, int]]] = deque(maxlen=KEPT)  # readings not yet found complete
        self._complete: Micros | None = None
        self._times: dict[Partition, tuple[int, Micros | None]] = {}
        self._refreshing = Asking("freshness", self._refresh)

    def read(self) -> Reading:
        """A reading begun after this call. Raises Retry where Kafka or Postgres is away."""
        asked = self._ticks()
        with self._lock:
            began, shared = self._last or (float("-inf"), None)
            if shared is None or began < asked:
                shared = self._take(timed=True)
        if isinstance(shared, Retry):
            raise Retry(str(shared)) from shared
        return shared

    def complete_through(self) -> str | None:
        """For answers that mention it: of a reading at most a second old where that costs little. RFC 3339; None where nobody knows."""
        if self._due():
            with suppress(TimeoutError):
                self._refreshing.ask().result(PATIENCE_S if self._complete is not None else FIRST_PATIENCE_S)
        return rfc3339(self._complete)

    def _refresh(self) -> None:
        with self._lock:
            if self._due():
                self._take(timed=self._complete is None)

    def _due(self) -> bool:
        return max(self._began + RECENT_S, self._failed + BACK_OFF_S) < self._ticks()

    def _take(self, *, timed: bool) -> Reading | Retry:
        """One reading, or why there is none. Untimed ones do not ask the log when records were appended."""
        self._began = began = self._ticks()
        taken: Reading | Retry
        try:
            taken = self._reading(int(self._now() * 1_000_000), timed=timed)
        except Retry as error:
            self._failed, self._identity, taken = self._ticks(), None, error
        if timed or isinstance(taken, Retry):
            self._last = (began, taken)
        return taken

    def _reading(self, at: Micros, *, timed: bool) -> Reading:
        spooled, spool_since = self._spool()  # before the log: what leaves the spool arrives there
        unsent_, unsent_since = self._outbox()  # likewise
        cluster, topics = self._who()
        ends = self._log.ends()
        done = self._positions(cluster, topics)
        deferred, deferred_since = self._deferred()  # after the positions: what they passed is in the tables or put off
        lag = {where: max(0, end - done.get(where, 0)) for where, end in sorted(ends.items())}
        parts = Parts(sum(lag.values()), spooled, deferred, unsent_)
        if not (spooled or deferred or unsent_):
            self._ends.append((at, ends))
        self._advance(at, done, parts)
        firsts = {where: done.get(where, 0) for where, behind in lag.items() if behind}
        others = ((spooled, spool_since), (deferred, deferred_since), (unsent_, unsent_since))
        waiting = [*self._since(firsts, timed=timed), *(since for count, since in others if count)]
        known = [since for since in waiting if since is not None]
        oldest = min(known, default=None)
        if oldest is not None and len(known) == len(waiting):
            self._complete = max(self._complete or oldest, oldest)
        return Reading(at, parts, oldest, self._complete, lag, done, ends)

    def _who(self) -> tuple[str, dict[str, str]]:
        if self._identity is None or self._identity[0] + IDENTITY_S < self._ticks():
            self._identity = (self._ticks(), self._log.identity())
        return self._identity[1]

    def _positions(self, cluster: str, topics: dict[str, str]) -> dict[Partition, int]:
        with away_is_retry(), self._engine.connect() as connection:
            rows = connection.execute(_POSITIONS, {"cluster": cluster}).all()
        return {(row.topic, row.partition): row.next for row in rows if topics.get(row.topic) == row.topic_id}

    def _advance(self, at: Micros, done: dict[Partition, int], parts: Parts) -> None:
        """Everything before the latest earlier reading whose ends are now projected is in the tables."""
        if parts == Parts(0, 0, 0, 0):
            self._complete = at
            self._ends.clear()
        while self._ends and all(done.get(where, 0) >= end for where, end in self._ends[0][1].items()) and not parts.deferred:
            self._complete = max(self._complete or 0, self._ends.popleft()[0])

    def _since(self, firsts: dict[Partition, int], *, timed: bool) -> list[Micros | None]:
        """When the first unprojected record of each partition was appended; asked once a record, and not for longer than 1.5 s."""
        until = self._ticks() + TIMES_S
        for where, offset in firsts.items():
            if self._times.get(where, (-1, None))[0] != offset and timed and self._ticks() < until:
                self._times[where] = (offset, self._log.record_time(*where, offset))
        return [kept[1] if kept and kept[0] == offset else None for where, offset in firsts.items() for kept in [self._times.get(where)]]
