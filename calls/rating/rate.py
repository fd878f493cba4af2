"""What legs cost under a plan: integers over one denominator, increments counted in runs instead of one by one.

The contract's rules of rating are written out in `plain`, which comes to the same charges, line by line, and is far slower.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

from calls.clock import Micros
from calls.rating import charge
from calls.rating.borders import next_border
from calls.rating.charge import Charge, Line, RatedLeg
from calls.rating.choosing import asked_first, in_time, order, untimed, versions_for, wall
from calls.rating.compiled import IntegerRule, IntegerStep, Rules, compiled, rounded
from calls.rating.terms import Plan, Rounding, Version

_compiled = lru_cache(maxsize=256)(compiled)
_MOST_HELD = 64
_held: dict[int, tuple[Plan, dict[str, Rules]]] = {}  # by identity: the plan is held too, so nothing else has its id
Group = tuple[str, str, Rounding]  # call, version, mode
Run = tuple[IntegerRule, IntegerStep, int, Micros]  # increments of one step, one after the other: how many, the first when


class _Priced(msgspec.Struct):
    """A leg before its rounding: `total` over the denominator of its version's rules."""

    rules: Rules
    first: IntegerRule
    lines: list[Line]
    total: int = 0

    def add(self, what: str, amount: int) -> None:
        self.lines.append(Line(what, amount, self.rules.denominator))
        self.total += amount


def rate(plan: Plan, legs: Sequence[RatedLeg], *, zone: str = "UTC") -> list[Charge]:
    """One charge a leg, in the order of the legs. `zone` is that of a plan which names none.

    Legs of one call belong into one list where a rule rounds by call. Raises Faults where a leg has no time and a rule asks for it.
    """
    there = ZoneInfo(plan.timezone or zone)
    by_version = _rules_of(plan)
    only = by_version[plan.versions[0].version] if len(plan.versions) == 1 else None
    found: list[_Priced | None] = []
    for place, leg in enumerate(legs):
        if only is not None and _simple(only.version, leg):
            found.append(_by(only, leg, zone=there, place=place))
        else:
            found.append(
                _first_that_covers([by_version[one.version] for one in versions_for(plan.versions, leg)], leg, zone=there, place=place)
            )
    amounts = _amounts(found, legs)
    return [
        charge.unrated(plan, leg, asked_first(plan.versions, leg)) if one is None else _charge(plan, one, amount)
        for one, amount, leg in zip(found, amounts, legs, strict=True)
    ]


def _rules_of(plan: Plan) -> dict[str, Rules]:
    """Its versions' rules by their names. The very same plan is asked for call after call, and to hash one of many prices takes longer
    than to rate a call."""
    held = _held.get(id(plan))
    if held is None or held[0] is not plan:
        if len(_held) >= _MOST_HELD:
            _held.clear()
        held = _held[id(plan)] = (plan, {version.version: _compiled(version) for version in plan.versions})
    return held[1]


def _simple(version: Version, leg: RatedLeg) -> bool:
    """The only version there is was valid, and known."""
    return version.appended_at is None and (leg.started_at is None or version.valid_from <= leg.started_at)


def _first_that_covers(versions: list[Rules], leg: RatedLeg, *, zone: ZoneInfo, place: int) -> _Priced | None:
    for rules in versions:
        found = _by(rules, leg, zone=zone, place=place)
        if found is not None:
            return found
    return None


def _by(rules: Rules, leg: RatedLeg, *, zone: ZoneInfo, place: int) -> _Priced | None:
    """None where no rule is in force when some increment begins."""
    candidates = rules.for_leg(leg)
    begins = leg.started_at if leg.talk_ms is None else leg.answered_at
    if begins is None and candidates and candidates[0].timed:
        raise untimed(place)
    first = _in_force(candidates, begins or 0, zone)
    if first is None:
        return None
    rule = first.rule
    priced = _Priced(rules, first, [Line(charge.taken(rule, leg), 0)])
    time_ms = leg.talk_ms if leg.talk_ms is not None else leg.ring_ms if rule.unanswered == "ring_time" else 0
    billable_ms = time_ms - rule.free_s * 1000
    if billable_ms <= 0:
        return priced
    billable_ms = max(billable_ms, rule.minimum_s * 1000)
    since = (begins or 0) + rule.free_s * 1_000_000
    runs = _steady(first, billable_ms) if not candidates[0].timed else _crossing(candidates, billable_ms, since=since, zone=zone)
    if runs is None:
        return None
    _add_up(priced, runs)
    return priced


