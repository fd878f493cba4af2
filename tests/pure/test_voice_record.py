"""What is asked and answered on /voice, as records of the log, and the journeys that they tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import msgspec

from calls import events as e
from calls.configuration import Configuration
from calls.envelope import Envelope
from calls.facts import facts
from calls.history import Delivery
from calls.journey import Journey
from calls.own import own
from calls.providers import Delivered
from calls.voice import record
from calls.voice.decide import Decision, Request, State
from tests.given import NOON, SECOND, codes, seconds, segments, told

NUMBER, CALLER, AGENT = "+254711000100", "+254711000001", "+254720000001"
CONFIGURATION = Configuration(numbers={"acme": [NUMBER]}, agents={AGENT: "amina"})
SERIAL: Iterator[int] = count(1)


class Line:
    """A call as the voice handler records it, a request and its answer at a time."""

    def __init__(self, sid: str = "HD_0000000000a1", flow: str = "ivr", provider: str = "sautikit") -> None:
        self.sid, self.flow, self.provider = sid, flow, provider
        self.state: State | None = None
        self.kept: list[Envelope] = []

    def ask(self, when: str, *said: e.Event, kind: str = "ask", menu: str | None = None, masked: bool = False, recording: bool = False,
            fault: str = "", dial_answered: bool | None = None, **fields: Any) -> Line:  # fmt: skip
        at = NOON + seconds(when)
        told = {"sessionId": self.sid, "callerNumber": CALLER, "destinationNumber": NUMBER, "direction": "Inbound", **fields}
        state = msgspec.structs.replace(self.state or State(), visit=(self.state.visit if self.state else 0) + 1)
        decision = Decision(
            actions=[], state=state, facts=[msgspec.structs.replace(one, at=at + 1000) for one in said], menu=menu, masked=masked
        )
        asked = Request(
            call_sid=self.sid,
            at=at,
            kind=kind,
            state=str(fields.get("callSessionState", "")),
            recording=recording,
            dial_answered=dial_answered,
            dial_to=fields.get("dialDestinationNumber"),
        )
        body = record.request(asked, flow=self.flow, provider=self.provider, before=self.state, decision=decision if kind == "ask" else None, masked=masked,
                              method="POST", path=f"/voice/{self.flow}", content_type="", fields=told)  # fmt: skip
        self._keep(body, at)
        body = record.answer(asked, flow=self.flow, decision=decision if kind == "ask" else None, document=b'{"actions":[]}',
                             content_type="application/json", at=at + 1000, took_ms=1, fallback="why" if fault else "", fault=fault)  # fmt: skip
        self._keep(body, at + 1000)
        if kind == "ask":
            self.state = state
        return self

    def stands(self, **state: Any) -> Line:
        self.state = msgspec.structs.replace(self.state or State(), **state)
        return self

    def over(self, when: str, **fields: Any) -> Line:
        return self.ask(when, kind="over", callSessionState="Completed", isActive="0", **fields)

    def _keep(self, body: bytes, at: int) -> None:
        receipt = f"{next(SERIAL):032x}"
        self.kept.append(record.envelope(body, call_sid=self.sid, tenant="default", account="acme", provider=self.provider, receipt=receipt,
                                         received_at=at, signature="verified"))  # fmt: skip


def read(one: Envelope) -> Delivery:
    delivered = Delivered(one.raw, one.content_type, one.headers, one.received_at, one.account)
    stated = facts(delivered, source=one.source, provider=one.provider, stream=one.stream)
    return Delivery(one.stream, one.account, one.provider, one.event_id, bytes.fromhex(one.digest), one.received_at, stated)


def journey(*lines: Line, more: list[Envelope] = []) -> Journey:  # noqa: B006
    found = told([read(one) for line in lines for one in line.kept] + [read(one) for one in more], CONFIGURATION)
    assert len(found) == 1, [one.call_sids for one in found]
    return found[0]


def desk(event: e.Event) -> Envelope:
    return own(event, tenant="default", account="acme", provider="sautikit", receipt=f"{next(SERIAL):032x}", received_at=event.at)


def test_a_caller_presses_a_key_and_hangs_up() -> None:
    line = Line().ask("+0", e.CallAnswered(), e.MenuEntered(menu="menu"), callSessionState="Ringing")
    line.ask("+4", e.MenuLeft(menu="menu"), menu="menu", callSessionState="Answered", dtmfDigits="2").over("+9", durationInSeconds="9")
    found = journey(line)
    assert (found.outcome, found.state, found.complete, found.direction, found.caller) == (
        "abandoned_in_menu",
        "ended",
        True,
        "inbound",
        CALLER,
    )
    assert [(step.menu, step.digits) for step in found.menu_path] == [("menu", "2")]
    assert segments(found) == [("ring", 0), ("menu", 4)]
    assert found.events == 6


def test_nothing_pressed_is_a_step_that_timed_out() -> None:
    line = Line().ask("+0", e.MenuEntered(menu="menu"), callSessionState="Ringing")
    line.ask("+5", e.MenuLeft(menu="menu"), e.MenuEntered(menu="menu"), menu="menu", callSessionState="Answered", dtmfDigits="").over("+9")
    assert [(step.menu, step.digits, step.timed_out) for step in journey(line).menu_path] == [("menu", None, True), ("menu", None, False)]


def test_documented_names_begin_a_call_as_well() -> None:
    line = Line(sid="3fa85f64-5717-4562-b3fc-2c963f66afa6")
    line.ask(
        "+0",
        e.CallAnswered(),
        CallId=line.sid,
        From=CALLER,
        To=NUMBER,
        sessionId=None,
        callerNumber=None,
        destinationNumber=None,
        direction=None,
    )
    found = journey(line.over("+3"))
    assert (found.direction, found.caller, found.called, found.complete) == ("inbound", CALLER, NUMBER, True)


def test_a_message_left_is_a_voicemail() -> None:
    line = Line().ask("+0", e.CallAnswered(), callSessionState="Ringing").stands(waits="record", step="message")
    line.ask(
        "+9",
        callSessionState="Recorded",
        recordingUrl="https://storage.example.com/r.mp3",
        recordingId="rec_1",
        durationInSeconds="7",
        recording=True,
    )
    found = journey(line.over("+10", durationInSeconds="10"))
    assert (found.outcome, codes(found), found.durations.total_ms) == ("voicemail", [], 10_000)


def test_an_agent_dialled_out_of_the_queue_answers() -> None:
    line = Line(flow="support").ask("+0", e.CallAnswered(), e.QueueEntered(queue="support"),
                                    e.LegStarted(leg="dial", kind="agent", agent="amina", queue="support", to=AGENT), callSessionState="Ringing")  # fmt: skip
    line.stands(waits="dial", queue="support", agent="amina", offer="o1", to=AGENT)
    dialled = {"dialDestinationNumber": AGENT, "dialStartTime": "2026-09-01T12:00:03Z", "dialDurationInSeconds": "20"}
    line.ask("+23", kind="edge", callSessionState="DialCompleted", **dialled).stands(dial_answered=True)
    found = journey(line.over("+24", durationInSeconds="24", **dialled))
    (visit,) = found.queue_visits
    assert (found.outcome, visit.outcome, visit.agent, visit.wait_ms, found.durations.talk_ms) == (
        "answered",
        "answered",
        "amina",
        2999,
        20_000,
    )
    assert (found.complete, codes(found), [leg.kind for leg in found.calls[0].legs]) == (True, [], ["caller", "agent"])


def test_what_is_told_again_of_one_dial_is_not_said_of_the_next() -> None:
    other, legs = "+254722000002", {"leg": "dial", "kind": "agent", "queue": "support"}
    line = Line(flow="support").ask("+0", e.CallAnswered(), e.QueueEntered(queue="support"),
                                    e.LegStarted(agent="amina", to=AGENT, **legs), callSessionState="Ringing")  # fmt: skip
    line.stands(waits="dial", queue="support", agent="amina", offer="o1", to=AGENT)
    line.ask("+5", e.LegEnded(leg="dial", cause="no_answer"), e.LegStarted(agent="baraka", to=other, **legs), callSessionState="Answered")
    line.stands(waits="dial", queue="support", agent="baraka", offer="o2", to=other)
    line.ask("+8", kind="edge", callSessionState="DialCompleted", dialDestinationNumber=AGENT, dialDurationInSeconds="0")
    dialled = {"dialDestinationNumber": other, "dialStartTime": "2026-09-01T12:00:09Z", "dialDurationInSeconds": "20"}
    line.ask("+29", kind="edge", callSessionState="DialCompleted", **dialled).stands(dial_answered=True)
    found = journey(line.over("+30", durationInSeconds="30", **dialled))
    (visit,) = found.queue_visits
    assert (visit.outcome, visit.agent, found.durations.talk_ms) == ("answered", "baraka", 20_000)
    assert [(leg.agent, leg.cause) for leg in found.calls[0].legs[1:]] == [("amina", "no_answer"), ("baraka", None)]


def test_a_dial_that_was_answered_nobody_says_when_was_answered_when_it_was_ordered() -> None:
    line = Line().ask("+0", e.CallAnswered(), e.LegStarted(leg="dial", kind="external", to=AGENT), callSessionState="Ringing")
    line.stands(waits="dial", to=AGENT, dialled_at=NOON + 1000)
    line.ask("+30", e.LegEnded(leg="dial"), callSessionState="Answered", dialCallStatus="completed", dial_answered=True)
    found = journey(line.over("+31"))
    assert (found.outcome, found.durations.talk_ms, found.durations.ring_ms) == (
        "answered",
        30_000,
        1,
    )  # the caller rang for that millisecond


def test_the_end_tells_of_a_dial_whose_own_end_was_lost() -> None:
    line = Line(flow="support").ask("+0", e.CallAnswered(), e.QueueEntered(queue="support"),
                                    e.LegStarted(leg="dial", kind="agent", agent="amina", queue="support", to=AGENT), callSessionState="Ringing")  # fmt: skip
    line.stands(waits="dial", queue="support", agent="amina", to=AGENT)
    found = journey(line.over("+24", dialDestinationNumber=AGENT, dialStartTime="2026-09-01T12:00:03Z", dialDurationInSeconds="20"))
    assert (found.outcome, found.queue_visits[0].agent, found.durations.talk_ms) == ("answered", "amina", 20_000)


def test_who_was_dialled_in_vain_after_a_menu_was_not_answered() -> None:
    line = Line().ask("+0", e.CallAnswered(), e.MenuEntered(menu="menu"), callSessionState="Ringing")
    line.ask(
        "+3",
        e.MenuLeft(menu="menu"),
        e.LegStarted(leg="dial", kind="external", to=AGENT),
        menu="menu",
        callSessionState="Answered",
        dtmfDigits="1",
    )
    line.stands(waits="dial", to=AGENT).ask("+33", kind="edge", callSessionState="DialCompleted", dialCallStatus="busy")
    assert journey(line.stands(dial_answered=False).over("+34")).outcome == "busy"


def test_who_was_dialled_at_once_and_was_busy_was_busy() -> None:
    line = Line().ask("+0", e.CallAnswered(), e.LegStarted(leg="dial", kind="external", to=AGENT), callSessionState="Ringing")
    line.stands(waits="dial", to=AGENT).ask("+9", kind="edge", callSessionState="DialCompleted", dialCallStatus="busy")
    assert journey(line.stands(dial_answered=False).over("+10")).outcome == "busy"


def rung(answered: str, gone: str) -> Journey:
    """A caller waits in a room, an agent is called; the desk ties the two."""
    caller, agent = Line(flow="held"), Line(sid="HD_0000000000b2", flow="~offer")
    at = NOON + 2 * SECOND
    uuid = "7d44c0de-0000-4000-8000-000000000002"
    caller.ask("+0", e.CallAnswered(), e.QueueEntered(queue="held"), callSessionState="Ringing").over(gone)
    tied = [
        desk(e.DispatchOffered(call_sid=caller.sid, at=at, offer="o1", queue="held", agent="amina", to=AGENT)),
        desk(e.CallStarted(call_sid=uuid, at=at, direction="outbound", from_=NUMBER, to=AGENT, parent_call_sid=caller.sid)),
        desk(e.CallLinked(call_sid=uuid, at=at, alias=agent.sid)),
    ]
    joined = NOON + seconds(answered)
    if joined < NOON + seconds(gone):
        tied.append(desk(e.QueueLeft(call_sid=caller.sid, at=joined, queue="held", reason="answered")))
    outbound = {"callerNumber": NUMBER, "destinationNumber": AGENT, "direction": "Outbound"}
    agent.ask(answered, callSessionState="Answered", **outbound).over("+60", **outbound)
    return journey(caller, agent, more=tied)


def test_an_agent_in_a_call_of_their_own_is_part_of_the_callers_journey() -> None:
    found = rung("+7", "+60")
    (visit,) = found.queue_visits
    assert (found.outcome, visit.outcome, visit.agent, visit.wait_ms, found.durations.talk_ms) == (
        "answered",
        "answered",
        "amina",
        6999,
        53_000,
    )
    assert [(call.call_sid, call.aliases) for call in found.calls][1] == ("7d44c0de-0000-4000-8000-000000000002", ["HD_0000000000b2"])
    assert (found.direction, found.complete) == ("inbound", True)


def test_an_agent_who_answers_when_the_caller_is_gone_talks_with_nobody() -> None:
    found = rung("+9", "+8")
    assert (found.outcome, found.queue_visits[0].outcome, found.queue_visits[0].agent, found.durations.talk_ms) == (
        "abandoned_in_queue",
        "abandoned",
        None,
        0,
    )


def test_what_the_flow_would_not_have_said_is_an_anomaly() -> None:
    found = journey(Line().ask("+0", callSessionState="Ringing", fault="delegate_failed").over("+3"))
    assert codes(found) == ["delegate_failed"]


def test_a_stream_that_never_was_is_no_bot() -> None:
    line = Line(flow="reception").ask("+0", e.CallAnswered(), callSessionState="Ringing").stands(waits="bot")
    line.ask("+1", kind="edge", callSessionState="StreamError", streamSid="st_1")
    assert [leg.kind for leg in journey(line.over("+5")).calls[0].legs] == ["caller"]


def test_what_is_typed_at_a_sensitive_step_and_cards_anywhere_are_not_kept() -> None:
    line = Line().ask("+0", e.MenuEntered(menu="pin"), callSessionState="Ringing")
    line.ask("+3", menu="pin", masked=True, dtmfDigits="9081").ask("+5", menu="menu", dtmfDigits="4111111111111111")
    kept = json.dumps([one.body for one in line.kept])
    assert "9081" not in kept and "4111111111111111" not in kept and "************1111" in kept
    assert [step.digits for step in journey(line.over("+9")).menu_path] == ["****", "************1111"]


def test_a_transfer_of_which_the_provider_tells_nothing_lasts_until_the_call_ends() -> None:
    line = Line(sid="call_000000000001", flow="mini", provider="minivoice")
    said = e.LegStarted(leg="transfer", kind="external", to="+15551230011", attributes={"reported": False})
    line.ask("+5", said, call_id=line.sid, **{"from": CALLER, "to": NUMBER})
    ended = desk(e.CallEnded(call_sid=line.sid, at=NOON + 30 * SECOND))
    found = journey(line, more=[ended])
    assert (found.outcome, found.durations.talk_ms, found.attributes) == ("answered", 24_999, {})
