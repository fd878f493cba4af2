"""How the provider asks a voice URL what to do: signed, within ten seconds, and never twice."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

import httpx
import msgspec

from calls.simulator_answers import BadAnswer, Do, read
from calls.simulator_trees import place
from virtual.courier import Courier, Post
from virtual.lifecycle import documented_fields, encoded, fields
from virtual.line import Line

LIMIT_S = 10.0


class Next(msgspec.Struct, frozen=True):
    """Where the call goes on: an address that is asked, and what it is told besides."""

    url: str
    method: str = "POST"
    state: str = "Answered"
    more: dict[str, str] = {}


async def ask(courier: Courier, line: Line, what: Next) -> list[Do]:
    """The actions of the answer. Raises BadAnswer where the provider cannot use it: no answer, no 2xx, or no valid actions."""
    flow, step = place(what.url)
    line.step = step if step is not None or flow != line.wish.tree.flow else line.wish.tree.start
    courier.counts["voice requests"] += 1
    try:
        reply = await _sent(courier, line, what)
    except httpx.HTTPError as error:
        raise BadAnswer(f"{what.url} did not answer within {LIMIT_S:.0f} s: {type(error).__name__}") from None
    if not reply.is_success:
        raise BadAnswer(f"{what.url} answered {reply.status_code}: {reply.text[:200]}")
    try:
        return read(reply.content, content_type=reply.headers.get("content-type", ""), dialect=line.dialect)
    except BadAnswer as bad:
        raise BadAnswer(f"{what.url}: {bad}") from None


async def _sent(courier: Courier, line: Line, what: Next) -> httpx.Response:
    if line.dialect == "minivoice":
        said: Mapping[str, str] = _mini_fields(line) | what.more
    elif line.shape == "documented":
        said = documented_fields(line, what.more)
    else:
        said = fields(line, state=what.state, more=what.more)
    if what.method == "GET":
        url = what.url + ("&" if "?" in what.url else "?") + urlencode(said)
        return await courier.client.get(url, headers=courier.signature(line.account, b""), timeout=LIMIT_S)
    body, kind = encoded(line, said)
    post = Post(url=what.url, body=body, content_type=kind)
    return await courier.client.post(what.url, content=body, headers=courier.headers(line.account, post), timeout=LIMIT_S)


def _mini_fields(line: Line) -> dict[str, str]:
    return {"call_id": line.id, "from": line.lived.caller, "to": line.lived.called, "direction": line.lived.direction}
