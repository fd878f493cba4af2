"""What a caller hears, step by step: given a flow, when the provider asks, then these actions, this place, these facts."""

from __future__ import annotations

import pytest
from walking import NOON, SECOND, SID, Walk, flow

from calls.voice.actions import Dial, GetDigits, Say
from calls.voice.position import Ask, Delegated, FreeAgent, Gathered, InQueue, State

IVR = """
[a]
kind = 'menu'
prompt = 'Press 1 for sales, 3 to hear this again.'
language = 'en-US'
choices = { 1 = 'to_sales', 3 = 'a', 9 = 'b' }
on_exhausted = 'sorry'
[to_sales]
kind = 'say'
text = 'Connecting you to sales.'
next = 'sales'
[sales]
kind = 'dial'
to = '+254720000001'
[b]
kind = 'menu'
prompt = 'Below.'
choices = { 0 = 'a' }
retries = 0
[sorry]
kind = 'say'
text = 'Goodbye.'
"""


@pytest.fixture
def ivr() -> Walk:
    return Walk(flow(IVR))


# ---------------------------------------------------------------- menus


def test_the_first_answer_asks_and_takes_the_call(ivr: Walk) -> None:
    ivr.ask()
    assert ivr.actions == [
        {
            "getDigits": {
                "timeout": 5, "numDigits": 1, "finishOnKey": "#", "action": "https://voice.example.com/voice/line/a?v=1&r=0",
                "nested": [{"say": {"text": "Press 1 for sales, 3 to hear this again.", "language": "en-US"}}],
            }
        },
        {"redirect": {"url": "https://voice.example.com/voice/line/a?v=1&r=0"}},
    ]  # fmt: skip
    assert ivr.facts == ["call.answered", "menu.entered"]
    assert ivr.state == State(step="a", visit=1, waits="menu", since=NOON)


@pytest.mark.parametrize("by_action", [True, False])
def test_a_key_chooses_and_steps_that_wait_for_nothing_are_answered_together(ivr: Walk, by_action: bool) -> None:
    ivr.ask().press("1", by_action=by_action)
    assert ivr.actions == [
        {"say": {"text": "Connecting you to sales."}},
        {"dial": {"number": "+254720000001", "callerId": "+254700000001", "timeout": 30}},
    ]
    assert ivr.facts == ["menu.left", "leg.started"]
    assert (ivr.last.menu, ivr.fact("leg.started").kind, ivr.fact("leg.started").to) == ("a", "external", "+254720000001")


def test_no_key_a_wrong_key_and_the_key_of_the_menu_itself_ask_again(ivr: Walk) -> None:
    ivr.ask()
    for digits, tries in [("", 1), ("7", 2), ("3", 2), ("", 3)]:
        ivr.press(digits, by_action=False)
        assert (ivr.verbs, ivr.state and ivr.state.tries, ivr.last.menu) == (["getDigits", "redirect"], tries, "a")
        assert ivr.facts == ["menu.entered"]  # asked again is a new visit of the menu
    assert ivr.press("1").said == ["Connecting you to sales."]


def test_only_replays_after_no_or_wrong_input_use_up_the_retries(ivr: Walk) -> None:
    ivr.ask()
    for digits in ("", "7", "3", "3", "3", "3", "x"):
        assert ivr.press(digits).verbs[0] == "getDigits"
    ivr.press("")
    assert (ivr.said, ivr.verbs) == (["Goodbye."], ["say", "hangup"])
    assert (ivr.facts, ivr.state and ivr.state.waits) == (["menu.left"], "over")


def test_another_menu_has_retries_of_its_own_and_leaves_the_first(ivr: Walk) -> None:
    ivr.ask().press("").press("").press("9")
    assert (ivr.facts, ivr.state and (ivr.state.step, ivr.state.tries)) == (["menu.left", "menu.entered"], ("b", 0))
    ivr.press("0")
    assert ivr.state and (ivr.state.step, ivr.state.tries) == ("a", 0)


