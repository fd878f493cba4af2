"""A call that both sides know: repetitions, the border of the period, then what explains the rest of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

import msgspec

from calls.rating.terms import Plan
from calls.reconciliation import evidence, taken
from calls.reconciliation.missing import repeated
from calls.reconciliation.rerating import Tariff
from calls.reconciliation.rows import Rows, inside
from calls.reconciliation.search import Case, Step, as_far_as_known, exactly, said
from calls.reconciliation.sides import OurLeg
from calls.reconciliation.taken import Taken, Way, pairs_off, stated, ways


class View(msgspec.Struct, frozen=True):
    """One way to see a unit: which of our legs and of their lines are the call, and which are it once more."""

    case: Case
    again: tuple[OurLeg, ...]
    way: Way


def both(rows: Rows, lines: Sequence[Taken], *, plans: Mapping[str, Plan], zone: str) -> None:
    """Rows of a unit that has legs of ours and something of theirs."""
    standing, gone = pairs_off(lines)
    if not standing:
        _nothing_taken(rows, plans=plans, zone=zone, given_back=bool(gone))
        return
    views = _views(rows, standing, plans=plans, zone=zone)
    view, steps = _chosen(views)
    repeated(rows, view.way)
    ours_again = [leg for leg in view.again if leg.inside]
    rows.add("duplicate_ours", -inside(ours_again), ((f"{said(ours_again)}, once more", Fraction(-inside(ours_again))),))
    _within(rows, view, gone=gone, steps=steps)


def _within(rows: Rows, view: View, *, gone: Sequence[Taken], steps: Sequence[Step]) -> None:
    """The border of the period. A call on one side of it whose money lies on the other is that alone."""
    legs, way = view.case.legs, view.way
    ours_in, theirs_in = inside(legs), taken.inside(way.kept)
    theirs_in -= way.surplus if any(line.inside for line in way.kept) else 0
    outside = (view.case.amount_minor - ours_in) - (way.total - theirs_in)
    if not any(leg.inside for leg in legs) or (way.kept and not any(line.inside for line in way.kept)):
        steps, outside = (), theirs_in - ours_in
    for step in steps:
        rows.add(step.cause, step.amount_minor, step.working)
    outside += taken.inside(gone)
    what = "taken in another period than that of the call" if outside < 0 else "of a call of another period"
    rows.add("period_boundary", outside, ((what, Fraction(outside)),))


def _views(rows: Rows, standing: Sequence[Taken], *, plans: Mapping[str, Plan], zone: str) -> list[View]:
    """All lines for all legs first, then with repetitions of theirs, the fewest first, then with repetitions of ours."""
    says = stated(rows.unit.records)
    found = ways(standing, record_says=None if rows.by_records else says)
    cases: list[tuple[Case, tuple[OurLeg, ...]]] = [(_case(rows, rows.unit.legs, says=says, plans=plans, zone=zone), ())]
    cases += [(_case(rows, kept, says=says, plans=plans, zone=zone), again) for kept, again in _ours_once(rows)]
    return [View(case, again, way) for case, again in cases for way in found]


def _case(rows: Rows, legs: tuple[OurLeg, ...], *, says: int | None, plans: Mapping[str, Plan], zone: str) -> Case:
    by = tuple((leg.plan, leg.version if leg.amount_minor is not None else None) for leg in legs)
    return Case(legs, rows.unit.records, evidence.own_records(legs, rows.unit.records), Tariff(plans, zone, by), says)


def _ours_once(rows: Rows) -> Iterator[tuple[tuple[OurLeg, ...], tuple[OurLeg, ...]]]:
    """Each of our calls by itself, the others being it once more: where they know of fewer calls than we charge."""
    legs = rows.unit.legs
    charged = sorted({leg.rated.call_sid or "" for leg in legs if leg.amount_minor})
    theirs = {one.call_id or one.row_id for one in rows.unit.records} or {one.call_id or one.row_id for one in rows.unit.entries}
    if len(charged) < 2 or len(theirs) >= len(charged):
        return
    for call_sid in charged:
        kept = tuple(leg for leg in legs if leg.rated.call_sid == call_sid or not leg.amount_minor)
        yield kept, tuple(leg for leg in legs if leg not in kept)


def _chosen(views: Sequence[View]) -> tuple[View, tuple[Step, ...]]:
    """The first view in which nothing is left to explain, else the first that is explained whole, else as much as is known."""
    for view in views:
        if view.way.total == view.case.amount_minor:
            return view, ()
    likely = sorted(views, key=_likelihood)
    for view in likely:
        steps = exactly(view.case, view.way.total)
        if steps is not None:
            return view, steps
    view = likely[0]
    if view.case.says is not None and view.case.says != view.way.total:
        steps = exactly(view.case, view.case.says)
        if steps is not None:
            return view, steps
    return view, as_far_as_known(view.case)


def _likelihood(view: View) -> tuple[int, int, int]:
    """What their record says first; then equal lines are repetitions, where not several legs may have cost the same."""
    agrees = view.case.says is not None and view.case.says == view.way.total
    several = sum(1 for leg in view.case.legs if leg.amount_minor) > 1
    repetitions = len(view.way.again) + bool(view.way.surplus)
    return bool(view.again), not agrees, repetitions if several or view.way.surplus else -repetitions


def _nothing_taken(rows: Rows, *, plans: Mapping[str, Plan], zone: str, given_back: bool) -> None:
    """They have a record of the call, and nothing that they took and kept."""
    legs = rows.unit.legs
    ours = inside(legs)
    if not ours:
        return
    says = stated(rows.unit.records)
    case = _case(rows, legs, says=says, plans=plans, zone=zone)
    asks = not says and not given_back and not rows.by_records and all(leg.inside for leg in legs)
    steps = exactly(case, 0, by_tariff=says == 0) if asks else None
    if steps is None and (given_back or says != 0):
        told = "what was taken was given back" if given_back else "nothing was taken"
        told += f", though their record says {says}" if says else ""
        rows.add("missing_theirs", -ours, ((f"{said(legs)}: {told}", Fraction(-ours)),))
        return
    for step in as_far_as_known(case) if steps is None else steps:
        rows.add(step.cause, step.amount_minor, step.working)
