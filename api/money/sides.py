"""The three sides of an account's period out of one snapshot of Postgres, as frames: COPY writes CSV, Polars reads it.

A day around the period is read with it, and by their ids the calls and lines that lie farther off. Memory: the CSV of one side at a time.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import msgspec
import polars as pl
import psycopg

from api.money.charged import charged
from api.money.lines import latest
from api.money.periods import Period
from calls.building import MAIN
from calls.clock import Micros, to_datetime
from calls.reconciliation.sides import LEDGER, NAMES, OURS, RECORDS, Sides
from runtime.problems import Retry

Connection = psycopg.Connection[Any]
Schema = Mapping[str, type[pl.DataType]]
DAY: Micros = 86_400_000_000
_GENERATION = "SELECT n FROM safiri.generations WHERE state = 'live'"
_WINDOW = "{} >= %(begin)s AND {} < %(end)s"


class Asked(msgspec.Struct, frozen=True):
    """Of whom what is read. `schema`: the generation's tables; a rebuild exchanges the views on them, and would wait for us."""

    connection: Connection
    schema: str
    tenant: str
    period: Period

    def parameters(self, **more: object) -> dict[str, object]:
        begin, end = to_datetime(self.period.begin - DAY), to_datetime(self.period.end + DAY)
        return {"tenant": self.tenant, "account": self.period.account, "begin": begin, "end": end, **more}


def asked(connection: Connection, tenant: str, period: Period) -> Asked:
    """Within the connection's transaction. Raises Retry where there are no tables yet."""
    found = connection.execute(_GENERATION).fetchone()
    if found is None:
        raise Retry("there are no tables yet: `safiri migrate` makes them")
    return Asked(connection, f"g{found[0]}", tenant, period)


def sides(of: Asked) -> Sides:
    """All that may belong together with what is inside the period."""
    ours = _ours(of, _WINDOW.format("c.started_at", "c.started_at"))
    records, ledger = (_lines(of, kind, _WINDOW.format("l.at", "l.at")) for kind in ("call_record", "ledger"))
    strangers = _unknown(of, ours, records, ledger)
    if strangers:
        ours = pl.concat([ours, _far_calls(of, strangers)])
    lonely = _alone(of, ours, records, ledger)
    if lonely:
        records, ledger = (
            pl.concat([near, _far_lines(of, kind, lonely)]) for kind, near in (("call_record", records), ("ledger", ledger))
        )  # fmt: skip
    return Sides(ours.select(*OURS), _names(of, ours), records, ledger)


# ---------------------------------------------------------------- ours

_CALLER = f"""CASE WHEN c.leg <> '{MAIN}' THEN c.own WHEN c.direction = 'inbound' THEN k.caller ELSE coalesce(k.caller, c.own) END"""
_OURS = {name: f'c."{name}"' for name in OURS} | {
    "caller": _CALLER,
    "called": f"""CASE WHEN c.leg = '{MAIN}' THEN coalesce(k.called, c."to") ELSE c."to" END""",
    "aliases": f"CASE WHEN c.leg = '{MAIN}' AND k.aliases <> '{{}}' THEN array_to_json(k.aliases)::text END",
}
_READ = OURS | {"aliases": pl.String}


def _ours(of: Asked, condition: str, **more: object) -> pl.DataFrame:
    """Frame of OURS and `aliases`, JSON. A leg that we dialled rang from the account's own number."""
    source = (
        f"{charged(of.schema)} c LEFT JOIN {of.schema}.calls k ON k.tenant = c.tenant AND k.journey_id = c.journey_id "
        f"AND k.call_sid = c.call_sid WHERE c.tenant = %(tenant)s AND c.account = %(account)s AND {condition}"
    )
    return _copied(of, _READ, _OURS, source, **more)


def _far_calls(of: Asked, ids: list[str]) -> pl.DataFrame:
    """Calls that these ids name and that began outside of what was read."""
    named = (
        f"SELECT i.journey_id FROM {of.schema}.call_index i JOIN unnest(%(ids)s::text[]) w(id) ON i.call_sid = w.id "
        "WHERE i.tenant = %(tenant)s"
    )  # fmt: skip
    outside = "NOT (" + _WINDOW.format("c.started_at", "c.started_at") + ")"
    return _ours(of, f"c.journey_id IN ({named}) AND {outside}", ids=ids)


