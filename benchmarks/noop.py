"""The limit of accepting: an application on the same server that reads the body, answers 202 and does nothing else.

`python -m benchmarks.noop PORT`. GET answers 200, to be asked whether it is there.
"""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

ACCEPTED = {"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]}
THERE = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]}
EMPTY = {"type": "http.response.body", "body": b""}


async def application(
    scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:  # fmt: skip
    while (await receive()).get("more_body"):
        pass
    await send(ACCEPTED if scope["method"] == "POST" else THERE)
    await send(EMPTY)


def main(port: int) -> None:
    """The settings of `safiri serve http`, but for the application."""
    config = uvicorn.Config(
        application, host="127.0.0.1", port=port, loop="uvloop", http="httptools", access_log=False, log_level=logging.WARNING,
        server_header=False, timeout_keep_alive=75, limit_concurrency=4096, lifespan="off",
    )  # fmt: skip
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
