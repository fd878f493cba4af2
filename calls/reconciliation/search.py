"""Which facts and which one change of the tariff bring our charges for a call to exactly their amount; step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations

import msgspec

from calls.rating.charge import Charge, RatedLeg, seconds
from calls.reconciliation import evidence, remembered
from calls.reconciliation.alternatives import Priced
from calls.reconciliation.cause import Cause
from calls.reconciliation.evidence import Fact
from calls.reconciliation.rerating import Tariff, rate_of, total
from calls.reconciliation.sides import OurLeg, Record

_MOST_LEGS = 8  # of a call, whose every choice is tried
Working = tuple[tuple[str, Fraction], ...]


class Step(msgspec.Struct, frozen=True):
    """From one amount to the next, and the one cause of it."""

    cause: Cause
    amount_minor: int
    working: Working


class Case(msgspec.Struct, frozen=True):
    """Legs of ours and what their records say of them. `says`: what their records say that it costs; None: they do not."""

    legs: tuple[OurLeg, ...]
    records: tuple[Record, ...]
    own: dict[int, Record]
    tariff: Tariff
    says: int | None

    @property
    def rated(self) -> list[RatedLeg]:
        return [leg.rated for leg in self.legs]

    @property
    def amount_minor(self) -> int:
        return sum(leg.amount_minor or 0 for leg in self.legs)

    @property
    def stated(self) -> dict[int, Fraction]:
        """Rates a minute, by the places of the legs; a leg without a record of its own has the main leg's."""
        found = {place: rate for place, record in self.own.items() if (rate := rate_of(record.rate_per_minute)) is not None}
        main = next((found[place] for place in sorted(found) if evidence.is_main(self.legs[place])), None)
        if main is not None:
            for place in range(len(self.legs)):
                if place not in self.own:
                    found[place] = main
        return found


class _At(msgspec.Struct, frozen=True):
    """Where the search stands: the legs with some facts applied, what they cost then, and the steps that led there."""

    tariff: Tariff
    legs: Sequence[RatedLeg]
    charges: Sequence[Charge] | None
    amount_minor: int
    steps: tuple[Step, ...]
    said: str


def exactly(case: Case, target: int, *, by_tariff: bool = True) -> tuple[Step, ...] | None:
    """Steps from our amount to theirs, none where they are equal; None where nothing known leads there to the minor unit.

    First that nobody answered and it costs all the same, then all that their records say otherwise together, its parts, then that they
    took nothing for some of the legs, or something for such as only rang; then what their records say (and then nothing of it) with one
    change of the tariff.
    """
    if case.amount_minor == target:
        return ()
    if (charged := _though_unanswered(case, target)) is not None:
        return (charged,)
    known = evidence.facts(case.rated, case.own)
    walked = [_walk(case, chosen) for chosen in _choices(known)]
    found = next((at.steps for at in walked if at is not None and at.steps and at.amount_minor == target), None)
    if found is None and (of_a_leg := _without_legs(case, target) or _for_ringing(case, target)) is not None:
        found = (of_a_leg,)
    if found is not None or not by_tariff:
        return found
    for at in (*(one for one in walked if one is not None and one.steps), _start(case)):
        changed = _by_one_change(case, at, target)
        if changed is not None:
            return (*at.steps, changed)
    return None


def as_far_as_known(case: Case) -> tuple[Step, ...]:
    """What their records say otherwise, step by step, though it does not lead to their amount."""
    at = _walk(case, evidence.facts(case.rated, case.own))
    return () if at is None else at.steps


def said(legs: Sequence[OurLeg]) -> str:
    """`our 61 s by version 2 of main-ke`."""
    return f"our {_lengths([leg.rated for leg in legs])} {_by(legs)}"


def _choices(known: list[Fact]) -> Iterator[list[Fact]]:
    if known:
        yield known
    kinds = [[fact for fact in known if fact.what == what] for what in ("direction", "duration")]
    yield from (some for some in kinds if 0 < len(some) < len(known))
    yield from ([fact] for fact in known if len(known) > 1)


def _start(case: Case) -> _At:
    return _At(case.tariff, case.rated, case.tariff.charges(case.rated), case.amount_minor, (), said(case.legs))


def _walk(case: Case, chosen: Sequence[Fact]) -> _At | None:
    """The facts applied one after the other; a fact that changes no amount is no step. None where the plan is not known."""
    at = _start(case)
    if at.charges is None:
        return None
    before = total(at.charges)
    for fact in chosen:
        leg = at.legs[fact.place]
        legs = [evidence.as_theirs(leg, fact) if place == fact.place else one for place, one in enumerate(at.legs)]
        tariff = _with_stated(at.tariff, fact)
        charges = tariff.charges(legs)
        after = before if charges is None else total(charges)
        steps, now, text = at.steps, at.amount_minor, at.said
        if after != before:
            text = f"{_theirs(fact, legs)} {_same(case, at.charges, charges)}"
            steps = (*steps, _step(evidence.cause(leg, fact), now, after, at.said, text))
            now = after
        at, before = _At(tariff, legs, charges, now, steps, text), after
    return at


