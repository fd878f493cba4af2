"""What the provider keeps of an account beside its calls: wallet, statement and numbers."""

from __future__ import annotations

import uuid
from typing import TypedDict

import msgspec

from calls.clock import Micros, rfc3339
from calls.simulator_trees import Tree
from calls.simulator_truth import charged_seconds
from runtime import clock
from runtime.addresses import virtual_accounts
from runtime.settings import Settings
from virtual.line import Line

CURRENCY = "KES"
OUTBOUND_PER_MIN_MINOR = 300  # per second: 5 minor; incoming calls are free
OPENING_MINOR = 10_000_000
RENTAL_MINOR = 10_000  # of a number, a month
SPARE = 5  # numbers that may be claimed


class Entry(TypedDict):
    """One line of the statement."""

    id: str
    entry_type: str  # debit | credit
    call_id: str | None
    amount_minor: int
    currency: str
    description: str
    created_at: str


class Charge(TypedDict):
    """What one leg of a call cost. `call_sid`: the id by which the call is known first; `call_id`: the statement's."""

    call_sid: str
    call_id: str
    account: str
    leg: str
    charged_s: int
    amount_minor: int
    currency: str


class Number(msgspec.Struct):
    """`claimed_at` None: it may be claimed. `voice_url` None: it rings the flow that the configuration gives it."""

    id: str
    e164: str
    claimed_at: Micros | None = None
    voice_url: str | None = None
    events_url: str | None = None


class Wallet(msgspec.Struct):
    """The balance is what all its entries come to. `spent`: call -> what it cost; `charges`: the same, leg by leg, free ones too."""

    balance_minor: int = 0
    threshold_minor: int = 50_000
    entries: list[Entry] = []
    spent: dict[str, int] = {}
    charges: list[Charge] = []


class Ledger:
    """Per account."""

    def __init__(self, settings: Settings) -> None:
        self.wallets: dict[str, Wallet] = {}
        self.numbers: dict[str, list[Number]] = {}
        for position, account in enumerate(virtual_accounts(settings)):
            self.wallets[account] = Wallet()
            own = settings.accounts[account].numbers or [_made_up(position, 0)]
            spare = [_made_up(position, n) for n in range(1, SPARE + 1)]
            self.numbers[account] = [*(_number(e164, claimed_at=1) for e164 in own), *(_number(e164) for e164 in spare)]
            self.post(account, entry_type="credit", amount_minor=OPENING_MINOR, at=clock.now())
            for e164 in own:
                self.rent(account, e164)

    def rent(self, account: str, e164: str) -> None:
        """A month of a number, begun when it is claimed."""
        self.post(account, entry_type="debit", amount_minor=RENTAL_MINOR, at=clock.now(), about=f"number rental {e164}")

    def number_of(self, tree: Tree) -> str:
        """The number behind which the flow is: each has its own while there are enough."""
        claimed = [number for number in self.numbers[tree.account] if number.claimed_at]
        named = [number for number in claimed if (number.voice_url or "").rstrip("/").endswith(f"/voice/{tree.flow}")]
        return (named or claimed)[sum(map(ord, tree.flow)) % len(named or claimed)].e164

    def routed(self, account: str, e164: str) -> str | None:
        """Where a number was routed to by REST, None where it was not."""
        return next((number.voice_url for number in self.numbers[account] if number.e164 == e164), None)

    def find(self, account: str, name: str) -> Number | None:
        return next((number for number in self.numbers[account] if name in (number.id, number.e164)), None)

    def settle(self, line: Line) -> None:
        """One debit at hangup, per second begun, of an outgoing call that was answered; dialled far sides likewise."""
        charges = [_charge(line, leg=leg, seconds=seconds) for leg, seconds in charged_seconds(line.lived).items()]
        self.wallets[line.account].charges += charges
        total = sum(charge["amount_minor"] for charge in charges)
        if total:
            self.post(line.account, entry_type="debit", amount_minor=total, at=line.now(), line=line)

    def post(
        self, account: str, *, entry_type: str, amount_minor: int, at: Micros, line: Line | None = None, about: str = "top-up"
    ) -> Entry:  # fmt: skip
        wallet = self.wallets[account]
        wallet.balance_minor += amount_minor if entry_type == "credit" else -amount_minor
        entry: Entry = {
            "id": str(uuid.uuid4()), "entry_type": entry_type, "call_id": line.id if line else None, "amount_minor": amount_minor,
            "currency": CURRENCY, "description": f"call {line.session}" if line else about, "created_at": rfc3339(at) or "",
        }  # fmt: skip
        wallet.entries.append(entry)
        if line:
            wallet.spent[line.id] = wallet.spent.get(line.id, 0) + amount_minor
        return entry


def _charge(line: Line, *, leg: str, seconds: int) -> Charge:
    return {
        "call_sid": line.lived.sids[0], "call_id": line.id, "account": line.account, "leg": leg, "charged_s": seconds,
        "amount_minor": seconds * OUTBOUND_PER_MIN_MINOR // 60, "currency": CURRENCY,
    }  # fmt: skip


def _number(e164: str, *, claimed_at: Micros | None = None) -> Number:
    return Number(str(uuid.uuid5(uuid.NAMESPACE_URL, e164)), e164, claimed_at)


def _made_up(position: int, n: int) -> str:
    return f"+2547099{position:02d}{n:03d}"
