"""What routes do with bodies: read the whole of one within bounds, take it for an object, answer with JSON."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from calls.voice.check_steps import near, word_for
from runtime.problems import Refused, invalid


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


def object_in(body: bytes, fields: Collection[str]) -> dict[str, object]:
    """The JSON object in `body`. Refused 422 where it is none, or has a field that is not one of `fields`."""
    said = f"send an object with {', '.join(fields)}"
    try:
        asked = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as why:
        raise invalid("body", f"{why}: {said}") from None
    if not isinstance(asked, dict):
        raise invalid("body", f"{said}, not {word_for(asked)}")
    for name in asked:
        if name not in fields:
            raise invalid(name[:64], f"is no field here{near(name, fields)}")
    return asked


def as_sent(request: Request) -> None:
    """Refused 415 where the body is compressed: what it unfolds to has no bounds."""
    if request.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
        raise Refused(415, "Compressed body", "send the body as it is, without content-encoding")


def as_json(value: object, status: int = 200) -> Response:
    """`value` as msgspec writes it."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")
