"""To which queue visit a person's talk belongs, what came before it, and what a bot made of a call."""

from __future__ import annotations

import pytest

from calls.attribution import handled
from calls.journey import Journey
from tests.given import NOON, SECOND, given

BEGAN = "+00:00 call.started direction=inbound from=+254712345678 to=+254711000100\n"


def cohorts(journey: Journey) -> list[tuple[str | None, str | None, int]]:
    """(agent, queue, seconds after noon of the cohort) of every handled leg."""
    return [(leg.agent, leg.queue, ((leg.cohort_at or 0) - NOON) // SECOND) for leg in handled(journey)]


def test_talk_out_of_a_queue_counts_with_its_entry() -> None:
    journey = given(BEGAN + """
        +00:10 queue.entered queue=support
        +00:40 queue.left queue=support reason=answered
        +00:40 leg.answered leg=a kind=agent agent=amina
        +00:50 hold.started leg=a
        +00:55 hold.ended leg=a
        +01:40 leg.ended leg=a
        +01:40 call.ended
    """)  # fmt: skip
    assert cohorts(journey) == [("amina", "support", 10)]
    stretches = [(one.kind, one.queue, one.agent, ((one.cohort_at or 0) - NOON) // SECOND) for one in journey.calls[0].legs[1].segments]
    assert stretches == [(kind, "support", "amina", 10) for kind in ("talk", "hold", "talk")]


def test_talk_without_a_queue_counts_with_its_answer() -> None:
    journey = given(BEGAN + "+00:18 leg.answered leg=a kind=agent agent=amina\n+00:40 leg.ended leg=a\n+00:40 call.ended")
    assert cohorts(journey) == [("amina", None, 18)]


def test_each_answer_belongs_to_one_visit() -> None:
    journey = given(BEGAN + """
        +00:10 queue.entered queue=first
        +00:20 queue.left queue=first reason=answered
        +00:20 leg.answered leg=a kind=agent agent=amina queue=first
        +01:00 leg.ended leg=a
        +01:00 queue.entered queue=second
        +01:30 queue.left queue=second reason=answered
        +01:31 leg.answered leg=b kind=agent agent=baraka queue=second
        +02:00 leg.ended leg=b
        +02:00 call.ended
    """)  # fmt: skip
    assert cohorts(journey) == [("amina", "first", 10), ("baraka", "second", 60)]
    assert [visit.agent for visit in journey.queue_visits] == ["amina", "baraka"]


def test_an_answer_belongs_to_the_visit_during_which_it_was_given() -> None:
    """Though a later one names the queue, or its agent, and the first does not."""
    journey = given(BEGAN + """
        +00:10 queue.entered queue=support
        +00:20 queue.left queue=support reason=answered
        +00:20 leg.answered leg=a kind=agent
        +01:00 leg.ended leg=a
        +01:00 queue.entered queue=support
        +01:30 queue.left queue=support reason=answered
        +01:31 leg.answered leg=b kind=agent agent=baraka queue=support
        +02:00 leg.ended leg=b
        +02:00 call.ended
    """)  # fmt: skip
    assert cohorts(journey) == [(None, "support", 10), ("baraka", "support", 60)]
    assert [visit.agent for visit in journey.queue_visits] == [None, "baraka"]


def test_who_passed_the_caller_on_into_a_queue_did_not_answer_it() -> None:
    journey = given(BEGAN + """
        +00:05 leg.answered leg=a kind=agent agent=amina
        +01:00 leg.ended leg=a
        +01:00 queue.entered queue=support
        +01:30 queue.left queue=support reason=answered
        +02:00 call.ended
    """)  # fmt: skip
    assert cohorts(journey) == [("amina", None, 5)]
    assert journey.queue_visits[0].agent is None


def test_an_answer_told_by_another_clock_still_belongs_to_the_only_visit() -> None:
    journey = given(BEGAN + """
        +00:10 queue.entered queue=support
        +00:10 queue.left queue=support reason=answered
        +00:09 leg.answered leg=a kind=agent agent=amina
        +00:50 leg.ended leg=a
        +00:50 call.ended
    """)  # fmt: skip
    assert cohorts(journey) == [("amina", "support", 10)]


def test_an_answer_by_nobody_known_is_an_answer() -> None:
    journey = given(BEGAN + """
        +00:10 queue.entered queue=support
        +00:20 queue.left queue=support reason=answered
        +00:20 leg.answered leg=a kind=agent queue=support
        +00:50 leg.ended leg=a
        +00:50 call.ended
    """)  # fmt: skip
    assert cohorts(journey) == [(None, "support", 10)]
    assert journey.queue_visits[0].agent is None


def test_the_menu_is_the_last_one_before() -> None:
    journey = given(BEGAN + """
        +00:01 menu.entered menu=language
        +00:04 menu.digits menu=language digits=1
        +00:04 menu.entered menu=main
        +00:09 menu.digits menu=main digits=2
        +00:10 queue.entered queue=support
        +00:20 queue.left queue=support reason=timeout
        +00:20 menu.entered menu=sorry
        +00:25 leg.answered leg=a kind=agent agent=amina
        +00:50 leg.ended leg=a
        +00:50 call.ended
    """)  # fmt: skip
    assert journey.queue_visits[0].menu == "main"
    assert [leg.menu for leg in handled(journey)] == ["sorry"]


BOT = BEGAN + "+00:02 leg.started leg=b kind=bot to=wss://bot\n+00:02 leg.answered leg=b\n+00:03 bot.started leg=b\n"


@pytest.mark.parametrize(
    ("rest", "result"),
    [
        ("", "open"),
        ("+00:30 bot.ended leg=b\n+00:30 call.ended", "contained"),
        ("+00:30 bot.handed_over leg=b to=people\n+00:31 call.ended", "handed_over"),
        ("+00:30 bot.ended leg=b\n+00:31 queue.entered queue=people\n+00:40 call.ended", "handed_over"),
        ("+00:30 bot.ended leg=b\n+00:31 leg.answered leg=a kind=agent agent=amina\n+00:40 call.ended", "handed_over"),
    ],
)
def test_what_a_bot_made_of_it(rest: str, result: str) -> None:
    assert given(BOT + rest).bot == result


def test_no_bot_is_no_result() -> None:
    assert given(BEGAN + "+00:10 call.ended").bot is None
