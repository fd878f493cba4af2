"""A run over three sides: totals, the identity for any input, borders of the period, figures. Causes have tests of their own."""

from __future__ import annotations

import json
import random
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from calls.rating.plan import parse
from calls.reconciliation import run
from calls.reconciliation.run import Beside, Result, Unbalanced, reconcile
from calls.reconciliation.sides import LEDGER, NAMES, OURS, RECORDS, Difference, Sides

PLAN = parse(
    'currency = "KES"\ntimezone = "UTC"\n[[versions]]\nversion = "1"\nvalid_from = 2000-01-01T00:00:00Z\n[[versions.rules]]\n'
    "steps = [{ from_s = 0, rate_minor = 300, per_s = 60, increment_s = 1 }]\n",
    name="p",
)
T0 = 1_780_272_000_000_000  # 2026-06-01T00:00:00Z
S = 1_000_000
DAY_S = 86_400
Rows = list[dict[str, Any]]
OWN, FAR = "+254700000001", "+254720000001"


def leg(sid: str, at: float = 0, talk: int | None = 60, **more: Any) -> dict[str, Any]:
    """Starts `at` seconds after T0, rings 3 s, talks `talk` s at 3.00 a minute."""
    start = T0 + int(at * S)
    own: dict[str, Any] = {
        "journey_id": f"j-{sid}", "call_sid": sid, "leg": "caller", "direction": "outbound", "kind": "caller", "caller": OWN, "called": FAR,
        "to": FAR, "own": OWN, "started_at": start, "answered_at": None if talk is None else start + 3 * S,
        "ended_at": start + (3 + (talk or 0)) * S, "talk_ms": None if talk is None else talk * 1000, "ring_ms": 3000, "received_at": start,
        "amount_minor": 5 * (talk or 0), "currency": "KES", "plan": "p", "version": "1",
    }  # fmt: skip
    return own | more


def record(sid: str, at: float = 0, talk: int = 60, **more: Any) -> dict[str, Any]:
    own = {
        "row_id": sid,
        "call_id": sid,
        "direction": "outbound",
        "caller": OWN,
        "called": FAR,
        "amount_minor": 5 * talk,
        "currency": "KES",
    }
    return own | {"started_at": T0 + int(at * S), "duration_ms": talk * 1000, "status": "completed" if talk else "no_answer"} | more


def line(row: str, at: float = 63, amount: int = 300, call_id: str | None = None, **more: Any) -> dict[str, Any]:
    own = {"row_id": row, "call_id": call_id, "at": T0 + int(at * S), "amount_minor": amount, "currency": "KES"}
    return own | {"entry_type": "debit" if amount >= 0 else "credit", "description": "Call"} | more


def ran(ours: Rows = [], records: Rows = [], ledger: Rows = [], *, first: float = 0, last: float = DAY_S, **more: Any) -> Result:  # noqa: B006
    """The period is [first, last) in seconds after T0; the ledger's dates are those of its lines."""
    sides = Sides(pl.DataFrame(ours, OURS), pl.DataFrame([], NAMES), pl.DataFrame(records, RECORDS), pl.DataFrame(ledger, LEDGER))
    dates = [one["at"] for one in ledger]
    known = {"zone": "UTC", "plans": {"p": PLAN}, "currency": "KES", "ledger_dates": (min(dates), max(dates)) if dates else None} | more
    return reconcile(sides, period=(T0 + int(first * S), T0 + int(last * S)), beside=Beside(**known))


def causes(found: Result) -> dict[str, tuple[int, int]]:
    return {cause: (one.count, one.amount_minor) for cause, one in found.causes.items()}


def test_nothing_at_all() -> None:
    found = ran()
    assert (found.ours_minor, found.theirs_minor, causes(found), found.match_rate, found.differences) == (0, 0, {}, 1.0, [])
    assert found.kpis["explained_share"] == {}


def test_what_agrees_is_no_difference() -> None:
    found = ran(
        [leg("c1"), leg("c2", 100, 61)], [record("c1"), record("c2", 100, 61)], [line("e1", 63, 300, "c1"), line("e2", 164, 305, "c2")]
    )
    assert (found.ours_minor, found.theirs_minor, causes(found), found.match_rate) == (605, 605, {}, 1.0)
    assert found.kpis["matched_calls"] == found.kpis["calls"] == 2
    assert not found.by_records


