"""What providers refuse, as tables: the actions, the field that is named, and what its author is told to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calls.voice.actions import VERBS, Dialect
from calls.voice.answers import BadActions, read
from calls.voice.rules import check
from calls.voice.shapes import SHAPES, TAGS

NUMBER, SIP, WEB = "+254720000001", "sip:mary@pbx.example.com", "https://ivr.example.com/next"
HI = {"say": {"text": "Hi"}}
AGENT = "018f2d3e-7c1a-7b44-9a55-0123456789ab"


def only_fault(actions: Any, dialect: Dialect, **how: Any) -> tuple[str, str]:
    faults = check(actions, dialect, **how)
    assert len(faults) == 1, faults
    return faults[0].field, faults[0].detail


@pytest.mark.parametrize(("actions", "field", "detail"), [
    ("say", "actions", "must be a list of actions, not a text"),
    (None, "actions", "must be a list of actions, not null"),
    ([HI] * 51, "actions", "has 51 actions; 50 are allowed"),
    (["say"], "actions[0]", "must be an object such as"),
    ([{}], "actions[0]", "must have exactly one verb, not 0"),
    ([HI, {"say": {"text": "Hi"}, "hangup": {}}], "actions[1]", "exactly one verb, not 2 (`say`, `hangup`)"),
    ([{"say": "Hi"}], "actions[0].say", "must be an object of fields"),
    ([{"explode": {}}], "actions[0].explode", "is no verb of Sautikit; there are say, play"),
    ([{"get_digits": {}}], "actions[0].get_digits", "did you mean `getDigits`?"),
    ([{"hangUp": {}}], "actions[0].hangUp", "did you mean `hangup`?"),
    ([{"gather": {}}], "actions[0].gather", "write `getDigits`"),
    ([{"transfer": {"destination": NUMBER}}], "actions[0].transfer", "write `dial`"),
    ([{"type": "redirect", "url": WEB}], "actions[0]", "exactly one verb"),
])  # fmt: skip
def test_a_list_of_one_verb_objects(actions: Any, field: str, detail: str) -> None:
    named, told = only_fault(actions, "sautikit")
    assert named == field
    assert detail in told


def say(**fields: Any) -> dict[str, Any]:
    return {"say": {"text": "Hi"} | fields}


SAUTIKIT = [
    ({"say": {}}, "say.text", "is required"),
    (say(text=None), "say.text", "is required"),
    (say(text=" "), "say.text", "must not be empty"),
    (say(text=5), "say.text", "must be a text, not a whole number"),
    (say(text="a\x00b"), "say.text", "cannot be sent"),
    (say(text="a\ud800b"), "say.text", "cannot be sent"),
    (say(text="a" * 4097), "say.text", "is longer than 4096"),
    (say(lang="en"), "say.lang", "did you mean `language`?"),
    (say(language="English (UK)"), "say.language", "language tag"),
    (say(loop="2"), "say.loop", "must be a whole number, not a text"),
    (say(loop=True), "say.loop", "must be a whole number, not true or false"),
    (say(loop=2.0), "say.loop", "not a number with a point"),
    (say(loop=-1), "say.loop", "between 0 and 1000"),
    ({"play": {"url": "ftp://x.example.com/a"}}, "play.url", "absolute http:// or https:// address"),
    ({"play": {"url": "/a.mp3"}}, "play.url", "absolute"),
    ({"play": {"url": "https://x.example.com/a b.mp3"}}, "play.url", "without spaces"),
    ({"play": {"url": "https://[::1/a"}}, "play.url", "absolute"),
    ({"getDigits": {"numDigits": -1}}, "getDigits.numDigits", "between 0"),
    ({"getDigits": {"timeout": 100000}}, "getDigits.timeout", "between 0 and 3600"),
    ({"getDigits": {"finishOnKey": "##"}}, "getDigits.finishOnKey", "one key of 0-9 * #"),
    ({"getDigits": {"finishOnKey": "A"}}, "getDigits.finishOnKey", "one key of 0-9 * #"),
    ({"getDigits": {"num_digits": 1}}, "getDigits.num_digits", "did you mean `numDigits`?"),
    ({"getDigits": {"nested": {"say": {"text": "Hi"}}}}, "getDigits.nested", "must be a list"),
    ({"getDigits": {"nested": [{"dial": {"number": NUMBER}}]}}, "getDigits.nested[0].dial", "only say and play can"),
    ({"getDigits": {"nested": [HI, {"getDigits": {}}]}}, "getDigits.nested[1].getDigits", "put it after getDigits"),
    ({"getDigits": {"nested": [HI, {"say": {}}]}}, "getDigits.nested[1].say.text", "is required"),
    ({"getDigits": {"nested": ["Hi"]}}, "getDigits.nested[0]", "must be an object"),
    ({"dial": {}}, "dial.number", "give exactly one of number or numbers or sip"),
    ({"dial": {"number": NUMBER, "sip": SIP}}, "dial.sip", "cannot stand beside number"),
    ({"dial": {"number": NUMBER, "numbers": [NUMBER]}}, "dial.numbers", "cannot stand beside number"),
    ({"dial": {"number": "+254 720 000 001"}}, "dial.number", "without spaces"),
    ({"dial": {"number": "mary"}}, "dial.number", "such as +254720000001"),
    ({"dial": {"numbers": []}}, "dial.numbers", "a list of 1 to 50"),
    ({"dial": {"numbers": [NUMBER, SIP]}}, "dial.numbers", "place 1"),
    ({"dial": {"sip": "mary@pbx.example.com"}}, "dial.sip", "such as sip:alice@pbx.example.com"),
    ({"dial": {"number": NUMBER, "record": "true"}}, "dial.record", "record-from-answer or record-from-ringing"),
    ({"dial": {"number": NUMBER, "record": True}}, "dial.record", "must be a text"),
    ({"conference": {}}, "conference.name", "is required"),
    ({"conference": {"name": "a", "beep": "true"}}, "conference.beep", "must be true or false, not a text"),
    ({"conference": {"name": "a", "statusEvents": "join left"}}, "conference.statusEvents", "does not know 'left'"),
    ({"conference": {"name": "a", "waitUrl": "hold.mp3"}}, "conference.waitUrl", "absolute"),
    ({"record": {"method": "PUT"}}, "record.method", "GET or POST"),
    ({"record": {"playBeep": True}}, "record.playBeep", "only in the XML form"),
    ({"record": {"maxLength": "60"}}, "record.maxLength", "whole number"),
    ({"redirect": {}}, "redirect.url", "is required"),
    ({"redirect": {"url": WEB, "method": "post"}}, "redirect.method", "GET or POST"),
    ({"reject": {"reason": "sleeping"}}, "reject.reason", "rejected or busy"),
    ({"hangup": {"reason": "busy"}}, "hangup.reason", "it has none"),
    ({"stream": {"url": "https://x.example.com"}}, "stream.url", "ws:// or wss://"),
    ({"stream": {"url": "wss://x.example.com", "track": "both"}}, "stream.track", "both_tracks"),
    ({"stream": {"url": "wss://x.example.com", "outputSamplingRate": 44100}}, "stream.outputSamplingRate", "between 8000 and 16000"),
    ({"stream": {"url": "wss://x.example.com", "outputSamplingRate": 11025}}, "stream.outputSamplingRate", "8000 or 16000"),
    ({"stream": {"url": "wss://x.example.com", "headerMetadata": {"a": "b"}}}, "stream.headerMetadata", "must be a text, not an object"),
    ({"stream": {"url": "wss://x.example.com", "headerMetadata": '{"a": {}}'}}, "stream.headerMetadata", "JSON text of a flat object"),
    ({"stream": {"url": "wss://x.example.com", "headerMetadata": "["}}, "stream.headerMetadata", "JSON text of a flat object"),
    ({"stream": {"url": "wss://x.example.com", "statusEvents": "started"}}, "stream.statusEvents", "stream-started"),
    ({"aiAgent": {}}, "aiAgent.agentId", "is required"),
    ({"aiAgent": {"agentId": "amina"}}, "aiAgent.agentId", "UUID"),
    ({"aiAgent": {"agentId": AGENT, "variables": {"n": 1}}}, "aiAgent.variables", "texts as values"),
    ({"aiAgent": {"agentId": AGENT, "handover": {}}}, "aiAgent.handover.callbackUrl", "exactly one of"),
    ({"aiAgent": {"agentId": AGENT, "handover": {"callbackUrl": WEB, "voicemail": {}}}}, "aiAgent.handover.voicemail", "cannot stand beside callbackUrl"),
    ({"aiAgent": {"agentId": AGENT, "handover": {"forward": {}}}}, "aiAgent.handover.forward.destinations", "is required"),
    ({"aiAgent": {"agentId": AGENT, "handover": WEB}}, "aiAgent.handover", "must be an object"),
    ({"aiAgent": {"agentId": AGENT, "onUnavailable": "voicemail"}}, "aiAgent.voicemail", 'where onUnavailable is "voicemail"'),
]  # fmt: skip


@pytest.mark.parametrize(("action", "field", "detail"), SAUTIKIT, ids=[f"{field}: {detail}" for _, field, detail in SAUTIKIT])
def test_sautikit_refuses(action: dict[str, Any], field: str, detail: str) -> None:
    named, told = only_fault([HI, action], "sautikit")
    assert named == f"actions[1].{field}"
    assert detail in told


MINIVOICE = [
    ({"say": {"text": ""}}, "say.text", "must not be empty"),
    ({"say": {"text": "Hi", "voice": "alice"}}, "say.voice", "is no field of it"),
    ({"type": "say"}, "say.text", "is required"),
    ({"gather": {"timeout_seconds": 0}}, "gather.timeout_seconds", "between 1 and 30"),
    ({"type": "gather", "timeout_seconds": 31}, "gather.timeout_seconds", "between 1 and 30"),
    ({"gather": {"finish_on_key": ""}}, "gather.finish_on_key", "one key"),
    ({"gather": {"min_digits": 3, "max_digits": 2}}, "gather.min_digits", "more than max_digits"),
    ({"gather": {"numDigits": 1}}, "gather.numDigits", "did you mean `num_digits`?"),
    ({"redirect": {"url": "example.com"}}, "redirect.url", "absolute"),
    ({"redirect": {"url": WEB, "max_redirects": 21}}, "redirect.max_redirects", "between 0 and 20"),
    ({"transfer": {}}, "transfer.destination", "exactly one of destination or to"),
    ({"transfer": {"destination": NUMBER, "to": NUMBER}}, "transfer.to", "cannot stand beside destination"),
    ({"transfer": {"to": "mary"}}, "transfer.to", "or a SIP address"),
    ({"bridge": {"to": NUMBER, "timeout_seconds": 0}}, "bridge.timeout_seconds", "between 1"),
    ({"conference": {"room": "the room"}}, "conference.room", "letters, digits, dots"),
    ({"start_stream": {"stream_url": "ws://x.example.com"}}, "start_stream.stream_url", "wss://"),
    ({"start_stream": {"stream_url": "wss://x.example.com", "track": "both_tracks"}}, "start_stream.track", "inbound or outbound or both"),
    ({"send_digits": {"digits": ""}}, "send_digits.digits", "1 to 128"),
    ({"send_digits": {"digits": "12E"}}, "send_digits.digits", "A-D w W and comma"),
    ({"send_digits": {"digits": "1", "pause_before_ms": 60001}}, "send_digits.pause_before_ms", "between 0 and 60000"),
    ({"mute": {}}, "mute.direction", "is required"),
    ({"unmute": {"direction": "all"}}, "unmute.direction", "read or write or both"),
    ({"hold": {"music": WEB}}, "hold.music", "it has none"),
    ({"dial": {"number": NUMBER}}, "dial", "write `transfer`"),
    ({"hangup": {}}, "hangup", "the call ends where the list ends"),
    ({"getDigits": {}}, "getDigits", "write `gather`"),
    ({"type": "startRecording"}, "startRecording", "did you mean `start_recording`?"),
    ({"set_variable": {"name": "a"}}, "set_variable", "is no verb of MiniVoice"),
]  # fmt: skip


@pytest.mark.parametrize(("action", "field", "detail"), MINIVOICE, ids=[f"{field}: {detail}" for _, field, detail in MINIVOICE])
def test_minivoice_refuses(action: dict[str, Any], field: str, detail: str) -> None:
    named, told = only_fault([action], "minivoice")
    assert named == f"actions[0].{field}"
    assert detail in told


def test_every_fault_is_told_at_once() -> None:
    faults = check([{"conference": {"name": "", "beep": 1, "numDigits": "x"}}, {"sey": {}}, {"conference": {"nam": "a"}}], "sautikit")
    assert [one.field for one in faults] == [
        "actions[0].conference.name", "actions[0].conference.beep", "actions[0].conference.numDigits", "actions[1].sey",
        "actions[2].conference.name", "actions[2].conference.nam",
    ]  # fmt: skip


# ---------------------------------------------------------------- order

REDIRECT, DIAL, STREAM = {"redirect": {"url": WEB}}, {"dial": {"number": NUMBER}}, {"stream": {"url": "wss://x.example.com"}}
AI, TRANSFER, ROOM = {"aiAgent": {"agentId": AGENT}}, {"transfer": {"to": NUMBER}}, {"conference": {"room": "a"}}


@pytest.mark.parametrize(("dialect", "actions", "field"), [
    ("sautikit", [HI, {"hangup": {}}, HI], "actions[1].hangup"),
    ("sautikit", [{"reject": {}}, {"hangup": {}}], "actions[0].reject"),
    ("sautikit", [{"getDigits": {}}, REDIRECT, HI], "actions[1].redirect"),
    ("sautikit", [AI, REDIRECT], "actions[0].aiAgent"),
    ("minivoice", [TRANSFER, {"redirect": {"url": WEB}}], "actions[0].transfer"),
    ("minivoice", [{"bridge": {"to": NUMBER}}, HI], "actions[0].bridge"),
    ("minivoice", [HI, ROOM, HI], "actions[1].conference"),
])  # fmt: skip
def test_what_follows_the_last_action_would_never_run(dialect: Dialect, actions: list[Any], field: str) -> None:
    assert only_fault(actions, dialect)[0] == field


@pytest.mark.parametrize("first", [DIAL, STREAM, {"conference": {"name": "a"}}, {"record": {}}, {"getDigits": {}}, HI])
def test_a_redirect_is_the_way_on(first: dict[str, Any]) -> None:
    assert check([first, REDIRECT], "sautikit") == []


def test_what_the_provider_takes_and_never_runs_may_be_let_pass_but_not_what_it_refuses() -> None:
    assert check([REDIRECT, HI], "sautikit", unreached=False) == check([TRANSFER, HI], "minivoice", unreached=False) == []
    assert only_fault([AI, HI], "sautikit", unreached=False)[0] == "actions[0].aiAgent"


# ---------------------------------------------------------------- what is taken


@pytest.mark.parametrize(("dialect", "action"), [
    *[("sautikit", {"dial": {"number": number}}) for number in (NUMBER, "0720000001", "112", "*100#", "1001")],
    *[("sautikit", {"dial": {"sip": sip}}) for sip in (SIP, "sips:a@b.example.com", "sip:1001@10.0.0.1:5060;transport=tls")],
    ("sautikit", {"say": {"text": "Habari, karibu. ☎ 语音", "voice": None, "language": "zh-Hans-CN"}}),
    ("sautikit", {"getDigits": {"nested": []}}),
    ("sautikit", {"conference": {"name": "Timu ya mauzo", "statusEvents": "start end join leave mute unmute"}}),
    ("sautikit", {"stream": {"url": "ws://127.0.0.1:9000/", "headerMetadata": '{"a": "b", "n": 1}', "inputSamplingRate": 48000}}),
    ("minivoice", {"send_digits": {"digits": "0123456789*#ABCDwW,"}}),
    ("minivoice", {"bridge": {"destination": SIP}}),
    ("minivoice", {"stop_stream": {}}),
])  # fmt: skip
def test_what_is_allowed(dialect: Dialect, action: dict[str, Any]) -> None:
    assert check([action], dialect) == []


def test_words_that_only_xml_has() -> None:
    assert (
        check(
            [{"record": {"playBeep": True, "trim": "trim-silence"}}, {"dial": {"number": NUMBER, "record": "true"}}], "sautikit", form="xml"
        )
        == []
    )


OF_THE_OTHER = {("sautikit", "redirect"): {"max_redirects"}, ("minivoice", "say"): {"voice", "language", "loop"}}


@pytest.mark.parametrize("dialect", ["sautikit", "minivoice"])
def test_the_tables_have_the_fields_of_the_structs(dialect: Dialect) -> None:
    for verb, kind in VERBS[dialect].items():
        shape = SHAPES[dialect][verb]
        told = {*shape.fields, *shape.xml, *(["nested"] if shape.nested else [])} - {"to"}  # read as `destination`
        assert told == set(kind.__struct_encode_fields__) - OF_THE_OTHER.get((dialect, verb), set()), verb
    assert set(TAGS) == set(SHAPES["sautikit"]) - {"aiAgent"}


def test_the_page_names_every_verb_and_field() -> None:
    page = (Path(__file__).parents[2] / "docs" / "voice-actions.md").read_text(encoding="utf-8")
    halves = dict(zip(("sautikit", "minivoice"), page.split("## MiniVoice"), strict=True))
    for dialect, shapes in SHAPES.items():
        names = {name for verb, shape in shapes.items() for name in (verb, *shape.fields, *shape.xml)}
        assert {name for name in names if f"`{name}`" not in halves[dialect]} == set()


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=5), one, max_size=3),
)
NAMES = st.sampled_from(
    sorted({name for shapes in SHAPES.values() for shape in shapes.values() for name in (*shape.fields, "nested", "type")})
)
VERB = st.sampled_from([*SHAPES["sautikit"], *SHAPES["minivoice"]])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.dictionaries(VERB, st.dictionaries(NAMES, ODD, max_size=4), max_size=2) | ODD, max_size=4),
    st.sampled_from(["sautikit", "minivoice"]),
)
def test_whatever_is_sent_is_read_or_refused_with_a_place(raw: Any, dialect: Dialect) -> None:
    faults = check(raw, dialect)
    assert all(one.field.startswith("actions") and one.detail for one in faults)
    if faults:
        with pytest.raises(BadActions) as refused:
            read(raw, dialect)
        assert refused.value.faults == faults
        assert faults[0].field in str(refused.value)
    else:
        assert len(read(raw, dialect)) == len(raw)
