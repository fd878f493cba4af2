"""Laws of rating: the integers come to what the fractions come to, the working adds up, a plan written is the plan read."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from itertools import accumulate

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
def appliances(draw: st.DrawFn, timed: bool) -> Applies:
    sip = draw(maybe(st.booleans()))
    return Applies(
        direction=draw(maybe(st.sampled_from(DIRECTIONS))),
        kind=draw(maybe(st.sampled_from(KINDS[:2]))),
        prefix=None if sip else draw(maybe(st.sampled_from(PREFIXES))),
        sip=sip,
        own=draw(maybe(st.just((OWN[0],)))) if draw(st.booleans()) else None,
        time_of_day=draw(maybe(spans)) if timed else None,
        weekday=draw(maybe(days)) if timed else None,
        date=draw(maybe(dates)) if timed and draw(st.booleans()) else None,
    )


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    return Rule(
        steps=draw(steps()),
        applies=draw(appliances(draw(st.booleans()))),
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
    begins = sorted(draw(st.sets(st.integers(-5, 5), min_size=1, max_size=3)))
    versions = tuple(
        Version(
            str(place),
            FIRST_DAY + begin * 86_400 * SECOND,
            tuple(draw(st.lists(rules(), max_size=5))),
            draw(TEXT),
            tuple(draw(st.lists(standings, max_size=1))),
            draw(maybe(st.integers(-5, 5).map(lambda day: FIRST_DAY + day * 86_400 * SECOND))),
        )
        for place, begin in enumerate(begins)
    )
    zone = draw(st.sampled_from([None, "UTC", "Africa/Nairobi", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]))
    return Plan("any", "KES", versions, zone, draw(TEXT))


@st.composite
def legs(draw: st.DrawFn) -> RatedLeg:
    started = FIRST_DAY + draw(st.integers(-7 * 86_400, 16 * 86_400)) * SECOND + draw(st.sampled_from([0, 0, 1, 999_999]))
    talk_ms = draw(
        maybe(st.integers(0, 400).map(lambda s: s * 1000) | st.integers(0, 20_000) | st.integers(0, 3 * 3600).map(lambda s: s * 1000))
    )
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


def told(charge: Charge) -> tuple:
    return (charge.amount_minor, charge.tax_minor, charge.version, charge.rule, charge.working, charge.why)


@settings(max_examples=300, deadline=None)
@given(plans(), st.lists(legs(), min_size=1, max_size=4))
def test_integers_come_to_what_fractions_come_to(plan: Plan, several: list[RatedLeg]) -> None:
    fast = rate(plan, several, zone="Asia/Kathmandu")
    assert list(map(told, fast)) == list(map(told, rate_plainly(plan, several, zone="Asia/Kathmandu")))
    for charge in fast:
        if charge.amount_minor is None:
            assert charge.why and not charge.lines
        else:
            assert sum((exact for _, exact in charge.working), Fraction(0)) == charge.amount_minor
            assert [Fraction(line.text()) for line in charge.lines] == [exact for _, exact in charge.working]
            assert 0 <= (charge.tax_minor or 0) <= charge.amount_minor


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
