"""GET /v1/metrics, /v1/metrics/query, /v1/metrics/explain and /v1/metrics/bridge. Rows of the key's tenant only."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from api import schemas
from api.analytics import shapes
from api.analytics.answer import Known, answer
from api.analytics.asking import known, known_account, understood
from api.analytics.bridge import bridge
from api.analytics.catalogue import catalogue
from api.analytics.explain import explain
from api.auth import Reader
from api.params import refuse_all
from calls.metrics import asked
from calls.metrics.parameters import BRIDGE, EXPLAIN, QUERY
from calls.metrics.question import Question
from runtime.bodies import as_json

router = APIRouter(tags=["metrics"])
ERRORS = (401, 403, 422, 503)


@router.get("/v1/metrics", **schemas.answer("MetricCatalogue", errors=ERRORS))
def list_metrics(request: Request, grant: Reader) -> Response:
    """Every metric, what it is made of and what it takes; and the presets: what other products show."""
    refuse_all(request.query_params.multi_items())
    return as_json(catalogue())


@router.get("/v1/metrics/query", **schemas.answer("MetricAnswer", parameters=shapes.parameters(QUERY), errors=ERRORS))
def query_metrics(request: Request, grant: Reader) -> Response:
    """Numbers by interval and group. Further filters: `attr.NAME=text` for any attribute."""
    state = request.app.state
    question = understood(asked.query, request.query_params.multi_items(), settings=state.settings, tenant=grant.tenant)
    known_account(state.engine, question, state.settings)
    return as_json(answer(state.engine, question, _known(request, question)))


@router.get("/v1/metrics/explain", **schemas.answer("MetricExplanation", parameters=shapes.parameters(EXPLAIN)))
def explain_metric(request: Request, grant: Reader) -> Response:
    """The calls behind one cell of an answer, adding up to it; `group.NAME` names the group; `journey_id` asks about one call."""
    state = request.app.state
    asked_for = understood(asked.explain, request.query_params.multi_items(), settings=state.settings, tenant=grant.tenant)
    known_account(state.engine, asked_for.question, state.settings)
    return as_json(explain(state.engine, asked_for, _known(request, asked_for.question)))


@router.get("/v1/metrics/bridge", **schemas.answer("MetricBridge", parameters=shapes.parameters(BRIDGE), errors=ERRORS))
def bridge_presets(request: Request, grant: Reader) -> Response:
    """From one product's service level to another's: the calls that make the difference, by rule."""
    state = request.app.state
    crossing = understood(asked.bridge, request.query_params.multi_items(), settings=state.settings, tenant=grant.tenant)
    known_account(state.engine, crossing.start, state.settings)
    return as_json(bridge(state.engine, crossing, _known(request, crossing.start)))


def _known(request: Request, question: Question) -> Known:
    """Asked before the tables are: what is complete then is in them."""
    return known(request.app.state.settings, question, request.app.state.freshness.complete_through())
