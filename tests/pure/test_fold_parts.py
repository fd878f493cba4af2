"""Legs, holds, bots and menus of one call."""

from __future__ import annotations

import pytest

from tests.given import codes, given, segments

BEGAN = "+00:00 call.started direction=inbound from=+254712345678 to=+254711000100\n"


def test_a_leg_that_rang_and_was_answered() -> None:
    journey = given(BEGAN + """
        +00:10 leg.started leg=a kind=agent agent=amina to=+254720000001
        +00:18 leg.answered leg=a
        +01:18 leg.ended leg=a ended_by=agent
        +01:18 call.ended
    """)  # fmt: skip
    assert segments(journey, "a") == [("ring", 8), ("talk", 60)]
    assert (journey.durations.ring_ms, journey.ended_by) == (8_000, "agent")


def test_a_leg_known_only_by_its_answer_started_there() -> None:
    leg = given(BEGAN + "+00:18 leg.answered leg=a kind=agent\n+00:20 leg.ended leg=a\n+00:20 call.ended").calls[0].legs[1]
    assert leg.started_at == leg.answered_at
    assert [one.kind for one in leg.segments] == ["talk"]


def test_a_leg_nobody_answered_only_rang() -> None:
    journey = given(BEGAN + "+00:10 leg.started leg=a kind=agent\n+00:30 leg.ended leg=a\n+00:40 call.ended")
    assert (segments(journey, "a"), journey.outcome, journey.durations.talk_ms) == ([("ring", 20)], "no_answer", 0)


def test_a_leg_id_used_again_is_another_leg() -> None:
    journey = given(BEGAN + """
        +00:10 leg.answered leg=a kind=agent agent=amina
        +00:20 leg.ended leg=a
        +00:30 leg.started leg=a kind=agent agent=baraka
        +00:35 leg.answered leg=a
        +00:50 leg.ended leg=a
        +00:50 call.ended
    """)  # fmt: skip
    assert [(leg.leg, leg.agent) for leg in journey.calls[0].legs[1:]] == [("a", "amina"), ("a#2", "baraka")]
    assert journey.durations.talk_ms == 25_000


@pytest.mark.parametrize("order", [("a#2", "a", "a"), ("a", "a#2", "a"), ("a", "a", "a#2"), ("a#3", "a", "a#2")])
def test_legs_keep_apart_whatever_they_are_called(order: tuple[str, ...]) -> None:
    story = BEGAN + "".join(
        f"+{n * 10} leg.answered leg={name} kind=agent\n+{n * 10 + 5} leg.ended leg={name}\n" for n, name in enumerate(order, 1)
    )
    journey = given(story + "+01:00 call.ended")
    assert (len(journey.calls[0].legs), journey.durations.talk_ms) == (4, 15_000)


def test_a_hold_of_a_leg_whose_name_another_took() -> None:
    story = BEGAN + "+10 leg.answered leg=a#2 kind=agent\n+12 hold.started leg=a\n+15 hold.ended leg=a\n+20 call.ended"
    assert given(story).durations.hold_ms == 3_000


def test_a_missing_end_comes_with_the_call() -> None:
    journey = given(BEGAN + "+00:10 leg.answered leg=a kind=agent\n+00:40 call.ended")
    assert (journey.durations.talk_ms, codes(journey), journey.complete) == (30_000, ["missing_end"], False)


def test_ended_before_it_was_answered_talks_nothing() -> None:
    journey = given(BEGAN + "+00:10 leg.started leg=a kind=agent\n+00:20 leg.ended leg=a\n+00:25 leg.answered leg=a\n+00:40 call.ended")
    assert (journey.durations.talk_ms, "negative_interval" in codes(journey)) == (0, True)


