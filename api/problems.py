"""Every error as application/problem+json (RFC 9457): `type, title, status, detail`, and `errors` where fields are named."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
import psycopg
import sqlalchemy as sa
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.database import reason_of
from runtime.problems import FieldError, Refused, Retry

MEDIA_TYPE = "application/problem+json"
DETAILS = {
    404: "There is nothing at this address: /openapi.json lists the addresses.",
    405: "This address knows other methods: the header Allow names them.",
}
log = structlog.get_logger("api")


def add(app: FastAPI) -> None:
    """Makes `app` answer every error this way, its own 404 and 405 included."""
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(Retry, _retry)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _fields)
    app.add_exception_handler(sa.exc.SQLAlchemyError, _database)
    app.add_exception_handler(Exception, _bug)


def answer(problem: Refused) -> Response:
    """The response that says `problem`."""
    return Response(msgspec.json.encode(problem.body()), problem.status, problem.headers, media_type=MEDIA_TYPE)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return answer(error)


async def _retry(request: Request, error: Exception) -> Response:
    return answer(Refused(503, "Not available now", str(error) or "Ask again in a moment.", headers={"Retry-After": "2"}))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title = HTTPStatus(error.status_code).phrase
    detail = DETAILS.get(error.status_code) or (error.detail if error.detail != title else "See the status.")
    return answer(Refused(error.status_code, title, str(detail), headers=dict(error.headers or {})))


async def _fields(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors: list[FieldError] = [{"field": ".".join(str(part) for part in one["loc"][1:]) or str(one["loc"][0]), "detail": one["msg"]}
                                for one in error.errors()]  # fmt: skip
    return answer(Refused(422, "Invalid request", "; ".join(f"{e['field']}: {e['detail']}" for e in errors), errors=errors))


async def _database(request: Request, error: Exception) -> Response:
    assert isinstance(error, sa.exc.SQLAlchemyError)
    if isinstance(getattr(error, "orig", None), psycopg.DataError):
        return answer(Refused(422, "Invalid request", "a value cannot be read by the database: use plain text"))
    if reason := reason_of(error):
        return await _retry(request, Retry(reason))
    return await _bug(request, error)


async def _bug(request: Request, error: Exception) -> Response:
    log.error("a bug", method=request.method, path=request.url.path, exc_info=error)
    return answer(Refused(500, "Internal error", "This is a bug of ours; the log has its details. Ask again later."))
