"""What is wrong with a flow is found before a caller is on the line, all of it at once, by step and field."""

from __future__ import annotations

import datetime
import random
import tomllib
from pathlib import Path
from typing import Any

import pytest
from walking import compiled, faults, flow

from calls.voice.check_flow import compile_flow
from calls.voice.flow import KINDS, QueueRules, shown
from runtime.flows import faults_of, flows_of
from runtime.problems import Refused
from runtime.settings import Settings

SIP = "sip:mary@pbx.example.com"


@pytest.mark.parametrize(
    ("what", "text", "found"),
    [
        ("a target that is none", "[a]\nkind = 'say'\ntext = 'Hi'\nnext = 'nowhere'", [("a", "next")]),
        ("a choice that is none", "[a]\nkind = 'menu'\nprompt = 'Hi'\nchoices = { 1 = 'nowhere' }", [("a", "choices")]),
        ("a menu that leads nowhere", "[a]\nkind = 'menu'\nprompt = 'Hi'\nchoices = {}", [("a", "choices")]),
        ("a menu without choices", "[a]\nkind = 'menu'\nprompt = 'Hi'", [("a", "choices")]),
        ("a step that leads to itself", "[a]\nkind = 'say'\ntext = 'Hi'\nnext = 'a'", [("a", "next")]),
        ("a step that nobody reaches", "[a]\nkind = 'hangup'\n[b]\nkind = 'hangup'", [("b", "")]),
        ("an unknown kind", "[a]\nkind = 'teleport'", [("a", "kind")]),
        ("no kind", "[a]\ntext = 'Hi'", [("a", "kind")]),
        ("a kind that is no text", "[a]\nkind = 5", [("a", "kind")]),
        ("an unknown field", "[a]\nkind = 'say'\ntext = 'Hi'\ntekst = 'Ho'", [("a", "tekst")]),
        ("what is read out of others", "[a]\nkind = 'actions'\nactions = [{ hangup = {} }]\nparsed = []", [("a", "parsed")]),
        ("a missing field", "[a]\nkind = 'say'", [("a", "text")]),
        ("a field of another type", "[a]\nkind = 'say'\ntext = 5", [("a", "text")]),
        ("true is no number", "[a]\nkind = 'dial'\nto = '+254720000001'\ntimeout_s = true", [("a", "timeout_s")]),
        ("choices that are a list", "[a]\nkind = 'menu'\nprompt = 'Hi'\nchoices = ['a']", [("a", "choices")]),
        ("choices that are numbers", "[a]\nkind = 'menu'\nprompt = 'Hi'\nchoices = { 1 = 2 }", [("a", "choices")]),
        ("a target that is a number", "[a]\nkind = 'say'\ntext = 'Hi'\nnext = 1", [("a", "next")]),
        ("neither prompt nor play", "[a]\nkind = 'menu'\nchoices = { 1 = 'a' }", [("a", "prompt")]),
        ("prompt and play", "[a]\nkind = 'menu'\nprompt = 'Hi'\nplay = 'https://x.example/a.mp3'\nchoices = { 1 = 'a' }", [("a", "play")]),
        ("a choice that nobody can press", "[a]\nkind = 'menu'\nprompt = 'Hi'\nchoices = { x = 'a' }", [("a", "choices")]),
        ("a choice longer than the input", "[a]\nkind = 'menu'\nprompt = 'Hi'\nchoices = { 12 = 'a' }", [("a", "choices")]),
        ("a choice that ends the input", "[a]\nkind = 'menu'\nprompt = 'Hi'\nchoices = { '#' = 'a' }", [("a", "choices")]),
        ("retries below none", "[a]\nkind = 'menu'\nprompt = 'Hi'\nchoices = { 1 = 'a' }\nretries = -1", [("a", "retries")]),
        ("a language that is none", "[a]\nkind = 'menu'\nprompt = 'Hi'\nchoices = { 1 = 'a' }\nlanguage = 'Kiswahili sanifu'", [("a", "language")]),
        ("an empty text", "[a]\nkind = 'say'\ntext = ' '", [("a", "text")]),
        ("an address that is none", "[a]\nkind = 'play'\nurl = 'tune.mp3'", [("a", "url")]),
        ("hours that are none", "[a]\nkind = 'hours'\nopen = ['always']\nclosed_on = ['Christmas']\ntimezone = 'Mars'", [("a", "open[0]"), ("a", "closed_on[0]"), ("a", "timezone")]),
        ("hours without hours", "[a]\nkind = 'hours'", [("a", "open")]),
        ("nobody to dial", "[a]\nkind = 'dial'\nto = []", [("a", "to")]),
        ("no number", "[a]\nkind = 'dial'\nto = 'mary'", [("a", "to")]),
        ("SIP among numbers", f"[a]\nkind = 'dial'\nto = ['+254720000001', '{SIP}']", [("a", "to")]),
        ("no number to show", "[a]\nkind = 'dial'\nto = '+254720000001'\ncaller_id = 'Acme Ltd'", [("a", "caller_id")]),
        ("a dial that never rings", "[a]\nkind = 'dial'\nto = '+254720000001'\ntimeout_s = 0", [("a", "timeout_s")]),
        ("an unknown word to record", "[a]\nkind = 'dial'\nto = '+254720000001'\nrecord = 'always'", [("a", "record")]),
        ("a queue without a name", "[a]\nkind = 'queue'\nqueue = ''", [("a", "queue")]),
        ("an unknown engine", "[a]\nkind = 'bot'\nengine = 'hal'", [("a", "engine")]),
        ("an engine and somebody else's", "[a]\nkind = 'bot'\nengine = 'scripted'\nurl = 'wss://x.example/a'", [("a", "url")]),
        ("somebody else's without an address", "[a]\nkind = 'bot'\nengine = 'url'", [("a", "url")]),
        ("audio over http", "[a]\nkind = 'bot'\nurl = 'https://x.example/a'", [("a", "url")]),
        ("a rate that nobody has", "[a]\nkind = 'bot'\nsampling_rate = 44100", [("a", "sampling_rate")]),
        ("a message that never ends", "[a]\nkind = 'record'\nmax_length_s = 0", [("a", "max_length_s")]),
        ("an unknown reason", "[a]\nkind = 'reject'\nreason = 'rude'", [("a", "reason")]),
        ("an unknown method", "[a]\nkind = 'redirect'\nurl = 'https://x.example/'\nmethod = 'PUT'", [("a", "method")]),
        ("number and sip", f"[a]\nkind = 'actions'\nactions = [{{ dial = {{ number = '+254720000001', sip = '{SIP}' }} }}]", [("a", "actions[0].dial.sip")]),
        ("a dial inside getDigits", "[a]\nkind = 'actions'\nactions = [{ getDigits = { nested = [{ dial = { number = '+254720000001' } }] } }]", [("a", "actions[0].getDigits.nested[0].dial")]),
        ("no actions", "[a]\nkind = 'actions'\nactions = []", [("a", "actions")]),
        ("actions that are texts", "[a]\nkind = 'actions'\nactions = ['hangup']", [("a", "actions")]),
        ("after the end", "[a]\nkind = 'actions'\nactions = [{ hangup = {} }]\nnext = 'b'\n[b]\nkind = 'hangup'", [("a", "next")]),
        ("an application without an address", "[a]\nkind = 'delegate'\nurl = 'localhost'", [("a", "url")]),
        ("an application that may take its time", "[a]\nkind = 'delegate'\nurl = 'https://x.example/'\ntimeout_ms = 60000", [("a", "timeout_ms")]),
        ("a step called events", "[a]\nkind = 'say'\ntext = 'Hi'\nnext = 'events'\n[events]\nkind = 'hangup'", [("events", "")]),
        ("a step that no address can name", "[a]\nkind = 'say'\ntext = 'Hi'\nnext = 'b c'\n['b c']\nkind = 'hangup'", [("b c", "")]),
        ("a step that is no table", "a = 5", [("a", "")]),
    ],
)  # fmt: skip
def test_each_fault_is_named(what: str, text: str, found: list[tuple[str, str]]) -> None:
    wrong = faults(text)
    assert set(found) <= set(wrong), (what, wrong)
    assert {step for step, _ in wrong} <= {"a", "b", "events", "b c", ""}


