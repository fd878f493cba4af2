"""What the legs of a journey cost its accounts: one charge for each leg that is over, where the account names a rate plan.

Which plan is said by the configuration with its dates, which version and rule by the plan with its own (choosing.py). Nothing
else is asked, so the same journey costs the same whenever it is folded. What cannot be rated has no amount and says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from calls.clock import Micros
from calls.configuration import Configuration, valid_at
from calls.journey import Call, Journey, Leg, LegCharge
from calls.parties import normalise
from calls.rating.charge import Charge, RatedLeg, spent
from calls.rating.rate import rate
from calls.rating.terms import Plan

LARGEST_MINOR = 2**63 - 1  # what a column of whole numbers holds
UNDIRECTED = "the direction of the call is not known"
LONGEST_MS = 31 * 86_400_000  # a longer leg is a clock that lies; by rules of the time of day its working would have no end
LAST_START: Micros = 7_258_118_400_000_000  # the year 2200


def plan_name(versions: Sequence[Configuration], account: str, first_received: Micros) -> str | None:
    """The plan that the account named when a journey was first heard of; where it named none then, the first that it named later."""
    named = valid_at(versions, first_received).rate_plans.get(account)
    if named is not None:
        return named
    return next((one.rate_plans[account] for one in versions if one.since > first_received and account in one.rate_plans), None)


def charges_of(
    journey: Journey, plans: Mapping[str, Plan], *, configurations: Sequence[Configuration], first_received: Micros
) -> list[LegCharge]:
    """In the order of the journey's calls and their legs. `plans`: those of the tenant by their names."""
    found: list[LegCharge] = []
    for call in journey.calls:
        name = plan_name(configurations, call.account, first_received)
        if name is not None:
            there = valid_at(configurations, first_received)
            made = [_blank(call, leg, name, there.country(journey.tenant)) for leg in call.legs if leg.ended_at is not None]
            _rate(made, plans.get(name), zone=there.zone(journey.tenant))
            found += made
    return found


def rated_leg(one: LegCharge) -> RatedLeg:
    """The leg of a charge as rating sees it. Raises ValueError where its direction is not known."""
    if one.direction is None:
        raise ValueError("a leg without a direction cannot be rated")
    return RatedLeg(
        one.direction, one.kind, one.to, one.talk_ms, one.ring_ms, one.started_at, one.answered_at, one.own, one.call_sid, one.leg,
        one.received_at,
    )  # fmt: skip


def _blank(call: Call, leg: Leg, plan: str, country: str) -> LegCharge:
    """The charge before it is rated. The main leg has the call's direction and goes to who was called; any other was dialled from here."""
    main = leg is call.legs[0]
    assert leg.ended_at is not None, "only what is over is charged"
    talk_ms, ring_ms = spent(leg.started_at, leg.answered_at, leg.ended_at)
    return LegCharge(
        call_sid=call.call_sid, leg=leg.leg, account=call.account, direction=call.direction if main else "outbound", kind=leg.kind,
        to=call.called if main else normalise(leg.address, country) if leg.address else None,
        own=call.called if call.direction == "inbound" else call.caller,
        queue=leg.queue, agent=leg.agent, started_at=leg.started_at, answered_at=leg.answered_at, ended_at=leg.ended_at,
        talk_ms=talk_ms, ring_ms=ring_ms, received_at=leg.received_at, amount_minor=None, tax_minor=None, currency="", plan=plan,
        version=None, rule=None,
    )  # fmt: skip


def _rate(made: Sequence[LegCharge], plan: Plan | None, *, zone: str) -> None:
    """All legs of a call together, for a rule may round them together."""
    can: list[LegCharge] = []
    for one in made:
        one.why = _impossible(one, plan)
        if plan is not None:
            one.currency = plan.currency
        if not one.why:
            can.append(one)
    if plan is not None and can:
        for one, charge in zip(can, rate(plan, [rated_leg(one) for one in can], zone=zone), strict=True):
            _fill(one, charge)


def _impossible(one: LegCharge, plan: Plan | None) -> str:
    """Why a leg cannot be asked about at all; empty where it can."""
    if plan is None:
        return f"there is no plan {one.plan} yet"
    if one.direction is None:
        return UNDIRECTED
    return impossible_times(one.started_at, one.answered_at, talk_ms=one.talk_ms, ring_ms=one.ring_ms)


def impossible_times(started_at: Micros, answered_at: Micros | None, *, talk_ms: int | None, ring_ms: int) -> str:
    """Why a leg of such times is not rated; empty where it is."""
    if not 0 <= started_at < LAST_START or not 0 <= (answered_at or 0) < LAST_START:
        return "its times are outside the years 1970 to 2199"
    if max(talk_ms or 0, ring_ms) > LONGEST_MS:
        return "it is longer than 31 days"
    return ""


def _fill(one: LegCharge, charge: Charge) -> None:
    one.version, one.rule, one.why = charge.version, charge.rule, charge.why
    if charge.amount_minor is not None and max(charge.amount_minor, charge.tax_minor or 0) > LARGEST_MINOR:
        one.why = f"{charge.amount_minor} is more than an amount can be"
        return
    one.amount_minor, one.tax_minor = charge.amount_minor, charge.tax_minor
    one.working = [(line.what, line.text()) for line in charge.lines]
