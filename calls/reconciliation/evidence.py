"""What a call record says otherwise than our leg does: the direction, how long it lasted, when it began, that nobody answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from calls.building import MAIN
from calls.clock import milliseconds
from calls.rating.charge import RatedLeg
from calls.reconciliation.sides import OurLeg, Record, Unit

SKEW_S = 30
_LONGEST_MS = 10**9  # eleven days; what lasts longer was not measured
_NEAR = 30_000_000
_NOBODY = frozenset({
    "no_answer", "noanswer", "not_answered", "unanswered", "busy", "failed", "failure", "cancelled", "canceled", "cancel", "rejected",
    "declined", "missed", "timeout", "unreachable", "congestion", "unavailable", "no_user_response", "abandoned",
})  # fmt: skip
_SOMEBODY = frozenset({"answered", "completed", "complete", "success", "successful", "answer", "connected", "ended"})
FactCause: TypeAlias = Literal["direction", "duration_theirs_longer", "duration_ours_longer"]


class Fact(msgspec.Struct, frozen=True):
    """Their record's word about one leg: with it `leg` is to be rated as `as_theirs` says. `place`: of the leg among the legs."""

    place: int
    what: Literal["direction", "duration"]
    record: Record


def own_records(legs: Sequence[OurLeg], records: Sequence[Record]) -> dict[int, Record]:
    """Which leg has which record, by the places of the legs: by the id, then the same number at about the same time, then what is left
    for the main leg. A record that says the same call again is no other record."""
    free = _once(records)
    found: dict[int, Record] = {}
    for of in (_by_id, _by_number, _main_or_only):
        for place, leg in enumerate(legs):
            if place not in found:
                record = next((one for one in free if of(leg, one, len(legs))), None)
                if record is not None:
                    found[place] = record
                    free.remove(record)
    return found


def facts(legs: Sequence[RatedLeg], own: dict[int, Record]) -> list[Fact]:
    """In the order in which they are applied: directions first, for they say whether a second costs anything."""
    turned = [Fact(place, "direction", record) for place, record in own.items() if record.direction not in (None, legs[place].direction)]
    return turned + [
        Fact(place, "duration", record) for place, record in own.items() if talk_ms(record) not in (_UNTOLD, legs[place].talk_ms)
    ]


_UNTOLD = -1


def talk_ms(record: Record) -> int | None:
    """How long they say that somebody talked; None: nobody answered; -1: they do not say, or what cannot be."""
    duration = record.duration_ms
    if record.answered_at is not None and record.ended_at is not None:
        talked = milliseconds(record.answered_at, record.ended_at)
        with_ringing = record.started_at is not None and duration is not None and _rounds(duration, record.ended_at - record.started_at)
        if duration is None or (with_ringing and not _rounds(duration, talked * 1000)):
            duration = talked
    answered = said_answered(record)
    if answered is False:
        return None
    return duration if duration is not None and 0 <= duration <= _LONGEST_MS else _UNTOLD


def said_answered(record: Record) -> bool | None:
    """Whether they say that somebody answered; None where they do not say."""
    status = (record.status or "").strip().lower().replace("-", "_").replace(" ", "_")
    if status in _NOBODY:
        return False
    if record.answered_at is not None or status in _SOMEBODY or record.duration_ms:
        return True
    return False if record.duration_ms == 0 else None


def as_theirs(leg: RatedLeg, fact: Fact) -> RatedLeg:
    """The leg as it would be if their record were right about this."""
    return _turned(leg, fact.record) if fact.what == "direction" else _lasting(leg, fact.record)


def cause(leg: RatedLeg, fact: Fact) -> FactCause:
    if fact.what == "direction":
        return "direction"
    return "duration_theirs_longer" if (talk_ms(fact.record) or 0) > (leg.talk_ms or 0) else "duration_ours_longer"


def nobody_answered(legs: Sequence[RatedLeg], records: Sequence[Record]) -> bool:
    """Neither we nor they say that anybody did."""
    return all(leg.talk_ms is None for leg in legs) and not any(said_answered(record) for record in records)


def skew_s(unit: Unit) -> int | None:
    """By how many whole seconds their clock was ahead where a leg of the period has a record of its own; None within 30 s."""
    if unit.by == "shared":
        return None
    own = own_records(unit.legs, unit.records)
    for place in sorted(own):
        began, theirs = unit.legs[place].rated.started_at, own[place].started_at
        if unit.legs[place].inside and began is not None and theirs is not None and abs(theirs - began) > SKEW_S * 1_000_000:
            return round((theirs - began) / 1_000_000)
    return None


def _once(records: Sequence[Record]) -> list[Record]:
    found: dict[str, Record] = {}
    for record in sorted(records, key=lambda one: (one.started_at or 0, one.row_id)):
        found.setdefault(record.call_id or record.row_id, record)
    return list(found.values())


def _by_id(leg: OurLeg, record: Record, _: int) -> bool:
    wanted = leg.rated.call_sid if is_main(leg) else leg.rated.leg
    return record.call_id is not None and record.call_id == wanted


def _by_number(leg: OurLeg, record: Record, count: int) -> bool:
    began, theirs = leg.rated.started_at, record.started_at
    near = began is None or theirs is None or abs(theirs - began) <= _NEAR
    return count > 1 and near and leg.rated.to is not None and record.called == leg.rated.to


def _main_or_only(leg: OurLeg, _: Record, count: int) -> bool:
    return count == 1 or is_main(leg)


def is_main(leg: OurLeg) -> bool:
    return leg.rated.leg in (None, MAIN)


def _rounds(ms: int, micros: int) -> bool:
    """Whether a duration is that time, give or take a second."""
    return abs(ms * 1000 - micros) < 1_000_000


def _turned(leg: RatedLeg, record: Record) -> RatedLeg:
    """Rated by the number that they say was called. Which number is the account's own does not turn."""
    own = leg.own or (record.caller if record.direction == "outbound" else record.called)
    return msgspec.structs.replace(leg, direction=record.direction or leg.direction, to=record.called or leg.to, own=own)


def _lasting(leg: RatedLeg, record: Record) -> RatedLeg:
    talked = talk_ms(record)
    began = leg.started_at
    if talked is None:
        return msgspec.structs.replace(leg, talk_ms=None, answered_at=None)
    answered = leg.answered_at
    if answered is None and began is not None:
        answered = began + leg.ring_ms * 1000
    return msgspec.structs.replace(leg, talk_ms=talked, answered_at=answered)
