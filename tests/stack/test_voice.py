"""Calls answered by a running stack: the flows as a caller walks them, every request and answer as events, and who may ask."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from callers import FLOWS, OURS, SECRET, Application, Phone, application, journey, told
from running import eventually
from whole import Stack
from wire import Role, connect, exchange, marker, request, role

from calls.clock import rfc3339
from calls.providers import PROVIDERS

WAITS = "SELECT 1 FROM safiri.waiting WHERE call_sid = %s AND gone_at IS NULL"


class Lines(NamedTuple):
    """Two processes with the same flows, and the user's own application."""

    one: str
    other: str
    application: Application
    role: Role

    def phone(self, flow: str = "ivr", **more: str) -> Phone:
        return Phone(self.one, flow, **more)


@pytest.fixture(scope="module")
def lines(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lines]:
    with application() as app:
        config = FLOWS.replace("APPLICATION", app.url)
        with (
            role(stack, "http", tmp_path_factory.mktemp("one"), config) as one,
            role(stack, "http", tmp_path_factory.mktemp("two"), config) as two,
        ):
            yield Lines(one.url, two.url, app, two)


# ---------------------------------------------------------------- walking


def test_digits_come_to_the_flows_address_or_to_the_steps(lines: Lines) -> None:
    for by_step in (False, True):
        phone = lines.phone()
        menu = phone.ask()
        where = menu["getDigits"]["action"] if by_step else ""
        assert menu.verbs[0] == "getDigits"
        assert menu["getDigits"]["nested"] == [{"say": {"text": "One or two?"}}]
        dial = phone.press("1", where)
        assert dial.verbs == ["dial", "redirect"]
        assert dial["dial"] == {"number": "+254720000001", "callerId": OURS, "timeout": 30}


def test_every_writing_of_a_request_is_understood(lines: Lines) -> None:
    names = {"pbx": ("sessionId", "callerNumber", "destinationNumber", "dtmfDigits"), "documented": ("CallId", "From", "To", "Digits")}
    for sid, caller, called, digits in names.values():
        for way in ("form", "json", "query"):
            phone = lines.phone("markup", account="loose")
            for pressed in ({}, {digits: "1"}):
                said = {sid: phone.sid, caller: phone.caller, called: OURS} | pressed
                if way == "query":
                    reply, _ = phone.request("GET", f"/voice/markup?{urlencode(said)}")
                    answer = told(reply)
                else:
                    kind = "application/json" if way == "json" else "application/x-www-form-urlencoded"
                    answer = phone.send(json.dumps(said).encode() if way == "json" else urlencode(said).encode(), content_type=kind)
                assert answer.xml
                assert answer.verbs[0] == ("dial" if pressed else "getDigits"), (way, said)


def test_no_and_wrong_input_replay_the_menu_and_then_end_the_call(lines: Lines) -> None:
    phone = lines.phone()
    assert [phone.ask().verbs[0], phone.press("").verbs[0], phone.press("9").verbs[0]] == ["getDigits"] * 3
    assert phone.press("8").verbs[-1] == "hangup"


def test_a_dial_that_nobody_took_goes_on_otherwise_than_one_that_was(lines: Lines) -> None:
    for seconds, verbs in (("0", ["getDigits"]), ("12", ["say", "hangup"])):
        phone = lines.phone()
        phone.ask()
        dial = phone.press("1")
        edge = phone.ask(state="DialCompleted", dialDurationInSeconds=seconds)
        assert edge.raw == b'{"actions":[]}'
        assert phone.ask(dial.onward, state="Answered").verbs[: len(verbs)] == verbs


def test_edges_are_answered_with_nothing_in_the_flows_form(lines: Lines) -> None:
    for flow, account, empty in (("ivr", "lines", b'{"actions":[]}'), ("markup", "loose", b"<Response/>")):
        phone = lines.phone(flow, account=account)
        phone.ask()
        for state in ("StreamStarted", "StreamStopped", "DialCompleted", "Completed", "Completed"):
            assert phone.ask(state=state).raw == empty, state


