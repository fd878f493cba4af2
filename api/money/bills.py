"""GET /v1/bills: what an account's legs of one month cost, so that a person can read it. Every section adds up to the same total."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import msgspec
import sqlalchemy as sa
from fastapi import APIRouter, Request
from starlette.responses import Response

from api import read, schemas
from api.analytics.tally import snapshot
from api.auth import Reader
from api.money.charged import CHARGED
from api.money.charges import Asked, currency_of, grouped
from api.money.lines import LATEST
from api.params import FILTERS, Filter, described, read_all
from calls.clock import Micros, parse_time, rfc3339, to_datetime, to_micros
from calls.metrics.evaluate import HOUR_US
from calls.periods import month
from runtime.bodies import as_json
from runtime.problems import invalid
from runtime.settings import Account, Settings

Document: TypeAlias = dict[str, Any]

SECTIONS = ("number", "queue", "agent", "destination", "direction")
DEAREST = 10
LISTED = 200  # other lines of the ledger; all of them are in their sum
REASONS = 20


def _month(text: str, country: str) -> str:
    month(text, "UTC")
    return text.strip()


KNOWN: dict[str, Filter] = {
    "account": FILTERS["account"],
    "month": Filter(
        _month, "A month in the tenant's time zone, such as 2026-11.",
        {"type": "string", "pattern": r"^[12]\d{3}-(0[1-9]|1[0-2])$", "examples": ["2026-11"]},
    ),
}  # fmt: skip


class Month(msgspec.Struct, frozen=True):
    """What a bill is asked for: [begin, end) of `month` in `zone`."""

    tenant: str
    account: str
    month: str
    zone: str
    begin: Micros
    end: Micros

    @property
    def asked(self) -> Asked:
        return Asked(self.tenant, self.zone, self.begin, self.end, self.account)

    @property
    def bound(self) -> Mapping[str, object]:
        return {"tenant": self.tenant, "account": self.account, "begin": to_datetime(self.begin), "end": to_datetime(self.end)}


class Fresh(msgspec.Struct, frozen=True):
    """How far the tables are (RFC 3339; None: nobody can say), and how long the account's provider sends again what it must."""

    complete_through: str | None
    horizon_h: float


_LEG = schemas.object_of({
    "leg": schemas.TEXT, "kind": schemas.TEXT, "direction": schemas.MAYBE_TEXT, "to": schemas.MAYBE_TEXT, "queue": schemas.MAYBE_TEXT,
    "agent": schemas.MAYBE_TEXT, "talk_ms": schemas.MAYBE_MS, "amount_minor": schemas.MAYBE_WHOLE, "plan": schemas.TEXT,
    "version": schemas.MAYBE_TEXT, "rule": schemas.MAYBE_MS, "why": schemas.TEXT,
    "working": schemas.list_of(schemas.object_of({"what": schemas.TEXT, "exact": schemas.TEXT})),
})  # fmt: skip
_CALL = schemas.object_of({
    "call_sid": schemas.TEXT, "journey_id": schemas.TEXT, "started_at": schemas.TIME, "direction": schemas.MAYBE_TEXT,
    "to": schemas.MAYBE_TEXT, "talk_ms": schemas.MAYBE_MS, "amount_minor": schemas.WHOLE, "legs": schemas.list_of(_LEG),
})  # fmt: skip
_LINE = schemas.object_of({
    "at": schemas.MAYBE_TIME, "entry_type": schemas.MAYBE_TEXT, "description": schemas.MAYBE_TEXT, "row_id": schemas.TEXT,
    "amount_minor": schemas.MAYBE_WHOLE, "rest_millicents": schemas.MAYBE_WHOLE, "currency": schemas.MAYBE_TEXT,
})  # fmt: skip
SCHEMAS: dict[str, schemas.Schema] = {
    "Bill": schemas.object_of({
        "account": schemas.TEXT, "month": schemas.TEXT, "from": schemas.TIME, "to": schemas.TIME, "timezone": schemas.TEXT,
        "currency": schemas.MAYBE_TEXT, "total_minor": schemas.WHOLE, "tax_minor": schemas.WHOLE, "calls": schemas.COUNT,
        "charges": schemas.COUNT, "unrated": schemas.COUNT,
        "by": schemas.object_of(dict.fromkeys(SECTIONS, schemas.list_of(schemas.ref("ChargeGroup")))),
        "dearest": schemas.list_of(_CALL),
        "reasons": schemas.list_of(schemas.object_of({"why": schemas.TEXT, "unrated": schemas.COUNT})),
        "ledger": schemas.object_of({
            "lines": schemas.COUNT, "amount_minor": schemas.WHOLE, "rest_millicents": schemas.WHOLE, "currency": schemas.MAYBE_TEXT,
            "listed": schemas.list_of(_LINE),
        }),
        "closed": {"type": "boolean"}, "open": schemas.COUNT, "final": {"type": "boolean"}, "complete_through": schemas.MAYBE_TIME,
    }),
}  # fmt: skip
router = APIRouter(tags=["money"])


