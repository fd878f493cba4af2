"""GET /v1/exports/{dataset}.{csv|parquet|ndjson}: a whole dataset, or the part of it from one time to another."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.auth import Reader
from api.exports.described import EXPORT
from api.exports.download import Download
from api.exports.statements import Asked, asked_for
from api.params import period_of
from calls.clock import rfc3339

router = APIRouter(tags=["exports"])


@router.get("/v1/exports/{dataset}.{format}", **EXPORT)
def export(request: Request, grant: Reader) -> Response:
    """Rows in the order of their time; a cell for every row, null where there is nothing.

    `ETag` is of the rows, so an unchanged export is 304, and `Range` with `If-Range` goes on where a download broke off. An answer that
    ends without its proper end is incomplete.
    """
    names = request.path_params
    asked = asked_for(names["dataset"], names["format"], tenant=grant.tenant, period=period_of(request.query_params.multi_items()))
    return Download(request.app.state.exports, asked, name=_name(asked))


def _name(asked: Asked) -> str:
    days = [(rfc3339(at) or "")[:10] for at in (asked.begin, asked.end) if at is not None]
    return f"{'_'.join([asked.dataset.name, *days])}.{asked.form.name}"
