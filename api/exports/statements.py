"""What an export is asked for, and its SQL. Names are our own; tenant and times are parameters."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from api.exports.datasets import DATASETS, Dataset
from api.exports.formats import FORMATS, Format, cell
from calls.clock import Micros, to_datetime
from runtime.problems import Refused

Parameters: TypeAlias = dict[str, object]


class Asked(msgspec.Struct, frozen=True):
    """`begin` and `end` in microseconds, half-open; None: from the first, to the last."""

    dataset: Dataset
    form: Format
    tenant: str
    begin: Micros | None = None
    end: Micros | None = None


def asked_for(dataset: str, form: str, *, tenant: str, period: tuple[Micros | None, Micros | None]) -> Asked:
    """Refused 404 where there is no such dataset or format, with those that there are."""
    for name, what, known in ((dataset, "dataset", list(DATASETS)), (form, "format", list(FORMATS))):
        if name not in known:
            raise Refused(404, f"No such {what}", f"there is no {what} {name[:80]!r}; there are {', '.join(known)}")
    return Asked(DATASETS[dataset], FORMATS[form], tenant, *period)


def parameters(asked: Asked) -> Parameters:
    found: Parameters = {"tenant": asked.tenant}
    for name, at in (("begin", asked.begin), ("end", asked.end)):
        if at is not None:
            found[name] = to_datetime(at)
    return found


def copying(asked: Asked, schema: str) -> str:
    """COPY of all rows in their order."""
    form, dataset = asked.form, asked.dataset
    cells = ", ".join(cell(form, column) for column in dataset.columns)
    rows = f"SELECT {cells} FROM {_from(asked, schema)} ORDER BY {', '.join(dataset.order)}"
    return f"COPY ({f'SELECT row_to_json(r)::text FROM ({rows}) r' if form.line else rows}) TO STDOUT WITH {form.options}"


def state(asked: Asked, schema: str) -> str:
    """One row: how many rows there are, and two sums over all that they say and what they are sorted by."""
    said = ", ".join(dict.fromkeys((*(column.sql for column in asked.dataset.columns), *asked.dataset.order)))
    sums = ", ".join(f"coalesce(bit_xor(hash_record_extended(ROW({said}), {seed})), 0)" for seed in (0, 1))
    return f"SELECT count(*), {sums} FROM {_from(asked, schema)}"


def _from(asked: Asked, schema: str) -> str:
    dataset = asked.dataset
    conditions = [f"{one}.tenant = %(tenant)s" for one in dataset.own]
    if asked.begin is not None:
        conditions.append(f"{dataset.moment} >= %(begin)s")
    if asked.end is not None:
        conditions.append(f"{dataset.moment} < %(end)s")
    return f"{dataset.source.format(schema=schema)} WHERE {' AND '.join(conditions)}"
