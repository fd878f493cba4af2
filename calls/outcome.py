"""What a journey came to, by the fixed precedence, and who hung up."""

from __future__ import annotations

from calls.building import PERSON
from calls.events import EndedBy
from calls.finish_call import Finished
from calls.journey import Journey, Outcome
from calls.providers.reading import failure

FAILURES: dict[str, Outcome] = {"no_answer": "no_answer", "busy": "busy", "rejected": "rejected", "canceled": "canceled"}
NEAR = 2_000_000  # microseconds between a leg's end and the call's for the one to explain the other


def outcome_of(journey: Journey, root: Finished, parts: list[Finished]) -> Outcome:
    """A person's answer, a message left, abandoned in a queue, contained by a bot, sent away from a queue, dialled in vain,
    abandoned in a menu, the failure's reason, only answered, nothing at all: the first that holds."""
    if _person_answered(journey, parts):
        return "answered"
    if journey.state == "open":
        return "open"
    return _unanswered(journey, root, parts)


def _person_answered(journey: Journey, parts: list[Finished]) -> bool:
    if any(visit.outcome == "answered" for visit in journey.queue_visits) or any("answered" in part.building.hints for part in parts):
        return True
    return any(leg.kind in PERSON and leg.answered_at is not None and not leg.too_late for call in journey.calls for leg in call.legs)


def _unanswered(journey: Journey, root: Finished, parts: list[Finished]) -> Outcome:
    left = {visit.outcome for visit in journey.queue_visits} | {hint for part in parts for hint in part.building.hints}
    bots = any(leg.kind == "bot" for call in journey.calls for leg in call.legs)
    if any("voicemail.left" in part.building.types for part in parts):
        return "voicemail"
    if "abandoned" in left:
        return "abandoned_in_queue"
    if bots and not any(part.building.handed_over for part in parts):
        return "contained"
    if left:  # waited, and was sent away
        return "callback" if "callback" in left else "failed"
    dialled = _dialled_in_vain(journey, root)
    if dialled:
        return dialled
    if journey.menu_path:
        return "abandoned_in_menu"
    if root.building.failure:
        return FAILURES.get(root.building.failure.reason, "failed")
    return "answered" if journey.answered_at is not None else "no_answer"


def _dialled_in_vain(journey: Journey, root: Finished) -> Outcome | None:
    """After the last menu, or without any, a person was dialled who did not answer: why, as far as it was said.

    In an outgoing call the person called has answered, whoever was dialled for them then.
    """
    since = max((step.at for step in journey.menu_path), default=None)
    if since is None:
        since = None if journey.direction == "outbound" else journey.started_at
    legs = [leg for leg in root.call.legs[1:] if leg.kind in PERSON and since is not None and leg.started_at >= since]
    return FAILURES.get(failure(legs[-1].cause), "no_answer") if legs else None


def who_hung_up(root: Finished) -> EndedBy:
    """What the call's end says, else the end of a person's leg right at it."""
    end = root.call.ended_at
    if root.building.ended_by != "unknown" or end is None:
        return root.building.ended_by
    for leg in root.call.legs[1:]:
        if leg.kind in PERSON and leg.ended_by not in (None, "unknown") and leg.ended_at is not None and abs(leg.ended_at - end) <= NEAR:
            return leg.ended_by or "unknown"
    return "unknown"
