"""What the bodies of the Africa's Talking family say: one request of a PBX -> facts of its call.

Sautikit forwards its PBX's bodies as they are, and they speak like Africa's Talking: `sessionId, callerNumber,
destinationNumber, callSessionState, isActive, durationInSeconds…`, as a form or as JSON, in several spellings. Callers pass
the fields under folded names (`reading.folded`). Such a body carries no time of its own: it happened when it was received.
"""

from __future__ import annotations

from collections.abc import Callable

from calls.clock import Micros
from calls.events import (
    Attributes,
    BotEnded,
    BotStarted,
    CallAnswered,
    CallEnded,
    CallFailed,
    CallSeen,
    CallStarted,
    ConferenceJoined,
    ConferenceLeft,
    Event,
    LegAnswered,
    LegEnded,
    LegStarted,
    MenuDigits,
    RecordingNotice,
    RecordingReady,
    Unrecognised,
)
from calls.providers.reading import (
    FAILURES,
    Fields,
    count,
    direction,
    failure,
    first,
    flag,
    label,
    moment,
    phone,
    request_label,
    seconds_ms,
    word_of,
)
from calls.rooms import call_of_room

STATES = ("callsessionstate", "streamevent", "streamstatus", "callstatus", "status")
ROOMS = ("conferencename", "conferenceroomname", "conference", "room")
ROOM_EVENTS = ("event", "conferenceevent", "status")
DIGITS = ("dtmfdigits", "digits")
DURATIONS = ("durationinseconds", "durationseconds", "callduration", "duration")
CAUSES = ("hangupcause", "hangupreason", "failurereason", "cause")
DIAL = "dial"  # the leg of a Dial: the PBX gives it no id
BOT = "bot"  # the far side of a connected stream

_ROOM_WORDS = frozenset({"start", "end", "join", "leave", "mute", "unmute"})
_DIAL_DURATIONS = ("dialdurationinseconds", "dialcallduration", "dialduration")
_DIAL_CAUSES = ("lastbridgehangupcause", "bridgehangupcause", "dialcallstatus", "dialstatus")
_RECORDED = ("recordingurl", "downloadurl", "recordurl", "recordingsid", "recordingid")
_UNREADY = frozenset({"started", "inprogress", "paused", "failed", "absent", "error"})


def parse_pbx(fields: Fields, call: str, at: Micros, states: tuple[str, ...] = STATES) -> list[Event]:
    """One PBX body (folded names) as 1…n facts of `call`. What the state says comes first, then what else is known."""
    room = first(fields, ROOMS)
    if room is not None and _room_word(fields):
        return _conference(fields, call, at, room)
    if any(name in fields for name in _RECORDED):
        states = tuple(name for name in states if name != "status")  # there it is the recording's
    state = next((name for name in (label(fields.get(one)) for one in states) if name), None)
    facts = [*_digits(fields, call, at, state), *_state(fields, call, at, state), *_dialled(fields, call, at, state)]
    facts += _recording(fields, call, at)
    seen = _seen(fields, call, at, None if facts else state)
    if not any(isinstance(fact, CallStarted) for fact in facts) and (seen.from_ or seen.to or seen.direction or not facts):
        facts.append(seen)
    return facts


def room_call(fields: Fields) -> str | None:
    """The call SID that a conference body names by its room, `queue-<SID>`."""
    return call_of_room(first(fields, ROOMS) or "") if _room_word(fields) else None


def _room_word(fields: Fields) -> str:
    """join, leave, … of a conference body; "" where it is none."""
    for name in ROOM_EVENTS:
        word = word_of(fields.get(name)).removeprefix("conference").removeprefix("participant")
        if word in _ROOM_WORDS or word == "digitscollected":
            return word
    return ""


def _conference(fields: Fields, call: str, at: Micros, room: str) -> list[Event]:
    word = _room_word(fields)
    leg = label(fields.get("participantid")) or label(fields.get("conferenceparticipantid"))
    # The number is the participant's, who need not be the caller: it says nothing of who called.
    number = phone(fields.get("caller")) or phone(fields.get("callernumber")) or phone(fields.get("participantnumber"))
    known: Attributes | None = {"participant": number} if number else None
    if word == "join":
        return [ConferenceJoined(call_sid=call, at=at, room=room, leg=leg, attributes=known)]
    if word == "leave":
        return [ConferenceLeft(call_sid=call, at=at, room=room, leg=leg, attributes=known)]
    if word == "digitscollected":
        return [_pressed(fields, call, at)]
    return [CallSeen(call_sid=call, at=at, state=f"conference {word}")]


def _digits(fields: Fields, call: str, at: Micros, state: str | None) -> list[Event]:
    if any(name in fields for name in DIGITS) and first(fields, DIGITS):
        return [_pressed(fields, call, at)]
    return [MenuDigits(call_sid=call, at=at, timed_out=True)] if word_of(state) == "digitscollected" else []


def _pressed(fields: Fields, call: str, at: Micros) -> MenuDigits:
    digits = label(first(fields, DIGITS))
    return MenuDigits(call_sid=call, at=at, digits=digits, timed_out=digits is None)


def _seen(fields: Fields, call: str, at: Micros, state: str | None) -> CallSeen:
    called = phone(fields.get("clientdialednumber")) or phone(fields.get("destinationnumber")) or phone(fields.get("to"))
    caller = phone(fields.get("callernumber")) or phone(fields.get("from")) or phone(fields.get("caller"))
    way = direction(fields.get("direction"))
    return CallSeen(call_sid=call, at=at, from_=caller, to=called or phone(fields.get("called")), direction=way, state=state)


