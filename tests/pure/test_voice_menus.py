"""Menus: what is asked, what a key chooses, what is asked again, and what of all that is only said once more."""

from __future__ import annotations

import pytest
from walking import NOON, SECOND, Walk, flow

from calls.voice.position import Ask, Gathered, State

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
    assert (mini.last.menu, mini.facts, mini.state and mini.state.heard) == (None, ["menu.left", "leg.started"], ("e-1",))
    leg = mini.fact("leg.started")
    assert (leg.leg, leg.attributes) == ("transfer", {"reported": False})


def test_minivoices_digits_that_were_used_are_all_remembered(mini: Walk) -> None:
    """A caller who types ahead presses several keys within the time that a clock may be wrong by."""
    for key in ("e-1", "e-2"):
        mini.outside["digits"] = Gathered(digits="7", timed_out=False, event_id=key)
        mini.go()
    assert mini.state and mini.state.heard == ("e-1", "e-2")


@pytest.mark.parametrize("heard", [Gathered(), Gathered(event_id="e-1"), Gathered(digits="7", timed_out=False, event_id="e-1")])
def test_minivoice_without_input_asks_again_and_then_ends(mini: Walk, heard: Gathered) -> None:
    mini.outside["digits"] = heard
    assert mini.go().verbs == ["gather", "redirect"]
    assert (mini.go().actions, mini.facts) == ([{"say": {"text": "Goodbye."}}], ["menu.left"])


def test_minivoice_with_nothing_remembered_looks_back_no_further_than_the_menu(mini: Walk) -> None:
    mini.state = None
    mini.ask(step="a", visit=1, tries=0)
    assert mini.asked == [Ask("digits", step="a", since=NOON - 15 * SECOND)]
