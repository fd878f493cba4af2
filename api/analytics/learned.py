"""When what a number rests on was learned: the events of a journey, or of an agent, by the time the journal took them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from calls.clock import Micros, rfc3339, to_datetime, to_micros
from calls.metrics.reasons import Fact

MOST_EVENTS = 100  # of one contribution
_OF_CALLS = (
    "FROM live.call_index i JOIN safiri.journal e ON e.tenant = i.tenant AND e.stream = i.call_sid AND e.stream_kind = 'call' "
    "WHERE i.tenant = :tenant AND i.journey_id = ANY(:names)"
)
_OF_AGENTS = "FROM safiri.journal e WHERE e.tenant = :tenant AND e.stream_kind = 'agent' AND e.stream = ANY(:names)"
_NAMES = {_OF_CALLS: "i.journey_id", _OF_AGENTS: "e.stream"}


class Learned(msgspec.Struct, frozen=True):
    """Journey or agent -> its latest event's time, and its events since the time asked for."""

    latest: dict[str, Micros] = {}
    since: dict[str, list[dict[str, str | None]]] = {}

    def last(self, fact: Fact) -> str | None:
        return rfc3339(self.latest.get(_name(fact)))

    def events(self, fact: Fact) -> list[dict[str, str | None]]:
        return self.since.get(_name(fact), [])


def learned(connection: sa.Connection, facts: Sequence[Fact], *, tenant: str, since: Micros | None) -> Learned:
    """`since` None: no events are listed."""
    found = Learned({}, {})
    for source in (_OF_CALLS, _OF_AGENTS):
        names = {_name(fact) for fact in facts if (fact.journey_id is None) == (source is _OF_AGENTS)}
        if names:
            given: dict[str, object] = {"tenant": tenant, "names": sorted(names)}
            latest = sa.text(f"SELECT {_NAMES[source]}, max(e.known_at) {source} GROUP BY 1")
            found.latest.update((name, to_micros(at)) for name, at in connection.execute(latest, given))
            if since is not None:
                _events(connection, source, given, since=since, into=found)
    return found


def _events(connection: sa.Connection, source: str, given: dict[str, object], *, since: Micros, into: Learned) -> None:
    wanted = sa.text(f"SELECT {_NAMES[source]}, e.event_id, e.known_at {source} AND e.known_at >= :since ORDER BY e.known_at, e.seq")
    for name, event_id, at in connection.execute(wanted, given | {"since": to_datetime(since)}):
        listed = into.since.setdefault(name, [])
        if len(listed) < MOST_EVENTS:
            listed.append({"event_id": event_id, "known_at": rfc3339(to_micros(at))})


def _name(fact: Fact) -> str:
    return fact.journey_id or fact.agent or ""
