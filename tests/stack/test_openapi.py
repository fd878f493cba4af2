"""The OpenAPI document is the truth: whatever it allows is answered as it says, whatever it does not is refused. Bounded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from asking import Desk, journey, neutral, opened
from costs import charge
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import checks

from calls.journey import Anomaly, MenuStep


@pytest.fixture(scope="module")
def desk(database_url: str) -> Iterator[Desk]:
    with opened(database_url) as made:
        costs = [charge("call-1"), charge("call-1", "a", None)]
        told = {"menu_path": [MenuStep("call-1", 0, "main", "1")], "anomalies": [Anomaly("missing_end", "x")], "charges": costs}
        one = journey(made, sid="call-1", **told)
        made.store(one, journey(made, labels=["twice"]), journey(made, labels=["twice"]))
        made.journal("call-1", neutral("call.started", "call-1", one.started_at))
        yield made


@pytest.fixture(scope="module")
def document(desk: Desk) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_asgi("/openapi.json", desk.app)


DAY = {"from": "2026-09-01T00:00:00Z", "to": "2026-09-02T00:00:00Z"}
ASKED = {
    "/v1/metrics/query": DAY | {"metrics": "queue.offered,sl.negative,queue.wait_p95", "group_by": "queue,hour", "compare": "previous"},
    "/v1/metrics/explain": DAY | {"metrics": "queue.offered"},
    "/v1/charges": DAY | {"group_by": "queue,day,destination"},
    "/v1/bills": {"account": "acme", "month": "2026-09"},
    "/v1/metrics/bridge": DAY | {"from_preset": "genesys", "to_preset": "wazo"},
}
PATHS = [
    "/v1/journeys",
    "/v1/journeys/{id}",
    "/v1/journeys/{id}/events",
    "/v1/freshness",
    "/health/live",
    "/health/ready",
    "/v1/invariants",
    "/v1/metrics",
    "/v1/re-ratings",
    "/v1/closed-periods",
    "/v1/reconciliations",
    *ASKED,
]
GOOD, BAD = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
CASES = [
    *((path, GOOD) for path in PATHS),
    *(
        (path, BAD)
        for path in PATHS
        if path.startswith(
            ("/v1/journeys", "/v1/metrics", "/v1/invariants", "/v1/re-ratings", "/v1/closed-periods", "/v1/charges", "/v1/bills")
        )
    ),
]  # others take nothing


@pytest.mark.parametrize(("path", "mode"), CASES)
@given(drawn=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
def test_every_answer_is_as_described(
    desk: Desk, document: schemathesis.BaseSchema, path: str, mode: schemathesis.GenerationMode, drawn: st.DataObject
) -> None:
    case = drawn.draw(document[path]["GET"].as_strategy(generation_mode=mode))
    # a text that the schema allows may still be no number or cursor, and an id may be nobody's: then 422 and 404 are right
    excluded = [checks.positive_data_acceptance, *([checks.negative_data_rejection] if "{id}" in path else [])]
    case.call_and_validate(headers={"Authorization": f"Bearer {desk.key}"}, excluded_checks=excluded)


@pytest.mark.parametrize("path", PATHS)
def test_real_answers_have_the_described_shape(desk: Desk, document: schemathesis.BaseSchema, path: str) -> None:
    case = document[path]["GET"].Case(path_parameters={"id": "call-1"} if "{id}" in path else {}, query=ASKED.get(path, {}))
    reply = case.call(headers={"Authorization": f"Bearer {desk.key}"})
    assert reply.status_code == 200
    case.validate_response(reply)
    told = reply.json()
    assert told.get("journeys", [1])
    assert told.get("events", 1)
    assert told.get("rows", [1])
    assert told.get("contributions", [1])
