"""What a call came to: one caller, one call. Every example is folded in many orders and with copies (`tests/given.py`)."""

from __future__ import annotations

import pytest

from calls.configuration import Configuration
from tests.given import NOON, SECOND, codes, given, segments

BEGAN = "+00:00 call.started direction=inbound from=+254712345678 to=+254711000100\n"


def test_answered_in_queue() -> None:
    journey = given(BEGAN + """
        +00:10 queue.entered queue=support
        +00:40 queue.left queue=support reason=answered
        +00:40 leg.answered leg=agent kind=agent agent=amina queue=support
        +01:40 leg.ended leg=agent agent=amina
        +01:40 call.ended ended_by=agent
    """)  # fmt: skip
    assert (journey.outcome, journey.state, journey.ended_by, journey.complete) == ("answered", "ended", "agent", True)
    assert (journey.durations.total_ms, journey.durations.queue_ms, journey.durations.talk_ms) == (100_000, 30_000, 60_000)
    visit = journey.queue_visits[0]
    assert (visit.queue, visit.wait_ms, visit.outcome, visit.agent) == ("support", 30_000, "answered", "amina")
    assert journey.anomalies == []


def test_abandoned() -> None:
    journey = given(BEGAN + """
        +00:10 queue.entered queue=support
        +00:25 queue.left queue=support reason=abandoned
        +00:25 call.ended ended_by=caller
    """)  # fmt: skip
    assert (journey.outcome, journey.ended_by) == ("abandoned_in_queue", "caller")
    assert (journey.queue_visits[0].wait_ms, journey.queue_visits[0].outcome) == (15_000, "abandoned")


def test_abandoned_though_nobody_said_that_the_queue_was_left() -> None:
    journey = given(BEGAN + "+00:10 queue.entered queue=support\n+00:25 call.ended")
    assert (journey.outcome, journey.queue_visits[0].wait_ms, journey.queue_visits[0].outcome) == (
        "abandoned_in_queue",
        15_000,
        "abandoned",
    )


def test_still_waiting() -> None:
    journey = given(BEGAN + "+00:10 queue.entered queue=support")
    assert (journey.state, journey.outcome, journey.complete) == ("open", "open", False)
    assert (journey.queue_visits[0].outcome, journey.queue_visits[0].wait_ms) == ("waiting", None)


def test_a_visit_of_no_length() -> None:
    journey = given(BEGAN + """
        +00:10 queue.entered queue=support
        +00:10 queue.left queue=support reason=answered
        +00:10 leg.answered leg=agent kind=agent agent=amina
        +00:30 call.ended
    """)  # fmt: skip
    assert [(one.wait_ms, one.outcome, one.agent) for one in journey.queue_visits] == [(0, "answered", "amina")]
    assert codes(journey) == ["missing_end"]


def test_entered_again_at_the_instant_of_leaving() -> None:
    journey = given(BEGAN + """
        +00:10 queue.entered queue=support
        +00:40 queue.left queue=support reason=timeout
        +00:40 queue.entered queue=support
        +01:00 queue.left queue=support reason=answered
        +01:00 leg.answered leg=agent kind=agent agent=amina
        +02:00 leg.ended leg=agent
        +02:00 call.ended
    """)  # fmt: skip
    assert [(one.wait_ms, one.outcome) for one in journey.queue_visits] == [(30_000, "timeout"), (20_000, "answered")]


def test_over_to_another_queue() -> None:
    journey = given(BEGAN + """
        +00:00 queue.entered queue=sales
        +00:30 queue.left queue=sales reason=overflow
        +00:30 queue.entered queue=support
        +00:50 queue.left queue=support reason=answered
        +00:50 leg.answered leg=agent kind=agent agent=amina queue=support
        +01:00 leg.ended leg=agent
        +01:00 call.ended
    """)  # fmt: skip
    assert [(one.queue, one.outcome, one.agent) for one in journey.queue_visits] == [
        ("sales", "overflow", None),
        ("support", "answered", "amina"),
    ]
    assert segments(journey) == [("queue", 30), ("queue", 20)]


