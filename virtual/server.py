"""`safiri serve virtual`: the virtual provider as a process of its own. Besides the vendors' REST it takes orders for a morning.

`POST /~mornings` begins one (see `virtual.run.Order`), `GET /~mornings/{id}` tells how far it is and, at its end, the truth,
`DELETE` stops it. Whoever orders needs an API key of Safiri's, with which the agents log in.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runtime.addresses import find
from runtime.problems import Missing
from runtime.settings import Settings
from runtime.telemetry import set_up_logs
from virtual.engine import Engine
from virtual.rest import Rest
from virtual.run import Order, Run

KEPT = 4  # mornings whose truth can still be asked for
MOST_CALLS = 100_000


def run(settings: Settings) -> None:
    """Until SIGTERM. Listens where SAFIRI_VIRTUAL_URL says."""
    set_up_logs("virtual")
    if not settings.virtual_url:
        raise Missing("serve virtual needs SAFIRI_VIRTUAL_URL, the address where it is to listen (http://127.0.0.1:8071)")
    where = urlsplit(settings.virtual_url)
    config = uvicorn.Config(
        Mornings(settings).app(), host=settings.http_host, port=where.port or 80, access_log=False, log_level=logging.ERROR,
        server_header=False, timeout_graceful_shutdown=3, lifespan="on",
    )  # fmt: skip
    uvicorn.Server(config).run()


def client() -> httpx.AsyncClient:
    """The one that rings: many connections, ten seconds a question."""
    limits = httpx.Limits(max_connections=512, max_keepalive_connections=256, keepalive_expiry=30)
    return httpx.AsyncClient(limits=limits, timeout=10.0, trust_env=False)


class Mornings:
    """The server's application."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.runs: dict[str, tuple[Run, asyncio.Task[None]]] = {}

    def app(self) -> Starlette:
        self.http = client()
        self.engine = Engine(self.settings, http=find(self.settings)["http"], client=self.http)
        own = [
            Route("/~mornings", self._begin, methods=["POST"]), Route("/~mornings/{id}", self._show, methods=["GET"]),
            Route("/~mornings/{id}", self._stop, methods=["DELETE"]), Route("/health/ready", self._ready, methods=["GET"]),
        ]  # fmt: skip
        return Starlette(routes=[*own, *Rest(self.engine).routes()], lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        yield
        for _run, task in self.runs.values():
            task.cancel()
        await self.http.aclose()

    async def _ready(self, _: Request) -> Response:
        return JSONResponse({"ready": True})

    async def _begin(self, request: Request) -> Response:
        try:
            order = msgspec.json.decode(await request.body(), type=Order)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            return _problem(422, str(error))
        if any(not run.done for run, _ in self.runs.values()):
            return _problem(409, "a morning is being simulated already; wait for its end")
        if not 1 <= order.calls <= MOST_CALLS:
            return _problem(422, f"calls is 1 to {MOST_CALLS}")
        refused = await self._refused(order)
        if refused:
            return refused
        while len(self.runs) >= KEPT:
            self.runs.pop(next(iter(self.runs)))
        run, name = Run(self.engine, order), uuid.uuid4().hex
        self.runs[name] = (run, asyncio.create_task(run.go()))
        return JSONResponse({"id": name, "agents": run.staff.names, "flows": [tree.flow for tree in run.trees]}, 201)

    async def _refused(self, order: Order) -> Response | None:
        """Whoever has no key of Safiri's orders nothing."""
        try:
            reply = await self.http.get(f"{self.engine.http}/v1/freshness", headers={"Authorization": f"Bearer {order.key}"})
        except httpx.HTTPError as error:
            return _problem(503, f"{self.engine.http} does not answer: {type(error).__name__}")
        return None if reply.is_success else _problem(reply.status_code, f"{self.engine.http} does not take the key: {reply.text[:200]}")

    async def _show(self, request: Request) -> Response:
        found = self.runs.get(request.path_params["id"])
        if found is None:
            return _problem(404, "no such morning")
        run, _ = found
        told = {"done": run.done, "calls": run.order.calls, "ended": run.ended, "failed": run.failed, "took_s": round(run.took_s, 2)}
        if run.done:
            told |= {"truth": run.truth, "refused": run.refused, "counts": dict(run.counts)}
        return JSONResponse(told)

    async def _stop(self, request: Request) -> Response:
        found = self.runs.get(request.path_params["id"])
        if found is None:
            return _problem(404, "no such morning")
        found[1].cancel()
        return JSONResponse({"stopped": True})


def _problem(status: int, detail: str) -> Response:
    body = {"type": "about:blank", "title": "Refused", "status": status, "detail": detail}
    return JSONResponse(body, status, media_type="application/problem+json")
