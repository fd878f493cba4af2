"""Costs as metrics: they come from charges, explain to the minor unit, and never add two currencies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from numbers_asked import Numbers
from projecting import Bench, priced

from calls.rating.plan import parse
from projections.schema import migrate
from runtime.posted_plans import append
from runtime.settings import Account, Settings

DOLLARS = """
currency = "USD"
[[versions]]
version = "1"
valid_from = 2026-01-01T00:00:00Z
[[versions.rules]]
steps = [{ from_s = 0, rate_minor = 60, per_s = 60, increment_s = 1 }]
"""
STORY = """
+00:00 call.started @one direction=inbound from=+254712000001 to=+254711000100
+00:00 call.answered @one
+00:05 queue.entered @one queue=support
+00:10 queue.left @one queue=support reason=answered
+00:10 leg.answered @one leg=a kind=agent agent=amina to=+254720000001 queue=support
+01:40 leg.ended @one leg=a
+02:00 call.ended @one
+05:00 call.started @far direction=outbound from=+254711000100 to=+14155550100
+05:05 call.answered @far
+05:35 call.ended @far
+06:00 call.started @missed direction=inbound from=+254712000002 to=+254711000100
+06:10 call.ended @missed
+10:00 call.started @dollars direction=inbound from=+254712000003 to=+254711000200 account=bank
+10:00 call.answered @dollars
+11:00 call.ended @dollars
+12:00 call.started @unplanned direction=inbound from=+254712000004 to=+254711000300 account=other
+12:00 call.answered @unplanned
+12:30 call.ended @unplanned
"""
ACME = {"account": "acme"}


@pytest.fixture(scope="module")
def numbers(database_url: str) -> Iterator[Numbers]:
    bench = Bench(database_url)
    priced(bench)
    both = Settings(
        accounts={name: Account(provider="neutral", rate_plan=plan) for name, plan in (("acme", "acme-ke"), ("bank", "dollars"))}
    )
    migrate(both, bench.url, now=2)
    with psycopg.connect(bench.url, autocommit=True) as connection:
        append(connection, "default", parse(DOLLARS, name="dollars"), now=lambda: 2)
    made = Numbers(bench)
    made.told(STORY)
    yield made
    made.close()


def value(numbers: Numbers, metric: str, **query: Any) -> Any:
    (row,) = numbers.ask(metric, **query)["rows"]
    return row["values"][metric]


def test_what_was_charged_is_the_sum_of_charges(numbers: Numbers) -> None:
    assert value(numbers, "cost.charged", **ACME) == {"value": 547, "numerator": 547, "denominator": None}  # 240 in, 307 to amina, 0 missed
    assert value(numbers, "cost.per_call", **ACME) == {"value": 547 / 3, "numerator": 547, "denominator": 3}
    assert value(numbers, "cost.per_minute", **ACME)["value"] == 547 / 1.5
    assert value(numbers, "cost.unrated", **ACME)["value"] == 1
    assert numbers.ask("cost.charged", **ACME)["definitions"]["cost.charged"]["currency"] == "KES"
    assert (
        sum(amount for (amount,) in numbers.bench.rows("SELECT amount_minor FROM live.charges WHERE currency = 'KES' AND amount_minor > 0"))
        == 547
    )


def test_groups_are_of_their_own_currency_and_several_are_no_number(numbers: Numbers) -> None:
    asked = numbers.ask("cost.charged,calls.started", group_by="account")
    found = {row["group"]["account"]: row["values"]["cost.charged"]["value"] for row in asked["rows"]}
    assert found == {"acme": 547, "bank": 60, "other": None}
    whole = numbers.ask("cost.charged,cost.per_call,calls.started")
    assert whole["rows"][0]["values"]["cost.charged"] == {"value": None, "numerator": 0, "denominator": None}
    assert whole["rows"][0]["values"]["cost.per_call"] == {"value": None, "numerator": 0, "denominator": 5}
    assert whole["rows"][0]["values"]["calls.started"]["value"] == 5
    for one in (asked, whole):
        assert "KES and USD" in one["definitions"]["cost.charged"]["warning"]
    told = numbers.explain("cost.charged")
    assert (told["value"], told["contributions"]) == (None, [])
    assert "never added" in told["why"]


@pytest.mark.parametrize("metric", ["cost.charged", "cost.per_call", "cost.per_minute", "cost.unrated"])
def test_an_explanation_adds_up(numbers: Numbers, metric: str) -> None:
    for side in ("numerator", "denominator"):
        told = numbers.explain(metric, side=side, **ACME)
        want = told[side] if told["denominator"] is not None else told["numerator"]
        assert sum(one["amount"] for one in told["contributions"]) == want


def test_a_contribution_says_money_as_people_read_it(numbers: Numbers) -> None:
    (one,) = numbers.explain("cost.charged", **ACME)["contributions"]
    assert (one["call_sid"], one["amount"], one["currency"]) == ("one", 547, "KES")
    assert "adds KES 5.47 as charged, in the interval of its start" in one["why"]
    (one,) = numbers.explain("cost.per_minute", **ACME)["contributions"]
    assert (one["amount"], "adds 60,000 × KES 5.47 as charged" in one["why"]) == (547 * 60_000, True)
    (one,) = numbers.explain("cost.per_minute", side="denominator", **ACME)["contributions"]
    assert "adds 1 min 30 s as talked" in one["why"]
    (one,) = numbers.explain("cost.unrated")["contributions"]
    assert (one["call_sid"], "counts 1 as unrated" in one["why"]) == ("far", True)


@pytest.mark.parametrize(("sid", "says"), [
    ("missed", "its legs cost nothing"), ("far", "none of its legs is rated"), ("unplanned", "its account names no rate plan"),
])  # fmt: skip
def test_a_call_that_adds_nothing_says_why(numbers: Numbers, sid: str, says: str) -> None:
    account = {"unplanned": "other"}.get(sid, "acme")
    told = numbers.explain("cost.charged", journey_id=sid, account=account)
    assert told["contributions"] == []
    assert says in told["why"]


def test_calls_of_two_accounts_in_one_journey_are_charged_in_neither_currency(another: Any) -> None:
    bench = another()
    priced(bench)
    migrate(
        Settings(accounts={n: Account(provider="neutral", rate_plan=p) for n, p in (("acme", "acme-ke"), ("bank", "dollars"))}),
        bench.url,
        now=2,
    )
    with psycopg.connect(bench.url, autocommit=True) as connection:
        append(connection, "default", parse(DOLLARS, name="dollars"), now=lambda: 2)
    made = Numbers(bench)
    made.told(STORY + "\n+20:00 call.linked @one to_call_sid=dollars id=link")
    assert bench.rows("SELECT charged_minor, currency FROM live.journeys WHERE currency LIKE '%+%'") == [(None, "KES+USD")]
    assert made.ask("cost.charged", **ACME)["rows"][0]["values"]["cost.charged"]["value"] is None
    bench.true()
    made.engine.dispose()