def test_two_clocks_may_overlap_and_nothing_is_smoothed() -> None:
    journey = given(BEGAN + """
        +00:10 queue.entered queue=support
        +00:38 leg.answered leg=agent kind=agent agent=amina queue=support
        +00:40 queue.left queue=support reason=answered
        +01:40 leg.ended leg=agent agent=amina
        +01:40 call.ended
    """)  # fmt: skip
    assert (journey.queue_visits[0].wait_ms, journey.durations.talk_ms, journey.queue_visits[0].agent) == (30_000, 62_000, "amina")


def test_left_without_having_entered() -> None:
    journey = given(BEGAN + "+00:40 queue.left queue=support reason=abandoned\n+00:41 call.ended")
    assert (journey.outcome, journey.queue_visits, codes(journey), journey.complete) == (
        "abandoned_in_queue",
        [],
        ["unmatched_event"],
        False,
    )


def test_an_exit_nobody_reported_is_concluded_from_the_answer_or_the_next_queue() -> None:
    journey = given(BEGAN + """
        +00:00 queue.entered queue=sales
        +00:20 queue.entered queue=support
        +00:30 leg.answered leg=agent kind=agent agent=amina
        +00:50 leg.ended leg=agent
        +00:50 call.ended
    """)  # fmt: skip
    assert [(one.queue, one.wait_ms, one.outcome) for one in journey.queue_visits] == [
        ("sales", 20_000, "transferred"),
        ("support", 10_000, "answered"),
    ]


# ---------------------------------------------------------------- ends


def test_only_answered() -> None:
    assert given(BEGAN + "+00:05 call.answered\n+00:35 call.ended").outcome == "answered"


def test_only_begun_and_ended() -> None:
    journey = given(BEGAN + "+00:35 call.ended")
    assert (journey.outcome, journey.durations.total_ms, segments(journey)) == ("no_answer", 35_000, [])


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("no_answer", "no_answer"),
        ("busy", "busy"),
        ("rejected", "rejected"),
        ("canceled", "canceled"),
        ("network", "failed"),
        ("unknown", "failed"),
    ],
)
def test_the_reason_of_a_failure(reason: str, outcome: str) -> None:
    journey = given(BEGAN + f"+00:20 call.failed reason={reason}")
    assert (journey.outcome, journey.state, journey.complete) == (outcome, "ended", True)
    assert segments(journey) == [("ring", 20)]


def test_a_person_answered_outranks_a_failure() -> None:
    assert given(BEGAN + "+00:05 leg.answered leg=agent kind=agent\n+00:20 call.failed reason=network").outcome == "answered"


def test_answered_after_it_had_ended() -> None:
    journey = given(BEGAN + "+00:30 call.ended\n+00:40 call.answered")
    assert (journey.state, "impossible_order" in codes(journey), journey.durations.total_ms) == ("ended", True, 30_000)


def test_ended_before_it_began_counts_nothing() -> None:
    journey = given("+00:30 call.started direction=inbound\n+00:20 call.ended")
    assert (journey.durations.total_ms, codes(journey)) == (0, ["negative_interval"])


def test_an_end_of_which_the_beginning_is_missing() -> None:
    journey = given("+00:30 call.ended ended_by=caller")
    assert (journey.state, journey.complete, codes(journey)) == ("ended", False, ["missing_start"])
    assert journey.started_at == NOON + 30 * SECOND


def test_the_first_of_two_ends_stands_and_who_hung_up_may_be_told_by_the_second() -> None:
    journey = given(BEGAN + "+00:30 call.ended\n+00:31 call.ended ended_by=agent")
    assert (journey.durations.total_ms, journey.ended_by) == (30_000, "agent")