def test_where_nothing_follows_the_call_ends_with_a_word(ivr: Walk) -> None:
    ivr.ask().press("9").press("5")
    assert (ivr.said, ivr.verbs) == (["Goodbye."], ["say", "hangup"])


def test_no_input_and_wrong_input_may_lead_elsewhere_and_back_again() -> None:
    menu = "[a]\nkind = 'menu'\nprompt = 'Hi'\nchoices = { 1 = 'end' }\nretries = 1\non_invalid = 'help'\non_no_input = 'end'\n"
    walk = Walk(flow(menu + "[help]\nkind = 'say'\ntext = 'Press one.'\nnext = 'a'\n[end]\nkind = 'hangup'")).ask().press("5")
    assert (walk.said, walk.state and walk.state.tries) == (["Press one.", "Hi"], 1)
    assert walk.press("5").said == ["Goodbye."]  # led back once too often
    assert Walk(walk.flow).ask().press("").verbs == ["hangup"]


def test_the_key_that_ends_an_input_is_no_part_of_it() -> None:
    walk = Walk(
        flow("[a]\nkind = 'menu'\nprompt = 'Hi'\ndigits = 4\nchoices = { 42 = 'b', 4 = 'c' }\n[b]\nkind = 'reject'\n[c]\nkind = 'hangup'")
    )
    assert walk.ask().press("42#").verbs == ["reject"]
    assert Walk(walk.flow).ask().press("42").verbs == ["reject"]
    assert Walk(walk.flow).ask().press("4#").verbs == ["hangup"]


def test_a_redirect_after_the_menu_is_no_input_and_so_is_an_address_that_somebody_wrote(ivr: Walk) -> None:
    assert ivr.ask().go().state and ivr.state.tries == 1
    assert Walk(ivr.flow).ask(step="b").state == State(step="b", visit=1, waits="menu", since=NOON)
    assert Walk(ivr.flow).ask(step="b", digits="0").state == State(step="a", visit=1, waits="menu", since=NOON)


def test_what_is_typed_at_a_sensitive_menu_is_masked() -> None:
    walk = Walk(
        flow("[a]\nkind = 'menu'\nprompt = 'Your PIN.'\ndigits = 4\nsensitive = true\nchoices = { 1234 = 'b' }\n[b]\nkind = 'hangup'")
    )
    assert not walk.ask().last.masked
    assert walk.press("9081").last.masked
    assert walk.ask(step="a", visit=1, digits="1234").last.masked  # a replay keeps none of it either


# ---------------------------------------------------------------- the same once more


def test_an_address_that_is_behind_gets_the_stored_answer(ivr: Walk) -> None:
    ivr.ask().press("").press("1")
    stands = ivr.state
    for visit in (1, 2):
        ivr.ask(step="a", visit=visit, tries=0, digits="9")
        assert (ivr.last.replay, ivr.last.menu, ivr.last.facts, ivr.state) == (True, None, [], stands)


def test_the_opening_posted_again_counts_nothing(ivr: Walk) -> None:
    ivr.ask().ask()
    assert (ivr.last.replay, ivr.state and ivr.state.tries) == (True, 0)


def test_an_address_that_is_ahead_of_what_is_remembered_is_believed(ivr: Walk) -> None:
    """Postgres was away when it was handed out."""
    ivr.ask().ask(step="b", visit=5, tries=0, digits="0")
    assert ivr.state and (ivr.state.step, ivr.state.visit) == ("a", 6)
    lost = Walk(ivr.flow).ask(step="a", visit=3, tries=3, digits="")
    assert (lost.said, lost.facts) == (["Goodbye."], ["menu.left"])  # its retries came along; the call was answered before