# ---------------------------------------------------------------- repeated, behind, at once


def test_an_opening_that_is_repeated_gets_the_same_answer_and_counts_once(stack: Stack, lines: Lines) -> None:
    phone = lines.phone()
    first = phone.ask()
    assert phone.ask().raw == first.raw
    assert Phone(lines.other, "ivr", sid=phone.sid).ask().raw == first.raw
    phone.press("9"), phone.ask(state="Completed")
    stack.fresh()
    found = journey(stack, phone.sid)
    assert [(step["menu"], step["digits"]) for step in found["menu_path"]] == [("menu", "9"), ("menu", None)]
    assert found["anomalies"] == []


def test_a_request_that_is_behind_gets_the_stored_answer(stack: Stack, lines: Lines) -> None:
    phone = lines.phone()
    menu = phone.ask()["getDigits"]["action"]
    again = phone.press("9", menu)
    assert again["getDigits"]["action"] != menu
    late = [phone.press("9", menu), phone.press("2", menu), Phone(lines.other, "ivr", sid=phone.sid).press("1", menu)]
    assert {answer.raw for answer in late} == {again.raw}
    assert phone.press("1", again["getDigits"]["action"]).verbs[0] == "dial"
    stack.fresh()
    said = [
        fact["digits"]
        for event in journey(stack, phone.sid, "/events")["events"]
        for fact in event["facts"]
        if fact["type"] == "menu.digits"
    ]
    assert said == ["9", "1"]