def test_all_faults_are_named_at_once() -> None:
    wrong = faults("[a]\nkind = 'say'\nnext = 'c'\n[b]\nkind = 'dail'\n[d]\nkind = 'menu'\nretires = 5")
    assert wrong == [("a", "text"), ("b", "kind"), ("d", "retires"), ("a", "next"), ("b", ""), ("d", "")]


def test_a_near_word_is_suggested() -> None:
    told = [str(one) for one in compiled("[a]\nkind = 'dail'\nto = '+254720000001'\n[sales]\nkind = 'say'\ntext = 'Hi'\nnext = 'slaes'")[1]]
    assert told[0] == "flows.line.steps.a.kind: there is no kind 'dail': did you mean 'dial'?"
    assert "flows.line.steps.sales.next: there is no step 'slaes': did you mean 'sales'?" in told


def test_a_step_with_a_fault_still_leads_on() -> None:
    """One slip is one fault: what stands behind it is not called unreachable."""
    text = "[a]\nkind = 'say'\nnext = 'b'\n[b]\nkind = 'mneu'\nchoices = { 1 = 'c' }\n[c]\nkind = 'hangup'"
    assert faults(text) == [("a", "text"), ("b", "kind")]


# ---------------------------------------------------------------- walks that never ask


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[a]\nkind = 'say'\ntext = 'Hi'\nnext = 'b'\n[b]\nkind = 'play'\nurl = 'https://x.example/t.mp3'\nnext = 'a'", ("b", "next")),
        ("[a]\nkind = 'hours'\nopen = ['mon 08:00-17:00']\nif_open = 'b'\n[b]\nkind = 'say'\ntext = 'Hi'\nnext = 'a'", ("b", "next")),
        ("[a]\nkind = 'delegate'\nurl = 'https://x.example/'\nfallback = 'a'", ("a", "fallback")),
        ("[a]\nkind = 'queue'\nqueue = 'one'\non_full = 'b'\n[b]\nkind = 'queue'\nqueue = 'two'\non_full = 'a'", ("b", "on_full")),
        ("[a]\nkind = 'actions'\nactions = [{ say = { text = 'Hi' } }]\nnext = 'a'", ("a", "next")),
    ],
)
def test_a_loop_that_asks_nothing_is_a_dead_end(text: str, found: tuple[str, str]) -> None:
    assert faults(text) == [found]


