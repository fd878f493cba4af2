"""Africa's Talking voice: a form per request (call handler page and public clients), ended by one with `isActive=0`.

The last request carries duration, cost and causes. Deliveries are not signed: the address that we hand out carries a token.
Field names come in any case. Times of theirs have no offset and count as UTC.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from calls.clock import Micros
from calls.events import Attributes, CallReported, Event, Unrecognised
from calls.providers import signatures
from calls.providers.interface import Delivered, Identity, NotUnderstood, Provider
from calls.providers.pbx import duration, parse_pbx
from calls.providers.reading import Fields, first_id, flag, folded, label, moment, read_fields, word_of

LARGEST_AMOUNT = Decimal(10) ** 12
# ISO 4217: currencies of the provider's countries that have no minor unit.
_WHOLE = frozenset({"UGX", "RWF", "XOF", "XAF", "BIF", "GNF", "DJF", "KMF"})
_IDS = ("sessionid", "callsessionid")
_STATES = ("callsessionstate",)


def identify(delivered: Delivered) -> Identity:
    """The call by `sessionId`. No request has an id of its own."""
    call = first_id(folded(read_fields(delivered.body, delivered.content_type)), _IDS)
    if call is None:
        raise NotUnderstood("The body names no sessionId.")
    return Identity(kind="call", stream=call, event_id=None)


def parse(delivered: Delivered) -> list[Event]:
    """The facts of one request; the first says what it is called."""
    try:
        fields = folded(read_fields(delivered.body, delivered.content_type))
    except NotUnderstood as why:
        return [Unrecognised(at=delivered.received_at, reason=str(why))]
    call = first_id(fields, _IDS) or ""
    if not call:
        return [Unrecognised(at=delivered.received_at, reason="the body names no sessionId")]
    at = _at(fields, delivered.received_at)
    facts = parse_pbx(fields, call, at, _STATES)
    return facts + _reported(fields, call, at)


def _at(fields: Fields, received_at: Micros) -> Micros:
    """The start of the call for the request that begins it, start plus duration for the one that ends it, else the receipt."""
    begun = moment(fields.get("callstarttime"))
    if begun is None:
        return received_at
    if _over(fields):
        ms = duration(fields)
        return received_at if ms is None else begun + ms * 1000
    return begun if word_of(fields.get("callsessionstate")) == "ringing" else received_at


def _over(fields: Fields) -> bool:
    return flag(fields.get("isactive")) is False or word_of(fields.get("callsessionstate")) == "completed"


def _reported(fields: Fields, call: str, at: Micros) -> list[Event]:
    """Their record of the call, from the request that ends it."""
    currency, status = label(fields.get("currencycode")), label(fields.get("status"))
    exact = _minor(fields.get("amount"), currency)
    if not _over(fields) or (exact is None and status is None):
        return []
    cost = None if exact is None else cost_minor(fields.get("amount"), currency)
    # What the minor unit cannot hold is kept beside it, so that nothing of a bill is lost by rounding.
    finer: Attributes | None = {"amount_minor_exact": str(exact.normalize())} if exact is not None and exact != cost else None
    ms = duration(fields)
    return [CallReported(call_sid=call, at=at, duration_ms=ms, cost_minor=cost, currency=currency, status=status, attributes=finer)]


def cost_minor(amount: object, currency: str | None) -> int | None:
    """Decimal major units (`"12.5000"`, KES) as integer minor units (1250); what is finer is rounded half up. No float touches it."""
    exact = _minor(amount, currency)
    return None if exact is None else int(exact.to_integral_value(ROUND_HALF_UP))


def _minor(amount: object, currency: str | None) -> Decimal | None:
    if not isinstance(amount, str | int) or isinstance(amount, bool):
        return None
    plain = str(amount).strip() if isinstance(amount, str) or abs(amount) < 10**12 else ""
    if currency and plain[:3].upper() == currency.upper():  # "KES 12.5000" in some accounts
        plain = plain[3:].strip()
    whole, _, fraction = plain.partition(".")
    if not (whole + fraction).isdecimal() or not plain.isascii() or len(plain) > 30:
        return None
    exact = Decimal(plain)
    units = 1 if currency and currency.upper() in _WHOLE else 100
    return exact * units if exact < LARGEST_AMOUNT else None


_EXEMPT = """
sessionid callsessionid callernumber destinationnumber clientdialednumber dialdestinationnumber callstarttime dialstarttime
recordingurl clientrequestid
"""

PROVIDER = Provider(
    name="africastalking",
    verify=signatures.verify_token,
    sign=signatures.sign_token,
    identify=identify,
    parse=parse,
    exempt=frozenset(_EXEMPT.split()),
    sid_rank=lambda sid: 0 if sid.startswith("ATVId_") else 1,
    # Older accounts name no states: their first request only says who calls whom.
    starts=frozenset({"call.started", "call.seen"}),
)