@router.get("/v1/bills", **schemas.answer("Bill", parameters=described(KNOWN, required=True), errors=(401, 403, 422, 503)))
def get_bill(request: Request, grant: Reader) -> Response:
    """What the legs cost that began in a month of the tenant's calendar, by number, queue, agent and destination, and the dearest calls."""
    state = request.app.state
    asked = asked_for(request.query_params.multi_items(), settings=state.settings, tenant=grant.tenant)
    read.known_account(state.engine, state.settings, tenant=grant.tenant, account=asked.account)
    return as_json(bill(state.engine, asked, fresh(state.settings, asked.account, state.freshness.complete_through())))


def asked_for(items: Iterable[tuple[str, str]], *, settings: Settings, tenant: str) -> Month:
    """Refused 422 with every parameter that is wrong or missing."""
    found: dict[str, Any] = read_all(items, KNOWN)
    for name, one in KNOWN.items():
        if name not in found:
            raise invalid(name, f"is missing: {one.says}")
    zone = settings.tenant(tenant).timezone
    try:
        begin, end = month(found["month"], zone)
    except ValueError as why:
        raise invalid("month", str(why)) from None
    return Month(tenant, found["account"], found["month"], zone, begin, end)


def fresh(settings: Settings, account: str, complete_through: str | None) -> Fresh:
    """Of an account that is configured no more, the usual horizon holds."""
    one = settings.accounts.get(account)
    return Fresh(complete_through, one.retry_horizon_h if one else Account.model_fields["retry_horizon_h"].default)


def bill(engine: sa.Engine, asked: Month, known: Fresh) -> Document:
    """The document of the route, of one moment. Refused 422 where it would have to add several currencies."""
    with snapshot(engine) as connection:
        currency = currency_of(connection, asked.asked)
        sections = {name: grouped(connection, msgspec.structs.replace(asked.asked, group_by=(name,))) for name in SECTIONS}
        whole = sections["direction"]
        state = _state(connection, asked, known)
        return {
            "account": asked.account, "month": asked.month, "from": rfc3339(asked.begin), "to": rfc3339(asked.end),
            "timezone": asked.zone, "currency": currency,
            "total_minor": sum(one.amount_minor for one in whole), "tax_minor": sum(one.tax_minor for one in whole),
            "calls": _one(connection, _CALLS, asked)[0],
            "charges": sum(one.charges for one in whole), "unrated": sum(one.unrated for one in whole),
            "by": sections, "dearest": _dearest(connection, asked), "reasons": _reasons(connection, asked),
            "ledger": _ledger(connection, asked), **state, "complete_through": known.complete_through,
        }  # fmt: skip


# ---------------------------------------------------------------- what it is made of

_MINE = f"{CHARGED} c WHERE c.tenant = :tenant AND c.account = :account AND c.started_at >= :begin AND c.started_at < :end"
_CALLS = f"SELECT count(DISTINCT c.call_sid) FROM {_MINE}"
_TOP = (
    f"SELECT c.call_sid FROM {_MINE} GROUP BY c.call_sid HAVING sum(c.amount_minor) > 0 "
    f'ORDER BY sum(c.amount_minor) DESC, c.call_sid COLLATE "C" LIMIT {DEAREST}'
)
_OF_CALLS = (
    'SELECT c.call_sid, c.journey_id, c.leg, c.kind, c.direction, c."to", c.queue, c.agent, c.started_at, c.talk_ms, c.amount_minor, '
    f"c.plan, c.version, c.rule, c.why, c.working FROM {_MINE} AND c.call_sid = ANY(:sids) "
    "ORDER BY c.call_sid, c.leg <> 'caller', c.started_at, c.leg COLLATE \"C\""
)
# Legs that lack the same rule are told as one, whenever they began.
_WHY = r"regexp_replace(c.why, ' at \d{4}-[0-9T\:.-]+Z$', '')"
_WHYS = f"SELECT {_WHY}, count(*) FROM {_MINE} AND c.amount_minor IS NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {REASONS}"
_LEG_SAYS = ("leg", "kind", "direction", "to", "queue", "agent", "talk_ms", "amount_minor", "plan", "version", "rule", "why")


