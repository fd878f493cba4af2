"""The deliveries of linked calls, put in order: which copy stands, what reads first, which ids are one call, which calls one journey.

Everything here is a function of the set of deliveries: shuffle them, double them, deliver them late, and nothing changes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from calls.clock import Micros
from calls.events import CallLinked, CallStarted, CallUnlinked, ConferenceJoined, Event
from calls.rooms import call_of_room

MOST_CALLS = 100  # of one journey; a link that would make it larger is refused and the calls stay apart
TYING: frozenset[type[Event]] = frozenset({CallLinked, CallUnlinked, ConferenceJoined})  # and a start that names a parent
Identified = tuple[str, str, str]


class Delivery(msgspec.Struct, gc=False):
    """One journal row, parsed. `received_at` is the earliest of its copies; `facts` has at least one."""

    stream: str
    account: str
    provider: str
    event_id: str
    digest: bytes
    received_at: Micros
    facts: list[Event]

    @property
    def identity(self) -> Identified:
        return (self.stream, self.account, self.event_id)

    @property
    def at(self) -> Micros:
        return self.facts[0].at


def reading_order(delivery: Delivery) -> tuple[Micros, int, str, str, str]:
    """Sort key: when it happened, what kind of fact it is, its id; two accounts or calls may use the same id."""
    first = delivery.facts[0]
    return (first.at, first.rank, delivery.event_id, delivery.stream, delivery.account)


def stand(deliveries: Iterable[Delivery]) -> tuple[list[Delivery], list[Delivery]]:
    """(those that stand, in reading order; conflicting bodies under an id that another body has). First received stands."""
    best: dict[Identified, Delivery] = {}
    rivals: dict[tuple[Identified, bytes], Delivery] = {}
    for delivery in deliveries:
        known = best.setdefault(delivery.identity, delivery)
        if known is delivery:
            continue
        first, second = (known, delivery) if _seniority(known) <= _seniority(delivery) else (delivery, known)
        best[delivery.identity] = first
        if first.digest != second.digest:
            rivals[second.identity, second.digest] = second
    losers = [one for (identity, digest), one in rivals.items() if best[identity].digest != digest]
    return sorted(best.values(), key=reading_order), sorted(losers, key=reading_order)


def _seniority(delivery: Delivery) -> tuple[Micros, bytes]:
    return (delivery.received_at, delivery.digest)


def named_by(facts: Iterable[Event]) -> set[str]:
    """Every call SID that these facts tie to their own call. The set only grows: an unlink names its ids as well."""
    found: set[str] = set()
    for fact in facts:
        if not _ties(fact):
            continue
        found.update(_links(fact))
        if isinstance(fact, CallUnlinked):
            found.update(name for name in (fact.to_call_sid, fact.alias) if name)
    return found


def _links(fact: Event) -> list[str]:
    if isinstance(fact, CallLinked):
        return [name for name in (fact.to_call_sid, fact.alias) if name]
    if isinstance(fact, CallStarted) and fact.parent_call_sid:
        return [fact.parent_call_sid]
    if isinstance(fact, ConferenceJoined):
        waiting = call_of_room(fact.room)
        return [waiting] if waiting else []
    return []


class Families(msgspec.Struct):
    """How the ids of a group belong together.

    `calls`: the ids of each call (several where they are aliases). `journeys`: the calls (by index) of each journey.
    `aliases`: ids that were named as another id of a call. `parents`: call index -> index of its parent.
    `refused`: links that would have made a journey too large.
    """

    calls: list[list[str]]
    journeys: list[list[int]]
    aliases: set[str]
    parents: dict[int, int]
    refused: list[tuple[str, str]]


def families(standing: list[Delivery]) -> Families:
    """Reads the links in reading order (a later unlink undoes an earlier link) and joins what they tie."""
    first = standing[0].stream
    if all(delivery.stream == first and not any(map(_ties, delivery.facts)) for delivery in standing):
        return Families([[first]], [[0]], set(), {}, [])  # by far the most calls are tied to none
    same: dict[tuple[str, str], None] = {}
    tied: dict[tuple[str, str], None] = {}
    parents: list[tuple[str, str]] = []
    for delivery in standing:
        for fact in delivery.facts:
            if _ties(fact):
                _read(fact, delivery.stream, same=same, tied=tied, parents=parents)
    streams = dict.fromkeys(delivery.stream for delivery in standing)
    everyone = [*streams, *(name for pair in (*same, *tied) for name in pair if name not in streams)]
    sids = sorted(dict.fromkeys(everyone))
    calls = _joined(sids, list(same))
    index = {sid: n for n, call in enumerate(calls) for sid in call}
    pairs = sorted({tuple(sorted((index[a], index[b]))) for a, b in tied if index[a] != index[b]})
    journeys, refused = _bounded(len(calls), [(a, b) for a, b in pairs])
    return Families(
        calls=calls,
        journeys=journeys,
        aliases={alias for _, alias in same},
        parents={index[child]: index[parent] for child, parent in parents if (child, parent) in tied and index[child] != index[parent]},
        refused=[(calls[a][0], calls[b][0]) for a, b in refused],
    )


def _ties(fact: Event) -> bool:
    kind = type(fact)
    return kind in TYING or (kind is CallStarted and fact.parent_call_sid is not None)  # type: ignore[attr-defined]


def _read(
    fact: Event, stream: str, *, same: dict[tuple[str, str], None], tied: dict[tuple[str, str], None], parents: list[tuple[str, str]]
) -> None:
    alias = fact.alias if isinstance(fact, CallLinked) else None
    if alias:
        same[stream, alias] = None
    for name in _links(fact):
        if name != alias:
            tied[stream, name] = None
    if isinstance(fact, CallStarted) and fact.parent_call_sid:
        parents.append((stream, fact.parent_call_sid))
    if isinstance(fact, CallUnlinked):
        _undo(fact, stream, same=same, tied=tied)


def _undo(fact: CallUnlinked, stream: str, *, same: dict[tuple[str, str], None], tied: dict[tuple[str, str], None]) -> None:
    for name in filter(None, (fact.to_call_sid, fact.alias)):
        for pair in ((stream, name), (name, stream)):
            same.pop(pair, None)
            tied.pop(pair, None)


def _joined(names: list[str], pairs: list[tuple[str, str]]) -> list[list[str]]:
    """Connected components, each sorted, in order of their first member."""
    if not pairs:
        return [[name] for name in names]
    leader = {name: name for name in names}

    def find(name: str) -> str:
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    for a, b in pairs:
        first, second = sorted((find(a), find(b)))
        leader[second] = first
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[find(name)].append(name)
    return list(groups.values())


def _bounded(count: int, pairs: list[tuple[int, int]]) -> tuple[list[list[int]], list[tuple[int, int]]]:
    """Components of at most MOST_CALLS members; the pairs that were refused for it."""
    member_of = list(range(count))
    members: dict[int, list[int]] = {n: [n] for n in range(count)}
    refused = []
    for a, b in pairs:
        first, second = sorted((member_of[a], member_of[b]))
        if first == second:
            continue
        if len(members[first]) + len(members[second]) > MOST_CALLS:
            refused.append((a, b))
            continue
        for one in members.pop(second):
            member_of[one] = first
            members[first].append(one)
    return [sorted(group) for group in members.values()], refused
