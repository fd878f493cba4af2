"""Africa's Talking voice: a form per request (call handler page and public clients), ended by one with `isActive=0`.

The last request carries duration, cost and causes. Deliveries are not signed: the address that we hand out carries a token.
Field names come in any case. Times of theirs have no offset and count as UTC; some carry the plus of a form (`2026-09-01+08:00:00`).

Of a queue they tell when a caller is taken out of it, and how long that took: the entry is concluded from these (`waited_ms`). Where
the queue has no name it is the number that callers join it by, as in `<Dequeue phoneNumber>`.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from calls.clock import Micros
from calls.events import (
    Attributes,
    CallEnded,
    CallFailed,
    CallLinked,
    CallReported,
    CallSeen,
    CallStarted,
    Event,
    LegAnswered,
    LegEnded,
    QueueLeft,
    Unrecognised,
)
from calls.providers import signatures
from calls.providers.interface import Delivered, Identity, NotUnderstood, Provider
from calls.providers.pbx import DIAL, duration, parse_pbx
from calls.providers.reading import (
    Fields,
    failure,
    first,
    first_id,
    flag,
    folded,
    identifier,
    label,
    moment,
    phone,
    read_fields,
    seconds_ms,
    word_of,
)

LARGEST_AMOUNT = Decimal(10) ** 12
# ISO 4217: currencies of the provider's countries that have no minor unit.
_WHOLE = frozenset({"UGX", "RWF", "XOF", "XAF", "BIF", "GNF", "DJF", "KMF"})
_IDS = ("sessionid", "callsessionid")
_STATES = ("callsessionstate",)
DEQUEUED = "dequeued"  # the leg of who took the caller out of a queue
_TAKEN_BY = ("dequeuedtosessionid", "dequeuedtophonenumber")
_TIMES = ("callstarttime", "dialstarttime", "dequeuetime")
_ABOUT = {"caller_carrier": "callercarriername", "caller_country_code": "callercountrycode"}
# Names seen in clients for what the provider's page calls otherwise; the first that is there counts.
_OTHER_NAMES = {
    "dialdestinationnumber": ("dialdestinationphonenumber", "lastdialdestinationnumber", "bridgedestinationnumber"),
    "dialdurationinseconds": ("bridgedurationinseconds", "lastbridgedurationinseconds", "dialcalldurationinseconds"),
    "dialstarttime": ("bridgestarttime", "lastbridgestarttime"),
    "dialcallstatus": ("lastbridgedialstatus", "bridgestatus", "lastbridgestatus"),
    "dequeuedtophonenumber": ("dequeuedtophone",),
}


def identify(delivered: Delivered) -> Identity:
    """The call by `sessionId`. No request has an id of its own."""
    call = first_id(folded(read_fields(delivered.body, delivered.content_type)), _IDS)
    if call is None:
        raise NotUnderstood("The body names no sessionId.")
    return Identity(kind="call", stream=call, event_id=None)


def parse(delivered: Delivered) -> list[Event]:
    """The facts of one request; the first says what it is called."""
    try:
        fields = _known(folded(read_fields(delivered.body, delivered.content_type)))
    except NotUnderstood as why:
        return [Unrecognised(at=delivered.received_at, reason=str(why))]
    call = first_id(fields, _IDS) or ""
    if not call:
        return [Unrecognised(at=delivered.received_at, reason="the body names no sessionId")]
    at = _at(fields, delivered.received_at)
    facts = [_failed_at_once(fields, fact) for fact in parse_pbx(fields, call, at, _STATES)]
    if _picked_up(fields):
        facts = [fact for fact in facts if not isinstance(fact, LegEnded)] + _bridged(fields, call, at)
    about = _about_the_caller(fields)
    for fact in facts:
        if about and isinstance(fact, CallStarted | CallSeen):
            fact.attributes = about
    return facts + _queue(fields, call, at) + _reported(fields, call, at)


def _known(fields: dict[str, object]) -> dict[str, object]:
    """`fields` under the names that we read, with times as others write them."""
    for name, others in _OTHER_NAMES.items():
        known = next((fields[other] for other in others if other in fields), None)
        if known is not None and name not in fields:
            fields[name] = known
    for name in _TIMES:
        value = fields.get(name)
        if isinstance(value, str) and value[10:11] == "+":
            fields[name] = value[:10] + " " + value[11:]
    return fields


def _failed_at_once(fields: Fields, fact: Event) -> Event:
    """An end after no time at all, for a reason that is a failure's: nobody was reached."""
    if not isinstance(fact, CallEnded) or fact.duration_ms != 0:
        return fact
    cause = fact.cause or label(fields.get("status"))
    why = failure(cause)
    return fact if why == "unknown" else CallFailed(call_sid=fact.call_sid, at=fact.at, reason=why, cause=cause)


