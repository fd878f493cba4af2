"""What a rate plan says: its versions, their rules, and what a rule asks for a second, a call, a number.

Amounts ending in `_minor` are integer minor units of the plan's currency (a rate may be any exact rational of them), those
ending in `_s` whole seconds; times are microseconds since 1970 in UTC. Nothing here is a float.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, TypeAlias, get_args

import msgspec

from calls.clock import Micros
from calls.events import Direction

Kind: TypeAlias = Literal["caller", "agent", "external", "sip", "bot"]
Rounding: TypeAlias = Literal["up", "down", "half_up", "half_even"]
Grain: TypeAlias = Literal["increment", "leg", "call"]
Unanswered: TypeAlias = Literal["free", "ring_time"]
StandingFor: TypeAlias = Literal["rental", "storage"]
Unit: TypeAlias = Literal["number", "gb"]
FirstMonth: TypeAlias = Literal["full", "prorated", "unknown"]

DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
KINDS: tuple[Kind, ...] = get_args(Kind)
ROUNDINGS: tuple[Rounding, ...] = get_args(Rounding)
GRAINS: tuple[Grain, ...] = get_args(Grain)
UNANSWERED: tuple[Unanswered, ...] = get_args(Unanswered)
STANDING_FOR: tuple[StandingFor, ...] = get_args(StandingFor)
UNITS: tuple[Unit, ...] = get_args(Unit)
FIRST_MONTHS: tuple[FirstMonth, ...] = get_args(FirstMonth)


class Applies(msgspec.Struct, frozen=True):
    """To which legs, and when. What is None is not asked.

    `prefix`: digits of the E.164 number without its plus. `own`: E.164 numbers of the account. `time_of_day`: minutes of the
    local clock, [start, end); an end beyond 1440 is after midnight. `weekday`: 0 = Monday. `date`: ordinals of local dates.
    """

    direction: Direction | None = None
    kind: Kind | None = None
    prefix: str | None = None
    sip: bool | None = None
    own: tuple[str, ...] | None = None
    time_of_day: tuple[int, int] | None = None
    weekday: tuple[int, ...] | None = None
    date: tuple[int, ...] | None = None


class Step(msgspec.Struct, frozen=True):
    """From billable second `from_s` on: `rate_minor` for every `per_s` seconds, counted in whole increments of `increment_s`."""

    rate_minor: Fraction
    from_s: int = 0
    per_s: int = 1
    increment_s: int = 1


class Tax(msgspec.Struct, frozen=True):
    """`included`: the rates contain it; otherwise it comes on top of them."""

    percent: Fraction
    included: bool


class Rule(msgspec.Struct, frozen=True):
    """What a leg that it applies to costs. `steps` ascend from second 0, each beginning where an increment of the one before ends."""

    steps: tuple[Step, ...]
    applies: Applies = Applies()
    setup_minor: int = 0
    free_s: int = 0
    minimum_s: int = 0
    cap_minor: int | None = None
    unanswered: Unanswered = "free"
    rounding: Rounding = "half_up"
    grain: Grain = "leg"
    tax: Tax | None = None
    evidence: str = ""


class Standing(msgspec.Struct, frozen=True):
    """A charge that no call causes: `amount_minor` a month for every `unit` beyond the `free` ones."""

    what: StandingFor
    unit: Unit
    amount_minor: int
    free: int = 0
    first_month: FirstMonth = "unknown"
    tax: Tax | None = None
    evidence: str = ""


class Version(msgspec.Struct, frozen=True):
    """Rules in force from `valid_from` until the next version's. `appended_at`: since when it is known; None = always."""

    version: str
    valid_from: Micros
    rules: tuple[Rule, ...] = ()
    evidence: str = ""
    standing: tuple[Standing, ...] = ()
    appended_at: Micros | None = None


class Plan(msgspec.Struct, frozen=True):
    """`timezone` None: the tenant's. `versions` in the order of their `valid_from`. `id` is empty where the plan has no name yet."""

    id: str
    currency: str
    versions: tuple[Version, ...]
    timezone: str | None = None
    notes: str = ""
