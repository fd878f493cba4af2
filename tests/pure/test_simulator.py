"""The virtual provider's people, faults, validator and truth: what one seed promises."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest

from calls.journey import QueueVisit
from calls.simulator import FOREVER_MS, MOST_MENUS, Wish, demand, dialled, passer_by, picks_up, press
from calls.simulator_answers import BadAnswer, Do, read
from calls.simulator_faults import FAULTS, PUBLISHED_S, SHORT_S, Fate, fate, jittered, skew_ms
from calls.simulator_trees import MenuKeys, place, trees
from calls.simulator_truth import Far, Lived, Menu, charged_seconds, story

FLOWS = {
    "ivr": {"account": "acme", "start": "menu", "steps": {
        "menu": {"kind": "menu", "choices": {"2": "support", "1": "sales"}, "digits": 1},
        "sales": {"kind": "dial", "to": "+254720000001"}, "support": {"kind": "queue", "queue": "help"}}},
    "shop": {"account": "acme", "start": "line", "steps": {"line": {"kind": "queue", "queue": "nobody"}}},
    "other": {"account": "elsewhere", "start": "bye", "steps": {"bye": {"kind": "hangup"}}},
}  # fmt: skip
TREES = trees(FLOWS, accounts=["acme"], staffed={"help"})
SECOND = 1_000_000


def test_a_tree_is_what_a_caller_can_meet() -> None:
    ivr, shop = TREES
    assert (ivr.flow, ivr.menus, ivr.queues, ivr.staffed) == ("ivr", {"menu": MenuKeys(("1", "2"), 1)}, {"support": "help"}, True)
    assert (shop.staffed, shop.queue(None), shop.queue("line"), ivr.queue("sales")) == (False, "nobody", "nobody", None)
    assert ivr.menu("no such step").choices == ("1", "2", "3")


@pytest.mark.parametrize(
    ("flows", "found"), [({}, 0), ({"x": 1}, 0), ({"x": {"account": "acme"}}, 1), ({"x": {"account": "acme", "steps": {"a": 7}}}, 1)]
)
def test_a_configuration_that_is_odd_has_small_trees(flows: dict[str, Any], found: int) -> None:
    assert len(trees(flows, accounts=["acme"], staffed=())) == found


@pytest.mark.parametrize(("url", "where"), [
    ("http://x/voice/ivr/menu?v=1", ("ivr", "menu")), ("http://x/voice/ivr", ("ivr", None)), ("https://app.example.com/hook", (None, None)),
    ("http://x/base/voice/ivr/", ("ivr", None)), ("http://x/voice", (None, None)),
])  # fmt: skip
def test_an_address_names_flow_and_step(url: str, where: tuple[str | None, str | None]) -> None:
    assert place(url) == where


def test_one_seed_is_one_demand_and_another_seed_another() -> None:
    assert demand(7, calls=60, trees=TREES) == demand(7, calls=60, trees=TREES)
    assert demand(7, calls=60, trees=TREES)[:20] == demand(7, calls=20, trees=TREES), "a longer morning begins like the shorter one"
    seven, eight = ([(wish.direction, wish.person) for wish in demand(seed, calls=20, trees=TREES)] for seed in (7, 8))
    assert seven != eight


def test_a_morning_has_all_kinds_of_callers() -> None:
    wishes = demand(1, calls=400, trees=TREES)
    assert {wish.direction for wish in wishes} == {"inbound", "outbound"}
    assert {wish.shape for wish in wishes} == {"documented", "observed", "both"}
    assert {wish.result for wish in wishes if wish.direction == "outbound"} == {"answered", "no_answer", "busy", "rejected", "failed"}
    assert max(Counter(wish.person for wish in wishes).values()) > 1, "somebody calls again"
    assert 20 < sum(wish.patience_ms < 100 for wish in wishes) < 120
    assert all(wish.shape != "observed" for wish in wishes if wish.direction == "outbound"), "only webhooks tell of a call that nobody took"
    assert all(wish.patience_ms < FOREVER_MS for wish in wishes if wish.tree.flow == "shop"), "nobody waits for ever where nobody works"


def test_who_gives_up_is_gone_before_anybody_could_answer() -> None:
    quickest = min(ms for nth in range(500) for answers, ms in [picks_up(3, agent="amina", nth=nth)] if answers)
    impatient = [wish.patience_ms for wish in demand(2, calls=300, trees=TREES) if wish.patience_ms < 1000]
    assert max(impatient) < quickest


def test_agents_mostly_answer_and_each_ring_is_the_seeds() -> None:
    rings = [picks_up(7, agent="amina", nth=nth) for nth in range(300)]
    assert rings == [picks_up(7, agent="amina", nth=nth) for nth in range(300)]
    assert 0.85 < sum(answers for answers, _ in rings) / 300 < 1


def test_callers_press_right_and_wrong_keys_or_none_or_leave_but_never_walk_for_ever() -> None:
    menu = MenuKeys(("1", "2"), 1)
    wishes = demand(5, calls=300, trees=TREES)
    pressed = [press(wish, nth=0, menu=menu) for wish in wishes]
    assert {one.digits for one in pressed} >= {"1", "2", ""} and any(one.digits not in ("", "1", "2") for one in pressed)
    assert any(one.leaves for one in pressed)
    assert press(wishes[0], nth=1, menu=menu) == press(wishes[0], nth=1, menu=menu)
    assert all(press(wish, nth=MOST_MENUS, menu=menu).leaves for wish in wishes)


def test_a_choice_of_two_digits_is_pressed_whole() -> None:
    menu = MenuKeys(("12", "34"), 2)
    pressed = {press(wish, nth=0, menu=menu).digits for wish in demand(5, calls=200, trees=TREES)}
    assert {len(digits) for digits in pressed} == {0, 2}


def test_a_second_person_who_is_dialled_is_in_another_mood() -> None:
    wish = passer_by("+254720000001", TREES[0])
    assert wish == passer_by("+254720000001", TREES[0]) and wish.patience_ms == FOREVER_MS
    assert dialled(wish, 0) == (wish.dialled, wish.ring_ms)
    assert len({dialled(wish, nth) for nth in range(1, 30)}) > 5


# ---------------------------------------------------------------- faults


def test_without_faults_every_delivery_is_sent_once_and_at_once() -> None:
    assert fate(7, faults=[], journey=1, n=1, timed=True, lossable=True) == Fate()


def all_fates(faults: list[str], *, timed: bool = True, lossable: bool = True) -> list[Fate]:
    return [fate(11, faults=faults, journey=journey, n=n, timed=timed, lossable=lossable) for journey in range(200) for n in range(8)]


def test_each_fault_does_its_own_and_nothing_else() -> None:
    copied, late, lost = all_fates(["duplicates"]), all_fates(["delay"]), all_fates(["losses"])
    assert any(one.copies_ms for one in copied) and not any(one.lost or one.delay_ms for one in copied)
    assert any(one.delay_ms for one in late) and not any(one.lost or one.copies_ms for one in late)
    assert any(one.lost for one in lost) and not any(one.delay_ms or one.copies_ms for one in lost)


def test_losses_hit_some_journeys_and_fewer_than_half_of_them() -> None:
    hit = {n // 8 for n, one in enumerate(all_fates(["losses"])) if one.lost}
    assert 20 < len(hit) < 100
    assert not any(one.lost for one in all_fates(["losses"], lossable=False)), "what ties a call's ids is never lost"


def test_what_says_no_time_of_its_own_is_never_very_late() -> None:
    assert (
        max(one.delay_ms for one in all_fates(["reorder", "delay"], timed=False)) < 1000 < max(one.delay_ms for one in all_fates(["delay"]))
    )


def test_retries_have_full_jitter_within_the_schedule() -> None:
    for schedule in (SHORT_S, PUBLISHED_S):
        assert all(0 <= pause <= base for pause, base in zip(jittered(schedule, "x"), schedule, strict=True))
    assert jittered(SHORT_S, "x") == jittered(SHORT_S, "x") != jittered(SHORT_S, "y")
    assert skew_ms(3, ["skew"]) != 0 == skew_ms(3, FAULTS[:4])


# ---------------------------------------------------------------- the validator

GOOD = [
    ("sautikit", {"actions": [{"say": {"text": "Habari"}}, {"dial": {"number": "+254720000001"}}]}),
    ("sautikit", {"actions": [{"getDigits": {"numDigits": 1, "nested": [{"say": {"text": "1 or 2"}}], "action": "https://x.example.com"}}]}),
    ("sautikit", {"actions": []}),
    ("minivoice", {"actions": [{"gather": {"prompt": "1 or 2", "timeout_seconds": 5}}, {"type": "redirect", "url": "https://x.example.com"}]}),
    ("minivoice", {"actions": [{"transfer": {"to": "+15551230001", "from": "+15551230002"}}]}),
]  # fmt: skip
BAD = [
    ("sautikit", {"actions": [{"say": {"text": "x"}}] * 51}, "50"), ("sautikit", {"actions": [{"explode": {}}]}, "explode"),
    ("sautikit", {"actions": [{"say": {"text": "x", "volume": 11}}]}, "volume"), ("sautikit", {"actions": [{"say": {}}]}, "text"),
    ("sautikit", {"actions": [{"dial": {"number": "+1", "sip": "sip:x"}}]}, "exactly one"),
    ("sautikit", {"actions": [{"dial": {"callerId": "+1"}}]}, "exactly one"),
    ("sautikit", {"actions": [{"getDigits": {"nested": [{"dial": {"number": "+1"}}]}}]}, "Nested"),
    ("sautikit", {"actions": [{"reject": {"reason": "tired"}}]}, "rejected or busy"),
    ("sautikit", {"actions": [{"stream": {"url": "https://x"}}]}, "ws"),
    ("sautikit", {"actions": [{"say": {"text": "x"}, "play": {"url": "y"}}]}, "one verb"), ("sautikit", {"actions": "say"}, "no list"),
    ("minivoice", {"actions": [{"getDigits": {}}]}, "getDigits"), ("minivoice", {"actions": [{"gather": {"timeout_seconds": 31}}]}, "30"),
    ("minivoice", {"actions": [{"type": "conference", "room": "a room"}]}, "room"), ("minivoice", {"actions": [{"send_digits": {"digits": "1x"}}]}, "digits"),
    ("minivoice", {"actions": [{"start_stream": {"stream_url": "ws://x"}}]}, "wss"), ("minivoice", {"actions": [{"bridge": {}}]}, "destination"),
]  # fmt: skip


def answer(document: Any, dialect: str = "sautikit", kind: str = "application/json") -> list[Do]:
    body = document.encode() if isinstance(document, str) else msgspec.json.encode(document)
    return read(body, content_type=kind, dialect=dialect)


@pytest.mark.parametrize(("dialect", "document"), GOOD)
def test_a_good_answer_is_read_in_order(dialect: str, document: Any) -> None:
    assert len(answer(document, dialect)) == len(document["actions"])


@pytest.mark.parametrize(("dialect", "document", "why"), BAD, ids=[why for _, _, why in BAD])
def test_a_bad_answer_is_refused_as_the_vendor_would(dialect: str, document: Any, why: str) -> None:
    with pytest.raises(BadAnswer, match=why):
        answer(document, dialect)


def test_xml_goes_to_the_pbx_which_knows_its_own_verbs() -> None:
    text = '<Response><Say voice="x">Habari &amp; karibu</Say><Dial timeout="9">+254720000001, +254720000002</Dial><Redirect method="GET">https://x</Redirect></Response>'
    say, dial, redirect = answer(text, kind="application/xml")
    assert (say.text("text"), dial.fields["numbers"], dial.number("timeout", 30)) == (
        "Habari & karibu",
        ["+254720000001", "+254720000002"],
        9,
    )
    assert (redirect.text("url"), redirect.text("method")) == ("https://x", "GET")
    (stream,) = answer('<Response><Stream url="wss://x" connect="true"/></Response>', kind="text/xml")
    assert stream.flag("connect", default=False)
    (gather,) = answer('<Response><Gather numDigits="1"><Say>1</Say></Gather></Response>', kind="text/xml")
    assert (gather.verb, gather.fields["nested"]) == ("getDigits", [{"say": {"text": "1"}}])


@pytest.mark.parametrize(
    "text", ["<Response>", "<Speak/>", "<Response><Explode/></Response>", "<Response><say>x</say></Response>", "not xml"]
)
def test_xml_that_the_pbx_cannot_use_is_refused(text: str) -> None:
    with pytest.raises(BadAnswer):
        answer(text, kind="application/xml")


# ---------------------------------------------------------------- truth


def lived(**known: Any) -> Lived:
    known = {"sids": ["call-1"], "account": "acme", "provider": "sautikit", "direction": "inbound", "caller": "+254711000001", "called": "+254711000100",
             "started_at": 0, "answered_at": SECOND, "ended_at": 10 * SECOND, "ended_by": "caller"} | known  # fmt: skip
    return Lived(**known)


def visit(outcome: str) -> QueueVisit:
    return QueueVisit("call-1", "help", SECOND, 4 * SECOND, outcome, "amina" if outcome == "answered" else None)


TALKED = Far("agent", SECOND, "+254720000001", "amina", "help", answered_at=4 * SECOND, ended_at=9 * SECOND)
UNHEARD = Far("external", 3 * SECOND, "+254720000009", answered_at=None, ended_at=4 * SECOND, status="busy")
BOT = Far("bot", SECOND, answered_at=SECOND, ended_at=3 * SECOND)
OUTCOMES: list[tuple[str, Lived]] = [
    ("answered", lived(far=[TALKED], visits=[visit("answered")])), ("answered", lived()),
    ("abandoned_in_queue", lived(visits=[visit("abandoned")])), ("abandoned_in_queue", lived(visits=[visit("abandoned")], far=[UNHEARD])),
    ("failed", lived(visits=[visit("timeout")])), ("voicemail", lived(visits=[visit("timeout")], recorded=True)),
    ("contained", lived(far=[BOT])), ("answered", lived(far=[BOT], handed_over=True)),
    ("abandoned_in_menu", lived(menus=[Menu("menu", SECOND)])), ("busy", lived(menus=[Menu("menu", SECOND, 2 * SECOND, "1")], far=[UNHEARD])),
    ("no_answer", lived(direction="outbound", answered_at=None, failure="no_answer")),
    ("failed", lived(direction="outbound", answered_at=None, failure="failed")), ("no_answer", lived(answered_at=None)),
]  # fmt: skip


@pytest.mark.parametrize(("outcome", "root"), OUTCOMES)
def test_the_truth_knows_what_a_call_came_to(outcome: str, root: Lived) -> None:
    assert story("default", [root], lost=0)["outcome"] == outcome


def test_what_is_dialled_and_answered_is_charged_by_the_second_begun() -> None:
    assert charged_seconds(lived(far=[TALKED, UNHEARD, BOT])) == {"caller": 0, "far-1": 5, "far-2": 0, "far-3": 0}
    placed = lived(direction="outbound", ended_at=2 * SECOND + 1000, far=[TALKED])
    assert charged_seconds(placed) == {"caller": 2, "far-1": 5}
    assert charged_seconds(lived(direction="outbound", answered_at=None)) == {"caller": 0}


def test_the_truth_has_the_shape_of_a_journey() -> None:
    root = lived(visits=[visit("answered")], menus=[Menu("menu", 0, SECOND, "2")])
    agents = lived(
        sids=["call-2", "HD_2"],
        direction="outbound",
        agent="amina",
        called="+254720000001",
        started_at=2 * SECOND,
        joined_at=4 * SECOND,
        ended_at=9 * SECOND,
    )
    told: Any = story("default", [root, agents], lost=2)
    assert (told["complete"], told["lost"], told["state"], told["outcome"]) == (False, 2, "ended", "answered")
    assert [call["call_sid"] for call in told["calls"]] == ["call-1", "call-2"] and told["calls"][1]["aliases"] == ["HD_2"]
    assert [(one["menu"], one["digits"]) for one in told["menu_path"]] == [("menu", "2")]
    assert [(one["queue"], one["outcome"], one["agent"], one["wait_ms"]) for one in told["queue_visits"]] == [
        ("help", "answered", "amina", 3000)
    ]
    assert told["durations"] | {"ring_ms": 0} == {
        "total_ms": 10_000,
        "menu_ms": 1000,
        "queue_ms": 3000,
        "ring_ms": 0,
        "talk_ms": 5000,
        "hold_ms": 0,
        "bot_ms": 0,
    }


def test_an_agent_who_came_too_late_answered_nobody() -> None:
    late = lived(sids=["call-2"], direction="outbound", agent="amina", called="+254720000001", joined_at=None)
    assert story("default", [lived(visits=[visit("abandoned")]), late], lost=0)["outcome"] == "abandoned_in_queue"


def test_a_wish_is_data() -> None:
    wish = demand(7, calls=1, trees=TREES)[0]
    assert msgspec.json.decode(msgspec.json.encode(wish), type=Wish) == wish
