"""POST /v1/tariff-inference: which tariff explains what calls were charged. Nothing is stored."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable

from fastapi import APIRouter, Request
from starlette.responses import Response

from api import schemas
from api.auth import Reader
from calls.faults import Faults
from calls.rating.infer import Inferred, infer
from calls.rating.infer_read import decoded, read
from runtime.bodies import as_json, whole
from runtime.problems import invalid, refusal

LARGEST = 64 << 20
TOO_LARGE = f"at most {LARGEST >> 20} MiB: a few hundred calls of different lengths say as much"
CURRENCY = "KES"
_PARAMETERS: list[schemas.Schema] = [
    {"name": "currency", "in": "query", "schema": {"type": "string", "pattern": "^[A-Z]{3}$", "default": CURRENCY},
     "description": "The currency of the plans."},
]  # fmt: skip
_ROUTE = schemas.answer("TariffInference", parameters=_PARAMETERS, errors=(400, 401, 403, 413, 422))
_ROUTE["openapi_extra"]["requestBody"] = {
    "required": True,
    "content": {"text/csv": {"schema": schemas.TEXT, "example": "duration_s,charge_minor\n60,300\n61,305\n"}},
}
SCHEMAS: dict[str, schemas.Schema] = {
    "TariffInference": schemas.object_of({
        "rules": schemas.list_of(schemas.object_of({
            "plan_toml": schemas.TEXT, "exceptions": schemas.list_of(schemas.object_of({"line": schemas.COUNT})),
        })),
        "tell_apart_s": schemas.MAYBE_MS,
    }),
}  # fmt: skip
router = APIRouter(tags=["money"])


@router.post("/v1/tariff-inference", **_ROUTE)
async def infer_tariff(request: Request, grant: Reader) -> Response:
    """The rules that explain the lines of a CSV, best first; or the one that explains the most, with its exceptions."""
    currency = _currency(request.query_params.multi_items())
    body = await whole(request, LARGEST, too_large=TOO_LARGE)
    found = await asyncio.to_thread(inferred, body, currency)
    return as_json(found)


def inferred(body: bytes, currency: str = CURRENCY) -> Inferred:
    """What the CSV in `body` says. Refused 422 with every line and column that cannot be read."""
    try:
        lines = read(decoded(body))
    except Faults as error:
        raise refusal(error, detail=str(error)) from None
    return infer(lines, currency=currency)


def known_currency(given: str) -> str:
    """The same. Refused 422 where it is no currency."""
    if not re.fullmatch("[A-Z]{3}", given):
        raise invalid("currency", "must be the three capital letters of a currency, such as KES")
    return given


def _currency(items: Iterable[tuple[str, str]]) -> str:
    found = CURRENCY
    for name, value in items:
        if name != "currency":
            raise invalid(name, "is no parameter here: currency alone is")
        found = known_currency(value)
    return found