def test_of_requests_that_race_all_get_the_winners_answer(stack: Stack, lines: Lines) -> None:
    """Two processes, eight copies: one of them moves the call."""
    phone = lines.phone()
    menu = phone.ask()["getDigits"]["action"]
    keys = ["1", "9"] * 4
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: Phone([lines.one, lines.other][n % 2], "ivr", sid=phone.sid).press(keys[n // 2], menu), range(8)))
    assert len({answer.raw for answer in found}) == 1
    rows = stack.execute("SELECT visit, answer FROM safiri.voice_calls WHERE call_sid = %s", phone.sid)
    assert [(visit, bytes(answer)) for visit, answer in rows] == [(2, found[0].raw)]


def test_another_process_goes_on_where_the_first_one_was(lines: Lines) -> None:
    phone, later = lines.phone(), Phone(lines.other, "ivr")
    phone.ask()
    later.sid = phone.sid
    assert later.press("1").verbs[0] == "dial"


def test_an_address_goes_on_also_where_its_row_is_gone(stack: Stack, lines: Lines) -> None:
    phone = lines.phone()
    asked = phone.ask()["getDigits"]["action"]
    stack.execute("DELETE FROM safiri.voice_calls WHERE call_sid = %s", phone.sid)
    assert Phone(lines.other, "ivr", sid=phone.sid).press("1", asked).verbs[0] == "dial"


# ---------------------------------------------------------------- events


def test_every_request_and_answer_is_an_event_and_cards_and_pins_are_not(stack: Stack, lines: Lines) -> None:
    phone = lines.phone()
    phone.ask()
    phone.press("4111111111111111")
    pin = phone.press("3")["getDigits"]["action"]
    phone.press("4242", pin)
    assert phone.press("4242", pin).verbs, "typed again, it gets the stored answer"
    phone.ask(state="Completed", durationInSeconds="77", dtmfDigits="4242")
    stack.fresh()
    events = journey(stack, phone.sid, "/events")["events"]
    assert [event["type"] for event in events].count("voice.request") == [event["type"] for event in events].count("voice.answer") == 6
    text = json.dumps(events)
    for there in ("One or two?", "Your pin?", "Thank you.", "77", phone.sid):
        assert there in text, there
    assert "4111111111111111" not in text
    assert "4242" not in text.replace("4242424242424242", "")
    found = journey(stack, phone.sid)
    assert (found["state"], found["direction"], found["caller"], found["called"]) == ("ended", "inbound", phone.caller, OURS)


def test_a_second_id_of_the_call_leads_to_the_same_journey(stack: Stack, lines: Lines) -> None:
    phone = lines.phone()
    other = f"0190{marker()[:4]}-aaaa-7bbb-8ccc-{'d' * 12}".translate(str.maketrans("ghijklmnop", "abcdefabcd"))
    asked = phone.ask()["getDigits"]["action"]
    body = urlencode({"CallId": other, "Digits": "1"}).encode()
    assert phone.send(body, asked).verbs[0] == "dial"
    stack.fresh()
    assert journey(stack, other)["journey_id"] == journey(stack, phone.sid)["journey_id"]


def test_conference_and_stream_callbacks_are_recorded_with_their_call(stack: Stack, lines: Lines) -> None:
    phone = lines.phone()
    phone.ask()
    held = phone.press("2")
    room = held["conference"]
    assert held.verbs == ["say", "conference", "redirect"]
    assert room["name"] == f"queue-{phone.sid}"
    where = urlsplit(room["statusEventsCallbackUrl"])
    assert where.path == "/voice/ivr/events"
    body = json.dumps({"event": "join", "conference_name": room["name"], "caller": phone.caller, "participant_id": "p-1"}).encode()
    target = f"{lines.one}{where.path}?{where.query}"
    for sent in (body, b"not \xff readable"):
        reply = httpx.post(target, content=sent, headers={"content-type": "application/json"})
        assert (reply.status_code, reply.content) == (204, b"")
    phone.ask(state="Completed")
    stack.fresh()
    found = journey(stack, phone.sid)
    assert "conference.joined" in json.dumps(journey(stack, phone.sid, "/events"))
    assert [(visit["queue"], visit["outcome"]) for visit in found["queue_visits"]] == [("voice-hold", "abandoned")]


def test_a_stream_that_failed_is_known_at_the_redirect(lines: Lines) -> None:
    for failed in (True, False):
        phone = lines.phone("bot")
        opened = phone.ask()
        assert opened.xml
        assert parse_qs(urlsplit(opened["stream"]["url"]).query)["c"] == [phone.sid]
        if failed:
            where = urlsplit(opened["stream"]["statusCallback"])
            body = json.dumps({"sessionId": phone.sid, "callSessionState": "StreamError"})
            assert httpx.post(f"{lines.other}{where.path}?{where.query}", content=body).status_code == 204
        after = phone.ask(opened.onward, state="Answered")
        assert after.verbs == ["say", "dial"]  # nobody opened the socket either way
        assert after["say"]["text"] == "One moment."


# ---------------------------------------------------------------- who may ask


def test_a_request_must_be_signed_or_come_to_an_address_of_ours(lines: Lines) -> None:
    phone = lines.phone(account="")
    body = urlencode({"sessionId": phone.sid, "callerNumber": phone.caller, "dtmfDigits": "1"}).encode()
    good = PROVIDERS["sautikit"].sign(body, SECRET["lines"], int(time.time()), "")
    asked = Phone(lines.one, "ivr", sid=phone.sid).ask()["getDigits"]["action"]
    assert phone.send(body, asked).verbs[0] == "dial"  # a token of ours
    assert phone.send(body, **good).status == 200
    wrong = PROVIDERS["sautikit"].sign(body, "whsec_wrong", int(time.time()), "")
    stale = PROVIDERS["sautikit"].sign(body, SECRET["lines"], int(time.time()) - 301, "")
    for where, headers in (("", {}), ("", wrong), ("", stale), (asked, wrong), (asked, stale)):
        assert phone.send(body, where, **headers).status == 401, (where, headers)
    query = {name: found[0] for name, found in parse_qs(urlsplit(asked).query).items()}
    for change in ({"k": ""}, {"k": "0" * 32}, {"v": "7"}, {"r": "3"}, {"c": "HD_somebodyelse1"}):
        assert phone.send(body, f"/voice/ivr/menu?{urlencode(query | change)}").status == 401, change
    assert phone.send(body, f"/voice/ivr/sales?{urlencode(query)}").status == 401
    assert phone.send(body, f"/voice/ivr/events?{urlencode(query)}").status == 401
    assert phone.send(body, f"/voice/bot/menu?{urlencode(query)}").status == 401


def test_where_nothing_is_required_the_bare_address_serves(lines: Lines) -> None:
    phone = lines.phone("markup", account="")
    assert phone.ask().verbs[0] == "getDigits"
    assert phone.press("1", "/voice/markup/menu").verbs[0] == "dial"
    reply, _ = phone.request("POST", "/voice/markup/events", content=b"x=1")
    assert reply.status_code == 204


def test_a_placed_call_asks_with_its_token_or_not_at_all(lines: Lines) -> None:
    for path in ("/voice/~offer/lines?o=x&c=HD_y1", "/voice/~order/lines?o=x", "/voice/~offer/lines"):
        assert Phone(lines.one, "", account="").ask(path).status == 401
        assert Phone(lines.one, "", account="lines").ask(path).status == 401  # signed, but nobody placed such a call
    assert Phone(lines.one, "").ask("/voice/~offer/nosuch?o=x").status == 404


# ---------------------------------------------------------------- odd requests


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "text/plain"), (b"[]", "application/json"), (b'{"CallId": ', "application/json"), (b"\xff\xfe=%zz&&", "application/x-www-form-urlencoded"),
        (b"\x00" * 5000, "application/octet-stream"), (b'{"a":' * 3000, "application/json"), (b"&".join([b"a=1"] * 3000), "application/x-www-form-urlencoded"),
        (b'{"CallId": {"a": 1}, "Digits": ["1"]}', "application/json"), (b"Digits=%00%1f1&CallId=%1f%00", "application/x-www-form-urlencoded"),
        (b"sessionId=" + b"x" * 400, "application/x-www-form-urlencoded"), (b"a" * (1 << 20), "text/plain"), (b'"' + b"\\u0000" * 170_000 + b'"', "text/plain"),
    ],
)  # fmt: skip
def test_what_nobody_can_read_still_gets_the_flows_opening(lines: Lines, body: bytes, kind: str) -> None:
    answer = lines.phone("markup", account="loose").send(body, content_type=kind)
    assert answer.verbs[0] == "getDigits"
    assert answer.took < 3


