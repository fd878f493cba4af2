"""A leg as rating sees it, and what it comes to: the amount, whose rule it was, and the working line by line."""

from __future__ import annotations

from fractions import Fraction
from math import gcd

import msgspec

from calls.clock import Micros, milliseconds, rfc3339
from calls.events import Direction
from calls.rating.terms import Kind, Plan, Rounding, Rule, Step, Tax


class RatedLeg(msgspec.Struct, frozen=True):
    """`talk_ms`: from the answer to the end, None where nobody answered; `ring_ms`: from the start to the answer or the end.

    `to`: E.164 or a SIP address. `own`: the account's number on this leg. `received_at`: when its first event came here; None
    where every version of the plan is to be known. A leg without times can be rated by rules that do not ask for the time.
    """

    direction: Direction
    kind: Kind
    to: str | None = None
    talk_ms: int | None = None
    ring_ms: int = 0
    started_at: Micros | None = None
    answered_at: Micros | None = None
    own: str | None = None
    call_sid: str | None = None
    leg: str | None = None
    received_at: Micros | None = None

    @property
    def is_sip(self) -> bool:
        return self.kind == "sip" or (self.to or "")[:5].lower().startswith(("sip:", "sips:"))

    @property
    def digits(self) -> str:
        """What prefixes are compared with; empty for a SIP address."""
        return "" if self.to is None or self.is_sip else self.to.removeprefix("+")


class Line(msgspec.Struct, frozen=True):
    """One line of the working: what, and its exact amount in minor units as `numerator`/`denominator` (not always reduced)."""

    what: str
    numerator: int
    denominator: int = 1

    @property
    def exact(self) -> Fraction:
        return Fraction(self.numerator, self.denominator)

    def text(self) -> str:
        """`-25/6`, `300`."""
        common = gcd(self.numerator, self.denominator)
        top, bottom = self.numerator // common, self.denominator // common
        return str(top) if bottom == 1 else f"{top}/{bottom}"


class Charge(msgspec.Struct, frozen=True):
    """What one leg costs. Amount None: unrated, and `why` says what no plan covers; otherwise the lines sum to it exactly.

    `rule` is the place of the first rule in its version's list; `tax_minor` the tax within the amount.
    """

    amount_minor: int | None
    tax_minor: int | None
    currency: str
    plan: str
    version: str | None = None
    rule: int | None = None
    lines: tuple[Line, ...] = ()
    why: str = ""

    @property
    def working(self) -> list[tuple[str, Fraction]]:
        return [(line.what, line.exact) for line in self.lines]


def leg_between(
    direction: Direction, kind: Kind, *, to: str | None, started_at: Micros, answered_at: Micros | None, ended_at: Micros,
    own: str | None = None, call_sid: str | None = None, leg: str | None = None, received_at: Micros | None = None,
) -> RatedLeg:  # fmt: skip
    """A leg known by its times. One that ends before it was answered, or rings before it starts, took 0."""
    talk_ms, ring_ms = spent(started_at, answered_at, ended_at)
    return RatedLeg(direction, kind, to, talk_ms, ring_ms, started_at, answered_at, own, call_sid, leg, received_at)


def spent(started_at: Micros, answered_at: Micros | None, ended_at: Micros) -> tuple[int | None, int]:
    """(`talk_ms`, `ring_ms`) of a leg known by its times."""
    talk_ms = None if answered_at is None else milliseconds(answered_at, ended_at)
    return talk_ms, milliseconds(started_at, ended_at if answered_at is None else answered_at)


# ---------------------------------------------------------------- the words of the working, the same however it is computed


def taken(rule: Rule, leg: RatedLeg) -> str:
    """The first line: what was taken for the billable time."""
    if leg.talk_ms is None:
        if rule.unanswered == "free":
            return "not answered: free"
        said = f"{seconds(leg.ring_ms)} s of ringing, not answered"
    else:
        said = f"{seconds(leg.talk_ms)} s from the answer to the end"
    said += f", the first {rule.free_s} s free" if rule.free_s else ""
    return said + (f", at least {rule.minimum_s} s where any are billed" if rule.minimum_s else "")


def counted(step: Step) -> str:
    """`× 1 s at 300 a minute`, after how many."""
    each = "a second" if step.per_s == 1 else "a minute" if step.per_s == 60 else f"per {step.per_s} s"
    return f"× {step.increment_s} s at {step.rate_minor} {each}"


def from_rule(rule: int, since: Micros) -> str:
    """Where another rule than the first goes on."""
    return f" (rules[{rule}] from {rfc3339(since)})"


def taxed(tax: Tax) -> str:
    return f"tax of {tax.percent} % on top"


def each_rounded(mode: Rounding, price: int) -> str:
    return f", each rounded {mode} to {price}"


def capped(cap_minor: int) -> str:
    return f"capped at {cap_minor}"


def rounds(rule: Rule) -> str:
    return f"rounded {rule.rounding}" + (" with the other legs of the call" if rule.grain == "call" else "")


def unrated(plan: Plan, leg: RatedLeg, version: str | None) -> Charge:
    """No amount, and why. `version`: the one whose rules were asked first; None where none was in force."""
    return Charge(None, None, plan.currency, plan.id, version, why=_uncovered(leg, version))


def _uncovered(leg: RatedLeg, version: str | None) -> str:
    at = leg.started_at
    when = f" at {rfc3339(at)}" if at is not None else ""
    if version is None:
        return f"no version of the plan is in force{when}"
    to = f" to {leg.to}" if leg.to else ""
    return f"no rule of version {version} covers the leg ({leg.direction}, {leg.kind}){to}{when}"


def seconds(ms: int) -> str:
    """`61`, `60.4`."""
    whole, rest = divmod(ms, 1000)
    return f"{whole}.{rest:03}".rstrip("0") if rest else str(whole)
