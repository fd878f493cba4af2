"""The API on a real Postgres: rows are put where the projector would put them, and asked for over HTTP."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from api.app import build
from api.database import reader
from api.freshness import Freshness
from calls import envelope
from calls.clock import parse_time, rfc3339, to_datetime
from calls.journey import Anomaly, Call, Durations, Journey, Leg, QueueVisit, document, journey_id
from projections import PROJECTIONS
from projections.schema import migrate
from runtime import keys
from runtime.problems import Retry
from runtime.settings import Account, Settings, Tenant

NOON = parse_time("2026-09-01T12:00:00Z") or 0
SECOND = 1_000_000
CALLER, DID = "+254712345678", "+254711000100"
SETTINGS = Settings(
    tenants={"default": Tenant(), "other": Tenant()},
    accounts={"acme": Account(provider="neutral"), "rival": Account(provider="neutral", tenant="other")},
)


@dataclass
class Kafka:
    """A log of one partition. `away`: it does not answer."""

    end: int = 0
    away: bool = False
    times: dict[int, int] = field(default_factory=dict)

    def ends(self) -> dict[tuple[str, int], int]:
        if self.away:
            raise Retry("Kafka does not answer")
        return {("call-events", 0): self.end}

    def identity(self) -> tuple[str, dict[str, str]]:
        self.ends()
        return "cluster", {"call-events": "topic"}

    def record_time(self, topic: str, partition: int, offset: int) -> int | None:
        return self.times.get(offset)


class Desk:
    """The API, its database, and keys for it. Every desk works in a tenant of its own unless told otherwise."""

    def __init__(self, database_url: str) -> None:
        self.url, self.kafka = database_url, Kafka()
        self.app = build(SETTINGS, {"http": "", "database": database_url, "kafka": "", "pid": 0}, log=self.kafka)
        self.engine = sa.create_engine(sa.make_url(database_url).set(drivername="postgresql+psycopg"))
        self.tenant, self.other = f"t-{uuid.uuid4().hex[:8]}", f"o-{uuid.uuid4().hex[:8]}"
        self.key, self.other_key = self.new_key(self.tenant), self.new_key(self.other)
        self.http = TestClient(self.app, raise_server_exceptions=False)

    def new_key(self, tenant: str, scope: keys.Scope = "read") -> str:
        with self.engine.begin() as connection:
            return keys.create(connection, name="test", tenant=tenant, scope=scope)

    def get(self, path: str, key: str | None = None, **query: Any) -> Any:
        names = {name.rstrip("_"): value for name, value in query.items() if value is not None}
        return self.http.get(path, params=names or None, headers={"Authorization": f"Bearer {key or self.key}"})

    def ids(self, **query: Any) -> list[str]:
        reply = self.get("/v1/journeys", **query)
        assert reply.status_code == 200, reply.text
        return [row["journey_id"] for row in reply.json()["journeys"]]

    def store(self, *journeys: Journey) -> None:
        with psycopg.connect(self.url) as connection:
            for journey in journeys:
                for projection in PROJECTIONS:
                    for row in projection.rows(journey):
                        marks = ", ".join(["%s"] * len(row))
                        connection.execute(f"INSERT INTO live.{projection.name} VALUES ({marks})", row)
                for sid in journey.call_sids:
                    connection.execute(
                        "INSERT INTO live.call_index (tenant, call_sid, own_id, group_id, journey_id) VALUES (%s, %s, %s, %s, %s)",
                        (journey.tenant, sid, journey_id(journey.tenant, sid), journey.journey_id, journey.journey_id),
                    )

    def journal(self, sid: str, body: bytes, **given: Any) -> dict[str, Any]:
        """Appends one delivery to the journal; returns its row."""
        row = {
            "tenant": self.tenant, "stream": sid, "account": "acme", "event_id": uuid.uuid4().hex,
            "digest": bytes.fromhex(envelope.digest(body)), "stream_kind": "call", "receipt": uuid.uuid4(), "received_at": to_datetime(NOON),
            "provider": "neutral", "source": "events", "signature": "key", "content_type": "application/json", "headers": None, "body": body,
            "topic": "call-events", "partition": 3, "offset": 7,
        } | given  # fmt: skip
        names = ", ".join(f'"{name}"' for name in row)
        with psycopg.connect(self.url) as connection:
            connection.execute(f"INSERT INTO safiri.journal ({names}) VALUES ({', '.join(['%s'] * len(row))})", list(row.values()))
        return row


@pytest.fixture(scope="module")
def desk(database_url: str) -> Iterator[Desk]:
    migrate(SETTINGS, database_url, now=NOON)
    made = Desk(database_url)
    with made.http:
        yield made
    made.engine.dispose()


def journey(desk: Desk, *, at: int = NOON, sid: str | None = None, tenant: str | None = None, **given: Any) -> Journey:
    """An answered call of 100 s that waited 30 s in queue support for amina."""
    sid, tenant = sid or str(uuid.uuid4()), tenant or desk.tenant
    call = Call(call_sid=sid, account="acme", provider="neutral", started_at=at, caller=CALLER, called=DID, direction="inbound",
                legs=[Leg(leg="agent", kind="agent", started_at=at, agent="amina", queue="support")])  # fmt: skip
    visit = QueueVisit(call_sid=sid, queue="support", entered_at=at, left_at=at + 30 * SECOND, outcome="answered", agent="amina")
    fields: dict[str, Any] = {
        "tenant": tenant, "journey_id": journey_id(tenant, sid), "account": "acme", "provider": "neutral", "started_at": at,
        "ended_at": at + 100 * SECOND, "direction": "inbound", "caller": CALLER, "called": DID, "state": "ended", "outcome": "answered",
        "durations": Durations(total_ms=100_000, queue_ms=30_000), "calls": [call], "queue_visits": [visit], "complete": True, "events": 6,
        "call_sids": [sid],
    }  # fmt: skip
    return Journey(**(fields | given))


def problem(reply: Any, status: int) -> Any:
    assert reply.status_code == status, (reply.status_code, reply.text)
    assert reply.headers["content-type"] == "application/problem+json"
    body = reply.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    return body


# ---------------------------------------------------------------- who may ask

ROUTES = ("/v1/journeys", "/v1/journeys/x", "/v1/journeys/x/events", "/v1/freshness")


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer nonsense", "Basic YTpi", f"Bearer sfk_aaaaaaaa_{'b' * 43}", "Bearer \u00e9"])
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
    assert told.pop("charges") == []
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


@pytest.mark.parametrize("name", ["nobody", "%00", "a%00b", "%ff%fe", "x" * 10_000, "%27%3B--", "..", "%2F%2F", "a/b", "%ED%A0%80", "%20", "events"])
def test_ids_of_nothing_are_404(desk: Desk, name: str) -> None:
    problem(desk.get(f"/v1/journeys/{name}"), 404)
    problem(desk.get(f"/v1/journeys/{name}/events"), 404)


def test_parameters_nobody_knows_are_422_everywhere(desk: Desk) -> None:
    one = journey(desk)
    desk.store(one)
    for path in ("/v1/journeys", f"/v1/journeys/{one.journey_id}", f"/v1/journeys/{one.journey_id}/events", "/v1/freshness"):
        assert problem(desk.get(path, colour="red"), 422)["errors"][0]["field"] == "colour"


# ---------------------------------------------------------------- lists

def test_filters_find_what_they_say_and_nothing_else(desk: Desk) -> None:
    caller = f"+2547{uuid.uuid4().int % 10**8:08d}"
    short = journey(desk, at=NOON, caller=caller, outcome="abandoned_in_queue", queue_visits=[], calls=[], state="ended",
                    durations=Durations(total_ms=5_000), attributes={"branch": "Kisumu", "n": 7, "vip": False})  # fmt: skip
    long = journey(desk, at=NOON + 3600 * SECOND, caller=caller, direction="outbound", anomalies=[Anomaly("presumed_end", "x")],
                   state="presumed_ended", account="bank")  # fmt: skip
    desk.store(short, long)
    both, first, second = [long.journey_id, short.journey_id], [short.journey_id], [long.journey_id]
    for written in (caller, "0" + caller[4:], caller[1:], f"{caller[:4]} {caller[4:7]} {caller[7:]}", " " + caller[1:]):
        assert desk.ids(caller=written) == both, written
        assert desk.ids(number=written) == both, written
    for query, want in (
        ({"called": caller}, []), ({"called": DID}, both), ({"outcome": "answered"}, second), ({"direction": "inbound"}, first),
        ({"state": "presumed_ended"}, second), ({"state": "open"}, []), ({"queue": "support"}, second), ({"agent": "amina"}, second),
        ({"agent": "brian"}, []), ({"min_wait_ms": 30_000}, second), ({"min_wait_ms": 30_001}, []), ({"min_duration_ms": 5_001}, second),
        ({"min_duration_ms": 2**63 - 1}, []), ({"anomaly": "presumed_end"}, second), ({"anomaly": "missing_end"}, []),
        ({"account": "bank"}, second), ({"account": "acme"}, first), ({"attr.branch": "Kisumu"}, first), ({"attr.n": "7"}, first),
        ({"attr.vip": "false"}, first), ({"attr.branch": "'; drop table x --"}, []), ({"attr.%": "x"}, []),
        ({"from_": rfc3339(NOON)}, both), ({"to": rfc3339(NOON)}, []), ({"from_": "2026-09-01T12:00:00.000001Z"}, second),
        ({"from_": "2026-09-01T15:00:00+03:00", "to": "2026-09-01 16:00:00+03:00"}, first), ({"limit": 1}, second),
    ):  # fmt: skip
        assert desk.ids(**({"number": caller} | query)) == want, query


@pytest.mark.parametrize(("query", "field"), [
    ("colour=red", "colour"), ("outcome=splendid", "outcome"), ("direction=sideways", "direction"), ("state=solid", "state"),
    ("from=yesterday", "from"), ("to=2026-01-01T00:00:00", "to"), ("min_wait_ms=long", "min_wait_ms"), ("min_wait_ms=-1", "min_wait_ms"),
    ("min_duration_ms=9223372036854775808", "min_duration_ms"), ("limit=0", "limit"), ("limit=501", "limit"), ("limit=two", "limit"),
    ("cursor=%27%3Bdrop", "cursor"), ("caller=nobody", "caller"), ("caller=", "caller"), ("caller=%00", "caller"), ("agent=a%00", "agent"),
    ("attr.=1", "attr."), ("from=2026-02-02T00:00:00Z&to=2026-02-01T00:00:00Z", "from"), ("anomaly=odd", "anomaly"),
    ("account=nosuch", "account"), ("outcome=answered&outcome=busy", "outcome"), ("account=rival", "account"),
])  # fmt: skip
def test_a_query_that_means_nothing_is_422_and_names_the_field(desk: Desk, query: str, field: str) -> None:
    told = problem(desk.http.get(f"/v1/journeys?{query}", headers={"Authorization": f"Bearer {desk.key}"}), 422)
    assert [error["field"] for error in told["errors"]] == [field]
    assert told["errors"][0]["detail"]


def test_pages_show_each_row_once_while_rows_arrive(desk: Desk) -> None:
    caller = f"+2547{uuid.uuid4().int % 10**8:08d}"
    rows = [journey(desk, at=NOON + (n // 3) * SECOND, caller=caller) for n in range(11)]  # threes tie
    desk.store(*rows)
    seen: list[str] = []
    cursor = None
    while True:
        told = desk.get("/v1/journeys", caller=caller, limit=3, cursor=cursor).json()
        seen += [row["journey_id"] for row in told["journeys"]]
        cursor = told["next_cursor"]
        if cursor is None:
            break
        desk.store(journey(desk, at=NOON + 60 * SECOND, caller=caller))
    want = sorted(rows, key=lambda one: (one.started_at, one.journey_id), reverse=True)
    assert seen == [one.journey_id for one in want]


def test_a_cursor_belongs_to_its_filters_and_tenant(desk: Desk) -> None:
    caller = f"+2547{uuid.uuid4().int % 10**8:08d}"
    desk.store(*(journey(desk, caller=caller) for _ in range(3)))
    cursor = desk.get("/v1/journeys", caller=caller, limit=1).json()["next_cursor"]
    assert len(desk.ids(caller="0" + caller[4:], limit=2, cursor=cursor)) == 2  # the same filter in another writing
    problem(desk.get("/v1/journeys", caller=caller, outcome="answered", cursor=cursor), 422)
    problem(desk.get("/v1/journeys", desk.other_key, caller=caller, cursor=cursor), 422)


# ---------------------------------------------------------------- deliveries

def neutral(type_: str, sid: str, at: int, **fields: Any) -> bytes:
    return json.dumps({"type": type_, "call_sid": sid, "occurred_at": rfc3339(at)} | fields).encode()


def test_deliveries_are_typed_and_raw_in_reading_order(desk: Desk) -> None:
    sid = str(uuid.uuid4())
    one = journey(desk, sid=sid)
    desk.store(one)
    bodies = [neutral("call.started", sid, NOON), neutral("call.answered", sid, NOON), neutral("call.ended", sid, NOON + SECOND, ended_by="agent")]
    for body in reversed(bodies):
        row = desk.journal(sid, body)
    with psycopg.connect(desk.url) as connection:  # call.started came three times, one of them noted twice
        identity = [row[name] for name in ("tenant", "stream", "account", "event_id", "digest", "stream_kind")]
        for receipt in (uuid.uuid4(), uuid.uuid4(), row["receipt"]):
            connection.execute("INSERT INTO safiri.journal_copies VALUES (%s, %s, %s, %s, %s, %s, %s, now(), 'key')", [*identity, receipt])
    told = desk.get(f"/v1/journeys/{sid}/events").json()["events"]
    assert [item["raw"] for item in told] == [json.loads(body) for body in bodies]
    assert [item["type"] for item in told] == ["call.started", "call.answered", "call.ended"]
    assert [item["copies"] for item in told] == [3, 1, 1]
    last = told[-1]
    assert last["event"] == last["facts"][0] == {"type": "call.ended", "call_sid": sid, "occurred_at": rfc3339(NOON + SECOND), "ended_by": "agent"}
    assert last["kafka"] == {"topic": "call-events", "partition": 3, "offset": 7}
    assert (last["call_sid"], last["signature"], last["received_at"], last["stands"]) == (sid, "key", rfc3339(NOON), True)


def test_of_two_bodies_under_one_id_the_first_received_stands(desk: Desk) -> None:
    sid = str(uuid.uuid4())
    desk.store(journey(desk, sid=sid))
    for n, received in enumerate((NOON + SECOND, NOON)):
        desk.journal(sid, neutral("call.answered", sid, NOON + n), event_id="twice", received_at=to_datetime(received))
    told = desk.get(f"/v1/journeys/{sid}/events").json()["events"]
    assert [item["stands"] for item in told] == [False, True]


@pytest.mark.parametrize(("body", "content_type", "raw"), [
    (b'\xef\xbb\xbf {"a": 1} ', "application/json", '{"a": 1}'),
    (b'{"n": 123456789012345678901234567890.10, "s": "\\ud800"}', "application/json", '{"n": 123456789012345678901234567890.10, "s": "\\ud800"}'),
    (b'{"a": NaN}', "application/json", '{"text":"{\\"a\\": NaN}"}'),
    (b"[1]", "application/json", '{"text":"[1]"}'),
    (b"[" * 100_000, "application/json", None),
    (b"a=1&b=%20&a=2&c=", "application/x-www-form-urlencoded; charset=utf-8", '{"a":["1","2"],"b":" ","c":""}'),
    (b"\xff\x00", "text/plain", '{"base64":"/wA="}'),
    (b"nul \x00", "text/plain", '{"text":"nul \\u0000"}'),
    (b"", "", '{"text":""}'),
])  # fmt: skip
def test_raw_shows_any_body_faithfully(desk: Desk, body: bytes, content_type: str, raw: str | None) -> None:
    sid = str(uuid.uuid4())
    desk.store(journey(desk, sid=sid))
    desk.journal(sid, body, content_type=content_type, provider="nosuch")
    reply = desk.get(f"/v1/journeys/{sid}/events")
    assert reply.status_code == 200
    assert raw is None or f'"raw":{raw}}}' in reply.text
    assert reply.json()["events"][0]["type"] == "unrecognised"


def test_long_journeys_are_paged(desk: Desk) -> None:
    sid = str(uuid.uuid4())
    desk.store(journey(desk, sid=sid))
    for n in range(7):
        desk.journal(sid, neutral("menu.digits", sid, NOON + (n // 2) * SECOND, digits=str(n)))
    whole = desk.get(f"/v1/journeys/{sid}/events").json()
    assert whole["next_cursor"] is None
    seen, cursor = [], None
    while True:
        told = desk.get(f"/v1/journeys/{sid}/events", limit=2, cursor=cursor).json()
        seen += told["events"]
        cursor = told["next_cursor"]
        if cursor is None:
            break
    assert seen == whole["events"]
    for query in ({"limit": 0}, {"limit": 10_001}, {"cursor": "x"}, {"limit": "two"}):
        problem(desk.get(f"/v1/journeys/{sid}/events", **query), 422)


# ---------------------------------------------------------------- freshness, health, metrics

def place(desk: Desk, next_: int) -> None:
    with psycopg.connect(desk.url) as connection:
        connection.execute(
            "INSERT INTO safiri.positions (cluster_id, topic_id, topic, partition, next) VALUES ('cluster', 'topic', 'call-events', 0, %s) "
            "ON CONFLICT (cluster_id, topic_id, partition) DO UPDATE SET next = excluded.next", (next_,),
        )  # fmt: skip


def test_freshness_counts_what_is_not_in_the_tables(desk: Desk) -> None:
    place(desk, 5)
    desk.kafka.end, desk.kafka.times = 8, {5: NOON}
    told = desk.get("/v1/freshness").json()
    assert (told["unprojected"], told["oldest_unprojected_at"]) == (3, rfc3339(NOON))
    assert told["parts"] == {"kafka": 3, "spool": 0, "deferred": 0}
    before = time.time()
    place(desk, 8)
    told = desk.get("/v1/freshness").json()
    assert (told["unprojected"], told["oldest_unprojected_at"]) == (0, None)
    assert before - 1 < (parse_time(told["complete_through"]) or 0) / 1e6 < time.time() + 1


def test_complete_through_is_never_newer_than_the_truth(desk: Desk) -> None:
    now, tick = [1000.0], [0.0]
    kafka, spool = Kafka(), [(0, None)]
    engine = reader(desk.url)
    freshness = Freshness(kafka, engine, spool=lambda: spool[0], now=lambda: now[0], ticks=lambda: tick[0])

    def through(seconds: float) -> str | None:
        now[0] += seconds
        tick[0] += seconds
        return freshness.complete_through()

    def at(seconds: int) -> str | None:
        return rfc3339(seconds * SECOND)

    place(desk, 0)
    assert through(2) == at(1002)
    kafka.end = 4
    assert through(2) == at(1002)  # 4 behind since some time after 1002
    kafka.end = 9
    assert through(2) == at(1002)
    place(desk, 4)
    assert through(2) == at(1004)  # what was there at 1004 is in the tables now
    place(desk, 9)
    spool[0] = (1, 1_009 * SECOND)  # received after that reading
    assert through(2) == at(1009)
    kafka.away = True
    assert through(2) == at(1009)
    with pytest.raises(Retry):
        freshness.read()
    kafka.away, spool[0] = False, (0, None)
    assert through(1) == at(1009)  # backs off after a failure
    assert through(9) == at(1022)
    engine.dispose()


def test_those_who_ask_at_once_share_a_reading(desk: Desk) -> None:
    class Slow(Kafka):
        asked = 0

        def ends(self) -> dict[tuple[str, int], int]:
            Slow.asked += 1
            time.sleep(0.05)
            return super().ends()

    engine = reader(desk.url)
    freshness = Freshness(Slow(), engine)
    threads = [threading.Thread(target=freshness.read) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Slow.asked <= 5
    engine.dispose()


def test_while_kafka_is_away_journeys_are_told_and_freshness_is_503(desk: Desk) -> None:
    one = journey(desk)
    desk.store(one)
    assert desk.http.get("/health/ready").status_code == 200
    desk.kafka.away = True
    try:
        reply = desk.get("/v1/freshness")
        problem(reply, 503)
        assert int(reply.headers["retry-after"]) > 0
        assert desk.get(f"/v1/journeys/{one.journey_id}").status_code == 200
        ready = desk.http.get("/health/ready")
        assert ready.status_code == 200  # the spool takes deliveries
        assert ready.json()["status"] == "degraded"
        assert "Kafka" in ready.json()["dependencies"]["kafka"]
        text = desk.http.get("/metrics").text
        assert 'safiri_up{part="kafka"} 0.0' in text
        assert 'safiri_up{part="postgres"} 1.0' in text
        assert "safiri_unprojected" not in text
    finally:
        desk.kafka.away = False


def test_metrics_say_lag_quarantine_and_restarts(desk: Desk, tmp_path: Any) -> None:
    place(desk, desk.kafka.end)
    (tmp_path / "restarts.json").write_text('{"kafka": 2}')
    app = build(SETTINGS.model_copy(update={"data_dir": tmp_path}), {"http": "", "database": desk.url, "kafka": "", "pid": 0}, log=desk.kafka)
    with TestClient(app) as http:
        text = http.get("/metrics").text
    for line in ('safiri_lag{partition="0",topic="call-events"} 0.0', "safiri_unprojected 0.0", 'safiri_restarts_total{part="kafka"} 2.0',
                 "safiri_quarantine ", "safiri_broken_journeys ", "safiri_spool_depth 0.0", "safiri_publish_seconds_bucket"):  # fmt: skip
        assert line in text, line


def test_while_postgres_is_away_answers_are_503_and_health_says_so() -> None:
    addresses = {"http": "", "database": "postgresql://nobody:x@127.0.0.1:1/none", "kafka": "", "pid": 0}
    with TestClient(build(SETTINGS, addresses, log=Kafka())) as http:  # type: ignore[arg-type]
        problem(http.get("/v1/journeys", headers={"Authorization": f"Bearer sfk_aaaaaaaa_{'b' * 43}"}), 503)
        assert http.get("/health/live").json() == {"status": "ok"}
        reply = http.get("/health/ready")
        assert reply.status_code == 503
        assert reply.json()["dependencies"]["kafka"] == "ok"
        assert "Postgres" in reply.json()["dependencies"]["postgres"]
        began = time.monotonic()
        text = http.get("/metrics").text
        assert time.monotonic() - began < 2
        assert 'safiri_up{part="postgres"} 0.0' in text


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
