"""Any caller in any flow: whatever they press, wait for and repeat, every answer is one that the provider takes, and there is one."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from walking import QUEUES, Walk, compiled

from calls.voice.actions import Dial, Say
from calls.voice.answers import read_body
from calls.voice.check_flow import compile_flow
from calls.voice.flow import Flow
from calls.voice.position import Delegated, FreeAgent, Gathered, InQueue
from calls.voice.render import render
from calls.voice.rules import check
from calls.voice.trial import as_json, try_step

NAMES = ["a", "b", "c", "d", "e"]
AGENT = FreeAgent(agent="amina", address="sip:amina@pbx.example.com", ring_s=20, offer="o-1")


def step(pick: random.Random, dialect: str) -> dict[str, Any]:
    """One of the kinds that the provider can do, with targets among the names or none."""
    goes = lambda: pick.choice([*NAMES, None])  # noqa: E731
    menu: dict[str, Any] = {
        "kind": "menu", "prompt": "Press a key.", "digits": pick.choice([1, 2]), "retries": pick.choice([0, 1, 3]),
        "choices": {keys: pick.choice(NAMES) for keys in pick.sample(["1", "2", "7", "0"], 2)}, "on_no_input": goes(), "on_invalid": goes(),
        "on_exhausted": goes(),
    }  # fmt: skip
    kinds: list[dict[str, Any]] = [
        menu, menu,
        {"kind": "say", "text": "Karibu & welcome <here>", "next": goes()},
        {"kind": "hours", "open": ["mon-fri 08:00-17:00"], "if_open": goes(), "if_closed": goes()},
        {"kind": "redirect", "url": "https://ivr.example.com/x"}, {"kind": "hangup"},
        {"kind": "delegate", "url": "https://app.example.com/", "fallback": goes()},
    ]  # fmt: skip
    if dialect == "minivoice":
        kinds += [{"kind": "dial", "to": "+15551230011"}, {"kind": "actions", "actions": [{"type": "start_recording"}], "next": goes()}]
    else:
        kinds += [
            {"kind": "play", "url": "https://cdn.example.com/t.mp3", "next": goes()}, {"kind": "reject", "reason": "busy"},
            {"kind": "dial", "to": ["+254720000001", "+254720000002"], "record": True, "next": goes(), "on_no_answer": goes()},
            {"kind": "queue", "queue": pick.choice(["support", "other"]), "on_timeout": goes(), "on_full": goes()},
            {"kind": "bot", "hand_over_to": goes(), "fallback_text": pick.choice(["One moment.", None])},
            {"kind": "record", "prompt": "Speak.", "next": goes()},
            {"kind": "actions", "actions": [{"conference": {"name": "team"}}], "next": goes()},
        ]  # fmt: skip
    return {name: value for name, value in pick.choice(kinds).items() if value is not None}


def flow_of(pick: random.Random) -> Flow | None:
    dialect: Any = pick.choice(["sautikit", "sautikit", "minivoice"])
    raw = {"account": "acme", "start": "a", "steps": {name: step(pick, dialect) for name in NAMES}}
    if dialect == "sautikit" and pick.random() < 0.3:
        raw["format"] = "xml"
    for _ in range(8):  # what a check would refuse is taken out
        made, faults = compile_flow("line", raw, dialect=dialect, timezone="Africa/Nairobi", queues=QUEUES)
        if made is not None:
            return made
        for fault in faults:
            raw["steps"].pop(fault.step, None) if not fault.field else raw["steps"].get(fault.step, {}).pop(fault.field, None)
    return None


def wander(walk: Walk, pick: random.Random) -> None:
    """One request of any sort."""
    walk.outside = {
        "queue": pick.choice([InQueue(), InQueue(agent=AGENT), InQueue(full=True)]),
        "delegate": pick.choice([Delegated(fault="away"), Delegated(actions=[Say(text="Hi"), Dial(number="+254720000001")])]),
        "digits": pick.choice([Gathered(), Gathered(digits="1", timed_out=False, event_id=str(walk.now))]),
    }
    if walk.flow.dialect == "minivoice":
        walk.outside["delegate"] = Delegated(fault="away")
    walk.after(pick.choice([0.5, 5, 40, 70]))
    digits = pick.choice([None, "", "1", "2", "7", "0", "99", "?x", "#"])
    if walk.state is None or pick.random() < 0.3:
        walk.ask(digits=digits)
    elif pick.random() < 0.1:
        walk.ask(step=pick.choice(NAMES), digits=digits)
    elif pick.random() < 0.1:
        walk.ask(kind=pick.choice(["edge", "over"]), state="Completed")
    else:
        walk.go(digits=digits, dial_answered=pick.choice([None, True, False]), recording=pick.random() < 0.5)


def is_taken(walk: Walk) -> None:
    """The provider's own rules, on what is really sent."""
    flow = walk.flow
    xml = flow.dialect == "sautikit" and (walk.last.xml or flow.form == "xml")
    document, kind = render(walk.last.actions, "minivoice" if flow.dialect == "minivoice" else "xml" if xml else "json")
    if xml:
        again, was_xml = read_body(document, kind, flow.dialect)
        assert was_xml and len(again) == len(walk.last.actions)
    else:
        assert check(msgspec.json.decode(document)["actions"], flow.dialect) == []


@pytest.mark.parametrize("seed", range(4))
def test_every_answer_on_every_way_is_taken_by_the_provider(seed: int) -> None:
    pick = random.Random(seed)
    walked = 0
    while walked < 25:
        flow = flow_of(pick)
        if flow is None:
            continue
        walked += 1
        walk = Walk(flow)
        visit = 0
        for _ in range(25):
            wander(walk, pick)
            is_taken(walk)
            assert walk.state is not None and walk.state.visit >= visit
            moved = walk.last.actions and not walk.last.replay
            assert walk.state.visit == visit + 1 or not moved
            visit = walk.state.visit
            if visit > 1 and walk.state.step in flow.steps:  # an older address is known to be one
                stands = walk.state
                walk.ask(step=walk.state.step, visit=pick.randrange(1, visit), digits="1")
                assert walk.last.replay and walk.state == stands


@pytest.mark.parametrize("seed", range(2))
def test_a_walk_without_a_phone_comes_to_an_answer_too(seed: int) -> None:
    pick = random.Random(seed + 100)
    for flow in filter(None, (flow_of(pick) for _ in range(30))):
        state = None
        for _ in range(12):
            tried = try_step(
                flow,
                state,
                pick.choice([None, "", "1", "7"]),
                now=0,
                public="https://x.example",
                agent=pick.random() < 0.5,
                answered=pick.random() < 0.5,
            )
            told = as_json(flow, tried)
            assert check(told["actions"], flow.dialect) == []
            state = msgspec.convert(msgspec.json.decode(msgspec.json.encode(told["state"])), type(tried.state))
            assert state == tried.state


def test_a_walk_says_what_it_assumed() -> None:
    made, _ = compiled("[a]\nkind = 'delegate'\nurl = 'https://app.example.com/'\nfallback = 'b'\n[b]\nkind = 'queue'\nqueue = 'support'")
    assert made
    tried = try_step(made, None, None, now=0, public="https://x.example")
    assert tried.notes == ["https://app.example.com/ is not asked here: the fallback is walked", "in queue support nobody is free"]
    dialled = try_step(made, tried.state, "5", now=1, public="https://x.example", agent=True)
    assert dialled.notes == ["nobody asks for keys here: '5' is not used", "in queue support an agent is free"]
    assert try_step(made, dialled.state, None, now=2, public="https://x.example", answered=True).state.waits == "over"
