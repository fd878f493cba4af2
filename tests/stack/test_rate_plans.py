"""Posted rate plans on a real Postgres: appended, never changed, each tenant's own; and legs rated by their names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from asking import Desk, opened, problem
from whole import Stack

HEAD = 'currency = "KES"\ntimezone = "UTC"\n'
LEG = {"direction": "outbound", "kind": "external", "to": "+254720000001"}


@pytest.fixture(scope="module")
def desk(database_url: str) -> Iterator[Desk]:
    with opened(database_url) as made:
        yield made


@pytest.fixture(scope="module")
def writing(desk: Desk) -> str:
    return desk.new_key(desk.tenant, "write")


def version(name: str, valid_from: str, minute: int) -> str:
    step = f"{{ from_s = 0, rate_minor = {minute}, per_s = 60, increment_s = 1 }}"
    return f'[[versions]]\nversion = "{name}"\nvalid_from = {valid_from}\n[[versions.rules]]\nsteps = [{step}]\n'


def post(desk: Desk, path: str, body: dict[str, Any], key: str) -> Any:
    return desk.http.post(path, json=body, headers={"Authorization": f"Bearer {key}"})


def rated(desk: Desk, plan: str, *starts: str) -> list[tuple[int, str]]:
    legs = [LEG | {"started_at": start, "answered_at": start, "talk_s": 60} for start in starts]
    reply = post(desk, "/v1/rate", {"plan": plan, "legs": legs}, desk.key)
    assert reply.status_code == 200, reply.text
    return [(one["amount_minor"], one["version"]) for one in reply.json()["charges"]]


def test_versions_are_appended_and_never_changed(desk: Desk, writing: str) -> None:
    both = HEAD + version("1", "2000-01-01T00:00:00Z", 240) + version("2", "2026-03-01T00:00:00Z", 300)
    first = post(desk, "/v1/rate-plans", {"plan": "moving-ke", "plan_toml": both}, writing)
    assert first.status_code == 200, first.text
    assert first.json()["appended"] == ["1", "2"]
    assert all(one["appended_at"] for one in first.json()["versions"])
    assert post(desk, "/v1/rate-plans", {"plan": "moving-ke", "plan_toml": both}, writing).json()["appended"] == []
    assert post(desk, "/v1/rate-plans", {"plan": "moving-ke", "plan_toml": first.json()["plan_toml"]}, writing).json()["appended"] == []
    assert rated(desk, "moving-ke", "2026-02-28T23:59:59Z", "2026-03-01T00:00:00Z") == [(240, "1"), (300, "2")]
    changed = HEAD + version("2", "2026-03-01T00:00:00Z", 999)
    assert "'2'" in problem(post(desk, "/v1/rate-plans", {"plan": "moving-ke", "plan_toml": changed}, writing), 409)["detail"]
    same_time = HEAD + version("3", "2026-03-01T00:00:00Z", 999)
    told = problem(post(desk, "/v1/rate-plans", {"plan": "moving-ke", "plan_toml": same_time}, writing), 422)
    assert [error["field"] for error in told["errors"]] == ["versions[0].valid_from"]
    back_dated = HEAD + version("3", "2026-02-10T00:00:00Z", 601)
    assert post(desk, "/v1/rate-plans", {"plan": "moving-ke", "plan_toml": back_dated}, writing).json()["appended"] == ["3"]
    assert rated(desk, "moving-ke", "2026-02-09T00:00:00Z", "2026-02-28T00:00:00Z") == [(240, "1"), (601, "3")]


def test_a_shipped_plan_can_be_appended_to_and_stays_what_it_is_elsewhere(desk: Desk, writing: str) -> None:
    text = 'currency = "KES"\ntimezone = "Africa/Nairobi"\n' + version("2099", "2099-01-01T00:00:00Z", 600)
    assert post(desk, "/v1/rate-plans", {"plan": "sautikit-ke", "plan_toml": text}, writing).status_code == 200
    assert rated(desk, "sautikit-ke", "2026-06-01T00:00:00Z", "2099-06-01T00:00:00Z") == [(300, "2026-01"), (600, "2099")]
    for key, names in ((desk.key, ["2026-01", "2099"]), (desk.other_key, ["2026-01"])):
        listed = {one["plan"]: one for one in desk.get("/v1/rate-plans", key).json()["plans"]}
        assert [one["version"] for one in listed["sautikit-ke"]["versions"]] == names


def test_what_is_wrong_is_named_and_nothing_is_kept(desk: Desk, writing: str) -> None:
    good = HEAD + version("1", "2000-01-01T00:00:00Z", 240)
    for body, status, field in (
        ({"plan": "bad", "plan_toml": good.replace("240", "-240")}, 422, "versions[0].rules[0].steps[0].rate_minor"),
        ({"plan": "bad", "plan_toml": good + version("2", "2000-01-01T00:00:00Z", 1)}, 422, "versions[1].valid_from"),
        ({"plan": "bad"}, 422, "plan_toml"),
        ({"plan_toml": good}, 422, "plan"),
        ({"plan": "Bad plan", "plan_toml": good}, 422, "plan"),
        ({"plan": "bad", "plan_toml": good, "colour": 1}, 422, "colour"),
    ):
        told = problem(post(desk, "/v1/rate-plans", body, writing), status)
        assert field in [error["field"] for error in told["errors"]]
    problem(post(desk, "/v1/rate-plans", {"plan": "bad", "plan_toml": good}, desk.key), 403)
    problem(post(desk, "/v1/rate", {"plan": "bad", "legs": []}, desk.key), 404)
    problem(post(desk, "/v1/rate", {"plan": "a\0b", "legs": []}, desk.key), 404)
    problem(post(desk, "/v1/rate", {"plan": "moving-ke", "legs": []}, desk.other_key), 404)


def test_where_a_stack_runs_the_commands_know_what_was_posted_to_it(stack: Stack) -> None:
    body = {"plan": "posted-ke", "plan_toml": HEAD + version("1", "2000-01-01T00:00:00Z", 246)}
    assert stack.http.post("/v1/rate-plans", json=body, headers={"Authorization": f"Bearer {stack.key}"}).status_code == 200
    assert "posted-ke" in stack.cli("plans", "list")
    assert "posted-ke" not in stack.cli("plans", "list", "--tenant", "other")
    assert 'version = "1"' in stack.cli("plans", "show", "posted-ke")
    said = json.loads(stack.cli("rate", "--plan", "posted-ke", "--to", "+254720000001", "--talk-s", "60", "--json"))
    assert said["total_minor"] == 246