def _with_stated(tariff: Tariff, fact: Fact) -> Tariff:
    """In the other direction a leg may be covered by no rule of ours: then their record's rate stands in."""
    rate = rate_of(fact.record.rate_per_minute) if fact.what == "direction" else None
    return tariff if rate is None else msgspec.structs.replace(tariff, instead={**tariff.instead, fact.place: rate})


def _by_one_change(case: Case, at: _At, target: int) -> Step | None:
    priced = Priced(at.tariff, at.legs, at.charges, at.amount_minor, case.stated)
    one = None if target == at.amount_minor else remembered.first(priced, target)
    return None if one is None else _step(one.cause, at.amount_minor, target, at.said, f"the same {one.what}")


def _though_unanswered(case: Case, target: int) -> Step | None:
    """Neither we nor they say that somebody answered, our plan has it free, and yet it costs what they say it does."""
    free = case.amount_minor == 0 and all(leg.amount_minor is not None for leg in case.legs)
    if not free or target <= 0 or case.says not in (None, 0, target) or not evidence.nobody_answered(case.rated, case.records):
        return None
    rung = ", ".join(seconds(leg.ring_ms) for leg in case.rated)
    return _step("unanswered_charged", 0, target, f"nobody answered: free {_by(case.legs)}", f"charged though it rang only ({rung} s)")


def _without_legs(case: Case, target: int) -> Step | None:
    """They took nothing for some legs of the call, and exactly what we charge for the others. The fewest legs without a record of their
    own first; all that we charge for only where the others have one."""
    charged = [place for place, leg in enumerate(case.legs) if leg.amount_minor]
    unknown = [place for place in charged if place not in case.own]
    whole = len(unknown) if case.own else len(charged) - 1
    for places, most in ((unknown, whole), (charged, len(charged) - 1)):
        for count in range(1, most + 1 if len(places) <= _MOST_LEGS else 1):
            for chosen in combinations(places, count):
                legs = [case.legs[place] for place in chosen]
                if sum(leg.amount_minor or 0 for leg in legs) == case.amount_minor - target:
                    what = f"{said(legs)} to {', '.join(leg.rated.to or leg.rated.leg or '' for leg in legs)}: nothing was taken"
                    return Step("missing_theirs", target - case.amount_minor, ((what, Fraction(target - case.amount_minor)),))
    return None


def _for_ringing(case: Case, target: int) -> Step | None:
    """Nobody answered some legs of a call, our plan has them free, and exactly their ringing is charged as if it were talk."""
    silent = [place for place, leg in enumerate(case.legs) if leg.rated.talk_ms is None and not leg.amount_minor]
    if len(silent) == len(case.legs):
        return None
    for rung in (silent, *([place] for place in silent[:_MOST_LEGS] if len(silent) > 1)):
        legs = [_as_if_answered(leg) if place in rung else leg for place, leg in enumerate(case.rated)]
        charges = case.tariff.charges(legs) if rung else None
        if charges is not None and total(charges) == target:
            lasted = " + ".join(f"{seconds(legs[place].ring_ms)} s" for place in rung)
            return _step("unanswered_charged", case.amount_minor, target, said(case.legs), f"the same with {lasted} in which it only rang")
    return None


def _as_if_answered(leg: RatedLeg) -> RatedLeg:
    return msgspec.structs.replace(leg, talk_ms=leg.ring_ms, answered_at=leg.started_at)


def _step(cause: Cause, before: int, after: int, was: str, now: str) -> Step:
    return Step(cause, after - before, ((was, Fraction(-before)), (now, Fraction(after))))


def _theirs(fact: Fact, legs: Sequence[RatedLeg]) -> str:
    if fact.what == "direction":
        return f"as {fact.record.direction}, as their record says, {_lengths(legs)}"
    return f"their {_lengths(legs)}"


def _same(case: Case, before: Sequence[Charge] | None, after: Sequence[Charge] | None) -> str:
    """The rule of the re-rated legs in words."""
    if after is None or before is None:
        return ""
    if [one.rule for one in after] == [one.rule for one in before]:
        return "by the same rule"
    rules = [f"rules[{one.rule}]" for one, old in zip(after, before, strict=True) if one.rule != old.rule]
    if any(one.plan != old.plan for one, old in zip(after, before, strict=True)):
        return "at the rate that it states, for which there is no rule of ours"
    return f"by {' and '.join(rules)} {_by(case.legs)}".replace(" by version", " of version")


def _by(legs: Sequence[OurLeg]) -> str:
    named = sorted({(leg.plan, leg.version) for leg in legs}, key=str)
    return " and ".join(f"by no rule of {plan}" if version is None else f"by version {version} of {plan}" for plan, version in named)


def _lengths(legs: Sequence[RatedLeg]) -> str:
    """`61 s`, `61 s + 40 s`, `0 s` where nobody answered."""
    return " + ".join(f"{seconds(leg.talk_ms or 0)} s" for leg in legs)
