"""GET /v1/charges: what legs that began within a time cost, by any of their groups. Groups add up exactly to the total."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
import sqlalchemy as sa
from fastapi import APIRouter, Request
from starlette.responses import Response

from api import read, schemas
from api.analytics.tally import MOST_ROWS, snapshot
from api.auth import Reader
from api.money.charged import CHARGED
from api.params import FILTERS, Filter, described, read_all
from calls.clock import Micros, to_datetime
from calls.parties import calling_code
from runtime.bodies import as_json
from runtime.problems import invalid

Group: TypeAlias = tuple[str | None, ...]
Document: TypeAlias = dict[str, Any]

# A call that comes in goes to no destination. Four characters have the whole calling code; which one it is, `calling_code` knows.
_DESTINATION = """CASE WHEN c.direction = 'inbound' OR c."to" IS NULL THEN NULL
WHEN c.kind = 'sip' OR c."to" ~* '^sips?:' THEN 'sip' WHEN c."to" LIKE '+%' THEN left(c."to", 4) ELSE 'other' END"""
GROUPS: dict[str, str] = {
    "queue": "c.queue", "agent": "c.agent", "kind": "c.kind", "account": "c.account",
    "day": "to_char(c.started_at AT TIME ZONE :zone, 'YYYY-MM-DD')",
    "number": "c.own", "destination": _DESTINATION, "direction": "c.direction", "plan": "c.plan",
}  # fmt: skip
"""What charges can be grouped by, as SQL over a charge `c`."""


class Asked(msgspec.Struct, frozen=True):
    """`begin`, `end`: [from, to) of a leg's start, None = no bound; `zone`: of local days."""

    tenant: str
    zone: str
    begin: Micros | None = None
    end: Micros | None = None
    account: str | None = None
    currency: str | None = None
    group_by: tuple[str, ...] = ()


class Row(msgspec.Struct):
    """One group: its rated charges' sum and tax in minor units, how many legs it has, and how many of them are unrated."""

    group: dict[str, str | None]
    amount_minor: int = 0
    tax_minor: int = 0
    charges: int = 0
    unrated: int = 0


def _groups(text: str, country: str) -> str:
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in GROUPS]
    if unknown:
        raise ValueError(f"cannot group by {unknown[0]!r}: take one or more of {', '.join(GROUPS)}, with commas between")
    if len(set(names)) < len(names):
        raise ValueError("names a group twice")
    return ",".join(names)


def _currency(text: str, country: str) -> str:
    if not re.fullmatch("[A-Z]{3}", text):
        raise ValueError("write the three capital letters of a currency, such as KES")
    return text


_NAMES = "|".join(GROUPS)
KNOWN: dict[str, Filter] = {
    "from": msgspec.structs.replace(FILTERS["from"], says="Legs that began at this time or later (RFC 3339 with a zone)."),
    "to": msgspec.structs.replace(FILTERS["to"], says="Legs that began before this time (RFC 3339 with a zone)."),
    "account": FILTERS["account"],
    "currency": Filter(
        _currency, "Only what was charged in this currency; unrated legs are told all the same.",
        {"type": "string", "pattern": "^[A-Z]{3}$"},
    ),
    "group_by": Filter(
        _groups, f"One or more of {', '.join(GROUPS)}, with commas between.",
        {"type": "string", "pattern": f"^({_NAMES})(,({_NAMES}))*$", "examples": list(GROUPS)},
    ),
}  # fmt: skip
_MAYBE_TEXTS = {"type": "object", "additionalProperties": schemas.MAYBE_TEXT}
ROW = schemas.object_of({
    "group": _MAYBE_TEXTS, "amount_minor": schemas.WHOLE, "tax_minor": schemas.WHOLE, "charges": schemas.COUNT, "unrated": schemas.COUNT,
})  # fmt: skip
SCHEMAS: dict[str, schemas.Schema] = {
    "ChargeGroup": ROW,
    "ChargeAnswer": schemas.object_of({
        "total_minor": schemas.WHOLE, "currency": schemas.MAYBE_TEXT, "rows": schemas.list_of(schemas.ref("ChargeGroup")),
        "charges": schemas.COUNT, "unrated": schemas.COUNT, "complete_through": schemas.MAYBE_TIME,
    }),
}  # fmt: skip
router = APIRouter(tags=["money"])


