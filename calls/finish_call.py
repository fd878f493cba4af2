"""Closes a call that has been read: what was left open gets the end that the rest implies, and every leg its segments."""

from __future__ import annotations

import msgspec

from calls import events as e
from calls.building import MAIN, PERSON, Building, note
from calls.clock import Micros
from calls.journey import Call, Leg, QueueVisit, Segment, SegmentKind
from calls.parties import normalise


class Finished(msgspec.Struct):
    """A call, and what the journey needs to know of how it was read."""

    call: Call
    building: Building
    main: Leg
    presumed: bool

    @property
    def ended(self) -> bool:
        return self.call.ended_at is not None


def finish(b: Building, call: Call, country: str) -> Finished:
    """`call` comes with its ids, account and provider; this fills in the rest."""
    if b.ended and b.unsure_of_end and b.last_at > b.ended.at:
        b.ended, b.ended_by = None, "unknown"  # it was heard of again: not over
    presumed = isinstance(b.ended, e.CallPresumedEnded)
    call.started_at = b.first_at if b.started_at is None else b.started_at
    call.answered_at, call.ended_at = b.answered_at, b.ended.at if b.ended else None
    _parties(b, call, country)
    _conclude_entries(b, call)
    main = _main_leg(b, call)
    _close_open(b, call)
    _close_visits(b, call)
    _segments(b, main)
    call.legs = [main, *sorted(b.legs.values(), key=lambda leg: (leg.started_at, leg.leg))]
    if presumed:
        note(b, "presumed_end", "no end was received; after a silence it was presumed over at its last sign of life")
    _contradictions(b, call)
    return Finished(call, b, main, presumed)


def _parties(b: Building, call: Call, country: str) -> None:
    started, seen = b.started, b.seen
    caller = (started and started.from_) or (seen and seen.from_) or None
    called = (started and started.to) or (seen and seen.to) or None
    call.caller = normalise(caller, country) if caller else None
    call.called = normalise(called, country) if called else None
    call.direction = (started and started.direction) or (seen and seen.direction) or b.direction or _implied(b, call)


def _implied(b: Building, call: Call) -> e.Direction | None:
    """Who owns which number tells the direction where nobody said it."""
    own = b.configuration.numbers.get(call.account, ())
    if call.called in own:
        return "inbound"
    return "outbound" if call.caller in own else None


def _main_leg(b: Building, call: Call) -> Leg:
    """The caller's leg of an inbound call, the called party's of an outbound one."""
    address = call.called if call.direction == "outbound" else call.caller
    agent = b.configuration.agents.get(address or "") if call.direction == "outbound" else None
    leg = Leg(MAIN, "agent" if agent else "caller", call.started_at, address=address, agent=agent, received_at=b.received_at)
    leg.answered_at, leg.ended_at = call.answered_at, call.ended_at
    if b.ended:
        leg.ended_by = b.ended_by
        leg.cause = getattr(b.ended, "cause", None) or getattr(b.ended, "reason", None)
    said = b.legs.pop(MAIN, None)
    if said:
        _told(leg, said, call)
    return leg


def _told(leg: Leg, said: Leg, call: Call) -> None:
    """What events that name the leg `caller` add to what the call's own say of it."""
    leg.kind = leg.kind if said.kind == "caller" else said.kind
    leg.address, leg.agent, leg.queue = leg.address or said.address, leg.agent or said.agent, said.queue
    if leg.answered_at is None:
        leg.answered_at = call.answered_at = said.answered_at
    if said.ended_at is not None:
        leg.ended_at, leg.cause = said.ended_at, said.cause or leg.cause
        leg.ended_by = said.ended_by if leg.ended_by is None or said.ended_by != "unknown" else leg.ended_by


def _close_open(b: Building, call: Call) -> None:
    """Menus, holds and legs that nobody closed end with the call."""
    end = call.ended_at
    if b.menu and end is not None:
        b.menu.ended_at = max(end, b.menu.started_at)
    for name, hold in b.open_segments.items():
        hold.ended_at = end
        if name == MAIN or name not in b.legs:
            b.menus.append(hold)
        else:
            hold.ended_at = b.legs[name].ended_at or end
            b.legs[name].segments.append(hold)
    for leg in b.legs.values():
        if leg.leg in b.unreported:
            _transferred(b, leg, end)
        elif leg.ended_at is None and end is not None:
            leg.ended_at, leg.ended_by = max(end, leg.started_at), "unknown"
            b.whole = False
            note(b, "missing_end", f"leg {leg.leg}: its end was not received; it is closed with the call")


def _transferred(b: Building, leg: Leg, end: Micros | None) -> None:
    """A transfer of which the provider tells nothing: the call goes on with it unless it fails, and is over when it is."""
    failed = isinstance(b.ended, e.CallFailed)
    leg.answered_at = None if failed or end is None else leg.started_at
    if end is not None:
        leg.ended_at, leg.ended_by = max(end, leg.started_at), "unknown"
        leg.cause = b.ended.reason if isinstance(b.ended, e.CallFailed) else None


