"""What calls of one length and one destination would cost under other tariffs, found once: there are many of them, and few lengths."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import msgspec

from calls.rating.charge import RatedLeg
from calls.rating.choosing import asks_nothing_of_time
from calls.rating.terms import Plan
from calls.reconciliation.alternatives import TRIED, Alternative, Priced, of_cause
from calls.reconciliation.cause import Cause
from calls.reconciliation.rerating import Same, Tariff

_KEPT = 2048  # some kilobytes each


def first(priced: Priced, target: int) -> Alternative | None:
    """The first alternative that comes to `target`."""
    key = _key(priced)
    if key is None:
        return next((one for cause in TRIED for one in of_cause(cause, priced) if one.amount_minor == target), None)
    return _table(key).first(target)


class _Table:
    """Alternatives of one kind of call, cause by cause as far as they were asked for. Finding them twice at once finds the same."""

    def __init__(self, priced: Priced) -> None:
        self._priced = priced
        self._known: dict[Cause, dict[int, Alternative]] = {}

    def first(self, target: int) -> Alternative | None:
        for cause in TRIED:
            known = self._known.get(cause)
            if known is None:
                known = {}
                for one in of_cause(cause, self._priced):
                    known.setdefault(one.amount_minor, one)
                self._known[cause] = known
            if target in known:
                return known[target]
        return None


class _Key(msgspec.Struct, frozen=True):
    """All that alternatives depend on."""

    plans: tuple[tuple[str, Same], ...]
    zone: str
    by: tuple[tuple[str, str | None], ...]
    instead: tuple[tuple[int, Fraction], ...]
    legs: tuple[RatedLeg, ...]
    amount_minor: int
    stated: tuple[tuple[int, Fraction], ...]


def _key(priced: Priced) -> _Key | None:
    """None where more than the length, the direction and the beginning of the number decides."""
    tariff = priced.tariff
    if priced.charges is None or any(version is None for _, version in tariff.by):
        return None
    plans = tuple((name, Same(tariff.plans[name])) for name in sorted({name for name, _ in tariff.by}))
    asked = [_asked(plan) for _, plan in plans]
    if any(timed for timed, _ in asked):
        return None
    digits = max(most for _, most in asked)
    legs = tuple(_plainly(leg, place, digits) for place, leg in enumerate(priced.legs))
    return _Key(
        plans,
        tariff.zone,
        tariff.by,
        tuple(sorted(tariff.instead.items())),
        legs,
        priced.amount_minor,
        tuple(sorted(priced.stated.items())),
    )


@lru_cache(maxsize=256)
def _asked(same: Same) -> tuple[bool, int]:
    """(whether a rule asks for the time or for our own numbers, how many digits of a number the longest prefix has)."""
    plan: Plan = same.plan
    asked = [rule.applies for version in plan.versions for rule in version.rules]
    return any(not asks_nothing_of_time(one) or one.own is not None for one in asked), max(
        (len(one.prefix or "") for one in asked), default=0
    )


def _plainly(leg: RatedLeg, place: int, digits: int) -> RatedLeg:
    """A leg that costs the same: seconds are begun, and rules know whole ones."""
    to = "sip:" if leg.is_sip else leg.digits[:digits]
    talk_ms = None if leg.talk_ms is None else -(-leg.talk_ms // 1000) * 1000
    return RatedLeg(
        leg.direction, leg.kind, to, talk_ms, -(-leg.ring_ms // 1000) * 1000, call_sid=None if leg.call_sid is None else "", leg=str(place)
    )


@lru_cache(maxsize=_KEPT)
def _table(key: _Key) -> _Table:
    tariff = Tariff({name: same.plan for name, same in key.plans}, key.zone, key.by, dict(key.instead))
    priced = Priced(tariff, key.legs, tariff.charges(key.legs), key.amount_minor, dict(key.stated))
    return _Table(priced)
