"""The API as one FastAPI application: `build` puts it together, for a server, for tests, or inside the receivers' application.

No middleware that wraps requests: each would cost every answer more than its own work.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI

from api import desk, flows, health, journeys, problems, prometheus, rates, schemas, tariffs
from api.analytics.invariants import Watch
from api.analytics.invariants import router as invariants
from api.analytics.routes import router as metrics
from api.analytics.shapes import SCHEMAS
from api.database import reader
from api.exports.download import Exports
from api.exports.routes import router as exports
from api.freshness import Depth, Freshness, Log, none_waits, put_off, unsent
from api.health import Health
from api.money import bills, charges, closed_periods, re_ratings, reconciliations
from api.prometheus import Watched
from api.voice import described
from desk.floor import Floor
from runtime.addresses import Addresses
from runtime.flows import flows_of
from runtime.kafka import Watcher
from runtime.keys import Keys, from_postgres
from runtime.settings import Settings


def build(
    settings: Settings, addresses: Addresses, *, routers: Sequence[APIRouter] = (), log: Log | None = None,
    spool: Depth = none_waits, deferred: Depth | None = None, spool_open: Callable[[], bool] = lambda: True,
) -> FastAPI:  # fmt: skip
    """The application. Nothing is connected before the first request.

    `routers`: further routes. `log`: who looks at Kafka (default: a Watcher of `addresses["kafka"]`). `spool`, `deferred`: how much
    waits before the log and behind it. `spool_open`: whether deliveries can be taken while Kafka is away.
    `app.state` has `settings`, `flows`, `engine` (reads only), `keys`, `freshness`, `health`, `watched`, `exports`, `floor`,
    `database_url`. Raises Refused
    where a flow is broken.
    """
    app = FastAPI(
        title="Safiri", version="1", summary="What happened on every phone call.", docs_url=None, redoc_url=None,
        redirect_slashes=False, lifespan=_closing, separate_input_output_schemas=False,
    )  # fmt: skip
    state = app.state
    state.settings, state.flows, state.engine = settings, flows_of(settings), reader(addresses["database"])
    state.log = log or Watcher(addresses["kafka"])
    state.keys = Keys(from_postgres(state.engine))
    state.freshness = Freshness(
        state.log, state.engine, spool=spool, deferred=deferred or put_off(state.engine), outbox=unsent(state.engine)
    )  # fmt: skip
    state.health = Health(state.engine, state.log, spool_open)
    state.database_url = addresses["database"]
    state.watched = Watched(
        state.freshness, state.engine, state.log, spool=spool, data_dir=settings.data_dir, laws=Watch(addresses["database"])
    )
    state.exports = Exports(addresses["database"], settings.data_dir / "exports")
    state.floor = Floor(settings, addresses["database"], public=settings.public_url or addresses["http"])
    problems.add(app)
    own = (
        health.router,
        prometheus.router,
        journeys.router,
        flows.router,
        desk.router,
        exports,
        metrics,
        invariants,
        tariffs.router,
        rates.router,
        reconciliations.router,
        charges.router,
        bills.router,
        re_ratings.router,
        closed_periods.router,
    )
    for router in (*routers, *own):
        app.include_router(router)
    _describe(app)
    return app


@asynccontextmanager
async def _closing(app: FastAPI) -> AsyncIterator[None]:
    yield
    await app.state.floor.close()
    app.state.engine.dispose()


def _describe(app: FastAPI) -> None:
    """Adds the schemas and how keys are sent to the OpenAPI document."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        document["paths"].update(described.PATHS)
        components = document.setdefault("components", {})
        components.setdefault("schemas", {}).update(
            schemas.SCHEMAS | SCHEMAS | tariffs.SCHEMAS | rates.SCHEMAS | charges.SCHEMAS | re_ratings.SCHEMAS | closed_periods.SCHEMAS
            | reconciliations.SCHEMAS | bills.SCHEMAS
        )  # fmt: skip
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": "An API key: `safiri keys create`."}}
        return document

    app.openapi = openapi  # type: ignore[method-assign]
