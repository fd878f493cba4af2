"""GET /v1/journeys, /v1/journeys/{id} and /v1/journeys/{id}/events. Rows of the key's tenant only; others' ids are 404."""

from __future__ import annotations

from urllib.parse import unquote

from fastapi import APIRouter, Request
from starlette.responses import Response

from api import deliveries, read, schemas
from api.auth import Reader
from api.params import openapi_parameters, page_of, parse, refuse_all

router = APIRouter(tags=["journeys"])
PREFIX = b"/v1/journeys/"
EVENTS = b"/events"


@router.get("/v1/journeys", **schemas.answer("JourneyPage", parameters=openapi_parameters(), errors=(401, 403, 422, 503)))
def list_journeys(request: Request, grant: Reader) -> Response:
    """Journeys, newest first; filters combine by AND. Further filters: `attr.NAME=text` for any attribute."""
    state, tenant = request.app.state, grant.tenant
    asked = parse(request.query_params.multi_items(), tenant=tenant, country=state.settings.tenant(tenant).country)
    complete_through = state.freshness.complete_through()
    with state.engine.connect() as connection:
        found = read.page(
            connection, asked, tenant=tenant, accounts=read.accounts_of(state.settings, tenant), complete_through=complete_through
        )
    return Response(found, media_type="application/json")


@router.get("/v1/journeys/{id:path}/events", **schemas.answer("DeliveryPage", parameters=schemas.EVENTS_PARAMETERS))
def list_events(request: Request, grant: Reader) -> Response:
    """Every delivery behind a journey, as it came and as it was read, in reading order."""
    name, of_events = _named(request)
    if not of_events:  # the id itself ends so, percent-encoded
        return _one(request, name, grant.tenant)
    limit, cursor = page_of(request.query_params.multi_items())
    with request.app.state.engine.connect() as connection:
        found = deliveries.events(connection, name, tenant=grant.tenant, limit=limit, cursor=cursor)
    return Response(found, media_type="application/json")


@router.get("/v1/journeys/{id:path}", **schemas.answer("Journey", parameters=schemas.ID_PARAMETERS))
def get_journey(request: Request, grant: Reader) -> Response:
    """One journey by any of its ids: a journey id, a call SID, an alias, a client request id (409 where that names several)."""
    return _one(request, _named(request)[0], grant.tenant)


def _one(request: Request, name: str, tenant: str) -> Response:
    refuse_all(request.query_params.multi_items())
    complete_through = request.app.state.freshness.complete_through()
    with request.app.state.engine.connect() as connection:
        found = read.one(connection, name, tenant=tenant, complete_through=complete_through)
    return Response(found, media_type="application/json")


def _named(request: Request) -> tuple[str, bool]:
    """(the id, whether its events are asked for). Read from the path as it was sent: an id may hold slashes, percent-encoded."""
    path = (request.scope.get("raw_path") or request.url.path.encode()).partition(b"?")[0]
    rest = path[path.find(PREFIX) + len(PREFIX) :]
    of_events = rest.endswith(EVENTS) and len(rest) > len(EVENTS)
    return unquote((rest[: -len(EVENTS)] if of_events else rest).decode("latin-1"), errors="replace"), of_events
