"""The REST of both vendors, for every virtual account under its own path: calls, rooms, wallet, statement, numbers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from calls.clock import parse_time
from runtime import clock
from virtual import rows
from virtual.engine import Engine
from virtual.line import Line

MOST_ROWS = 100
Row = TypeVar("Row")
Handler = Callable[["Asked"], Awaitable[Response] | Response]


class Vendor(Exception):
    """A refusal in the vendor's own words."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Asked:
    """One request: whose account, and what it says."""

    def __init__(self, engine: Engine, request: Request, body: Any) -> None:
        self.engine, self.request, self.body = engine, request, body if isinstance(body, dict) else {}
        self.account: str = request.path_params["account"]

    @property
    def mini(self) -> bool:
        return self.engine.dialect(self.account) == "minivoice"

    def line(self) -> Line:
        """The call of the path, by any of its ids."""
        found = self.engine.lines.get(self.request.path_params["call"])
        if found is None or found.account != self.account:
            raise Vendor(404, "calls.not_found", "There is no such call.")
        return found

    def text(self, *names: str) -> str | None:
        """The first of the body's fields that is a text, or a list of one."""
        for name in names:
            value = self.body.get(name)
            if isinstance(value, list) and len(value) == 1:
                value = value[0]
            if isinstance(value, str) and value:
                return value
        return None


