"""The projector without a broker: stories become envelopes, envelopes records of a log, and batches of the log are projected.

`tables` is all that the derived tables say; two ways of projecting are the same where it is equal.
"""

from __future__ import annotations

import json
import random
import uuid
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import psycopg

from calls.clock import Micros, rfc3339
from calls.envelope import TOPICS, Envelope, encode
from calls.providers import PROVIDERS
from ingest.accept import Origin, envelope
from projections import generations, positions
from projections.bisecting import project_bisecting
from projections.project import Projector, Record
from projections.rebuild import Report, rebuild
from projections.schema import migrate
from runtime.posted_plans import append
from runtime.problems import Retry
from runtime.settings import Account, Settings
from tests.given import NOON, PLANS, SECOND, body, lines

PARTITIONS = 4
TOPIC_IDS = {topic: f"id-of-{topic}" for topic in TOPICS.values()}
CLUSTER = "cluster"
Batch = Sequence[Record]


def delivery(
    raw: bytes, *, received: Micros = NOON, account: str = "acme", provider: str = "neutral", tenant: str = "default", import_id: str = "",
    content_type: str = "application/json",
) -> Envelope:  # fmt: skip
    """An envelope as the receivers make it."""
    origin = Origin(account, Account(provider=provider, tenant=tenant), PROVIDERS[provider], source="hook", import_id=import_id)  # type: ignore[arg-type]
    return envelope(origin, raw, content_type=content_type, headers={}, received_at=received, signature="verified")


def story(text: str) -> list[Envelope]:
    """The deliveries of a story (`tests/given.py`)."""
    told = (body(line, n) for n, line in enumerate(lines(text)[0]))
    return [delivery(json.dumps(event).encode(), received=received, account=account) for event, received, account in told]


def copy(one: Envelope, *, later: Micros = 60 * SECOND) -> Envelope:
    """The same delivery in another request."""
    return msgspec.structs.replace(one, receipt=uuid.uuid4().hex, received_at=one.received_at + later)


class Bench:
    """One log and the database that it is projected into."""

    def __init__(self, database_url: str, *, cluster: str = CLUSTER) -> None:
        self.url, self.cluster = database_url, cluster
        self.ends: dict[tuple[str, int], int] = {}
        self.made: list[Projector] = []
        places = [(topic, n) for topic in TOPICS.values() for n in range(PARTITIONS)]
        with psycopg.connect(database_url) as connection:
            positions.take(connection, places, cluster_id=cluster, topic_ids=TOPIC_IDS, oldest={})

    def projector(self) -> Projector:
        self.made.append(Projector(self.url, cluster_id=self.cluster, topic_ids=TOPIC_IDS))
        return self.made[-1]

    def log(self, envelopes: Iterable[Envelope | bytes], *, topic: str | None = None) -> list[Record]:
        """Appends; the records in the order of appending. A call's records share a partition."""
        records = []
        for one in envelopes:
            made = isinstance(one, Envelope)
            name = topic or (TOPICS[one.stream_kind] if isinstance(one, Envelope) else TOPICS["call"])
            key = one.stream if isinstance(one, Envelope) else "?"
            where = (name, zlib.crc32(key.encode("utf-8", "surrogatepass")) % PARTITIONS)
            offset = self.ends.get(where, 0)
            self.ends[where] = offset + 1
            value = encode(one) if isinstance(one, Envelope) and made else one
            records.append(Record(*where, offset, value, key.encode("utf-8", "surrogatepass"), 1_788_264_000_000))  # type: ignore[arg-type]
        return records

    def project(self, envelopes: Iterable[Envelope | bytes], *, batches: int = 1, seed: int = 0) -> None:
        """Appends and projects in about so many batches, cut at random places."""
        projector = self.made[0] if self.made else self.projector()
        for batch in cut(self.log(envelopes), batches, seed):
            project_bisecting(projector, list(batch))
        settle(projector)

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """Table -> what it says, in order of its keys: nothing that only orders locks, and sums over all shards."""
        return tables(self.url)

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(statement, values or None).fetchall()

    def journeys(self) -> list[dict[str, Any]]:
        return [json.loads(one) for (one,) in self.rows("SELECT document FROM live.journeys ORDER BY started_at, journey_id")]

    def journey(self) -> dict[str, Any]:
        (one,) = self.journeys()
        return one

    def true(self) -> Report:
        """Asserts that a rebuild would change nothing."""
        report = rebuild(self.url, verify=True)
        assert report.differences == []
        return report

    def close(self) -> None:
        for one in self.made:
            one.close()


