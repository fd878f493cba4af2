"""One reconciliation: our legs, their call records and their ledger of a period -> where they differ, why, and figures of it.

Ours is the sum over legs that began within the period; theirs that over ledger lines dated within it, or over call records where the
account has no ledger of that time. What lies around the period is matched too, and counts nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

import msgspec
import polars as pl

from calls.clock import Micros
from calls.rating.terms import Plan
from calls.reconciliation import kpis
from calls.reconciliation.cause import Cause
from calls.reconciliation.causes import explain
from calls.reconciliation.kpis import Counted
from calls.reconciliation.match import match
from calls.reconciliation.sides import Difference, Matched, Sides, Unit
from calls.reconciliation.sums import marked, sums, telling
from calls.reconciliation.telling import Found, told
from calls.reconciliation.units import units


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """What is known beside the lines. `zone`: the tenant's, `plans`: by name, `currency`: of the account's plan.

    `ledger_dates`: the first and the last date of all ledger lines of the account, None without any.
    `changed_lines`: ids of ledger lines of the period that said something else before.
    `rest_millicents`: what lines of the period have below one minor unit: those of the ledger, and call records.
    """

    zone: str
    plans: Mapping[str, Plan]
    currency: str
    ledger_dates: tuple[Micros, Micros] | None
    changed_lines: tuple[str, ...] = ()
    rest_millicents: tuple[int, int] = (0, 0)


class Result(msgspec.Struct, frozen=True):
    """`ours_minor` + the causes' amounts = `theirs_minor`, exactly. `differences` in the order of their time, then of their ids.

    `by_records`: theirs is of call records. `kpis`: as JSON has them.
    """

    ours_minor: int
    theirs_minor: int
    by_records: bool
    causes: dict[Cause, Counted]
    match_rate: float
    kpis: dict[str, object]
    differences: list[Found]

    @property
    def unexplained_minor(self) -> int:
        return self.causes["unexplained"].amount_minor if "unexplained" in self.causes else 0


class Unbalanced(Exception):
    """The differences do not add up to the difference: a bug of ours, never of the data."""


def reconcile(sides: Sides, *, period: tuple[Micros, Micros], beside: Beside) -> Result:
    """A function of the sets of rows: their order does not matter. Raises Unbalanced."""
    matched = match(marked(sides, period))
    by_records = beside.ledger_dates is None or beside.ledger_dates[0] >= period[1] or beside.ledger_dates[1] < period[0]
    kept = bool(matched.records["inside"].any())
    found = sums(ours=matched.ours, records=matched.records, ledger=matched.ledger, by_records=by_records, currency=beside.currency)
    differences = sorted(
        told(one, by_records=by_records)
        for one in _differences(matched, telling(found, records_kept=kept), beside=beside, by_records=by_records, records_kept=kept)
    )
    ours_minor, theirs_minor = int(found["ours_minor"].sum()), int(found["theirs_minor"].sum())
    causes = kpis.counted(differences)
    _balanced(ours_minor, (one.amount_minor for one in causes.values()), theirs_minor, "the period")
    matching = kpis.matching(matched.ours, found, records_kept=kept)
    figures = _figures(matched, differences, matching=matching, end=period[1], beside=beside, by_records=by_records)
    return Result(ours_minor, theirs_minor, by_records, causes, matching.calls.rate, figures, differences)


def _differences(matched: Matched, chosen: pl.DataFrame, *, beside: Beside, by_records: bool, records_kept: bool) -> Iterator[Difference]:
    """Of every chosen unit all differences; they add up to its own."""
    amounts = {row[0]: row[1:] for row in chosen.select("unit", "ours_minor", "theirs_minor", "foreign").iter_rows()}
    rows = units(chosen["unit"], ours=matched.ours, records=matched.records, ledger=matched.ledger, by=matched.by)
    for number, unit in rows:
        ours_minor, theirs_minor, foreign = amounts[number]
        if foreign:
            yield _incomparable(unit, theirs_minor - ours_minor, beside.currency)
            continue
        parts = explain(unit, plans=beside.plans, zone=beside.zone, by_records=by_records, records_kept=records_kept)
        _balanced(ours_minor, (one.amount_minor for one in parts), theirs_minor, unit)
        yield from parts


def _incomparable(unit: Unit, amount_minor: int, currency: str) -> Difference:
    """Money of two currencies is no sum; that it stands in the totals at its face value is told, and is never a clean result."""
    said = f"an amount is not in {currency}: taken at its face value, and not to be compared"
    return Difference("unexplained", amount_minor, unit, ((said, Fraction(amount_minor)),))


def _balanced(ours_minor: int, parts: Iterable[int], theirs_minor: int, what: object) -> None:
    amounts = list(parts)
    if ours_minor + sum(amounts) != theirs_minor:
        raise Unbalanced(f"{ours_minor} + {amounts} is not {theirs_minor}: {what}"[:2000])


def _figures(
    matched: Matched, found: list[Found], *, matching: kpis.Matching, end: Micros, beside: Beside, by_records: bool
) -> dict[str, object]:
    """The KPIs as JSON has them. What ends in `_minor` is whole."""
    pairs = kpis.pairs(matched.ours, matched.records)
    legs = matched.ours.filter("inside")
    causes = kpis.counted(found)
    missing = {cause: causes.get(cause, Counted()) for cause in ("missing_ours", "missing_theirs")}
    return {
        "currency": beside.currency, "theirs_by": "records" if by_records else "ledger",
        "calls": matching.calls.whole, "matched_calls": matching.calls.part,
        "money_match_rate": matching.money.rate, "money_minor": matching.money.whole, "matched_money_minor": matching.money.part,
        **missing, **kpis.leakage(found), "duration_difference": kpis.lengths(pairs),
        "clock_offset_ms": matched.clock_offset_ms, "clock_drift_ms_per_day": matched.drift_ms_per_day,
        "oldest_open": kpis.oldest(found, end), "explained_share": kpis.shares(found),
        "changed_lines": {"count": len(beside.changed_lines), "ids": sorted(beside.changed_lines)[: kpis.NAMED]},
        "rest_millicents": beside.rest_millicents[1 if by_records else 0], "unrated_legs": int(legs["amount_minor"].is_null().sum()),
        "matched_by": kpis.ways(matched.ours),
    }  # fmt: skip
