"""Whatever is rendered is read back as the same actions, in every form; and MiniVoice takes whatever is rendered for it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from calls.voice.actions import (
    Action,
    AiAgent,
    Bridge,
    Conference,
    Dial,
    Gather,
    GetDigits,
    Hangup,
    Hold,
    MiniConference,
    Mute,
    Play,
    Record,
    Redirect,
    Reject,
    Resume,
    Say,
    SendDigits,
    StartRecording,
    StartStream,
    StopRecording,
    StopStream,
    Stream,
    Transfer,
    Unmute,
)
from calls.voice.answers import read_body
from calls.voice.render import render
from calls.voice.rules import check

AGENT = "018f2d3e-7c1a-7b44-9a55-0123456789ab"
TEXTS = (
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff"), min_size=1, max_size=12)
    .map(str.strip)
    .filter(bool)
)
LINES = st.text("abc &<>\"'é-", max_size=8).map(lambda text: f"x{text}y")
WEB = st.sampled_from(["https://x.example.com/a?b=1&c=2", "http://127.0.0.1:8070/voice/ivr/menu?k=x%20y"])
SMALL, FLAGS, METHODS, KEYS = st.integers(0, 120), st.booleans(), st.sampled_from(["GET", "POST"]), st.sampled_from(["", "#", "*", "7"])
PHONES = st.sampled_from(["+254720000001", "0720000001", "*100#", "112"])
SIPS = st.sampled_from(["sip:mary@pbx.example.com", "sip:1@10.0.0.1:5060;transport=tls"])


def made(kind: type[Any], needed: dict[str, Any] | None = None, **optional: Any) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(needed or {}, optional=optional).map(lambda fields: kind(**fields))


SAID, PLAYED = (
    made(Say, {"text": TEXTS}, voice=LINES, language=st.sampled_from(["en-US", "sw"]), loop=SMALL),
    made(Play, {"url": WEB}, loop=SMALL),
)
ASKED = {"timeout": SMALL, "num_digits": SMALL, "finish_on_key": KEYS}
DIALLED = {"caller_id": PHONES, "timeout": SMALL, "record": st.sampled_from(["record-from-answer", "record-from-ringing"])}
COMMON = st.one_of(
    SAID, PLAYED, made(GetDigits, nested=st.lists(SAID | PLAYED, min_size=1, max_size=3), action=WEB, **ASKED),
    made(Dial, {"number": PHONES}, **DIALLED), made(Dial, {"sip": SIPS}, **DIALLED), made(Dial, {"numbers": st.lists(PHONES, min_size=2, max_size=4)}, **DIALLED),
    made(Conference, {"name": LINES}, flags=LINES, max_participants=SMALL, record=FLAGS, beep=FLAGS, muted=FLAGS, start_on_enter=FLAGS, end_on_exit=FLAGS,
         collect_digits=FLAGS, wait_url=WEB, status_events_callback_url=WEB, status_events=st.just("join leave"), digits_callback_url=WEB, finish_on_key=KEYS, num_digits=SMALL),
    made(Record, action=WEB, method=METHODS, timeout=SMALL, max_length=SMALL, finish_on_key=KEYS, transcribe=FLAGS, transcribe_callback=WEB),
    made(Stream, {"url": st.just("ws://x.example.com/a?b=1&c=2")}, track=st.sampled_from(["inbound_track", "both_tracks"]), connect=FLAGS, name=LINES,
         output_sampling_rate=st.sampled_from([8000, 16000]), input_sampling_rate=st.just(48000), bidirectional_sampling_rate=st.just(8000),
         header_metadata=st.dictionaries(LINES, LINES).map(json.dumps), open_metadata=LINES, status_callback=WEB, status_events=st.just("stream-started")),
)  # fmt: skip
LAST = st.one_of(
    made(Redirect, {"url": WEB}, method=METHODS), st.just(Hangup()), made(Reject, reason=st.sampled_from(["rejected", "busy"]))
)
AGENTS = made(
    AiAgent,
    {"agent_id": st.just(AGENT)},
    revision=SMALL,
    variables=st.dictionaries(LINES, TEXTS),
    handover=st.just({"callbackUrl": "https://x.example.com/"}),
)
LISTS = st.tuples(st.lists(COMMON, max_size=4), st.lists(LAST, max_size=1)).map(lambda parts: parts[0] + parts[1])


@settings(max_examples=60, deadline=None)
@given(LISTS, st.lists(AGENTS, max_size=1))
def test_json_comes_back_as_the_same_actions(actions: list[Action], agents: list[Action]) -> None:
    whole = (actions[:-1] if actions and agents else actions) + agents
    body, kind = render(whole, "json")
    assert read_body(body, kind, "sautikit") == (whole, False)


@settings(max_examples=60, deadline=None)
@given(LISTS)
def test_xml_comes_back_as_the_same_actions(actions: list[Action]) -> None:
    body, kind = render(actions, "xml")
    assert read_body(body, kind, "sautikit") == (actions, True)


TRACK = st.sampled_from(["inbound", "outbound", "both"])
FAR = {"from_": PHONES}
OWN = st.one_of(
    made(Say, {"text": TEXTS}), made(Gather, prompt=TEXTS, num_digits=st.integers(1, 9), min_digits=st.integers(0, 2), max_digits=st.integers(2, 9),
                                     timeout_seconds=st.integers(1, 30), finish_on_key=st.sampled_from("0#*")),
    made(Redirect, {"url": WEB}, method=METHODS, max_redirects=st.integers(0, 20)), made(StartStream, {"stream_url": st.just("wss://x.example.com")}, track=TRACK),
    made(StopStream, stream_url=st.just("wss://x.example.com"), track=TRACK), made(SendDigits, {"digits": st.text("09*#ADwW,", min_size=1)}, pause_before_ms=st.integers(0, 60000)),
    made(Mute, {"direction": st.sampled_from(["read", "write", "both"])}), made(Unmute, {"direction": st.just("both")}),
    st.sampled_from([StartRecording(), StopRecording(), Hold(), Resume()]),
)  # fmt: skip
ENDING = st.one_of(made(Transfer, {"destination": PHONES | SIPS}, **FAR), made(Bridge, {"destination": PHONES | SIPS}, timeout_seconds=st.integers(1, 60), **FAR),
                   made(MiniConference, {"room": st.just("a.b-c_1")}, mute=FLAGS, end_on_exit=FLAGS))  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(OWN, max_size=5), st.lists(ENDING, max_size=1))
def test_minivoices_json_comes_back_as_the_same_actions(actions: list[Action], end: list[Action]) -> None:
    body, kind = render(actions + end, "minivoice")
    assert read_body(body, kind, "minivoice") == (actions + end, False)


@settings(max_examples=60, deadline=None)
@given(st.lists(COMMON | LAST, max_size=6))
def test_minivoice_takes_whatever_is_rendered_for_it(actions: list[Action]) -> None:
    fit = [one for one in actions if not isinstance(one, Conference)]  # whose name may be none of MiniVoice's: `cannot` says so
    assert check(json.loads(render(fit, "minivoice")[0])["actions"], "minivoice") == []
