"""Lines that one rule does not explain: a few wrong ones, tax on top, other rules by direction, a change of rates."""

from __future__ import annotations

import random

import pytest
from tariffs import charges, hidden, lines, plan_of, telling

from calls.clock import Micros, parse_time
from calls.events import Direction
from calls.rating.infer import Inferred, infer
from calls.rating.infer_read import Line
from calls.rating.plan import parse
from calls.rating.terms import Plan, Rule

HOUR = 3_600_000_000
JANUARY = parse_time("2026-01-10T05:00:00Z") or 0


def spoilt(said: list[Line], seed: int, *, share: float = 0.05) -> tuple[list[Line], list[int]]:
    """The same with some charges wrong, and the numbers of those lines."""
    drawn = random.Random(seed)
    wrong = sorted(drawn.sample(range(len(said)), int(share * len(said))))
    found = list(said)
    for place in wrong:
        more = drawn.choice([13 + place, 1, 500])
        found[place] = found[place]._replace(charge=found[place].charge + more)
    return found, [said[place].number for place in wrong]


def rule_of(found: Inferred, place: int = 0) -> Plan:
    return parse(found.rules[place].plan_toml)


def is_among(found: Inferred, rule: Rule) -> bool:
    want = charges(plan_of(rule))
    return any(charges(rule_of(found, place)) == want for place in range(len(found.rules)))


# ---------------------------------------------------------------- wrong lines


@pytest.mark.parametrize("seed", range(12))
def test_with_a_few_wrong_lines_the_rule_is_found_and_they_are_its_exceptions(seed: int) -> None:
    rule = hidden(seed)
    said, wrong = spoilt(lines(rule, seed), seed)
    found = infer(said)
    assert not found.explained
    assert [one["line"] for one in found.rules[0].exceptions] == wrong
    assert is_among(found, rule), rule


def test_a_call_charged_in_two_ways_is_right_in_the_way_of_the_others() -> None:
    rule = hidden(5)
    said = lines(rule, 5)
    twice = [*said, *(line._replace(number=n, charge=line.charge + 7) for n, line in enumerate(said[:3], 202))]
    found = infer([*twice, *(line._replace(number=n) for n, line in enumerate(said[:3], 205))])
    assert [one["line"] for one in found.rules[0].exceptions] == [202, 203, 204]
    assert is_among(found, rule)


def test_charges_without_a_rule_get_the_best_there_is() -> None:
    drawn = random.Random(1)
    found = infer([Line(n, drawn.randint(1, 7200), drawn.randint(0, 50_000)) for n in range(2, 202)])
    assert len(found.rules) >= 1
    assert len(found.rules[0].exceptions) < 200


# ---------------------------------------------------------------- tax on top


@pytest.mark.parametrize(("seed", "tax"), [(1, 16), (2, 18), (6, 16), (7, 15)])
def test_a_tax_on_top_is_found_where_no_whole_rate_explains_the_lines(seed: int, tax: int) -> None:
    rule = hidden(seed, tax=tax)
    found = infer(lines(rule, seed))
    assert found.explained
    assert is_among(found, rule), rule


def test_a_tax_that_another_whole_rate_says_as_well_is_left_out() -> None:
    rule = hidden(0)
    plain = parse(infer(lines(rule, 0)).rules[0].plan_toml).versions[0].rules[0]
    assert plain.tax is None


# ---------------------------------------------------------------- by direction


def directed(seed: int) -> tuple[list[Line], dict[Direction, Rule]]:
    rules: dict[Direction, Rule] = {"inbound": hidden(seed), "outbound": hidden(seed + 100)}
    found = [line._replace(direction=direction) for direction, rule in rules.items() for line in lines(rule, seed)]
    random.Random(seed).shuffle(found)
    return [line._replace(number=n) for n, line in enumerate(found, 2)], rules


