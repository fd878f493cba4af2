"""One cause for every shilling: a unit's difference -> rows whose amounts sum exactly to theirs − ours within the period.

The order is fixed (docs/reconciliation.md, ADR 0028): no call, a side that is missing, the border of the period, repetitions, what their
record says otherwise, their tariff, and what is left. Whatever no cause explains to the minor unit is `unexplained`.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from calls.rating.terms import Plan
from calls.reconciliation import non_calls
from calls.reconciliation.sides import Difference, Unit


def explain(unit: Unit, *, plans: Mapping[str, Plan], zone: str, by_records: bool, records_kept: bool) -> list[Difference]:
    """The differences of one unit; empty where there is none within the period.

    `plans` by the name under which a leg was rated, `zone` that of plans without one. `by_records`: the account has no ledger here, so
    theirs are the amounts of its call records. `records_kept`: there are call records in this period, so a call without one is a
    difference even where it costs nothing.
    """
    if not unit.legs and not unit.records and all(entry.call_id is None for entry in unit.entries):
        return [] if by_records else non_calls.differences(unit.entries)
    theirs = unit.records if by_records else unit.entries
    ours_minor = sum(leg.amount_minor or 0 for leg in unit.legs if leg.inside)
    rest = sum(one.amount_minor or 0 for one in theirs if one.inside) - ours_minor
    return [Difference("unexplained", rest, unit, (("not explained", Fraction(rest)),))] if rest else []