def _names(of: Asked, ours: pl.DataFrame) -> pl.DataFrame:
    """Aliases, and the names that we gave calls (client request ids)."""
    aliases = ours.filter(pl.col("aliases").is_not_null()).select(
        "call_sid", name=pl.col("aliases").str.json_decode(pl.List(pl.String)), ours=pl.lit(value=False)
    )  # fmt: skip
    source = (
        f"{charged(of.schema)} c JOIN {of.schema}.labels n ON n.tenant = c.tenant AND n.journey_id = c.journey_id "
        f"WHERE c.tenant = %(tenant)s AND c.account = %(account)s AND c.leg = '{MAIN}' AND {_WINDOW.format('c.started_at', 'c.started_at')}"
    )
    labels = _copied(of, NAMES, {"call_sid": "c.call_sid", "name": "n.label", "ours": "'true'"}, source)
    return pl.concat([aliases.explode("name"), labels])


# ---------------------------------------------------------------- theirs

_SCHEMAS: dict[str, Schema] = {"call_record": RECORDS, "ledger": LEDGER}
_LINE = {name: f'l."{name}"' for name in (*RECORDS, *LEDGER)}
_DATED = {"amount_minor": "coalesce(l.amount_minor, 0)"}


def _lines(of: Asked, kind: str, condition: str, **more: object) -> pl.DataFrame:
    """Frame of RECORDS or LEDGER. A ledger line that names no amount moves none."""
    source = (
        f"{latest(of.schema)} l WHERE l.tenant = %(tenant)s AND l.account = %(account)s AND l.kind = %(kind)s AND {condition}"
    )  # fmt: skip
    return _copied(of, _SCHEMAS[kind], _LINE | (_DATED if kind == "ledger" else {}), source, kind=kind, **more)


def _far_lines(of: Asked, kind: str, ids: list[str]) -> pl.DataFrame:
    """Lines of these calls that are dated outside of what was read."""
    outside = "(l.at IS NULL OR NOT (" + _WINDOW.format("l.at", "l.at") + "))"
    return _lines(of, kind, f"l.call_id IN (SELECT unnest(%(ids)s::text[])) AND {outside}", ids=ids)


# ---------------------------------------------------------------- who is still looked for


def _unknown(of: Asked, ours: pl.DataFrame, records: pl.DataFrame, ledger: pl.DataFrame) -> list[str]:
    """Call ids of lines within the period that no call read so far has."""
    begin, end = of.period.begin, of.period.end
    named = pl.concat([
        ledger.filter(pl.col("at").is_between(begin, end, closed="left"))["call_id"],
        records.filter(pl.col("started_at").is_between(begin, end, closed="left"))["call_id"],
    ])  # fmt: skip
    return _sorted(named.filter(~named.is_in(_known(ours).implode())))


def _alone(of: Asked, ours: pl.DataFrame, records: pl.DataFrame, ledger: pl.DataFrame) -> list[str]:
    """Ids of calls whose lines may lie farther off: those within the period that no line read so far names, and those read by their ids."""
    window = pl.col("started_at").is_between(of.period.begin - DAY, of.period.end + DAY, closed="left")
    inside = pl.col("started_at").is_between(of.period.begin, of.period.end, closed="left")
    said = pl.concat([ledger["call_id"], records["call_id"]]).drop_nulls().unique()
    return _sorted(_known(ours.filter(~window | (inside & ~pl.col("call_sid").is_in(said.implode())))))


def _known(ours: pl.DataFrame) -> pl.Series:
    """Every id of these calls."""
    aliases = ours["aliases"].drop_nulls().str.json_decode(pl.List(pl.String)).explode()
    return pl.concat([ours["call_sid"], aliases.rename("call_sid")])


def _sorted(ids: pl.Series) -> list[str]:
    return [one for one in ids.drop_nulls().unique().sort().to_list() if one]


# ---------------------------------------------------------------- COPY


def _copied(of: Asked, schema: Schema, columns: Mapping[str, str], source: str, **more: object) -> pl.DataFrame:
    """`columns`: name -> SQL; instants become microseconds."""
    cells = ", ".join(_cell(name, columns[name]) for name in schema)
    held = io.BytesIO()
    with of.connection.cursor() as cursor:
        copying = f"COPY (SELECT {cells} FROM {source}) TO STDOUT WITH (FORMAT csv)"
        with cursor.copy(copying.encode(), of.parameters(**more)) as copy:
            for block in copy:
                held.write(block)
    return pl.read_csv(held.getvalue(), has_header=False, schema=dict(schema), raise_if_empty=False, infer_schema=False)


def _cell(name: str, sql: str) -> str:
    is_instant = name == "at" or name.endswith("_at")
    return f"(extract(epoch FROM {sql}) * 1000000)::bigint" if is_instant else sql
