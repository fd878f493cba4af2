"""How the laws are told: by the API, to Prometheus, on the command line, after a rebuild."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from asking import SETTINGS, Kafka, problem
from click.testing import CliRunner
from fastapi.testclient import TestClient
from morning import projected
from projecting import Bench, story

from api.analytics.invariants import EVERY_S, Watch
from api.app import build
from calls.metrics.laws import BY_ID, LAWS
from cli import invariants, rebuild
from runtime import keys
from runtime.laws.check import check, check_all
from runtime.problems import Retry


@pytest.fixture(scope="module")
def morning(database_url: str) -> Iterator[Bench]:
    made = projected(database_url)
    yield made
    made.close()


@pytest.fixture(scope="module")
def http(morning: Bench) -> Iterator[TestClient]:
    app = build(SETTINGS, {"http": "", "database": morning.url, "kafka": "", "virtual": "", "pid": 0}, log=Kafka())
    with TestClient(app, raise_server_exceptions=False) as made:
        yield made


@pytest.fixture(scope="module")
def headers(morning: Bench) -> dict[str, dict[str, str]]:
    """Tenant -> what a request carries."""
    engine = sa.create_engine(sa.make_url(morning.url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        made = {tenant: keys.create(connection, name="test", tenant=tenant, scope="read") for tenant in ("default", "other")}
    engine.dispose()
    return {tenant: {"Authorization": f"Bearer {key}"} for tenant, key in made.items()}


def test_the_route_tells_every_law_of_the_keys_tenant(http: TestClient, headers: dict[str, Any]) -> None:
    answer = http.get("/v1/invariants", headers=headers["default"]).json()
    assert set(answer) == {"laws", "violations", "complete_through"}
    assert [law["law"] for law in answer["laws"]] == [law.id for law in LAWS]
    assert answer["violations"] == []
    offered = answer["laws"][0]
    assert {name: offered[name] for name in ("law", "relation", "left", "right", "broken", "violations")} == {
        "law": "queue.offered", "relation": "=", "left": 7, "right": 7, "broken": 0, "violations": [],
    }  # fmt: skip
    others = http.get("/v1/invariants", headers=headers["other"]).json()["laws"]
    assert {law["law"]: law["left"] for law in others if law["law"] in ("queue.offered", "calls.outcomes")} == {
        "queue.offered": 0, "calls.outcomes": 1,
    }  # fmt: skip


def test_the_route_counts_within_a_range(http: TestClient, headers: dict[str, Any]) -> None:
    asked = {"from": "2026-09-01T12:00:00Z", "to": "2026-09-01T15:01:00+03:00"}
    laws = {law["law"]: law for law in http.get("/v1/invariants", headers=headers["default"], params=asked).json()["laws"]}
    assert laws["queue.offered"]["left"] == 3  # one, two into sales, three
    assert laws["calls.outcomes"]["left"] == 3


@pytest.mark.parametrize(("query", "field"), [
    ("from=yesterday", "from"), ("to=2026-09-01T12:00:00", "to"), ("from=2026-09-02T00:00:00Z&to=2026-09-01T00:00:00Z", "from"),
    ("from=", "from"), ("queue=support", "queue"), ("to=2026-09-01T00:00:00Z&to=2026-09-02T00:00:00Z", "to"),
])  # fmt: skip
def test_a_range_that_is_none_is_refused(http: TestClient, headers: dict[str, Any], query: str, field: str) -> None:
    body = problem(http.get(f"/v1/invariants?{query}", headers=headers["default"]), 422)
    assert body["errors"][0]["field"] == field
    problem(http.get("/v1/invariants"), 401)


def test_prometheus_has_the_laws_and_waits_for_none(morning: Bench) -> None:
    now = [1000.0]
    watch = Watch(morning.url, ticks=lambda: now[0])
    assert list(watch.collect()) == []
    watch._asking.ask().result(60)
    found = {metric.name: metric for metric in watch.collect()}
    assert {sample.labels["law"]: sample.value for sample in found["safiri_law_violations"].samples} == dict.fromkeys(BY_ID, 0.0)
    (checked,) = found["safiri_laws_checked_at"].samples
    before = checked.value
    now[0] += EVERY_S + 1
    list(watch.collect())
    watch._asking.ask().result(60)
    (checked,) = {metric.name: metric for metric in watch.collect()}["safiri_laws_checked_at"].samples
    assert checked.value > before


def test_who_asks_while_another_check_runs_is_told_so(morning: Bench) -> None:
    from runtime.laws import check as module

    with module._alone(0), pytest.raises(Retry, match="somebody else"):
        check(morning.url, "default", wait_s=0)


def test_all_tenants_are_checked(morning: Bench) -> None:
    assert list(check_all(morning.url)) == ["default", "other"]


# ---------------------------------------------------------------- the command line


@pytest.fixture
def cli(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command of ours on a database of one call; returns its result."""
    bench.project(
        story("+0 call.started direction=inbound\n+5 queue.entered queue=q\n+9 queue.left queue=q reason=abandoned\n+9 call.ended")
    )
    monkeypatch.setenv("SAFIRI_DATABASE_URL", bench.url)
    monkeypatch.setenv("SAFIRI_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.delenv("SAFIRI_CONFIG", raising=False)

    def run(command: Any, *args: str) -> Any:
        return CliRunner().invoke(command, list(args), standalone_mode=False)

    return run


def test_the_command_line_says_which_law_is_broken(bench: Bench, cli: Any) -> None:
    good = cli(invariants.command)
    assert good.return_value == 0, good.output
    assert good.output.startswith("ok      queue.offered        1 = 1\n")
    with psycopg.connect(bench.url) as connection:
        connection.execute("UPDATE g1.queue_visits SET outcome = 'vanished'")
    wrong = cli(invariants.command, "--from", "2026-09-01T00:00:00Z")
    assert wrong.return_value == 1
    assert "broken  queue.offered        1 = 0\n" in wrong.output
    assert "queue=q, quarter=2026-09-01T12:00:00+00:00: 1 = 0" in wrong.output
    assert cli(invariants.command, "--from", "2027-01-01T00:00:00Z").return_value == 0


def test_a_rebuild_checks_the_laws(bench: Bench, cli: Any) -> None:
    with psycopg.connect(bench.url) as connection:
        connection.execute("UPDATE g1.queue_visits SET outcome = 'vanished'")
    assert f"laws: {len(LAWS)} of {len(LAWS)} hold for tenant default" in cli(rebuild.command).stderr
    done = cli(rebuild.command, "--json")
    assert done.return_value == 0
    assert {law["broken"] for law in json.loads(done.stdout)["laws"]["default"]} == {0}