@pytest.mark.parametrize(
    "text",
    [
        "[a]\nkind = 'menu'\nprompt = 'Hi'\nchoices = { 1 = 'a' }",
        "[a]\nkind = 'say'\ntext = 'Hi'\nnext = 'b'\n[b]\nkind = 'dial'\nto = '+254720000001'\nnext = 'a'",
        "[a]\nkind = 'queue'\nqueue = 'support'\non_timeout = 'b'\n[b]\nkind = 'say'\ntext = 'Still busy.'\nnext = 'a'",
        "[a]\nkind = 'actions'\nactions = [{ getDigits = {} }]\nnext = 'a'",
        "[a]\nkind = 'record'\nnext = 'a'",
    ],
)
def test_a_loop_that_asks_is_a_menu(text: str) -> None:
    assert faults(text) == []


def says(number: int) -> str:
    return "".join(f"[s{n}]\nkind = 'say'\ntext = 'Hi'\n" + (f"next = 's{n + 1}'\n" if n < number else "") for n in range(1, number + 1))


def test_steps_that_would_make_one_answer_too_long() -> None:
    assert faults(says(48), start="s1") == []
    assert faults(says(49), start="s1") == [("s1", "next")]
    assert faults(says(60), start="s1") == [("s12", "next")]
    fifty = "[a]\nkind = 'actions'\nactions = [" + "{ say = { text = 'Hi' } }," * 51 + "]"
    assert faults(fifty) == [("a", "actions")]


# ---------------------------------------------------------------- the flow itself


@pytest.mark.parametrize(
    ("raw", "fields"),
    [
        (5, [""]),
        ({}, ["steps", "account", "start"]),
        ({"account": "acme", "start": "b", "steps": {"a": {"kind": "hangup"}}}, ["start"]),
        ({"account": 5, "start": ["a"], "steps": {"a": {"kind": "hangup"}}}, ["account", "start"]),
        ({"account": "acme", "start": "a", "format": "yaml", "stepps": {}, "steps": {"a": {"kind": "hangup"}}}, ["stepps", "format"]),
        ({"account": "acme", "start": "a", "steps": []}, ["steps", ]),
    ],
)  # fmt: skip
def test_the_flows_own_fields(raw: object, fields: list[str]) -> None:
    made, wrong = compile_flow("line", raw, dialect="sautikit", timezone="UTC", queues={})
    assert made is None and [one.field for one in wrong if not one.step] == fields


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "~offer", "a/b", "..", "dös"])
def test_a_flow_that_no_address_can_name(name: str) -> None:
    _, wrong = compile_flow(
        name, {"account": "acme", "start": "a", "steps": {"a": {"kind": "hangup"}}}, dialect="sautikit", timezone="UTC", queues={}
    )
    assert [one.field for one in wrong] == [""] and "name" in wrong[0].detail