def test_who_hung_up_is_told_by_the_leg_that_ended_with_the_call() -> None:
    story = BEGAN + "+00:05 leg.answered leg=a kind=agent\n+00:{} leg.ended leg=a ended_by=agent\n+00:30 call.ended"
    assert given(story.format(29)).ended_by == "agent"
    assert given(story.format(20)).ended_by == "unknown"


# ---------------------------------------------------------------- an end that never came

SILENT = BEGAN + "+00:05 leg.answered leg=agent kind=agent\n+00:05 call.presumed_ended rule=silence silence_ms=60000 received=+60:00\n"


def test_presumed_ended() -> None:
    journey = given(SILENT)
    assert (journey.state, journey.outcome, journey.durations.total_ms, journey.complete) == ("presumed_ended", "answered", 5_000, False)
    assert set(codes(journey)) == {"presumed_end", "missing_end"}


def test_the_real_end_corrects_a_presumed_one() -> None:
    journey = given(SILENT + "+02:00 call.ended ended_by=caller received=+90:00")
    assert (journey.state, journey.durations.total_ms, journey.ended_by) == ("ended", 120_000, "caller")
    assert "presumed_end" not in codes(journey)


def test_a_real_end_before_the_presumed_one_stands() -> None:
    assert given(SILENT + "+00:03 call.ended received=+90:00").durations.total_ms == 3_000


def test_any_later_sign_of_life_opens_it_again() -> None:
    journey = given(SILENT + "+00:50 hold.started leg=agent")
    assert (journey.state, journey.ended_at) == ("open", None)


def test_a_second_silence_ends_it_again() -> None:
    journey = given(SILENT + "+00:50 menu.digits digits=1\n+00:50 call.presumed_ended rule=silence silence_ms=60000")
    assert (journey.state, journey.durations.total_ms) == ("presumed_ended", 50_000)


# ---------------------------------------------------------------- who and where


def test_outbound_to_an_agent_of_ours() -> None:
    journey = given("""
        +00:00 call.started direction=outbound from=+254711000100 to=+254720000001
        +00:08 call.answered
        +01:08 call.ended
    """)
    main = journey.calls[0].legs[0]
    assert (main.kind, main.agent, main.address, journey.durations.talk_ms) == ("agent", "amina", "+254720000001", 60_000)
    assert (segments(journey), journey.outcome) == ([("ring", 8), ("talk", 60)], "answered")


@pytest.mark.parametrize(("caller", "called", "way"), [
    ("+254712345678", "+254711000100", "inbound"), ("+254711000100", "+254712345678", "outbound"), ("+254712345678", "+254712345679", None),
])  # fmt: skip
def test_our_own_numbers_tell_the_direction(caller: str, called: str, way: str | None) -> None:
    assert given(f"+0 call.started from={caller} to={called}").direction == way


def test_numbers_are_read_in_the_tenants_country() -> None:
    story = "+0 call.started from='0712 345 678' to=0711000100"
    assert (given(story).caller, given(story).direction) == ("+254712345678", "inbound")
    assert given(story, configuration=Configuration(countries={"default": "TZ"})).caller == "+255712345678"


def test_what_one_source_left_out_another_may_know() -> None:
    journey = given("+0 call.started from=+254712345678\n+1 call.started direction=inbound to=+254711000100 account=other")
    assert (journey.caller, journey.called, journey.direction, journey.account) == ("+254712345678", "+254711000100", "inbound", "acme")


def test_attributes_merge_and_the_later_value_stands() -> None:
    journey = given("+0 call.started attr.line=1 attr.vip=no\n+5 call.answered attr.vip=yes\n+9 call.ended attr.note=x")
    assert journey.attributes == {"line": "1", "vip": "yes", "note": "x"}


def test_a_recording_without_an_answer_is_a_voicemail_only_where_it_was_said() -> None:
    assert given(BEGAN + "+00:10 recording.ready recording_id=r1 duration_ms=5000\n+00:20 call.ended").outcome == "no_answer"
