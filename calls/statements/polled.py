"""What a provider's REST tells of an account's money, as deliveries of the account's stream; and how far one is in its lists.

The same row asked for again is the same delivery. A call's row that has changed is another version of the same line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from calls.clock import Micros, rfc3339
from calls.envelope import Envelope, body_fields, digest
from calls.masking import mask
from calls.own import receipt_of
from calls.providers.reading import word_of
from calls.statements import written
from calls.statements.columns import Header, understand
from calls.statements.identity import Identities
from calls.statements.line import Line, LineKind
from calls.statements.parse import parse
from calls.statements.taking import TYPED
from calls.statements.written import Fields

OVERLAP: Micros = 30 * 60_000_000  # rows so much older than what is known are read again: a call's cost may come after its end
FIRST: Micros = 35 * 86_400_000_000  # how far the first walk goes back
LONGEST_CALL: Micros = 86_400_000_000  # a call that runs for longer holds nobody up

_OVER = frozenset({"completed", "failed", "noanswer", "busy", "canceled", "cancelled", "rejected"})


class Whose(msgspec.Struct, frozen=True):
    """Whose rows they are, and how times and numbers are read that name no zone and no country."""

    tenant: str
    account: str
    provider: str
    zone: str = "Africa/Nairobi"
    country: str = "KE"


class Seen(msgspec.Struct, frozen=True):
    """A row: when it was (None: it does not say), and whether it may still change."""

    at: Micros | None
    running: bool


def deliveries(whose: Whose, kind: LineKind, rows: Sequence[Mapping[str, object]], *, now: Micros) -> tuple[list[Envelope], list[Seen]]:
    """The rows of a page. What cannot be counted is kept all the same: a better parser may read it."""
    told = [written.fields_of(row) for row in rows]
    header = _header(kind, told)
    identities = Identities(header)
    exempt = frozenset(column.name.lower() for column in header.columns if column.field not in TYPED)
    made = []
    for fields in told:
        body = mask(written.body(kind, fields), "application/json", exempt)
        try:
            event_id = identities.event_id(kind, fields, digest(body))
        except ValueError:
            event_id = written.nameless(kind, digest(body), 0)
        made.append(_envelope(whose, event_id, body, now=now))
    return made, [_seen(whose, kind, fields) for fields in told]


def reading(whose: Whose, kind: LineKind, fields: Fields, *, now: Micros) -> Envelope:
    """A balance or counts, as they were when they were read: that is what the line is known by."""
    at = rfc3339(now) or ""
    return _envelope(
        whose, written.event_id(kind, at), mask(written.body(kind, fields | {"at": at}), "application/json", frozenset({"at"})), now=now
    )


def _header(kind: LineKind, told: Sequence[Fields]) -> Header:
    columns = []
    for name in sorted({name for fields in told for name in fields}):
        try:
            column = understand(name)
        except ValueError:
            continue
        if column is not None:
            columns.append(column)
    return Header(kind, tuple(columns))


def _envelope(whose: Whose, event_id: str, body: bytes, *, now: Micros) -> Envelope:
    """Its receipt is made of what it says: the same row asked for a hundred times is no hundred copies."""
    said, raw = body_fields(body)
    return Envelope(
        tenant=whose.tenant, account=whose.account, provider=whose.provider, stream_kind="account", stream=whose.account, event_id=event_id,
        receipt=receipt_of("poll", whose.tenant, whose.account, event_id, digest(body)), received_at=now, digest=digest(body),
        source="poll", signature="key", content_type="application/json", body=said, body_bytes=raw,
    )  # fmt: skip


def _seen(whose: Whose, kind: LineKind, fields: Fields) -> Seen:
    try:
        line = parse(kind, fields, row_id="", zone=whose.zone, country=whose.country)
    except ValueError:
        return Seen(None, running=False)
    return Seen(line.at, running=kind == "call_record" and line.ended_at is None and word_of(line.status) not in _OVER)


def stats(fields: Fields, *, row_id: str, at: Micros) -> Line:
    """What all calls together cost, as the provider counts them."""
    spent = fields.get("spend_minor", "")
    amount = int(spent) if spent.isascii() and spent.removeprefix("-").isdigit() and len(spent) < 19 else None
    counted = ", ".join(f"{name} {fields[name]}" for name in ("since", "total", "failed", "minutes_total") if name in fields)
    return Line("stats", row_id, at=at, amount_minor=amount, currency=fields.get("currency"), description=counted)


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
        newest, oldest_running = _known(max, self.newest, times), _known(min, self.oldest_running, running)
        rising = self._rises(times)
        falling = bool(times) and times[-1] < (newest or 0)
        known = not rising and falling and times[-1] < self.bound(now)
        if cursor is not None and not known:
            return Position(self.since, cursor, newest, oldest_running, rising, walking=True)
        reached = _known(min, newest, [] if oldest_running is None else [oldest_running])
        return Position(self.since if reached is None else reached, self.cursor if rising else None, rising=rising)

    def _rises(self, times: Sequence[Micros]) -> bool:
        """A list is taken to begin with its oldest row where its first page does, and no later one speaks against it: who is wrong in
        that misses rows, who does not see it only reads some again."""
        up = list(times) == sorted(times) and len(set(times)) > 1
        return up if self.newest is None and not self.rising else self.rising and not (times and times[0] > times[-1])

    def anew(self) -> Position:
        """The walk begins again."""
        return Position(self.since)


def _known(best: Callable[[list[Micros]], Micros], one: Micros | None, others: Iterable[Micros]) -> Micros | None:
    told = [*others, *([] if one is None else [one])]
    return best(told) if told else None
