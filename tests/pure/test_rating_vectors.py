"""What single rules charge, as tables: our own, and cases of other billing systems by people who do not know of us."""

from __future__ import annotations

import csv
import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from calls.clock import parse_time
from calls.rating.charge import RatedLeg, leg_between
from calls.rating.plain import rate_plainly
from calls.rating.plan import parse
from calls.rating.rate import rate
from tests.outside import HOME, needs

ROWS = list(csv.DictReader((Path(__file__).parents[1] / "corpus/rating/vectors.csv").open(newline="")))
HEAD = 'currency = "KES"\ntimezone = "UTC"\n[[versions]]\nversion = "1"\nvalid_from = 2000-01-01T00:00:00Z\n'
MODES = {"up": "up", "down": "down", "middle": "half_up"}
DAYS = ["", "mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def leg_of(said: str) -> RatedLeg:
    word, seconds = said.split()
    ms = int(Fraction(seconds) * 1000)
    at = parse_time("2026-03-02T08:00:00Z")
    lengths = {"talk": (ms, 5000), "answered": (ms, 5000), "ring": (None, ms)}[word]
    return RatedLeg("outbound", "external", "+254720000001", *lengths, started_at=at, answered_at=at)


def amount(rules: list[dict[str, Any]] | str, leg: RatedLeg) -> tuple[int | None, list[Fraction]]:
    """By the integers and by the fractions, which must agree."""
    if isinstance(rules, str):
        plan = parse(f"{HEAD}[[versions.rules]]\n{rules}\n")
    else:
        version = {"version": "1", "valid_from": "2000-01-01T00:00:00Z", "rules": rules}
        plan = parse({"currency": "KES", "timezone": "UTC", "versions": [version]})
    (fast,), (plain,) = rate(plan, [leg]), rate_plainly(plan, [leg])
    assert (fast.amount_minor, fast.working) == (plain.amount_minor, plain.working)
    return fast.amount_minor, [exact for _, exact in fast.working if exact]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["what"])
def test_a_rule_charges(row: dict[str, str]) -> None:
    assert amount(row["rule"], leg_of(row["leg"])) == (int(row["amount_minor"]), [Fraction(part) for part in row["working"].split()])


# ---------------------------------------------------------------- the cases of others


def step(rate_: Fraction, *, since: int = 0, per_s: int = 60, increment: int = 1) -> dict[str, Any]:
    return {"from_s": since, "rate_minor": str(rate_), "per_s": per_s, "increment_s": increment}


def exact(text: object) -> Fraction:
    return Fraction(str(text))


@needs("billing/yeti_interval_billing.csv")
@pytest.mark.parametrize("digits", [2, 4])
@pytest.mark.parametrize("mode", ["up", "down", "half_up"])
def test_intervals_of_yeti(digits: int, mode: str) -> None:
    """A setup fee, a first interval and the next ones, and a tax on top; money to `digits` decimals, from the exact amount."""
    scale = 10**digits
    rows = list(csv.DictReader((HOME / "billing/yeti_interval_billing.csv").open(newline="")))
    for row in rows:
        first, following = int(row["initial_interval_s"]), int(row["next_interval_s"])
        steps = [
            step(exact(row["initial_rate_per_min"]) * scale, increment=first),
            step(exact(row["next_rate_per_min"]) * scale, since=first, increment=following),
        ]
        tax = {"percent": row["vat_percent"], "included": False}
        rule = {"setup_minor": int(exact(row["connection_fee"]) * scale), "steps": steps, "rounding": mode, "tax": tax}
        want = exact(row["exact_amount_with_vat"]) * scale
        rounded = {"up": math.ceil(want), "down": math.floor(want), "half_up": math.floor(want + Fraction(1, 2))}[mode]
        assert amount([rule], leg_of(f"talk {row['duration_s']}"))[0] == rounded, row
    assert len(rows) > 70


@needs("billing/ccm_cases.json")
def test_community_cellular_manager() -> None:
    """Free seconds, increments of 1, 30 and 60 s, amounts up to the next hundred millicents: that hundred is the minor unit."""
    book = json.loads((HOME / "billing/ccm_cases.json").read_text())
    for case in book["cases"]:
        unit = case["round_up_to"] or 1
        one = step(Fraction(case["rate_per_min"], unit), increment=case["billable_unit_s"])
        rule = {"free_s": case["free_seconds"], "steps": [one], "rounding": "up"}
        leg = leg_of(f"answered {case['billsec']}")
        assert (amount([rule], leg)[0] or 0) * unit == case["expected"], case["name"]
    prefixes = book["prefix_cases"].pop("prefixes")
    rules = [{"applies": {"prefix": prefix}, "steps": [step(exact(prefix))]} for prefix in sorted(prefixes, key=len)]
    for to, prefix in book["prefix_cases"].items():
        assert amount(rules, RatedLeg("outbound", "external", f"+{to}", 60_000))[0] == int(prefix)


def rules_of(book: dict[str, Any], case: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """A rating plan by days of the week, hours and dates -> rules; and how many minor units its money has."""
    entries = sorted(book["plans"][case["plan"]], key=lambda entry: -entry.get("weight", 0))
    rules, scale = [], 1
    for entry in entries:
        tariff, applies = book["tariffs"][entry["tariff"]], {}
        scale = 10 ** tariff["decimals"]
        if "days" in entry:
            later = [other["from"] for other in entries if other["days"] == entry["days"] and other["from"] > entry["from"]]
            applies = {"weekday": [DAYS[day] for day in entry["days"]], "time_of_day": f"{entry['from']}-{min(later, default='24:00')}"}
        if "month" in entry:
            applies = {"date": [f"{case['start'][:4]}-{entry['month']:02}-{entry['month_day']:02}"]}
        steps = [
            step(exact(one["rate"]) * scale, since=one["from_s"], per_s=one["rate_unit_s"], increment=one["increment_s"])
            for one in tariff["groups"]
        ]
        cap = {"cap_minor": int(exact(case["max_cost"]) * scale)} if case.get("max_cost_strategy") == "free" else {}
        fee = int(exact(tariff["connect_fee"]) * scale)
        rules.append({"applies": applies, "setup_minor": fee, "steps": steps, "rounding": MODES[tariff["rounding"]], **cap})
    return rules, scale


@needs("billing/cgrates_cases.json")
def test_cgrates_across_hours_and_days() -> None:
    book = json.loads((HOME / "billing/cgrates_cases.json").read_text())
    for case in book["cases"]:
        rules, scale = rules_of(book, case)
        start, end = parse_time(case["start"]) or 0, parse_time(case["end"]) or 0
        leg = leg_between("outbound", "external", to="+254720000001", started_at=start, answered_at=start, ended_at=end)
        assert amount(rules, leg)[0] == exact(case["exact"]) * scale, case["name"]


@needs("billing/cgrates_cases.json")
def test_cgrates_rounds() -> None:
    book = json.loads((HOME / "billing/cgrates_cases.json").read_text())
    for number, decimals, mode, want in book["rounding_function_cases"]:
        rule = {"steps": [step(exact(number) * 10**decimals, per_s=1)], "rounding": MODES[mode]}
        assert amount([rule], leg_of("talk 1"))[0] == exact(want) * 10**decimals
    for increment, seconds, want in book["duration_rounding_cases_s"]:
        rule = {"steps": [step(Fraction(1), per_s=1, increment=int(increment))]}
        assert amount([rule], leg_of(f"talk {seconds}"))[0] == int(str(want).split()[0])
