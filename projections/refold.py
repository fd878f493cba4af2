"""Locks the groups of the calls that changed, folds their whole history, replaces their rows. The same code live and in a rebuild."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec
import psycopg
import structlog

from calls.configuration import Configuration
from calls.fold import fold
from calls.history import Delivery, named_by
from calls.journey import Anomaly, Journey, journey_id
from calls.rating.terms import Plan
from projections import deferred, groups, journal, store
from projections.adding import LATER
from projections.agent_marks import Address, Marks
from projections.groups import Group
from projections.journal import Stream
from projections.tariffs import Plans

log = structlog.get_logger()
GroupKey = tuple[int, str, str]  # generation, tenant, group
NONE: frozenset[Stream] = frozenset()


class Remembered(msgspec.Struct):
    version: int
    deliveries: list[Delivery]


class Memory:
    """Histories of the groups touched last, so that a live call's next event need not read its past again.

    It may be lost at any time; a version that is not the locked row's own makes it worthless.
    """

    def __init__(self, most: int = 10_000):
        self.most, self.held = most, 0
        self._groups: OrderedDict[GroupKey, Remembered] = OrderedDict()

    def recall(self, generation: int, group: Group) -> list[Delivery] | None:
        """The history of a group that was one group before; never that of groups which have just become one."""
        if group.was is None:
            return None
        group_id, version = group.was
        found = self._groups.get((generation, group.tenant, group_id))
        return found.deliveries if found and found.version == version else None

    def keep(self, key: GroupKey, version: int, deliveries: list[Delivery]) -> None:
        self.forget(key)
        if len(deliveries) > self.most // 10:
            return
        self._groups[key] = Remembered(version, deliveries)
        self.held += len(deliveries)
        while self.held > self.most:
            _, oldest = self._groups.popitem(last=False)
            self.held -= len(oldest.deliveries)

    def forget(self, key: GroupKey) -> None:
        known = self._groups.pop(key, None)
        if known:
            self.held -= len(known.deliveries)

    def clear(self) -> None:
        self._groups.clear()
        self.held = 0


class Outcome(msgspec.Struct):
    """What a refold did: the addresses that changed, the calls whose fold failed or was put off, and what to remember after the commit."""

    changed: list[Address]
    broken: list[tuple[str, str, str]]  # tenant, call SID, reason
    remember: list[tuple[GroupKey, int, list[Delivery]]]
    deferred: list[tuple[list[Stream], int]] = []  # calls, events of their journey


def refold(
    cursor: psycopg.Cursor[Any], arrived: Mapping[Stream, Sequence[Delivery]], *, generation: int, memory: Memory,
    configurations: list[Configuration], plans: Plans, fresh: AbstractSet[Stream] = NONE, reread: AbstractSet[Stream] = NONE,
    patient: bool = False, shard: int = LATER, marks: Marks,
) -> Outcome:  # fmt: skip
    """`arrived`: the calls that changed, with their new deliveries (none where only an older receipt was learned);
    `fresh`: those of them that were registered in this transaction; `reread`: those of whose known deliveries an earlier receipt
    was learned; `patient`: large journeys may wait (projections/deferred.py); `shard`: of sums that change (projections/adding.py);
    `marks` is told whose time changes (projections/agent_marks.py).

    The search path must name the generation's schema. Everything is locked until commit.
    """
    ties = {stream: named_by(fact for delivery in new for fact in delivery.facts) - {stream[1]} for stream, new in arrived.items()}
    locked = groups.join(cursor, ties, set(fresh))
    histories = _histories(cursor, locked, arrived, generation=generation, memory=memory, reread=reread)
    outcome = Outcome([], [], [])
    settled: list[tuple[Group, dict[str, str] | None]] = []
    journeys: list[Journey] = []
    for group, deliveries in zip(locked, histories, strict=True):
        if patient and deferred.delay_us(len(deliveries)):
            outcome.deferred.append(([(group.tenant, sid) for sid in group.members if (group.tenant, sid) in arrived], len(deliveries)))
            settled.append((group, None))
            continue
        told = _fold(group, deliveries, configurations, plans=plans.of(cursor, group.tenant, configurations), outcome=outcome)
        journeys += told
        settled.append((group, {sid: journey.journey_id for journey in told for sid in journey.call_sids}))
        outcome.remember.append(((generation, group.tenant, group.group_id), 1 if _alone(group) else group.version + 1, deliveries))
    folded = [group for group, addresses in settled if addresses is not None and not group.fresh]
    before = store.known(cursor, [(group.tenant, journey_id(group.tenant, sid)) for group in folded for sid in group.members])
    outcome.changed = store.replace(cursor, journeys, before, shard=shard, marks=marks)
    groups.settle(cursor, settled)
    return outcome


def _alone(group: Group) -> bool:
    return group.fresh and len(group.members) == 1


def _histories(
    cursor: psycopg.Cursor[Any], locked: list[Group], arrived: Mapping[Stream, Sequence[Delivery]], *, generation: int, memory: Memory,
    reread: AbstractSet[Stream],
) -> list[list[Delivery]]:  # fmt: skip
    """Each group's whole history: what just came where nothing was known, what is remembered plus it, else the journal's."""
    unread: list[Stream] = []
    found: list[list[Delivery] | None] = []
    for group in locked:
        recalled = [] if group.fresh else memory.recall(generation, group)
        news = [arrived.get((group.tenant, sid), ()) for sid in group.members]
        changed = [sid for sid in group.members if (group.tenant, sid) in arrived]
        certain = recalled is not None and all(arrived[group.tenant, sid] and (group.tenant, sid) not in reread for sid in changed)
        if certain and recalled is not None:
            found.append([*recalled, *(delivery for new in news for delivery in new)])
        else:
            found.append(None)
            unread += [(group.tenant, sid) for sid in group.members]
    read = journal.history(cursor, unread)
    return [
        known if known is not None else [one for sid in group.members for one in read.get((group.tenant, sid), ())]
        for group, known in zip(locked, found, strict=True)
    ]


def _fold(
    group: Group, deliveries: list[Delivery], configurations: list[Configuration], *, plans: Mapping[str, Plan], outcome: Outcome
) -> list[Journey]:
    """A fold that raises is our bug: the journal keeps everything, that journey is marked broken, the rest goes on."""
    try:
        return fold(group.tenant, deliveries, configurations, plans)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:500]
        log.exception("fold failed", tenant=group.tenant, group=group.group_id)
        outcome.broken += [(group.tenant, sid, reason) for sid in group.members]
        return [_broken(group, deliveries, reason)] if deliveries else []


def _broken(group: Group, deliveries: list[Delivery], reason: str) -> Journey:
    """What is shown of a journey whose fold failed: that it exists, and why there is no more to see."""
    first = min(deliveries, key=lambda one: (one.at, one.event_id))
    sid = min(one.stream for one in deliveries)
    journey = Journey(group.tenant, journey_id(group.tenant, sid), first.account, first.provider, first.at)
    journey.anomalies = [Anomaly("fold_failed", f"the story of this call could not be told ({reason}); its events are kept", [])]
    journey.events, journey.call_sids = len(deliveries), list(group.members)
    journey.last_sign_at = max(one.at for one in deliveries)
    return journey
