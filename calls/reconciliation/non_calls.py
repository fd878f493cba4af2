"""Ledger lines that no call causes, told by their words: top-ups, and charges such as rent, storage and messages."""

from __future__ import annotations

import re
from fractions import Fraction

from calls.reconciliation.cause import Cause
from calls.reconciliation.sides import Difference, Entry, Unit

_TOP_UP = re.compile(
    r"top[\s_-]?up|deposit|m[\s_-]?pesa|mobile[\s_-]money|airtel[\s_-]money|pay[\s_-]?bill|payment|\bpaid\b|recharge|reload|airtime"
    r"|fund(?:s|ed|ing)\b|bank[\s_-]transfer|credit[\s_-]purchase|purchase[\s_-]of[\s_-]credit|wallet[\s_-](?:credit|load)|\bbonus\b"
    r"|\bvoucher\b|\bpromo(?:tion(?:al)?)?\b|\bstk\b|\bc2b\b|pesa[\s_-]?link|t[\s_-]?kash|\brtgs\b|\beft\b|\bcheque\b|money[\s_-]in\b"
)
_SURELY = re.compile(r"\brent(?:al)?s?\b|storage|subscri|\bsms\b|transcri|whatsapp|\bussd\b")
_PERHAPS = re.compile(  # what a line about calls may say as well
    r"\bnumbers?\b|\bdids?\b|set[\s_-]?up|\bvat\b|\btax\b|\bexcise\b|recordings?\b|\bfees?\b|month(?:ly)?\b|annual|yearly|messages?\b"
    r"|licen[cs]e|maintenance|\bseats?\b|porting"
)
_CALL = re.compile(r"\bcalls?\b|voice|minutes?\b|talk")
_BACK = re.compile(r"refund|revers|charge[\s_-]?back|credit[\s_-]note|cancel|given back|void")
_SAYS_NOTHING = re.compile(r"credit|debit|\bcr\b|\bdr\b|entry|transaction|[\W\d_]+")


def differences(entries: tuple[Entry, ...]) -> list[Difference]:
    """One row for each line that is dated within the period; all of its amount."""
    return [_row(entry) for entry in entries if entry.inside and entry.amount_minor]


def cause_of(entry: Entry) -> Cause:
    """What a line without a call is: its type decides, then its description; a credit without a word is a top-up.

    Money that is given back has the cause of what it gives back; given back for a call that the line does not name, it is unexplained.
    """
    kind, text = _words(entry.entry_type), _words(entry.description)
    for said in (kind, text):
        found = _said(said, kind + " " + text, entry.amount_minor)
        if found is not None:
            return found
    nothing = not _SAYS_NOTHING.sub("", kind + text)
    return "top_up" if nothing and entry.amount_minor < 0 else "unexplained"


def beside_calls(unit: Unit) -> tuple[Entry, ...]:
    """Lines that name the unit's call and are surely for something else, such as storing its recording.

    None where we charge for the call and that would leave no line for it: then such words are how these lines speak of calls.
    """
    found = tuple(entry for entry in unit.entries if any(_SURELY.search(_words(said)) for said in (entry.entry_type, entry.description)))
    all_of_them = len(found) == len(unit.entries) and any(leg.amount_minor for leg in unit.legs)
    return () if all_of_them else found


def _said(text: str, whole: str, amount_minor: int) -> Cause | None:
    topped = _TOP_UP.search(text) is not None
    charged = _SURELY.search(text) is not None or (_PERHAPS.search(text) is not None and _CALL.search(whole) is None)
    if topped and charged:
        into_wallet = (amount_minor < 0) is (_BACK.search(whole) is None)
        return "top_up" if into_wallet else "non_call_charge"
    return "top_up" if topped else "non_call_charge" if charged else None


def _row(entry: Entry) -> Difference:
    said = " ".join(part for part in (entry.entry_type, entry.description) if part)
    what = f"ledger line {entry.row_id}" + (f": {said}" if said else "")
    return Difference(cause_of(entry), entry.amount_minor, Unit(entries=(entry,)), ((what, Fraction(entry.amount_minor)),))


def _words(text: str | None) -> str:
    return (text or "").lower().replace("_", " ")
