"""A provider's REST API in this process, and the call centre's own pieces on a database of one's own."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from calls.clock import Micros, rfc3339
from calls.envelope import decode
from calls.own import receipt_of
from desk.desk import Desk
from desk.floor import Floor
from desk.interface import Caller
from desk.worker import Worker
from runtime.settings import Account, Agent, Queue, Settings

DID = "+254711000100"
CALLER = "+254722000001"


def now() -> Micros:
    return time.time_ns() // 1000


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float = field(default_factory=time.monotonic)
    call_id: str = ""
    session_id: str = ""

    @property
    def to(self) -> str:
        to = self.body.get("to", "")
        return str(to[0] if isinstance(to, list) else to)

    @property
    def offer(self) -> str:
        return self.headers.get("idempotency-key", "")


class Exchange:
    """The fake provider. The same idempotency key is the same call. `says(asked)`: another answer than 201, "" hangs up on us;
    `rings(asked)`: what happens when a call is placed for the first time."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.calls: dict[str, Asked] = {}
        self.says: Callable[[Asked], tuple[int, Any] | None] = lambda asked: None
        self.rings: Callable[[Asked], None] = lambda asked: None
        self.slow_s = 0.0
        self.url = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Exchange]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method, path, _ = head[0].split(" ")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                asked = Asked(method, path, headers, json.loads(body) if body else {})
                status, answer = self._answer(asked)
                await asyncio.sleep(self.slow_s)
                if not status:
                    break
                data = json.dumps(answer).encode()
                writer.write(
                    f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data
                )
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def _answer(self, asked: Asked) -> tuple[int, Any]:
        self.asked.append(asked)
        said = self.says(asked)
        if said is not None:
            return said
        if asked.path != "/v1/calls":
            return 200, {"status": "done"}
        first = self.calls.setdefault(asked.offer, asked)
        if first is asked:
            asked.call_id, asked.session_id = str(uuid.uuid4()), f"HD_{uuid.uuid4().hex[:12]}"
            self.rings(asked)
        return 201, {"call_id": first.call_id, "session_id": first.session_id, "status": "ringing"}

    def placed(self, *to: str) -> list[Asked]:
        return [one for one in self.asked if one.path == "/v1/calls" and (not to or one.to in to)]

    def hung_up(self) -> list[str]:
        return [one.path.split("/")[3] for one in self.asked if one.path.endswith("/hangup")]


def agent(n: int, *queues: str, **more: Any) -> Agent:
    return Agent(number=f"+25472100{n:04d}", queues=list(queues or ("support",)), **more)


def settings(url: str, agents: dict[str, Agent], **queues: Queue) -> Settings:
    account = Account(provider="sautikit", signing_secrets=["whsec_test"], numbers=[DID], api_key="key-acme", api_url=url)  # type: ignore[list-item, arg-type]
    return Settings(accounts={"acme": account}, agents=agents, queues={"support": Queue(), **queues})


class NoKafka:
    """Stands for the relay: what would be sent stays where tests read it."""

    async def send(self, connection: Any) -> int:
        return 0


class Room:
    """A call centre: its database, its provider, as many processes of each kind as a test opens."""

    def __init__(self, database_url: str, exchange: Exchange, known: Settings) -> None:
        self.url, self.exchange, self.settings = database_url, exchange, known
        self.desks: list[Desk] = []
        self.workers: list[tuple[Worker, asyncio.Task[None]]] = []
        self.floor = Floor(known, database_url, public="https://voice.example.com")

    def desk(self, **more: Any) -> Desk:
        self.desks.append(Desk(self.settings, self.url, **({"within_s": 5.0} | more)))
        return self.desks[-1]

    async def worker(self) -> Worker:
        made = Worker(self.settings, self.url, relay=NoKafka(), public="https://voice.example.com")  # type: ignore[arg-type]
        self.workers.append((made, asyncio.create_task(made.run())))
        await asyncio.wait_for(made.listening.wait(), 10)
        return made

    async def kill(self, worker: Worker) -> None:
        """Ends it wherever it is: what it asks of the provider is not waited for."""
        for under_way in worker.placing._tasks.values():
            under_way.cancel()
        (task,) = [task for one, task in self.workers if one is worker]
        task.cancel()
        await asyncio.wait([task])

    async def available(self, *agents: str) -> None:
        for name in agents:
            await self.floor.say_state(name, tenant="default", state="available", reason=None)

    async def state(self, name: str) -> dict[str, Any]:
        return next(row for row in await self.floor.agents("default") if row["agent"] == name)

    async def waiting(self, queue: str = "support") -> list[str]:
        return [str(row["call_sid"]) for row in await self.floor.waiting("default", queue)]

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            done = connection.execute(statement, values or None)
            return done.fetchall() if done.description else []

    def said(self, *types: str) -> list[dict[str, Any]]:
        """What lies in the outbox, in order, by type."""
        events = [json.loads(decode(bytes(value)).body) for (value,) in self.rows("SELECT value FROM safiri.outbox ORDER BY seq")]
        return [event for event in events if not types or event["type"] in types]

    def states(self, name: str) -> list[str]:
        return [event["state"] for event in self.said("agent.state") if event["agent"] == name]

    def delivered(self, sid: str, kind: str, **data: Any) -> None:
        """A webhook of the provider, projected into the journal."""
        body = json.dumps(
            {"kind": kind, "event_id": uuid.uuid4().hex, "occurred_at": rfc3339(now()), "data": {"call_id": sid, **data}}
        ).encode()
        self.journal(sid, body, provider="sautikit", source="hook")

    def journal(self, sid: str, body: bytes, *, provider: str, source: str) -> None:
        mark = bytes.fromhex(receipt_of(sid, body.decode()))
        self.rows(
            "INSERT INTO safiri.journal (tenant, stream, account, event_id, digest, stream_kind, receipt, received_at, provider, source, "
            'signature, content_type, body, topic, partition, "offset") VALUES (\'default\', %s, \'acme\', %s, %s, \'call\', %s, now(), %s, '
            "%s, 'verified', 'application/json', %s, 'call-events', 0, 0)",
            sid, uuid.uuid4().hex, mark, mark, provider, source, body,
        )  # fmt: skip
        self.rows("SELECT pg_notify('journal', '')")

    async def close(self) -> None:
        for worker, _ in self.workers:
            await self.kill(worker)
        for one in self.desks:
            await one.close()
        await self.floor.close()


@asynccontextmanager
async def open_room(database_url: str, agents: dict[str, Agent], **queues: Queue) -> AsyncIterator[Room]:
    async with Exchange().open() as exchange:
        room = Room(database_url, exchange, settings(exchange.url, agents, **queues))
        for table in ("agents_now", "waiting", "offers", "orders", "outbox", "voice_calls"):
            room.rows(f"DELETE FROM safiri.{table}")
        try:
            yield room
        finally:
            await room.close()


def caller(sid: str | None = None, queue: str = "support") -> Caller:
    return Caller(
        tenant="default", account="acme", provider="sautikit", call_sid=sid or f"HD_{uuid.uuid4().hex[:12]}", flow="main", step="line",
        queue=queue, caller=CALLER, called=DID,
    )  # fmt: skip


async def eventually(probe: Callable[[], Any], what: str, seconds: float = 10.0) -> Any:
    """Polls (a coroutine is awaited) until the probe finds something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = probe()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")
