"""`safiri serve http`: the receivers around the API, on one port, in one process."""

from __future__ import annotations

import asyncio
import gc
import logging

import structlog
import uvicorn

from api.app import build
from api.audio.app import SERVER as SOCKETS
from api.audio.app import Audio
from api.auth import needs
from api.voice.app import Voice
from cli.up import http_address
from desk.desk import Desk
from ingest.accept import Log
from ingest.events import router as events
from ingest.heads import BoundedHeads
from ingest.statements import router as statements
from ingest.webhooks import Hooks
from runtime.addresses import find
from runtime.flows import flows_of
from runtime.loops import fast_loop
from runtime.problems import Missing
from runtime.settings import Settings
from runtime.telemetry import set_up_logs

log = structlog.get_logger()


def run(settings: Settings) -> None:
    """Until SIGTERM. Raises Missing where it does not know where Kafka and Postgres are."""
    set_up_logs("http")
    with asyncio.Runner(loop_factory=fast_loop()) as runner:  # the server is run inside our own coroutine: it would not choose the loop
        runner.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    addresses = find(settings)
    if not (addresses["kafka"] and addresses["database"]):
        raise Missing("serve http needs SAFIRI_DATABASE_URL and SAFIRI_KAFKA_BOOTSTRAP")
    flows = flows_of(settings)
    for warning in settings.warnings:
        log.warning(warning)
    accepting = Log(settings, addresses["kafka"])
    api = build(
        settings, addresses, routers=[
            events(accepting, settings, needs("write")),
            statements(accepting, settings, database_url=addresses["database"], write=needs("write")),
        ], spool=accepting.waiting,
        spool_open=lambda: accepting.spool.bytes < settings.spool_max_bytes,
    )  # fmt: skip
    desk = Desk(settings, addresses["database"])
    voice = Voice(
        api, log_=accepting, settings=settings, flows=flows, desk=desk, database_url=addresses["database"],
        public=settings.public_url or http_address(settings),
    )  # fmt: skip
    voice.inner = Audio(api, settings, flows, append=accepting.append_all, mark_bot=voice.positions.mark_bot)
    server = uvicorn.Server(
        uvicorn.Config(
            Hooks(voice, accepting, settings), host=settings.http_host, port=settings.http_port, http=BoundedHeads,
            access_log=False, log_level=logging.ERROR, server_header=False, timeout_keep_alive=75, timeout_graceful_shutdown=10,
            limit_concurrency=4096, lifespan="on", **SOCKETS,
        )
    )  # fmt: skip
    _settle_memory()
    try:
        await server.serve()
    finally:
        await voice.close()
        await desk.close()
        await accepting.close()


def _settle_memory() -> None:
    """What start-up made lives for ever: the collector need not look at it again (p99 falls by more than half)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
