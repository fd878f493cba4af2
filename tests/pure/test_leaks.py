"""Faults put into what a provider says: each alone is found as exactly one row of its cause, several always add up, none give none."""

from __future__ import annotations

import random
from fractions import Fraction
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calls.rating.charge import RatedLeg
from calls.reconciliation.cause import CAUSES
from calls.reconciliation.causes import explain
from calls.reconciliation.sides import Difference, Entry, OurLeg, Record, Unit
from tests import leaks
from tests.leaks import BOTH, FAULTS, LEDGER, MAY, PLANS, RECORDS, SECOND, Told, a_minute, call, shows, theirs_less_ours, unit
from virtual.ledger import Ledger, Wallet

EACH = 8


def found(told: Told | Unit, sides: str = BOTH) -> list[Difference]:
    """The differences, which add up to the unit's, as does each one's working to it."""
    by_records = sides == RECORDS
    one = told if isinstance(told, Unit) else unit(told, ledger=sides != RECORDS, records=sides != LEDGER)
    rows = explain(one, plans=PLANS, zone="UTC", by_records=by_records, records_kept=sides != LEDGER)
    assert sum(row.amount_minor for row in rows) == theirs_less_ours(one, by_records=by_records)
    assert all(sum((exact for _, exact in row.working), Fraction(0)) == row.amount_minor for row in rows)
    assert all(row.cause in CAUSES and (row.amount_minor or row.cause in ("clock_skew", "missing_ours", "missing_theirs")) for row in rows)
    return rows


@pytest.mark.parametrize("sides", [BOTH, LEDGER, RECORDS])
@pytest.mark.parametrize("plan", PLANS)
def test_a_clean_call_has_no_difference(plan: str, sides: str) -> None:
    drawn = random.Random(1)
    for serial in range(60):
        assert found(call(drawn, PLANS[plan], serial=serial), sides) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_is_one_row_of_its_cause(fault: str) -> None:
    cause, change = FAULTS[fault]
    drawn = random.Random(fault)
    seen = 0
    for sides in (BOTH, LEDGER, RECORDS):
        if not shows(fault, sides):
            continue
        for plan in PLANS.values():
            for serial in range(3 * EACH):
                told = change(drawn, call(drawn, plan, serial=serial))
                if told is None:
                    continue
                rows = found(told, sides)
                assert [row.cause for row in rows] == [cause], (told, rows)
                assert rows[0].amount_minor == theirs_less_ours(unit(told, ledger=sides != RECORDS), by_records=sides == RECORDS)
                seen += 1
    assert seen > EACH, "the fault was shown"


def test_lines_without_a_call_are_what_they_say() -> None:
    drawn = random.Random(2)
    for serial in range(200):
        cause, one = leaks.beside(drawn, serial=serial)
        assert [row.cause for row in found(one)] == [cause], one


@pytest.mark.parametrize("plan", PLANS)
def test_several_faults_on_one_call_add_up(plan: str) -> None:
    drawn = random.Random(plan)
    causes = set()
    for serial in range(150):
        told = call(drawn, PLANS[plan], serial=serial)
        for _, change in drawn.sample(list(FAULTS.values()), drawn.randint(2, 4)):
            told = change(drawn, told) or told
        for sides in (BOTH, LEDGER, RECORDS):
            causes |= {row.cause for row in found(told, sides)}
    assert len(causes) > 10


amounts = st.integers(-700, 700) | st.sampled_from([0, 0, 305, 305, 610, -305, 10**15])
ids = st.sampled_from([None, "a", "b", "far"])
times = st.none() | st.integers(0, 200).map(lambda s: MAY + s * SECOND)
lengths = st.none() | st.integers(0, 200_000) | st.sampled_from([0, 61_000, 61_000, 10**17])
directions = st.sampled_from([None, "inbound", "outbound"])
our_legs = st.builds(
    lambda rated, amount, inside, plan, version: OurLeg("j", rated, MAY + 10**9, amount, plan, version, inside=inside),
    st.builds(
        RatedLeg, directions, st.sampled_from(["caller", "external", "sip"]), st.sampled_from([None, "+254720000001", "+4930123456"]),
        lengths, st.integers(0, 30_000), times, times, st.none(), st.sampled_from(["a", "b"]), st.sampled_from(["caller", "far"]),
    ),
    st.none() | amounts, st.booleans(), st.sampled_from([*PLANS, "unknown"]), st.sampled_from(["new", "old", None, "never"]),
)  # fmt: skip
records = st.builds(
    Record, st.sampled_from(["r1", "r2", "r3"]), ids, direction=directions, called=st.sampled_from([None, "+254720000001"]), started_at=times,
    answered_at=times, ended_at=times, duration_ms=lengths, status=st.sampled_from([None, "completed", "no-answer", "odd"]),
    amount_minor=st.none() | amounts, rate_per_minute=st.sampled_from([None, "300", "25/6", "0", "1/0", "x", "1e9", "1" * 40]), inside=st.booleans(),
)  # fmt: skip
entries = st.builds(
    Entry, st.sampled_from(["e1", "e2", "e3"]), times, amounts, ids, st.sampled_from([None, "debit", "credit", "sms"]),
    st.sampled_from([None, "", "Call", "refund", "top-up", "rental"]), inside=st.booleans(),
)  # fmt: skip
units = st.builds(
    Unit, st.lists(our_legs, max_size=3).map(tuple), st.lists(records, max_size=3).map(tuple), st.lists(entries, max_size=4).map(tuple),
    st.sampled_from([None, "call_id", "shared", "ledger"]),
)  # fmt: skip


@settings(max_examples=250, deadline=None)
@given(units, st.booleans())
def test_whatever_they_say_the_causes_add_up(one: Unit, by_records: bool) -> None:
    found(one, RECORDS if by_records else BOTH)


def test_the_virtual_providers_ledger_is_clean() -> None:
    """One debit a call, by the second of an outgoing call and of every person dialled, 300 a minute; what comes in is free."""
    plan = leaks.versions("by-second", (), (a_minute(0, leaks.Applies(direction="outbound", kind="bot")), a_minute(300)))
    drawn = random.Random(3)
    ledger = Ledger.__new__(Ledger)
    ledger.wallets = {"main": Wallet()}
    for serial in range(300):
        told = call(drawn, plan, serial=serial)
        main, *far = (_lived(leg) for leg in told.legs)
        line = SimpleNamespace(
            lived=SimpleNamespace(**vars(main), sids=[f"call-{serial}"], far=far),
            account="main",
            id=f"call-{serial}",
            session="s",
            now=lambda: MAY,
        )
        before = len(ledger.wallets["main"].entries)
        ledger.settle(line)
        taken = ledger.wallets["main"].entries[before:]
        lines = tuple(Entry(one["id"], MAY, one["amount_minor"], one["call_id"], one["entry_type"], one["description"]) for one in taken)
        legs = unit(told).legs
        assert explain(Unit(legs, (), lines, "ledger"), plans={plan.id: plan}, zone="UTC", by_records=False, records_kept=False) == []


def _lived(leg: RatedLeg) -> SimpleNamespace:
    ended = (leg.answered_at or leg.started_at or 0) + (leg.talk_ms or 0) * 1000
    return SimpleNamespace(direction=leg.direction, answered_at=leg.answered_at, ended_at=ended, kind=leg.kind)
