"""What a provider is told: the vendors' own documents come out of our structs exactly, and go back into them."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from calls.voice import actions as act
from calls.voice.actions import (
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
from calls.voice.answers import read, read_body
from calls.voice.render import render
from calls.voice.rules import cannot

WELCOME = "Welcome to Acme Corp. Press 1 for sales. Press 2 for support. Press 3 to hear this menu again."
AGENT = "018f2d3e-7c1a-7b44-9a55-0123456789ab"


def json_of(*actions: act.Action, form: str = "json") -> list[Any]:
    body, kind = render(actions, form)  # type: ignore[arg-type]
    assert kind == "application/json"
    return json.loads(body)["actions"]


def xml_of(*actions: act.Action) -> str:
    body, kind = render(actions, "xml")
    assert kind == "application/xml"
    return body.decode()


# ---------------------------------------------------------------- the vendors' documents

SAUTIKIT: list[tuple[str, list[act.Action], str]] = [
    ("say", [Say(text="Your OTP is 4 8 2 1.", voice="alice", language="en-US", loop=1)],
     '[{"say": {"text": "Your OTP is 4 8 2 1.", "voice": "alice", "language": "en-US", "loop": 1}}]'),
    ("play", [Play(url="https://cdn.example.com/hold-music.mp3", loop=0)], '[{"play": {"url": "https://cdn.example.com/hold-music.mp3", "loop": 0}}]'),
    ("getDigits", [GetDigits(timeout=5, num_digits=1, finish_on_key="#", nested=[Say(text="Press 1 for sales, 2 for support.")])],
     '[{"getDigits": {"timeout": 5, "numDigits": 1, "finishOnKey": "#", "nested": [{"say": {"text": "Press 1 for sales, 2 for support."}}]}}]'),
    ("dial", [Dial(number="+254722000001", caller_id="+254700000001", timeout=30, record="record-from-answer")],
     '[{"dial": {"number": "+254722000001", "callerId": "+254700000001", "timeout": 30, "record": "record-from-answer"}}]'),
    ("dial sip", [Dial(sip="sip:alice@pbx.example.com")], '[{"dial": {"sip": "sip:alice@pbx.example.com"}}]'),
    ("conference", [Conference(name="weekly-team-call", max_participants=10, record=True, beep=True, wait_url="https://cdn.example.com/hold.mp3",
                               status_events_callback_url="https://ivr.example.com/conference-events", status_events="start end join leave")],
     """[{"conference": {"name": "weekly-team-call", "maxParticipants": 10, "record": true, "beep": true, "waitUrl": "https://cdn.example.com/hold.mp3",
          "statusEventsCallbackUrl": "https://ivr.example.com/conference-events", "statusEvents": "start end join leave"}}]"""),
    ("record", [Record(action="https://ivr.example.com/recording-done", method="POST", timeout=5, max_length=120, finish_on_key="#", transcribe=False)],
     '[{"record": {"action": "https://ivr.example.com/recording-done", "method": "POST", "timeout": 5, "maxLength": 120, "finishOnKey": "#", "transcribe": false}}]'),
    ("redirect", [Redirect(url="https://ivr.example.com/after-hours", method="POST")], '[{"redirect": {"url": "https://ivr.example.com/after-hours", "method": "POST"}}]'),
    ("reject", [Reject(reason="busy")], '[{"reject": {"reason": "busy"}}]'),
    ("hangup", [Hangup()], '[{"hangup": {}}]'),
    ("stream", [Stream(name="gemini-agent", url="wss://your-service.example.com/audio", track="both_tracks", output_sampling_rate=16000,
                       status_events="stream-started stream-stopped stream-error")],
     """[{"stream": {"name": "gemini-agent", "url": "wss://your-service.example.com/audio", "track": "both_tracks", "outputSamplingRate": 16000,
          "statusEvents": "stream-started stream-stopped stream-error"}}]"""),
    ("aiAgent", [AiAgent(agent_id=AGENT, variables={"name": "Amina"}, handover={"forward": {"destinations": ["+254720000001"]}}, on_unavailable="hangup")],
     f'[{{"aiAgent": {{"agentId": "{AGENT}", "variables": {{"name": "Amina"}}, "handover": {{"forward": {{"destinations": ["+254720000001"]}}}}, "onUnavailable": "hangup"}}}}]'),
    ("the concept page", [Say(text="Habari, karibu Sautikit."),
                          GetDigits(timeout=5, num_digits=1, nested=[Say(text="Bonyeza 1 kwa Kiswahili, 2 kwa English.")]), Hangup()],
     """[{"say": {"text": "Habari, karibu Sautikit."}}, {"getDigits": {"timeout": 5, "numDigits": 1,
          "nested": [{"say": {"text": "Bonyeza 1 kwa Kiswahili, 2 kwa English."}}]}}, {"hangup": {}}]"""),
    ("the IVR", [GetDigits(num_digits=1, timeout=5, finish_on_key="", action="https://yourapp.example.com/ivr/route", nested=[Say(text=WELCOME, language="en-US")])],
     f"""[{{"getDigits": {{"numDigits": 1, "timeout": 5, "finishOnKey": "", "action": "https://yourapp.example.com/ivr/route",
          "nested": [{{"say": {{"text": "{WELCOME}", "language": "en-US"}}}}]}}}}]"""),
    ("the IVR, key 1", [Say(text="Connecting you to sales."), Dial(number="+254720000001")],
     '[{"say": {"text": "Connecting you to sales."}}, {"dial": {"number": "+254720000001"}}]'),
    ("the IVR, other keys", [Redirect(url="https://yourapp.example.com/ivr/welcome")], '[{"redirect": {"url": "https://yourapp.example.com/ivr/welcome"}}]'),
    ("the call centre: an agent is free", [Say(text="Connecting you to an agent."), Dial(number="+254721100001", caller_id="+254700000001", timeout=30)],
     '[{"say": {"text": "Connecting you to an agent."}}, {"dial": {"number": "+254721100001", "callerId": "+254700000001", "timeout": 30}}]'),
    ("the call centre: the caller waits", [
        Say(text="All agents are currently with other customers. Please hold."),
        Conference(name="queue-HD_1", start_on_enter=False, wait_url="https://yourapp.example.com/hold-music",
                   status_events_callback_url="https://yourapp.example.com/calls/queue-events", status_events="join leave end", end_on_exit=True)],
     """[{"say": {"text": "All agents are currently with other customers. Please hold."}}, {"conference": {"name": "queue-HD_1", "startOnEnter": false,
          "waitUrl": "https://yourapp.example.com/hold-music", "statusEventsCallbackUrl": "https://yourapp.example.com/calls/queue-events",
          "statusEvents": "join leave end", "endOnExit": true}}]"""),
    ("the call centre: the agent joins", [Conference(name="queue-HD_1", start_on_enter=True, end_on_exit=True, beep=False)],
     '[{"conference": {"name": "queue-HD_1", "startOnEnter": true, "endOnExit": true, "beep": false}}]'),
    ("nothing", [], "[]"),
]  # fmt: skip

MINIVOICE: list[tuple[str, list[act.Action], str]] = [
    ("the IVR", [Gather(prompt="Press 1 for sales or 2 for support.", num_digits=1, timeout_seconds=5, finish_on_key="#"), Redirect(url="https://example.com/minivoice/route-menu")],
     """[{"gather": {"prompt": "Press 1 for sales or 2 for support.", "num_digits": 1, "timeout_seconds": 5, "finish_on_key": "#"}},
         {"type": "redirect", "url": "https://example.com/minivoice/route-menu"}]"""),
    ("transfer", [Transfer(destination="+15551230099", from_="+15551230001")], '[{"transfer": {"to": "+15551230099", "from": "+15551230001"}}]'),
    ("transfer, overview", [Say(text="Thanks for calling."), Transfer(destination="+15551230002")],
     '[{"say": {"text": "Thanks for calling."}}, {"transfer": {"destination": "+15551230002"}}]'),
    ("bridge", [Bridge(destination="+15551230099", from_="+15551230001", timeout_seconds=20)],
     '[{"bridge": {"to": "+15551230099", "from": "+15551230001", "timeout_seconds": 20}}]'),
    ("conference", [MiniConference(room="support-room-1001")], '[{"conference": {"room": "support-room-1001"}}]'),
    ("recording", [StartRecording(), Say(text="This call may be recorded for quality."), StopRecording()],
     '[{"type": "start_recording"}, {"say": {"text": "This call may be recorded for quality."}}, {"type": "stop_recording"}]'),
    ("stream", [StartStream(stream_url="wss://media.example.com/minivoice", track="both"), StopStream()],
     '[{"type": "start_stream", "stream_url": "wss://media.example.com/minivoice", "track": "both"}, {"type": "stop_stream"}]'),
    ("send digits", [SendDigits(digits="1234#")], '[{"send_digits": {"digits": "1234#"}}]'),
    ("hold and resume", [Hold(), Resume()], '[{"hold": {}}, {"resume": {}}]'),
    ("mute", [Mute(direction="read"), Unmute(direction="both")], '[{"mute": {"direction": "read"}}, {"unmute": {"direction": "both"}}]'),
    ("nothing", [], "[]"),
]  # fmt: skip


@pytest.mark.parametrize(("actions", "document"), [pytest.param(a, d, id=name) for name, a, d in SAUTIKIT])
def test_sautikits_documents_come_out_and_go_in(actions: list[act.Action], document: str) -> None:
    assert json_of(*actions) == json.loads(document)
    assert read(json.loads(document), "sautikit") == actions


@pytest.mark.parametrize(("actions", "document"), [pytest.param(a, d, id=name) for name, a, d in MINIVOICE])
def test_minivoices_documents_come_out_and_go_in(actions: list[act.Action], document: str) -> None:
    assert json_of(*actions, form="minivoice") == json.loads(document)
    assert read(json.loads(document), "minivoice") == actions


def test_minivoices_verbs_are_read_keyed_and_typed_in_one_list() -> None:
    keyed = [{"hold": {}}, {"redirect": {"url": "https://example.com/next"}}, {"transfer": {"destination": "sip:a@pbx.example.com"}}]
    typed = [{"type": "hold"}, {"type": "redirect", "url": "https://example.com/next"}, {"type": "transfer", "to": "sip:a@pbx.example.com"}]
    want = [Hold(), Redirect(url="https://example.com/next"), Transfer(destination="sip:a@pbx.example.com")]
    assert read(keyed, "minivoice") == read(typed, "minivoice") == read([keyed[0], typed[1], keyed[2]], "minivoice") == want


# ---------------------------------------------------------------- XML

RECEPTION = """<Response>
<Stream
name="receptionist"
url="wss://your-app.example.com/audio"
track="both_tracks"
outputSamplingRate="16000"
statusCallback="https://your-app.example.com/stream-status"
statusEvents="stream-started stream-stopped stream-error" />
</Response>"""
FRONT_DESK = """<Response>
<Say>Connecting you to the front desk now.</Say>
<Dial>+254700000001</Dial>
</Response>"""
STREAM = Stream(name="receptionist", url="wss://your-app.example.com/audio", track="both_tracks", output_sampling_rate=16000,
                status_callback="https://your-app.example.com/stream-status", status_events="stream-started stream-stopped stream-error")  # fmt: skip


def shape(element: ET.Element) -> Any:
    return element.tag, element.attrib, (element.text or "").strip(), [shape(child) for child in element]


@pytest.mark.parametrize(("actions", "document"), [
    ([STREAM], RECEPTION),
    ([Say(text="Connecting you to the front desk now."), Dial(number="+254700000001")], FRONT_DESK),
    ([Stream(url="wss://HOST/ws/media?callSid=HD_x", name="ai-receptionist", track="inbound_track", connect=True, output_sampling_rate=16000, bidirectional_sampling_rate=16000),
      Redirect(url="https://HOST/voice/transfer", method="POST")],
     '<Response><Stream url="wss://HOST/ws/media?callSid=HD_x" name="ai-receptionist" track="inbound_track" connect="true" outputSamplingRate="16000" bidirectionalSamplingRate="16000" /><Redirect method="POST">https://HOST/voice/transfer</Redirect></Response>'),
], ids=["stream", "say and dial", "production"])  # fmt: skip
def test_the_vendors_xml_comes_out_and_goes_in(actions: list[act.Action], document: str) -> None:
    assert shape(ET.fromstring(xml_of(*actions))) == shape(ET.fromstring(document))
    assert read_body(document.encode(), "text/xml", "sautikit") == (actions, True)


@pytest.mark.parametrize(("action", "element"), [
    (Say(text='Fish & chips < KES 500: say "yes" > 1', language="en-KE", voice="alice"),
     '<Say voice="alice" language="en-KE">Fish &amp; chips &lt; KES 500: say &quot;yes&quot; &gt; 1</Say>'),
    (Play(url="https://cdn.example.com/a.mp3?x=1&y=2"), "<Play>https://cdn.example.com/a.mp3?x=1&amp;y=2</Play>"),
    (GetDigits(timeout=5, num_digits=1, finish_on_key="", action="https://x.example.com/?a=1&b=2", nested=[Say(text="Hi"), Play(url="https://x.example.com/a.mp3")]),
     '<GetDigits timeout="5" numDigits="1" finishOnKey="" action="https://x.example.com/?a=1&amp;b=2"><Say>Hi</Say><Play>https://x.example.com/a.mp3</Play></GetDigits>'),
    (Dial(numbers=["+254720000001", "+254720000002"], timeout=15), '<Dial timeout="15" phoneNumbers="+254720000001,+254720000002"/>'),
    (Dial(sip="sip:mary@pbx.example.com", record="true"), '<Dial record="true">sip:mary@pbx.example.com</Dial>'),
    (Conference(name="team", beep=True, start_on_enter=False, num_digits=0), '<Conference beep="true" startOnEnter="false" numDigits="0">team</Conference>'),
    (Record(max_length=60, play_beep=True, trim="trim-silence"), '<Record maxLength="60" playBeep="true" trim="trim-silence"/>'),
    (Stream(url="wss://x.example.com/", header_metadata='{"tenant":"a&b"}', connect=True), '<Stream url="wss://x.example.com/" connect="true" headerMetadata="{&quot;tenant&quot;:&quot;a&amp;b&quot;}"/>'),
    (Reject(reason="busy"), '<Reject reason="busy"/>'),
    (Hangup(), "<Hangup/>"),
], ids=lambda one: type(one).__name__ if isinstance(one, act.Action) else "")  # fmt: skip
def test_every_verb_as_xml(action: act.Action, element: str) -> None:
    assert xml_of(action) == f"<Response>{element}</Response>"
    assert read_body(xml_of(action).encode(), "application/xml", "sautikit") == ([action], True)


def test_no_actions_are_an_empty_list_or_document() -> None:
    assert render([], "json") == render([], "minivoice") == (b'{"actions":[]}', "application/json")
    assert render([], "xml") == (b"<Response/>", "application/xml")
    assert read_body(b"<Response/>", "text/xml", "sautikit") == ([], True)


@pytest.mark.parametrize("form", ["json", "xml", "minivoice"])
def test_text_that_cannot_be_sent_is_sent_without_what_cannot(form: Any) -> None:
    body, _ = render([Say(text="Hu\ud800jambo"), Redirect(url="https://x.example.com/\udfff")], form)
    assert "Hujambo" in body.decode() and "x.example.com/" in body.decode()


def test_xml_carries_no_control_characters() -> None:
    assert xml_of(Say(text="a\x00b\x0bc\ufffe"), Say(text="two\nlines")) == "<Response><Say>abc</Say><Say>two&#10;lines</Say></Response>"


def test_a_form_leaves_out_what_it_has_no_word_for() -> None:
    assert json_of(Record(max_length=5, play_beep=True, trim="x"), Hold(), Redirect(url="https://x.example.com", max_redirects=3)) == [
        {"record": {"maxLength": 5}}, {"redirect": {"url": "https://x.example.com"}},
    ]  # fmt: skip
    assert json_of(Dial(number="+254720000001", record="true"), Dial(number="+254720000001", record="false")) == [
        {"dial": {"number": "+254720000001", "record": "record-from-answer"}}, {"dial": {"number": "+254720000001"}},
    ]  # fmt: skip
    assert xml_of(AiAgent(agent_id=AGENT), Hold()) == "<Response/>"


# ---------------------------------------------------------------- the common verbs at MiniVoice


@pytest.mark.parametrize(("actions", "document"), [
    ([GetDigits(num_digits=1, timeout=5, finish_on_key="#", action="https://x.example.com/", nested=[Say(text="Press 1.", language="en-US"), Say(text="Or 2.")]),
      Redirect(url="https://x.example.com/next")],
     [{"gather": {"prompt": "Press 1. Or 2.", "num_digits": 1, "timeout_seconds": 5, "finish_on_key": "#"}}, {"type": "redirect", "url": "https://x.example.com/next"}]),
    ([GetDigits(timeout=90, num_digits=0, finish_on_key="")], [{"gather": {"timeout_seconds": 30}}]),
    ([Say(text="Hi", voice="alice", loop=2), Dial(number="+15551230011", timeout=30), Redirect(url="https://x.example.com/never")],
     [{"say": {"text": "Hi"}}, {"transfer": {"destination": "+15551230011"}}]),
    ([Dial(number="+15551230011", caller_id="+15551230001")], [{"transfer": {"to": "+15551230011", "from": "+15551230001"}}]),
    ([Dial(numbers=["+15551230011", "+15551230012"])], [{"transfer": {"destination": "+15551230011"}}]),
    ([Dial(sip="sip:mary@pbx.example.com")], [{"transfer": {"destination": "sip:mary@pbx.example.com"}}]),
    ([Conference(name="queue-call_1", muted=True, end_on_exit=True, wait_url="https://x.example.com/"), Say(text="never")],
     [{"conference": {"room": "queue-call_1", "mute": True, "end_on_exit": True}}]),
    ([Say(text="Bye."), Hangup(), Say(text="never")], [{"say": {"text": "Bye."}}]),
    ([Reject(reason="busy")], []),
    ([Play(url="https://x.example.com/a.mp3"), Record(), Stream(url="wss://x.example.com/"), AiAgent(agent_id=AGENT)], []),
], ids=["menu", "limits", "dial", "dial from", "dial several", "dial sip", "conference", "hangup", "reject", "what it has not got"])  # fmt: skip
def test_minivoice_is_told_the_common_verbs_in_its_own_words(actions: list[act.Action], document: list[Any]) -> None:
    assert json_of(*actions, form="minivoice") == document


@pytest.mark.parametrize(("action", "why"), [
    (Play(url="https://x.example.com/a.mp3"), "cannot play a file"),
    (Record(), "cannot take a message"),
    (Stream(url="wss://x.example.com/"), "a bot needs Sautikit"),
    (Reject(), "cannot reject"),
    (AiAgent(agent_id=AGENT), "no AI agents"),
    (Say(text="Hi", loop=2), "leave loop out"),
    (GetDigits(num_digits=1, nested=[Play(url="https://x.example.com/a.mp3")]), "use prompt"),
    (GetDigits(num_digits=1, timeout=31), "30 seconds"),
    (GetDigits(timeout=5), "how many digits"),
    (Dial(numbers=["+15551230011", "+15551230012"]), "one destination"),
    (Dial(number="+15551230011", record="record-from-answer"), "start_recording"),
    (Conference(name="team", wait_url="https://x.example.com/a.mp3"), "no music"),
    (Conference(name="team", start_on_enter=False), "no music"),
    (Conference(name="the team"), "letters, digits"),
])  # fmt: skip
def test_what_a_minivoice_account_cannot_do(action: act.Action, why: str) -> None:
    assert why in cannot(action, "minivoice")
    assert cannot(action, "sautikit") == ""


@pytest.mark.parametrize("action", [
    Say(text="Hi", language="sw-KE"), GetDigits(num_digits=1, timeout=5), Dial(number="+15551230011", caller_id="+15551230001", timeout=20), Hangup(),
    Redirect(url="https://x.example.com/"), Conference(name="team", start_on_enter=True, beep=False, muted=True, end_on_exit=True),
])  # fmt: skip
def test_what_both_providers_can_do(action: act.Action) -> None:
    assert cannot(action, "minivoice") == cannot(action, "sautikit") == ""


def test_what_a_sautikit_account_cannot_do() -> None:
    assert cannot(SendDigits(digits="1"), "sautikit") == "Sautikit has no send_digits"
    assert "only in JSON" in cannot(AiAgent(agent_id=AGENT), "sautikit", form="xml")
    assert cannot(SendDigits(digits="1"), "minivoice") == ""
