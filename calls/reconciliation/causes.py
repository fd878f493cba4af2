"""One cause for every shilling: a unit's difference -> rows whose amounts sum exactly to theirs − ours within the period.

The order is fixed (docs/reconciliation.md, ADR 0028): no call, a side that is missing, repetitions, the border of the period, what
their record says otherwise, their tariff, and what is left. Whatever nothing explains to the minor unit is `unexplained`.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from calls.rating.charge import seconds
from calls.rating.terms import Plan
from calls.reconciliation import evidence, missing, non_calls
from calls.reconciliation.both import both
from calls.reconciliation.rows import Rows
from calls.reconciliation.sides import Difference, Unit


def explain(unit: Unit, *, plans: Mapping[str, Plan], zone: str, by_records: bool, records_kept: bool) -> list[Difference]:
    """The differences of one unit; empty where there is none within the period.

    `plans` by the name under which a leg was rated, `zone` that of plans without one. `by_records`: the account has no ledger here, so
    theirs are the amounts of its call records. `records_kept`: there are call records in this period, so a call without one is a
    difference even where it costs nothing.
    """
    if not unit.legs and not unit.records and all(entry.call_id is None for entry in unit.entries):
        return [] if by_records else non_calls.differences(unit.entries)
    rows = Rows(unit, by_records=by_records)
    aside = () if by_records else non_calls.beside_calls(unit)
    for row in non_calls.differences(aside):
        rows.take(row)
    lines = rows.lines(without=aside)
    if not unit.legs:
        missing.of_ours(rows, lines)
    elif not unit.records and not lines:
        missing.of_theirs(rows, records_kept=records_kept)
    else:
        both(rows, lines, plans=plans, zone=zone)
    _skew(rows)
    return rows.closed()


def _skew(rows: Rows) -> None:
    """Costs nothing, stands beside whatever else there is."""
    skew_s = evidence.skew_s(rows.unit)
    if skew_s is not None:
        said = f"their clock says {seconds(abs(skew_s) * 1000)} s {'later' if skew_s > 0 else 'earlier'} than ours"
        rows.add("clock_skew", 0, ((said, Fraction(0)),), even_0=True)