# ---------------------------------------------------------------- MiniVoice


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[a]\nkind = 'play'\nurl = 'https://x.example/t.mp3'", ("a", "kind")),
        ("[a]\nkind = 'record'", ("a", "kind")),
        ("[a]\nkind = 'bot'", ("a", "kind")),
        ("[a]\nkind = 'reject'", ("a", "kind")),
        ("[a]\nkind = 'queue'\nqueue = 'support'", ("a", "kind")),
        ("[a]\nkind = 'menu'\nplay = 'https://x.example/t.mp3'\nchoices = { 1 = 'a' }", ("a", "play")),
        ("[a]\nkind = 'menu'\nprompt = 'Hi'\nchoices = { 1 = 'a' }\ntimeout_s = 31", ("a", "timeout_s")),
        ("[a]\nkind = 'menu'\nprompt = 'Hi'\nchoices = { 1 = 'a' }\nsensitive = true", ("a", "sensitive")),
        ("[a]\nkind = 'menu'\nprompt = 'Hi'\nchoices = { 1 = 'a' }\nlanguage = 'en-US'", ("a", "language")),
        ("[a]\nkind = 'menu'\nprompt = 'Hi'\nchoices = { 1 = 'a' }\ndigits = 0", ("a", "digits")),
        ("[a]\nkind = 'dial'\nto = ['+15551230011', '+15551230012']", ("a", "to")),
        ("[a]\nkind = 'dial'\nto = '+15551230011'\nrecord = true", ("a", "record")),
        ("[a]\nkind = 'dial'\nto = '+15551230011'\nnext = 'b'\n[b]\nkind = 'hangup'", ("a", "next")),
        ("[a]\nkind = 'actions'\nactions = [{ dial = { number = '+15551230011' } }]", ("a", "actions[0].dial")),
        ("[a]\nkind = 'actions'\nactions = [{ transfer = { to = '+15551230011' } }]\nnext = 'b'\n[b]\nkind = 'hangup'", ("a", "next")),
    ],
)  # fmt: skip
def test_what_minivoice_cannot_do_is_said_by_field(text: str, found: tuple[str, str]) -> None:
    assert faults(text, dialect="minivoice") == [found]


def test_minivoice_takes_json_only() -> None:
    assert faults("[a]\nkind = 'hangup'", dialect="minivoice", form="xml") == [("", "format")]


# ---------------------------------------------------------------- what holds


def test_a_flow_that_holds_keeps_what_was_written_and_the_rules_of_its_queues() -> None:
    made = flow("[a]\nkind = 'queue'\nqueue = 'support'\non_full = 'b'\n[b]\nkind = 'queue'\nqueue = 'night'")
    assert (made.start, made.dialect, made.timezone) == ("a", "sautikit", "Africa/Nairobi")
    assert made.queues["support"].announce == "Please hold." and made.queues["night"] == QueueRules()
    assert shown(made.steps["a"]) == {"kind": "queue", "queue": "support", "on_full": "b"}


def test_a_bot_with_an_address_is_somebody_elses() -> None:
    (bot,) = flow("[a]\nkind = 'bot'\nurl = 'wss://x.example/audio'").steps.values()
    assert shown(bot)["engine"] == "url"


def test_dates_may_be_written_as_toml_has_them() -> None:
    assert faults("[a]\nkind = 'hours'\nopen = ['mon 08:00-17:00']\nclosed_on = [2026-12-25, '2026-12-26']") == []


def test_music_that_is_no_address_is_a_fault_of_the_queue_step() -> None:
    queues = {"support": QueueRules(music="hold.mp3")}
    (fault,) = compiled("[a]\nkind = 'queue'\nqueue = 'support'", queues=queues)[1]
    assert (fault.step, fault.field) == ("a", "queue") and "queues.support.music" in fault.detail


ODD: list[Any] = [None, True, -1, 0, 3, 10**30, 1.5, float("nan"), "", "a", "b", "menu", "+254720000001", "sip:a@b.example", "https://x.example/", "\ud800", "\0", [], {}, datetime.date(2026, 9, 1), datetime.datetime(2026, 9, 1, tzinfo=datetime.UTC), datetime.time(8)]  # fmt: skip