def priced(bench: Bench, **accounts: str) -> None:
    """From the beginning acme (or each of `accounts`) has a plan of tests/given.py."""
    named = {name: Account(provider="neutral", rate_plan=plan) for name, plan in (accounts or {"acme": "acme-ke"}).items()}
    migrate(Settings(accounts=named), bench.url, now=1)
    with psycopg.connect(bench.url, autocommit=True) as connection:
        for plan in PLANS.values():
            append(connection, "default", plan, now=lambda: 1)


def settle(projector: Projector) -> None:
    """Folds what was put off, now."""
    with psycopg.connect(projector.database_url, autocommit=True) as connection:
        connection.execute("UPDATE safiri.deferred SET due_at = now() - interval '1 second'")
    while projector.fold_due() or projector.fold_agents():
        pass


def patiently(projector: Projector, records: Batch) -> None:
    """As the consumer does: again where another worker was in the way."""
    while True:
        try:
            project_bisecting(projector, list(records))
            return
        except Retry:
            continue


def cut(records: Batch, batches: int, seed: int = 0) -> list[Batch]:
    at = sorted(random.Random(seed).sample(range(1, len(records)), min(batches - 1, len(records) - 1))) if len(records) > 1 else []
    return [records[start:end] for start, end in zip([0, *at], [*at, len(records)], strict=True)]


def tables(url: str) -> dict[str, list[tuple[Any, ...]]]:
    found = {}
    with psycopg.connect(url) as connection:
        for table in generations.TABLES:
            keys = ", ".join(f'"{name}"' for name in generations.key(table))
            found[table.name] = connection.execute(f"{generations.facts(table, 'live')} ORDER BY {keys}").fetchall()
    return found


# ---------------------------------------------------------------- a busy hour


def traffic(seed: int, calls: int) -> list[Envelope]:
    """Deliveries of `calls` calls: linked, aliased, unlinked, in conflict, late, some without a time, some not understood; in no order."""
    rng = random.Random(seed)
    made = [one for n in range(calls) for one in _call(rng, f"{seed}-{n:04}", rng.randrange(calls))]
    made += [copy(one, later=rng.randrange(-5, 90) * SECOND) for one in rng.sample(made, len(made) // 6)]
    rng.shuffle(made)
    return made


def _call(rng: random.Random, sid: str, other: int) -> list[Envelope]:
    at, account = NOON + rng.randrange(3600) * SECOND, rng.choice(["acme", "acme", "bank"])

    def said(type_: str, after: int, **fields: Any) -> Envelope:
        event = {"type": type_, "call_sid": sid, "occurred_at": rfc3339(at + after * SECOND), **fields}
        return delivery(json.dumps(event).encode(), received=at + (after + rng.choice([0, 0, 1, 900])) * SECOND, account=account)

    link = f"{sid.rsplit('-', 1)[0]}-{other:04}"
    story = [
        said("call.started", 0, direction="inbound", **{"from": f"+2547120{rng.randrange(10**5):05}", "to": "+254711000100"}),
        said("menu.entered", 2, menu="main"), said("menu.digits", 5, menu="main", digits=str(rng.randrange(9))),
        said("queue.entered", 6, queue=rng.choice(["support", "sales"])), said("leg.answered", 30, leg="agent", kind="agent", agent="amina"),
        said("leg.ended", 90, leg="agent", agent="amina"), said("call.ended", 90, ended_by="caller"),
    ]  # fmt: skip
    extra = [
        said("call.linked", 7, to_call_sid=link), said("call.linked", 8, alias=f"HD_{sid}"), said("call.unlinked", 9, to_call_sid=link),
        said("conference.joined", 10, room=f"queue-{link}"), said("call.started", 1, parent_call_sid=link, event_id="again"),
        said("call.ended", 95, event_id="again"), said("something.else", 20), said("call.presumed_ended", 30, rule="silence"),
        said("hold.started", 40, leg="agent", attributes={"note": "x\u0001".strip("\u0001")}), _pbx(rng, sid, at),
    ]  # fmt: skip
    return [one for one in story if rng.random() > 0.1] + rng.sample(extra, rng.randrange(4))


def _pbx(rng: random.Random, sid: str, at: Micros) -> Envelope:
    raw = json.dumps({"sessionId": f"HD_{sid}", "callSessionState": rng.choice(["Ringing", "Answered", "Completed"])}).encode()
    return delivery(raw, received=at + rng.randrange(100) * SECOND, provider="sautikit")