@router.get("/v1/charges", **schemas.answer("ChargeAnswer", parameters=described(KNOWN), errors=(401, 403, 422, 503)))
def list_charges(request: Request, grant: Reader) -> Response:
    """What legs cost. Each belongs to its own start, queue and agent; what has none is in the null group; days are the tenant's own."""
    state = request.app.state
    asked = asked_for(request.query_params.multi_items(), tenant=grant.tenant, zone=state.settings.tenant(grant.tenant).timezone)
    if asked.account is not None:
        read.known_account(state.engine, state.settings, tenant=grant.tenant, account=asked.account)
    complete_through = state.freshness.complete_through()  # before the snapshot: never newer than what is counted
    with snapshot(state.engine) as connection:
        return as_json(charges(connection, asked) | {"complete_through": complete_through})


def asked_for(items: Iterable[tuple[str, str]], *, tenant: str, zone: str) -> Asked:
    """Refused 422 with every parameter that is wrong."""
    found: dict[str, Any] = read_all(items, KNOWN)
    group_by = tuple(found["group_by"].split(",")) if "group_by" in found else ()
    return Asked(tenant, zone, found.get("from"), found.get("to"), found.get("account"), found.get("currency"), group_by)


def charges(connection: sa.Connection, asked: Asked) -> Document:
    """The document of the route, without `complete_through`. Refused 422 where amounts of several currencies would have to be added."""
    currency = currency_of(connection, asked)
    rows = grouped(connection, asked)
    return {
        "total_minor": sum(one.amount_minor for one in rows), "currency": currency, "rows": rows,
        "charges": sum(one.charges for one in rows), "unrated": sum(one.unrated for one in rows),
    }  # fmt: skip


def currency_of(connection: sa.Connection, asked: Asked) -> str | None:
    """The one currency of all that is rated; None where nothing is. Refused 422 where there are several."""
    wanted = f"SELECT DISTINCT c.currency FROM {CHARGED} c WHERE {conditions(asked)} AND c.amount_minor IS NOT NULL ORDER BY 1"
    found = [str(one) for one in connection.execute(sa.text(wanted), bound(asked)).scalars()]
    if len(found) > 1:
        raise invalid("account" if asked.account is None else "currency", _several(found, asked.account))
    return found[0] if found else asked.currency


def _several(found: Sequence[str], account: str | None) -> str:
    how = "name an account, or one of them as currency" if account is None else "name one of them as currency"
    return f"charged in {', '.join(found)}, which cannot be added up: {how}"


def grouped(connection: sa.Connection, asked: Asked) -> list[Row]:
    """The groups, the dearest first. Refused 422 where there are more than anybody reads."""
    found: dict[Group, Row] = {}
    for *values, amount, tax, count, unrated in _sums(connection, asked):
        group = {name: _named(name, value) for name, value in zip(asked.group_by, values, strict=True)}
        row = found.setdefault(tuple(group.values()), Row(group))
        row.amount_minor += int(amount)
        row.tax_minor += int(tax)
        row.charges += count
        row.unrated += unrated
    return sorted(found.values(), key=lambda row: (-row.amount_minor, [(value is None, value or "") for value in row.group.values()]))


def _sums(connection: sa.Connection, asked: Asked) -> Sequence[Any]:
    columns = [GROUPS[name] for name in asked.group_by]
    sums = [
        "coalesce(sum(c.amount_minor), 0)",
        "coalesce(sum(c.tax_minor), 0)",
        "count(*)",
        "count(*) FILTER (WHERE c.amount_minor IS NULL)",
    ]
    by = f"GROUP BY {', '.join(str(n + 1) for n in range(len(columns)))}" if columns else "HAVING count(*) > 0"
    wanted = f"SELECT {', '.join([*columns, *sums])} FROM {CHARGED} c WHERE {conditions(asked)} {by} LIMIT {MOST_ROWS + 1}"
    rows = connection.execute(sa.text(wanted), bound(asked)).all()
    if len(rows) > MOST_ROWS:
        raise invalid("group_by", f"more than {MOST_ROWS:,} groups: ask for a shorter range or fewer groups")
    return rows


def _named(name: str, value: str | None) -> str | None:
    return calling_code(value) or "other" if name == "destination" and value is not None and value.startswith("+") else value


def conditions(asked: Asked) -> str:
    """Which charges `c`; its parameters are in `bound`."""
    found = ["c.tenant = :tenant"]
    found += ["c.account = :account"] if asked.account is not None else []
    found += ["c.started_at >= :begin"] if asked.begin is not None else []
    found += ["c.started_at < :end"] if asked.end is not None else []
    found += ["(c.currency = :currency OR c.amount_minor IS NULL)"] if asked.currency is not None else []
    return " AND ".join(found)


def bound(asked: Asked) -> Mapping[str, object]:
    times = {name: to_datetime(at) for name, at in (("begin", asked.begin), ("end", asked.end)) if at is not None}
    return {"tenant": asked.tenant, "zone": asked.zone, "account": asked.account, "currency": asked.currency} | times
