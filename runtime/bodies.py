"""What routes do with bodies: read the whole of one within bounds, answer with JSON."""

from __future__ import annotations

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from runtime.problems import Refused


async def whole(request: Request, most: int, *, too_large: str) -> bytes:
    """The body. Refused 413, with `too_large` as its detail, where it has more than `most` bytes; 400 where it breaks off."""
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                raise Refused(413, "Too large", too_large)
            chunks.append(chunk)
    except ClientDisconnect:
        raise Refused(400, "Incomplete", "the body ended early") from None
    return b"".join(chunks)


def as_json(value: object, status: int = 200) -> Response:
    """`value` as msgspec writes it."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")