def test_states_that_are_said_twice_change_nothing() -> None:
    once = BEGAN + """
        +00:05 menu.entered menu=main
        +00:10 queue.entered queue=support
        +00:20 queue.left queue=support reason=answered
        +00:20 leg.answered leg=a kind=agent
        +00:30 hold.started leg=a
        +00:40 hold.ended leg=a
        +00:50 leg.ended leg=a
        +00:50 call.ended
    """  # fmt: skip
    one = given(once)
    said = [line.strip() for line in once.splitlines() if line.strip() and "hold.ended" not in line]
    two = given(once + "\n".join(f"{line} id=again-{n}" for n, line in enumerate(said)))
    assert (two.queue_visits, two.menu_path, two.durations, two.calls[0].legs) == (
        one.queue_visits,
        one.menu_path,
        one.durations,
        one.calls[0].legs,
    )
    assert two.events == 2 * one.events - 1


# ---------------------------------------------------------------- holds


def test_hold_inside_talk() -> None:
    journey = given(BEGAN + """
        +00:10 leg.answered leg=a kind=agent
        +00:20 hold.started leg=a
        +00:35 hold.ended leg=a
        +01:00 leg.ended leg=a
        +01:00 call.ended
    """)  # fmt: skip
    assert segments(journey, "a") == [("talk", 10), ("hold", 15), ("talk", 25)]
    assert (journey.durations.talk_ms, journey.durations.hold_ms) == (35_000, 15_000)


def test_a_hold_that_never_ended_lasts_to_the_legs_end() -> None:
    journey = given(BEGAN + "+10 leg.answered leg=a kind=agent\n+20 hold.started leg=a\n+30 leg.ended leg=a\n+40 call.ended")
    assert segments(journey, "a") == [("talk", 10), ("hold", 10)]


def test_a_hold_after_the_leg_lengthens_no_talk() -> None:
    journey = given(
        BEGAN + "+10 leg.answered leg=a kind=agent\n+20 leg.ended leg=a\n+30 hold.started leg=a\n+40 hold.ended leg=a\n+50 call.ended"
    )
    assert journey.durations.talk_ms == 10_000


def test_a_hold_that_ended_without_a_beginning() -> None:
    assert codes(given(BEGAN + "+10 leg.answered leg=a kind=agent\n+15 hold.ended leg=a\n+20 leg.ended leg=a\n+20 call.ended")) == [
        "unmatched_event"
    ]


# ---------------------------------------------------------------- the main leg


def test_the_caller_may_be_held() -> None:
    journey = given(BEGAN + "+10 hold.started leg=caller\n+15 hold.ended leg=caller\n+20 call.ended")
    assert segments(journey) == [("hold", 5)]


def test_events_of_the_leg_caller_speak_of_the_main_leg() -> None:
    journey = given(BEGAN + """
        +00:02 leg.answered leg=caller
        +00:10 leg.answered leg=a kind=agent agent=amina
        +00:30 leg.ended leg=a
        +00:31 leg.ended leg=caller ended_by=caller cause=normal_clearing
        +00:31 call.ended
    """)  # fmt: skip
    main, agent = journey.calls[0].legs
    assert (main.leg, main.kind, main.ended_by, main.cause, agent.agent) == ("caller", "caller", "caller", "normal_clearing", "amina")
    assert main.answered_at == main.started_at + 2_000_000
    assert (journey.durations.talk_ms, journey.outcome) == (20_000, "answered")


def test_the_called_partys_leg_of_an_outbound_call_may_be_named_a_person() -> None:
    journey = given("""
        +00:00 call.started direction=outbound from=+254711000100 to=+254712345678
        +00:05 leg.answered leg=caller kind=external
        +00:25 leg.ended leg=caller
        +00:25 call.ended
    """)
    assert (journey.calls[0].legs[0].kind, journey.durations.talk_ms, journey.outcome) == ("external", 20_000, "answered")


# ---------------------------------------------------------------- bots


def test_a_bot_contained_the_call() -> None:
    journey = given(
        BEGAN + "+02 bot.started leg=bot\n+03 bot.turn leg=bot role=bot text=Karibu\n+30 bot.ended leg=bot\n+30 call.ended ended_by=caller"
    )
    assert (journey.outcome, journey.durations.bot_ms, journey.durations.talk_ms, segments(journey, "bot")) == (
        "contained",
        28_000,
        0,
        [("bot", 28)],
    )


