"""Calls that belong together: registers ids, locks them in one order, joins the groups that a link ties.

The lock is on rows of `call_index`, never on advisory locks (a large batch would exhaust them). Two workers may hold calls
of one journey: the members are locked sorted, then resolved again; if the set grew meanwhile, everything is let go and tried anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import psycopg

from calls.journey import journey_id
from projections.journal import Stream

MOST_MEMBERS = 1000  # ids of one group; a larger tie is refused (the fold refuses long before)


class Group(msgspec.Struct):
    """Ids that are locked and refolded together. `fresh`: none of them was known before this transaction.

    `was`: (group id, version) of the one group that all known members were in, None where two groups have just become one.
    """

    tenant: str
    group_id: str
    members: list[str]
    version: int
    fresh: bool
    was: tuple[str, int] | None


def join(cursor: psycopg.Cursor[Any], ties: Mapping[Stream, Iterable[str]], fresh: set[Stream] = frozenset()) -> list[Group]:  # type: ignore[assignment]
    """`ties`: the streams that changed, each with the ids it is tied to; `fresh`: those that `register` just made in this transaction.

    Returns their groups, locked until commit.
    """
    sids = sorted({*ties, *((tenant, sid) for (tenant, _), others in ties.items() for sid in others)})
    fresh = fresh | register(cursor, [sid for sid in sids if sid not in fresh])
    known = [sid for sid in sids if sid not in fresh]
    rows: dict[Stream, tuple[str, int]] = {sid: (sid[1], 0) for sid in sids if sid in fresh}
    if known:
        rows |= _locked(cursor, known)
    return _united(rows, ties=ties, fresh=fresh)


def register(cursor: psycopg.Cursor[Any], sids: list[Stream]) -> set[Stream]:
    """Makes rows for ids (sorted) never seen; returns those. A call alone is its own group and its own journey."""
    if not sids:
        return set()
    cursor.execute(
        "INSERT INTO call_index (tenant, call_sid, own_id, group_id, journey_id, version) "
        "SELECT a.tenant, a.call_sid, a.own_id, a.call_sid, a.own_id, 1 "
        "FROM unnest(%s::text[], %s::text[], %s::text[]) AS a (tenant, call_sid, own_id) "
        "ON CONFLICT DO NOTHING RETURNING tenant, call_sid",
        ([tenant for tenant, _ in sids], [sid for _, sid in sids], [journey_id(tenant, sid) for tenant, sid in sids]),
    )
    return set(cursor.fetchall())


def _locked(cursor: psycopg.Cursor[Any], known: list[Stream]) -> dict[Stream, tuple[str, int]]:
    """All members of all groups of `known` -> (group id, version), locked in sorted order."""
    while True:
        members = _members(cursor, known)
        cursor.execute("SAVEPOINT locks")
        cursor.execute(
            "SELECT c.tenant, c.call_sid, c.group_id, c.version FROM call_index c "
            "JOIN unnest(%s::text[], %s::text[]) AS a (tenant, call_sid) USING (tenant, call_sid) "
            "ORDER BY c.tenant, c.call_sid FOR UPDATE OF c",
            ([tenant for tenant, _ in members], [sid for _, sid in members]),
        )
        rows = {(tenant, sid): (group, version) for tenant, sid, group, version in cursor}
        if set(_members(cursor, known)) == set(rows):
            cursor.execute("RELEASE SAVEPOINT locks")
            return rows
        cursor.execute("ROLLBACK TO SAVEPOINT locks")


def _members(cursor: psycopg.Cursor[Any], known: list[Stream]) -> list[Stream]:
    cursor.execute(
        "SELECT DISTINCT m.tenant, m.call_sid FROM unnest(%s::text[], %s::text[]) AS a (tenant, call_sid) "
        "JOIN call_index c USING (tenant, call_sid) JOIN call_index m ON m.tenant = c.tenant AND m.group_id = c.group_id",
        ([tenant for tenant, _ in known], [sid for _, sid in known]),
    )
    return sorted(cursor.fetchall())


def _united(rows: dict[Stream, tuple[str, int]], *, ties: Mapping[Stream, Iterable[str]], fresh: set[Stream]) -> list[Group]:
    groups: dict[Stream, list[str]] = defaultdict(list)
    for (tenant, sid), (group, _) in rows.items():
        groups[tenant, group].append(sid)
    home = {(tenant, sid): (tenant, group) for (tenant, sid), (group, _) in rows.items()}
    for (tenant, stream), others in ties.items():
        for other in others:
            _unite(groups, home, (tenant, stream), (tenant, other))
    united = []
    for tenant, group in {home[one] for one in ties}:
        members = sorted(groups[tenant, group])
        version = max(rows[tenant, sid][1] for sid in members)
        earlier = {rows[tenant, sid] for sid in members if (tenant, sid) not in fresh}
        united.append(Group(tenant, group, members, version, not earlier, next(iter(earlier)) if len(earlier) == 1 else None))
    return sorted(united, key=lambda one: (one.tenant, one.group_id))


def _unite(groups: dict[Stream, list[str]], home: dict[Stream, Stream], a: Stream, b: Stream) -> None:
    first, second = sorted((home[a], home[b]))
    if first == second or len(groups[first]) + len(groups[second]) > MOST_MEMBERS:
        return
    for sid in groups.pop(second):
        groups[first].append(sid)
        home[first[0], sid] = first


def settle(cursor: psycopg.Cursor[Any], settled: Iterable[tuple[Group, Mapping[str, str] | None]]) -> None:
    """Writes where each id's journey stands now: (group, id -> journey id); None: its fold waits, so they stay where they are.

    Bumps the version of the group's ids, which makes what others remember of it worthless.
    """
    rows = [
        (group.tenant, sid, group.group_id, _address(group.tenant, sid, addresses), group.version + 1)
        for group, addresses in settled
        if not (group.fresh and len(group.members) == 1)
        for sid in group.members
    ]
    if rows:
        cursor.execute(
            "UPDATE call_index c SET group_id = a.group_id, journey_id = coalesce(a.journey_id, c.journey_id), version = a.version "
            "FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[]) "
            "AS a (tenant, call_sid, group_id, journey_id, version) WHERE c.tenant = a.tenant AND c.call_sid = a.call_sid",
            [list(column) for column in zip(*rows, strict=True)],
        )


def _address(tenant: str, sid: str, addresses: Mapping[str, str] | None) -> str | None:
    return None if addresses is None else addresses.get(sid) or journey_id(tenant, sid)
