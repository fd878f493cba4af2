"""What a caller hears, step by step: given a flow, when the provider asks, then these actions, this place, these facts."""

from __future__ import annotations

import pytest
from walking import NOON, SID, Walk, flow

from calls.voice.actions import Dial, GetDigits, Say
from calls.voice.position import Ask, Delegated, FreeAgent, InQueue

# ---------------------------------------------------------------- say, play, hours, raw actions, the ends


def test_a_call_ends_politely_where_a_target_is_left_out() -> None:
    assert Walk(flow("[a]\nkind = 'say'\ntext = 'Hi'")).ask().verbs == ["say", "hangup"]
    assert Walk(flow("[a]\nkind = 'play'\nurl = 'https://x.example/t.mp3'\nloop = 2")).ask().actions[0] == {
        "play": {"url": "https://x.example/t.mp3", "loop": 2}
    }
    assert Walk(flow("[a]\nkind = 'hours'\nopen = ['sun 08:00-09:00']\nif_open = 'b'\n[b]\nkind = 'hangup'")).ask().said == ["Goodbye."]
    assert Walk(flow("[a]\nkind = 'hangup'")).ask().verbs == ["hangup"]


def test_hours_follow_the_moment_of_the_request() -> None:
    walk = Walk(
        flow(
            "[a]\nkind = 'hours'\nopen = ['tue 08:00-17:00']\nif_open = 'b'\nif_closed = 'c'\n[b]\nkind = 'say'\ntext = 'Open.'\n[c]\nkind = 'say'\ntext = 'Closed.'"
        )
    )
    assert walk.ask().said == ["Open."]
    later = Walk(walk.flow)
    assert later.after(5 * 3600).ask().said == ["Closed."]


def test_a_rejected_call_was_never_answered() -> None:
    walk = Walk(flow("[a]\nkind = 'reject'\nreason = 'busy'")).ask()
    assert (walk.actions, walk.facts, walk.fact("call.failed").reason) == ([{"reject": {"reason": "busy"}}], ["call.failed"], "busy")


def test_a_call_that_is_sent_away_begins_again_when_it_comes_back() -> None:
    walk = Walk(flow("[a]\nkind = 'redirect'\nurl = 'https://ivr.example.com/after-hours'\nmethod = 'POST'")).ask()
    assert walk.actions == [{"redirect": {"url": "https://ivr.example.com/after-hours", "method": "POST"}}]
    assert walk.ask().last.replay is False


def test_raw_actions_go_on_with_the_next_step_or_come_back_for_it() -> None:
    text = "[a]\nkind = 'actions'\nactions = [{ACTIONS}]\nnext = 'b'\n[b]\nkind = 'say'\ntext = 'Next.'"
    assert Walk(flow(text.replace("{ACTIONS}", "{ say = { text = 'Hi' } }"))).ask().said == ["Hi", "Next."]
    waits = Walk(flow(text.replace("{ACTIONS}", "{ conference = { name = 'team' } }"))).ask()
    assert (waits.verbs, waits.go().said) == (["conference", "redirect"], ["Next."])
    keys = Walk(flow(text.replace("{ACTIONS}", "{ getDigits = { numDigits = 4 } }"))).ask()
    assert keys.ask(digits="1234").said == ["Next."]
    alone = Walk(flow("[a]\nkind = 'actions'\nactions = [{ say = { text = 'Hi' } }, { dial = { sip = 'sip:a@pbx.example' } }]")).ask()
    assert (alone.verbs, alone.fact("leg.started").kind) == (["say", "dial"], "sip")


def test_a_flow_in_xml_says_so_and_posts() -> None:
    walk = Walk(flow("[a]\nkind = 'menu'\nprompt = 'Hi'\nchoices = { 1 = 'a' }", form="xml")).ask()
    assert walk.last.xml and walk.actions[1]["redirect"]["method"] == "POST"


# ---------------------------------------------------------------- dial


DIAL = "[a]\nkind = 'dial'\nto = '+254720000001'\ntimeout_s = 20\nrecord = true\nnext = 'thanks'\non_no_answer = 'sorry'\n[thanks]\nkind = 'say'\ntext = 'Thanks.'\n[sorry]\nkind = 'say'\ntext = 'Nobody is there.'"


def test_a_dial_goes_on_at_its_redirect_by_whether_it_was_answered() -> None:
    walk = Walk(flow(DIAL)).ask()
    assert walk.actions[0]["dial"] == {
        "number": "+254720000001",
        "callerId": "+254700000001",
        "timeout": 20,
        "record": "record-from-answer",
    }
    assert walk.verbs == ["dial", "redirect"]
    for how, said in [({"dial_answered": True}, "Thanks."), ({"dial_answered": False}, "Nobody is there.")]:
        assert Walk(walk.flow).ask().go(**how).said == [said]
        assert Walk(walk.flow).ask().knows(**how).go().said == [said]


