"""What can be exported. To add a dataset: one entry of DATASETS, and its words in docs/exports.md.

`t` is the dataset's row, `j` its journey. Every source has `{schema}` where the generation of tables is to be named.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from calls.metrics.slots import COUNTS, EDGES_S, LENGTHS, WITHIN
from projections import calls_table, journeys, legs, menu_steps, queue_slots, queue_visits, segments

Kind: TypeAlias = Literal["text", "whole", "flag", "time", "texts", "json"]
KINDS: dict[type[object], Kind] = {
    sa.Text: "text", sa.Integer: "whole", sa.BigInteger: "whole", sa.Boolean: "flag", sa.TIMESTAMP: "time", pg.ARRAY: "texts",
    pg.JSONB: "json",
}  # fmt: skip
INTERNAL = frozenset({"tenant", "document", "digest", "last_sign_at", "slots"})
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
    """All that are not internal, in the table's order, with the journey's and the call's id first."""
    shown = [one for one in table.columns if one.name not in INTERNAL]
    shown.sort(key=lambda one: ("journey_id", "call_sid").index(one.name) if one.name in ("journey_id", "call_sid") else 2)
    return tuple(Column(str(one.name), KINDS[type(one.type)], f't."{one.name}"') for one in shown)


def _journeys() -> Dataset:
    return Dataset("journeys", "{schema}.journeys t", _columns(journeys.TABLE), "t.started_at", ("t.started_at", "t.journey_id"))


def _of_journeys(name: str, table: sa.Table) -> Dataset:
    """Rows of a journey, and `from` and `to` of the journey's start."""
    source = f"{{schema}}.{table.name} t JOIN {{schema}}.journeys j ON j.tenant = t.tenant AND j.journey_id = t.journey_id"
    rest = [f't."{one.name}"' for one in table.primary_key.columns if one.name not in ("tenant", "journey_id")]
    return Dataset(name, source, _columns(table), "j.started_at", ("j.started_at", "j.journey_id", *rest), ("t", "j"))


def _queue_intervals() -> Dataset:
    """Quarters of an hour of each queue, summed over what the table keeps apart."""
    sums = ", ".join(f'sum("{name}")::bigint AS "{name}"' for name in (*COUNTS, *LENGTHS, *_within()))
    source = (
        f"(SELECT tenant, slot, queue, {sums} FROM {{schema}}.{queue_slots.TABLE.name} GROUP BY tenant, slot, queue "
        "HAVING sum(offered) <> 0 OR sum(handled) <> 0) t"
    )
    names = {one: one for one in COUNTS} | {one: f"{one}_ms" for one in LENGTHS} | _within()
    amounts = (Column(shown, "whole", f't."{name}"') for name, shown in names.items())
    columns = (Column("interval_start", "time", "t.slot"), Column("queue", "text", "t.queue"), *amounts)
    return Dataset("queue_interval_15m", source, columns, "t.slot", ("t.slot", "t.queue"))


def _within() -> dict[str, str]:
    """Columns of the table that count waits up to an edge -> their names in an export."""
    return {f"{name}_{edge}": f"{name}_within_{edge}s" for name in WITHIN for edge in EDGES_S}


DATASETS: dict[str, Dataset] = {
    one.name: one
    for one in (
        _journeys(),
        _of_journeys("calls", calls_table.TABLE),
        _of_journeys("legs", legs.TABLE),
        _of_journeys("segments", segments.TABLE),
        _of_journeys("queue_visits", queue_visits.TABLE),
        _of_journeys("menu_steps", menu_steps.TABLE),
        _queue_intervals(),
    )
}
