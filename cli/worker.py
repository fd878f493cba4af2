"""`safiri serve worker`: what nobody asks for. Presumed ends, the call centre's dispatch, the outbox, polls. Any number may run."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress

import structlog

from desk.outbox import Relay
from desk.worker import Worker
from ingest.polls import Polls
from projections.worker import presume
from runtime.addresses import find
from runtime.loops import fast_loop
from runtime.problems import Missing
from runtime.settings import Settings
from runtime.telemetry import set_up_logs

log = structlog.get_logger()


def run(settings: Settings) -> None:
    """Until SIGTERM. Raises Missing where it does not know where Kafka and Postgres are."""
    set_up_logs("worker")
    with asyncio.Runner(loop_factory=fast_loop()) as runner:
        runner.run(_run(settings))


async def _run(settings: Settings) -> None:
    addresses = find(settings)
    if not (addresses["kafka"] and addresses["database"]):
        raise Missing("the worker needs SAFIRI_DATABASE_URL and SAFIRI_KAFKA_BOOTSTRAP")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    relay = Relay(addresses["kafka"])
    worker = Worker(settings, addresses["database"], relay=relay, public=settings.public_url or addresses["http"])
    tasks = [
        asyncio.create_task(worker.run(), name="desk"),
        asyncio.create_task(presume(settings, addresses["database"], lambda: relay.publisher), name="presumed ends"),
        asyncio.create_task(Polls(settings, addresses["database"], lambda: relay.publisher).run(), name="polls"),
    ]
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task  # one that ended by itself has failed: that is raised here
    await relay.close()
    assert stopping in done