def test_a_dial_of_which_nothing_is_said_was_answered_unless_it_ended_when_its_ringing_did() -> None:
    assert Walk(flow(DIAL)).ask().after(20).go().said == ["Nobody is there."]
    assert Walk(flow(DIAL)).ask().after(60).go().said == ["Thanks."]
    assert Walk(flow(DIAL)).ask().after(9).go().said == ["Thanks."]
    assert Walk(flow(DIAL)).ask(step="a", visit=1).said == ["Nobody is there."]


def test_a_dial_of_which_nothing_is_said_goes_the_one_way_there_is() -> None:
    one = DIAL.replace("on_no_answer = 'sorry'\n", "").split("[sorry]")[0]
    walk = Walk(flow(one)).ask().after(20).go()
    assert (walk.said, walk.facts) == (["Thanks."], ["leg.ended"])


def test_several_numbers_ring_together_and_one_is_one() -> None:
    both = Walk(flow("[a]\nkind = 'dial'\nto = ['+254720000001', '+254720000002']\ncaller_id = '+254700000077'")).ask()
    assert both.actions == [{"dial": {"numbers": ["+254720000001", "+254720000002"], "callerId": "+254700000077", "timeout": 30}}]
    assert Walk(flow("[a]\nkind = 'dial'\nto = ['sip:mary@pbx.example.com']")).ask().actions[0]["dial"]["sip"] == "sip:mary@pbx.example.com"


# ---------------------------------------------------------------- queue


QUEUE = "[a]\nkind = 'queue'\nqueue = 'support'\non_timeout = 'late'\non_full = 'full'\n[late]\nkind = 'say'\ntext = 'Nobody came.'\n[full]\nkind = 'say'\ntext = 'We are full.'"
AMINA = FreeAgent(agent="amina", address="+254720000009", ring_s=15, offer="offer-1")


def test_an_agent_who_is_free_is_dialled_at_once() -> None:
    walk = Walk(flow(QUEUE))
    walk.outside["support"] = InQueue(agent=AMINA)
    walk.ask()
    assert walk.asked == [Ask("queue", step="a", queue="support")]
    assert walk.actions[0] == {"dial": {"number": "+254720000009", "callerId": "+254700000001", "timeout": 15}}
    assert (walk.verbs, walk.facts) == (["dial", "redirect"], ["call.answered", "queue.entered", "leg.started"])
    leg = walk.fact("leg.started")
    assert (leg.leg, leg.kind, leg.agent, leg.queue) == ("dial", "agent", "amina", "support")
    assert walk.state and (walk.state.waits, walk.state.offer, walk.state.agent) == ("dial", "offer-1", "amina")
    assert (walk.go(dial_answered=True).verbs, walk.last.dialled) == (["hangup"], True)


def test_an_agent_who_does_not_answer_gives_way_to_the_room_and_is_told_first() -> None:
    walk = Walk(flow(QUEUE))
    walk.outside["support"] = InQueue(agent=AMINA)
    walk.ask()
    walk.outside["support"] = InQueue(position=1)
    walk.after(16).go()
    assert walk.asked[-1] == Ask("queue", step="a", queue="support", dialled=False)
    assert (walk.verbs, walk.said, walk.facts) == (["say", "conference", "redirect"], ["Please hold."], ["leg.ended"])
    assert walk.state and (walk.state.since, walk.state.agent, walk.state.offer) == (NOON, None, None)


def test_nobody_is_free_the_caller_waits_in_a_room_of_their_own_and_hears_the_announcement_once() -> None:
    walk = Walk(flow(QUEUE)).ask()
    assert walk.actions[1]["conference"] == {
        "name": f"queue-{SID}", "startOnEnter": False, "endOnExit": True, "waitUrl": "https://cdn.example.com/hold.mp3",
        "statusEventsCallbackUrl": "https://voice.example.com/voice/line/events", "statusEvents": "join leave end",
    }  # fmt: skip
    assert walk.after(10).go().verbs == ["conference", "redirect"]
    assert walk.state and (walk.state.since, walk.state.tries, walk.facts) == (NOON, 2, [])


def test_a_caller_who_was_served_is_not_held_again() -> None:
    assert Walk(flow(QUEUE)).ask().knows(served=True).after(5).go().verbs == ["hangup"]


def test_who_waits_too_long_goes_on_at_the_redirect_after_the_room() -> None:
    walk = Walk(flow(QUEUE)).ask().after(59).go()
    assert walk.verbs == ["conference", "redirect"]
    walk.after(1).go()
    assert (walk.said, walk.facts, walk.fact("queue.left").reason) == (["Nobody came."], ["queue.left"], "timeout")


def test_a_full_queue_is_entered_and_left_at_once() -> None:
    walk = Walk(flow(QUEUE))
    walk.outside["support"] = InQueue(full=True)
    walk.ask()
    assert (walk.said, walk.facts) == (["We are full."], ["call.answered", "queue.entered", "queue.left"])


