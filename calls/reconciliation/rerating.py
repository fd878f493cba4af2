"""What legs would cost if one thing about the tariff were otherwise: the plan's rules changed in that one way, and the legs rated again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType

import msgspec

from calls.faults import Faults
from calls.rating.charge import Charge, RatedLeg
from calls.rating.rate import rate
from calls.rating.terms import Grain, Plan, Rounding, Rule, Step, Version

_EVER = -(10**18)
_RATE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)(?:/([0-9]{1,18}))?", re.ASCII)


class Twist(msgspec.Struct, frozen=True):
    """What is otherwise than in the plan; None is as it is there. `rate`: minor units a minute in place of every step's."""

    version: str | None = None
    rate: Fraction | None = None
    increment_s: int | None = None
    minimum_s: int | None = None
    rounding: Rounding | None = None
    grain: Grain | None = None


class Tariff(msgspec.Struct, frozen=True):
    """The plans by which legs were rated. `by`: (plan, version) of each leg, the version None where it was unrated.

    `instead`: rates a minute, by the leg's place, for legs that no rule covers as they are now seen.
    """

    plans: Mapping[str, Plan]
    zone: str
    by: tuple[tuple[str, str | None], ...]
    instead: Mapping[int, Fraction] = MappingProxyType({})

    def charges(self, legs: Sequence[RatedLeg], *, twists: Sequence[Twist | None] = ()) -> list[Charge] | None:
        """A charge a leg, each twisted as said; None where a plan is unknown, or where no twist changes anything."""
        groups: dict[tuple[str, str | None, Twist | None], list[int]] = {}
        for place, (name, version) in enumerate(self.by):
            groups.setdefault((name, version, twists[place] if twists else None), []).append(place)
        found: dict[int, Charge] = {}
        changed = not twists
        for (name, version, twist), places in groups.items():
            plan = self.plans.get(name)
            if plan is None:
                return None
            other = None if twist is None else _twisted(Same(plan), version, twist)
            changed = changed or other is not None
            rated = _rated(other or _twisted(Same(plan), version, _AS_IT_IS) or plan, [legs[place] for place in places], self.zone)
            found.update(zip(places, rated, strict=True))
        return [self._covered(place, legs[place], found[place]) for place in sorted(found)] if changed else None

    def _covered(self, place: int, leg: RatedLeg, charge: Charge) -> Charge:
        if charge.amount_minor is not None or place not in self.instead:
            return charge
        return _rated(_of_one_rate(self.instead[place]), [leg], self.zone)[0]

    def exact(self, place: int, charge: Charge) -> Fraction:
        """What the charge came to before it was rounded."""
        rule, lines = self.rule(place, charge), charge.lines
        if rule is not None and lines and lines[-1].what.startswith("rounded "):
            lines = lines[:-1]
        return sum((line.exact for line in lines), Fraction(0))

    def rule(self, place: int, charge: Charge) -> Rule | None:
        """The rule that rated the leg; None where none did, or the plan is not known."""
        plan = self.plans.get(self.by[place][0])
        version = next((one for one in plan.versions if one.version == charge.version), None) if plan is not None else None
        return version.rules[charge.rule] if version is not None and charge.rule is not None and charge.rule < len(version.rules) else None


def total(charges: Sequence[Charge]) -> int:
    """What is unrated counts nothing."""
    return sum(charge.amount_minor or 0 for charge in charges)


def rate_of(text: str | None) -> Fraction | None:
    """Minor units a minute as a record states them; None where it states none."""
    match = _RATE.fullmatch(text.strip()) if text else None
    if match is None or (match[2] is not None and not int(match[2])):
        return None
    return Fraction(match[1]) / int(match[2] or 1)


_AS_IT_IS = Twist()


class Same:
    """A plan known by being that very object: its rules are many, and are not compared on every question."""

    __slots__ = ("plan",)

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __hash__(self) -> int:
        return id(self.plan)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.plan is self.plan


@lru_cache(maxsize=4096)
def _twisted(same: Same, version: str | None, twist: Twist) -> Plan | None:
    """The plan with that version alone, always in force, its rules changed; None where that is what they are already."""
    plan = same.plan
    one = next((one for one in plan.versions if one.version == (twist.version or version)), None)
    versions = plan.versions if one is None else (msgspec.structs.replace(one, valid_from=_EVER, appended_at=None),)
    changed = tuple(msgspec.structs.replace(each, rules=tuple(_rule(rule, twist) for rule in each.rules)) for each in versions)
    as_it_is = twist == _AS_IT_IS
    if not as_it_is and (one is None if twist.version else changed == versions):
        return None
    return msgspec.structs.replace(plan, versions=changed)


def _rule(rule: Rule, twist: Twist) -> Rule:
    steps = rule.steps
    if twist.rate is not None:
        steps = tuple(Step(twist.rate, step.from_s, 60, step.increment_s) for step in steps)
    if twist.increment_s is not None:
        steps = _counted(steps, twist.increment_s)
    return msgspec.structs.replace(
        rule,
        steps=steps,
        minimum_s=rule.minimum_s if twist.minimum_s is None else twist.minimum_s,
        rounding=twist.rounding or rule.rounding,
        grain=twist.grain or rule.grain,
    )


def _counted(steps: tuple[Step, ...], increment_s: int) -> tuple[Step, ...]:
    """The steps in other increments; as they are where a step would then begin inside an increment."""
    if len({step.rate_minor / step.per_s for step in steps}) <= 1:
        return tuple(Step(step.rate_minor, 0, step.per_s, increment_s) for step in steps[:1])
    if any(step.from_s % increment_s for step in steps):
        return steps
    return tuple(msgspec.structs.replace(step, increment_s=increment_s) for step in steps)


@lru_cache(maxsize=256)
def _of_one_rate(a_minute: Fraction) -> Plan:
    """Every second at that rate, whatever the leg."""
    return Plan("their record's rate", "", (Version("", _EVER, (Rule((Step(a_minute, 0, 60, 1),)),)),))


def _rated(plan: Plan, legs: Sequence[RatedLeg], zone: str) -> list[Charge]:
    """Unrated where a rule asks for a time that the leg has not."""
    try:
        return rate(plan, legs, zone=zone)
    except Faults:
        return [Charge(None, None, plan.currency, plan.id) for _ in legs]