def _conclude_entries(b: Building, call: Call) -> None:
    """Visits of which only the exit was told, where it says how long was waited, or one that tells the same exit later does."""
    for queue, exits in b.left_early.items():
        for left in [one for one in exits if one.waited_ms is not None]:
            first = next((one for one in exits if one.reason == left.reason and one.waited_ms is None and one.at <= left.at), left)
            exits[:] = [one for one in exits if one not in (left, first)]
            entered = max(0, first.at - (left.waited_ms or 0) * 1000)
            b.visits.append(QueueVisit(b.sid, queue, entered, first.at, left.reason))
            b.whole = False
            call.started_at = min(call.started_at, entered) if b.started_at is None else call.started_at
    b.visits.sort(key=lambda one: one.entered_at)


def _close_visits(b: Building, call: Call) -> None:
    for queue, exits in b.left_early.items():
        for left in exits:
            b.whole = False
            b.hints.add(left.reason)
            note(b, "unmatched_event", f"queue {queue} was left ({left.reason}) without having been entered")
    for n, visit in enumerate(b.visits):
        if visit.left_at is None:
            _conclude(b, call, visit, b.visits[n + 1 :])


def _conclude(b: Building, call: Call, visit: QueueVisit, later: list[QueueVisit]) -> None:
    """The exit of a visit that nobody reported: an answer, the next queue, or the end of the call while waiting."""
    answers = [
        leg.answered_at for leg in b.legs.values()
        if leg.answered_at is not None and leg.kind in PERSON and leg.queue in (None, visit.queue) and leg.answered_at >= visit.entered_at
    ]  # fmt: skip
    following = [one.entered_at for one in later if one.queue != visit.queue]
    if answers and (not following or min(answers) <= following[0]):
        visit.left_at, visit.outcome = min(answers), "answered"
        b.whole = False
    elif following:
        visit.left_at, visit.outcome = following[0], "transferred"
        b.whole = False
    elif call.ended_at is not None:
        visit.left_at, visit.outcome = max(call.ended_at, visit.entered_at), "abandoned"


# ---------------------------------------------------------------- segments


def _segments(b: Building, main: Leg) -> None:
    waits = [Segment("queue", visit.entered_at, visit.left_at, visit.queue) for visit in b.visits]
    main.segments = sorted([*b.menus, *waits], key=lambda one: (one.started_at, one.kind))
    if not main.segments or main.segments[0].started_at >= (main.answered_at or main.started_at):
        main.segments[:0] = _ring(main)
    if main.kind != "caller":
        _talk(main, b.joined_at)
    for leg in b.legs.values():
        _talk(leg, None)
        leg.segments[:0] = _ring(leg)


def _ring(leg: Leg) -> list[Segment]:
    """From a leg's start to its answer, or to its end where nobody answered."""
    until = leg.answered_at if leg.answered_at is not None else leg.ended_at
    unanswered_caller = leg.kind == "caller" and leg.answered_at is None
    if until is None or until <= leg.started_at or (unanswered_caller and leg.segments) or leg.kind == "bot":
        return []
    if unanswered_caller and leg.cause is None:
        return []  # a call that only began and ended: nobody said that it rang
    return [Segment("ring", leg.started_at, until, leg.queue, leg.agent)]


def _talk(leg: Leg, joined_at: Micros | None) -> None:
    """What lies between a leg's answer (or its joining the caller's room) and its end, less the holds."""
    if leg.answered_at is None:
        return
    kind: SegmentKind = "bot" if leg.kind == "bot" else "talk"
    start: Micros = max(leg.answered_at, joined_at) if joined_at is not None else leg.answered_at
    parts = []
    for hold in sorted((one for one in leg.segments if one.kind == "hold"), key=lambda one: one.started_at):
        until = hold.started_at if leg.ended_at is None else min(hold.started_at, leg.ended_at)
        if start < until:
            parts.append(Segment(kind, start, until, leg.queue, leg.agent))
        start = max(start, hold.ended_at if hold.ended_at is not None else hold.started_at)
    held_open = any(one.kind == "hold" and one.ended_at is None for one in leg.segments)
    if not held_open and (leg.ended_at is None or leg.ended_at > start or not parts):
        parts.append(Segment(kind, start, leg.ended_at, leg.queue, leg.agent))
    leg.segments = sorted([*leg.segments, *parts], key=lambda one: (one.started_at, one.kind))


# ---------------------------------------------------------------- what cannot be


def _contradictions(b: Building, call: Call) -> None:
    for leg in (*b.legs.values(),):
        if leg.answered_at is not None and leg.ended_at is not None and leg.ended_at < leg.answered_at:
            note(b, "negative_interval", f"leg {leg.leg} ended before it was answered; its talk counts 0")
    if call.ended_at is not None and call.ended_at < call.started_at:
        note(b, "negative_interval", "the call ended before it started; it counts 0")
    elif call.ended_at is not None and call.answered_at is not None and call.answered_at > call.ended_at:
        note(b, "impossible_order", "the call was answered after it had ended")
    for visit in b.visits:
        if visit.left_at is not None and visit.left_at < visit.entered_at:
            note(b, "negative_interval", f"queue {visit.queue} was left before it was entered; the wait counts 0")
