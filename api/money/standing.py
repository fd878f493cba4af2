"""The statement lines of a period that stand, as frames: of each line its latest version, whatever it said before.

Which lines have several versions is asked first, of the key alone: the others need no comparing, and a table that was just filled, and
of which the planner knows nothing yet, is read as fast as any.
"""

from __future__ import annotations

import msgspec
import polars as pl

from api.money.snapshot import Asked, Schema, copied, within
from calls.reconciliation.sides import LEDGER, RECORDS

SCHEMAS: dict[str, Schema] = {"call_record": RECORDS, "ledger": LEDGER}
_BESIDE: Schema = {"dated_at": pl.Int64, "rest_millicents": pl.Int64}
_VERSION: Schema = {"updated_at": pl.Int64, "received_at": pl.Int64, "digest": pl.String}
_SQL = {name: f'l."{name}"' for name in (*RECORDS, *LEDGER, "rest_millicents", "updated_at", "received_at")} | {
    "dated_at": "l.at",
    "digest": "encode(l.digest, 'hex')",
}
_OF = "l.tenant = %(tenant)s AND l.account = %(account)s AND l.kind = %(kind)s"


class Lines(msgspec.Struct, frozen=True):
    """`near`: the window's, of the kind's schema with `dated_at` and `rest_millicents`. `several`: of all lines of the account that have
    several versions the standing ones, of any time."""

    of: Asked
    kind: str
    near: pl.DataFrame
    several: pl.DataFrame

    def far(self, ids: list[str]) -> pl.DataFrame:
        """Lines of these calls that are dated outside of the window."""
        outside = f"(l.at IS NULL OR NOT ({within('l.at')}))"
        found = _read(self.of, self.kind, f"l.call_id IN (SELECT unnest(%(ids)s::text[])) AND {outside}", ids=ids)
        again = self.several.filter(pl.col("call_id").is_in(ids) & ~self.of.around("dated_at").fill_null(value=False))
        return pl.concat([_without(found, self.several), again])

    def changed(self) -> list[str]:
        """Ids of lines of the period that said something else before."""
        return self.several.filter(self.of.inside("dated_at"))["row_id"].sort().to_list()

    def rest_millicents(self) -> int:
        """What lines of the period have below one minor unit."""
        return int(self.near.filter(self.of.inside("dated_at"))["rest_millicents"].sum())


def lines(of: Asked, kind: str) -> Lines:
    several = _several(of, kind)
    near = _without(_read(of, kind, within("l.at")), several)
    return Lines(of, kind, pl.concat([near, several.filter(of.around("dated_at"))]), several)


def _several(of: Asked, kind: str) -> pl.DataFrame:
    """The version that stands is the latest by the provider's time of change (none is before all), then by ours, then by its digest."""
    named = copied(
        of, {"row_id": "l.row_id"}, {"row_id": pl.String}, kind=kind,
        source=f"{of.schema}.statement_lines l WHERE {_OF} GROUP BY l.row_id HAVING count(*) > 1",
    )  # fmt: skip
    if named.is_empty():
        return pl.DataFrame(schema=dict(SCHEMAS[kind]) | dict(_BESIDE))
    versions = _read(of, kind, "l.row_id IN (SELECT unnest(%(ids)s::text[]))", versions=True, ids=named["row_id"].to_list())
    latest = versions.sort("row_id", *_VERSION, nulls_last=False).unique("row_id", keep="last", maintain_order=True)
    return latest.drop(*_VERSION)


def _read(of: Asked, kind: str, condition: str, *, versions: bool = False, **more: object) -> pl.DataFrame:
    """A ledger line that names no amount moves none."""
    schema = dict(SCHEMAS[kind]) | dict(_BESIDE) | (dict(_VERSION) if versions else {})
    source = f"{of.schema}.statement_lines l WHERE {_OF} AND {condition}"
    found = copied(of, _SQL, schema, source=source, kind=kind, **more)
    return found.with_columns(pl.col("amount_minor").fill_null(0)) if kind == "ledger" else found


def _without(found: pl.DataFrame, several: pl.DataFrame) -> pl.DataFrame:
    return found.join(several, on="row_id", how="anti") if several.height else found