def test_a_bot_handed_over() -> None:
    journey = given(BEGAN + """
        +00:02 bot.started leg=bot
        +00:20 bot.handed_over leg=bot to=support
        +00:20 queue.entered queue=support
        +00:30 queue.left queue=support reason=answered
        +00:30 leg.answered leg=a kind=agent agent=amina queue=support
        +01:00 leg.ended leg=a
        +01:00 call.ended
    """)  # fmt: skip
    assert (journey.outcome, journey.durations.bot_ms, journey.durations.talk_ms) == ("answered", 18_000, 30_000)


def test_a_bot_that_handed_over_to_nobody_did_not_contain() -> None:
    assert given(BEGAN + "+02 bot.started leg=bot\n+20 bot.handed_over leg=bot\n+30 call.ended").outcome != "contained"


# ---------------------------------------------------------------- menus


def test_digits_belong_to_the_menu_that_waits_for_them() -> None:
    journey = given(
        BEGAN
        + "+01 menu.entered menu=main\n+05 menu.digits menu=main digits=2\n+05 menu.entered menu=sales\n+09 menu.digits digits=1\n+20 call.ended"
    )
    assert [(one.menu, one.digits) for one in journey.menu_path] == [("main", "2"), ("sales", "1")]
    assert (journey.outcome, segments(journey)) == ("abandoned_in_menu", [("ring", 1), ("menu", 4), ("menu", 15)][1:])


def test_digits_of_a_menu_that_nobody_announced() -> None:
    journey = given(BEGAN + "+05 menu.digits menu=main digits=2\n+20 call.ended")
    assert [(one.menu, one.digits, one.timed_out) for one in journey.menu_path] == [("main", "2", False)]
    assert journey.durations.menu_ms == 0


def test_a_replayed_menu_and_a_timeout() -> None:
    journey = given(BEGAN + """
        +00:01 menu.entered menu=main
        +00:06 menu.digits menu=main timed_out=true
        +00:06 menu.entered menu=main
        +00:11 menu.digits menu=main digits=1
        +00:11 menu.left menu=main
        +00:20 call.ended
    """)  # fmt: skip
    assert [(one.menu, one.digits, one.timed_out) for one in journey.menu_path] == [("main", None, True), ("main", "1", False)]
    assert journey.durations.menu_ms == 10_000


@pytest.mark.parametrize("left", ["menu=main", ""])
def test_a_menu_of_no_length(left: str) -> None:
    journey = given(BEGAN + f"+05 menu.entered menu=main\n+05 menu.left {left}\n+20 call.ended")
    assert ([one.menu for one in journey.menu_path], journey.durations.menu_ms) == (["main"], 0)


def test_a_menu_that_nobody_left_ends_with_what_comes_next() -> None:
    journey = given(BEGAN + "+01 menu.entered menu=main\n+09 queue.entered queue=support\n+20 call.ended")
    assert segments(journey) == [("menu", 8), ("queue", 11)]


# ---------------------------------------------------------------- what is odd


def test_an_unknown_type_is_kept() -> None:
    journey = given(BEGAN + "+01 call.teleported\n+20 call.ended")
    assert (codes(journey), journey.events, journey.outcome) == (["unknown_event"], 3, "no_answer")


def test_a_clock_that_is_ahead_is_told() -> None:
    journey = given("+20:00 call.started direction=inbound received=+00:00\n+21:00 call.ended received=+01:00")
    assert codes(journey) == ["clock_skew", "clock_skew"]
    assert journey.durations.total_ms == 60_000


def test_a_day_ends_with_a_leap_second_and_changes_of_zones_are_nothing() -> None:
    times = ["2026-12-31T23:59:59Z", "2026-12-31T23:59:60Z", "2027-01-01T03:00:00+03:00"]
    from calls.clock import parse_time

    first, leap, after = (parse_time(one) for one in times)
    assert (first, leap, after) == (leap and leap - 1_000_000, after, leap)
