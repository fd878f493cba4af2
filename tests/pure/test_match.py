"""Which record and which ledger line belong to which of our legs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calls.reconciliation.match import match
from calls.reconciliation.sides import LEDGER, NAMES, OURS, RECORDS, Matched, Sides

T0 = 1_780_000_000_000_000
S = 1_000_000
A, B = "+254700000001", "+254733000001"
Rows = Sequence[dict[str, Any]]


def leg(sid: str, at: float = 0, talk: float | None = 60, **more: Any) -> dict[str, Any]:
    """Starts `at` seconds after T0, rings 5 s, talks `talk` s."""
    start, own = T0 + int(at * S), {"journey_id": f"j-{sid}", "leg": "caller", "direction": "outbound", "caller": A, "called": B}
    talked = {"talk_ms": None if talk is None else int(talk * 1000), "ring_ms": 5000, "ended_at": start + int((5 + (talk or 0)) * S)}
    return {"call_sid": sid, "started_at": start, "amount_minor": 300, **own, **talked, **more}


def record(row: str, at: float | None = 0, long: float | None = 60, **more: Any) -> dict[str, Any]:
    own = {"row_id": row, "call_id": row, "direction": "outbound", "caller": A, "called": B, "amount_minor": 300}
    return own | {"started_at": None if at is None else T0 + int(at * S), "duration_ms": None if long is None else int(long * 1000)} | more


def line(row: str, call_id: str | None = None, **more: Any) -> dict[str, Any]:
    return {"row_id": row, "call_id": call_id, "at": T0, "amount_minor": 300, "entry_type": "debit", "description": "Call"} | more


def sides(ours: Rows = (), records: Rows = (), ledger: Rows = (), names: Rows = ()) -> Sides:
    return Sides(pl.DataFrame(ours, OURS), pl.DataFrame(names, NAMES), pl.DataFrame(records, RECORDS), pl.DataFrame(ledger, LEDGER))


def told(found: Matched) -> list[str]:
    """A unit a line: `c1/caller r1 e1 by`."""
    units: dict[int, list[str]] = {}
    for frame, name in ((found.ours, None), (found.records, "row_id"), (found.ledger, "row_id")):
        for one in frame.iter_rows(named=True):
            units.setdefault(one["unit"], []).append(
                one[name] if name else one["call_sid"] + ("" if one["leg"] == "caller" else "/" + one["leg"])
            )
    by = dict(found.by.iter_rows())
    assert list(by) == sorted(units) == list(range(len(units)))
    return [" ".join([*sorted(units[one]), by[one] or "-"]) for one in sorted(units)]


def said(ours: Rows = (), records: Rows = (), ledger: Rows = (), names: Rows = ()) -> list[str]:
    return told(match(sides(ours, records, ledger, names)))


def test_nothing() -> None:
    assert said() == []


def test_by_the_providers_call_id() -> None:
    assert said([leg("c1"), leg("c2", 100)], [record("r1", call_id="c2"), record("c1", call_id=None)], [line("e1", "c1"), line("e2", "c9")]) == [
        "c1 c1 e1 call_id", "c2 r1 call_id", "e2 -",
    ]  # fmt: skip


def test_by_an_alias_and_by_a_dialled_legs_id() -> None:
    ours = [leg("c1"), leg("c1", leg="agent-7", direction="outbound"), leg("c2"), leg("c3", 50)]
    names = [{"call_sid": "c2", "name": "S-2", "ours": False}, {"call_sid": "c9", "name": "S-9", "ours": False}]
    assert said(ours, [record("c1"), record("agent-7"), record("r2", call_id="x", session_id="S-2"), record("S-9", at=900)], names=names) == [
        "c1 c1 call_id", "agent-7 c1/agent-7 call_id", "c2 r2 call_id", "c3 -", "S-9 -",
    ]  # fmt: skip


def test_an_id_that_names_two_calls_names_none() -> None:
    names = [{"call_sid": sid, "name": "same", "ours": ours} for sid in ("c1", "c2") for ours in (True, False)]
    ours = [leg("c1"), leg("c2"), leg("c1", leg="room"), leg("c2", leg="room")]
    assert said(ours, [record("same", at=900, client_request_id="same"), record("room", at=1900)], names=names) == [
        "c1 c1/room -", "c2 c2/room -", "room -", "same -",
    ]  # fmt: skip


def test_an_alias_that_is_another_calls_own_id_gives_way() -> None:
    assert said([leg("c1", 50), leg("c2")], [record("c2")], names=[{"call_sid": "c1", "name": "c2", "ours": False}]) == [
        "c1 -",
        "c2 c2 call_id",
    ]


def test_by_an_id_of_ours() -> None:
    names = [{"call_sid": "c1", "name": "crm-5", "ours": True}]
    assert said([leg("c1"), leg("c2", 50)], [record("r1", at=900, client_request_id="crm-5")], [line("e1", "crm-5")], names) == [
        "c1 e1 r1 request_id", "c2 -",
    ]  # fmt: skip
    assert said([leg("c1")], [], [line("e1", "crm-5")], names) == ["c1 e1 ledger"]


def test_doubled_records_belong_together() -> None:
    ours = [leg("c1"), leg("c2", 100)]
    assert said(ours, [record("r1", call_id="c1"), record("r2", call_id="c1"), record("r3", 100, call_id="f"), record("r4", 101, call_id="f")]) == [
        "c1 r1 r2 call_id", "c2 r3 r4 close",
    ]  # fmt: skip


def test_a_record_told_again_under_another_id() -> None:
    ours, again = [leg("c1"), leg("c2", 100)], {"call_id": "x", "amount_minor": 7}
    assert said(ours, [record("c1"), record("r1") | again, record("r2") | again], [line("e1", "x")]) == ["c1 c1 e1 r1 r2 call_id", "c2 -"]
    assert said(ours, [record("c1"), record("r1", 1) | again]) == ["c1 c1 call_id", "c2 -", "r1 -"]
    assert said(ours[:1], [record("f1"), record("f2")]) == ["c1 f1 f2 close"]


def test_a_call_that_we_have_twice_under_two_ids() -> None:
    ours = [leg("c1"), leg("c2", 1.5, 61), leg("c3", 0, None), leg("c4", 1, called="+254711111111"), leg("c5", 5)]
    assert said(ours, [record("c1")]) == ["c1 c1 c2 call_id", "c3 -", "c4 -", "c5 -"]
    assert said(ours, [record("c1"), record("c2", 1.5, 61)])[:2] == ["c1 c1 call_id", "c2 c2 call_id"]
    assert said(ours[:2]) == ["c1 -", "c2 -"]


@pytest.mark.parametrize(("later", "longer", "by"), [
    (2, 1, "close"), (-2, -1, "close"), (2.1, 0, "near"), (0, 1.1, "near"), (30, 3, "near"), (-30, -3, "near"), (30.1, 0, "-"), (0, -3.1, "-"),
    (0, 5, "close"),  # with the ringing
])  # fmt: skip
def test_by_numbers_and_times(later: float, longer: float, by: str) -> None:
    assert said([leg("c1")], [record("r1", later, 60 + longer)]) == ([f"c1 r1 {by}"] if by != "-" else ["c1 -", "r1 -"])


@pytest.mark.parametrize("other", [{"caller": "+254711111111"}, {"called": None}, {"direction": "inbound"}, {"started_at": None}])
def test_what_is_not_equal_is_not_close(other: dict[str, Any]) -> None:
    assert said([leg("c1")], [record("r1") | other]) == ["c1 -", "r1 -"]


def test_a_withheld_number_equals_no_other() -> None:
    assert said([leg("c1", caller="anonymous")], [record("r1", caller="anonymous")]) == ["c1 -", "r1 -"]
    assert said([leg("c1", caller=None)], [record("r1", caller=None)]) == ["c1 -", "r1 -"]


def test_what_is_not_said_contradicts_nothing() -> None:
    assert said([leg("c1")], [record("r1", direction=None)]) == ["c1 r1 close"]
    assert said([leg("c1", talk=None)], [record("r1", long=None)]) == ["c1 r1 close"]


def test_a_time_before_1970_is_a_time() -> None:
    ours, records = [leg("c1", started_at=-S)], [record("r1", started_at=1), record("r2", started_at=-(2**60))]
    assert said(ours, records) == ["c1 r1 close", "r2 -"]


def test_the_cheapest_of_all_and_then_the_smallest_ids() -> None:
    ours = [leg("c1", 0), leg("c2", 10), leg("c3", 20)]
    assert said(ours, [record("r1", 12), record("r2", 20), record("r3", 1)]) == ["c1 r3 close", "c2 r1 close", "c3 r2 close"]
    assert said([leg("c2"), leg("c1")], [record("r2"), record("r1")]) == ["c1 r1 close", "c2 r2 close"]
    assert said([leg("c2"), leg("c1")], [record("r1", 5)]) == ["c1 c2 r1 near"]
    assert said([leg("c1")], [record("r2", 1), record("r1", -1)]) == ["c1 r1 close", "r2 -"]


def test_a_near_record_goes_to_whom_no_other_fits() -> None:
    assert said([leg("c1", 0), leg("c2", 20)], [record("r1", 24), record("r2", 47)]) == ["c1 r1 near", "c2 r2 near"]


def test_one_record_for_the_legs_of_a_call() -> None:
    """Agents in a conference: the provider tells of one call, we know three legs of it."""
    ours = [leg("c1"), leg("c1", leg="agent-1"), leg("c1", leg="agent-2")]
    found = match(sides(ours, [record("c1")]))
    assert told(found) == ["c1 c1 c1/agent-1 c1/agent-2 call_id"]
    assert found.ours["by"].to_list() == ["call_id", "shared", "shared"]


def test_a_call_of_the_same_journey_shares_a_record_that_covers_both() -> None:
    ours = [leg("c1", 0, 60, journey_id="j"), leg("c2", 70, 50, journey_id="j"), leg("c3", 70, 50)]
    assert said(ours, [record("c1", 0, 125)]) == ["c1 c1 c2 call_id", "c3 -"]
    assert said(ours, [record("c1", 0, 60, amount_minor=600)]) == ["c1 c1 c2 call_id", "c3 -"]
    assert said(ours, [record("c1", 0, 60)], [line("e1", "c1", amount_minor=600)]) == ["c1 c1 c2 e1 call_id", "c3 -"]
    assert said(ours, [record("c1", 0, 60)]) == ["c1 c1 call_id", "c2 -", "c3 -"]


def test_a_line_that_pays_for_calls_with_records_of_their_own() -> None:
    ours = [leg("c1"), leg("c1", leg="agent-1"), leg("c2", 100), leg("c2", leg="agent-2")]
    records = [record("c1"), record("agent-1"), record("c2", 100), record("agent-2")]
    assert said(ours, records, [line("e1", "c1", amount_minor=600), line("e2", "c2")]) == [
        "agent-1 c1 c1 c1/agent-1 e1 call_id", "c2 c2 e2 call_id", "agent-2 c2/agent-2 call_id",
    ]  # fmt: skip


def test_a_dropped_record_of_a_consultation_stays_missing() -> None:
    """The caller's record is as long as the caller's own call: it covers nothing else."""
    ours = [leg("c1", 0, 300, journey_id="j"), leg("c2", 100, 50, journey_id="j"), leg("c3", 110, 9, journey_id="j", amount_minor=0)]
    assert said(ours, [record("c1", 0, 300)]) == ["c1 c1 call_id", "c2 -", "c3 -"]


def test_ledger_lines_by_every_id_of_a_call() -> None:
    ours = [leg("c1"), leg("c1", leg="agent-1"), leg("c2", 100)]
    names = [{"call_sid": "c1", "name": "alias", "ours": False}]
    ledger = [line(f"e{n}", one) for n, one in enumerate(["c1", "alias", "agent-1", "f2", "r2", "s2"])]
    assert said(ours, [record("r2", 100, call_id="f2", session_id="s2")], ledger, names) == [
        "c1 e0 e1 ledger", "c1/agent-1 e2 ledger", "c2 e3 e4 e5 r2 close",
    ]  # fmt: skip


def test_ledger_lines_of_an_unknown_call() -> None:
    records = [record("r2", call_id="x2"), record("r1", call_id="x1"), record("r3", call_id="x1")]
    ledger = [line("e4", "x3"), line("e2", "x1"), line("e3", "x3"), line("e1"), line("e0")]
    assert said([], records, ledger) == ["e2 r1 r3 -", "r2 -", "e0 -", "e1 -", "e3 e4 -"]


@pytest.mark.parametrize(("text", "found"), [
    ("Call c-0001 to +254733000001", True), ("call (c-0001).", True), ("c-0001 and c-0001", True), ("Call c-0001 and c-0002", False),
    ("Call xc-0001", False), ("Call c-0001x", False), ("", False), (None, False),
])  # fmt: skip
def test_a_ledger_line_names_a_call_in_its_text(text: str | None, found: bool) -> None:
    ours, ledger = [leg("c-0001"), leg("c-0002", 50)], [line("e1", description=text)]
    assert said(ours, [], ledger) == (["c-0001 e1 ledger", "c-0002 -"] if found else ["c-0001 -", "c-0002 -", "e1 -"])


def test_a_line_for_two_records_of_one_session_connects_them() -> None:
    ours, records = (
        [leg("c1"), leg("c2", 100), leg("c3", 200)],
        [record("r1", session_id="s"), record("r2", 100, session_id="s"), record("r3", 200)],
    )
    assert said(ours, records, [line("e1", "s")]) == ["c1 c2 e1 r1 r2 close", "c3 r3 close"]


def test_rows_keep_their_order_and_columns() -> None:
    given = sides([leg("c2"), leg("c1", 100)], [record("c1", 100), record("c2")], [line("e1", "c9"), line("e2", "c2")])
    found = match(given)
    assert [
        one.drop("unit", "by").equals(other)
        for one, other in zip((found.ours, found.records, found.ledger), (given.ours, given.records, given.ledger), strict=True)
    ] == [True] * 3
    assert (found.ours["unit"].to_list(), found.records["unit"].to_list(), found.ledger["unit"].to_list()) == ([1, 0], [0, 1], [2, 1])
    assert found.ledger["by"].to_list() == [None, "ledger"]


# ---------------------------------------------------------------- clocks


def test_clocks_a_second_off_and_foreign_ids() -> None:
    drawn = random.Random(1)
    ours = [
        leg(f"c{n:03}", drawn.randrange(80_000), drawn.choice([None, 5, 61, 300]), called=drawn.choice([B, "+254733000002"]))
        for n in range(200)
    ]
    records = [
        record(f"f{n:03}", (one["started_at"] - T0) / S + drawn.choice([-1, 0, 1]), (one["talk_ms"] or 0) / 1000, called=one["called"])
        for n, one in enumerate(ours)
    ]
    assert said(ours, drawn.sample(records, 200)) == [f"c{n:03} f{n:03} close" for n in range(200)]


def test_some_calls_by_id_whose_clock_is_90_s_ahead() -> None:
    ours = [leg(f"c{n:02}", 600 * n) for n in range(20)]
    found = match(sides(ours, [record(f"c{n:02}", 600 * n + (90 if n % 4 == 0 else 0)) for n in range(20)]))
    assert told(found) == [f"c{n:02} c{n:02} call_id" for n in range(20)]
    assert (found.clock_offset_ms, found.drift_ms_per_day) == (0, None)


def test_an_offset_known_from_ids_corrects_the_others() -> None:
    ours = [leg(f"c{n:02}", 600 * n) for n in range(20)]
    found = match(sides(ours, [record(f"c{n:02}" if n < 15 else f"f{n}", 600 * n + 45) for n in range(20)]))
    assert told(found) == [f"c{n:02} c{n:02} call_id" for n in range(15)] + [f"c{n} f{n} close" for n in range(15, 20)]
    assert found.clock_offset_ms == 45_000


def test_a_clock_that_drifts() -> None:
    ours = [leg(f"c{n:02}", 86_400 * n / 2) for n in range(60)]
    records = [record(f"c{n:02}" if n < 50 else f"f{n}", 86_400 * n / 2 - n) for n in range(60)]
    found = match(sides(ours, records))
    assert told(found)[50:] == [f"c{n} f{n} close" for n in range(50, 60)]
    assert (found.clock_offset_ms, found.drift_ms_per_day) == (-25_000, -2000)


@pytest.mark.parametrize("off", [45, -240, 10_800, -10_780])
def test_a_whole_provider_off_without_any_id(off: int) -> None:
    """The same two numbers, the same length, every minute."""
    ours = [leg(f"c{n:02}", 60 * n, 20) for n in range(60)]
    found = match(sides(ours, [record(f"f{n:02}", 60 * n + off, 20) for n in range(60)]))
    assert told(found) == [f"c{n:02} f{n:02} close" for n in range(60)]
    assert found.clock_offset_ms == off * 1000


def test_two_records_do_not_tell_an_offset() -> None:
    found = match(sides([leg("c1"), leg("c2", 900)], [record("f1", 45), record("f2", 945)]))
    assert (told(found), found.clock_offset_ms) == (["c1 -", "c2 -", "f1 -", "f2 -"], None)


def test_an_hour_of_equal_short_calls() -> None:
    """All hang together: more than are assigned at once."""
    ours = [leg(f"c{n:03}", 10 * n, 5) for n in range(360)]
    found = match(sides(ours, [record(f"f{n:03}", 10 * n + (n % 3) * 2.5, 5) for n in range(360)]))
    assert told(found) == [f"c{n:03} f{n:03} {'near' if n % 3 else 'close'}" for n in range(360)]


def test_a_crowd_of_equal_calls() -> None:
    """Twenty a second: more than can be told apart, yet each record is used once and hardly any is left."""
    crowd = match(sides([leg(f"c{n:03}", n / 20, 5) for n in range(400)], [record(f"f{n:03}", 0.4 + n / 20, 5) for n in range(400)]))
    assert crowd.ours["by"].null_count() <= 4
    assert crowd.records.filter(pl.col("by").is_not_null())["unit"].is_duplicated().sum() == 0


# ---------------------------------------------------------------- laws

SIDS = st.sampled_from(["c1", "c2", "c3", "x1"])
STARTS = st.sampled_from([0, 1, 2, 20, 25, 45, 60])
LEGS = st.builds(
    lambda sid, which, journey, at, talk, amount: leg(sid, at, talk, leg=which, journey_id=journey, amount_minor=amount),
    SIDS, st.sampled_from(["caller", "a-1", "a-2"]), st.sampled_from(["j1", "j2"]), STARTS, st.sampled_from([None, 10, 60]), st.sampled_from([None, 0, 300]),
)  # fmt: skip
TEXTS = st.sampled_from([None, "c1", "a-1", "x1", "x2", "alias", "s1", "crm-1"])
RECORDED = st.builds(
    lambda row, call, session, request, at, long: record(row, at, long, call_id=call, session_id=session, client_request_id=request),
    st.sampled_from([f"r{n}" for n in range(9)]), TEXTS, TEXTS, TEXTS, STARTS, st.sampled_from([None, 0, 10, 60]),
)  # fmt: skip
LINES = st.builds(line, st.sampled_from([f"e{n}" for n in range(9)]), TEXTS, description=st.sampled_from([None, "Call", "of a-1", "x1 c1"]))
NAMED = st.builds(
    lambda sid, name, ours: {"call_sid": sid, "name": name, "ours": ours}, SIDS, st.sampled_from(["alias", "crm-1", "x2"]), st.booleans()
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(LEGS, unique_by=lambda one: (one["call_sid"], one["leg"]), max_size=8), st.lists(RECORDED, unique_by=lambda one: one["row_id"], max_size=8),
    st.lists(LINES, unique_by=lambda one: one["row_id"], max_size=5), st.lists(NAMED, max_size=4), st.randoms(use_true_random=False),
)  # fmt: skip
def test_every_row_is_in_one_unit_whatever_the_order(ours: Rows, records: Rows, ledger: Rows, names: Rows, drawn: random.Random) -> None:
    found = match(sides(ours, records, ledger, names))
    for frame, given_rows in ((found.ours, ours), (found.records, records), (found.ledger, ledger)):
        assert frame.height == len(given_rows) and frame["unit"].null_count() == 0
    shuffled = [drawn.sample(list(rows), len(rows)) for rows in (ours, records, ledger, names)]
    again = match(sides(*shuffled))
    assert told(again) == told(found)
    assert again.by.equals(found.by) and again.clock_offset_ms == found.clock_offset_ms
    one = (
        pl.concat([frame.select("call_id", "unit") for frame in (found.records, found.ledger)]).drop_nulls().group_by("call_id").n_unique()
    )
    assert one["unit"].to_list() == [1] * one.height
