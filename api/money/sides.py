"""The three sides of an account's period out of one snapshot.

A day around the period is read with it, and by their ids the calls and lines that lie farther off. Memory: the CSV of one side at a time.
"""

from __future__ import annotations

import msgspec
import polars as pl

from api.money.charged import charged
from api.money.snapshot import Asked, copied, within
from api.money.standing import lines
from calls.building import MAIN
from calls.reconciliation.sides import LEDGER, OURS, RECORDS, Sides

_CALLER = f"""CASE WHEN c.leg <> '{MAIN}' THEN c.own WHEN c.direction = 'inbound' THEN k.caller ELSE coalesce(k.caller, c.own) END"""
_LABELS = "(SELECT json_agg(n.label ORDER BY n.n) FROM {}.labels n WHERE n.tenant = c.tenant AND n.journey_id = c.journey_id)::text"
_OURS = {name: f'c."{name}"' for name in OURS} | {
    "caller": _CALLER,
    "called": f"""CASE WHEN c.leg = '{MAIN}' THEN coalesce(k.called, c."to") ELSE c."to" END""",
    "aliases": f"CASE WHEN c.leg = '{MAIN}' AND k.aliases <> '{{}}' THEN array_to_json(k.aliases)::text END",
}
_READ = OURS | {"aliases": pl.String, "labels": pl.String}
_TEXTS = pl.List(pl.String)


class Read(msgspec.Struct, frozen=True):
    """`changed_lines`: ids of ledger lines of the period that said something else before. `rest_millicents`: what the period's lines have
    below one minor unit: those of the ledger, and call records."""

    sides: Sides
    changed_lines: tuple[str, ...]
    rest_millicents: tuple[int, int]


def read(of: Asked) -> Read:
    """All that may belong together with what is inside the period."""
    ours = _ours(of, within("c.started_at"))
    records, ledger = lines(of, "call_record"), lines(of, "ledger")
    strangers = _unknown(ours, pl.concat([one.near.filter(of.inside("dated_at"))["call_id"] for one in (records, ledger)]))
    if strangers:
        ours = pl.concat([ours, _far_calls(of, strangers)])
    lonely = _alone(of, ours, pl.concat([one.near["call_id"] for one in (records, ledger)]))
    theirs = [pl.concat([one.near, one.far(lonely)]) if lonely else one.near for one in (records, ledger)]
    found = Sides(ours.select(*OURS), _names(ours), theirs[0].select(*RECORDS), theirs[1].select(*LEDGER))
    return Read(found, tuple(ledger.changed()), (ledger.rest_millicents(), records.rest_millicents()))


def _ours(of: Asked, condition: str, **more: object) -> pl.DataFrame:
    """Frame of OURS, and `aliases` and `labels` as JSON. A leg that we dialled rang from the account's own number."""
    columns = _OURS | {"labels": f"CASE WHEN c.leg = '{MAIN}' THEN {_LABELS.format(of.schema)} END"}
    source = (
        f"{charged(of.schema)} c LEFT JOIN {of.schema}.calls k ON k.tenant = c.tenant AND k.journey_id = c.journey_id "
        f"AND k.call_sid = c.call_sid WHERE c.tenant = %(tenant)s AND c.account = %(account)s AND {condition}"
    )
    return copied(of, columns, _READ, source=source, **more)


def _far_calls(of: Asked, ids: list[str]) -> pl.DataFrame:
    """Calls that these ids name and that began outside of what was read."""
    named = (
        f"SELECT i.journey_id FROM {of.schema}.call_index i JOIN unnest(%(ids)s::text[]) w(id) ON i.call_sid = w.id "
        "WHERE i.tenant = %(tenant)s"
    )  # fmt: skip
    return _ours(of, f"c.journey_id IN ({named}) AND NOT ({within('c.started_at')})", ids=ids)


def _names(ours: pl.DataFrame) -> pl.DataFrame:
    """Aliases, and the names that we gave calls (client request ids)."""
    return pl.concat([_named(ours, "aliases", ours_too=False), _named(ours, "labels", ours_too=True)])


def _named(ours: pl.DataFrame, column: str, *, ours_too: bool) -> pl.DataFrame:
    named = ours.filter(pl.col(column).is_not_null()).select("call_sid", name=pl.col(column).str.json_decode(_TEXTS))
    return named.explode("name").with_columns(ours=pl.lit(value=ours_too))


def _unknown(ours: pl.DataFrame, said: pl.Series) -> list[str]:
    """Call ids of lines within the period that no call read so far has."""
    return _sorted(said.filter(~said.is_in(_known(ours).implode())))


def _alone(of: Asked, ours: pl.DataFrame, said: pl.Series) -> list[str]:
    """Ids of calls whose lines may lie farther off: those within the period that no line read so far names, and those read by their ids."""
    unnamed = of.inside("started_at") & ~pl.col("call_sid").is_in(said.drop_nulls().unique().implode())
    return _sorted(_known(ours.filter(~of.around("started_at") | unnamed)))


def _known(ours: pl.DataFrame) -> pl.Series:
    """Every id of these calls."""
    aliases = ours["aliases"].drop_nulls().str.json_decode(_TEXTS).explode()
    return pl.concat([ours["call_sid"], aliases.rename("call_sid")])


def _sorted(ids: pl.Series) -> list[str]:
    return [one for one in ids.drop_nulls().unique().sort().to_list() if one]
