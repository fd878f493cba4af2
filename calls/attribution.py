"""What belongs to what in a journey: who answered which queue visit, and to which entry a person's talk is counted."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from calls.building import PERSON
from calls.clock import Micros
from calls.journey import BotResult, Journey, Leg, QueueVisit

Key = tuple[bool, bool, int, str]
NEVER: Micros = 1 << 62


def attribute(journey: Journey) -> None:
    """Names each visit's agent, and gives every handled leg and its segments their cohort: the entry of the visit they answered."""
    waiting: list[Leg] = list(handled(journey))
    for leg in waiting:
        leg.cohort_at = leg.answered_at
    _answered(journey.queue_visits, list(waiting))
    _menus(journey, waiting)
    for leg in waiting:
        for segment in leg.segments:
            segment.cohort_at, segment.queue, segment.agent = leg.cohort_at, segment.queue or leg.queue, segment.agent or leg.agent


def handled(journey: Journey) -> Iterator[Leg]:
    """Legs of people who answered while the caller was there. A bot is no person."""
    for call in journey.calls:
        for leg in call.legs:
            if leg.kind in PERSON and leg.answered_at is not None and not leg.too_late:
                yield leg


def _answered(visits: list[QueueVisit], free: list[Leg]) -> None:
    """Each answer is used once: first by the visit during which it was given, then by one that nobody answered in time.

    The second is for calls told by two clocks; it must not take the answer of a later visit.
    """
    entries = sorted(visit.entered_at for visit in visits)
    unanswered = [visit for visit in visits if visit.outcome == "answered"]
    for at_any_time in (False, True):
        for visit in list(unanswered):
            low, high = _span(visit, entries)
            fitting = [leg for leg in free if (low <= (leg.answered_at or 0) < high) or (at_any_time and not _over(leg, low))]
            answerer = _answerer(visit, fitting)
            if answerer is not None:
                free.remove(answerer)
                unanswered.remove(visit)
                visit.agent, answerer.cohort_at, answerer.queue = answerer.agent, visit.entered_at, answerer.queue or visit.queue


def _span(visit: QueueVisit, entries: list[Micros]) -> tuple[Micros, Micros]:
    """From its entry until the caller's next entry into a queue after its end."""
    following = bisect_right(entries, visit.left_at or 0)
    return visit.entered_at, entries[following] if following < len(entries) else NEVER


def _over(leg: Leg, entered_at: Micros) -> bool:
    """Somebody was reached without a queue, and passed the caller on into one."""
    return leg.queue is None and leg.ended_at is not None and leg.ended_at <= entered_at


def _answerer(visit: QueueVisit, free: list[Leg]) -> Leg | None:
    """The nearest answer for that queue; one by a named agent before one by nobody known."""
    left = visit.left_at or 0

    def distance(leg: Leg) -> Key:
        return leg.agent is None, leg.queue is None, abs((leg.answered_at or 0) - left), leg.leg

    return min((leg for leg in free if leg.queue in (None, visit.queue)), key=distance, default=None)


def _menus(journey: Journey, legs: list[Leg]) -> None:
    times = [step.at for step in journey.menu_path]

    def before(at: Micros | None) -> str | None:
        place = bisect_right(times, at) if at is not None else 0
        return journey.menu_path[place - 1].menu if place else None

    for visit in journey.queue_visits:
        visit.menu = before(visit.entered_at)
    for leg in legs:
        leg.menu = before(leg.cohort_at)


def bot_result(journey: Journey, *, handed_over: bool) -> BotResult | None:
    """Handed over: it said so, or the caller came to a queue or to a person after it."""
    bots = [leg.started_at for call in journey.calls for leg in call.legs if leg.kind == "bot"]
    if not bots:
        return None
    since = min(bots)
    queued = any(visit.entered_at >= since for visit in journey.queue_visits)
    if handed_over or queued or any((leg.answered_at or 0) >= since for leg in handled(journey)):
        return "handed_over"
    return "open" if journey.state == "open" else "contained"
