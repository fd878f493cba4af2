"""What a column's name says, and what a file is by its columns.

Names are compared without case, spaces and punctuation: `Call ID`, `callId` and `call_id` are one. Names of the same meaning have the
same place in a field's order, and two of them in one file are refused, for nobody can say which is right. Names that only stand in for
each other (a call's start for its date) have places of their own, and the first that is not blank is taken.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import TypeAlias

import msgspec

from calls.faults import Faults
from calls.statements.line import LineKind
from calls.statements.units import PLAIN, SUFFIXES, WITHOUT_MINOR, Measure, Unit, unit_of, words_of

Field: TypeAlias = str
SHOWN = 12

# field -> groups of names; names of one group say the same, an earlier group goes before a later one
_NAMES: dict[Field, tuple[str, ...]] = {
    "row": ("id", "entryid lineid ledgerid ledgerentryid rowid recordid cdrid", "idempotencykey"),
    "shared": ("receiptno receipt receiptnumber", "transactionid transactionno transactionnumber transactioncode txnid", "eventid"),
    "call_id": ("callid callsid", "calluuid providercallid uniqueid uuid sid", "linkedid"),
    "reference": ("reference referenceno referencenumber ref",),
    "session_id": ("sessionid",),
    "client_request_id": ("clientrequestid metadataclientrequestid",),
    "metadata": ("metadata",),
    "direction": ("direction calldirection", "calltype"),
    "caller": (
        "from fromnumber caller callernumber callerid callingnumber callingparty source sourcenumber src anumber frome164",
    ),
    "called": (
        "to tonumber called callednumber calledparty destination destinationnumber dst dest bnumber dialednumber dialed toe164",
        "clientdialednumber",
    ),
    "local": ("locale164 localnumber local",),
    "remote": ("remotee164 remotenumber remote",),
    "started_at": (
        "startedat starttime start startdatetime callstart callstarttime callstarted callstartedat calldate calldatetime calltime begin",
        "setuptime ringingat",
    ),
    "answered_at": ("answeredat answertime answer answered connectedat connecttime connectat pickuptime",),
    "ended_at": ("endedat endtime end enddatetime callend callendtime callended callendedat hangupat hanguptime disconnecttime",),
    "at": (
        "date datetime at when timestamp occurredat transactiondate transactiontime txndate entrydate completiontime completedat",
        "postedat postingdate bookingdate", "createdat created createdon creationtime datecreated", "valuedate effectivedate",
        "initiationtime",
    ),
    "clock": ("time",),
    "updated_at": ("updatedat lastupdated lastmodified modifiedat",),
    "duration": (
        "billsec talktime talkduration answeredduration conversationtime", "duration callduration calllength length seconds minutes",
        "billedduration billableduration chargedduration billableseconds billedseconds",
    ),
    "status": ("status callstatus disposition state callstate result outcome", "hangupcause"),
    "settled": ("transactionstatus",),
    "amount": ("amount cost callcost price callprice charge callcharge fee total totalcost totalamount transactionamount value",),
    "debit": ("debit debits debitamount withdrawn withdrawal withdrawals paidout moneyout dr",),
    "credit": ("credit credits creditamount paidin deposit deposits moneyin cr",),
    "balance": ("balance runningbalance balanceafter newbalance walletbalance currentbalance accountbalance closingbalance",),
    "currency": ("currency currencycode costcurrency amountcurrency",),
    "rate": ("rateperminute rate priceperminute costperminute callrate unitprice",),
    "entry_type": ("entrytype transactiontype txntype linetype drcr crdr debitcredit dc", "type kind category"),
    "description": ("description details narration narrative particulars", "memo note notes remarks remark comment"),
}  # fmt: skip
_MEASURES: dict[Field, Measure] = {
    **dict.fromkeys(("amount", "debit", "credit", "balance"), "money"), "rate": "rate", "duration": "duration",
    **dict.fromkeys(("started_at", "answered_at", "ended_at", "at", "updated_at", "clock"), "time"),
}  # fmt: skip
_KNOWN: dict[str, tuple[Field, int]] = {
    name: (field, place) for field, groups in _NAMES.items() for place, group in enumerate(groups) for name in group.split()
}
_UNITS_OF_NAMES = {"seconds": ["seconds"], "minutes": ["minutes"], "billableseconds": ["seconds"], "billedseconds": ["seconds"]}
_PARENTHESES = re.compile(r"^(.*\S)\s*[(\[]([^()\[\]]*)[)\]]\s*$", re.DOTALL)
_PLAIN = re.compile(r"[^a-z0-9]+")
DATES = ("at", "started_at", "answered_at", "ended_at", "clock")
AMOUNTS = ("amount", "debit", "credit")
UNDERSTOOD = {
    "date": "created_at, Date, Completion Time, started_at, Start Time",
    "amount": "amount_minor, Amount (KES), amount_kes_millicents, Debit and Credit, Paid In and Withdrawn",
}


class Column(msgspec.Struct, frozen=True):
    """A column that is understood. `place`: which of several columns of one field goes first."""

    name: str
    field: Field
    place: int
    unit: Unit = PLAIN


@lru_cache(maxsize=4096)
def understand(name: str) -> Column | None:
    """What the column called `name` says, None where that is not known. Raises ValueError where its unit is not."""
    parts = _PARENTHESES.match(name)
    bare, told = (parts[1], words_of(parts[2])) if parts else (name, [])
    found = _split(_PLAIN.sub("", bare.lower()[:200]), told)
    if found is None and parts and _KNOWN.get(_PLAIN.sub("", name.lower()[:200])):  # Debit(Withdrawn) and the like say no unit
        found = _split(_PLAIN.sub("", name.lower()[:200]), [])
    if found is None:
        plain = _KNOWN.get(_PLAIN.sub("", bare.lower()[:200]))
        if plain and told:
            raise ValueError(
                f"the unit {parts[2]!r} is not known: write it as {_EXAMPLES[_MEASURES.get(plain[0], 'none')]}" if parts else ""
            )
        return None
    return Column(name, *found)


_EXAMPLES: dict[Measure, str] = {
    "money": "(KES), (minor) or (millicents)", "rate": "(KES/min) or (minor)", "duration": "(s), (ms) or (min)", "time": "(UTC)",
}  # fmt: skip


def _split(plain: str, units: list[str]) -> tuple[Field, int, Unit] | None:
    """Field, place and unit of a name; units may hang at its end, several of them."""
    known = _KNOWN.get(plain)
    if known:
        measure = _MEASURES.get(known[0], "none")
        unit = PLAIN if measure == "none" else unit_of(measure, [*_UNITS_OF_NAMES.get(plain, ()), *units])
        return None if unit is None else (*known, unit)
    if len(units) > 4:
        return None
    for suffix in SUFFIXES:
        if plain.endswith(suffix) and len(plain) > len(suffix):
            found = _split(plain[: -len(suffix)], [suffix, *units])
            if found and _MEASURES.get(found[0], "none") != "none":  # a unit says nothing of an id
                return found
    return None


@lru_cache(maxsize=4096)
def columns_of(names: tuple[str, ...]) -> tuple[Column, ...]:
    """The columns that are understood, the first to be asked first. Never raises: what came in may be read by other rules since."""
    found: list[Column] = []
    for name in names:
        with suppress(ValueError):
            column = understand(name)
            found += [column] if column else []
    return tuple(sorted(found, key=lambda one: (one.place, one.name)))


class Header(msgspec.Struct, frozen=True):
    """A file's columns: what it is, and what is understood of it."""

    kind: LineKind
    columns: tuple[Column, ...]


