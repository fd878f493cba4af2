"""The flows by API: listed and shown to their tenant, and walked without a phone, a log or a database."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import build
from runtime.keys import Grant
from runtime.settings import Settings

CONFIG = """
[tenants.default]
[tenants.other]
[accounts.acme]
provider = "sautikit"
signing_secrets = ["whsec_test"]
[accounts.rival]
provider = "sautikit"
signing_secrets = ["whsec_rival"]
tenant = "other"
[flows.ivr]
account = "acme"
start = "menu"
[flows.ivr.steps.menu]
kind = "menu"
prompt = "Press 1."
choices = { "1" = "sales" }
[flows.ivr.steps.sales]
kind = "dial"
to = "+254720000001"
[flows.theirs]
account = "rival"
start = "bye"
[flows.theirs.steps.bye]
kind = "hangup"
"""


class Known:
    """Keys that need no database: each is the name of its tenant."""

    def known(self, key: str) -> Grant | None:
        return Grant("id", key, "test", "read")

    def find(self, key: str) -> Grant | None:
        return self.known(key)


@pytest.fixture(scope="module")
def http() -> TestClient:
    app = build(
        Settings.model_validate(tomllib.loads(CONFIG)),
        {"http": "", "database": "postgresql://127.0.0.1:1/x", "kafka": "", "virtual": "", "pid": 0},
    )
    app.state.keys = Known()
    return TestClient(app, headers={"Authorization": "Bearer default"}, raise_server_exceptions=False)


def tried(http: TestClient, body: Any, status: int = 200) -> Any:
    reply = http.post("/v1/flows/ivr/try", content=body if isinstance(body, bytes) else json.dumps(body))
    assert reply.status_code == status, reply.text
    return reply.json()


def test_the_flows_of_the_tenant_are_listed(http: TestClient) -> None:
    told = http.get("/v1/flows").json()
    assert told == {"flows": [{"flow": "ivr", "account": "acme", "start": "menu", "format": "json", "steps": ["menu", "sales"]}]}
    assert [one["flow"] for one in http.get("/v1/flows", headers={"Authorization": "Bearer other"}).json()["flows"]] == ["theirs"]


def test_one_flow_is_shown_with_its_steps_and_anothers_is_not_there(http: TestClient) -> None:
    told = http.get("/v1/flows/ivr").json()
    assert told["steps"]["sales"] == {"kind": "dial", "to": "+254720000001", "timeout_s": 30}
    assert (told["start"], told["timezone"], told["steps"]["menu"]["retries"]) == ("menu", "Africa/Nairobi", 3)
    assert [http.get(f"/v1/flows/{name}").status_code for name in ("theirs", "no-such-flow")] == [404, 404]
    assert http.post("/v1/flows/theirs/try", content=b"{}").status_code == 404
    assert http.get("/v1/flows", headers={"Authorization": ""}).status_code == 401
    assert http.get("/v1/flows?limit=1").status_code == 422


def test_a_flow_is_walked_step_by_step_with_the_state_that_came_back(http: TestClient) -> None:
    first = tried(http, {})
    again = tried(http, {"digits": "", "state": first["state"]})
    last = tried(http, {"digits": "1", "state": again["state"]})
    assert [next(iter(one["actions"][0])) for one in (first, again, last)] == ["getDigits", "getDigits", "dial"]
    assert first["actions"][0]["getDigits"]["action"].startswith("http://testserver/voice/ivr/menu?v=1")
    assert tried(http, {"state": last["state"]}) == {"actions": [], "state": last["state"], "notes": ["the call is over"]}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        ([], "body"),
        ({"digits": 1}, "digits"),
        ({"state": 5}, "state"),
        ({"state": {"step": 5}}, "state"),
        ({"state": {}}, "state"),
        ({"state": {"step": "nowhere", "visit": 1}}, "state"),
        ({"state": {"step": "menu", "visit": -1, "waits": "menu"}}, "state"),
        ({"state": {"step": "menu", "visit": 10**30, "waits": "menu"}}, "state"),
        ({"digit": "1"}, "body"),
    ],
)
def test_a_wrong_body_is_refused_by_the_name_of_its_field(http: TestClient, body: Any, field: str) -> None:
    told = tried(http, body, status=422)
    assert told["errors"][0]["field"] == field and "{}" in told["detail"] + "{}"


def test_any_state_of_the_right_shape_is_survived(http: TestClient) -> None:
    for waits in ("menu", "queue", "dial", "bot", "record", "delegate", "actions", ""):
        for step in ("menu", "sales"):
            assert tried(http, {"digits": "1", "state": {"step": step, "visit": 1, "waits": waits, "queue": "x", "since": -5}})["state"]


def test_a_large_body_is_refused(http: TestClient) -> None:
    assert tried(http, {"digits": "1" * 70_000}, status=413)["status"] == 413
