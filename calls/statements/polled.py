"""What a provider's REST tells of an account's money, as deliveries of the account's stream; and how far one is in its lists.

The same row asked for again is the same delivery. A call's row that has changed is another version of the same line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from calls.clock import Micros, parse_time
from calls.envelope import Envelope, digest
from calls.masking import mask
from calls.own import receipt_of
from calls.statements import written
from calls.statements.line import Line, LineKind
from calls.statements.written import Fields

OVERLAP: Micros = 30 * 60_000_000  # rows so much older than what is known are read again: a call's cost may come after its end
FIRST: Micros = 35 * 86_400_000_000  # how far the first walk goes back
LONGEST_CALL: Micros = 86_400_000_000  # a call that runs for longer holds nobody up
_IDS: dict[LineKind, tuple[str, ...]] = {
    "call_record": ("id", "call_id", "call_sid", "session_id"),
    "ledger": ("id", "entry_id", "ledger_id", "idempotency_key", "receipt", "transaction_id"),
}
_DATES = ("started_at", "created_at", "occurred_at", "posted_at", "at", "date", "timestamp")
_UNMASKED = frozenset({*(name for names in _IDS.values() for name in names), *_DATES, "answered_at", "ended_at", "updated_at"})


class Whose(msgspec.Struct, frozen=True):
    """Whose rows they are; `exempt` as in the provider's dialect."""

    tenant: str
    account: str
    provider: str
    exempt: frozenset[str] = frozenset()


class Seen(msgspec.Struct, frozen=True):
    """A row: when it began, and whether it may still change."""

    at: Micros | None
    running: bool


def delivery(whose: Whose, kind: LineKind, fields: Fields, *, now: Micros, row_id: str | None = None) -> Envelope:
    """`row_id` None: the row's own id, else what it says."""
    body = mask(written.body(kind, fields), "application/json", whose.exempt | _UNMASKED)
    own = row_id or next((fields[name] for name in _IDS.get(kind, ()) if name in fields), None)
    event_id = written.event_id(kind, own) if own else written.nameless(kind, digest(body), 0)
    return Envelope(
        tenant=whose.tenant, account=whose.account, provider=whose.provider, stream_kind="account", stream=whose.account, event_id=event_id,
        receipt=receipt_of("poll", whose.tenant, whose.account, event_id, digest(body)), received_at=now, digest=digest(body),
        source="poll", signature="key", content_type="application/json", body=body.decode(),
    )  # fmt: skip


def stats(fields: Fields, *, row_id: str, at: Micros) -> Line:
    """What all calls together cost, as the provider counts them."""
    spent = fields.get("spend_minor", "")
    amount = int(spent) if spent.isascii() and spent.removeprefix("-").isdigit() and len(spent) < 19 else None
    counted = ", ".join(f"{name} {fields[name]}" for name in ("since", "total", "failed", "minutes_total") if name in fields)
    return Line("stats", row_id, at=at, amount_minor=amount, currency=fields.get("currency"), description=counted)


def seen(kind: LineKind, row: Mapping[str, object]) -> Seen:
    at = next((found for found in (parse_time(row.get(name)) for name in _DATES) if found is not None), None)
    return Seen(at, running=kind == "call_record" and not row.get("ended_at"))


class Position(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far one is in a list that is told page by page.

    `since`: all rows that began before it are known and will not change. `cursor`: where a walk that has not ended goes on; `newest` and
    `oldest_running`: what it has seen. `rising`: the list begins with its oldest row, and `cursor` is that of its last page.
    """

    since: Micros | None = None
    cursor: str | None = None
    newest: Micros | None = None
    oldest_running: Micros | None = None
    rising: bool = False
    walking: bool = False

    def bound(self, now: Micros) -> Micros:
        """Rows that began before it need not be read."""
        return now - FIRST if self.since is None else self.since - OVERLAP

    def after(self, rows: Sequence[Seen], cursor: str | None, *, now: Micros) -> Position:
        """Where one is after a page of these rows, which said that the next page begins at `cursor`."""
        times = [one.at for one in rows if one.at is not None]
        running = [one.at for one in rows if one.running and one.at is not None and one.at > now - LONGEST_CALL]
        rising = self.rising or (len(times) > 1 and times[0] < times[-1])
        newest, oldest_running = _known(max, self.newest, times), _known(min, self.oldest_running, running)
        known = not rising and bool(times) and times[-1] < self.bound(now)
        if cursor is not None and not known:
            return Position(self.since, cursor, newest, oldest_running, rising, walking=True)
        reached = _known(min, newest, [] if oldest_running is None else [oldest_running])
        return Position(self.since if reached is None else reached, self.cursor if rising else None, rising=rising)

    def anew(self) -> Position:
        """The walk begins again."""
        return Position(self.since)


def _known(best: Callable[[list[Micros]], Micros], one: Micros | None, others: Iterable[Micros]) -> Micros | None:
    told = [*others, *([] if one is None else [one])]
    return best(told) if told else None
