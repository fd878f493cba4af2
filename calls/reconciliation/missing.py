"""A call of which one side knows nothing at all."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from calls.reconciliation.rows import Rows, inside
from calls.reconciliation.search import said
from calls.reconciliation.taken import Taken, Way, pairs_off, stated, ways
from calls.reconciliation.taken import inside as inside_of


def of_theirs(rows: Rows, *, records_kept: bool) -> None:
    """They have no record of it and took nothing for it."""
    legs = tuple(leg for leg in rows.unit.legs if leg.inside)
    if legs:
        ours = inside(legs)
        rows.add("missing_theirs", -ours, ((said(legs), Fraction(-ours)),), even_0=records_kept)


def of_ours(rows: Rows, lines: Sequence[Taken]) -> None:
    """They have a call that we do not have. The same line again is no other call."""
    within = any(line.inside for line in lines) or any(record.inside for record in rows.unit.records)
    if not within:
        return
    standing, gone = pairs_off(lines)
    way = _taken_once(standing, record_says=None if rows.by_records else stated(rows.unit.records))
    kept = [line for line in (*way.kept, *gone) if line.inside]
    surplus = way.surplus if any(line.inside for line in way.kept) else 0
    working = [(line.what, Fraction(line.amount_minor)) for line in kept]
    if surplus:
        working.append(("what it takes beyond their call record", Fraction(-surplus)))
    costs = sum(line.amount_minor for line in kept) - surplus
    rows.add("missing_ours", costs, working or ((_told(rows), Fraction(0)),), even_0=True)
    repeated(rows, way)


def repeated(rows: Rows, way: Way) -> None:
    """What they took once more, as far as it is the period's."""
    again = [line for line in way.again if line.inside]
    rows.add("duplicate_theirs", inside_of(again), [(f"{line.what}, once more", Fraction(line.amount_minor)) for line in again])
    if way.surplus and any(line.inside for line in way.kept):
        whole = sum(line.amount_minor for line in way.kept)
        says = whole - way.surplus
        once = [(line.what, Fraction(line.amount_minor)) for line in way.kept]
        rows.add("duplicate_theirs", way.surplus, [*once, (f"their call record, {whole // says} times in it", Fraction(-says))])


def _taken_once(lines: Sequence[Taken], *, record_says: int | None) -> Way:
    """Equal lines are one and its repetitions, unless their record says the sum of them all."""
    found = ways(lines, record_says=record_says)
    agreed = next((way for way in found if way.total == record_says), None)
    return agreed or max(found, key=lambda way: len(way.again))


def _told(rows: Rows) -> str:
    record = next((record for record in rows.unit.records if record.inside), None)
    if record is None:
        return "they have it, and it cost nothing"
    costs = f", which says {record.amount_minor}; no ledger line took it" if record.amount_minor and not rows.by_records else ""
    return f"call record {record.row_id}{costs}"
