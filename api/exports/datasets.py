"""What can be exported. To add a dataset: one entry of DATASETS, and its words in docs/exports.md.

`t` is the dataset's row, `j` its journey. Every source has `{schema}` where the generation of tables is to be named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from api.money.charged import charged
from api.money.lines import latest
from calls.agents import SLOT_COLUMNS
from calls.metrics.slots import COUNTS, EDGES_S, LENGTHS, WITHIN
from projections import (
    agent_intervals,
    agent_slots,
    agent_states,
    calls_table,
    charges,
    journeys,
    legs,
    menu_steps,
    queue_slots,
    queue_visits,
    segments,
    statement_lines,
)

Kind: TypeAlias = Literal["text", "whole", "flag", "time", "date", "texts", "json"]
KINDS: dict[type[object], Kind] = {
    sa.Text: "text", sa.Integer: "whole", sa.BigInteger: "whole", sa.Boolean: "flag", sa.TIMESTAMP: "time", pg.ARRAY: "texts",
    pg.JSONB: "json", sa.Date: "date",
}  # fmt: skip
INTERNAL = frozenset({"tenant", "document", "digest", "last_sign_at", "slots", "in_slots"})
"""Columns that no export has: whose the row is, and what only the projector needs."""


class Column(msgspec.Struct, frozen=True):
    name: str
    kind: Kind
    sql: str


class Dataset(msgspec.Struct, frozen=True):
    """`moment`: what `from` and `to` are of. `order`: what rows are sorted by; no two rows of a tenant are equal in it."""

    name: str
    source: str
    columns: tuple[Column, ...]
    moment: str
    order: tuple[str, ...]
    own: tuple[str, ...] = ("t",)  # every one of these has the tenant's name


def _columns(table: sa.Table) -> tuple[Column, ...]:
    """All that are not internal, in the table's order."""
    return tuple(Column(str(one.name), KINDS[type(one.type)], f't."{one.name}"') for one in table.columns if one.name not in INTERNAL)


def _journeys() -> Dataset:
    return Dataset("journeys", "{schema}.journeys t", _columns(journeys.TABLE), "t.started_at", ("t.started_at", "t.journey_id"))


def _of_journeys(table: sa.Table) -> Dataset:
    """Rows of a journey, and `from` and `to` of the journey's start. The ids of journey and call come first."""
    source = f"{{schema}}.{table.name} t JOIN {{schema}}.journeys j ON j.tenant = t.tenant AND j.journey_id = t.journey_id"
    columns = sorted(_columns(table), key=lambda one: ["journey_id", "call_sid", one.name].index(one.name))
    rest = [order for order in _key(table) if order != 't."journey_id"']
    return Dataset(str(table.name), source, tuple(columns), "j.started_at", ("j.started_at", "j.journey_id", *rest), ("t", "j"))


def _charges() -> Dataset:
    """As the API answers them, those of closed periods as they were closed. A journey may since have become part of another one."""
    source = f"{charged('{schema}')} t LEFT JOIN {{schema}}.journeys j ON j.tenant = t.tenant AND j.journey_id = t.journey_id"
    at = "coalesce(j.started_at, t.started_at)"
    return Dataset("charges", source, _columns(charges.TABLE), at, (at, *_key(charges.TABLE)))


def _of_agents(table: sa.Table, moment: str) -> Dataset:
    """Rows of an agent, and `from` and `to` of their own time."""
    return Dataset(str(table.name), f"{{schema}}.{table.name} t", _columns(table), moment, (moment, *_key(table)))


def _statement_lines() -> Dataset:
    """The version that stands of each line, and `from` and `to` of its own time."""
    table, source = statement_lines.TABLE, f"{latest('{schema}')} t"
    return Dataset(str(table.name), source, _columns(table), "t.at", ("t.at", *_key(table)))


def _key(table: sa.Table) -> list[str]:
    return [f't."{one.name}"' for one in table.primary_key.columns if one.name != "tenant"]


def _slots(name: str, table: sa.Table, *, of: str, amounts: Mapping[str, str]) -> Dataset:
    """Quarters of an hour of each queue or agent (column `of`), summed over what the table keeps apart; not those that are all nothing.

    `amounts`: columns of the table -> their names in an export.
    """
    sums = ", ".join(f'sum("{column}")::bigint AS "{column}"' for column in amounts)
    something = " OR ".join(f'sum("{column}") <> 0' for column in amounts)
    source = f"(SELECT tenant, slot, {of}, {sums} FROM {{schema}}.{table.name} GROUP BY tenant, slot, {of} HAVING {something}) t"
    shown = (Column(exported, "whole", f't."{column}"') for column, exported in amounts.items())
    columns = (Column("interval_start", "time", "t.slot"), Column(of, "text", f"t.{of}"), *shown)
    return Dataset(name, source, columns, "t.slot", ("t.slot", f"t.{of}"))


_WITHIN = {f"{name}_{edge}": f"{name}_within_{edge}s" for name in WITHIN for edge in EDGES_S}
_QUEUES = {name: name for name in COUNTS} | {name: f"{name}_ms" for name in LENGTHS} | _WITHIN
_AGENTS = {name: f"{name}_ms" for name in SLOT_COLUMNS}

_LATEST = (
    "SELECT max(n.seq) FROM safiri.reconciliations n WHERE n.tenant = r.tenant AND n.account = r.account AND n.from_at = r.from_at "
    "AND n.to_at = r.to_at"
)
_DIFFERENCES: dict[str, tuple[Kind, str]] = {
    "reconciliation": ("text", "t.reconciliation"),
    "account": ("text", "t.account"),
    "from": ("time", "t.from_at"),
    "to": ("time", "t.to_at"),
    "n": ("whole", "t.n"),
    "cause": ("text", "t.cause"),
    "amount_minor": ("whole", "t.amount_minor"),
    "at": ("time", "t.at"),
    "call_sid": ("text", "t.call_sid"),
    "content": ("json", "t.content::jsonb"),
}


def _differences() -> Dataset:
    """Of the latest result of each account and period. What has no time of its own counts from the begin of its period."""
    source = (
        "(SELECT d.*, r.account, r.from_at, r.to_at, coalesce(d.at, r.from_at) AS moment FROM safiri.reconciliations r "
        f"JOIN safiri.differences d ON d.tenant = r.tenant AND d.reconciliation = r.id WHERE r.seq = ({_LATEST})) t"
    )
    columns = tuple(Column(name, kind, sql) for name, (kind, sql) in _DIFFERENCES.items())
    return Dataset("differences", source, columns, "t.moment", ("t.moment", "t.reconciliation", "t.n"))


DATASETS: dict[str, Dataset] = {
    one.name: one
    for one in (
        _journeys(),
        _of_journeys(calls_table.TABLE),
        _of_journeys(legs.TABLE),
        _of_journeys(segments.TABLE),
        _of_journeys(queue_visits.TABLE),
        _of_journeys(menu_steps.TABLE),
        _charges(),
        _differences(),
        _of_agents(agent_intervals.TABLE, "t.started_at"),
        _of_agents(agent_states.TABLE, "t.at"),
        _statement_lines(),
        _slots("queue_interval_15m", queue_slots.TABLE, of="queue", amounts=_QUEUES),
        _slots("agent_interval_15m", agent_slots.TABLE, of="agent", amounts=_AGENTS),
    )
}
