"""What an application of the user's may answer: JSON or XML, in good faith or not."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calls.voice.actions import Conference, Dial, GetDigits, Hangup, Play, Record, Redirect, Say, Stream
from calls.voice.answers import MAX_BYTES, BadActions, read_body

JSON, XML = "application/json", "application/xml"


def refused(body: bytes | str, content_type: str = XML, dialect: Any = "sautikit") -> tuple[str, str]:
    with pytest.raises(BadActions) as why:
        read_body(body.encode() if isinstance(body, str) else body, content_type, dialect)
    return why.value.faults[0].field, why.value.faults[0].detail


def of_xml(inner: str) -> list[Any]:
    actions, xml = read_body(f"<Response>{inner}</Response>".encode(), XML, "sautikit")
    assert xml
    return actions


@pytest.mark.parametrize(("body", "content_type", "xml"), [
    (b'{"actions": [{"say": {"text": "Hi"}}]}', JSON, False),
    (b'{"actions": [{"say": {"text": "Hi"}}], "note": "ours"}', "text/plain", False),
    (b'\xef\xbb\xbf {"actions": [{"say": {"text": "Hi"}}]}', "application/xml", False),
    (b"<Response><Say>Hi</Say></Response>", "text/xml; charset=utf-8", True),
    (b' \n<?xml version="1.0" encoding="UTF-8"?>\n<Response>\n  <!-- greets --><Say>\n    Hi\n  </Say>\n</Response>\n', "text/html", True),
    (b'<?xml version="1.0" encoding="ISO-8859-1"?><Response xmlns="urn:x"><Say><![CDATA[Hi]]></Say></Response>', JSON, True),
    ('<?xml version="1.0" encoding="UTF-16"?><Response><Say>Hi</Say></Response>'.encode("utf-16"), XML, True),
], ids=["json", "text/plain", "byte order mark", "xml", "spaces and comments", "cdata", "utf-16"])  # fmt: skip
def test_the_body_says_what_it_is(body: bytes, content_type: str, xml: bool) -> None:
    assert read_body(body, content_type, "sautikit") == ([Say(text="Hi")], xml)


@pytest.mark.parametrize(("inner", "actions"), [
    ("<Dial>+254720000001</Dial>", [Dial(number="+254720000001")]),
    ("<Dial> +254720000001, +254720000002 </Dial>", [Dial(numbers=["+254720000001", "+254720000002"])]),
    ('<Dial phoneNumbers="+254720000001" timeout="20"/>', [Dial(number="+254720000001", timeout=20)]),
    ('<Dial phoneNumbers="+254720000001,+254720000002"></Dial>', [Dial(numbers=["+254720000001", "+254720000002"])]),
    ("<Dial>sip:mary@pbx.example.com</Dial>", [Dial(sip="sip:mary@pbx.example.com")]),
    ('<Dial numbers="+254720000001,+254720000002"/>', [Dial(numbers=["+254720000001", "+254720000002"])]),
    ('<Dial record="true">112</Dial>', [Dial(number="112", record="true")]),
    ('<Gather numDigits="1" input="dtmf" timeout=""><Say>Hi</Say></Gather>', [GetDigits(num_digits=1, nested=[Say(text="Hi")])]),
    ('<GetDigits finishOnKey=""/>', [GetDigits(finish_on_key="")]),
    ('<Play loop="2" url="https://x.example.com/a.mp3"/>', [Play(url="https://x.example.com/a.mp3", loop=2)]),
    ('<Conference beep="True" muted="0" record="1" unknown="x">team</Conference>', [Conference(name="team", beep=True, muted=False, record=True)]),
    ('<Record playBeep="true" trim="trim-silence" maxLength="60" saveFile="yes"/>', [Record(play_beep=True, trim="trim-silence", max_length=60)]),
    ('<Stream connect="true" url="wss://x.example.com/"/><Redirect>https://x.example.com/?a=1&amp;b=2</Redirect>',
     [Stream(url="wss://x.example.com/", connect=True), Redirect(url="https://x.example.com/?a=1&b=2")]),
    ("<Hangup/><Say>never said</Say>", [Hangup(), Say(text="never said")]),
])  # fmt: skip
def test_xml_as_the_pbx_takes_it(inner: str, actions: list[Any]) -> None:
    assert of_xml(inner) == actions


def test_an_application_may_say_what_never_runs() -> None:
    assert read_body(b'{"actions": [{"hangup": {}}, {"say": {"text": "x"}}]}', JSON, "sautikit") == ([Hangup(), Say(text="x")], False)


@pytest.mark.parametrize(("inner", "field", "detail"), [
    ("<Explode/>", "actions[0].<Explode>", "is no verb"),
    ("<say>Hi</say>", "actions[0].<say>", "did you mean `<Say>`?"),
    ("<Say>Hi</Say><Getdigits/>", "actions[1].<Getdigits>", "did you mean `<GetDigits>`?"),
    ("<Say/>", "actions[0].say.text", "is required"),
    ("<Say>Hi <b>you</b></Say>", "actions[0].say.nested", "is no field of it"),
    ("<Dial><Number>112</Number></Dial>", "actions[0].dial.nested", "is no field of it"),
    ("<GetDigits><Dial>112</Dial></GetDigits>", "actions[0].getDigits.nested[0].dial", "only say and play can"),
    ('<GetDigits timeout="soon"/>', "actions[0].getDigits.timeout", "must be a whole number"),
    ('<GetDigits timeout="-1"/>', "actions[0].getDigits.timeout", "must be a whole number"),
    ('<Conference beep="loud">a</Conference>', "actions[0].conference.beep", "true or false"),
    ('<Dial sip="sip:a@b.example.com">112</Dial>', "actions[0].dial.sip", "cannot stand beside number"),
    ("<Dial/>", "actions[0].dial.number", "is required"),
    ("<Say>Hi</Say>" * 51, "actions", "51 actions"),
    ("<Say>" * 9 + "</Say>" * 9, "actions", "nested deeper"),
    ("<Say/>" * 501, "actions", "more than 500 elements"),
], ids=["verb", "case", "near", "text", "markup in text", "twilio's dial", "nested", "number", "negative", "flag", "two targets", "no target", "many", "deep", "wide"])  # fmt: skip
def test_xml_that_is_refused(inner: str, field: str, detail: str) -> None:
    named, told = refused(f"<Response>{inner}</Response>")
    assert named == field
    assert detail in told


BILLION = '<!DOCTYPE r [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><Response><Say>&b;</Say></Response>'


@pytest.mark.parametrize(("body", "detail"), [
    (BILLION, "has a DOCTYPE"),
    (BILLION.encode("utf-16"), "has a DOCTYPE"),
    ('<!DOCTYPE r SYSTEM "file:///etc/passwd"><Response/>', "has a DOCTYPE"),
    ("<Response><Say>&b;</Say></Response>", "no well-formed XML"),
    ("<Response><Say>Hi</Response>", "no well-formed XML"),
    ("<Response/><Response/>", "no well-formed XML"),
    ("<Response><Say>\x00</Say></Response>", "no well-formed XML"),
    ('<?xml version="1.0" encoding="utf-99"?><Response/>', "no well-formed XML"),
    (b"<Response><Say>\xff\xfe</Say></Response>", "no well-formed XML"),
    ("", "no well-formed XML"),
    ("<Respond/>", "root must be <Response>, not <Respond>"),
    ("<Response>" + " " * MAX_BYTES + "</Response>", f"{MAX_BYTES} are allowed"),
], ids=["entities", "entities in UTF-16", "a file", "unknown entity", "not closed", "two roots", "NUL", "encoding", "no UTF-8", "nothing", "root", "size"])  # fmt: skip
def test_documents_that_are_refused(body: str | bytes, detail: str) -> None:
    field, told = refused(body)
    assert field == "actions"
    assert detail in told


@pytest.mark.parametrize(("body", "detail"), [
    (b"", "neither JSON nor XML"),
    (b"OK", "neither JSON nor XML"),
    (b'{"actions": [', "neither JSON nor XML"),
    (b'{"actions": "\xff"}', "neither JSON nor XML"),
    (b"[" * 100_000, "neither JSON nor XML"),
    (b'[{"hangup": {}}]', "not a list"),
    (b"{}", "is required"),
    (b'{"actions": null}', "must be a list of actions, not null"),
])  # fmt: skip
def test_json_that_is_refused(body: bytes, detail: str) -> None:
    assert detail in refused(body, JSON)[1]


def test_minivoice_takes_no_xml() -> None:
    assert "takes JSON only" in refused("<Response/>", dialect="minivoice")[1]


def test_a_large_document_is_read_in_no_time() -> None:
    began = time.process_time()
    of_xml(f"<Say>{'<!-- -->a' * 4000}</Say>")
    refused("<Response>" + "<Say>" * 40_000)
    assert time.process_time() - began < 1


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")) | st.text('<>/ResponSayGtDigs="& ', max_size=40).map(
    lambda text: f"<Response>{text}</Response>".encode()), st.sampled_from([JSON, XML, ""]), st.sampled_from(["sautikit", "minivoice"]))  # fmt: skip
def test_any_bytes_are_read_or_refused(body: bytes, content_type: str, dialect: Any) -> None:
    try:
        actions, _ = read_body(body, content_type, dialect)
    except BadActions as why:
        assert why.faults
    else:
        assert isinstance(actions, list)
