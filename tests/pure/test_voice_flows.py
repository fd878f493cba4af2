"""What is wrong with a flow is found before a caller is on the line, all of it at once, by step and field."""

from __future__ import annotations

import pytest
from walking import compiled, faults

from calls.voice.check_flow import compile_flow

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
        ("nothing to fall back on", "[a]\nkind = 'bot'\nfallback_text = ' '", [("a", "fallback_text")]),
        ("no zone", "[a]\nkind = 'hours'\nopen = ['mon 08:00-17:00']\ntimezone = ''", [("a", "timezone")]),
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
