"""What legs of journeys cost: which legs, by which plan and version, and why one has no amount. Every story shuffled and doubled."""

from __future__ import annotations

from fractions import Fraction

import msgspec
import pytest

from calls.clock import Micros
from calls.configuration import Configuration
from calls.fold import fold
from calls.journey import LegCharge, document
from calls.rating.charging import plan_name
from calls.rating.plan import parse
from calls.rating.terms import Plan, Version
from tests.given import CONFIGURATION, NOON, SECOND, TENANT, deliveries, given

DAY = 86_400 * SECOND
OUT = "+0 call.started direction=outbound from=+254711000100 to=+254720000009\n+0 call.answered"
MINUTE = f"{OUT}\n+60 call.ended"


def version(name: str, minute: int, *, since: str = "2026-01-01T00:00:00Z", known: Micros | None = None, more: str = "") -> Version:
    rule = f"[[versions.rules]]\nsteps = [{{ from_s = 0, rate_minor = {minute}, per_s = 60, increment_s = 1 }}]\n{more}"
    text = f'currency = "KES"\n[[versions]]\nversion = "{name}"\nvalid_from = {since}\n{rule}'
    return msgspec.structs.replace(parse(text).versions[0], appended_at=known)


def plan(*versions: Version) -> dict[str, Plan]:
    """As the fold is given it."""
    ordered = sorted(versions, key=lambda one: one.valid_from)
    return {"acme-ke": Plan("acme-ke", "KES", tuple(ordered))}


def charges(story: str, plans: dict[str, Plan], configuration: Configuration = CONFIGURATION) -> list[LegCharge]:
    return given(story, plans=plans, configuration=configuration).charges


def amounts(story: str, *versions: Version) -> list[tuple[int | None, str | None]]:
    return [(one.amount_minor, one.version) for one in charges(story, plan(*versions))]


# ---------------------------------------------------------------- which legs, and how they are seen


def test_a_leg_is_charged_when_it_is_over_and_not_before() -> None:
    story = f"{OUT}\n+10 leg.started leg=x to=+254720000008\n+20 leg.answered leg=x\n+50 leg.ended leg=x"
    assert [(one.leg, one.amount_minor) for one in charges(story, plan(version("1", 300)))] == [("x", 150)]
    assert [one.leg for one in charges(f"{story}\n+60 call.ended", plan(version("1", 300)))] == ["caller", "x"]


def test_the_main_leg_has_the_calls_direction_and_a_dialled_one_goes_out() -> None:
    (main, agent) = charges(
        "+0 call.started direction=inbound from=+254712345678 to=+254711000100\n+0 call.answered\n"
        "+1 leg.started leg=a kind=agent to=0720000001 queue=support agent=amina\n+5 leg.answered leg=a\n+9.5 leg.ended leg=a\n+9.5 call.ended",
        plan(version("1", 60)),
    )
    assert (main.direction, main.kind, main.to, main.own, main.talk_ms, main.ring_ms) == (
        "inbound", "caller", "+254711000100", "+254711000100", 9_500, 0,
    )  # fmt: skip
    assert (agent.direction, agent.kind, agent.to, agent.own) == ("outbound", "agent", "+254720000001", "+254711000100")
    assert (agent.talk_ms, agent.ring_ms, agent.queue, agent.agent, agent.amount_minor) == (4_500, 4_000, "support", "amina", 5)


def test_calls_of_one_journey_are_rated_each_by_its_own_account() -> None:
    story = (
        f"{MINUTE}\n+5 call.started @callback account=bank direction=outbound from=+254711000200 to=+254712345678 parent_call_sid=call-1\n"
    )
    story += "+6 call.answered @callback account=bank\n+36 call.ended @callback account=bank"
    plans = plan(version("1", 300)) | {"bank-ke": Plan("bank-ke", "KES", (version("b", 600),))}
    both = msgspec.structs.replace(CONFIGURATION, rate_plans={"acme": "acme-ke", "bank": "bank-ke"})
    assert [(one.call_sid, one.plan, one.amount_minor) for one in charges(story, plans, both)] == [
        ("call-1", "acme-ke", 300), ("callback", "bank-ke", 300),
    ]  # fmt: skip
    assert [one.call_sid for one in charges(story, plans)] == ["call-1"], "the bank has no plan"


def test_legs_of_a_call_that_is_rounded_as_one_share_the_rounding() -> None:
    story = f"{OUT}\n+1 leg.started leg=x\n+1 leg.answered leg=x\n+2 leg.ended leg=x\n+2 call.ended"
    by_call = version("1", 250, more='rounding = "up"\ngrain = "call"\n')
    assert [one.amount_minor for one in charges(story, plan(by_call))] == [9, 4]  # 8 1/3 up, then 12 1/2 up
    for one in charges(story, plan(by_call)):
        assert sum(Fraction(exact) for _, exact in one.working) == one.amount_minor


# ---------------------------------------------------------------- versions


def test_the_version_at_the_start_holds_to_the_end() -> None:
    old, new = version("1", 240), version("2", 300, since="2026-09-01T12:00:01Z")
    story = "{0} call.started @a direction=outbound to=+254720000009\n{0} call.answered @a\n{1} call.ended @a"
    assert amounts(story.format("+0.999", "+60.999"), old, new) == [(240, "1")]
    assert amounts(story.format("+1", "+61"), old, new) == [(300, "2")]