def test_a_body_that_is_too_large_or_never_comes_is_answered_in_time(lines: Lines) -> None:
    large = lines.phone("markup", account="").send(b"a" * ((1 << 20) + 1), content_type="text/plain", user_agent="x")
    assert large.verbs[0] == "getDigits"
    for declared, sent in ((100, b""), (100, b"sessionId=HD_slow")):
        began = time.monotonic()
        head = request(
            "/voice/markup", b"", {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(declared)}, length=False
        )
        reply = exchange(lines.one, head + sent)
        assert (reply.status, b"GetDigits" in reply.body) == (200, True)
        assert time.monotonic() - began < 3
    with connect(lines.one) as wire:  # somebody who hangs up in the middle of it
        wire.sendall(request("/voice/markup", b"", {"Content-Length": "100"}, length=False))
    assert lines.phone("markup", account="loose").ask().status == 200


def test_odd_ids_and_queries_do_no_harm(lines: Lines) -> None:
    for query in (
        "v=x&r=-1",
        "v=99999999999",
        "c=%00",
        "c=" + "x" * 5000,
        "&".join(["a=b"] * 2000),
        "v=1&v=2",
        "=&&=",
        "%zz",
        "k=%ff&c=%ed%a0%80",
    ):
        for path in ("/voice/markup", "/voice/markup/menu", "/voice/markup/events"):
            reply, _ = lines.phone("markup").request("POST", f"{path}?{query}", content=b"sessionId=HD_odd1")
            assert reply.status_code in (200, 204), (path, query[:50])