def test_a_full_queue_may_flow_over_into_another() -> None:
    walk = Walk(flow("[a]\nkind = 'queue'\nqueue = 'support'\non_full = 'b'\n[b]\nkind = 'queue'\nqueue = 'night'"))
    walk.outside |= {"support": InQueue(full=True), "night": InQueue(agent=AMINA)}
    walk.ask()
    assert [ask.queue for ask in walk.asked] == ["support", "night"]
    assert walk.facts == ["call.answered", "queue.entered", "queue.left", "queue.entered", "leg.started"]
    assert walk.state and (walk.state.step, walk.state.queue) == ("b", "night")


# ---------------------------------------------------------------- bot, record, delegate


BOT = "[a]\nkind = 'bot'\nhand_over_to = 'front'\nfallback_text = 'One moment.'\n[front]\nkind = 'say'\ntext = 'The front desk.'"


def test_a_bot_is_a_stream_in_xml_and_a_way_on() -> None:
    walk = Walk(flow(BOT)).ask()
    assert walk.last.xml and walk.verbs == ["stream", "redirect"]
    assert walk.actions[0]["stream"] == {
        "url": "wss://voice.example.com/audio/line?s=a", "track": "both_tracks", "connect": True, "name": "line", "outputSamplingRate": 16000,
        "bidirectionalSamplingRate": 16000, "statusCallback": "https://voice.example.com/voice/line/events",
        "statusEvents": "stream-started stream-stopped stream-error",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("bot", "said", "anomaly"),
    [
        ("handed_over", ["The front desk."], ""),
        ("open", ["The front desk."], ""),
        ("failed", ["One moment.", "The front desk."], "bot_unavailable"),
        ("", ["One moment.", "The front desk."], "bot_unavailable"),
        ("ended", [], ""),
    ],
)
def test_after_the_stream_the_call_goes_on_by_what_became_of_the_bot(bot: str, said: list[str], anomaly: str) -> None:
    walk = Walk(flow(BOT)).ask().knows(bot=bot).go()
    assert (walk.said, walk.verbs[-1], walk.last.anomaly.partition(":")[0]) == (said, "hangup", anomaly)


def test_somebody_elses_audio_is_believed_to_have_been_there() -> None:
    walk = Walk(flow(BOT.replace("hand_over_to", "url = 'wss://audio.example.com/x'\nhand_over_to"))).ask()
    assert walk.actions[0]["stream"]["url"] == "wss://audio.example.com/x"
    assert (walk.go().said, walk.facts) == (["The front desk."], ["bot.handed_over"])


def test_an_open_stream_is_not_forked_again() -> None:
    walk = Walk(flow(BOT)).ask()
    assert walk.ask().last.replay
    assert (walk.knows(bot="open").ask().actions, walk.last.replay) == ([], False)


def test_a_message_goes_on_at_the_action_of_the_recording() -> None:
    walk = Walk(
        flow(
            "[a]\nkind = 'record'\nprompt = 'Leave a message.'\nmax_length_s = 60\nnext = 'b'\nsensitive = true\n[b]\nkind = 'say'\ntext = 'Thank you.'"
        )
    ).ask()
    assert walk.actions[1]["record"] == {"action": "https://voice.example.com/voice/line/a?v=1&r=0", "method": "POST", "maxLength": 60}
    assert (walk.go(recording=True, digits="#").said, walk.verbs, walk.last.masked) == (["Thank you."], ["say", "hangup"], True)


DELEGATE = "[a]\nkind = 'delegate'\nurl = 'https://app.example.com/voice'\nfallback = 'b'\n[b]\nkind = 'say'\ntext = 'Resting.'"


def test_an_application_answers_as_it_likes_for_as_long_as_it_likes() -> None:
    walk = Walk(flow(DELEGATE))
    actions = [Say(text="The application speaks."), GetDigits(num_digits=1)]
    walk.outside["delegate"] = Delegated(actions=list(actions), xml=True)
    walk.ask()
    assert (walk.last.actions, walk.last.xml, walk.last.anomaly) == (actions, True, "")
    assert walk.asked == [Ask("delegate", step="a", url="https://app.example.com/voice", timeout_ms=2000)]
    walk.outside["delegate"] = Delegated(actions=[Dial(number="+254720000055")])
    assert (walk.ask(digits="1").verbs, walk.fact("leg.started").to) == (["dial"], "+254720000055")


def test_an_application_that_fails_is_replaced_by_the_fallback_and_that_is_said() -> None:
    walk = Walk(flow(DELEGATE)).ask()
    assert (walk.said, walk.verbs, walk.last.anomaly) == (["Resting."], ["say", "hangup"], "delegate_failed: away")
    walk = Walk(flow(DELEGATE))
    walk.outside["delegate"] = Delegated(actions=[Say(text="Hi")] * 51)
    assert walk.ask().said == ["Resting."]