def odd(pick: random.Random, depth: int = 0) -> Any:
    """Something that TOML can hold."""
    shape = pick.random()
    if depth < 3 and shape < 0.15:
        return [odd(pick, depth + 1) for _ in range(pick.randrange(3))]
    if depth < 3 and shape < 0.35:
        return {
            str(pick.choice(["1", "x", "say", "dial", "text", "nested", "getDigits"])): odd(pick, depth + 1)
            for _ in range(pick.randrange(3))
        }
    return pick.choice(ODD)


GOOD: list[dict[str, Any]] = [
    {"kind": "menu", "prompt": "Hi", "choices": {"1": "b", "2": "a"}},
    {"kind": "say", "text": "Hi", "next": "b"},
    {"kind": "dial", "to": "+254720000001", "on_no_answer": "b"},
    {"kind": "hours", "open": ["mon 08:00-17:00"], "if_open": "b"},
    {"kind": "actions", "actions": [{"say": {"text": "Hi"}}], "next": "b"},
]  # fmt: skip


def odd_step(pick: random.Random) -> Any:
    """A step that holds, but for one field, or none that could."""
    if pick.random() < 0.6:
        good = dict(pick.choice(GOOD))
        return good | ({pick.choice(list(good)): odd(pick)} if pick.random() < 0.5 else {})
    if pick.random() < 0.05:
        return odd(pick)
    kind = pick.choice([*KINDS, *KINDS, odd(pick)])
    cls = KINDS.get(kind) if isinstance(kind, str) else None
    names = [*(cls.__struct_fields__ if cls else ()), "next"]
    return {name: odd(pick) for name in names if pick.random() < 0.6} | {"kind": kind}


def test_whatever_is_written_is_a_fault_and_never_an_exception() -> None:
    held = 0
    for seed in range(600):
        pick = random.Random(seed)
        raw = {"account": "acme", "start": "a", "steps": {"a": odd_step(pick), "b": odd_step(pick)}} | (
            {"format": odd(pick)} if seed % 7 == 0 else {}
        )
        made, wrong = compile_flow("line", raw, dialect=pick.choice(["sautikit", "minivoice"]), timezone="UTC", queues={})
        assert (made is None) == bool(wrong)
        assert all(one.detail and str(one).startswith("flows.line") for one in wrong)
        held += made is not None
    assert held  # a few hold


# ---------------------------------------------------------------- the configuration's


def configured(text: str) -> Settings:
    return Settings.model_validate(tomllib.loads(text))


ACCOUNTS = '[accounts.acme]\nprovider = "sautikit"\ntenant = "shop"\n[accounts.log]\nprovider = "neutral"\n[tenants.shop]\ntimezone = "Europe/Berlin"\n'


def test_flows_take_their_zone_their_dialect_and_their_queues_from_the_configuration() -> None:
    text = (
        ACCOUNTS
        + '[queues.help]\nmax_wait_s = 30\n[flows.line]\naccount = "acme"\nstart = "a"\n[flows.line.steps.a]\nkind = "queue"\nqueue = "help"\n'
    )
    line = flows_of(configured(text))["line"]
    assert (line.timezone, line.dialect, line.queues["help"].max_wait_s) == ("Europe/Berlin", "sautikit", 30)


@pytest.mark.parametrize(("account", "says"), [("acne", "did you mean 'acme'"), ("log", "neutral")])
def test_an_account_that_answers_no_calls(account: str, says: str) -> None:
    text = ACCOUNTS + f'[flows.line]\naccount = "{account}"\nstart = "a"\n[flows.line.steps.a]\nkind = "hangup"\n'
    (fault,) = faults_of(configured(text))
    assert (fault.field, fault.step) == ("account", "") and says in fault.detail


def test_a_broken_flow_is_refused_with_its_first_fault() -> None:
    text = ACCOUNTS + '[flows.line]\naccount = "acme"\nstart = "a"\n[flows.line.steps.a]\nkind = "say"\nnext = "b"\n'
    with pytest.raises(Refused, match=r"^flows\.line\.steps\.a\.text: is required \(and 1 more: safiri flows check\)$") as refused:
        flows_of(configured(text))
    assert [error["field"] for error in refused.value.errors] == ["flows.line.steps.a.text", "flows.line.steps.a.next"]


def test_the_examples_flows_hold() -> None:
    examples = sorted((Path(__file__).parents[2] / "docs" / "examples").glob("*/safiri.toml"))
    assert examples and [faults_of(configured(one.read_text())) for one in examples] == [[]] * len(examples)
