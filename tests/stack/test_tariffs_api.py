"""POST /v1/tariff-inference: the answer of the command, over HTTP; without a log or a database."""

from __future__ import annotations

import msgspec
import pytest
from fastapi.testclient import TestClient

from api.app import build
from api.tariffs import inferred
from runtime.keys import Grant
from runtime.settings import Settings

CSV = "duration_s,charge_minor\n60,300\n61,305\n90,450\n1,5\n"


class Known:
    """A key that needs no database."""

    def known(self, key: str) -> Grant | None:
        return Grant("id", "default", "test", "read") if key == "key" else None

    find = known


@pytest.fixture(scope="module")
def http() -> TestClient:
    app = build(Settings(), {"http": "", "database": "postgresql://127.0.0.1:1/x", "kafka": "", "virtual": "", "pid": 0})
    app.state.keys = Known()
    return TestClient(app, headers={"Authorization": "Bearer key", "Content-Type": "text/csv"}, raise_server_exceptions=False)


def test_the_answer_is_that_of_the_command(http: TestClient) -> None:
    reply = http.post("/v1/tariff-inference", content=CSV)
    assert reply.status_code == 200, reply.text
    assert reply.json() == msgspec.to_builtins(inferred(CSV.encode()))
    assert 'currency = "UGX"' in http.post("/v1/tariff-inference?currency=UGX", content=CSV).json()["rules"][0]["plan_toml"]


@pytest.mark.parametrize(("path", "body", "field"), [
    ("", "duration_s\n1\n", "line 1, charge_minor"),
    ("", CSV + "1,x\n", "line 6, charge_minor"),
    ("", b"\xff", "line 1"),
    ("", b"", "line 1, duration_s"),
    ("?currency=kes", CSV, "currency"),
    ("?plan=x", CSV, "plan"),
])  # fmt: skip
def test_what_cannot_be_read_is_422_by_line_and_column(http: TestClient, path: str, body: str | bytes, field: str) -> None:
    reply = http.post(f"/v1/tariff-inference{path}", content=body)
    assert reply.status_code == 422, reply.text
    assert reply.json()["errors"][0]["field"] == field


def test_a_key_is_needed(http: TestClient) -> None:
    assert http.post("/v1/tariff-inference", content=CSV, headers={"Authorization": ""}).status_code == 401


def test_it_is_described(http: TestClient) -> None:
    described = http.get("/openapi.json").json()
    assert "text/csv" in described["paths"]["/v1/tariff-inference"]["post"]["requestBody"]["content"]
    assert described["components"]["schemas"]["TariffInference"]["properties"].keys() == {"rules", "tell_apart_s"}
