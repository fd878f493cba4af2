"""Flows as their surroundings let them be: the account's provider, the tenant's zone, the queues' rules; and what holds is kept."""

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


@pytest.mark.parametrize("text", [
    "[a]\nkind = 'menu'\nprompt = 'Hi'\nchoices = { 1 = 'a' }\nlanguage = 'en-US'\nvoice = 'alice'",
    "[a]\nkind = 'say'\ntext = 'Hi'\nlanguage = 'en-US'",
    "[a]\nkind = 'dial'\nto = '+15551230011'\ntimeout_s = 20\ncaller_id = '+15551230001'",
])  # fmt: skip
def test_what_minivoice_only_leaves_out_is_no_fault(text: str) -> None:
    assert faults(text, dialect="minivoice") == []


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