def test_what_is_not_there_is_a_problem(lines: Lines) -> None:
    for method, path, status, allow in (
        ("POST", "/voice/nosuch", 404, None), ("POST", "/voice/", 404, None), ("POST", "/voice/ivr/", 404, None), ("POST", "/voice/ivr/a/b", 404, None),
        ("PUT", "/voice/ivr", 405, "GET, POST"), ("DELETE", "/voice/ivr/menu", 405, "GET, POST"), ("GET", "/voice/ivr/events", 405, "POST"),
        ("HEAD", "/voice/ivr", 405, "GET, POST"),
    ):  # fmt: skip
        reply, _ = lines.phone().request(method, path)
        assert (reply.status_code, reply.headers["content-type"], reply.headers.get("allow")) == (
            status,
            "application/problem+json",
            allow,
        ), path


def test_an_unknown_step_is_the_calls_position_and_is_shown(stack: Stack, lines: Lines) -> None:
    phone = lines.phone()
    first = phone.ask("/voice/ivr/nosuch")
    assert first.verbs[0] == "getDigits"
    assert phone.press("1", "/voice/ivr/removed").verbs[0] == "dial"
    stack.fresh()
    assert "unknown_step" in [anomaly["code"] for anomaly in journey(stack, phone.sid)["anomalies"]]


# ---------------------------------------------------------------- the user's own application


def test_a_delegate_is_asked_as_we_were_and_its_words_are_sent_on(stack: Stack, lines: Lines) -> None:
    for name, raw in (
        ("json", b'{"actions": [{"say": {"text": "The application speaks."}}]}'),
        ("xml", b'<?xml version="1.0"?>\n<Response><Say voice="woman" x-own="1">It speaks.</Say></Response>'),
    ):
        phone = lines.phone(f"app-{name}")
        body = urlencode({"CallId": phone.sid, "From": phone.caller, "To": OURS}).encode()
        signed = PROVIDERS["sautikit"].sign(body, SECRET["lines"], int(time.time()), "")
        reply, _ = phone.request(
            "POST",
            f"/voice/app-{name}?clientRequestId=x",
            content=body,
            headers={"content-type": "application/x-www-form-urlencoded", "user-agent": "Sautikit-VoiceProxy", **signed},
        )
        assert (reply.content, reply.headers["content-type"]) == (raw, f"application/{name}")
        [(method, path, headers, forwarded)] = lines.application.of(phone.sid)
        assert (method, path, forwarded) == ("POST", f"/{name}?of=acme&clientRequestId=x", body)
        assert headers["x-sautikit-signature"] == signed["X-Sautikit-Signature"]
        assert (headers["content-type"], headers["user-agent"]) == ("application/x-www-form-urlencoded", "Sautikit-VoiceProxy")
        stack.fresh()
        assert "speaks." in json.dumps([event["raw"] for event in journey(stack, phone.sid, "/events")["events"]])
        assert journey(stack, phone.sid)["anomalies"] == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("slow", "600 ms"),
        ("endless", "600 ms"),
        ("large", "bytes"),
        ("bad", "explode"),
        ("error", "500"),
        ("moved", "302"),
        ("odd", "JSON"),
    ],
)
def test_a_delegate_that_fails_is_replaced_by_the_fallback_and_shown(stack: Stack, lines: Lines, name: str, why: str) -> None:
    phone = lines.phone(f"app-{name}")
    answer = phone.ask()
    assert answer["say"]["text"] == "Resting."
    assert answer.took < 2
    stack.fresh()
    assert [anomaly["code"] for anomaly in journey(stack, phone.sid)["anomalies"]] == ["delegate_failed"]
    events = json.dumps(journey(stack, phone.sid, "/events")["events"])
    assert why in events
    said = {"bad": "The bad one.", "error": "boom in the application"}.get(name, "")
    assert said in events


# ---------------------------------------------------------------- MiniVoice