@pytest.mark.parametrize("seed", range(4))
def test_other_rules_by_direction_are_told_apart(seed: int) -> None:
    said, rules = directed(seed)
    found = infer(said)
    assert found.explained
    plans = [rule_of(found, place) for place in range(len(found.rules))]
    for direction, rule in rules.items():
        assert any(charges(plan, direction=direction) == charges(plan_of(rule)) for plan in plans)


def test_wrong_lines_are_exceptions_of_the_rule_of_their_direction() -> None:
    said, wrong = spoilt(directed(2)[0], 2, share=0.03)
    assert [one["line"] for one in infer(said).rules[0].exceptions] == wrong


def test_directions_with_one_rule_have_one() -> None:
    said = [line._replace(direction=("inbound", "outbound")[n % 2]) for n, line in enumerate(lines(hidden(8), 8))]
    (rule,) = rule_of(infer(said)).versions[0].rules
    assert rule.applies.direction is None


# ---------------------------------------------------------------- a change of rates


def changed(seed: int, *, after: int) -> tuple[list[Line], Rule, Rule, Micros]:
    """400 calls three hours apart, the first `after` of them under one rule, the others under another; and when the others began."""
    before, later = hidden(seed), hidden(seed + 50)
    lengths = [*telling(seed), *telling(seed + 1)]
    random.Random(seed).shuffle(lengths)
    old, new = (charges(plan_of(rule)) for rule in (before, later))
    found = [
        Line(n + 2, length, (old if n < after else new)[length], JANUARY + 3 * n * HOUR, "outbound") for n, length in enumerate(lengths)
    ]
    random.Random(seed).shuffle(found)
    found = [line._replace(number=n) for n, line in enumerate(found, 2)]
    return found, before, later, JANUARY + 3 * after * HOUR


@pytest.mark.parametrize(("seed", "after"), [(1, 200), (2, 60), (3, 330), (4, 140)])
def test_a_change_of_rates_is_found_with_its_date(seed: int, after: int) -> None:
    said, before, later, since = changed(seed, after=after)
    found = infer(said)
    assert found.explained
    plans = [rule_of(found, place) for place in range(len(found.rules))]
    assert len(plans[0].versions) == 2
    assert since - 24 * HOUR < plans[0].versions[1].valid_from <= since + 24 * HOUR
    assert any(charges(plan, at=JANUARY) == charges(plan_of(before)) for plan in plans)
    assert any(charges(plan, at=since + 30 * 24 * HOUR) == charges(plan_of(later)) for plan in plans)
    for plan in plans:
        assert all(charges(plan, lengths=[line.duration_s], at=line.at) == [line.charge] for line in said)


def test_a_change_is_dated_at_the_first_of_a_month_where_the_lines_allow_it() -> None:
    old, new = charges(plan_of(hidden(11))), charges(plan_of(hidden(12)))
    days = {"2026-01-28T10:00:00Z": old, "2026-02-03T10:00:00Z": new}
    said = [Line(0, length, of[length], parse_time(at)) for at, of in days.items() for length in telling(1)]
    found = infer([line._replace(number=n) for n, line in enumerate(said, 2)])
    assert "valid_from = 2026-02-01T00:00:00.000Z" in found.rules[0].plan_toml


def test_a_change_is_found_among_wrong_lines() -> None:
    said, _, _, since = changed(4, after=140)
    said, wrong = spoilt(said, 4, share=0.02)
    found = infer(said)
    assert [one["line"] for one in found.rules[0].exceptions] == wrong
    assert since - 24 * HOUR < rule_of(found).versions[1].valid_from <= since + 24 * HOUR


def test_times_of_one_rule_are_no_change() -> None:
    said = [line._replace(at=JANUARY + n * HOUR) for n, line in enumerate(lines(hidden(9), 9))]
    assert len(rule_of(infer(said)).versions) == 1
    assert len(rule_of(infer(spoilt(said, 1, share=0.02)[0])).versions) == 1