def test_ledger_alone_and_call_records_alone() -> None:
    ours = [leg("c1"), leg("c2", 100, 61), leg("c3", 200, None)]
    by_ledger = ran(ours, [], [line("e1", 63, 300, "c1"), line("e2", 164, 305, "c2")])
    assert (causes(by_ledger), by_ledger.match_rate, by_ledger.kpis["theirs_by"]) == ({}, 1.0, "ledger")  # nobody charges c3, and rightly
    by_records = ran(ours, [record("c1"), record("c2", 100, 61)])
    assert (by_records.theirs_minor, by_records.kpis["theirs_by"]) == (605, "records")
    assert (causes(by_records), by_records.match_rate) == ({"missing_theirs": (1, 0)}, 0.666666)  # they tell calls, and not this one


@pytest.mark.parametrize(
    ("amounts", "want"),
    [
        ((300, 200), {}),
        ((300, 200, 200), {"duplicate_theirs": (1, 200)}),
        ((300,), {"missing_theirs": (1, -200)}),
        ((200,), {"missing_theirs": (1, -300)}),
        ((500,), {}),
        ((500, 500), {"duplicate_theirs": (1, 500)}),
        ((50_000,), {"currency_unit": (1, 49_500)}),
    ],
)
def test_records_of_each_leg_and_lines_that_name_the_call(amounts: tuple[int, ...], want: dict[str, tuple[int, int]]) -> None:
    far = "+254722000001"
    agent = leg("c1", 5, 40, leg="a1", kind="agent", called=far, to=far)
    records = [record("c1"), record("a1", 5, 40, called=far)]
    lines = [line(f"e{number}", 63 + number, amount, "c1") for number, amount in enumerate(amounts)]
    assert causes(ran([leg("c1"), agent], records, lines)) == want


def test_a_ledger_of_another_time_says_nothing_of_this_one() -> None:
    ours, records = [leg("c1")], [record("c1")]
    for at in (-3600, DAY_S):
        assert ran(ours, records, [line("e0", at, 77)]).by_records
    assert causes(ran(ours, records, [line("e0", -10, 77), line("e9", DAY_S, 77)])) == {
        "missing_theirs": (1, -300)
    }  # one that surrounds it does


def test_a_call_across_midnight_in_its_day_the_next_and_the_month() -> None:
    """Debited when it ended, which was after midnight."""
    late = [leg("c1", DAY_S - 20, 100)], [record("c1", DAY_S - 20, 100)], [line("e0", 5, -1, None), line("e1", DAY_S + 83, 500, "c1")]
    first, second = ran(*late), ran(*late, first=DAY_S, last=2 * DAY_S)
    assert causes(first)["period_boundary"] == (1, -500)
    assert causes(second) == {"period_boundary": (1, 500)}
    assert "period_boundary" not in causes(ran(*late, last=2 * DAY_S))
    assert (first.ours_minor, second.ours_minor, second.theirs_minor) == (500, 0, 500)
    assert "c1" in second.differences[0].content.decode()


def test_a_result_is_of_the_set_of_rows_and_in_the_order_of_time() -> None:
    rng = random.Random(1)
    ours = [leg(f"c{n}", 50 * n, 60 + n) for n in range(40)]
    ledger = [line(f"e{n}", 50 * n + 63, 5 * (60 + n) + (n % 3) * 100, f"c{n + (n % 7 == 0) * 100}") for n in range(40)]
    first = ran(ours, [], ledger)
    for _ in range(3):
        rng.shuffle(ours), rng.shuffle(ledger)
        again = ran(ours, [], ledger)
        assert [one.content for one in again.differences] == [one.content for one in first.differences]
        assert again.kpis == first.kpis
    assert [one.at for one in first.differences] == sorted(one.at or 0 for one in first.differences)


def test_clocks_far_apart_are_told_and_cost_nothing() -> None:
    found = ran([leg("c1")], [record("c1", 90)], [line("e1", 153, 300, "c1")])
    assert (causes(found), found.unexplained_minor) == ({"clock_skew": (1, 0)}, 0)
    assert causes(ran([leg("c1")], [record("c1", 29)], [line("e1", 92, 300, "c1")])) == {}


def test_an_unrated_leg_counts_nothing_and_is_counted() -> None:
    found = ran([leg("c1", amount_minor=None)], [], [line("e1", 63, 300, "c1")])
    assert (found.ours_minor, found.theirs_minor, found.kpis["unrated_legs"]) == (0, 300, 1)


@pytest.mark.parametrize("amount", [300, 450])
def test_money_of_another_currency_is_never_a_clean_result(amount: int) -> None:
    found = ran([leg("c1")], [], [line("e1", 63, amount, "c1", currency="USD")])
    assert causes(found) == {"unexplained": (1, amount - 300)}
    assert "KES" in json.loads(found.differences[0].content)["working"][0]["what"]


def test_sums_beyond_what_a_column_holds() -> None:
    most = 2**63 - 1
    found = ran([], [], [line("e1", 1, most), line("e2", 2, most)])
    assert found.theirs_minor == 2 * most