def _in_force(candidates: Sequence[IntegerRule], at: Micros, zone: ZoneInfo) -> IntegerRule | None:
    if not candidates or not candidates[0].timed:
        return candidates[0] if candidates else None
    local = wall(at, zone)
    return next((one for one in candidates if not one.timed or in_time(one.rule.applies, local)), None)


def _steady(rule: IntegerRule, billable_ms: int) -> list[Run]:
    """Runs of the one rule that holds all along."""
    runs: list[Run] = []
    for step in rule.steps:
        inside = (billable_ms if step.until_ms is None else min(billable_ms, step.until_ms)) - step.from_ms
        if inside <= 0:
            break
        runs.append((rule, step, -(-inside // step.increment_ms), 0))
    return runs


def _crossing(candidates: Sequence[IntegerRule], billable_ms: int, *, since: Micros, zone: ZoneInfo) -> list[Run] | None:
    """Runs from border to border; an increment that begins before a border belongs to what was in force when it began."""
    ends = sorted({end for one in candidates for end in one.ends})
    runs: list[Run] = []
    done = 0
    while done < billable_ms:
        now = since + done * 1000
        rule = _in_force(candidates, now, zone)
        if rule is None:
            return None
        border = -(-(next_border(now, ends, zone=zone) - since) // 1000)
        step = next(one for one in reversed(rule.steps) if one.from_ms <= done)
        limit = min(billable_ms, border, billable_ms if step.until_ms is None else step.until_ms)
        count = -(-(limit - done) // step.increment_ms)
        done += count * step.increment_ms
        if runs and runs[-1][1] is step:
            rule, step, before, now = runs.pop()
            count += before
        runs.append((rule, step, count, now))
    return runs


def _add_up(priced: _Priced, runs: list[Run]) -> None:
    first, rule, whole = priced.first, priced.first.rule, priced.rules.denominator
    if rule.setup_minor:
        priced.add("setup", rule.setup_minor * whole)
    for of, step, count, since in runs:
        price, said = step.price, f"{count} {step.said}"
        if rule.grain == "increment":
            each = rounded(price, whole, rule.rounding)
            price, said = each * whole, said + charge.each_rounded(rule.rounding, each)
        priced.add(said if of is first else said + charge.from_rule(of.place, since), price * count)
    if rule.cap_minor is not None and priced.total > rule.cap_minor * whole:
        priced.add(charge.capped(rule.cap_minor), rule.cap_minor * whole - priced.total)
    if first.tax_on_top is not None and rule.tax is not None:
        priced.add(charge.taxed(rule.tax), priced.total * first.tax_on_top[0] // first.tax_on_top[1])


def _amounts(found: Sequence[_Priced | None], legs: Sequence[RatedLeg]) -> list[int]:
    """Rounded. Of a call that is rounded as one, each leg gets what the call's rounded sum grows by with it."""
    amounts = [0] * len(legs)
    shared: list[tuple[tuple[Micros, str], int, str, _Priced]] = []
    for place, (one, leg) in enumerate(zip(found, legs, strict=True)):
        if one is None:
            continue
        if one.first.rule.grain == "call" and leg.call_sid is not None:
            shared.append((order(leg), place, leg.call_sid, one))
        else:
            amounts[place] = rounded(one.total, one.rules.denominator, one.first.rule.rounding)
    sums: dict[Group, int] = {}
    for _, place, call_sid, one in sorted(shared, key=lambda each: each[:2]):
        mode, whole = one.first.rule.rounding, one.rules.denominator
        key = (call_sid, one.rules.version.version, mode)
        before = sums.get(key, 0)
        sums[key] = before + one.total
        amounts[place] = rounded(before + one.total, whole, mode) - rounded(before, whole, mode)
    return amounts


def _charge(plan: Plan, one: _Priced, amount: int) -> Charge:
    first, whole = one.first, one.rules.denominator
    rest = amount * whole - one.total
    if rest:
        one.lines.append(Line(charge.rounds(first.rule), rest, whole))
    within = first.tax_within
    tax = rounded(amount * within[0], within[1], first.rule.rounding) if within is not None else 0
    return Charge(amount, tax, plan.currency, plan.id, one.rules.version.version, first.place, tuple(one.lines))
