"""The lines of one statement as envelopes of its account's stream, and those that cannot be counted as envelopes for quarantine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple, TypedDict

from calls.envelope import Envelope, body_fields, digest
from calls.faults import Faults
from calls.masking import mask_text
from calls.providers import PROVIDERS
from calls.statements import written
from calls.statements.columns import Header, columns_of, header_of
from calls.statements.read import Row, Table
from calls.statements.taking import Taken, Taking
from ingest.accept import Origin
from runtime import posted_plans
from runtime.clock import now
from runtime.postgres import connect
from runtime.problems import invalid, refusal
from runtime.settings import Account, Settings

CURRENCY = "KES"
LONGEST_DETAIL = 500


class Rejected(TypedDict):
    line: int
    detail: str


class Means(NamedTuple):
    """How an account's lines are read. `signature`: how we know who sent them."""

    zone: str
    country: str
    currency: str
    signature: str


def origin_of(name: str, account: Account, *, import_id: str) -> Origin:
    return Origin(name, account, PROVIDERS[account.provider], source="statement", import_id=import_id)


def means_of(settings: Settings, account: Account, *, database_url: str, signature: str) -> Means:
    """The account's currency is its rate plan's. Raises Retry where Postgres is away."""
    tenant, currency = settings.tenant(account.tenant), CURRENCY
    if account.rate_plan:
        with connect(database_url, name="statements", autocommit=True) as connection:
            plan = posted_plans.named(connection, account.tenant, account.rate_plan)
        currency = plan.currency if plan else currency
    return Means(tenant.timezone, tenant.country, currency, signature)


class Statement:
    """One file. `read`, `rejected` and `unbalanced` are whole once `chunks` has come to its end."""

    def __init__(self, origin: Origin, table: Table, means: Means) -> None:
        """Raises Refused 422 that names every column in the way: nothing of it can be taken then."""
        try:
            header = header_of(table.names, currency=means.currency)
        except Faults as faults:
            raise refusal(faults, title="Header not understood") from None
        self._origin, self._rows, self._signature = origin, table.rows, means.signature
        self._taking = Taking(header, zone=means.zone, country=means.country, currency=means.currency)
        self.read = 0
        self.rejected: list[Rejected] = []

    @property
    def unbalanced(self) -> list[Rejected]:
        """Lines whose balance does not follow from the one before; they are in all the same."""
        return [{"line": one.line, "detail": one.detail} for one in self._taking.balances.unbalanced()]

    def chunks(self, most: int) -> Iterator[list[Envelope]]:
        """Envelopes in the order of the lines, `most` at a time."""
        chunk: list[Envelope] = []
        for row in self._rows:
            self.read += 1
            chunk.append(self._envelope(row))
            if len(chunk) == most:
                yield chunk
                chunk = []
        if chunk:
            yield chunk

    def _envelope(self, row: Row) -> Envelope:
        try:
            return envelope_of(self._origin, self._taking.take(row), signature=self._signature)
        except ValueError as error:
            detail = mask_text(str(error))[:LONGEST_DETAIL]
            self.rejected.append({"line": row.line, "detail": detail})
            return self._aside(row, f"line {row.line}: {detail}")

    def _aside(self, row: Row, reason: str) -> Envelope:
        """For quarantine, once however often it is sent."""
        body, kind = self._taking.aside(row)
        mark = digest(body)
        receipt = digest(f"{self._origin.tenant}\n{self._origin.name}\n{mark}".encode())
        text, raw = body_fields(body)
        return Envelope(
            tenant=self._origin.tenant, account=self._origin.name, provider=self._origin.provider.name, stream_kind="quarantine",
            stream=receipt, event_id=mark, receipt=receipt, received_at=now(), digest=mark, source="statement", signature=self._signature,
            content_type=kind, body=text, body_bytes=raw, reason=reason, import_id=self._origin.import_id,
        )  # fmt: skip


def envelope_of(origin: Origin, taken: Taken, *, signature: str) -> Envelope:
    text, raw = body_fields(taken.body)
    return Envelope(
        tenant=origin.tenant, account=origin.name, provider=origin.provider.name, stream_kind="account", stream=origin.name,
        event_id=taken.event_id, receipt=os.urandom(16).hex(), received_at=now(), digest=taken.digest, source=origin.source,
        signature=signature, content_type="application/json", body=text, body_bytes=raw, import_id=origin.import_id,
    )  # fmt: skip


def line_again(origin: Origin, body: bytes, means: Means) -> Envelope:
    """A row that was put aside, as today's reader takes it. Raises ValueError with the reason where it does not."""
    known = written.read(body)
    if known is None or known.kind == "stats":
        raise ValueError("it is no row of columns: mend the line in its file, and import that again")
    header = Header(known.kind, columns_of(tuple(known.fields)))
    taking = Taking(header, zone=means.zone, country=means.country, currency=means.currency)
    return envelope_of(origin, taking.take(Row(0, known.fields, "", body)), signature=means.signature)


def account_of(settings: Settings, tenant: str | None, name: str) -> Account:
    """The account of that name (and that tenant). Raises Refused 422."""
    known = {one: account for one, account in settings.accounts.items() if tenant in (None, account.tenant)}
    if name not in known:
        raise invalid(
            "account", f"no account {name[:100]!r}{' of this tenant' if tenant else ''}; known: {', '.join(sorted(known)) or 'none'}"
        )
    return known[name]
