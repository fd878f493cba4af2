"""Which version rates a leg, and what rules ask of it. DECISIONS on plan versions: a version that comes later changes no charge."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from calls.clock import Micros, to_datetime
from calls.faults import Faults
from calls.rating.charge import RatedLeg
from calls.rating.terms import Applies, Version


def versions_for(versions: Sequence[Version], leg: RatedLeg) -> list[Version]:
    """In the order in which they are tried: the first of which a rule covers the leg rates it.

    First the version valid at the leg's start among those that were known when the leg was first received, then those that were
    appended since and are valid at its start, in the order of their coming. A leg without a start is rated by the latest.
    """
    begun = [one for one in versions if leg.started_at is None or one.valid_from <= leg.started_at]
    known = [one for one in begun if leg.received_at is None or one.appended_at is None or one.appended_at < leg.received_at]
    later = sorted((one for one in begun if one not in known), key=lambda one: (one.appended_at or 0, one.valid_from))
    return [*([max(known, key=lambda one: one.valid_from)] if known else []), *later]


def asked_first(versions: Sequence[Version], leg: RatedLeg) -> str | None:
    """The version whose rules are asked first; None where none is in force."""
    return next((one.version for one in versions_for(versions, leg)), None)


def order(leg: RatedLeg) -> tuple[Micros, str]:
    """In which the legs of one call share its rounding: by their start, then by their id."""
    return leg.started_at or 0, leg.leg or ""


def asks_nothing_of_time(applies: Applies) -> bool:
    return applies.time_of_day is None and applies.weekday is None and applies.date is None


def fits(applies: Applies, leg: RatedLeg) -> bool:
    """Whether a rule is for such a leg, whenever it was."""
    return (
        (applies.direction is None or applies.direction == leg.direction)
        and (applies.kind is None or applies.kind == leg.kind)
        and (applies.sip is None or applies.sip == leg.is_sip)
        and (applies.own is None or leg.own in applies.own)
        and (applies.prefix is None or leg.digits.startswith(applies.prefix))
    )


def ranked(version: Version, leg: RatedLeg) -> list[int]:
    """The rules for such a leg by their places, strongest first: the longest prefix, then the first listed.

    After one that asks nothing of the time no further one is ever asked.
    """
    rules = version.rules
    fitting = [place for place in range(len(rules)) if fits(rules[place].applies, leg)]
    fitting.sort(key=lambda place: -len(rules[place].applies.prefix or ""))
    last = next((n for n, place in enumerate(fitting) if asks_nothing_of_time(rules[place].applies)), len(fitting))
    return fitting[: last + 1]


def wall(at: Micros, zone: ZoneInfo) -> datetime:
    """What the clock on the wall there shows."""
    return to_datetime(at).astimezone(zone)


def in_time(applies: Applies, local: datetime) -> bool:
    """Whether a rule is in force at an instant, by the clock on the wall: its minute, weekday and date, each by itself."""
    if applies.time_of_day is not None:
        minute = local.hour * 60 + local.minute
        start, end = applies.time_of_day
        if not (start <= minute < end or minute + 1440 < end):
            return False
    return (applies.weekday is None or local.weekday() in applies.weekday) and (applies.date is None or local.toordinal() in applies.date)


def untimed(place: int) -> Faults:
    """A rule asks for the time of a leg that has none."""
    return Faults([(f"legs[{place}].started_at", "is missing: a rule of the plan asks for the time of day, the weekday or the date")])
