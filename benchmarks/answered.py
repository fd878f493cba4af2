"""What an answer of `GET /v1/metrics/query` costs beyond its rows: beside fetching the same rows by the same statements and encoding them.

Both are ASGI applications in this process, asked in turn by the same caller; the bare one has the statements that the product was seen
to send, a connection of its own, and JSON arrays. The product's answer also has its key, its question, its snapshot, its definitions.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
import psycopg
import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool

from api.app import build
from benchmarks import history
from benchmarks.measuring import Meter, Result, Round, Size, Target, medians, noisy, percentile, rounds
from benchmarks.stack import Stack
from runtime import keys
from runtime.settings import load

TARGET = Target("≤", 2)
ASKED = 40  # of each, in a round
METRICS = "queue.offered,queue.answered,queue.abandoned,queue.asa,sl.negative"
RANGE = {"from": "2026-06-01T00:00:00Z", "to": "2026-08-30T00:00:00Z", "metrics": METRICS, "group_by": "queue"}
QUESTIONS = {
    "answered days": ("each of fifty queues on each of 90 days", {**RANGE, "interval": "1d"}),
    "answered quarters": ("one queue in every quarter of an hour of 90 days", {**RANGE, "interval": "15m", "queue": "queue 03"}),
}
Application = Callable[[MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


class Sent(NamedTuple):
    """A statement as the driver had it."""

    statement: str
    values: Any


class Arms(NamedTuple):
    ours: Application
    bare: Application
    query: str
    key: str


def run(size: Size) -> list[Result]:
    with Stack() as stack:
        stack.template()
        url = stack.database()
        made = size.of(history.Size(5_000_000, 50), history.Size(500_000, 50))
        history.load(url, history.parquet(stack.path / "visits.parquet", made))
        addresses = {"http": "", "database": url, "kafka": stack.kafka, "virtual": "", "pid": 0}
        app = build(load(stack.path / "safiri.toml", stack.path / "data"), addresses)  # type: ignore[arg-type]
        writer = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
        with writer.begin() as connection:
            key = keys.create(connection, name="measured", tenant=history.TENANT, scope="read")
        writer.dispose()
        pids = {"postgres": stack.pids["postgres"]}
        return [asyncio.run(_measured(app, url, key, name=name, size=size, pids=pids)) for name in QUESTIONS]


async def _measured(app: Any, url: str, key: str, *, name: str, size: Size, pids: dict[str, int]) -> Result:
    said, query = QUESTIONS[name]
    arms, wrong = await _arms(app, url, key, urlencode(query))
    found = await asyncio.to_thread(rounds, size, lambda _: asyncio.run(_round(arms, pids)))
    middle = medians(found)
    shown = {
        "endpoint": f"p50 {middle['ours']:.1f}, p95 {middle['ours p95']:.1f} ms", "fetch and encode": f"p50 {middle['bare']:.1f} ms",
        "of": f"{said}: {int(middle['rows']):,} rows, {middle['bytes'] / 1000:.0f} kB",
    }  # fmt: skip
    ratios = [one.ratio for one in found]
    return Result(name, "GET /v1/metrics/query ÷ fetching and encoding its rows", ratios, TARGET, "", shown, noisy(found), wrong)


async def _arms(app: Any, url: str, key: str, query: str) -> tuple[Arms, str]:
    """Both, and what is wrong with them: they must know of as many calls."""
    sent: list[Sent] = []

    def seen(_: Any, __: Any, statement: str, values: Any, *___: Any) -> None:
        if "live.queue_" in statement:
            sent.append(Sent(statement, values))

    sa.event.listen(app.state.engine, "before_cursor_execute", seen)
    status, body = await ask(app, query, key)
    sa.event.remove(app.state.engine, "before_cursor_execute", seen)
    assert status == 200, body[:500]
    ours = sum(row["values"]["queue.offered"]["value"] for row in msgspec.json.decode(body)["rows"])
    arms = Arms(app, bare(url, sent), query, key)
    theirs = sum(row[3] for rows in msgspec.json.decode((await ask(arms.bare, query, key))[1])[:1] for row in rows)
    return arms, "" if ours == theirs else f"{ours} calls in the answer, {theirs} in the rows"


def bare(url: str, sent: list[Sent]) -> Application:
    """Runs the statements and encodes their rows."""
    connection = psycopg.connect(url, autocommit=True, options="-c timezone=UTC")
    encode = msgspec.json.Encoder().encode

    def fetch() -> bytes:
        return encode([connection.execute(one.statement.encode(), one.values).fetchall() for one in sent])

    async def application(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        body = await run_in_threadpool(fetch)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})

    return application


async def ask(app: Application, query: str, key: str) -> tuple[int, bytes]:
    """(status, body) of one GET, without a socket."""
    scope: dict[str, Any] = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http", "path": "/v1/metrics/query",
        "raw_path": b"/v1/metrics/query", "query_string": query.encode(), "root_path": "", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        "headers": [(b"host", b"measured"), (b"authorization", f"Bearer {key}".encode())],
    }  # fmt: skip
    told: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        told.append(message)

    await app(scope, receive, send)
    return int(told[0]["status"]), b"".join(one.get("body", b"") for one in told[1:])


async def _round(arms: Arms, pids: dict[str, int]) -> Round:
    took: dict[Application, list[float]] = {arms.ours: [], arms.bare: []}
    body = b""
    with Meter(pids) as meter:
        for _ in range(ASKED):
            for app, into in took.items():
                began = time.perf_counter()
                _, told = await ask(app, arms.query, arms.key)
                into.append((time.perf_counter() - began) * 1000)
                body = told if app is arms.ours else body
    ours, bare_ = (statistics.median(each) for each in took.values())
    rows = len(msgspec.json.decode(body)["rows"])
    figures = {"ours": ours, "bare": bare_, "ours p95": percentile(took[arms.ours], 0.95), "rows": float(rows), "bytes": float(len(body))}
    return Round(ours / bare_, figures, meter.others)
