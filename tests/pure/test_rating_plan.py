"""Plans as somebody writes them: what is wrong is named by its field, and all of it; what is right reads back the same."""

from __future__ import annotations

import json
import tomllib
from fractions import Fraction

import pytest

from calls.faults import Faults
from calls.rating.appending import Overwritten, appended, joined
from calls.rating.plan import parse, written
from calls.rating.terms import Applies, Plan, Tax
from runtime.plans import shipped, shipped_text

STEP = "{ from_s = 0, rate_minor = 300, per_s = 60, increment_s = 1 }"
RULE = f"[[versions.rules]]\nsteps = [{STEP}]\n"
HEAD = 'currency = "KES"\ntimezone = "Africa/Nairobi"\n'
FIRST = 'version = "1"\nvalid_from = 2026-01-01T00:00:00Z\n'
GOOD = f"{HEAD}[[versions]]\n{FIRST}{RULE}"
SECOND = '[[versions]]\nversion = "2"\nvalid_from = 2026-06-01T00:00:00Z\n'
AT = "versions[0].rules[0]"


def faults(text: str) -> dict[str, str]:
    with pytest.raises(Faults) as caught:
        parse(text)
    return dict(caught.value.faults)


def with_step(field: str) -> str:
    name = field.split(" ", maxsplit=1)[0]
    kept = [part for part in STEP.strip("{ }").split(", ") if not part.startswith(name)]
    return GOOD.replace(STEP, f"{{ {', '.join([*kept, field])} }}")


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("currency = ", "plan_toml"),
        (GOOD.replace('currency = "KES"\n', ""), "currency"),
        (GOOD.replace('"KES"', '"kes"'), "currency"),
        (GOOD.replace('"KES"', "404"), "currency"),
        (GOOD.replace("Africa/Nairobi", "Africa/Wakanda"), "timezone"),
        (HEAD, "versions"),
        (HEAD + "versions = []", "versions"),
        (HEAD + "versions = 1", "versions"),
        (HEAD + "versions = [1]", "versions[0]"),
        ("colour = 1\n" + GOOD, "colour"),
        (GOOD.replace('version = "1"\n', ""), "versions[0].version"),
        (GOOD.replace('version = "1"', 'version = ""'), "versions[0].version"),
        (GOOD.replace('version = "1"', "version = 1"), "versions[0].version"),
        (GOOD.replace("valid_from = 2026-01-01T00:00:00Z\n", ""), "versions[0].valid_from"),
        (GOOD.replace("T00:00:00Z", "T00:00:00"), "versions[0].valid_from"),
        (GOOD.replace("T00:00:00Z", ""), "versions[0].valid_from"),
        (GOOD.replace("2026-01-01T00:00:00Z", '"yesterday"'), "versions[0].valid_from"),
        (GOOD + SECOND.replace("06-01", "01-01"), "versions[1].valid_from"),
        (GOOD + SECOND.replace("2026", "2025"), "versions[1].valid_from"),
        (GOOD + SECOND.replace('"2"', '"1"'), "versions[1].version"),
        (GOOD.replace(f"steps = [{STEP}]\n", ""), f"{AT}.steps"),
        (GOOD.replace(STEP, ""), f"{AT}.steps"),
        (with_step("rate_minor = -300"), f"{AT}.steps[0].rate_minor"),
        (with_step('rate_minor = "-25/6"'), f"{AT}.steps[0].rate_minor"),
        (with_step("rate_minor = 4.1666"), f"{AT}.steps[0].rate_minor"),
        (with_step("rate_minor = nan"), f"{AT}.steps[0].rate_minor"),
        (with_step('rate_minor = "25/0"'), f"{AT}.steps[0].rate_minor"),
        (with_step('rate_minor = "π"'), f"{AT}.steps[0].rate_minor"),
        (with_step('rate_minor = "1e3"'), f"{AT}.steps[0].rate_minor"),
        (with_step("rate_minor = true"), f"{AT}.steps[0].rate_minor"),
        (with_step(f"rate_minor = 0x{'f' * 5000}"), f"{AT}.steps[0].rate_minor"),
        (with_step("increment_s = 0"), f"{AT}.steps[0].increment_s"),
        (with_step("increment_s = 0.5"), f"{AT}.steps[0].increment_s"),
        (with_step("per_s = 0"), f"{AT}.steps[0].per_s"),
        (with_step("from_s = 60"), f"{AT}.steps[0].from_s"),
        (GOOD.replace("per_s = 60, ", ""), f"{AT}.steps[0].per_s"),
        (GOOD.replace(STEP, f"{STEP}, {STEP}"), f"{AT}.steps[1].from_s"),
        (GOOD.replace(STEP, "{ from_s = 0, rate_minor = 1, per_s = 1, increment_s = 60 }, { from_s = 90, rate_minor = 1, per_s = 1, increment_s = 1 }"), f"{AT}.steps[1].from_s"),
        (GOOD + "setup_minor = 0.5", f"{AT}.setup_minor"),
        (GOOD + "setup_minor = -1", f"{AT}.setup_minor"),
        (GOOD + "cap_minor = -1", f"{AT}.cap_minor"),
        (GOOD + "free_s = -1", f"{AT}.free_s"),
        (GOOD + 'minimum_s = "30"', f"{AT}.minimum_s"),
        (GOOD + 'rounding = "sideways"', f"{AT}.rounding"),
        (GOOD + 'grain = "month"', f"{AT}.grain"),
        (GOOD + 'unanswered = "maybe"', f"{AT}.unanswered"),
        (GOOD + "setup = 1", f"{AT}.setup"),
        (GOOD + "tax = 16", f"{AT}.tax"),
        (GOOD + "tax = { percent = 16 }", f"{AT}.tax.included"),
        (GOOD + "tax = { percent = 16.5, included = true }", f"{AT}.tax.percent"),
        (GOOD + 'tax = { percent = 16, included = "yes" }', f"{AT}.tax.included"),
        (GOOD + "applies = { prefix = 254 }", f"{AT}.applies.prefix"),
        (GOOD + 'applies = { prefix = "25x" }', f"{AT}.applies.prefix"),
        (GOOD + 'applies = { prefix = "" }', f"{AT}.applies.prefix"),
        (GOOD + 'applies = { prefix = "254", sip = true }', f"{AT}.applies.prefix"),
        (GOOD + 'applies = { direction = "up" }', f"{AT}.applies.direction"),
        (GOOD + 'applies = { kind = "cat" }', f"{AT}.applies.kind"),
        (GOOD + 'applies = { own = ["0700"] }', f"{AT}.applies.own"),
        (GOOD + 'applies = { time_of_day = "22-06" }', f"{AT}.applies.time_of_day"),
        (GOOD + 'applies = { time_of_day = "25:00-06:00" }', f"{AT}.applies.time_of_day"),
        (GOOD + "applies = { time_of_day = 22 }", f"{AT}.applies.time_of_day"),
        (GOOD + 'applies = { weekday = "sat" }', f"{AT}.applies.weekday"),
        (GOOD + 'applies = { weekday = ["sabbath"] }', f"{AT}.applies.weekday"),
        (GOOD + "applies = { weekday = [] }", f"{AT}.applies.weekday"),
        (GOOD + "applies = { weekday = [[]] }", f"{AT}.applies.weekday"),
        (GOOD + 'applies = { date = ["2026-02-30"] }', f"{AT}.applies.date"),
        (GOOD + 'applies = { date = ["25 December"] }', f"{AT}.applies.date"),
        (GOOD + 'applies = { colour = "red" }', f"{AT}.applies.colour"),
        (GOOD + '[[versions.standing]]\nwhat = "coffee"\nunit = "number"\namount_minor = 1', "versions[0].standing[0].what"),
        (GOOD + '[[versions.standing]]\nwhat = "rental"\nunit = "number"\namount_minor = 100.0', "versions[0].standing[0].amount_minor"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(text: str, field: str) -> None:
    found = faults(text)
    assert field in found, found
    assert found[field]


def test_everything_wrong_is_said_at_once() -> None:
    wrong = GOOD.replace('"KES"', '"shillings"').replace("increment_s = 1", "increment_s = 0") + 'grain = "month"\n'
    assert list(faults(wrong)) == ["currency", f"{AT}.steps[0].increment_s", f"{AT}.grain"]


def test_rates_without_a_common_denominator_are_refused() -> None:
    primes = [999_999_999_989, 999_999_999_961, 999_999_999_959, 999_999_999_937, 999_999_999_899, 999_999_999_877]
    rules = "".join(RULE.replace("300", f'"1/{prime}"') for prime in primes)
    assert "versions[0].rules" in faults(f"{HEAD}[[versions]]\n{FIRST}{rules}")


def test_every_field_is_understood() -> None:
    rule = shipped()["example"].versions[0].rules[3]
    assert (rule.setup_minor, rule.free_s, rule.minimum_s, rule.cap_minor) == (50, 3, 30, 20_000)
    assert rule.tax == Tax(Fraction(16), included=False)
    night = shipped()["example"].versions[0].rules[0]
    assert night.applies == Applies(direction="outbound", prefix="254", time_of_day=(22 * 60, 30 * 60))
    assert night.steps[0].rate_minor == Fraction(25, 6)
    assert parse(GOOD + 'applies = { prefix = "+254", date = [2026-12-25] }').versions[0].rules[0].applies.prefix == "254"


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_plan_reads_as_written_and_as_json(name: str) -> None:
    plan = shipped()[name]
    assert parse(written(plan), name=name) == plan
    assert all(version.evidence for version in plan.versions)
    as_json = json.loads(json.dumps(tomllib.loads(shipped_text(name)), default=str))  # times and dates as text, as JSON has them
    assert parse(as_json, name=name) == plan


def test_sautikit_is_shipped_in_both_readings() -> None:
    second, minute = shipped()["sautikit-ke"], shipped()["sautikit-ke-minute"]
    assert {step.increment_s for rule in second.versions[0].rules for step in rule.steps} == {1}
    assert {step.increment_s for rule in minute.versions[0].rules for step in rule.steps} == {60}
    assert "KES 3.05 or KES 6.00" in second.notes == minute.notes
    assert [(one.what, one.amount_minor, one.free) for one in second.versions[0].standing] == [("rental", 10_000, 0), ("storage", 200, 5)]


def test_minivoice_has_no_rates() -> None:
    plan: Plan = shipped()["minivoice"]
    assert [version.rules for version in plan.versions] == [()]


# ---------------------------------------------------------------- appending


def test_a_version_that_is_there_is_no_change_and_a_new_one_is_known_since_now() -> None:
    there = parse(GOOD, name="mine")
    assert appended(there, parse(GOOD + "\n# another comment\n", name="mine"), at=7) == []
    (new,) = appended(there, parse(GOOD + SECOND, name="mine"), at=7)
    assert (new.version, new.appended_at) == ("2", 7)
    assert [one.version for one in appended(None, there, at=7)] == ["1"]
    back_dated = parse(GOOD.replace('version = "1"', 'version = "0"').replace("2026-01", "2025-01"), name="mine")
    whole = joined([there, back_dated])
    assert [one.version for one in whole.versions] == ["0", "1"]
    assert parse(written(whole), name="mine") == whole


def test_a_version_is_never_overwritten() -> None:
    there = parse(GOOD, name="mine")
    with pytest.raises(Overwritten, match="'1'"):
        appended(there, parse(GOOD.replace("300", "301"), name="mine"), at=7)
    for text, field in (
        (GOOD.replace('version = "1"', 'version = "2"'), "versions[0].valid_from"),
        (GOOD.replace("KES", "UGX"), "currency"),
        (GOOD.replace("Africa/Nairobi", "UTC"), "timezone"),
        (GOOD + SECOND + "appended_at = 2020-01-01T00:00:00Z\n", "versions[1].appended_at"),
    ):
        with pytest.raises(Faults) as caught:
            appended(there, parse(text, name="mine"), at=7)
        assert [name for name, _ in caught.value.faults] == [field]


def test_times_far_away_are_refused() -> None:
    assert "versions[0].valid_from" in faults(GOOD.replace("2026-01-01T00:00:00Z", "0001-01-01T00:00:00+03:00"))
