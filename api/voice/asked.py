"""One request on /voice as it came over HTTP: its body, bounded in size and time; whether it may be believed; its fields.

A body that is too large, too slow or no form and no JSON is a request all the same: somebody waits on the phone. It is answered
with what its query says, or as a call of its own.
"""

from __future__ import annotations

import time
from urllib.parse import unquote

from api.voice.addresses import OURS, Addresses
from api.voice.recorded import Heard, Origin, new_receipt
from calls.clock import Micros
from calls.providers import PROVIDERS
from calls.providers.interface import NotUnderstood
from calls.providers.reading import read_fields
from calls.voice import requests
from calls.voice.flow import Flow
from calls.voice.position import Request
from runtime.asgi import LARGEST, Bodies, Receive, Scope, TooLarge, TooMuch, headers_of
from runtime.problems import Refused
from runtime.settings import Settings

MOST_FIELDS = 200  # of a query
UNREAD_BYTES = 64 << 10  # kept of a body that nobody can read
SIGNED_BY = {"sautikit": "x-sautikit-signature", "minivoice": "x-minivoice-signature"}


class Line:
    """One account as the voice handler knows it."""

    __slots__ = ("account", "addresses", "number", "origin", "provider", "required", "secrets", "signed_by", "tenant")

    def __init__(self, name: str, settings: Settings, public: str):
        account = settings.accounts[name]
        self.account, self.tenant = name, account.tenant
        self.provider = PROVIDERS[account.provider]
        self.secrets = [secret.get_secret_value() for secret in account.signing_secrets]
        self.required = account.signature == "required"
        self.signed_by = SIGNED_BY.get(account.provider, "")
        self.number = account.numbers[0] if account.numbers else ""
        self.addresses = Addresses(public, self.secrets)
        self.origin = Origin(account.tenant, name, account.provider)

    def verify(self, asked: Asked, *said: str) -> bool:
        """Whether what the address says (`said`) is ours. Raises Refused (401) where the request cannot be believed at all.

        `asked.signature` tells how it was found to be: verified, bare, token, or none where nothing is required.
        """
        ours = self.addresses.genuine(asked.ours.get("k", ""), *said)
        if self.signed_by and self.signed_by in asked.headers and asked.body is not None:
            verdict = self.provider.verify(asked.body, asked.headers, self.secrets, int(time.time()))
            asked.signature = verdict.how if verdict.ok else "none"
            if self.required and not verdict.ok:
                raise Refused(
                    401, "Not signed by this account", f"{verdict.how}; sign the raw body with one of the account's signing_secrets"
                )
        elif ours:
            asked.signature = "token"
        elif self.required:
            raise Refused(401, "Not signed by this account", "sign the raw body, or ask at an address that our own answer named, unchanged")
        return ours or not self.required


class Asked:
    """What came. `ours`: what an address of ours says; `query`: the rest of it, as it stands; `body` None: it was not read whole."""

    __slots__ = (
        "body",
        "content_type",
        "fields",
        "headers",
        "method",
        "ours",
        "path",
        "query",
        "receipt",
        "signature",
        "unread",
        "whole_query",
    )

    def __init__(self, scope: Scope):
        self.method, self.path = scope["method"], scope["path"]
        self.headers = headers_of(scope)
        self.content_type = self.headers.get("content-type", "")
        self.whole_query = (scope.get("query_string") or b"").decode("latin-1")
        self.ours, self.query = _split(self.whole_query)
        self.body: bytes | None = b""
        self.fields: dict[str, object] = {}
        self.unread, self.signature, self.receipt = "", "none", new_receipt()

    def request(self, *, at: Micros, step: str | None, believed: bool) -> Request:
        """What is asked. `believed`: what our own address says is ours. A call that nobody can name is one of its own."""
        query = self.whole_query if believed else self.query
        body = self.body or b""
        request, self.fields = requests.read(
            at=at, body=body, content_type=self.content_type, query=query, step=step, headers=self.headers
        )  # fmt: skip
        if body and (not self.fields or self.query) and not _is_read(body, self.content_type):
            self.unread = body[:UNREAD_BYTES].decode("utf-8", "replace")
        request.call_sid = request.call_sid or f"odd-{self.receipt}"
        return request

    def heard(self, flow: Flow | None) -> Heard:
        """For the record. What nobody can read may hold what was typed: a flow with a sensitive step keeps none of it."""
        unread = self.unread
        if unread and flow is not None and any(getattr(step, "sensitive", False) for step in flow.steps.values()):
            unread = f"({len(unread)} characters, not kept)"
        return Heard(
            method=self.method, path=self.path, content_type=self.content_type, fields=self.fields, unread=unread,
            signature=self.signature, receipt=self.receipt,
        )  # fmt: skip


def _split(query: str) -> tuple[dict[str, str], str]:
    """(what an address of ours says, the rest of the query as it came). Our names have one letter, and no provider's has."""
    if not query:
        return {}, ""
    ours: dict[str, str] = {}
    rest: list[str] = []
    for pair in query.split("&", MOST_FIELDS):
        if pair[1:2] == "=" and pair[0] in OURS:
            ours.setdefault(pair[0], unquote(pair[2:]) if "%" in pair else pair[2:])
        else:
            rest.append(pair)
    return ours, "&".join(rest)


def _is_read(body: bytes, content_type: str) -> bool:
    try:
        read_fields(body, content_type)
    except NotUnderstood:
        return False
    return True


async def body_of(bodies: Bodies, receive: Receive) -> tuple[bytes | None, str]:
    """(the body, ""); (None, why) for one that is too large, or too much beside the others. Its caller bounds the time."""
    try:
        return await bodies.read(receive), ""
    except TooLarge:
        return None, f"a body of more than {LARGEST} bytes"
    except TooMuch:
        return None, "too many large bodies at once"
