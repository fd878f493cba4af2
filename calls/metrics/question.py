"""A question about numbers, understood: what the API and the command line both make of what was asked, and what is counted from it."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from calls.clock import Micros
from calls.metrics.measures import Attribution
from calls.voice.hours import Opening

Interval: TypeAlias = Literal["15m", "1h", "1d", "1w", "1mo", "all"]
DIMENSIONS = ("queue", "agent", "direction", "account", "flow", "menu", "outcome", "hour", "weekday")  # and attr.NAME
ATTRIBUTE = "attr."
OF_CELLS = ("hour", "weekday")  # dimensions that are of the instant, not of the fact


class Parameters(msgspec.Struct, frozen=True):
    """Thresholds in ms. `by_queue`: queue -> (threshold, short abandon) of the queues whose configuration differs from the two above."""

    threshold_ms: int = 20_000
    short_abandon_ms: int = 5_000
    window_days: int = 7
    by_queue: dict[str, tuple[int, int]] = {}


class Question(msgspec.Struct, frozen=True):
    """`since`, `until`: [from, to). `filters`: sorted (dimension or attr.NAME, text). `attribution` None: each metric's default."""

    tenant: str
    metrics: tuple[str, ...]
    since: Micros
    until: Micros
    interval: Interval = "all"
    zone: str = "UTC"
    group_by: tuple[str, ...] = ()
    filters: tuple[tuple[str, str], ...] = ()
    hours: Opening | None = None  # only what is attributed to these; in `zone`
    parameters: Parameters = Parameters()
    attribution: Attribution | None = None
    preset: str | None = None
    fill: bool = False
    compare: bool = False

    @property
    def groups(self) -> tuple[str, ...]:
        """The dimensions of facts that are grouped by, in the order asked for."""
        return tuple(name for name in self.group_by if name not in OF_CELLS)

    @property
    def facts_filters(self) -> tuple[tuple[str, str], ...]:
        return tuple(pair for pair in self.filters if pair[0] not in OF_CELLS)


class Row(msgspec.Struct, frozen=True):
    """What a cell of the grid is counted into: an interval and, where grouped by them, an hour and a weekday."""

    interval_start: Micros
    hour: int | None = None
    weekday: int | None = None


class Grid(msgspec.Struct, frozen=True):
    """[edges[i], edges[i+1]) is counted into rows[keys[i] - 1]; key 0 = not counted (closed, or filtered by hour or weekday)."""

    edges: list[Micros]
    keys: list[int]
    rows: list[Row]


Group: TypeAlias = tuple[str | None, ...]  # values of Question.groups
Place: TypeAlias = tuple[int, Group]  # key of the grid (1-based), group
Amounts: TypeAlias = dict[str, int]  # measure id (max, quantile: metric id) -> amount
CURRENCIES = "currencies"  # beside amounts of money: how many currencies they are of


class Tally(msgspec.Struct):
    """What was counted, whether some of it is still open (not ended, waiting, an open state), and the currencies of what was charged."""

    amounts: dict[Place, Amounts] = {}
    open: bool = False
    currencies: set[str] = set()
