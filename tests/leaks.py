"""Calls, what a provider keeps of them, and faults put into that: one at a time, each with the one cause that must be found, or several.

A `Told` is a call of ours beside all that the provider says of it. A fault changes what it says; `unit` makes of it what is explained.
Amounts come from rating by plans whose rules are changed here, and not by the code that explains.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction

import msgspec

from calls.events import Direction
from calls.rating.charge import RatedLeg
from calls.rating.plain import rounded
from calls.rating.rate import rate
from calls.rating.terms import GRAINS, ROUNDINGS, Applies, Plan, Rule, Step, Tax, Version
from calls.reconciliation.cause import Cause
from calls.reconciliation.sides import Entry, OurLeg, Record, Unit

SECOND = 1_000_000
MAY = 1_777_593_600 * SECOND  # 2026-05-01
OUT, IN = Applies(direction="outbound"), Applies(direction="inbound")
FREE = Rule((Step(Fraction(0), 0, 60, 1),), IN)
VAT = Tax(Fraction(16), included=True)


def a_minute(rate: int | str, applies: Applies = OUT, *, increment_s: int = 1, **fields: object) -> Rule:
    return Rule((Step(Fraction(rate), 0, 60, increment_s),), applies, **fields)


def versions(name: str, old: tuple[Rule, ...], new: tuple[Rule, ...]) -> Plan:
    return Plan(
        name, "KES", (Version("old", MAY - 400 * 86_400 * SECOND, (*old, FREE)), Version("new", MAY - 90 * 86_400 * SECOND, (*new, FREE)))
    )


def to(prefix: str) -> Applies:
    return Applies(direction="outbound", prefix=prefix)


PLANS = {
    one.id: one
    for one in (
        versions(
            "by-second",
            (a_minute(240, to("254"), tax=VAT), a_minute(200, to("255"))),
            (a_minute(300, to("254"), tax=VAT), a_minute(250, to("255"))),
        ),
        versions("by-minute", (a_minute(240, increment_s=60),), (a_minute(300, increment_s=60),)),
        versions(
            "with-setup", (a_minute(310, setup_minor=40),), (a_minute("1000/3", setup_minor=55, free_s=3, minimum_s=10, rounding="up"),)
        ),
        versions("tax-on-top", (a_minute(210, increment_s=6),), (a_minute(250, increment_s=6, tax=Tax(Fraction(16), included=False)),)),
        versions(
            "stepped",
            (a_minute(400),),
            (Rule((Step(Fraction(500), 0, 60, 60), Step(Fraction(450), 60, 60, 6)), OUT, rounding="half_even"),),
        ),
        versions(
            "by-night",
            (a_minute(200),),
            (a_minute("475/3", msgspec.structs.replace(OUT, time_of_day=(1200, 1800)), tax=VAT), a_minute(330, increment_s=10)),
        ),
        versions("call-as-one", (a_minute(199, grain="call"),), (a_minute(251, grain="call", rounding="down"),)),
    )
}
RENTS = ("Number rental +254700000001", "Recording storage 10 GB", "Monthly subscription", "SMS to +254720000001")
TOP_UPS = ("M-Pesa top-up", "Deposit", "", "Card payment")


@dataclass(frozen=True)
class Told:
    """`talk_s`, `direction`, … of them are as they state them; a None is not stated. `ledger_more`: what the ledger takes beyond the record."""

    plan: Plan
    legs: tuple[RatedLeg, ...]
    ours: tuple[int | None, ...]
    talk_s: int
    direction: Direction
    amount: int
    rate: Fraction | None = None
    shift_s: int = 0
    known: bool = True  # they have it at all
    ours_known: bool = True  # we have it at all
    records: int = 1
    lines: int = 1
    ledger_times: int = 1
    ledger_more: int = 0
    line_inside: bool = True
    leg_inside: bool = True
    our_calls: int = 1
    beside: tuple[Entry, ...] = field(default=())

    @property
    def our_amount(self) -> int:
        return sum(amount or 0 for amount in self.ours)


def call(drawn: random.Random, plan: Plan, *, serial: int = 0) -> Told:
    """A clean one: outbound, inbound or unanswered, some with a person dialled in it."""
    kind = drawn.choice(["out", "out", "out", "out far", "in", "in far", "unanswered"])
    began, ring_s, sid = MAY + drawn.randrange(20 * 86_400) * SECOND, drawn.randint(2, 30), f"call-{serial}"
    talk_s = max(5, min(3000, round(drawn.lognormvariate(4.5, 1))))
    talk_s = 60 * (talk_s // 60 + 1) if drawn.random() < 0.3 else talk_s
    number = f"+25{drawn.choice('4445')}{drawn.randrange(7 * 10**8, 8 * 10**8)}"
    inbound = kind.startswith("in")
    main = RatedLeg(
        "inbound" if inbound else "outbound", "caller", to="+254700000001" if inbound else number,
        talk_ms=None if kind == "unanswered" else talk_s * 1000, ring_ms=ring_s * 1000, started_at=began,
        answered_at=None if kind == "unanswered" else began + ring_s * SECOND, own="+254700000001", call_sid=sid, leg="caller",
    )  # fmt: skip
    legs = [main]
    if kind.endswith("far"):
        far_s = drawn.randint(1, talk_s)
        legs.append(msgspec.structs.replace(
            main, direction="outbound", kind="external", to=f"+254{drawn.randrange(7 * 10**8, 8 * 10**8)}", talk_ms=far_s * 1000,
            started_at=began + (ring_s + 1) * SECOND, answered_at=began + (ring_s + 2) * SECOND, leg="far",
        ))  # fmt: skip
    amounts = price(plan, legs)
    stated = None if inbound or len(legs) > 1 else _rate(plan, main)
    return Told(plan, tuple(legs), tuple(amounts), 0 if main.talk_ms is None else talk_s, main.direction, sum(amounts), stated)


def price(plan: Plan, legs: list[RatedLeg]) -> list[int]:
    found = [one.amount_minor for one in rate(plan, legs)]
    assert None not in found
    return [amount or 0 for amount in found]


def unit(told: Told, *, ledger: bool = True, records: bool = True) -> Unit:
    """What is explained: with their records, with their ledger, or with both."""
    main = told.legs[0]
    began = (main.started_at or 0) + told.shift_s * SECOND
    answered = began + main.ring_ms * 1000
    said = [
        Record(
            f"r{n}", main.call_sid, direction=told.direction, caller="+254733000001" if told.direction == "inbound" else main.own,
            called=main.to, started_at=began, answered_at=answered if told.talk_s else None, ended_at=answered + told.talk_s * SECOND,
            duration_ms=told.talk_s * 1000, status="completed" if told.talk_s else "no_answer", amount_minor=told.amount,
            rate_per_minute=None if told.rate is None else str(told.rate), inside=told.leg_inside if ledger else told.line_inside,
        )
        for n in range(told.records)
    ]  # fmt: skip
    taken = told.amount * told.ledger_times + told.ledger_more
    lines = [
        Entry(f"e{n}", answered + (told.talk_s + n) * SECOND, taken, main.call_sid, "debit", "Call", inside=told.line_inside)
        for n in range(told.lines if taken else 0)
    ]
    legs = [
        OurLeg(
            f"j{n}",
            msgspec.structs.replace(leg, call_sid=f"{leg.call_sid}{'x' * n}"),
            (leg.started_at or 0) + SECOND,
            amount,
            told.plan.id,
            None if amount is None else "new",
            inside=told.leg_inside,
        )
        for n in range(told.our_calls if told.ours_known else 0)
        for leg, amount in zip(told.legs, told.ours, strict=True)
    ]
    return Unit(
        tuple(legs), tuple(said) if records and told.known else (), (*(lines if ledger and told.known else ()), *told.beside), "call_id",
    )  # fmt: skip


def theirs_less_ours(one: Unit, *, by_records: bool) -> int:
    theirs = sum(row.amount_minor or 0 for row in (one.records if by_records else one.entries) if row.inside)
    return theirs - sum(leg.amount_minor or 0 for leg in one.legs if leg.inside)


# ---------------------------------------------------------------- other tariffs


def _rules(plan: Plan, change: Callable[[Rule], Rule], version: str = "new") -> Plan:
    one = next(one for one in plan.versions if one.version == version)
    return msgspec.structs.replace(plan, versions=(msgspec.structs.replace(one, valid_from=0, rules=tuple(map(change, one.rules))),))


def _rate(plan: Plan, leg: RatedLeg) -> Fraction:
    (charge,) = rate(plan, [leg])
    return plan.versions[1].rules[charge.rule or 0].steps[0].rate_minor


def _increment(seconds: int) -> Callable[[Rule], Rule]:
    def changed(rule: Rule) -> Rule:
        steps = rule.steps[:1] if len({step.rate_minor for step in rule.steps}) == 1 else rule.steps
        if any(step.from_s % seconds for step in steps):
            return rule
        return msgspec.structs.replace(rule, steps=tuple(msgspec.structs.replace(step, increment_s=seconds) for step in steps))

    return changed


def _set(**fields: object) -> Callable[[Rule], Rule]:
    return lambda rule: msgspec.structs.replace(rule, **fields)


def _at_rate(rate: Fraction) -> Callable[[Rule], Rule]:
    return lambda rule: msgspec.structs.replace(
        rule, steps=tuple(msgspec.structs.replace(step, rate_minor=rate, per_s=60) for step in rule.steps)
    )


def others(told: Told) -> Iterator[tuple[Cause, str, int]]:
    """(cause, which, amount) under every tariff that is tried, in the order in which they are."""
    plan, legs = told.plan, list(told.legs)
    yield "rate_version", "old", sum(price(_rules(plan, lambda rule: rule, "old"), legs))
    for seconds in (1, 6, 10, 15, 30, 60):
        yield "increment_rule", f"{seconds} s", sum(price(_rules(plan, _increment(seconds)), legs))
    for seconds in (30, 60, 0):
        yield "increment_rule", f"at least {seconds} s", sum(price(_rules(plan, _set(minimum_s=seconds)), legs))
    for mode in ROUNDINGS:
        yield "rounding_mode", mode, sum(price(_rules(plan, _set(rounding=mode)), legs))
        for grain in GRAINS:
            yield "rounding_mode", f"{mode} {grain}", sum(price(_rules(plan, _set(rounding=mode, grain=grain)), legs))
    yield from _of_the_amount(told.our_amount)


def _of_the_amount(amount: int) -> Iterator[tuple[Cause, str, int]]:
    for which, factor in (("on top", Fraction(116, 100)), ("without", Fraction(100, 116))):
        for mode in ROUNDINGS:
            yield "tax_basis", which, rounded(amount * factor, mode)
    for factor in (Fraction(100), Fraction(1000), Fraction(1, 100), Fraction(1, 1000)):
        for mode in ROUNDINGS:
            yield "currency_unit", str(factor), rounded(amount * factor, mode)


# ---------------------------------------------------------------- faults: what must be found, and what they change; None where a call cannot show it

Fault = Callable[[random.Random, Told], Told | None]


def _only_outbound(told: Told) -> bool:
    """One leg that costs something: what a record says of the call is then said of that leg."""
    return len(told.legs) == 1 and told.our_amount > 0


def _lasting(low: int, high: int) -> Fault:
    def fault(drawn: random.Random, told: Told) -> Told | None:
        talk_s, main = told.talk_s + drawn.randint(low, high), told.legs[0]
        if main.direction == "inbound" or main.talk_ms is None or None in told.ours or talk_s < 0:
            return None
        amount = sum(price(told.plan, [msgspec.structs.replace(main, talk_ms=talk_s * 1000), *told.legs[1:]]))
        return None if amount == told.our_amount else replace(told, talk_s=talk_s, amount=amount)

    return fault


def _tariff(cause: Cause) -> Fault:
    def fault(drawn: random.Random, told: Told) -> Told | None:
        if not told.our_amount:
            return None
        seen: dict[int, Cause] = {told.our_amount: "unexplained"}
        if len(told.legs) > 1:  # nothing taken for one of two legs comes first
            seen |= {told.our_amount - (amount or 0): "missing_theirs" for amount in told.ours}
        for of, _, amount in others(told):
            seen.setdefault(amount, of)
        amounts = sorted(amount for amount, of in seen.items() if of == cause and amount)
        return replace(told, amount=drawn.choice(amounts)) if amounts else None

    return fault


def _other_rate(drawn: random.Random, told: Told) -> Told | None:
    if not _only_outbound(told) or told.rate is None:
        return None
    other = told.rate + drawn.randint(-20, 90)
    amount = price(_rules(told.plan, _at_rate(other)), list(told.legs))[0]
    old = next(amount for of, _, amount in others(told) if of == "rate_version")
    return None if amount in (told.our_amount, old) or _states_ours(told, other) else replace(told, rate=other, amount=amount)


def _states_ours(told: Told, rate: Fraction) -> bool:
    return any(step.rate_minor == rate for rule in told.plan.versions[1].rules for step in rule.steps)


def _turned(direction: Direction) -> Fault:
    def fault(drawn: random.Random, told: Told) -> Told | None:
        if len(told.legs) > 1 or told.direction == direction or not told.talk_s:
            return None
        amount = price(told.plan, [msgspec.structs.replace(told.legs[0], direction=direction)])[0]
        return replace(told, direction=direction, amount=amount) if amount != told.our_amount else None

    return fault


def _unanswered(drawn: random.Random, told: Told) -> Told | None:
    return replace(told, amount=drawn.randint(1, 400)) if not told.talk_s else None


def _costs(**fields: object) -> Fault:
    return lambda drawn, told: replace(told, **fields) if told.our_amount else None


def _no_price(drawn: random.Random, told: Told) -> Told | None:
    if not _only_outbound(told):
        return None
    return replace(told, plan=PLANS["by-second"], legs=(msgspec.structs.replace(told.legs[0], to="+4930123456"),), ours=(None,))


def _seven(drawn: random.Random, told: Told) -> Told | None:
    """More than the record says, where nothing else comes to it."""
    taken = told.our_amount + 7
    return replace(told, ledger_more=7) if told.our_amount > 7 and all(amount != taken for _, _, amount in others(told)) else None


def _two_calls(drawn: random.Random, told: Told) -> Told | None:
    return replace(told, our_calls=2) if told.our_amount else None


FAULTS: dict[str, tuple[Cause, Fault]] = {
    "they know nothing of it": ("missing_theirs", _costs(known=False)),
    "we know nothing of it": ("missing_ours", _costs(ours_known=False)),
    "taken twice": ("duplicate_theirs", _costs(lines=2, records=2)),
    "taken four times": ("duplicate_theirs", _costs(lines=4, records=4)),
    "one line of twice the record": ("duplicate_theirs", _costs(ledger_times=2)),
    "charged twice by us": ("duplicate_ours", _two_calls),
    "1 to 3 s longer": ("duration_theirs_longer", _lasting(1, 3)),
    "much longer": ("duration_theirs_longer", _lasting(4, 90)),
    "1 to 3 s shorter": ("duration_ours_longer", _lasting(-3, -1)),
    "much shorter": ("duration_ours_longer", _lasting(-90, -4)),
    "other rate": ("rate_value", _other_rate),
    "old version": ("rate_version", _tariff("rate_version")),
    "other increments": ("increment_rule", _tariff("increment_rule")),
    "other rounding": ("rounding_mode", _tariff("rounding_mode")),
    "other tax": ("tax_basis", _tariff("tax_basis")),
    "other unit": ("currency_unit", _tariff("currency_unit")),
    "charged as outbound": ("direction", _turned("outbound")),
    "free as inbound": ("direction", _turned("inbound")),
    "nobody answered": ("unanswered_charged", _unanswered),
    "clock ahead": ("clock_skew", lambda drawn, told: replace(told, shift_s=drawn.randint(31, 10_000))),
    "clock behind": ("clock_skew", lambda drawn, told: replace(told, shift_s=-drawn.randint(31, 10_000))),
    "taken in the next period": ("period_boundary", _costs(line_inside=False)),
    "taken for the last period": ("period_boundary", _costs(leg_inside=False)),
    "seven more than the record": ("unexplained", _seven),
    "no rule of ours": ("unexplained", _no_price),
}
BOTH, LEDGER, RECORDS = "records and ledger", "ledger alone", "records alone"
ONLY_BOTH = {"one line of twice the record", "seven more than the record"}
ASKS_RECORDS = {
    "1 to 3 s longer",
    "much longer",
    "1 to 3 s shorter",
    "much shorter",
    "other rate",
    "charged as outbound",
    "free as inbound",
    "clock ahead",
    "clock behind",
}


def shows(fault: str, sides: str) -> bool:
    """Whether the fault can be seen with these sides alone."""
    return sides == BOTH or (fault not in ONLY_BOTH and (sides == RECORDS or fault not in ASKS_RECORDS))


def beside(drawn: random.Random, *, serial: int) -> tuple[Cause, Unit]:
    """A ledger line that no call causes."""
    if drawn.random() < 0.5:
        return "top_up", Unit(entries=(Entry(f"t{serial}", MAY, -drawn.randint(1, 10**6), None, "credit", drawn.choice(TOP_UPS)),))
    return "non_call_charge", Unit(entries=(Entry(f"t{serial}", MAY, drawn.randint(1, 10**6), None, "debit", drawn.choice(RENTS)),))
