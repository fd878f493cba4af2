"""What the provider took for one call: its ledger lines, or its records' amounts; what was given back, what was taken twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import msgspec

from calls.clock import Micros
from calls.reconciliation.sides import Record, Unit

_MOST_WAYS = 64
_MOST_TIMES = 9  # 2 … 9 times their record's amount in one line is that amount several times; 100 and 1000 times is another unit


class Taken(msgspec.Struct, frozen=True):
    """An amount of theirs: `what` a person calls the line it stands in."""

    what: str
    at: Micros
    amount_minor: int
    inside: bool
    call_id: str | None = None


class Way(msgspec.Struct, frozen=True):
    """One way to see the lines: some are what the call costs, and `again` are those amounts once more.

    `surplus`: what a single line takes beyond the amount that its record names, where it is that amount several times.
    """

    kept: tuple[Taken, ...]
    again: tuple[Taken, ...] = ()
    surplus: int = 0

    @property
    def total(self) -> int:
        return total(self.kept) - self.surplus


def lines_of(unit: Unit, *, by_records: bool) -> list[Taken]:
    """In the order of their dates, then of their ids."""
    if by_records:
        found = [
            (one.row_id, Taken(f"call record {one.row_id}", one.started_at or 0, one.amount_minor, one.inside, one.call_id))
            for one in unit.records
            if one.amount_minor is not None
        ]
    else:
        found = [
            (one.row_id, Taken(f"ledger line {one.row_id}", one.at or 0, one.amount_minor, one.inside, one.call_id)) for one in unit.entries
        ]
    return [line for _, line in sorted(found, key=lambda each: (each[1].at, each[0]))]


def total(lines: Sequence[Taken]) -> int:
    return sum(line.amount_minor for line in lines)


def inside(lines: Sequence[Taken]) -> int:
    """What of it is the period's."""
    return sum(line.amount_minor for line in lines if line.inside)


def pairs_off(lines: Sequence[Taken]) -> tuple[list[Taken], list[Taken]]:
    """(what stands, what was given back with the giving back). A credit takes away the last debit of its amount before it.

    Given back in another period it takes nothing away in this one.
    """
    standing = [line for line in lines if line.amount_minor >= 0]
    gone: list[Taken] = []
    for credit in (line for line in lines if line.amount_minor < 0):
        equal = [line for line in standing if line.amount_minor == -credit.amount_minor and line.inside is credit.inside]
        found = next((line for line in reversed(equal) if line.at <= credit.at), equal[-1] if equal else None)
        if found is None:
            standing.append(credit)
        else:
            standing.remove(found)
            gone += [found, credit]
    return standing, gone


def stated(records: Sequence[Record]) -> int | None:
    """What their call records say that it costs, each call once; None where none says."""
    amounts: dict[str, int] = {}
    for record in sorted(records, key=lambda one: (one.started_at or 0, one.row_id)):
        if record.amount_minor is not None:
            amounts.setdefault(record.call_id or record.row_id, record.amount_minor)
    return sum(amounts.values()) if amounts else None


def ways(lines: Sequence[Taken], *, record_says: int | None) -> list[Way]:
    """All lines as they stand first, then with equal lines taken for repetitions, the fewest first."""
    found = sorted(_without_repeats(lines), key=lambda way: len(way.again))
    whole = total(lines)
    if record_says and record_says > 0 and whole % record_says == 0 and 2 <= whole // record_says <= _MOST_TIMES:
        found.append(Way(tuple(lines), surplus=whole - record_says))
    return found


def _without_repeats(lines: Sequence[Taken]) -> Iterator[Way]:
    groups: dict[tuple[str | None, int], list[Taken]] = {}
    for line in lines:
        groups.setdefault((line.call_id, line.amount_minor), []).append(line)
    counts = [range(1, len(same) + 1) if amount > 0 else (len(same),) for (_, amount), same in groups.items()]
    sizes = 1
    for count in counts:
        sizes *= len(count)
    chosen = product(*counts) if sizes <= _MOST_WAYS else iter([tuple(count[-1] for count in counts), tuple(count[0] for count in counts)])
    for keep in chosen:
        again = [line for count, same in zip(keep, groups.values(), strict=True) for line in same[count:]]
        yield Way(tuple(line for line in lines if all(line is not one for one in again)), tuple(again))
