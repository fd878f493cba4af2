"""/health/live (this process answers), /health/ready (it may have traffic) and GET /v1/freshness.

Ready means: the schema has been seen and Kafka has answered, each at least once since the start. What is away now is
said, but deliveries are still taken while the spool has room, so it does not make this process unready.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable

import msgspec
import sqlalchemy as sa
from fastapi import APIRouter, Request
from starlette.responses import Response

from api import schemas
from api.asking import Asking
from api.auth import Reader
from api.database import away_is_retry, reason_of
from api.freshness import Log
from api.params import refuse_all
from runtime.problems import Retry

router = APIRouter()
OK = "ok"
WAIT_S = 1.5
_SCHEMA = sa.text("SELECT to_regclass('safiri.journal') IS NOT NULL AND to_regclass('live.journeys') IS NOT NULL")


class Probe:
    """One dependency: `ok`, or what is wrong with it. `ever`: it was ok once."""

    def __init__(self, name: str, question: Callable[[], str]) -> None:
        self.ever = False
        self._asking = Asking(name, question)

    def say(self) -> str:
        """`ok`, or one line that says what is wrong; within 1.5 s."""
        try:
            said = self._asking.ask().result(WAIT_S)
        except TimeoutError:
            return f"does not answer within {WAIT_S} s"
        except (Retry, sa.exc.SQLAlchemyError) as error:
            return str(error).splitlines()[0] if isinstance(error, Retry) else reason_of(error) or type(error).__name__
        self.ever = self.ever or said == OK
        return said


class Health:
    """What this process needs. `spool_open`: whether deliveries can be taken while Kafka is away."""

    def __init__(self, engine: sa.Engine, log: Log, spool_open: Callable[[], bool]) -> None:
        self._spool_open = spool_open
        self.probes = {
            "postgres": Probe("postgres", lambda: _one(engine, sa.text("SELECT true"))),
            "kafka": Probe("kafka", lambda: OK if log.ends() else "the topics are not there: `safiri migrate` makes them"),
            "schema": Probe("schema", lambda: _one(engine, _SCHEMA)),
        }

    def ask(self) -> tuple[bool, dict[str, object]]:
        """(ready, the JSON object of /health/ready)."""
        with concurrent.futures.ThreadPoolExecutor(len(self.probes)) as pool:
            said = dict(zip(self.probes, pool.map(Probe.say, self.probes.values()), strict=True))
        ready = self.probes["schema"].ever and self.probes["kafka"].ever and (said["kafka"] == OK or self._spool_open())
        status = ("ok" if all(one == OK for one in said.values()) else "degraded") if ready else "not ready"
        return ready, {"status": status, "dependencies": said}


def _one(engine: sa.Engine, question: sa.TextClause) -> str:
    with away_is_retry(), engine.connect() as connection:
        return OK if connection.execute(question).scalar_one() else "not there yet: `safiri migrate` makes it"


@router.get("/health/live", tags=["health"], **schemas.answer("Health", errors=(), secured=False))
async def live() -> Response:
    """This process answers."""
    return Response(b'{"status":"ok"}', media_type="application/json")


@router.get("/health/ready", tags=["health"], **schemas.answer("Health", errors=(), secured=False))
def ready(request: Request) -> Response:
    """Whether this process may have traffic, and which dependency is missing."""
    good, said = request.app.state.health.ask()
    headers = {} if good else {"Retry-After": "2"}
    return Response(msgspec.json.encode(said), 200 if good else 503, headers, media_type="application/json")


@router.get("/v1/freshness", tags=["journeys"], **schemas.answer("Freshness", errors=(401, 403, 422, 503)))
def freshness(request: Request, grant: Reader) -> Response:
    """How much was acknowledged and is not yet in the tables; 0 means all of it is there."""
    refuse_all(request.query_params.multi_items())
    return Response(msgspec.json.encode(request.app.state.freshness.read().shown()), media_type="application/json")
