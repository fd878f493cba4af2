"""From the moment a delivery is handed to a producer until its journey is visible in Postgres, at half of the load that can be borne.

Positions move in the transaction that makes the rows visible, so a connection that asks for them every few milliseconds sees when
each record became visible; what it sees late counts against us.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice

import psycopg
from confluent_kafka import KafkaError, Message, Producer

from benchmarks.filled import POSITION
from benchmarks.measuring import Meter, Result, Round, Size, Target, eventually, medians, noisy, percentile, rounds
from benchmarks.stack import Stack
from benchmarks.traffic import envelopes
from calls.envelope import TOPICS, Envelope, encode
from ingest.publish import Appender
from projections.consumer import WINDOW_S
from runtime.kafka import PRODUCE

TARGET = Target("≤", 5)
MOST = 1500.0  # events/s taken as bearable at most
BURST = 20_000
ASK_EVERY_S = 0.003
Place = tuple[str, int]  # topic, partition


class Watch(threading.Thread):
    """Notes when each partition's position moved."""

    def __init__(self, url: str):
        super().__init__(daemon=True)
        self.url, self.over = url, threading.Event()
        self.moves: dict[Place, tuple[list[int], list[float]]] = {}

    def run(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            while not self.over.wait(ASK_EVERY_S):
                rows = connection.execute("SELECT topic, partition, next FROM safiri.positions").fetchall()
                now = time.time()
                for topic, partition, position in rows:
                    ends, times = self.moves.setdefault((topic, partition), ([], []))
                    if not ends or ends[-1] != position:
                        ends.append(position)
                        times.append(now)

    def visible(self, place: Place, offset: int) -> float:
        ends, times = self.moves[place]
        return times[bisect_right(ends, offset)]


class Pace:
    """Produces at a steady rate and notes when each record was handed over."""

    def __init__(self, bootstrap: str):
        self.producer = Producer(PRODUCE | {"bootstrap.servers": bootstrap})
        self.sent: list[tuple[Place, int, float]] = []

    def send(self, source: Iterator[Envelope], *, rate: float, seconds: float) -> None:
        began, done = time.time(), 0
        while (now := time.time()) < began + seconds:
            for one in islice(source, int((now - began) * rate) - done):
                self._produce(one)
                done += 1
            self.producer.poll(0.001)
        self.producer.flush(30)

    def _produce(self, one: Envelope) -> None:
        handed = time.time()

        def report(error: KafkaError | None, message: Message) -> None:
            assert error is None, error
            self.sent.append(((message.topic() or "", message.partition() or 0), message.offset() or 0, handed))

        self.producer.produce(TOPICS[one.stream_kind], encode(one), one.stream.encode(), on_delivery=report)


def run(size: Size) -> list[Result]:
    with Stack() as stack:
        source = envelopes(stack.path / "safiri.toml", 2, 2_000_000)
        appender = Appender(stack.kafka)
        appender.append(islice(source, BURST))
        appender.flush()
        del appender  # and its connections
        projector = stack.role("projector", env=stack.env(stack.database_url)).pid
        bearable = _bearable(stack)
        rate = min(bearable, MOST) / 2

        def one(rate: float) -> Round:
            return _round(stack, source, projector, rate=rate, seconds=size.of(15, 8))

        found = rounds(size, lambda _: one(rate))
        loaded = {} if size.quick else {f"at {bearable / 2:,.0f} events/s": _told(one(bearable / 2).figures)}
    middle = medians(found)
    shown = {f"at {rate:,.0f} events/s": _told(middle), **loaded, "borne in a burst": f"{bearable:,.0f} events/s",
             "CPU µs/event": f"projector {middle['client']:.0f}, postgres {middle['postgres']:.0f}"}  # fmt: skip
    return [Result("freshness", "p99 visible ÷ batch window", [one.ratio for one in found], TARGET, "", shown, noisy(found))]


def _bearable(stack: Stack) -> float:
    """Events/s with which a burst is projected."""
    with psycopg.connect(stack.database_url, autocommit=True) as connection:

        def beyond(position: int) -> tuple[int, float] | None:
            (here,) = connection.execute(POSITION).fetchone() or (0,)
            return (here, time.monotonic()) if here > position else None

        first, began = eventually(lambda: beyond(0), "the first batch")
        last, ended = eventually(lambda: beyond(BURST - 1), "the whole burst", 120)
    return (last - first) / max(ended - began, 0.001) if last > first else MOST


def _round(stack: Stack, source: Iterator[Envelope], projector: int, *, rate: float, seconds: float) -> Round:
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        (before,) = connection.execute(POSITION).fetchone() or (0,)
        watch, pace = Watch(stack.database_url), Pace(stack.kafka)
        watch.start()
        with Meter({"client": projector, "postgres": stack.pids["postgres"]}) as meter:
            pace.send(source, rate=rate, seconds=seconds)
            eventually(lambda: (connection.execute(POSITION).fetchone() or (0,))[0] >= before + len(pace.sent), "all are projected")
        eventually(lambda: _seen(watch, pace), "the watch saw all")
        watch.over.set()
        watch.join()
    waits = [(watch.visible(place, offset) - handed) * 1000 for place, offset, handed in pace.sent]
    figures = (
        {f"p{share}": percentile(waits, share / 100) for share in (50, 90, 99)} | meter.micros(len(waits)) | {"events": float(len(waits))}
    )
    return Round(figures["p99"] / (WINDOW_S * 1000), figures, meter.others)


def _seen(watch: Watch, pace: Pace) -> bool:
    return all(watch.moves.get(place, ([0], []))[0][-1] > offset for place, offset, _ in pace.sent[-500:])


def _told(figures: dict[str, float]) -> str:
    return f"p50 {figures['p50']:.0f}, p90 {figures['p90']:.0f}, p99 {figures['p99']:.0f} ms of {figures['events']:,.0f} events"
