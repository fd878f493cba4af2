"""A difference as people and the API see it: what we have, what they have, and the working; and as it is kept."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from calls.building import MAIN
from calls.clock import Micros, rfc3339
from calls.reconciliation.cause import CAUSES, Cause
from calls.reconciliation.sides import Difference, Entry, OurLeg, Record, Unit

_LAST = 1 << 63
_encode = msgspec.json.Encoder().encode
Shown = dict[str, object]


class Found(msgspec.Struct, frozen=True, order=True):
    """A difference as it is kept. In the order of `at` (unknown is last), call and `key`, which is of the rows that it speaks of.

    `content`: JSON, the same bytes for the same difference.
    """

    place: tuple[Micros, str, str]
    cause_place: int
    content: bytes
    cause: Cause
    amount_minor: int
    at: Micros | None
    call_sid: str | None


def told(one: Difference, *, by_records: bool) -> Found:
    """`by_records`: their amount is that of call records, for there is no ledger."""
    unit = one.unit
    at, sid = _at(unit), _call(unit)
    names = [*(leg.rated.leg or "" for leg in unit.legs), *(row.row_id for row in unit.records), *(row.row_id for row in unit.entries)]
    working = [{"what": what, "exact": str(exact)} for what, exact in one.working]
    content = _encode({
        "cause": one.cause, "amount_minor": one.amount_minor, "at": rfc3339(at), "call_sid": sid, "matched_by": unit.by,
        "ours": _ours(unit), "theirs": _theirs(unit, by_records=by_records), "working": working,
    })  # fmt: skip
    place = (_LAST if at is None else at, sid or "", "\0".join(names))
    return Found(place, CAUSES.index(one.cause), content, one.cause, one.amount_minor, at, sid)


def _first(unit: Unit) -> OurLeg | None:
    """The main leg of the earliest call within the period."""
    order = sorted(unit.legs, key=lambda leg: (not leg.inside, leg.rated.leg != MAIN))
    return order[0] if order else None


def _at(unit: Unit) -> Micros | None:
    """When the call began by our clock, else when their line was written, else when it began by theirs."""
    leg = _first(unit)
    if leg is not None:
        return leg.rated.started_at
    dates = _known(one.at for one in unit.entries) or _known(one.started_at for one in unit.records)
    return min(dates, default=None)


def _known(dates: Iterable[Micros | None]) -> list[Micros]:
    return [at for at in dates if at is not None]


def _call(unit: Unit) -> str | None:
    """Our id of the call, else theirs."""
    leg = _first(unit)
    named = [leg.rated.call_sid] if leg is not None else [*(one.call_id for one in unit.records), *(one.call_id for one in unit.entries)]
    return next((one for one in named if one), None)


def _ours(unit: Unit) -> Shown | None:
    leg = _first(unit)
    if leg is None:
        return None
    amounts = [one.amount_minor for one in unit.legs if one.amount_minor is not None]
    return {
        "call_sid": leg.rated.call_sid, "journey_id": leg.journey_id, "amount_minor": sum(amounts) if amounts else None,
        "legs": [_leg(one) for one in unit.legs],
    }  # fmt: skip


def _leg(one: OurLeg) -> Shown:
    rated = one.rated
    return {
        "call_sid": rated.call_sid, "leg": rated.leg, "kind": rated.kind, "direction": rated.direction, "to": rated.to,
        "started_at": rfc3339(rated.started_at), "talk_ms": rated.talk_ms, "amount_minor": one.amount_minor, "plan": one.plan,
        "version": one.version, "queue": one.queue, "agent": one.agent, "inside": one.inside,
    }  # fmt: skip


def _theirs(unit: Unit, *, by_records: bool) -> Shown | None:
    if not unit.records and not unit.entries:
        return None
    costs = [one.amount_minor for one in unit.records if one.amount_minor is not None]
    amounts = costs if by_records else [one.amount_minor for one in unit.entries]
    return {
        "amount_minor": sum(amounts) if amounts else None, "records": [_record(one) for one in unit.records],
        "ledger": [_entry(one) for one in unit.entries],
    }  # fmt: skip


def _record(one: Record) -> Shown:
    return {
        "id": one.row_id, "call_id": one.call_id, "direction": one.direction, "from": one.caller, "to": one.called,
        "started_at": rfc3339(one.started_at), "answered_at": rfc3339(one.answered_at), "ended_at": rfc3339(one.ended_at),
        "duration_ms": one.duration_ms, "status": one.status, "amount_minor": one.amount_minor, "rate_per_minute": one.rate_per_minute,
        "inside": one.inside,
    }  # fmt: skip


def _entry(one: Entry) -> Shown:
    return {
        "id": one.row_id, "at": rfc3339(one.at), "entry_type": one.entry_type, "amount_minor": one.amount_minor,
        "description": one.description, "call_id": one.call_id, "inside": one.inside,
    }  # fmt: skip
