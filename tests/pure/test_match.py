"""Which record and which ledger line belong to which of our legs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

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