def _picked_up(fields: Fields) -> bool:
    """A request in mid-call that names who was dialled, but nothing of how that ended: they have answered, or are being rung."""
    told = ("dialdurationinseconds", "dialstatus", "dialcallstatus", "bridgehangupcause", "lastbridgehangupcause")
    over = any(label(fields.get(name)) for name in told) or word_of(fields.get("callsessionstate")) == "dialcompleted"
    return flag(fields.get("isactive")) is True and phone(fields.get("dialdestinationnumber")) is not None and not over


def _bridged(fields: Fields, call: str, at: Micros) -> list[Event]:
    if word_of(fields.get("callsessionstate")) in ("dialing", "dialling", "ringing"):
        return []
    to, begun = phone(fields.get("dialdestinationnumber")), moment(fields.get("dialstarttime"))
    return [LegAnswered(call_sid=call, at=at if begun is None else begun, leg=DIAL, kind="external", to=to)]


def _about_the_caller(fields: Fields) -> Attributes | None:
    found = {ours: label(fields.get(theirs)) for ours, theirs in _ABOUT.items()}
    return {name: value for name, value in found.items() if value is not None and value not in ("None", "-1")} or None


# ---------------------------------------------------------------- queues


def _queue(fields: Fields, call: str, at: Micros) -> list[Event]:
    """A caller taken out of a queue by somebody's `<Dequeue>`, or one who hung up in it (a wait, and nobody who took them)."""
    queue = label(fields.get("queuename")) or phone(fields.get("destinationnumber"))
    waited, taken = seconds_ms(fields.get("queuedurationinseconds")), first(fields, _TAKEN_BY)
    if queue is None or (waited is None and taken is None):
        return []
    if taken is None:
        over = [QueueLeft(call_sid=call, at=at, queue=queue, reason="abandoned", waited_ms=waited)]
        return list(over) if _over(fields) and waited else []
    left_at = moment(fields.get("dequeuetime"))
    facts: list[Event] = []
    if left_at is not None or not _over(fields) or waited is not None:
        facts.append(QueueLeft(call_sid=call, at=at if left_at is None else left_at, queue=queue, reason="answered", waited_ms=waited))
    if left_at is not None or not _over(fields):
        to, begun = phone(fields.get("dequeuedtophonenumber")), at if left_at is None else left_at
        facts.append(LegAnswered(call_sid=call, at=begun, leg=DEQUEUED, kind="external", to=to, queue=queue))
    if _over(fields):
        facts.append(LegEnded(call_sid=call, at=at, leg=DEQUEUED))
    other = identifier(fields.get("dequeuedtosessionid"))
    if other is not None and other != call:
        facts.append(CallLinked(call_sid=call, at=at, to_call_sid=other))
    return facts


# ---------------------------------------------------------------- times and money


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
recordingurl clientrequestid dialdestinationphonenumber lastdialdestinationnumber bridgedestinationnumber dequeuedtophonenumber
dequeuedtophone dequeuedtosessionid dequeuetime bridgestarttime lastbridgestarttime
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
