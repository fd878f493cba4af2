"""What a voice request asks, whoever's dialect it is in: form, JSON or query; the PBX's names, the documented ones, MiniVoice's.

Nothing here raises: what cannot be read is still a call that wants an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias
from urllib.parse import unquote_plus

from calls.clock import Micros
from calls.providers.interface import NotUnderstood
from calls.providers.pbx import DIGITS, ROOM_EVENTS, ROOMS, STATES, duration, room_call
from calls.providers.reading import (
    FAILURES,
    Fields,
    count,
    direction,
    first,
    first_id,
    flag,
    folded,
    identifier,
    label,
    part,
    phone,
    read_fields,
    request_label,
    seconds_ms,
    word_of,
)
from calls.providers.sautikit import sid_rank
from calls.voice.position import Request

Kind: TypeAlias = Literal["ask", "edge", "over"]
OURS = frozenset({"v", "r", "c", "k", "o", "s", "e"})  # the names in our own addresses' queries
LONGEST_DIGITS = 64
MOST_FIELDS = 1000  # of a query
MOST = 1_000_000  # visits and tries
_ALPHABET = frozenset("0123456789*#ABCDabcd")
_CALL_IDS, _PBX_IDS = ("callid", "callsid"), ("sessionid", "pbxcallid", "pbxsessionid")
_KIND_HEADERS = ("x-sautikit-event-kind", "x-sautikit-event")

_OVER = frozenset({"completed", "complete", "hangup", "hungup", "ended", "failed", "expired", *FAILURES})
_ASKS = frozenset({
    "", "ringing", "started", "initiated", "queued", "incoming", "answered", "inprogress", "active", "up", "digitscollected", "dtmf",
    "redirect", "redirected", "inbound", "outbound", "created",
})  # fmt: skip
_STREAMS = frozenset({"streamstarted", "streamstopped", "streamerror", "streamfailed"})
_EDGES = _STREAMS | {
    "dialing", "dialling", "dialstarted", "dialcompleted", "dialanswered", "bridged", "transferred", "transfercompleted", "recording",
    "playing", "enqueued", "dequeued", "connected", "playcompleted", "saycompleted",
}  # fmt: skip
_RECORDED = frozenset({"recorded", "recordcompleted", "recordingcompleted", "recordingready", "recordfinished"})
_TERMINAL = ("hangup", "failed", "busy", "noanswer", "cancel")  # parts of words that end a call, as production names them
_ROOM_WORDS = frozenset({"start", "end", "join", "leave", "mute", "unmute"})
_RECORDINGS = ("recordingurl", "downloadurl", "recordurl", "recordingsid", "recordingid")
_UNREADY = frozenset({"started", "inprogress", "paused", "failed", "absent", "error"})
_DIALS = ("dialcallstatus", "dialstatus", "dialresult", "dialcallstate")
_DIAL_TO = ("dialdestinationnumber", "dialdestinationphonenumber", "lastdialdestinationnumber", "bridgedestinationnumber")
_DIAL_CAUSES = ("lastbridgehangupcause", "bridgehangupcause", "dialhangupcause")
_DIAL_SECONDS = ("dialdurationinseconds", "dialcallduration", "dialduration", "dialbilledseconds")


def read(
    *,
    at: Micros,
    body: bytes = b"",
    content_type: str = "",
    query: str = "",
    step: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[Request, dict[str, object]]:
    """What is asked, and its fields as they came (the body's before the query's, ours left out).

    `query` as it stands in the address, `step` as its path names it; `headers` have lower-case names. A request that nobody can
    read has `call_sid` "".
    """
    place, fields = _query(query)
    unread = False
    if body.strip():
        try:
            fields |= read_fields(body, content_type)
        except NotUnderstood:
            unread = True
    plain = _flat(folded(fields))
    kind_of_event = _envelope(fields, headers or {})
    call, aliases = _ids(plain, fields, place.get("c", ""))
    state = next((name for name in (label(plain.get(one)) for one in _states(plain)) if name), "")
    kind, doubtful = _kind(plain, state, kind_of_event, addressed=step is not None and "v" in place)
    digits = None if unread else _digits(plain, state)
    request = Request(
        call_sid=call, at=at, kind=kind, state=state or kind_of_event, doubtful=doubtful, direction=direction(plain.get("direction")),
        caller=phone(plain.get("callernumber")) or phone(plain.get("from")) or phone(plain.get("caller")),
        called=_called(plain), digits=digits, timed_out=_timed_out(plain, digits), step=step, visit=_number(place.get("v")),
        tries=_number(place.get("r")), aliases=aliases, label=request_label(plain.get("clientrequestid")),
        dial_answered=_dial_answered(plain), dial_to=phone(first(plain, _DIAL_TO)), recording=_recording(plain, state),
    )  # fmt: skip
    return request, fields


def _query(query: str) -> tuple[dict[str, str], dict[str, object]]:
    """(what our own address says, what the provider has put beside it)."""
    ours: dict[str, str] = {}
    fields: dict[str, object] = {}
    if not query:
        return ours, fields
    for pair in query.split("&", MOST_FIELDS)[:MOST_FIELDS]:
        name, _, value = pair.partition("=")
        if "%" in pair or "+" in pair:  # unquoting costs more than all the rest
            name, value = unquote_plus(name), unquote_plus(value)
        if not name:
            continue
        if name in OURS:
            ours.setdefault(name, value)
        else:
            fields.setdefault(name, value)
    return ours, fields


def _flat(plain: dict[str, object]) -> dict[str, object]:
    """Fields that lie in an object inside the body, as if they lay outside."""
    for name in ("call", "payload", "data"):
        value = plain.get(name)
        if isinstance(value, dict):
            inner = folded(value)
            if name == "call" and "callid" not in inner and "id" in inner:
                inner["callid"] = inner["id"]
            plain = {**inner, **{key: one for key, one in plain.items() if one is not None}}
    return plain


def _number(text: str | None) -> int | None:
    value = count(text) if text is not None and text.isascii() else None
    return value if value is not None and value < MOST else None


# ---------------------------------------------------------------- whose call


def _ids(plain: Fields, fields: Fields, ours: str) -> tuple[str, list[str]]:
    """The call's id and its others. Of two in the body the one that our own address names, else the REST API's."""
    named = [first_id(plain, _CALL_IDS), first_id(plain, _PBX_IDS)]
    found = list(dict.fromkeys(one for one in named if one is not None))
    if not found:
        spare = room_call(plain) or identifier(ours) or identifier(part(fields, "call", "payload", "data").get("id"))
        spare = spare or first_id(plain, ("streamsid",))
        return spare or "", []
    found.sort(key=lambda sid: (sid != ours, sid_rank(sid)))
    return found[0], found[1:]


def _called(plain: Fields) -> str | None:
    """Of a call that began in a browser `destinationNumber` is the browser's."""
    number = phone(plain.get("clientdialednumber")) or phone(plain.get("destinationnumber")) or phone(plain.get("to"))
    return number or phone(plain.get("called"))


