"""A tariff is found from what calls were charged: whatever rule of the family it is, and nothing that charges otherwise."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tariffs import TO_TWO_HOURS, charges, hidden, lines, plan_of

from calls.rating.infer import infer
from calls.rating.infer_read import Line
from calls.rating.infer_search import MOST, explaining
from calls.rating.infer_shapes import INCREMENTS, Point
from calls.rating.infer_tariff import Shape, Tariff, cell, rounded
from calls.rating.plan import parse
from calls.rating.terms import ROUNDINGS, Rule, Step

MINUTES = [(length, 5 * length) for length in range(60, 3601, 60)]


def given_lines(pairs: list[tuple[int, int]]) -> list[Line]:
    return [Line(n, length, charge) for n, (length, charge) in enumerate(pairs, 2)]


shapes = st.builds(Shape, st.integers(0, 60), st.sampled_from(INCREMENTS), st.sampled_from(INCREMENTS), st.integers(0, 60))


@st.composite
def tariffs(draw: st.DrawFn) -> Tariff:
    shape = draw(shapes)
    base, rate = draw(st.integers(0, 30_000)) * shape.first_s, draw(st.integers(0, 900))
    return Tariff(shape, base, rate * shape.next_s, draw(st.sampled_from(ROUNDINGS)), draw(st.sampled_from([0, 0, 16, 7])))


@given(tariffs())
@settings(max_examples=25, deadline=None)
def test_a_tariff_charges_what_its_rule_is_rated_at(tariff: Tariff) -> None:
    assert list(tariff.charges()) == charges(plan_of(tariff.rule())) == [tariff.charge(length) for length in TO_TWO_HOURS]


@given(st.integers(0, 10**7), st.sampled_from(ROUNDINGS), st.sampled_from([0, 16, 7]))
def test_an_amount_lies_in_the_cell_of_its_charge_and_in_no_other(exact: int, rounding: str, percent: int) -> None:
    charge = rounded(exact * (100 + percent), rounding)
    for other in (charge - 1, charge, charge + 1):
        low, high = cell(other, rounding, percent=percent)
        assert (low <= exact <= high) == (other == charge)


@pytest.mark.parametrize("ten", range(4))
def test_any_hidden_rule_is_found_from_200_lines_and_everything_found_explains_them(ten: int) -> None:
    for seed in range(10 * ten, 10 * ten + 10):
        rule = hidden(seed)
        said = lines(rule, seed)
        found = infer(said)
        plans = [parse(one.plan_toml) for one in found.rules]
        does = [charges(plan) for plan in plans]
        assert charges(plan_of(rule)) in does, (seed, rule)
        assert len({tuple(one) for one in does}) == len(does) <= MOST, "one per behaviour"
        assert all(one[line.duration_s] == line.charge for one in does for line in said)
        assert found.explained
        assert not any(one.exceptions for one in found.rules)
        assert (found.tell_apart_s is None) == (len(does) == 1)
        assert found.tell_apart_s is None or len({one[found.tell_apart_s] for one in does}) > 1


def test_the_order_of_the_lines_does_not_matter() -> None:
    said = lines(hidden(3), 3)
    mixed = random.Random(1).sample(said, len(said))
    assert infer(said).rules == infer(mixed).rules


def test_the_rule_is_written_as_plainly_as_it_can_be() -> None:
    plain = Rule((Step(Fraction(300), 0, 60, 60),), rounding="half_up")
    rule = parse(infer(lines(plain, 1)).rules[0].plan_toml).versions[0].rules[0]
    assert rule == plain


def test_calls_of_whole_minutes_leave_several_rules_and_a_call_that_tells_them_apart() -> None:
    found = infer(given_lines(MINUTES))
    does = [charges(parse(one.plan_toml)) for one in found.rules]
    assert len(does) == MOST
    assert does[0][:3] == [0, 5, 10], "the plainest: per second"
    assert does[1][:3] == [0, 300, 300], "then per started minute"
    assert found.tell_apart_s is not None
    assert len({one[found.tell_apart_s] for one in does}) > 1


@pytest.mark.parametrize("charge", [305, 600])
def test_one_call_of_61_seconds_tells_a_price_per_second_from_one_per_started_minute(charge: int) -> None:
    found = infer(given_lines([*MINUTES, (61, charge)]))
    for one in found.rules:
        assert charges(parse(one.plan_toml), lengths=[60, 61]) == [300, charge]
    (step,) = parse(found.rules[0].plan_toml).versions[0].rules[0].steps
    assert (step.rate_minor, step.increment_s) == (300, 1 if charge == 305 else 60)


@pytest.mark.parametrize("pairs", [
    [(60, 300)], [(0, 0)], [(9, 0)], [(length, 0) for length in range(0, 500, 7)], [(60, 10**9), (61, 10**9 + 5)], [(86_400, 432_000)],
    [(1, 700)] * 5,
])  # fmt: skip
def test_few_lines_have_plain_answers(pairs: list[tuple[int, int]]) -> None:
    found = infer(given_lines(pairs))
    assert found.explained
    for one in found.rules:
        assert charges(parse(one.plan_toml), lengths=[length for length, _ in pairs]) == [charge for _, charge in pairs]


def test_lines_beyond_the_first_sample_count_as_well() -> None:
    tariff = Tariff(Shape(0, 30, 6, 0), 30 * 300, 6 * 247, "up")
    assert explaining([Point(length, tariff.charge(length)) for length in range(1, 7201)])[0] == tariff


@given(st.lists(st.tuples(st.integers(0, 8000), st.integers(0, 50_000)), min_size=1, max_size=12))
@settings(max_examples=4, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
def test_whatever_the_lines_say_a_rule_comes_with_exactly_the_lines_it_does_not_explain(pairs: list[tuple[int, int]]) -> None:
    found = infer(given_lines(pairs))
    for one in found.rules:
        told = charges(parse(one.plan_toml), lengths=[length for length, _ in pairs])
        wrong = [n for n, (ours, (_, charge)) in enumerate(zip(told, pairs, strict=True), 2) if ours != charge]
        assert one.exceptions == [{"line": n} for n in wrong]
    assert found.explained == (not found.rules[0].exceptions)
