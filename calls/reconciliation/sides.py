"""What is reconciled: the frames of the three sides, and a unit of what belongs together.

Frames are Polars'; instants are microseconds since 1970 in UTC (Int64), durations ms, amounts integer minor units, ids and names text.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, TypeAlias

import msgspec
import polars as pl

from calls.clock import Micros
from calls.events import Direction
from calls.rating.charge import RatedLeg
from calls.reconciliation.cause import Cause

By: TypeAlias = Literal["call_id", "request_id", "close", "near", "shared", "ledger"]
"""How a record or ledger line found our leg: by the provider's call id, by an id of ours, by numbers and times within 2 s and 1 s, within
30 s and 3 s, as one record for several legs, as a ledger line alone."""

_TEXT, _AT, _WHOLE = pl.String, pl.Int64, pl.Int64
OURS: dict[str, type[pl.DataType]] = {
    "journey_id": _TEXT, "call_sid": _TEXT, "leg": _TEXT, "direction": _TEXT, "kind": _TEXT,
    "caller": _TEXT, "called": _TEXT,  # of the leg: who rang whom, as its record would have it
    "to": _TEXT, "own": _TEXT, "queue": _TEXT, "agent": _TEXT, "started_at": _AT, "answered_at": _AT, "ended_at": _AT,
    "talk_ms": _WHOLE, "ring_ms": _WHOLE, "received_at": _AT, "amount_minor": _WHOLE, "currency": _TEXT, "plan": _TEXT, "version": _TEXT,
}  # fmt: skip
NAMES: dict[str, type[pl.DataType]] = {"call_sid": _TEXT, "name": _TEXT, "ours": pl.Boolean}
"""Other ids of a call: aliases of the provider, and (`ours`) client request ids."""
RECORDS: dict[str, type[pl.DataType]] = {
    "row_id": _TEXT, "call_id": _TEXT, "session_id": _TEXT, "client_request_id": _TEXT, "direction": _TEXT, "caller": _TEXT,
    "called": _TEXT, "started_at": _AT, "answered_at": _AT, "ended_at": _AT, "duration_ms": _WHOLE, "status": _TEXT,
    "amount_minor": _WHOLE, "currency": _TEXT, "rate_per_minute": _TEXT,
}  # fmt: skip
LEDGER: dict[str, type[pl.DataType]] = {
    "row_id": _TEXT, "call_id": _TEXT, "at": _AT, "amount_minor": _WHOLE, "currency": _TEXT, "entry_type": _TEXT, "description": _TEXT,
}  # fmt: skip


class Sides(msgspec.Struct, frozen=True):
    """What is compared, in frames of OURS, NAMES, RECORDS and LEDGER: the period and what lies around it."""

    ours: pl.DataFrame
    names: pl.DataFrame
    records: pl.DataFrame
    ledger: pl.DataFrame


class Matched(msgspec.Struct, frozen=True):
    """The three sides with a `unit` (UInt32) each: rows of one number belong together. Rows are in the order in which they came.

    Numbers count from 0: units with a leg of ours by their smallest leg, then those of records by their smallest row id, then those of
    ledger lines. `by` of a row (a By or null): how it found the other side, null where it did not. Frame `by`: `unit` and the first By
    of its legs, one row a unit, ascending. `clock_offset_ms`: their clock − ours, None where unknown; `drift_ms_per_day`: by how much
    that grows in a day.
    """

    ours: pl.DataFrame
    records: pl.DataFrame
    ledger: pl.DataFrame
    by: pl.DataFrame
    clock_offset_ms: int | None = None
    drift_ms_per_day: int | None = None


class OurLeg(msgspec.Struct, frozen=True):
    """`amount_minor` None: unrated. `inside`: it began within the period."""

    journey_id: str
    rated: RatedLeg  # with call_sid and leg
    ended_at: Micros
    amount_minor: int | None
    plan: str
    version: str | None
    queue: str | None = None
    agent: str | None = None
    inside: bool = True


class Record(msgspec.Struct, frozen=True):
    """The provider's call record. `inside`: it began within the period."""

    row_id: str
    call_id: str | None = None
    session_id: str | None = None
    client_request_id: str | None = None
    direction: Direction | None = None
    caller: str | None = None
    called: str | None = None
    started_at: Micros | None = None
    answered_at: Micros | None = None
    ended_at: Micros | None = None
    duration_ms: int | None = None
    status: str | None = None
    amount_minor: int | None = None
    rate_per_minute: str | None = None
    inside: bool = True


class Entry(msgspec.Struct, frozen=True):
    """A ledger line: debit +, credit −. `inside`: its date lies within the period."""

    row_id: str
    at: Micros | None
    amount_minor: int
    call_id: str | None = None
    entry_type: str | None = None
    description: str | None = None
    inside: bool = True


class Unit(msgspec.Struct, frozen=True):
    """What belongs together: usually one call's legs, its record, its ledger line. Any of the three may be empty."""

    legs: tuple[OurLeg, ...] = ()
    records: tuple[Record, ...] = ()
    entries: tuple[Entry, ...] = ()
    by: By | None = None


class Difference(msgspec.Struct, frozen=True):
    """A part of (theirs − ours) and its one cause. The working's lines sum to the amount: `(what, exact)` in minor units."""

    cause: Cause
    amount_minor: int
    unit: Unit
    working: tuple[tuple[str, Fraction], ...] = ()