# ---------------------------------------------------------------- what it is about


def _envelope(fields: Fields, headers: Mapping[str, str]) -> str:
    """The kind of a lifecycle event (`call.completed`) that came to the voice address; "" of anything else."""
    named = [fields.get("kind"), fields.get("event_kind"), fields.get("event"), *(headers.get(name) for name in _KIND_HEADERS)]
    return next((name for name in map(label, named) if name and "." in name), "")


def _states(plain: Fields) -> tuple[str, ...]:
    if any(name in plain for name in _RECORDINGS):
        return tuple(name for name in STATES if name != "status")  # there it is the recording's
    return STATES


def _kind(plain: Fields, state: str, event: str, *, addressed: bool) -> tuple[Kind, bool]:
    """(kind, doubtful). `addressed`: it came to a step's address, where a recording is what was waited for."""
    if event:
        return ("over" if event in ("call.completed", "call.failed", "call.ended") else "edge"), False
    if _of_room(plain):
        return "edge", False
    word = word_of(state)
    if word in _RECORDED:
        return ("ask" if addressed else "edge"), False
    if word in _OVER:
        return _ended(plain, word)
    if word in _EDGES:
        return "edge", False
    if word in _ASKS:
        return ("over" if not state and flag(plain.get("isactive")) is False else "ask"), False
    return ("over", False) if any(end in word for end in _TERMINAL) else ("ask", True)


def _ended(plain: Fields, word: str) -> tuple[Kind, bool]:
    """A `Completed` that says the call is active and has lasted no time sets it up, unless the call is known already."""
    setting_up = word in ("completed", "complete") and flag(plain.get("isactive")) is True and not duration(plain)
    return ("ask", True) if setting_up else ("over", False)


def _of_room(plain: Fields) -> bool:
    """A conference's status: its word beside the room's name."""
    if first(plain, ROOMS) is None:
        return False
    words = (word_of(plain.get(name)).removeprefix("conference").removeprefix("participant") for name in ROOM_EVENTS)
    return any(word in _ROOM_WORDS or word == "digitscollected" for word in words)


# ---------------------------------------------------------------- what was pressed, dialled, recorded


def _digits(plain: Fields, state: str) -> str | None:
    """None where no field tells of keys. What is no keys is kept, so that it counts as a wrong input."""
    names = [name for name in DIGITS if plain.get(name) is not None]
    if not names:
        return "" if word_of(state) == "digitscollected" else None
    value = next((plain[name] for name in names if plain[name] != ""), "")
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**LONGEST_DIGITS:
        value = str(value)
    if not isinstance(value, str):
        return "?"
    keys = value.strip()
    if len(keys) > LONGEST_DIGITS or not _ALPHABET.issuperset(keys):
        return "?" + (label(keys[:LONGEST_DIGITS]) or "")
    return keys.upper()


def _timed_out(plain: Fields, digits: str | None) -> bool | None:
    said = flag(plain.get("timedout"))
    return said if said is not None else None if digits is None else digits == ""


def _dial_answered(plain: Fields) -> bool | None:
    """What is said of a dial that is over."""
    word = word_of(first(plain, _DIALS))
    if word in ("completed", "answered", "bridged", "success"):
        return True
    if word in FAILURES or word == "failed":
        return False
    lasted = next((ms for ms in (seconds_ms(plain.get(name)) for name in _DIAL_SECONDS) if ms is not None), None)
    if lasted is not None:
        return lasted > 0
    return False if word_of(first(plain, _DIAL_CAUSES)) in FAILURES else None


def _recording(plain: Fields, state: str) -> bool:
    if word_of(label(plain.get("recordingstatus"))) in _UNREADY:
        return False
    return first(plain, _RECORDINGS[:3]) is not None or (word_of(state) in _RECORDED and first(plain, _RECORDINGS[3:]) is not None)
