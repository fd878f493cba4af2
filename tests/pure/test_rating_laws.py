"""Laws of rating: the integers come to what the fractions come to, the working adds up, a plan written is the plan read."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from itertools import accumulate

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from calls.rating.charge import Charge, RatedLeg
from calls.rating.plain import rate_plainly
from calls.rating.plan import parse, written
from calls.rating.rate import rate
from calls.rating.terms import (
    DIRECTIONS,
    FIRST_MONTHS,
    GRAINS,
    KINDS,
    ROUNDINGS,
    STANDING_FOR,
    UNANSWERED,
    UNITS,
    Applies,
    Plan,
    Rule,
    Standing,
    Step,
    Tax,
    Version,
)  # fmt: skip

SECOND = 1_000_000
FIRST_DAY = 1_774_000_000 * SECOND  # 2026-03-20: within days of the clocks' change in Berlin and New York
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20).filter(
    lambda text: not text or bool(text.strip())
)
PREFIXES = ["2", "25", "254", "2547", "49"]
OWN = ["+254700000001", "+254700000002"]


def maybe(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | strategy


def seldom(strategy: st.SearchStrategy) -> st.SearchStrategy:
    """Rules that ask for much cover nothing, and then nothing is compared."""
    return st.integers(0, 7).flatmap(lambda drawn: st.none() if drawn else strategy)


spans = st.tuples(st.integers(0, 95), st.integers(1, 95)).map(lambda pair: (pair[0] * 15, pair[0] * 15 + pair[1] * 15))
days = st.sets(st.integers(0, 6), min_size=1).map(lambda found: tuple(sorted(found)))
dates = st.sets(st.integers(date(2026, 3, 19).toordinal(), date(2026, 4, 10).toordinal()), min_size=1, max_size=6).map(
    lambda found: tuple(sorted(found))
)
rates = st.builds(Fraction, st.integers(0, 2000), st.integers(1, 12))
taxes = st.builds(Tax, st.sampled_from([Fraction(0), Fraction(16), Fraction(15, 2)]), st.booleans())


@st.composite
def steps(draw: st.DrawFn) -> tuple[Step, ...]:
    increments = draw(st.lists(st.sampled_from([1, 6, 7, 10, 30, 60]), min_size=1, max_size=3))
    starts = [0, *accumulate(increment * draw(st.integers(1, 4)) for increment in increments[:-1])]
    return tuple(
        Step(draw(rates), start, draw(st.sampled_from([1, 30, 60])), increment) for start, increment in zip(starts, increments, strict=True)
    )


@st.composite
def appliances(draw: st.DrawFn) -> Applies:
    timed = draw(st.booleans())
    sip = draw(seldom(st.booleans()))
    return Applies(
        direction=draw(seldom(st.sampled_from(DIRECTIONS))),
        kind=draw(seldom(st.sampled_from(KINDS[:2]))),
        prefix=None if sip else draw(maybe(st.sampled_from(PREFIXES))),
        sip=sip,
        own=draw(seldom(st.just((OWN[0],)))),
        time_of_day=draw(spans) if timed else None,
        weekday=draw(seldom(days)),
        date=draw(seldom(dates)),
    )


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    return Rule(
        steps=draw(steps()),
        applies=draw(appliances()),
        setup_minor=draw(st.sampled_from([0, 0, 7, 500])),
        free_s=draw(st.sampled_from([0, 0, 5, 40])),
        minimum_s=draw(st.sampled_from([0, 0, 30])),
        cap_minor=draw(maybe(st.integers(0, 3000))),
        unanswered=draw(st.sampled_from(UNANSWERED)),
        rounding=draw(st.sampled_from(ROUNDINGS)),
        grain=draw(st.sampled_from(GRAINS)),
        tax=draw(maybe(taxes)),
        evidence=draw(TEXT),
    )


standings = st.builds(
    Standing,
    st.sampled_from(STANDING_FOR),
    st.sampled_from(UNITS),
    st.integers(0, 10**6),
    st.integers(0, 9),
    st.sampled_from(FIRST_MONTHS),
    maybe(taxes),
    TEXT,
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    begins = sorted(draw(st.sets(st.integers(-8, 5), min_size=1, max_size=3)))
    versions = tuple(
        Version(
            str(place),
            FIRST_DAY + begin * 86_400 * SECOND,
            (*draw(st.lists(rules(), max_size=4)), *draw(st.lists(st.builds(Rule, steps()), max_size=1))),
            draw(TEXT),
            tuple(draw(st.lists(standings, max_size=1))),
            draw(seldom(st.integers(-5, 5).map(lambda day: FIRST_DAY + day * 86_400 * SECOND))),
        )
        for place, begin in enumerate(begins)
    )
    zone = draw(st.sampled_from([None, "UTC", "Africa/Nairobi", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]))
    return Plan("any", "KES", versions, zone, draw(TEXT))


@st.composite
def legs(draw: st.DrawFn) -> RatedLeg:
    started = FIRST_DAY + draw(st.integers(-7 * 86_400, 16 * 86_400)) * SECOND + draw(st.sampled_from([0, 0, 1, 999_999]))
    talk_ms = draw(maybe(st.integers(0, 400).map(lambda s: s * 1000) | st.integers(0, 20_000)))
    ring_ms = draw(st.integers(0, 60_000))
    return RatedLeg(
        direction=draw(st.sampled_from(DIRECTIONS)),
        kind=draw(st.sampled_from(KINDS[:2])),
        to=draw(st.sampled_from([None, "+254720000001", "254110000001", "+4930123456", "sip:amina@pbx.example.com", "sips:a@b"])),
        talk_ms=talk_ms,
        ring_ms=ring_ms,
        started_at=started,
        answered_at=None if talk_ms is None else started + ring_ms * 1000,
        own=draw(st.sampled_from([None, *OWN])),
        call_sid=draw(st.sampled_from([None, "one", "two"])),
        leg=draw(st.sampled_from(["a", "b"])),
        received_at=draw(maybe(st.just(started + SECOND))),
    )


@st.composite
def crossings(draw: st.DrawFn) -> tuple[Plan, list[RatedLeg]]:
    """Calls of up to three hours round the hours at which one rule gives way to another."""
    hours = st.tuples(st.integers(0, 23), st.integers(1, 9)).map(lambda pair: (pair[0] * 60, (pair[0] + pair[1]) * 60))
    coarse = steps().filter(lambda found: all(step.increment_s > 1 for step in found))
    timed = [
        msgspec.structs.replace(rule, steps=draw(coarse), applies=Applies(time_of_day=draw(hours), weekday=draw(seldom(days))))
        for rule in draw(st.lists(rules(), min_size=1, max_size=4))
    ]
    covering = [Rule(draw(coarse))] if draw(st.integers(0, 3)) else []
    zone = draw(st.sampled_from(["UTC", "Africa/Nairobi", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]))
    several = []
    for _ in range(2):
        leg = draw(legs())
        at = FIRST_DAY + draw(st.integers(0, 16 * 24)) * 3600 * SECOND - draw(st.integers(0, 3600)) * SECOND
        talk_ms = draw(st.integers(0, 10_800_000))
        several.append(msgspec.structs.replace(leg, started_at=at, answered_at=at + leg.ring_ms * 1000, talk_ms=talk_ms, received_at=None))
    return Plan("any", "KES", (Version("1", 0, (*timed, *covering)),), zone), several


def told(charge: Charge) -> tuple:
    return (charge.amount_minor, charge.tax_minor, charge.version, charge.rule, charge.working, charge.why)


def agree(plan: Plan, several: list[RatedLeg]) -> None:
    fast = rate(plan, several, zone="Asia/Kathmandu")
    assert list(map(told, fast)) == list(map(told, rate_plainly(plan, several, zone="Asia/Kathmandu")))
    for charge in fast:
        if charge.amount_minor is None:
            assert charge.why and not charge.lines
        else:
            assert sum((exact for _, exact in charge.working), Fraction(0)) == charge.amount_minor
            assert [Fraction(line.text()) for line in charge.lines] == [exact for _, exact in charge.working]
            assert 0 <= (charge.tax_minor or 0) <= charge.amount_minor


@settings(max_examples=250, deadline=None)
@given(plans(), st.lists(legs(), min_size=1, max_size=4))
def test_integers_come_to_what_fractions_come_to(plan: Plan, several: list[RatedLeg]) -> None:
    agree(plan, several)


@settings(max_examples=60, deadline=None)
@given(crossings())
def test_integers_come_to_what_fractions_come_to_across_borders_of_time(given_: tuple[Plan, list[RatedLeg]]) -> None:
    agree(*given_)


@settings(max_examples=60, deadline=None)
@given(plans())
def test_a_plan_written_is_the_plan_read(plan: Plan) -> None:
    assert parse(written(plan), name="any") == plan


@settings(max_examples=60, deadline=None)
@given(plans(), st.lists(legs(), min_size=1, max_size=4), st.randoms())
def test_the_order_of_legs_does_not_matter(plan: Plan, several: list[RatedLeg], random: object) -> None:
    distinct = list({(leg.call_sid, leg.started_at, leg.leg): leg for leg in several}.values())
    shuffled = sorted(distinct, key=lambda leg: random.random())  # type: ignore[attr-defined]
    by_leg = dict(zip(map(id, shuffled), rate(plan, shuffled), strict=True))
    assert [told(by_leg[id(leg)]) for leg in distinct] == list(map(told, rate(plan, distinct)))
