"""Legs under one version of a plan, beside what they came to before."""

from __future__ import annotations

import random

import msgspec

from calls.clock import parse_time
from calls.rating.charge import RatedLeg
from calls.rating.plan import parse
from calls.rating.re_rating import GONE, PeriodLeg, Sums, alone, re_rate, rounds_calls
from calls.rating.terms import Plan

START = parse_time("2026-02-20T10:00:00Z") or 0


def plan(*versions: str) -> Plan:
    return parse('currency = "KES"\ntimezone = "UTC"\n' + "".join(versions), name="mine-ke")


def version(name: str, minute: int | str, *, valid_from: str = "2026-01-01T00:00:00Z", more: str = "") -> str:
    step = f'{{ from_s = 0, rate_minor = "{minute}", per_s = 60, increment_s = 1 }}'
    return f'[[versions]]\nversion = "{name}"\nvalid_from = {valid_from}\n[[versions.rules]]\n{more}\nsteps = [{step}]\n'


def leg(sid: str, talk_s: int, before: int | None, *, name: str = "caller", to: str = "+254720000001", **more: object) -> PeriodLeg:
    rated = RatedLeg("outbound", "caller", to, talk_s * 1000, 0, START, START, "+254700000001", sid, name, received_at=START)
    known = PeriodLeg(sid, name, f"jn_{sid}", None, None, "+254700000001", START, before, rated)
    return msgspec.structs.replace(known, **more)


def only(given: Plan, name: str) -> Plan:
    found = alone(given, name)
    assert found is not None
    return found


def test_a_named_version_rates_every_leg_whenever_it_begins_and_came() -> None:
    given = plan(version("1", 240), version("2", 300, valid_from="2026-03-01T00:00:00Z"))
    later = msgspec.structs.replace(given, versions=tuple(msgspec.structs.replace(one, appended_at=START + 1) for one in given.versions))
    found = re_rate(only(later, "2"), [leg("a", 60, 240), leg("b", 61, 244)], zone="UTC")
    assert [(one.after_minor, one.difference_minor) for one in found] == [(300, 60), (305, 61)]
    assert alone(given, "3") is None


def test_its_own_version_makes_no_difference() -> None:
    found = re_rate(only(plan(version("1", 240)), "1"), [leg("a", 60, 240)], zone="UTC")
    assert not any(one.differs for one in found)


def test_there_and_back_again_is_nothing() -> None:
    given = plan(version("1", 240), version("2", 299, valid_from="2026-03-01T00:00:00Z"))
    there = re_rate(only(given, "2"), [leg("a", 61, 244), leg("b", 7, 28)], zone="UTC")
    turned = [msgspec.structs.replace(one.of, before_minor=one.after_minor) for one in there]
    back = re_rate(only(given, "1"), turned, zone="UTC")
    assert sum(one.difference_minor for one in there) + sum(one.difference_minor for one in back) == 0


def test_unrated_counts_as_nothing_and_is_never_free() -> None:
    given = only(plan(version("1", 300, more='applies = { prefix = "254" }')), "1")
    legs = [leg("there", 60, 300), leg("abroad", 60, 900, to="+881612345678"), leg("new", 0, None, was=False), leg("was", 0, None)]
    found = re_rate(given, legs, zone="UTC")
    assert [(one.after_minor, one.difference_minor, one.differs) for one in found] == [
        (300, 0, False), (None, -900, True), (0, 0, True), (0, 0, True),
    ]  # fmt: skip
    assert "+881612345678" in found[1].why
    sums = Sums()
    sums.add(found)
    assert (sums.unrated, sums.unrated_before, sums.new, sums.gone) == (1, 1, 1, 0)


def test_what_cannot_be_rated_says_why() -> None:
    given = only(plan(version("1", 300)), "1")
    legs = [leg("gone", 60, 300, rated=None, there=False), leg("nowhere", 60, None, rated=None, why="whither")]
    assert [(one.after_minor, one.why, one.difference_minor) for one in re_rate(given, legs, zone="UTC")] == [
        (None, GONE, -300), (None, "whither", 0),
    ]  # fmt: skip
    dear = only(plan(version("1", 10**18)), "1")
    (one,) = re_rate(dear, [leg("dear", 6000, 1)], zone="UTC")
    assert one.after_minor is None
    assert "more than" in one.why


def test_a_leg_outside_the_period_shares_the_rounding_of_its_call() -> None:
    given = only(plan(version("1", 250, more='grain = "call"\nrounding = "up"')), "1")
    assert rounds_calls(given)
    first, second = leg("a", 1, 5, name="caller", beside=True), leg("a", 1, 4, name="next")
    assert [one.after_minor for one in re_rate(given, [first, second], zone="UTC")] == [4]  # 8.33 together are 9, the first's 4.17 are 5
    assert [one.after_minor for one in re_rate(given, [second], zone="UTC")] == [5]


def test_sums_by_queue_agent_and_number_add_up_whatever_the_order() -> None:
    rng = random.Random(6)
    legs = [
        leg(
            f"c{n}",
            rng.randrange(600),
            rng.choice([None, n]),
            queue=rng.choice([None, "sales", "support"]),
            agent=rng.choice([None, "amina"]),
        )
        for n in range(200)
    ]
    given = only(plan(version("1", 300)), "1")
    said = []
    for _ in range(3):
        sums = Sums()
        sums.add(re_rate(given, legs, zone="UTC"))
        shown = sums.shown()
        said.append(shown)
        for group in ("by_queue", "by_agent", "by_number"):
            rows: list[dict[str, int]] = shown[group]  # type: ignore[assignment]
            for amount in ("before_minor", "after_minor", "difference_minor"):
                assert sum(row[amount] for row in rows) == shown[amount]
        rng.shuffle(legs)
    assert said[0] == said[1] == said[2]
    assert [row["queue"] for row in said[0]["by_queue"]] == ["sales", "support", None]  # type: ignore[index, union-attr]
