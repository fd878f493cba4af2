"""GET /v1/invariants: every law, what its two sides come to, and where it is broken; and the same, now and then, for Prometheus."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from starlette.responses import Response

from api import schemas
from api.asking import Asking
from api.auth import Reader
from api.params import FILTERS, period_of
from calls.metrics.laws import LAWS
from runtime import clock
from runtime.bodies import as_json
from runtime.laws.check import Checked, Range, check, check_all

router = APIRouter(tags=["metrics"])
PARAMETERS = [
    {"name": name, "in": "query", "required": False, "schema": FILTERS[name].schema, "description": says}
    for name, says in (("from", "What lies before this is left out."), ("to", "What lies at or after this is left out."))
]


@router.get("/v1/invariants", **schemas.answer("Invariants", parameters=PARAMETERS, errors=(401, 403, 422, 503)))
def invariants(request: Request, grant: Reader) -> Response:
    """Every law and where it is broken: nowhere, unless there is a bug. Without from and to, over everything."""
    state = request.app.state
    since, until = period_of(request.query_params.multi_items())
    complete_through = state.freshness.complete_through()  # before the snapshot: never newer than what is counted
    found = check(state.database_url, grant.tenant, Range(since, until))
    return as_json(shown(found, complete_through))


def shown(found: Sequence[Checked], complete_through: str | None) -> dict[str, Any]:
    """The JSON object of the route. A law's violations are the first of them, 50 at most; `broken` counts all."""
    laws: list[dict[str, Any]] = [
        {
            "law": one.law.id, "says": one.law.says, "relation": one.law.relation, "left": one.left, "right": one.right,
            "broken": one.broken, "violations": msgspec.to_builtins(one.violations),
        }
        for one in found
    ]  # fmt: skip
    listed = [{"law": law["law"], **violation} for law in laws for violation in law["violations"]]
    return {"laws": laws, "violations": listed, "complete_through": complete_through}


# ---------------------------------------------------------------- Prometheus

EVERY_S = 300.0
BACK_US = 48 * 3_600_000_000


class Watch:
    """Checks the last 48 hours of every tenant in a thread of its own, when somebody looks and the last check is 5 minutes old."""

    def __init__(self, database_url: str, *, ticks: Callable[[], float] = time.monotonic) -> None:
        self._database_url, self._ticks = database_url, ticks
        self._asking = Asking("laws", self._check)
        self._asked = float("-inf")
        self._last: tuple[float, Counter[str]] | None = None

    def collect(self) -> Iterator[Metric]:
        """What the last check found; never waits for one. Nothing before the first."""
        if self._asked + EVERY_S < self._ticks():
            self._asked = self._ticks()
            self._asking.ask()
        if self._last is None:
            return
        at, places = self._last
        found = GaugeMetricFamily("safiri_law_violations", "Places in which a law is broken, of the last 48 hours.", labels=["law"])
        for law in LAWS:
            found.add_metric([law.id], places[law.id])
        yield found
        yield GaugeMetricFamily("safiri_laws_checked_at", "When the laws were last checked, in unix seconds.", value=at)

    def _check(self) -> None:
        now = clock.now()
        places: Counter[str] = Counter()
        for found in check_all(self._database_url, Range(since=now - BACK_US), wait_s=0).values():
            places.update({one.law.id: one.broken for one in found})
        self._last = (now / 1e6, places)