def _one(connection: sa.Connection, statement: str, asked: Month) -> Any:
    return connection.execute(sa.text(statement), asked.bound).one()


def _dearest(connection: sa.Connection, asked: Month) -> list[Document]:
    """With the main leg first in each: what is said of a call is said of it."""
    sids = [str(one) for one in connection.execute(sa.text(_TOP), asked.bound).scalars()]
    found: dict[str, list[Any]] = {sid: [] for sid in sids}
    for row in connection.execute(sa.text(_OF_CALLS), {**asked.bound, "sids": sids}).mappings():
        found[row["call_sid"]].append(row)
    return [_call(sid, legs) for sid, legs in found.items()]


def _call(sid: str, legs: list[Any]) -> Document:
    main = legs[0]
    return {
        "call_sid": sid, "journey_id": main["journey_id"], "started_at": rfc3339(min(to_micros(leg["started_at"]) for leg in legs)),
        "direction": main["direction"], "to": main["to"], "talk_ms": main["talk_ms"],
        "amount_minor": sum(leg["amount_minor"] or 0 for leg in legs),
        "legs": [{name: leg[name] for name in _LEG_SAYS} | {"working": _working(leg["working"])} for leg in legs],
    }  # fmt: skip


def _working(text: str) -> list[Document]:
    return [{"what": what, "exact": exact} for what, exact in msgspec.json.decode(text, type=list[tuple[str, str]])]


def _reasons(connection: sa.Connection, asked: Month) -> list[Document]:
    return [{"why": why, "unrated": count} for why, count in connection.execute(sa.text(_WHYS), asked.bound)]


# ---------------------------------------------------------------- beside the calls, and how far it is

_ENTRIES = (
    f"FROM {LATEST} l WHERE l.tenant = :tenant AND l.account = :account AND l.kind = 'ledger' AND l.call_id IS NULL "
    "AND l.at >= :begin AND l.at < :end"
)
_ENTRY_SUMS = (
    "SELECT count(*), coalesce(sum(l.amount_minor), 0), coalesce(sum(l.rest_millicents), 0), "
    f"CASE WHEN min(l.currency) = max(l.currency) THEN min(l.currency) END {_ENTRIES}"
)
_ENTRY_LIST = (
    "SELECT l.at, l.entry_type, l.description, l.row_id, l.amount_minor, l.rest_millicents, l.currency "
    f'{_ENTRIES} ORDER BY l.at, l.row_id COLLATE "C" LIMIT {LISTED}'
)
# Whether the whole month lies in closed periods, which never overlap.
_CLOSED = (
    "SELECT coalesce(sum(least(p.to_at, :end) - greatest(p.from_at, :begin)) "
    ">= CAST(:end AS timestamptz) - CAST(:begin AS timestamptz), false) FROM safiri.closed_periods p "
    "WHERE p.tenant = :tenant AND p.account = :account AND p.from_at < :end AND p.to_at > :begin"
)
_OPEN = (
    "SELECT count(*) FROM live.journeys j WHERE j.tenant = :tenant AND j.account = :account AND j.state = 'open' "
    "AND j.started_at >= :begin AND j.started_at < :end"
)


def _ledger(connection: sa.Connection, asked: Month) -> Document:
    """Rentals, storage, top-ups: what the provider's ledger has in the month that is of no call. A charge is positive."""
    lines, minor, rest, currency = _one(connection, _ENTRY_SUMS, asked)
    listed = [
        {**row, "at": None if row["at"] is None else rfc3339(to_micros(row["at"]))}
        for row in connection.execute(sa.text(_ENTRY_LIST), asked.bound).mappings()
    ]
    whole, rest = divmod(int(rest), 1000)
    return {"lines": lines, "amount_minor": int(minor) + whole, "rest_millicents": rest, "currency": currency, "listed": listed}


def _state(connection: sa.Connection, asked: Month, known: Fresh) -> Document:
    """Whether the month is closed, how many of its calls go on, and whether anything can still come."""
    closed, still = bool(_one(connection, _CLOSED, asked)[0]), _one(connection, _OPEN, asked)[0]
    through = parse_time(known.complete_through)
    over = through is not None and asked.end + int(known.horizon_h * HOUR_US) <= through
    return {"closed": closed, "open": still, "final": closed or (over and still == 0)}
