"""The arithmetic of rating as the plan's words have it: fractions, one increment after the other. `rate` is proved equal to it.

It is for reading and for tests; a call of two hours by the second is 7,200 steps here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from zoneinfo import ZoneInfo

import msgspec

from calls.clock import Micros
from calls.rating import charge
from calls.rating.charge import Charge, Line, RatedLeg
from calls.rating.choosing import asked_first, asks_nothing_of_time, in_time, order, ranked, untimed, versions_for, wall
from calls.rating.terms import Plan, Rounding, Rule, Step, Version

Group = tuple[str, str, Rounding]  # call, version, mode


class Exact(msgspec.Struct):
    """A leg before its rounding."""

    version: str
    place: int
    rule: Rule
    lines: list[Line]

    @property
    def total(self) -> Fraction:
        return sum((line.exact for line in self.lines), Fraction(0))


def rate_plainly(plan: Plan, legs: Sequence[RatedLeg], *, zone: str = "UTC") -> list[Charge]:
    """One charge a leg, in the order of the legs. `zone` is that of a plan which names none. Raises Faults as `rate` does."""
    there = ZoneInfo(plan.timezone or zone)
    found = [_exact(plan, leg, zone=there, place=place) for place, leg in enumerate(legs)]
    amounts = _rounded(found, legs)
    return [
        charge.unrated(plan, leg, asked_first(plan.versions, leg)) if one is None else _charge(plan, one, amount)
        for one, amount, leg in zip(found, amounts, legs, strict=True)
    ]


def rounded(value: Fraction, mode: Rounding) -> int:
    match mode:
        case "up":
            return math.ceil(value)
        case "down":
            return math.floor(value)
        case "half_up":
            return math.floor(value + Fraction(1, 2))
        case "half_even":
            return round(value)


def _exact(plan: Plan, leg: RatedLeg, *, zone: ZoneInfo, place: int) -> Exact | None:
    begins = leg.started_at if leg.talk_ms is None else leg.answered_at
    for version in versions_for(plan.versions, leg):
        places = ranked(version, leg)
        if begins is None and any(not asks_nothing_of_time(version.rules[one].applies) for one in places):
            raise untimed(place)
        found = _by(_Rules(version, places, zone), leg, begins or 0)
        if found is not None:
            return found
    return None


class _Rules(msgspec.Struct):
    """The rules of a version that may rate one leg, strongest first."""

    version: Version
    places: list[int]
    zone: ZoneInfo

    def in_force(self, at: Micros) -> int | None:
        rules, local = self.version.rules, wall(at, self.zone)
        return next((place for place in self.places if in_time(rules[place].applies, local)), None)


def _by(rules: _Rules, leg: RatedLeg, begins: Micros) -> Exact | None:
    """None where no rule is in force when some increment begins."""
    first = rules.in_force(begins)
    if first is None:
        return None
    rule = rules.version.rules[first]
    exact = Exact(rules.version.version, first, rule, [Line(charge.taken(rule, leg), 0)])
    time_ms = leg.talk_ms if leg.talk_ms is not None else leg.ring_ms if rule.unanswered == "ring_time" else 0
    billable_ms = max(0, time_ms - rule.free_s * 1000)
    if not billable_ms:
        return exact
    runs = _walk(rules, begins + rule.free_s * 1_000_000, max(billable_ms, rule.minimum_s * 1000))
    if runs is None:
        return None
    if rule.setup_minor:
        exact.lines.append(Line("setup", rule.setup_minor))
    exact.lines += [_line(rule, run, "" if run.place == first else charge.from_rule(run.place, run.since)) for run in runs]
    _cap_and_tax(exact)
    return exact


class _Run(msgspec.Struct):
    """Increments of one step of one rule, one after the other, the first at `since`."""

    place: int
    step: Step
    count: int
    since: Micros


def _walk(rules: _Rules, begins: Micros, billable_ms: int) -> list[_Run] | None:
    """Every increment by the rule in force when it begins."""
    runs: list[_Run] = []
    done_s = 0
    while done_s * 1000 < billable_ms:
        now = begins + done_s * 1_000_000
        place = rules.in_force(now)
        if place is None:
            return None
        step = [one for one in rules.version.rules[place].steps if one.from_s <= done_s][-1]
        if runs and runs[-1].place == place and runs[-1].step is step:
            runs[-1].count += 1
        else:
            runs.append(_Run(place, step, 1, now))
        done_s += step.increment_s
    return runs


def _line(first: Rule, run: _Run, other: str) -> Line:
    price = run.step.rate_minor * run.step.increment_s / run.step.per_s
    what = f"{run.count} {charge.counted(run.step)}"
    if first.grain == "increment":
        price = Fraction(rounded(price, first.rounding))
        what += charge.each_rounded(first.rounding, int(price))
    return _of(what + other, price * run.count)


def _cap_and_tax(exact: Exact) -> None:
    rule = exact.rule
    if rule.cap_minor is not None and exact.total > rule.cap_minor:
        exact.lines.append(_of(charge.capped(rule.cap_minor), rule.cap_minor - exact.total))
    if rule.tax is not None and not rule.tax.included and rule.tax.percent:
        exact.lines.append(_of(charge.taxed(rule.tax), exact.total * rule.tax.percent / 100))


def _rounded(found: Sequence[Exact | None], legs: Sequence[RatedLeg]) -> list[int]:
    """The amounts. Of a call that is rounded as one, each leg gets what the call's rounded sum grows by with it."""
    amounts = [0] * len(legs)
    sums: dict[Group, Fraction] = {}
    for place in sorted(range(len(legs)), key=lambda place: order(legs[place])):
        one, leg = found[place], legs[place]
        if one is None:
            continue
        before = Fraction(0)
        if one.rule.grain == "call" and leg.call_sid is not None:
            key = (leg.call_sid, one.version, one.rule.rounding)
            before, sums[key] = sums.get(key, Fraction(0)), sums.get(key, Fraction(0)) + one.total
        amounts[place] = rounded(before + one.total, one.rule.rounding) - rounded(before, one.rule.rounding)
    return amounts


def _charge(plan: Plan, one: Exact, amount: int) -> Charge:
    rest = amount - one.total
    lines = [*one.lines, _of(charge.rounds(one.rule), rest)] if rest else one.lines
    return Charge(amount, _tax(one.rule, amount), plan.currency, plan.id, one.version, one.place, tuple(lines))


def _tax(rule: Rule, amount: int) -> int:
    """The tax within what is paid, in whole minor units by the rule's own rounding."""
    if rule.tax is None:
        return 0
    return rounded(amount * rule.tax.percent / (100 + rule.tax.percent), rule.rounding)


def _of(what: str, value: Fraction) -> Line:
    return Line(what, value.numerator, value.denominator)
