"""One line of a provider's statement, understood."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from calls.clock import Micros
from calls.events import Direction

VERSION = 1  # higher where a line that was read comes to another row: the next `safiri migrate` reads all of them anew
LineKind: TypeAlias = Literal["call_record", "ledger", "balance", "stats"]


class Line(msgspec.Struct, frozen=True):
    """A call record (a CDR), a ledger line, a wallet's balance, or what the provider says that all calls together come to.

    `at`: the date by which it belongs to a period: a ledger line's own, a call record's start, when a balance was read.
    `amount_minor`: of a call record what the call cost; of a ledger line debit +, credit −; None where it does not say.
    `rest_millicents`: the part below one minor unit (1/1000 of it each) that `amount_minor` leaves out, −500 … 500.
    `caller`, `called`: E.164 where they can be read as numbers. `rate_per_minute`: minor units, an exact rational as text.
    `row_id`: the provider's own id of the line, else made of what it says and how often the file had said it before.
    """

    kind: LineKind
    row_id: str
    at: Micros | None = None
    updated_at: Micros | None = None
    call_id: str | None = None
    session_id: str | None = None
    client_request_id: str | None = None
    direction: Direction | None = None
    caller: str | None = None
    called: str | None = None
    started_at: Micros | None = None
    answered_at: Micros | None = None
    ended_at: Micros | None = None
    duration_ms: int | None = None
    status: str | None = None
    amount_minor: int | None = None
    rest_millicents: int = 0
    currency: str | None = None
    rate_per_minute: str | None = None
    entry_type: str | None = None
    description: str | None = None
    balance_minor: int | None = None
