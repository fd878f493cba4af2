"""POST and GET /v1/reconciliations: whether the bill is right. Results are facts; a list of them, and the differences of one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Request
from starlette.responses import Response

from api import schemas
from api.auth import Reader, Writer
from api.cursors import Place, decode, encode, filters_digest, unusable
from api.database import away_is_retry
from api.money import periods
from api.params import CURSOR, FILTERS, USUAL, Filter, choice, described, read_all, refuse_all
from api.read import known_account
from calls.reconciliation.cause import CAUSES
from runtime.bodies import object_in, whole
from runtime.problems import Refused

AT_ONCE = 2  # runs: each holds the lines of its period
_RUNS = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="reconcile")
_FIELDS = ("account", "from", "to")
_LARGEST = 64 << 10
router = APIRouter(tags=["money"])

# ---------------------------------------------------------------- as described

_SUM = schemas.object_of({"count": schemas.COUNT, "amount_minor": schemas.WHOLE})
_BY_CAUSE: schemas.Schema = {"type": "object", "propertyNames": {"enum": list(CAUSES)}, "additionalProperties": _SUM}
_RATE: schemas.Schema = {"type": "number", "minimum": 0, "maximum": 1}
_MOVED_SOME = schemas.object_of({"count": schemas.COUNT, "first": schemas.list_of(schemas.ANYTHING)})
_MOVED = schemas.object_of({
    "ours_minor": schemas.WHOLE, "theirs_minor": schemas.WHOLE, "unexplained_minor": schemas.WHOLE,
    "causes": {"type": "object", "additionalProperties": schemas.object_of({"count": schemas.WHOLE, "amount_minor": schemas.WHOLE})},
    "came": _MOVED_SOME, "went": _MOVED_SOME,
})  # fmt: skip
_RECONCILIATION = schemas.object_of({
    "id": schemas.TEXT, "account": schemas.TEXT, "from": schemas.TIME, "to": schemas.TIME, "ran_at": schemas.TIME,
    "ours_minor": schemas.WHOLE, "theirs_minor": schemas.WHOLE, "causes": _BY_CAUSE, "unexplained_minor": schemas.WHOLE,
    "match_rate": _RATE, "differences": schemas.COUNT, "kpis": schemas.ANYTHING, "previous": schemas.MAYBE_TEXT,
    "moved": schemas.or_null(_MOVED), "changed": {"type": "boolean"},
})  # fmt: skip
_DIFFERENCE = schemas.object_of({
    "cause": {"type": "string", "enum": list(CAUSES)}, "amount_minor": schemas.WHOLE, "at": schemas.MAYBE_TIME,
    "call_sid": schemas.MAYBE_TEXT, "matched_by": schemas.MAYBE_TEXT,
    "ours": schemas.or_null(schemas.object_of({
        "call_sid": schemas.MAYBE_TEXT, "journey_id": schemas.TEXT, "amount_minor": schemas.MAYBE_WHOLE,
        "legs": schemas.list_of(schemas.ANYTHING),
    })),
    "theirs": schemas.or_null(schemas.object_of({
        "amount_minor": schemas.MAYBE_WHOLE, "records": schemas.list_of(schemas.ANYTHING), "ledger": schemas.list_of(schemas.ANYTHING),
    })),
    "working": schemas.list_of(schemas.object_of({"what": schemas.TEXT, "exact": schemas.TEXT})),
})  # fmt: skip
SCHEMAS: dict[str, schemas.Schema] = {
    "Reconciliation": _RECONCILIATION,
    "ReconciliationPage": schemas.object_of({
        "reconciliations": schemas.list_of(schemas.ref("Reconciliation")), "next_cursor": schemas.MAYBE_TEXT,
    }),
    "Difference": _DIFFERENCE,
    "DifferencePage": schemas.object_of({
        "differences": schemas.list_of(schemas.ref("Difference")), "next_cursor": schemas.MAYBE_TEXT,
    }),
}  # fmt: skip
_ID: schemas.Schema = {"name": "id", "in": "path", "required": True, "schema": schemas.TEXT}
_PAGE: dict[str, Filter] = {"limit": FILTERS["limit"], "cursor": CURSOR}
_LISTED: dict[str, Filter] = {"account": FILTERS["account"], **_PAGE}
_TOLD: dict[str, Filter] = {"cause": choice("Of this cause.", CAUSES), **_PAGE}
_ERRORS = (401, 403, 404, 422, 503)
_POST = schemas.with_body(
    schemas.answer("Reconciliation", errors=(400, 401, 403, 413, 422, 503)), periods.SCHEMA, required=_FIELDS
)  # fmt: skip

# ---------------------------------------------------------------- routes


@router.post("/v1/reconciliations", **_POST)
async def reconcile(request: Request, grant: Writer) -> Response:
    """Our legs of a period × the provider's call records × its ledger. `changed`: events or lines moved the last result of the period."""
    refuse_all(request.query_params.multi_items())
    asked = object_in(await whole(request, _LARGEST, too_large="an account and two times"), _FIELDS)
    period = periods.period_in(asked)
    work = partial(_run, request.app.state, grant.tenant, period=period)
    return await asyncio.get_running_loop().run_in_executor(_RUNS, work)


