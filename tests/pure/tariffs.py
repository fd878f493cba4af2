"""Hidden tariffs for tests: any rule of the family, and what calls are charged under it by the project's own rating."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction

from calls.clock import Micros
from calls.events import Direction
from calls.rating.charge import RatedLeg
from calls.rating.infer_read import Line
from calls.rating.infer_shapes import INCREMENTS
from calls.rating.rate import rate
from calls.rating.terms import ROUNDINGS, Plan, Rule, Step, Tax, Version

TO_TWO_HOURS = range(7201)


def hidden(seed: int, *, tax: int = 0) -> Rule:
    """A rule of the family. Every field is drawn apart from the others, odd values beside usual ones."""
    drawn = random.Random(seed)
    first, following = drawn.choice(INCREMENTS), drawn.choice(INCREMENTS)
    rates = [drawn.choice([drawn.randint(1, 900), 50 * drawn.randint(1, 18)]) for _ in range(2)]
    if drawn.random() < 0.4:
        rates[1] = rates[0]
    steps = [Step(Fraction(rates[0]), 0, 60, first)]
    if drawn.random() < 0.6:
        steps.append(Step(Fraction(rates[1]), first, 60, following))
    return Rule(
        tuple(steps),
        setup_minor=drawn.choice([0, drawn.randint(1, 500)]),
        free_s=drawn.choice([0, 0, drawn.randint(1, 30)]),
        minimum_s=drawn.choice([0, 0, drawn.choice([10, 30, 60]), drawn.randint(1, 60)]),
        rounding=drawn.choice(ROUNDINGS),
        tax=Tax(Fraction(tax), included=False) if tax else None,
    )


def plan_of(rule: Rule) -> Plan:
    return Plan("", "KES", (Version("1", 0, (rule,)),))


def charges(plan: Plan, *, lengths: Sequence[int] = TO_TWO_HOURS, direction: Direction = "outbound", at: Micros | None = None) -> list[int]:
    """Minor units for a call of each length."""
    legs = [RatedLeg(direction, "external", "+254720000001", length * 1000, 0, at, at) for length in lengths]
    found = [one.amount_minor for one in rate(plan, legs)]
    assert None not in found, "every call is rated"
    return [amount or 0 for amount in found]


def telling(seed: int) -> list[int]:
    """200 lengths that say nearly all about a tariff: each short one once, then up to two hours, in any order."""
    drawn = random.Random(seed)
    lengths = [*range(1, 91), *(drawn.randint(91, 7200) for _ in range(109)), 7200]
    drawn.shuffle(lengths)
    return lengths


def lines(rule: Rule, seed: int) -> list[Line]:
    lengths = telling(seed)
    return [
        Line(n, length, charge) for n, (length, charge) in enumerate(zip(lengths, charges(plan_of(rule), lengths=lengths), strict=True), 2)
    ]


def as_csv(given: Sequence[Line]) -> str:
    return "duration_s,charge_minor\n" + "".join(f"{line.duration_s},{line.charge}\n" for line in given)
