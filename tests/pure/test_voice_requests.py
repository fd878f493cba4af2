"""What a voice request asks, in every dialect that providers are known to speak; and that nothing which is sent raises."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calls.voice.position import Request
from calls.voice.requests import read

AT = 1_788_253_200_000_000
SID, REST = "HD_9b1e2c77", "7d44c0de-1111-4222-8333-444455556666"
PBX = {
    "sessionId": SID,
    "callerNumber": "+254711000001",
    "destinationNumber": "+254700000001",
    "direction": "Inbound",
    "callSessionState": "Ringing",
}
DOCUMENTED = {"CallId": SID, "From": "+254711000001", "To": "+254700000001"}
MINIVOICE = {"call_id": "call_5f3a1b", "from": "+254711000001", "to": "+254700000001", "direction": "inbound"}


def form(fields: dict[str, Any], query: str = "", step: str | None = None) -> Request:
    return read(at=AT, body=urlencode(fields).encode(), content_type="application/x-www-form-urlencoded", query=query, step=step)[0]


def posted(fields: Any, query: str = "", step: str | None = None, **headers: str) -> Request:
    return read(at=AT, body=json.dumps(fields).encode(), content_type="application/json", query=query, step=step, headers=headers)[0]


def fetched(fields: dict[str, Any], step: str | None = None) -> Request:
    return read(at=AT, query=urlencode(fields), step=step)[0]


# ---------------------------------------------------------------- whose, and who


@pytest.mark.parametrize("way", [form, posted, fetched])
@pytest.mark.parametrize(
    ("names", "sid", "direction"),
    [
        (PBX, SID, "inbound"),
        (DOCUMENTED, SID, None),
        (MINIVOICE, "call_5f3a1b", "inbound"),
        (DOCUMENTED | {"CallSid": SID, "CallId": ""}, SID, None),
    ],
)
def test_every_dialect_in_every_form_is_the_same_request(way: Any, names: dict[str, str], sid: str, direction: str | None) -> None:
    asked = way(names)
    assert (asked.call_sid, asked.caller, asked.called, asked.direction) == (sid, "+254711000001", "+254700000001", direction)
    assert (asked.kind, asked.digits, asked.aliases, asked.at) == ("ask", None, [], AT)


def test_the_fields_are_kept_as_they_came_and_ours_are_not_among_them() -> None:
    _, fields = read(at=AT, body=b"sessionId=HD_1&Digits=1", query="v=3&r=0&c=HD_1&k=abc&clientRequestId=order-7", step="menu")
    assert fields == {"clientRequestId": "order-7", "sessionId": "HD_1", "Digits": "1"}


def test_a_call_that_began_in_a_browser_names_the_number_it_dialled() -> None:
    assert form(PBX | {"clientDialedNumber": "+254733000003"}).called == "+254733000003"


def test_of_two_ids_the_call_is_known_by_the_one_our_address_names_else_by_the_rest_apis() -> None:
    both = {"sessionId": SID, "callId": REST}
    assert (form(both).call_sid, form(both).aliases) == (REST, [SID])
    walked = form(both, query=f"v=2&r=0&c={SID}", step="menu")
    assert (walked.call_sid, walked.aliases) == (SID, [REST])


def test_the_id_in_our_address_serves_where_the_body_has_none_and_only_there() -> None:
    assert form({"Digits": "1"}, query=f"v=2&r=0&c={SID}", step="menu").call_sid == SID
    assert form(PBX, query="v=2&r=0&c=HD_other", step="menu").call_sid == SID


def test_a_room_of_ours_names_its_caller() -> None:
    asked = posted({"event": "join", "conference_name": f"queue-{SID}", "caller": "+254711000001", "participant_id": "p-1"})
    assert (asked.call_sid, asked.kind) == (SID, "edge")


@pytest.mark.parametrize("inside", ["call", "payload", "data"])
def test_fields_inside_an_object_are_found(inside: str) -> None:
    assert posted({inside: {"id": SID, "from": "+254711000001"}}).call_sid == SID


def test_step_visit_and_tries_come_from_our_address() -> None:
    asked = form(PBX, query="v=4&r=2&c=x&k=y", step="menu")
    assert (asked.step, asked.visit, asked.tries) == ("menu", 4, 2)
    for odd in ("-1", "1e3", "99999999999", "four", "", "²"):
        assert form(PBX, query=urlencode({"v": odd, "r": odd}), step="menu").visit is None


def test_a_label_comes_in_body_or_query() -> None:
    assert form(PBX | {"clientRequestId": "order-7"}).label == form(PBX, query="clientRequestId=order-7").label == "order-7"


# ---------------------------------------------------------------- what it is


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"callSessionState": "Ringing"}, "ask"),
        ({"callSessionState": "Answered", "isActive": "1"}, "ask"),
        ({"CallStatus": "in-progress"}, "ask"),
        ({}, "ask"),
        ({"callSessionState": "Completed", "isActive": "0", "durationInSeconds": "73"}, "over"),
        ({"callSessionState": "Completed"}, "over"),
        ({"callSessionState": "Completed", "isActive": "1"}, "ask"),  # the call is being set up
        ({"callSessionState": "Completed", "isActive": "1", "durationInSeconds": "73"}, "over"),
        ({"callSessionState": "", "isActive": "0"}, "over"),
        ({"callSessionState": "Hangup"}, "over"),
        ({"callSessionState": "no-answer"}, "over"),
        ({"callSessionState": "busy"}, "over"),
        ({"callSessionState": "Failed"}, "over"),
        ({"CallStatus": "canceled"}, "over"),
        ({"callSessionState": "CallerHangup"}, "over"),
        ({"callSessionState": "StreamStarted", "streamSid": "st_1"}, "edge"),
        ({"streamEvent": "stream-stopped"}, "edge"),
        ({"streamStatus": "stream-error"}, "edge"),
        ({"callSessionState": "DialCompleted", "dialDurationInSeconds": "12"}, "edge"),
        ({"event": "leave", "conference_name": "team"}, "edge"),
        ({"callSessionState": "Recorded", "recordingUrl": "https://x.example/r.mp3"}, "edge"),
        ({"kind": "call.completed", "data": {"call_id": REST}}, "over"),
        ({"kind": "call.answered", "data": {"call_id": REST}}, "edge"),
        ({"event": "call.gathered", "call": {"id": "call_1"}, "data": {"digits": "1"}}, "edge"),
        ({"event": "call.completed", "call": {"id": "call_1"}}, "over"),
    ],
)
def test_edges_and_ends_are_told_from_what_wants_an_answer(fields: dict[str, Any], kind: str) -> None:
    assert posted({"sessionId": SID} | fields).kind == kind


def test_a_recording_is_an_answer_where_one_is_waited_for() -> None:
    recorded = {"sessionId": SID, "callSessionState": "Recorded", "recordingUrl": "https://x.example/r.mp3", "durationInSeconds": "7"}
    asked = form(recorded, query=f"v=2&r=0&c={SID}", step="message")
    assert (asked.kind, asked.recording) == ("ask", True)
    assert form(recorded).kind == "edge"


def test_a_state_that_nobody_knows_is_a_doubtful_ask() -> None:
    asked = form(PBX | {"callSessionState": "Teleported"})
    assert (asked.kind, asked.doubtful, asked.state) == ("ask", True, "Teleported")


def test_a_completed_that_may_set_a_call_up_moves_none_that_is_known() -> None:
    asked = form(PBX | {"callSessionState": "Completed", "isActive": "1"})
    assert (asked.kind, asked.doubtful) == ("ask", True)


def test_a_header_names_the_kind_where_the_body_does_not() -> None:
    headers = {"x-sautikit-event-kind": "call.completed"}
    assert read(at=AT, body=json.dumps({"data": {"call_id": REST}}).encode(), headers=headers)[0].kind == "over"


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("fields", "digits"),
    [
        ({}, None),
        ({"Digits": ""}, ""),
        ({"dtmfDigits": "1"}, "1"),
        ({"Digits": " 12# "}, "12#"),
        ({"dtmf_digits": "a"}, "A"),
        ({"Digits": 7}, "7"),
        ({"Digits": None}, None),
        ({"callSessionState": "DigitsCollected"}, ""),
    ],
)
def test_no_field_no_key_and_keys(fields: dict[str, Any], digits: str | None) -> None:
    asked = posted({"sessionId": SID} | fields)
    assert (asked.digits, asked.timed_out) == (digits, None if digits is None else digits == "")


@pytest.mark.parametrize("odd", ["x", "1;DROP", "１", "9" * 65, "9" * 10_000, ["1"], {"a": 1}, True, 1.5])
def test_what_is_no_key_is_a_wrong_input(odd: Any) -> None:
    digits = posted({"sessionId": SID, "Digits": odd}).digits
    assert digits is not None and digits.startswith("?") and len(digits) <= 65


# ---------------------------------------------------------------- a dial that is over


@pytest.mark.parametrize(
    ("fields", "answered"),
    [
        ({"dialCallStatus": "completed"}, True),
        ({"DialCallStatus": "no-answer"}, False),
        ({"dialDurationInSeconds": "12"}, True),
        ({"dialDurationInSeconds": "0"}, False),
        ({"lastBridgeHangupCause": "USER_BUSY"}, False),
        ({"lastBridgeHangupCause": "NORMAL_CLEARING"}, None),
        ({}, None),
    ],
)
def test_what_is_said_of_a_dial(fields: dict[str, str], answered: bool | None) -> None:
    assert form(PBX | {"callSessionState": "DialCompleted"} | fields).dial_answered is answered


# ---------------------------------------------------------------- what nobody can read


@pytest.mark.parametrize("body", [b'{"CallId": ', b"\xff\xfe=%zz&&", b"[]", b"", b"<Response/>", b"[" * 100_000, b"a=1&" * 5000, b"null"])
@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded", "text/plain", ""])
def test_what_cannot_be_read_is_a_call_that_wants_an_answer(body: bytes, content_type: str) -> None:
    asked, _ = read(at=AT, body=body, content_type=content_type)
    assert (asked.call_sid, asked.kind, asked.digits) == ("", "ask", None)
    assert read(at=AT, body=body, content_type=content_type, query=f"v=2&r=0&c={SID}", step="menu")[0].call_sid == SID


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from(["Completed", "1", "queue-HD_1", SID]) | st.lists(st.integers(), max_size=2) | st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2)  # fmt: skip
NAMES = st.sampled_from(
    [
        *PBX,
        *DOCUMENTED,
        "Digits",
        "event",
        "kind",
        "conference_name",
        "isActive",
        "recordingUrl",
        "data",
        "call",
        "dialDuration",
        "streamSid",
    ]
)


@given(fields=st.dictionaries(NAMES, VALUES, max_size=8), query=st.text(max_size=30), step=st.none() | st.text(max_size=5))
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
def test_any_fields_are_survived(fields: dict[str, Any], query: str, step: str | None) -> None:
    asked = posted(fields, query, step)
    assert asked.kind in ("ask", "edge", "over") and isinstance(asked.call_sid, str)