@router.get("/v1/reconciliations", **schemas.answer("ReconciliationPage", parameters=described(_LISTED), errors=(401, 403, 422, 503)))
def list_reconciliations(request: Request, grant: Reader) -> Response:
    """Results, the newest first."""
    asked = _asked(request.query_params.multi_items(), "account", known=_LISTED, tenant=grant.tenant)
    if asked["account"]:
        state = request.app.state
        known_account(state.engine, state.settings, tenant=grant.tenant, account=str(asked["account"]))
    where = "tenant = :tenant AND seq < :after" + (" AND account = :account" if asked["account"] else "")
    statement = f"SELECT document, previous IS NOT NULL, seq FROM safiri.reconciliations WHERE {where} ORDER BY seq DESC LIMIT :most"
    rows = _rows(request, statement, asked | {"after": 2**62 if asked["after"] is None else asked["after"]})
    return _page("reconciliations", [(_with_changed(row[0].encode(), changed=row[1]), row[2]) for row in rows], asked)


@router.get("/v1/reconciliations/{id}", **schemas.answer("Reconciliation", parameters=[_ID], errors=_ERRORS))
def get_reconciliation(request: Request, grant: Reader) -> Response:
    """One result as it was found. `changed`: it is another one than the result of its period before it."""
    refuse_all(request.query_params.multi_items())
    document, changed = _found(request, grant.tenant)
    return Response(_with_changed(document.encode(), changed=changed), media_type="application/json")


@router.get("/v1/reconciliations/{id}/differences", **schemas.answer("DifferencePage", parameters=[_ID, *described(_TOLD)], errors=_ERRORS))
def list_differences(request: Request, grant: Reader) -> Response:
    """Every difference of a result, by its time: both sides, and the working, which adds up to the amount."""
    made = request.path_params["id"]
    asked = _asked(request.query_params.multi_items(), "cause", known=_TOLD, tenant=f"{grant.tenant}\t{made}")
    _found(request, grant.tenant)
    where = "tenant = :tenant AND reconciliation = :id AND n > :after" + (" AND cause = :cause" if asked["cause"] else "")
    statement = f"SELECT content, n FROM safiri.differences WHERE {where} ORDER BY n LIMIT :most"
    after = -1 if asked["after"] is None else asked["after"]
    rows = _rows(request, statement, asked | {"tenant": grant.tenant, "id": made, "after": after})
    return _page("differences", [(row[0].encode(), row[1]) for row in rows], asked)


# ---------------------------------------------------------------- how


def _run(state: Any, tenant: str, *, period: periods.Period) -> Response:
    with away_is_retry():
        known_account(state.engine, state.settings, tenant=tenant, account=period.account)
    from api.money import reconciling  # with Polars, which a server that reconciles nothing need not hold

    found = reconciling.run(state.database_url, state.settings, tenant, period=period)
    return Response(_with_changed(found.document, changed=found.changed), media_type="application/json")


def _with_changed(document: bytes, *, changed: bool) -> bytes:
    return document[:-1] + (b',"changed":true}' if changed else b',"changed":false}')


def _asked(items: Iterable[tuple[str, str]], name: str, *, known: Mapping[str, Filter], tenant: str) -> dict[str, Any]:
    """`name` (None where it is not asked for), `limit` and `cursor`; `after` is where the cursor goes on."""
    found = read_all(items, known)
    digest = filters_digest(tenant, [name, found.get(name)])
    after = decode(str(found["cursor"]), digest).at if "cursor" in found else None
    return {
        "tenant": tenant, name: found.get(name), "after": after, "most": int(found.get("limit", USUAL)) + 1, "digest": digest,
    }  # fmt: skip


def _rows(request: Request, statement: str, asked: dict[str, Any]) -> list[Any]:
    if not -1 <= asked["after"] <= 2**62:
        raise unusable()
    values = {name: value for name, value in asked.items() if f":{name}" in statement}
    with away_is_retry(), request.app.state.engine.connect() as connection:
        return list(connection.execute(sa.text(statement), values).all())


def _page(name: str, rows: list[tuple[bytes, int]], asked: dict[str, Any]) -> Response:
    """`rows`: JSON and place, one more than a page has where there is another page."""
    shown = rows[: asked["most"] - 1]
    cursor = f'"{encode(Place(shown[-1][1], "", asked["digest"]))}"' if len(rows) > len(shown) else "null"
    body = f'{{"{name}":['.encode() + b",".join(row for row, _ in shown) + f'],"next_cursor":{cursor}}}'.encode()
    return Response(body, media_type="application/json")


def _found(request: Request, tenant: str) -> tuple[str, bool]:
    """The document of the result in the path. Refused 404 where the tenant has none of that id."""
    made = request.path_params["id"]
    statement = sa.text("SELECT document, previous IS NOT NULL FROM safiri.reconciliations WHERE tenant = :tenant AND id = :id")
    with away_is_retry(), request.app.state.engine.connect() as connection:
        row = connection.execute(statement, {"tenant": tenant, "id": made}).one_or_none() if "\0" not in made else None
    if row is None:
        raise Refused(404, "Not found", f"there is no reconciliation {made[:80]!r}: GET /v1/reconciliations lists them")
    return str(row[0]), bool(row[1])