def test_minivoice_is_told_what_was_pressed_by_webhook(stack: Stack, lines: Lines) -> None:
    sid = f"call_{marker()}1"
    query = urlencode({"call_id": sid, "from": "+15551230000", "to": "+15551230001", "direction": "inbound"})
    phone = Phone(lines.one, "mini-ivr", account="")

    def gathered(digits: str) -> None:
        body = {
            "event": "call.gathered",
            "created_at": rfc3339(time.time_ns() // 1000),
            "call": {"id": sid},
            "data": {"digits": digits, "timed_out": not digits},
        }
        assert httpx.post(f"{lines.one}/hooks/mini-lines", json=body).status_code == 202

    menu = told(phone.request("GET", f"/voice/mini-ivr?{query}")[0])
    assert menu.verbs == ["gather", "redirect"]
    gathered("")
    onward = urlsplit(menu.onward)
    again = told(phone.request("GET", f"{onward.path}?{onward.query}&{query}")[0])
    assert again.verbs == ["gather", "redirect"]
    gathered("7")
    onward = urlsplit(again.onward)
    again = told(phone.request("GET", f"{onward.path}?{onward.query}&{query}")[0])
    assert again.verbs == ["gather", "redirect"]
    with ThreadPoolExecutor(1) as pool:  # the request is there before the webhook; what was pressed before is not heard again
        onward = urlsplit(again.onward)
        waiting = pool.submit(phone.request, "GET", f"{onward.path}?{onward.query}&{query}")
        time.sleep(0.3)
        gathered("1")
        reply, took = waiting.result()
    last = told(reply)
    assert last.verbs == ["transfer"]
    assert last["transfer"]["destination"] == "+254720000001"
    assert took < 3
    stack.fresh()
    assert [(step["menu"], step["digits"]) for step in journey(stack, sid)["menu_path"]] == [("menu", None), ("menu", "7"), ("menu", "1")]


# ---------------------------------------------------------------- something is away


def test_without_postgres_calls_are_answered_by_what_the_address_says(stack: Stack, lines: Lines) -> None:
    phone, held = lines.phone(), lines.phone()
    asked = phone.ask()["getDigits"]["action"]
    postgres = stack.up.pid("postgres")
    group = [pid for pid in stack.up.tree() if _name(pid) == "postgres"]
    for pid in {postgres, *group}:
        os.kill(pid, signal.SIGSTOP)
    try:
        answers = [phone.press("9", asked), held.ask()]
        answers.append(held.press("2"))  # into the queue: nobody can say whether an agent is free
        answers.append(Phone(lines.other, "ivr", sid=phone.sid).press("1", answers[0]["getDigits"]["action"]))
    finally:
        for pid in {postgres, *group}:
            os.kill(pid, signal.SIGCONT)
    assert [answer.verbs[0] for answer in answers] == ["getDigits", "getDigits", "say", "dial"]
    assert answers[2]["conference"]["name"] == f"queue-{held.sid}"
    assert max(answer.took for answer in answers) < 3
    eventually(lambda: stack.execute(WAITS, held.sid), "the call centre learns who waits", 30)
    eventually(
        lambda: held.ask(state="Completed").status == 200 and not stack.execute(WAITS, held.sid),
        "and who left",
    )
    stack.fresh()
    assert journey(stack, phone.sid)["menu_path"][0]["digits"] == "9"


def _name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm") as source:
            return source.read().strip()
    except OSError:
        return ""


def test_without_kafka_calls_are_answered_and_their_events_come_later(stack: Stack, lines: Lines) -> None:
    phone = lines.phone()
    broker = stack.up.pid("kafka")
    os.kill(broker, signal.SIGSTOP)
    try:
        answers = [phone.ask(), phone.press("1"), phone.ask(state="Completed")]
    finally:
        os.kill(broker, signal.SIGCONT)
    assert [answer.verbs[:1] for answer in answers] == [["getDigits"], ["dial"], []]
    assert max(answer.took for answer in answers) < 3
    eventually(
        lambda: stack.execute("SELECT count(*) FROM safiri.journal WHERE stream = %s AND source = 'voice'", phone.sid)[0][0] == 6,
        "all six are in the journal",
        60,
    )
    stack.fresh()
    assert journey(stack, phone.sid)["state"] == "ended"


def test_a_process_that_dies_leaves_its_calls_to_the_next(lines: Lines) -> None:
    phone = Phone(lines.other, "ivr")
    phone.ask()
    lines.role.kill()
    lines.role.start()
    assert phone.press("1").verbs[0] == "dial"
