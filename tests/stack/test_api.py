"""Who may ask the API, what one journey answers, and the addresses it does not have; on a real Postgres."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from asking import CALLER, NOON, SECOND, Desk, journey, opened, problem

from api.database import reader
from calls.clock import parse_time
from calls.journey import Anomaly, document, journey_id
from runtime import keys
from runtime.problems import Retry


@pytest.fixture(scope="module")
def desk(database_url: str) -> Iterator[Desk]:
    with opened(database_url) as made:
        yield made


ROUTES = ("/v1/journeys", "/v1/journeys/x", "/v1/journeys/x/events", "/v1/freshness")


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer nonsense", "Basic YTpi", f"Bearer sfk_aaaaaaaa_{'b' * 43}", "Bearer \u00e9"]
)
def test_without_a_good_key_nothing_is_told(desk: Desk, path: str, header: str | None) -> None:
    reply = desk.http.get(path, headers={"Authorization": header.encode("latin-1")} if header is not None else {})
    problem(reply, 401)
    assert reply.headers["www-authenticate"].startswith("Bearer")


def test_a_revoked_key_opens_nothing_once_it_is_asked_for_again(desk: Desk) -> None:
    key = desk.new_key(desk.tenant)
    with desk.engine.begin() as connection:
        assert keys.revoke(connection, key.split("_")[1])
        assert not keys.revoke(connection, "nobody00")
    problem(desk.get("/v1/journeys", key), 401)


def test_scopes_include_the_lesser_ones() -> None:
    read, write, admin = (keys.Grant("i", "t", "n", scope) for scope in keys.SCOPES)
    assert [grant.allows("write") for grant in (read, write, admin)] == [False, True, True]
    assert all(grant.allows("read") for grant in (read, write, admin))


def test_keys_are_kept_hashed_and_known_while_postgres_is_away(desk: Desk) -> None:
    asked, now, away = [], [0.0], [False]

    def ask(digest: bytes) -> keys.Grant | None:
        asked.append(digest)
        if away[0]:
            raise Retry("away")
        return keys.from_postgres(reader_engine)(digest)

    reader_engine = reader(desk.url)
    found = keys.Keys(ask, lambda: now[0])
    assert found.known(desk.key) is None
    for _ in range(3):
        grant = found.find(desk.key)
        assert grant is not None
        assert (grant.tenant, grant.scope) == (desk.tenant, "read")
    assert len(asked) == 1
    assert desk.key.encode() not in asked
    away[0], now[0] = True, 11.0
    assert found.find(desk.key) == grant
    assert found.known(desk.key) is None
    now[0] = 700.0
    with pytest.raises(Retry):
        found.find(desk.key)
    reader_engine.dispose()


def test_a_tenant_sees_its_own_rows_on_every_route(desk: Desk) -> None:
    sid = str(uuid.uuid4())
    mine, theirs = journey(desk, sid=sid), journey(desk, sid=sid, tenant=desk.other, caller="+254799999999")
    labelled = journey(desk, labels=["order-7"])
    desk.store(mine, theirs, labelled)
    desk.journal(sid, b'{"type":"call.answered","call_sid":"x","occurred_at":"2026-09-01T12:00:00Z"}')
    assert mine.journey_id != theirs.journey_id
    for name in (sid, mine.journey_id):
        assert desk.get(f"/v1/journeys/{name}").json()["journey_id"] == mine.journey_id
    assert desk.get(f"/v1/journeys/{sid}", desk.other_key).json()["journey_id"] == theirs.journey_id
    problem(desk.get(f"/v1/journeys/{mine.journey_id}", desk.other_key), 404)
    problem(desk.get(f"/v1/journeys/{mine.journey_id}/events", desk.other_key), 404)
    problem(desk.get("/v1/journeys/order-7", desk.other_key), 404)
    assert desk.get(f"/v1/journeys/{sid}/events", desk.other_key).json()["events"] == []
    assert len(desk.get(f"/v1/journeys/{sid}/events").json()["events"]) == 1
    assert theirs.journey_id not in desk.ids(limit=500)
    assert desk.get("/v1/journeys", desk.other_key, caller=CALLER).json()["journeys"] == []


# ---------------------------------------------------------------- one journey


def test_a_journey_is_its_document_and_what_is_known_when_asked(desk: Desk) -> None:
    one = journey(desk, attributes={"vip": True}, anomalies=[Anomaly("missing_end", "no end", ["e1"])])
    desk.store(one)
    told = desk.get(f"/v1/journeys/{one.journey_id}").json()
    through = told.pop("complete_through")
    assert told == json.loads(json.dumps(document(one)))
    assert parse_time(through)
    listed = next(row for row in desk.get("/v1/journeys", limit=500).json()["journeys"] if row["journey_id"] == one.journey_id)
    assert {name: listed[name] for name in told} == told


def test_any_id_leads_to_the_journey(desk: Desk) -> None:
    label = f"client/{uuid.uuid4()}"
    sids = [f"a/b c%2F{uuid.uuid4()}", f"HD_{uuid.uuid4().hex}", f"ends/{uuid.uuid4()}/events"]
    one = journey(desk, sid=sids[0], call_sids=sids, labels=[label])
    desk.store(one)
    for name in (*sids, one.journey_id, journey_id(desk.tenant, sids[1]), label):
        reply = desk.get(f"/v1/journeys/{quote(name, safe='')}")
        assert reply.status_code == 200, name
        assert reply.json()["journey_id"] == one.journey_id
        assert desk.get(f"/v1/journeys/{quote(name, safe='')}/events").json() == {"events": [], "next_cursor": None}


def test_a_label_of_several_journeys_is_a_conflict_with_the_list(desk: Desk) -> None:
    label = f"order-{uuid.uuid4()}"
    several = [journey(desk, at=NOON + n * SECOND, labels=[label]) for n in range(3)]
    desk.store(*several)
    for path in (f"/v1/journeys/{label}", f"/v1/journeys/{label}/events"):
        told = problem(desk.get(path), 409)["journeys"]
        assert [row["journey_id"] for row in told] == [one.journey_id for one in reversed(several)]
        assert [row["call_sid"] for row in told] == [one.calls[0].call_sid for one in reversed(several)]


@pytest.mark.parametrize(
    "name", ["nobody", "%00", "a%00b", "%ff%fe", "x" * 10_000, "%27%3B--", "..", "%2F%2F", "a/b", "%ED%A0%80", "%20", "events"]
)
def test_ids_of_nothing_are_404(desk: Desk, name: str) -> None:
    problem(desk.get(f"/v1/journeys/{name}"), 404)
    problem(desk.get(f"/v1/journeys/{name}/events"), 404)


def test_parameters_nobody_knows_are_422_everywhere(desk: Desk) -> None:
    one = journey(desk)
    desk.store(one)
    for path in ("/v1/journeys", f"/v1/journeys/{one.journey_id}", f"/v1/journeys/{one.journey_id}/events", "/v1/freshness"):
        assert problem(desk.get(path, colour="red"), 422)["errors"][0]["field"] == "colour"


# ---------------------------------------------------------------- addresses


def test_unknown_addresses_and_methods_are_problems(desk: Desk) -> None:
    for path in ("/", "/v1", "/v1/nosuch", "/v1/journeys/", "/docs", "/v1//journeys"):
        problem(desk.get(path), 404)
    for method in ("DELETE", "POST", "PUT", "PATCH", "OPTIONS"):
        for path in ("/v1/journeys", "/v1/journeys/x", "/v1/journeys/x/events", "/health/live", "/v1/freshness", "/metrics"):
            reply = desk.http.request(method, path)
            problem(reply, 405)
            assert "GET" in reply.headers["allow"]


def test_a_bug_is_a_problem_without_a_trace(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("api.read.page", fail)
    assert "secret" not in json.dumps(problem(desk.get("/v1/journeys"), 500))


def test_the_openapi_document_names_every_filter(desk: Desk) -> None:
    document = desk.http.get("/openapi.json").json()
    names = {one["name"] for one in document["paths"]["/v1/journeys"]["get"]["parameters"]}
    assert {"from", "to", "caller", "min_wait_ms", "cursor"} <= names
    assert {"/v1/journeys", "/v1/journeys/{id}", "/v1/journeys/{id}/events", "/v1/freshness", "/health/ready"} <= set(document["paths"])
