"""A version's rules as integers over one denominator, and the rules that may rate a leg found by what they ask of it."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import lcm

import msgspec

from calls.rating import charge
from calls.rating.charge import RatedLeg
from calls.rating.choosing import asks_nothing_of_time, ranked
from calls.rating.terms import Rounding, Rule, Step, Version

_MOST_KEPT = 4096  # kinds of legs remembered; there are few, but legs come from outside
_LegClass = tuple[str, str, bool, str, str | None]


class IntegerStep(msgspec.Struct, frozen=True, gc=False):
    """`price`: an increment's, over the version's denominator. `until_ms` None: the last step."""

    step: Step
    from_ms: int
    until_ms: int | None
    increment_ms: int
    price: int
    said: str  # "× 1 s at 300 a minute"


class IntegerRule(msgspec.Struct, frozen=True):
    """`tax_on_top`: (numerator, denominator) of what comes on top. `ends`: minutes of a day at which it may begin or cease."""

    place: int
    rule: Rule
    steps: tuple[IntegerStep, ...]
    timed: bool
    tax_on_top: tuple[int, int] | None
    tax_within: tuple[int, int] | None
    ends: tuple[int, ...]


class Rules(msgspec.Struct, frozen=True):
    """The rules of a version over `denominator`. Every price, cap and tax on top is a whole number of its parts."""

    version: Version
    denominator: int
    rules: tuple[IntegerRule, ...]
    prefixes: frozenset[str]
    lengths: tuple[int, ...]  # of the prefixes, longest first
    own: frozenset[str]
    kept: dict[_LegClass, tuple[IntegerRule, ...]]

    def for_leg(self, leg: RatedLeg) -> tuple[IntegerRule, ...]:
        """Strongest first; the last may be one that asks nothing of the time."""
        digits = leg.digits
        prefix = next((digits[:size] for size in self.lengths if digits[:size] in self.prefixes), "")
        key = (leg.direction, leg.kind, leg.is_sip, prefix, leg.own if leg.own in self.own else None)
        found = self.kept.get(key)
        if found is None:
            if len(self.kept) >= _MOST_KEPT:
                self.kept.clear()
            found = self.kept[key] = tuple(self.rules[place] for place in ranked(self.version, leg))
        return found


def compiled(version: Version) -> Rules:
    """The same prices as integers."""
    parts = lcm(*(_price(step).denominator for rule in version.rules for step in rule.steps))
    taxes = lcm(*(_on_top(rule).denominator for rule in version.rules))
    denominator = parts * taxes
    prefixes = frozenset(rule.applies.prefix for rule in version.rules if rule.applies.prefix)
    return Rules(
        version,
        denominator,
        tuple(_rule(rule, place, denominator) for place, rule in enumerate(version.rules)),
        prefixes,
        tuple(sorted({len(prefix) for prefix in prefixes}, reverse=True)),
        frozenset(number for rule in version.rules for number in rule.applies.own or ()),
        {},
    )


def rounded(value: int, denominator: int, mode: Rounding) -> int:
    """A whole number from value/denominator."""
    if mode == "up":
        return -(-value // denominator)
    if mode == "down":
        return value // denominator
    whole, rest = divmod(value, denominator)
    over = 2 * rest - denominator
    return whole + (over > 0 or (over == 0 and (mode == "half_up" or whole % 2 == 1)))


def _price(step: Step) -> Fraction:
    return step.rate_minor * step.increment_s / step.per_s


def _on_top(rule: Rule) -> Fraction:
    return rule.tax.percent / 100 if rule.tax and not rule.tax.included else Fraction(0)


def _rule(rule: Rule, place: int, denominator: int) -> IntegerRule:
    on_top = _on_top(rule)
    within = rule.tax.percent / (100 + rule.tax.percent) if rule.tax else Fraction(0)
    untils: Sequence[int | None] = [*(step.from_s * 1000 for step in rule.steps[1:]), None]
    return IntegerRule(
        place,
        rule,
        tuple(
            IntegerStep(step, step.from_s * 1000, until, step.increment_s * 1000, int(_price(step) * denominator), charge.counted(step))
            for step, until in zip(rule.steps, untils, strict=True)
        ),
        not asks_nothing_of_time(rule.applies),
        (on_top.numerator, on_top.denominator) if on_top else None,
        (within.numerator, within.denominator) if within else None,
        tuple(end % 1440 for end in rule.applies.time_of_day or ()),
    )