def test_edges_want_no_actions_and_the_end_ends(ivr: Walk) -> None:
    ivr.ask().ask(kind="edge", state="StreamStarted")
    assert (ivr.actions, ivr.state and ivr.state.waits) == ([], "menu")
    ivr.ask(kind="over", state="Completed")
    assert (ivr.actions, ivr.state and ivr.state.waits) == ([], "over")
    assert ivr.go(digits="1").verbs == ["hangup"]
    assert ivr.ask(step="a", visit=1, digits="1").last.replay


def test_a_state_that_nobody_knows_opens_a_call_and_moves_none(ivr: Walk) -> None:
    assert ivr.ask(state="Teleported", doubtful=True).verbs == ["getDigits", "redirect"]
    assert ivr.ask(state="Teleported", doubtful=True).actions == []


def test_a_step_that_is_no_more_begins_again(ivr: Walk) -> None:
    ivr.state = State(step="gone", visit=4, waits="menu")
    assert ivr.ask(step="gone", visit=4, digits="1").state == State(step="a", visit=5, waits="menu", since=NOON)


def test_a_call_of_ours_is_not_answered_by_us() -> None:
    assert Walk(flow(IVR), direction="outbound").ask().facts == ["menu.entered"]


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
    walk = Walk(flow(IVR, form="xml")).ask()
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


def test_a_dial_of_which_nothing_is_said_was_answered_if_it_outlasted_its_ringing() -> None:
    assert Walk(flow(DIAL)).ask().after(20).go().said == ["Nobody is there."]
    assert Walk(flow(DIAL)).ask().after(60).go().said == ["Thanks."]
    assert Walk(flow(DIAL)).ask(step="a", visit=1).said == ["Nobody is there."]


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
    assert (walk.verbs, walk.said, walk.facts) == (["say", "conference", "redirect"], ["Please hold."], [])
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
    assert walk.go().said == ["The front desk."]


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


# ---------------------------------------------------------------- MiniVoice


MINI = "[a]\nkind = 'menu'\nprompt = 'Press 1 for sales or 2 for support.'\nchoices = { 1 = 'sales' }\nretries = 1\n[sales]\nkind = 'dial'\nto = '+15551230011'"


@pytest.fixture
def mini() -> Walk:
    return Walk(flow(MINI, dialect="minivoice")).ask()


def test_minivoice_gathers_and_is_sent_on(mini: Walk) -> None:
    assert mini.actions == [
        {"gather": {"prompt": "Press 1 for sales or 2 for support.", "num_digits": 1, "timeout_seconds": 5, "finish_on_key": "#"}},
        {"type": "redirect", "url": "https://voice.example.com/voice/line/a?v=1&r=0"},
    ]
    assert mini.facts == ["menu.entered"]  # call.answered comes by webhook


def test_minivoices_digits_are_asked_for_and_stated_by_nobody_else(mini: Walk) -> None:
    mini.outside["digits"] = Gathered(digits="1", timed_out=False, event_id="e-1")
    mini.after(3).go()
    assert mini.asked == [Ask("digits", step="a", since=NOON)]
    assert mini.actions == [{"transfer": {"destination": "+15551230011"}}]
    assert (mini.last.menu, mini.facts, mini.state and mini.state.heard) == (None, ["menu.left", "leg.started"], "e-1")
    leg = mini.fact("leg.started")
    assert (leg.leg, leg.attributes) == ("transfer", {"reported": False})


@pytest.mark.parametrize("heard", [Gathered(), Gathered(event_id="e-1"), Gathered(digits="7", timed_out=False, event_id="e-1")])
def test_minivoice_without_input_asks_again_and_then_ends(mini: Walk, heard: Gathered) -> None:
    mini.outside["digits"] = heard
    assert mini.go().verbs == ["gather", "redirect"]
    assert (mini.go().actions, mini.facts) == ([{"say": {"text": "Goodbye."}}], ["menu.left"])


def test_minivoice_with_nothing_remembered_looks_back_no_further_than_the_menu(mini: Walk) -> None:
    mini.state = None
    mini.ask(step="a", visit=1, tries=0)
    assert mini.asked == [Ask("digits", step="a", since=NOON - 15 * SECOND)]