# ---------------------------------------------------------------- states


def _state(fields: Fields, call: str, at: Micros, state: str | None) -> list[Event]:
    word = word_of(state)
    read = _STATES.get(word) or (_failed if word in FAILURES else None)
    if read:
        return read(fields, call, at)
    if word in _SILENT:
        return []
    if state is None:  # an older dialect names no states: the request that ends a call says only that it is not active
        over = flag(fields.get("isactive")) is False
        return _ended(fields, call, at) if over else []
    return [Unrecognised(call_sid=call, at=at, name=state, reason="this state of a call is not known")]


def _started(fields: Fields, call: str, at: Micros) -> list[Event]:
    seen, mark = _seen(fields, call, at, None), request_label(fields.get("clientrequestid"))
    return [CallStarted(call_sid=call, at=at, from_=seen.from_, to=seen.to, direction=seen.direction, client_request_id=mark)]


def _answered(fields: Fields, call: str, at: Micros) -> list[Event]:
    return [CallAnswered(call_sid=call, at=at)]


def _ended(fields: Fields, call: str, at: Micros) -> list[Event]:
    """Completed. While the call is said to be active and has lasted no time, it is only being set up."""
    ms = duration(fields)
    if flag(fields.get("isactive")) is True and not ms:
        return []
    cause, way = label(first(fields, CAUSES)), direction(fields.get("direction"))
    return [CallEnded(call_sid=call, at=at, duration_ms=ms, cause=cause, direction=way)]


def _failed(fields: Fields, call: str, at: Micros) -> list[Event]:
    state = first(fields, STATES)
    cause = label(first(fields, CAUSES))
    reason = failure(state)
    return [CallFailed(call_sid=call, at=at, reason=failure(cause) if reason == "unknown" else reason, cause=cause or label(state))]


def _stream_began(fields: Fields, call: str, at: Micros) -> list[Event]:
    return [BotStarted(call_sid=call, at=at, leg=BOT)]


def _stream_over(fields: Fields, call: str, at: Micros) -> list[Event]:
    return [BotEnded(call_sid=call, at=at, leg=BOT)]


def duration(fields: Fields) -> int | None:
    """The call's length in ms, where the body says one."""
    return next((ms for ms in (seconds_ms(fields.get(name)) for name in DURATIONS) if ms is not None), None)


_Read = Callable[[Fields, str, Micros], list[Event]]
_STATES: dict[str, _Read] = {
    **dict.fromkeys(("ringing", "started", "initiated", "queued", "incoming"), _started),
    **dict.fromkeys(("answered", "inprogress", "active"), _answered),
    **dict.fromkeys(("completed", "complete", "hangup", "hungup", "ended"), _ended),
    **dict.fromkeys(("failed", "expired"), _failed),
    "streamstarted": _stream_began,
    "streamstopped": _stream_over,
    "streamerror": _stream_over,
}
# Known, but no change of the call's state by themselves.
_SILENT = frozenset(
    {
        *("dialing", "dialling", "dialstarted", "dialcompleted", "bridged", "transferred", "transfercompleted"),
        *("digitscollected", "recordcompleted", "recording", "playing", "enqueued", "dequeued"),
    }
)


# ---------------------------------------------------------------- the dialled leg, recordings


def _dialled(fields: Fields, call: str, at: Micros, state: str | None) -> list[Event]:
    """The leg of a Dial. `dialStartTime` plus its duration is its end; without a time it ended when we were told."""
    to, begun = phone(fields.get("dialdestinationnumber")), moment(fields.get("dialstarttime"))
    ms = next((ms for ms in (seconds_ms(fields.get(name)) for name in _DIAL_DURATIONS) if ms is not None), None)
    if to is None and begun is None and ms is None and word_of(state) != "dialcompleted":
        return []
    ended = begun + ms * 1000 if begun is not None and ms is not None else max(at, begun or at)
    if begun is not None and begun <= at < ended:
        ended = at  # whole seconds are rounded up: it was over when we were told so
    if begun is None and ms:
        begun = ended - ms * 1000
    cause = label(first(fields, _DIAL_CAUSES))
    facts: list[Event] = [LegEnded(call_sid=call, at=ended, leg=DIAL, duration_ms=ms, cause=cause)]
    if begun is not None or to is not None:
        facts.append(LegStarted(call_sid=call, at=ended if begun is None else begun, leg=DIAL, kind="external", to=to))
    if ms and begun is not None:  # nothing was talked where it lasted no time
        facts.append(LegAnswered(call_sid=call, at=begun, leg=DIAL, kind="external", to=to))
    return facts


def _recording(fields: Fields, call: str, at: Micros) -> list[Event]:
    url, mark = first(fields, _RECORDED[:3]), label(first(fields, _RECORDED[3:]))
    state = label(fields.get("recordingstatus"))
    if state and word_of(state) in _UNREADY:
        return [RecordingNotice(call_sid=call, at=at, state=state, recording_id=mark)]
    if url is None and (mark is None or state is None):
        return []
    names = ("recordingduration", "recordingdurationinseconds", "recordingdurationseconds")
    ms = next((ms for ms in (seconds_ms(fields.get(name)) for name in names) if ms is not None), None)
    size = count(fields.get("recordingsizebytes"))
    return [RecordingReady(call_sid=call, at=at, recording_id=mark, url=url, duration_ms=ms, size_bytes=size)]
