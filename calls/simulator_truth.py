"""What did a call come to, as the provider who made it knows? Its own account, in the shape of a journey, made without our fold.

`Lived` is written by whoever runs the call, as it happens; `story` puts the caller's call and those of the agents who were
rung for it together. Times are of the provider's clock.
"""

from __future__ import annotations

import msgspec

from calls.clock import Micros, milliseconds
from calls.journey import Call, Durations, Journey, Leg, MenuStep, Outcome, QueueVisit, Segment, document, journey_id

FAILED: dict[str, Outcome] = {"no_answer": "no_answer", "busy": "busy", "rejected": "rejected", "canceled": "canceled"}


class Far(msgspec.Struct):
    """A far side within a call: somebody who was dialled, or a bot. `status`: why nobody answered."""

    kind: str  # agent | external | sip | bot
    started_at: Micros
    address: str | None = None
    agent: str | None = None
    queue: str | None = None
    answered_at: Micros | None = None
    ended_at: Micros | None = None
    status: str = ""


class Menu(msgspec.Struct):
    """One asking of a menu: from its prompt to the keys, or to the caller's hanging up."""

    name: str | None
    asked_at: Micros
    left_at: Micros | None = None
    digits: str | None = None
    timed_out: bool = False


class Lived(msgspec.Struct, kw_only=True):
    """One call as it happened. `sids`: its ids, the one by which it is known first. `agent`: an agent was rung by it.

    `joined_at`: that agent met the caller. `late`: the caller was gone when they answered.
    """

    sids: list[str]
    account: str
    provider: str
    direction: str
    caller: str
    called: str
    started_at: Micros = 0
    answered_at: Micros | None = None
    ended_at: Micros | None = None
    ended_by: str = "unknown"
    failure: str = ""
    agent: str | None = None
    joined_at: Micros | None = None
    menus: list[Menu] = []
    visits: list[QueueVisit] = []
    far: list[Far] = []
    recorded: bool = False
    handed_over: bool = False


def story(tenant: str, calls: list[Lived], *, lost: int) -> dict[str, object]:
    """The journey of `calls`, the first of which is the root's; as JSON, with the number of deliveries that were lost."""
    root = calls[0]
    journey = Journey(tenant, journey_id(tenant, root.sids[0]), root.account, root.provider, root.started_at)
    journey.direction = "outbound" if root.direction == "outbound" else "inbound"
    journey.caller, journey.called = root.caller, root.called
    journey.answered_at, journey.ended_at = root.answered_at, root.ended_at
    journey.state, journey.complete = "ended", lost == 0
    journey.outcome = outcome(calls)
    journey.ended_by = {"caller": "caller", "agent": "agent", "platform": "platform"}.get(root.ended_by, "unknown")  # type: ignore[assignment]
    journey.calls = [_call(one) for one in calls]
    journey.queue_visits = [visit for one in calls for visit in one.visits]
    journey.menu_path = [
        MenuStep(root.sids[0], menu.left_at or menu.asked_at, menu.name, menu.digits, menu.timed_out) for menu in root.menus
    ]
    journey.durations = _durations(calls)
    return document(journey) | {"lost": lost}


def charged_seconds(lived: Lived) -> dict[str, int]:
    """Leg -> seconds begun for which the provider charges: of a far side that answered, unless it is a bot, and of the one who was
    called by an outgoing call. Every leg is named; what is free has 0."""
    outgoing = lived.direction == "outbound"
    seconds = {"caller": _seconds_begun(lived.answered_at, lived.ended_at) if outgoing else 0}
    for n, far in enumerate(lived.far, 1):
        seconds[_far_name(n)] = 0 if far.kind == "bot" else _seconds_begun(far.answered_at, far.ended_at)
    return seconds


def _seconds_begun(since: Micros | None, until: Micros | None) -> int:
    return -(-milliseconds(since, until) // 1000) if since and until else 0


def outcome(calls: list[Lived]) -> Outcome:
    """A person answered; a message was left; given up in the queue; a bot was enough; sent away; dialled in vain; given up in
    a menu; why the call failed; only answered; nothing."""
    root = calls[0]
    people = [far for one in calls for far in one.far if far.kind != "bot"]
    if any(far.answered_at for far in people) or any(one.agent and one.joined_at for one in calls):
        return "answered"
    left = {visit.outcome for one in calls for visit in one.visits}
    if root.recorded:
        return "voicemail"
    if "abandoned" in left:
        return "abandoned_in_queue"
    if any(far.kind == "bot" for far in root.far) and not root.handed_over:
        return "contained"
    return "failed" if left else _in_the_end(root, people)


def _in_the_end(root: Lived, people: list[Far]) -> Outcome:
    if root.menus:
        after = [far for far in people if far.started_at >= (root.menus[-1].left_at or root.menus[-1].asked_at)]
        return FAILED.get(after[-1].status, "no_answer") if after else "abandoned_in_menu"
    if people and root.direction != "outbound":
        return FAILED.get(people[-1].status, "no_answer")
    if root.failure:
        return FAILED.get(root.failure, "failed")
    return "answered" if root.answered_at else "no_answer"


def _call(lived: Lived) -> Call:
    call = Call(lived.sids[0], lived.account, lived.provider, lived.started_at, aliases=lived.sids[1:])
    call.direction = "outbound" if lived.direction == "outbound" else "inbound"
    call.caller, call.called, call.answered_at, call.ended_at = lived.caller, lived.called, lived.answered_at, lived.ended_at
    far_side = lived.called if lived.direction == "outbound" else lived.caller
    main = Leg("caller", "agent" if lived.agent else "caller", lived.started_at, address=far_side, agent=lived.agent)
    main.answered_at, main.ended_at, main.cause = lived.answered_at, lived.ended_at, lived.failure or None
    main.segments = [Segment("menu", menu.asked_at, menu.left_at or lived.ended_at) for menu in lived.menus]
    main.segments += [Segment("queue", visit.entered_at, visit.left_at, visit.queue) for visit in lived.visits]
    if lived.joined_at:
        main.segments.append(Segment("talk", lived.joined_at, lived.ended_at, agent=lived.agent))
    call.legs = [main, *(_leg(n, far) for n, far in enumerate(lived.far, 1))]
    return call


def _far_name(n: int) -> str:
    return f"far-{n}"


def _leg(n: int, far: Far) -> Leg:
    leg = Leg(_far_name(n), far.kind, far.started_at, address=far.address, agent=far.agent, queue=far.queue)  # type: ignore[arg-type]
    leg.answered_at, leg.ended_at, leg.cause = far.answered_at, far.ended_at, far.status or None
    if far.answered_at:
        leg.segments = [Segment("bot" if far.kind == "bot" else "talk", far.answered_at, far.ended_at, far.queue, far.agent)]
    return leg


def _durations(calls: list[Lived]) -> Durations:
    root, spent = calls[0], Durations()
    spent.total_ms = milliseconds(root.started_at, root.ended_at or root.started_at)
    spent.menu_ms = sum(milliseconds(menu.asked_at, menu.left_at or menu.asked_at) for menu in root.menus)
    spent.queue_ms = sum(visit.wait_ms or 0 for one in calls for visit in one.visits)
    for one in calls:
        if one.joined_at and one.ended_at:
            spent.talk_ms += milliseconds(one.joined_at, one.ended_at)
        for far in one.far:
            length = milliseconds(far.answered_at, far.ended_at) if far.answered_at and far.ended_at else 0
            if far.kind == "bot":
                spent.bot_ms += length
            else:
                spent.talk_ms += length
    return spent
