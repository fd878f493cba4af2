"""One call from its facts in reading order: legs with their segments, queue visits, menu path.

Facts may be missing, repeated or contradictory. Repeating a state changes nothing; what is missing is concluded from what
follows and said in an anomaly; an interval that ends before it starts counts 0. `Building` is what grows while reading.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from calls import events as e
from calls.building import FAULTS, MAIN, UNREPORTED, Building, note
from calls.clock import Micros
from calls.journey import Leg, MenuStep, QueueVisit, Segment


def read(building: Building, facts: list[tuple[e.Event, str, Micros]]) -> Building:
    """Reads (fact, event id, when it was received) in order."""
    for fact, event_id, building.heard_at in facts:
        handler = HANDLERS.get(type(fact))
        building.types.add(e.name_of(fact))
        if handler:
            handler(building, fact, event_id)
    return building


# ---------------------------------------------------------------- the call itself


def _started(b: Building, fact: e.CallStarted, _: str) -> None:
    if b.started_at is None:
        b.started_at, b.started = fact.at, fact
    if b.started and b.started is not fact:  # a second source may know what the first left out
        b.started = msgspec.structs.replace(
            b.started, from_=b.started.from_ or fact.from_, to=b.started.to or fact.to, direction=b.started.direction or fact.direction
        )


def _seen(b: Building, fact: e.CallSeen, _: str) -> None:
    known = b.seen
    b.seen = fact if known is None else msgspec.structs.replace(
        known, from_=known.from_ or fact.from_, to=known.to or fact.to, direction=known.direction or fact.direction
    )  # fmt: skip


def _answered(b: Building, fact: e.CallAnswered, _: str) -> None:
    if b.answered_at is None:
        b.answered_at = fact.at


def _end(b: Building, fact: e.CallEnded | e.CallFailed | e.CallPresumedEnded) -> None:
    """The first end stands, but for one that was presumed or concluded: it gives way to what comes later."""
    if b.unsure_of_end:
        b.ended, b.ended_by = None, "unknown"
    b.ended = b.ended or fact


def _ended(b: Building, fact: e.CallEnded, _: str) -> None:
    _end(b, fact)
    if b.ended_by == "unknown":
        b.ended_by = fact.ended_by
    b.direction = b.direction or fact.direction


def _failed(b: Building, fact: e.CallFailed, _: str) -> None:
    b.failure = b.failure or fact
    _end(b, fact)


def _presumed(b: Building, fact: e.CallPresumedEnded, _: str) -> None:
    _end(b, fact)  # silent again after a sign of life: the last one counts


def _unrecognised(b: Building, fact: e.Unrecognised, event_id: str) -> None:
    note(b, "unknown_event", f"{fact.name or 'a delivery'} is not understood: {fact.reason or 'kept as it came'}", event_id)


def _asked(b: Building, fact: e.VoiceRequest, _: str) -> None:
    b.flow = b.flow or fact.flow


def _answer(b: Building, fact: e.VoiceAnswer, event_id: str) -> None:
    """`fallback`: somebody heard something else than the flow would have said."""
    b.flow = b.flow or fact.flow
    if fact.fallback is not None:
        code = fact.fault if fact.fault in FAULTS else "flow_fault"
        note(b, code, fact.fallback, event_id)  # type: ignore[arg-type]


# ---------------------------------------------------------------- menus


def _menu_entered(b: Building, fact: e.MenuEntered, _: str) -> None:
    if b.menu and b.menu_name == fact.menu and b.menu.started_at == fact.at:
        return  # said twice
    _close_menu(b, fact.at)
    b.menu, b.menu_name = Segment("menu", fact.at), fact.menu
    b.menus.append(b.menu)
    b.waiting_step = MenuStep(b.sid, fact.at, fact.menu, None)
    b.steps.append(b.waiting_step)
    if fact.at in (b.menu_left_early.get(fact.menu), b.menu_left_early.get(None)):
        _close_menu(b, fact.at)


def _menu_digits(b: Building, fact: e.MenuDigits, _: str) -> None:
    step, menu = b.waiting_step, fact.menu or b.menu_name
    if step and step.menu == menu:
        step.digits, step.timed_out, step.at = fact.digits, fact.timed_out, fact.at
        b.waiting_step = None
        return
    again = MenuStep(b.sid, fact.at, menu, fact.digits, fact.timed_out)
    if not b.steps or b.steps[-1] != again:
        b.steps.append(again)


def _menu_left(b: Building, fact: e.MenuLeft, _: str) -> None:
    if b.menu is None or (fact.menu is not None and b.menu_name not in (None, fact.menu)):
        b.menu_left_early[fact.menu] = fact.at
        return
    _close_menu(b, fact.at)


def _close_menu(b: Building, at: Micros) -> None:
    if b.menu:
        b.menu.ended_at = at
    b.menu, b.menu_name, b.waiting_step = None, None, None


# ---------------------------------------------------------------- queues


def _queue_entered(b: Building, fact: e.QueueEntered, _: str) -> None:
    if b.menu and b.menu.started_at < fact.at:
        _close_menu(b, fact.at)
    if _open_visit(b, fact.queue):
        return  # entered while in it: nothing new
    visit = QueueVisit(b.sid, fact.queue, fact.at, None, "waiting", priority=fact.priority)
    b.visits.append(visit)
    early = b.left_early.get(fact.queue)
    if early and early[0].at == fact.at:
        left = early.pop(0)
        visit.left_at, visit.outcome = left.at, left.reason


def _queue_left(b: Building, fact: e.QueueLeft, _: str) -> None:
    visit = _open_visit(b, fact.queue)
    if visit:
        visit.left_at, visit.outcome = fact.at, fact.reason
        return
    closed = [one for one in b.visits if one.queue == fact.queue and one.outcome == fact.reason]
    again = bool(closed) and (fact.reason in ("timeout", "overflow") or any(one.left_at == fact.at for one in closed))
    if not again and fact not in b.left_early.get(
        fact.queue, ()
    ):  # the same exit said twice is nothing new; a wait that was over is said by whoever notices, each at their time
        b.left_early.setdefault(fact.queue, []).append(fact)


def _open_visit(b: Building, queue: str) -> QueueVisit | None:
    return next((visit for visit in reversed(b.visits) if visit.queue == queue and visit.left_at is None), None)


# ---------------------------------------------------------------- legs


def _leg(b: Building, name: str, at: Micros, *, fresh: bool) -> Leg:
    """The leg of that name; `fresh` begins another one where the last of that name is over."""
    known = b.legs.get(b.current.get(name, ""))
    if known is not None and (name == MAIN or not (fresh and known.ended_at is not None)):
        return _heard_of(b, known)
    n = b.uses.get(name, 0) + 1
    while (ours := name if n == 1 else f"{name}#{n}") in b.legs:  # its sender may call another leg so
        n += 1
    b.uses[name], b.current[name] = n, ours
    b.legs[ours] = Leg(ours, "caller" if name == MAIN else "external", at, received_at=b.heard_at)
    return b.legs[ours]


def _heard_of(b: Building, leg: Leg) -> Leg:
    """What is being read speaks of it too, and may have been received before what was read of it so far."""
    leg.received_at = min(leg.received_at, b.heard_at)
    return leg


def _describe(b: Building, leg: Leg, fact: e.LegStarted | e.LegAnswered) -> None:
    leg.address = leg.address or fact.to
    if fact.attributes and fact.attributes.get(UNREPORTED) is False:
        b.unreported.add(leg.leg)
    leg.queue = leg.queue or fact.queue
    leg.agent = leg.agent or fact.agent or b.configuration.agents.get(leg.address or "")
    if fact.kind and not (fact.kind == "external" and leg.agent):  # a PBX knows numbers, not whose they are
        leg.kind = fact.kind
    elif leg.kind in ("external", "caller") and leg.agent:
        leg.kind = "agent"
    elif leg.kind == "external" and (leg.address or "").startswith("sip:"):
        leg.kind = "sip"


def _leg_started(b: Building, fact: e.LegStarted, _: str) -> None:
    leg = _leg(b, fact.leg, fact.at, fresh=True)
    _describe(b, leg, fact)


def _leg_answered(b: Building, fact: e.LegAnswered, _: str) -> None:
    known = b.current.get(fact.leg)
    over = known is not None and b.legs[known].answered_at is not None and b.legs[known].ended_at is not None
    leg = _leg(b, fact.leg, fact.at, fresh=over)
    _describe(b, leg, fact)
    if leg.answered_at is None:
        leg.answered_at = fact.at
    if b.menu and leg.kind != "bot" and b.menu.started_at < fact.at:
        _close_menu(b, fact.at)


def _leg_ended(b: Building, fact: e.LegEnded, _: str) -> None:
    leg = _leg(b, fact.leg, fact.at, fresh=False)
    if fact.agent and not leg.agent:
        leg.agent, leg.kind = fact.agent, "agent" if leg.kind in ("external", "caller") else leg.kind
    if leg.ended_at is None:
        leg.ended_at, leg.ended_by, leg.cause = fact.at, fact.ended_by, fact.cause


def _hold_started(b: Building, fact: e.HoldStarted, _: str) -> None:
    name = b.current.get(fact.leg, fact.leg)
    if name in b.legs:
        _heard_of(b, b.legs[name])
    b.open_segments.setdefault(name, Segment("hold", fact.at))


def _hold_ended(b: Building, fact: e.HoldEnded, event_id: str) -> None:
    name = b.current.get(fact.leg, fact.leg)
    hold = b.open_segments.pop(name, None)
    if hold is None:
        note(b, "unmatched_event", f"leg {fact.leg}: a hold ended that had not started", event_id)
        return
    hold.ended_at = fact.at
    if name in b.legs:
        _heard_of(b, b.legs[name])
    elif name != MAIN:
        _leg(b, name, hold.started_at, fresh=False)
    if name == MAIN:
        b.menus.append(hold)
    else:
        b.legs[name].segments.append(hold)


# ---------------------------------------------------------------- bots, rooms, recordings


def _bot(b: Building, fact: e.BotStarted, _: str) -> None:
    leg = _leg(b, fact.leg, fact.at, fresh=True)
    leg.kind = "bot"
    if leg.answered_at is None:
        leg.answered_at = fact.at
    if b.menu and b.menu.started_at < fact.at:
        _close_menu(b, fact.at)


def _bot_turn(b: Building, fact: e.BotTurn, _: str) -> None:
    _leg(b, fact.leg, fact.at, fresh=False).kind = "bot"


def _bot_over(b: Building, fact: e.BotHandedOver | e.BotEnded, _: str) -> None:
    leg = _leg(b, fact.leg, fact.at, fresh=False)
    leg.kind = "bot"
    b.handed_over = b.handed_over or isinstance(fact, e.BotHandedOver)
    if leg.ended_at is None:
        leg.ended_at, leg.ended_by = fact.at, "platform"


def _joined(b: Building, fact: e.ConferenceJoined, _: str) -> None:
    if b.joined_at is None:
        b.joined_at = fact.at


Handler = Callable[..., None]  # type: ignore[explicit-any]  # (what is being built, a fact of the key's own type, its account)
HANDLERS: dict[type[e.Event], Handler] = {
    e.CallStarted: _started, e.CallSeen: _seen, e.CallAnswered: _answered, e.CallEnded: _ended, e.CallFailed: _failed,
    e.CallPresumedEnded: _presumed, e.Unrecognised: _unrecognised, e.VoiceRequest: _asked, e.VoiceAnswer: _answer,
    e.MenuEntered: _menu_entered, e.MenuDigits: _menu_digits, e.MenuLeft: _menu_left,
    e.QueueEntered: _queue_entered, e.QueueLeft: _queue_left,
    e.LegStarted: _leg_started, e.LegAnswered: _leg_answered, e.LegEnded: _leg_ended,
    e.HoldStarted: _hold_started, e.HoldEnded: _hold_ended,
    e.BotStarted: _bot, e.BotTurn: _bot_turn, e.BotHandedOver: _bot_over, e.BotEnded: _bot_over,
    e.ConferenceJoined: _joined,
}  # fmt: skip