def header_of(names: Sequence[str], *, currency: str) -> Header:
    """Raises Faults that name every column that stands in the way: then nothing of the file can be taken."""
    faults: list[tuple[str, str]] = []
    columns: list[Column] = []
    for name in names:
        try:
            column = understand(name)
        except ValueError as error:
            faults.append((name[:100], str(error)))
            continue
        if column is not None:
            columns.append(column)
            if column.unit.currency not in (None, currency):
                faults.append((name[:100], f"is in {column.unit.currency}, the account is in {currency}"))
    if currency in WITHOUT_MINOR and "currency" not in {column.field for column in columns}:
        said = f"does not say that it is in {currency}, which has no minor units: name it '… ({currency})'"
        faults += [(one.name[:100], said) for one in columns if one.field in (*AMOUNTS, "balance") and one.unit.currency is None]
    faults += _twice(names, columns)
    kind = kind_of(column.field for column in columns)
    faults += _missing(kind, names, columns) if not faults else []
    if faults:
        raise Faults(faults)
    return Header(kind, tuple(columns))


def kind_of(fields: Iterable[Field]) -> LineKind:
    """A file with a duration, an answer or an end is call records; one that has only balances tells those; all else is a ledger."""
    known = set(fields)
    if known & {"duration", "answered_at", "ended_at"}:
        return "call_record"
    return "balance" if "balance" in known and not known & set(AMOUNTS) else "ledger"


def _twice(names: Sequence[str], columns: Iterable[Column]) -> list[tuple[str, str]]:
    same: dict[tuple[Field, int], list[str]] = defaultdict(list)
    for column in columns:
        same[column.field, column.place].append(column.name)
    faults = [(name[:100], "is there twice: one column of that name") for name in dict.fromkeys(names) if names.count(name) > 1]
    for (field, _), said in same.items():
        if len(set(said)) > 1:
            both = " and ".join(repr(one[:60]) for one in said)
            faults += [(one[:100], f"{both} both say the {field.replace('_', ' ')}: leave one out") for one in said]
    fields = {field for field, _ in same}
    if "amount" in fields and fields & {"debit", "credit"}:
        several = [column.name for (field, _), said in same.items() for column in columns if field in AMOUNTS and column.name in said]
        both = ", ".join(repr(one[:60]) for one in several)
        faults += [(one[:100], f"{both} all say the amount: leave either out") for one in several]
    return faults


def _missing(kind: LineKind, names: Sequence[str], columns: Sequence[Column]) -> list[tuple[str, str]]:
    fields = {column.field for column in columns}
    there = f"there are {', '.join(repr(name[:40]) for name in names[:SHOWN])}{' …' if len(names) > SHOWN else ''}"
    if not fields:
        return [("header", f"no column is understood, {there}; known are such as {', '.join(UNDERSTOOD.values())}, Call ID, Duration (s)")]
    faults = []
    if not fields & set(DATES):
        faults.append(("date", f"no column says when, {there}; known are such as {UNDERSTOOD['date']}"))
    if kind == "ledger" and not fields & set(AMOUNTS):
        faults.append(("amount", f"no column says an amount, {there}; known are such as {UNDERSTOOD['amount']}"))
    return faults
