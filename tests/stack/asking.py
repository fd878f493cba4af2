"""A desk at which the API is asked: the application, a real Postgres, and rows put where the projector would put them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import sqlalchemy as sa
from fastapi.testclient import TestClient

from api.app import build
from calls import envelope
from calls.clock import parse_time, rfc3339, to_datetime
from calls.journey import Call, Durations, Journey, Leg, QueueVisit, journey_id
from calls.metrics.slots import COLUMNS
from projections import PROJECTIONS, queue_slots
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
        self.app = build(SETTINGS, {"http": "", "database": database_url, "kafka": "", "virtual": "", "pid": 0}, log=self.kafka)
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
                    moments = [isinstance(column.type, sa.TIMESTAMP) for column in projection.table.columns]
                    for row in projection.rows(journey):
                        values = [
                            to_datetime(one) if is_moment and one is not None else one for one, is_moment in zip(row, moments, strict=True)
                        ]
                        marks = ", ".join(["%s"] * len(row))
                        connection.execute(f"INSERT INTO live.{projection.name} VALUES ({marks})", values)
                _add(connection, journey)
                for sid in journey.call_sids:
                    connection.execute(
                        "INSERT INTO live.call_index (tenant, call_sid, own_id, group_id, journey_id) VALUES (%s, %s, %s, %s, %s)",
                        (journey.tenant, sid, journey_id(journey.tenant, sid), journey.journey_id, journey.journey_id),
                    )

    def journal(self, sid: str, body: bytes, **given: Any) -> dict[str, Any]:
        """Appends one delivery to the journal; returns its row."""
        row = {
            "tenant": self.tenant, "stream": sid, "account": "acme", "event_id": uuid.uuid4().hex,
            "digest": bytes.fromhex(envelope.digest(body)), "stream_kind": "call", "receipt": uuid.uuid4().bytes, "received_at": to_datetime(NOON),
            "provider": "neutral", "source": "events", "signature": "key", "content_type": "application/json", "headers": None, "body": body,
            "topic": "call-events", "partition": 3, "offset": 7,
        } | given  # fmt: skip
        names = ", ".join(f'"{name}"' for name in row)
        with psycopg.connect(self.url) as connection:
            connection.execute(f"INSERT INTO safiri.journal ({names}) VALUES ({', '.join(['%s'] * len(row))})", list(row.values()))
        return row


def _add(connection: psycopg.Connection[Any], journey: Journey) -> None:
    """What it adds to the sums of its queues."""
    names = ", ".join(f'"{name}"' for name in ("tenant", "queue", "slot", "shard", *COLUMNS))
    sums = ", ".join(f'"{name}" = t."{name}" + excluded."{name}"' for name in COLUMNS)
    for slot in queue_slots.slots(journey):
        row = [journey.tenant, slot.queue, to_datetime(slot.start), 0, *slot.amounts]
        connection.execute(
            f"INSERT INTO g1.queue_slots AS t ({names}) VALUES ({', '.join(['%s'] * len(row))}) "
            f"ON CONFLICT (tenant, queue, slot, shard) DO UPDATE SET {sums}",
            row,
        )


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


def neutral(type_: str, sid: str, at: int, **fields: Any) -> bytes:
    return json.dumps({"type": type_, "call_sid": sid, "occurred_at": rfc3339(at)} | fields).encode()


def problem(reply: Any, status: int) -> Any:
    assert reply.status_code == status, (reply.status_code, reply.text)
    assert reply.headers["content-type"] == "application/problem+json"
    body = reply.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    return body


@contextmanager
def opened(database_url: str) -> Iterator[Desk]:
    """A desk on a database of its own, brought to today's schema."""
    migrate(SETTINGS, database_url, now=NOON)
    made = Desk(database_url)
    with made.http:
        yield made
    made.engine.dispose()