def test_a_version_that_comes_later_changes_nothing_where_one_held() -> None:
    first = version("1", 240)
    for since in ("2026-01-02T00:00:00Z", "2026-09-01T00:00:00Z"):
        assert amounts(MINUTE, first, version("2", 601, since=since, known=NOON)) == [(240, "1")]
        assert amounts(MINUTE, first, version("2", 601, since=since, known=NOON - 1)) == [(601, "2")]


def test_what_no_rule_covered_is_rated_by_the_first_version_that_comes_and_does() -> None:
    abroad = version("1", 300, more='applies = { prefix = "1" }\n')
    assert amounts(MINUTE, abroad) == [(None, "1")]
    second = version("2", 240, since="2026-02-01T00:00:00Z", known=NOON + DAY)
    third = version("3", 180, since="2026-03-01T00:00:00Z", known=NOON + 2 * DAY)
    assert amounts(MINUTE, abroad, second) == amounts(MINUTE, abroad, second, third) == [(240, "2")]


def test_a_leg_goes_by_its_own_first_receipt() -> None:
    """The call was heard of before the second version came; the leg was not."""
    story = "\n".join(
        [
            "+0 call.started direction=inbound from=+254712345678 to=+254711000100 received=+0",
            "+0 call.answered received=+0",
            "+10 leg.started leg=x to=+254720000008 received=+600",
            "+20 leg.answered leg=x received=+300",
            "+50 leg.ended leg=x received=+900",
            "+60 call.ended received=+900",
        ]
    )
    second = version("2", 300, since="2026-02-01T00:00:00Z", known=NOON + 200 * SECOND)
    found = charges(story, plan(version("1", 240), second))
    assert [(one.leg, one.version, (one.received_at - NOON) // SECOND) for one in found] == [("caller", "1", 0), ("x", "2", 300)]


# ---------------------------------------------------------------- which plan


def named(since: Micros, **plans: str) -> Configuration:
    return Configuration(since=since, rate_plans=plans)


@pytest.mark.parametrize(("received", "want"), [(5, "one"), (10, "one"), (19, "one"), (20, "two"), (30, "two"), (40, None), (45, None)])
def test_an_account_has_the_plan_it_named_when_the_journey_was_first_heard_of(received: Micros, want: str | None) -> None:
    """And where it named none then, the next that it named."""
    versions = [named(0), named(10, acme="one"), named(20, other="x"), named(30, acme="two"), named(40)]
    assert plan_name(versions, "acme", received) == want
    assert plan_name(versions, "nobody", received) is None


def test_without_a_plan_there_are_no_charges_and_nothing_is_asked() -> None:
    assert given(MINUTE, configuration=Configuration()).charges == []
    assert document(given(MINUTE, configuration=Configuration()))["charges"] == []


def test_the_name_may_come_later_than_the_call() -> None:
    later = [Configuration(), named(NOON + DAY, acme="acme-ke"), named(NOON + 2 * DAY, acme="other-ke")]
    (journey,) = fold(TENANT, deliveries(MINUTE), later, plan(version("1", 300)))
    assert [(one.plan, one.amount_minor) for one in journey.charges] == [("acme-ke", 300)]


def test_times_of_a_plan_without_a_zone_are_the_tenants() -> None:
    night = version("1", 600, more='applies = { time_of_day = "22:00-06:00" }\n')
    assert amounts(MINUTE, night) == [(None, "1")]  # noon in UTC is 15:00 in Nairobi
    auckland = msgspec.structs.replace(CONFIGURATION, timezones={TENANT: "Pacific/Auckland"})  # and midnight there
    assert [one.amount_minor for one in charges(MINUTE, plan(night), auckland)] == [600]


# ---------------------------------------------------------------- no amount, and why


@pytest.mark.parametrize(("story", "plans", "why"), [
    (MINUTE, {}, "there is no plan acme-ke yet"),
    ("+0 call.started to=+254720000009\n+60 call.ended", plan(version("1", 300)), "the direction of the call is not known"),
    (MINUTE, plan(version("1", 300, since="2026-10-01T00:00:00Z")), "no version of the plan is in force at 2026-09-01T12:00:00.000Z"),
    (f"{OUT}\n+600 call.ended", plan(version("1", 10**18)), "10000000000000000000 is more than an amount can be"),
    (f"{OUT}\n+44641:00 call.ended", plan(version("1", 300)), "it is longer than 31 days"),
])  # fmt: skip
def test_what_cannot_be_rated_says_why(story: str, plans: dict[str, Plan], why: str) -> None:
    (one,) = charges(story, plans)
    assert (one.why, one.amount_minor, one.tax_minor, one.working) == (why, None, None, [])


def test_an_amount_may_be_nearly_as_large_as_a_column_holds() -> None:
    assert [one.amount_minor for one in charges(f"{OUT}\n+540 call.ended", plan(version("1", 10**18)))] == [9 * 10**18]


def test_a_page_tells_each_charge_with_its_working() -> None:
    (told,) = document(given(MINUTE))["charges"]  # type: ignore[misc, call-overload]
    assert told == {
        "call_sid": "call-1", "leg": "caller", "plan": "acme-ke", "version": "2026-01", "rule": 3, "amount_minor": 207, "tax_minor": 0,
        "currency": "KES",
        "working": [
            {"what": "60 s from the answer to the end", "exact": "0"}, {"what": "setup", "exact": "7"},
            {"what": "60 × 1 s at 10/3 a second", "exact": "200"},
        ],
    }  # fmt: skip
    (without,) = document(given(MINUTE, plans={}))["charges"]  # type: ignore[misc, call-overload]
    assert (without["amount_minor"], without["currency"], without["unrated"]) == (None, None, "there is no plan acme-ke yet")