def test_figures() -> None:
    ours = [leg(f"c{n}", 100 * n) for n in range(4)]
    records = [record(f"c{n}", 100 * n, 60 + n) for n in range(3)]
    ledger = [line(f"e{n}", 100 * n + 63, 300 + 5 * n, f"c{n}") for n in range(3)] + [
        line("top", 10, -100_000, None, description="M-Pesa top-up")
    ]
    found = ran(ours, records, ledger, changed_lines=("e2", "e0"), rest_millicents=(450, 0))
    kpis = found.kpis
    assert (found.match_rate, kpis["money_match_rate"], kpis["calls"], kpis["matched_calls"]) == (0.75, 0.75, 4, 3)
    assert (kpis["net_leakage_minor"], kpis["gross_leakage_minor"]) == (-285, 315)  # +5 +10 −300; a top-up leaks nothing
    told = json.loads(json.dumps({"lengths": [getattr(kpis["duration_difference"], name) for name in ("compared", "mean_ms", "p95_ms")]}))
    assert told["lengths"] == [3, 1000, 2000]
    assert kpis["oldest_open"] == {"at": "2026-06-01T00:01:40.000Z", "age_ms": (DAY_S - 100) * 1000}
    assert kpis["changed_lines"] == {"count": 2, "ids": ["e0", "e2"]}
    assert (kpis["rest_millicents"], kpis["currency"]) == (450, "KES")


def test_a_sum_that_does_not_close_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(unit: Any, **_: Any) -> list[Difference]:
        return [Difference("unexplained", 1, unit)]

    monkeypatch.setattr(run, "explain", wrong)
    with pytest.raises(Unbalanced, match="is not"):
        ran([leg("c1")])


_IDS = st.sampled_from(["c1", "c2", "c3", "x1", "x2"])
_ATS = st.sampled_from([-90_000.0, -30.0, -1.0, 0.0, 1.0, 30.0, 4000.0, DAY_S - 30.0, DAY_S - 0.5, float(DAY_S), DAY_S + 70.0])
_TALKS = st.sampled_from([0, 1, 59, 60, 61, 300])
_AMOUNTS = st.sampled_from([None, 0, 1, 5, 295, 300, 305, 307, 600, 30_000, 300_000, -300, -5])
_LEGS = st.builds(
    lambda sid, name, at, talk, amount, way: leg(sid, at, talk or None, leg=name, amount_minor=amount, direction=way),
    _IDS, st.sampled_from(["caller", "caller", "agent", "dial-2"]), _ATS, _TALKS, _AMOUNTS, st.sampled_from(["outbound", "inbound", None]),
)  # fmt: skip
_RECORDS = st.builds(
    lambda sid, call, at, talk, amount, way: record(sid, at, talk, call_id=call, amount_minor=amount, direction=way),
    _IDS, st.one_of(st.none(), _IDS), _ATS, _TALKS, _AMOUNTS, st.sampled_from(["outbound", "inbound", None]),
)  # fmt: skip
_LINES = st.builds(
    lambda row, call, at, amount, what: line(f"e{row}", at, amount or 0, call, description=what),
    st.integers(0, 9), st.one_of(st.none(), _IDS), _ATS, _AMOUNTS, st.sampled_from(["Call", "Number rental", "M-Pesa top-up", "", None, "Fee"]),
)  # fmt: skip


@given(
    st.lists(_LEGS, max_size=5, unique_by=lambda one: (one["call_sid"], one["leg"])), st.lists(_RECORDS, max_size=5, unique_by=lambda one: one["row_id"]),
    st.lists(_LINES, max_size=6, unique_by=lambda one: one["row_id"]), st.randoms(use_true_random=False),
)  # fmt: skip
@example([], [], [], random.Random(0))
@settings(max_examples=40)
def test_ours_and_the_causes_are_theirs_whatever_there_is(ours: Rows, records: Rows, ledger: Rows, rng: random.Random) -> None:
    """Raises Unbalanced otherwise; and every difference's working adds up, and no order of rows changes anything."""
    found = ran(ours, records, ledger)
    inside = [one for one in ours if 0 <= one["started_at"] - T0 < DAY_S * S]
    assert found.ours_minor == sum(one["amount_minor"] or 0 for one in inside)
    paid = records if found.by_records else ledger
    assert found.theirs_minor == sum(one["amount_minor"] or 0 for one in paid if 0 <= one.get("started_at", one.get("at")) - T0 < DAY_S * S)
    assert found.ours_minor + sum(one.amount_minor for one in found.differences) == found.theirs_minor
    for rows in (ours, records, ledger):
        rng.shuffle(rows)
    again = ran(ours, records, ledger)
    assert ([one.content for one in again.differences], again.kpis) == ([one.content for one in found.differences], found.kpis)
