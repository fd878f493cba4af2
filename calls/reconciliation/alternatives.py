"""Other tariffs than ours under which the provider may have charged legs: one thing changed at a time, in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction

import msgspec

from calls.rating.charge import Charge, RatedLeg
from calls.rating.plain import rounded
from calls.rating.terms import GRAINS, ROUNDINGS, Grain
from calls.reconciliation.cause import Cause
from calls.reconciliation.rerating import Tariff, Twist, total

INCREMENTS = (1, 6, 10, 15, 30, 60)
MINIMA = (30, 60, 0)
UNITS = (Fraction(100), Fraction(1000), Fraction(1, 100), Fraction(1, 1000))
USUAL_TAX = Fraction(16)
_BY_GRAIN: dict[Grain, str] = {"increment": "each increment by itself", "leg": "each leg by itself", "call": "the call as one"}
_Found = Iterator[tuple[int, str]]  # what the legs would cost, and under which other tariff


class Alternative(msgspec.Struct, frozen=True):
    """`amount_minor`: what the legs would cost; `what` says under which other tariff."""

    cause: Cause
    amount_minor: int
    what: str


class Priced(msgspec.Struct, frozen=True):
    """Legs and what they cost before anything is changed. `charges` None: their plan is not known here, only the amount is.

    `stated`: rates a minute that their records state, by the places of the legs.
    """

    tariff: Tariff
    legs: Sequence[RatedLeg]
    charges: Sequence[Charge] | None
    amount_minor: int
    stated: Mapping[int, Fraction]


def of_cause(cause: Cause, priced: Priced) -> Iterator[Alternative]:
    """Those of one cause. One amount may come up several times: the first says how."""
    for amount_minor, what in _WAYS[cause](priced):
        yield Alternative(cause, amount_minor, what)


def _versions(priced: Priced) -> _Found:
    """Every other version of the plans, as if it had been in force."""
    used = set(priced.tariff.by)
    for name in sorted({plan for plan, _ in used}):
        plan = priced.tariff.plans.get(name)
        for version in plan.versions if plan is not None else ():
            if (name, version.version) not in used:
                twists = [
                    Twist(version=version.version) if plan_of == name and own is not None else None for plan_of, own in priced.tariff.by
                ]
                yield from _twisted(priced, twists, f"by version {version.version} of {name}")


def _stated_rates(priced: Priced) -> _Found:
    """At other rates than the rule's that their records state: those legs, then those of them alone that cost something."""
    if priced.charges is None:
        return
    other = {place: rate for place, rate in priced.stated.items() if not _is_of_rule(priced, place, rate)}
    what = f"at {' and '.join(str(each) for each in sorted(set(other.values())))} a minute, as their record says"
    charged = {place: rate for place, rate in other.items() if priced.charges[place].amount_minor}
    for rates in (other, charged) if charged != other else (other,):
        if rates:
            yield from _twisted(priced, [Twist(rate=rates[place]) if place in rates else None for place in range(len(priced.legs))], what)


def _is_of_rule(priced: Priced, place: int, rate: Fraction) -> bool:
    """Whether the rule that rated the leg has that rate, in one of its steps."""
    rule = None if priced.charges is None else priced.tariff.rule(place, priced.charges[place])
    return rule is not None and any(step.rate_minor * 60 / step.per_s == rate for step in rule.steps)


def _increments(priced: Priced) -> _Found:
    for increment_s in INCREMENTS:
        said = "by started minutes" if increment_s == 60 else "by the second" if increment_s == 1 else f"by started {increment_s} s"
        yield from _all_twisted(priced, Twist(increment_s=increment_s), said)
    for minimum_s in MINIMA:
        yield from _all_twisted(priced, Twist(minimum_s=minimum_s), f"with at least {minimum_s} s" if minimum_s else "with no least time")


def _roundings(priced: Priced) -> _Found:
    for mode in ROUNDINGS:
        yield from _all_twisted(priced, Twist(rounding=mode), f"rounded {mode}")
    for grain in _other_grains(priced):
        for mode in ROUNDINGS:
            yield from _all_twisted(priced, Twist(rounding=mode, grain=grain), f"rounded {mode}, {_BY_GRAIN[grain]}")


def _other_grains(priced: Priced) -> Sequence[Grain]:
    """A single leg is its call."""
    if len(priced.legs) > 1 or not priced.charges:
        return GRAINS
    rule = priced.tariff.rule(0, priced.charges[0])
    return ("leg",) if rule is not None and rule.grain == "increment" else ("increment",)


def _taxes(priced: Priced) -> _Found:
    """With the tax once more on top, and without it, rounded in each way: the amount, then what it was before our rounding."""
    if not priced.amount_minor:
        return
    shares = _shares(priced)
    for on_top in (True, False):
        for parts in shares:
            factors = [(1 + percent / 100) if on_top else 1 / (1 + percent / 100) for _, percent in parts]
            percents = " and ".join(f"{percent} %" for percent in sorted({percent for _, percent in parts if percent}))
            what = f"with tax of {percents} on top" if on_top else f"without tax of {percents}"
            taxed = [part * factor for (part, _), factor in zip(parts, factors, strict=True)]
            yield from _rounded_ways(taxed, what)


def _units(priced: Priced) -> _Found:
    if not priced.amount_minor:
        return
    for factor in UNITS:
        what = f"times {factor}" if factor > 1 else f"divided by {1 / factor}"
        for parts in _shares(priced):
            for amount_minor, said in _rounded_ways([part * factor for part, _ in parts], f"in another unit: {what}"):
                if amount_minor:
                    yield amount_minor, said


def _shares(priced: Priced) -> list[list[tuple[Fraction, Fraction]]]:
    """(amount, percent of tax) of each leg: as charged, then before rounding. As one where the charges are not known."""
    if priced.charges is None:
        return [[(Fraction(priced.amount_minor), USUAL_TAX)]]
    tariff, charges = priced.tariff, priced.charges
    rules = [tariff.rule(place, one) for place, one in enumerate(charges)]
    taxes = [USUAL_TAX if rule is None or rule.tax is None else rule.tax.percent for rule in rules]
    charged = [(Fraction(one.amount_minor or 0), tax) for one, tax in zip(charges, taxes, strict=True)]
    exact = [(tariff.exact(place, one), tax) for (place, one), tax in zip(enumerate(charges), taxes, strict=True)]
    return [charged] if exact == charged else [charged, exact]


def _rounded_ways(parts: Sequence[Fraction], what: str) -> _Found:
    whole = sum(parts, Fraction(0))
    if whole.denominator == 1:
        yield int(whole), what
        return
    for mode in ROUNDINGS:
        yield rounded(whole, mode), f"{what}, rounded {mode}"
    if len(parts) > 1:
        for mode in ROUNDINGS:
            yield sum(rounded(part, mode) for part in parts), f"{what}, each leg rounded {mode}"


def _all_twisted(priced: Priced, twist: Twist, what: str) -> _Found:
    yield from _twisted(priced, [twist] * len(priced.legs), what)


def _twisted(priced: Priced, twists: Sequence[Twist | None], what: str) -> _Found:
    charges = None if priced.charges is None else priced.tariff.charges(priced.legs, twists=twists)
    if charges is not None:
        yield total(charges), what


_WAYS: dict[Cause, Callable[[Priced], _Found]] = {
    "rate_version": _versions,
    "rate_value": _stated_rates,
    "increment_rule": _increments,
    "rounding_mode": _roundings,
    "tax_basis": _taxes,
    "currency_unit": _units,
}
TRIED: tuple[Cause, ...] = tuple(_WAYS)  # in this order: of two that come to one amount, the first is the cause