class Rest:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.remembered: dict[tuple[str, str], tuple[bytes, dict[str, Any]]] = {}  # (account, idempotency key) -> body, answer

    def routes(self) -> list[BaseRoute]:
        table: list[tuple[str, str, Handler]] = [
            ("POST", "calls", self._place), ("POST", "calls/originate", self._place), ("GET", "calls", self._list),
            ("GET", "calls/stats", self._stats), ("GET", "calls/{call}", self._call), ("POST", "calls/{call}/hangup", self._hang_up),
            ("POST", "conferences/{room}/commands", self._command), ("GET", "wallet", self._wallet),
            ("GET", "wallet/balance", self._wallet),
            ("POST", "topups", self._top_up), ("GET", "wallet/statement", self._statement), ("GET", "public/pricing", self._pricing),
            ("GET", "numbers", self._numbers), ("GET", "numbers/available", self._available), ("POST", "numbers", self._claim),
            ("POST", "numbers/available/claim", self._claim), ("POST", "numbers/{number}/claim", self._claim),
            ("PATCH", "numbers/{number}", self._route), ("PATCH", "numbers/{number}/routing", self._route),
            ("PUT", "numbers/{number}/routing", self._route),
        ]  # fmt: skip
        return [Route(f"/{{account}}/v1/{path}", self._guarded(handler), methods=[method]) for method, path, handler in table]

    def _guarded(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Who asks, what they say, and refusals in the vendor's shape."""

        @wraps(handler)
        async def answer(request: Request) -> Response:
            try:
                asked = Asked(self.engine, request, self._body(await request.body()))
                self._allowed(asked)
                answered = handler(asked)
                return answered if isinstance(answered, Response) else await answered
            except Vendor as refused:
                error = {"code": refused.code, "message": refused.message, "request_id": "req_virtual"}
                return JSONResponse({"error": error}, refused.status)

        return answer

    def _body(self, body: bytes) -> object:
        try:
            return msgspec.json.decode(body) if body else {}
        except msgspec.DecodeError:
            raise Vendor(400, "invalid_json", "The body is not JSON.") from None

    def _allowed(self, asked: Asked) -> None:
        if asked.account not in self.engine.ledger.wallets:
            raise Vendor(404, "not_found", "There is no such workspace.")
        key = self.engine.settings.accounts[asked.account].api_key
        if key is None or asked.request.url.path.endswith("/public/pricing"):
            return
        if asked.request.headers.get("authorization") != f"Bearer {key.get_secret_value()}":
            raise Vendor(401, "unauthorized" if asked.mini else "api_key.invalid", "The API key is not known.")

    # ------------------------------------------------------------ calls

    def _place(self, asked: Asked) -> Response:
        """The same Idempotency-Key gives the same answer and one call; with another body it is a conflict."""
        key, body = asked.request.headers.get("idempotency-key"), msgspec.json.encode(asked.body, order="deterministic")
        known = self.remembered.get((asked.account, key)) if key else None
        if known and known[0] != body:
            raise Vendor(409, "idempotency.conflict", "This idempotency key was used for another call.")
        if known:
            return JSONResponse(known[1], 201)
        if self.engine.ledger.wallets[asked.account].balance_minor <= 0:
            raise Vendor(402, "insufficient_balance" if asked.mini else "wallet.insufficient_funds", "Top up to continue.")
        answer = rows.placed(self._begun(asked))
        if key:
            self.remembered[asked.account, key] = (body, answer)
        return JSONResponse(answer, 201)

    def _begun(self, asked: Asked) -> Line:
        to, caller = asked.text("to"), asked.text("from", "caller_id")
        if to is None or caller is None:
            raise Vendor(400, "invalid_request", "A call needs from and to.")
        url = asked.text("voice_callback_url", "action_url", "answer_url") or self._own_url(asked.account)
        metadata = asked.body.get("metadata")
        label = asked.text("client_request_id") or (metadata.get("client_request_id") if isinstance(metadata, dict) else None)
        line = self.engine.ordered(asked.account, to=to, caller=caller, voice_url=url, label=label if isinstance(label, str) else None)
        self.engine.courier.spawn(self.engine.live(line))
        return line

    def _own_url(self, account: str) -> str:
        """Where the application's own address is asked."""
        tree = next((tree for tree in self.engine.trees if tree.account == account), None)
        if tree is None:
            raise Vendor(400, "invalid_request", "A call needs a voice_callback_url.")
        return self.engine.voice_url(tree)

    def _list(self, asked: Asked) -> Response:
        """Newest first; a cursor goes on where the last page ended."""
        found = [line for line in reversed(dict.fromkeys(self.engine.lines.values())) if self._listed(line, asked)]
        page, cursor = self._page(asked, found, [line.id for line in found], usual=25)
        wallet = self.engine.ledger.wallets[asked.account]
        return JSONResponse({"data": [rows.call(line, wallet) for line in page], "next_cursor": cursor})

    def _page(self, asked: Asked, found: Sequence[Row], ids: Sequence[str], *, usual: int) -> tuple[Sequence[Row], str | None]:
        """What follows the cursor, and where the next page begins."""
        query = asked.request.query_params
        limit = int(query.get("limit", usual)) if str(query.get("limit", usual)).isdigit() else 0
        if not 1 <= limit <= MOST_ROWS:
            raise Vendor(400, "calls.list_failed", f"limit is 1 to {MOST_ROWS}.")
        after = query.get("cursor")
        if after and after not in ids:
            raise Vendor(400, "calls.list_failed", "The cursor is not known.")
        start = ids.index(after) + 1 if after else 0
        return found[start : start + limit], ids[start + limit - 1] if start + limit < len(ids) else None

    def _listed(self, line: Line, asked: Asked) -> bool:
        query = asked.request.query_params
        since, until = (parse_time(query.get(name)) for name in ("from", "to"))
        statuses = [one for one in query.get("status", "").split(",") if one]
        return (
            line.account == asked.account
            and query.get("session_id", line.session) == line.session
            and query.get("direction", line.lived.direction) == line.lived.direction
            and (not statuses or line.status in statuses)
            and (since is None or line.lived.started_at >= since)
            and (until is None or line.lived.started_at < until)
        )

    def _call(self, asked: Asked) -> Response:
        return JSONResponse({"call": rows.call(asked.line(), self.engine.ledger.wallets[asked.account])})

    def _hang_up(self, asked: Asked) -> Response:
        line = asked.line()
        line.hang_up("platform")
        return JSONResponse({"call_id": line.id, "status": "hung_up"})

    def _stats(self, asked: Asked) -> Response:
        lines = [line for line in dict.fromkeys(self.engine.lines.values()) if line.account == asked.account]
        return JSONResponse(rows.stats(lines, self.engine.ledger.wallets[asked.account]))

    def _command(self, asked: Asked) -> Response:
        """What clients are seen to use: end a room, take one participant out of it."""
        command, name = asked.text("command") or "", asked.request.path_params["room"]
        room = self.engine.rooms.get((asked.account, name))
        if room is None or not room.members:
            raise Vendor(404, "conferences.not_found", "Nobody is in that room.")
        if command not in ("end", "kick", "remove", "hangup"):
            raise Vendor(400, "conferences.command_unknown", "command is end, kick, remove or hangup.")
        if not room.take_out(None if command == "end" else asked.text("participant")):
            raise Vendor(404, "conferences.participant_not_found", "That participant is not in the room.")
        return JSONResponse({"room": name, "command": command, "status": "ok"})

    # ------------------------------------------------------------ money and numbers

    def _wallet(self, asked: Asked) -> Response:
        wallet = self.engine.ledger.wallets[asked.account]
        return JSONResponse({"balance_minor": wallet.balance_minor, "currency": "KES", "status": "active"})

    def _top_up(self, asked: Asked) -> Response:
        amount = asked.body.get("amount_minor")
        if not isinstance(amount, int) or isinstance(amount, bool) or amount == 0:
            raise Vendor(400, "wallet.invalid_amount", "amount_minor is an integer.")
        kind = "credit" if amount > 0 else "debit"  # a refund, where it is negative
        entry = self.engine.ledger.post(asked.account, entry_type=kind, amount_minor=abs(amount), at=clock.now())
        return JSONResponse({"topup_id": entry["id"], "mpesa_account_ref": "VIRTUAL"}, 201)

    def _statement(self, asked: Asked) -> Response:
        """Oldest first."""
        entries = self.engine.ledger.wallets[asked.account].entries
        page, cursor = self._page(asked, entries, [entry["id"] for entry in entries], usual=MOST_ROWS)
        return JSONResponse({"data": page, "next_cursor": cursor})

    def _pricing(self, _: Asked) -> Response:
        return JSONResponse(rows.PRICING)

    def _numbers(self, asked: Asked) -> Response:
        known = self.engine.ledger.numbers[asked.account]
        return JSONResponse({"numbers": [rows.number(one) for one in known if one.claimed_at]})

    def _available(self, asked: Asked) -> Response:
        known = self.engine.ledger.numbers[asked.account]
        return JSONResponse({"available": [rows.number(one) for one in known if not one.claimed_at]})

    def _claim(self, asked: Asked) -> Response:
        """All three ways of the vendor's pages: an id in the path, an inventory_id, or the number itself."""
        wanted = asked.request.path_params.get("number") or asked.text("inventory_id", "e164", "number") or ""
        found = self.engine.ledger.find(asked.account, wanted)
        if found is None:
            raise Vendor(404, "numbers.not_found", "There is no such number.")
        if not found.claimed_at:
            found.claimed_at = clock.now()
            self.engine.ledger.rent(asked.account, found.e164)
        return JSONResponse({"number": rows.number(found)}, 201)

    def _route(self, asked: Asked) -> Response:
        found = self.engine.ledger.find(asked.account, asked.request.path_params["number"])
        if found is None:
            raise Vendor(404, "numbers.not_found", "There is no such number.")
        found.voice_url = asked.text("routing_url", "voice_callback_url", "voice_url") or found.voice_url
        found.events_url = asked.text("events_url") or found.events_url
        return JSONResponse({"number": rows.number(found)})
