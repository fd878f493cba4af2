"""Journeys of what Africa's Talking sends: dials that are picked up, callers taken out of a queue, and causes of calls that never were."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from calls.events import shown
from calls.history import Delivery
from calls.journey import Journey
from calls.providers import PROVIDERS, Delivered
from tests.given import NOON, SECOND, delivered, told

CALLER = {"sessionId": "ATVId_1", "direction": "Inbound", "callerNumber": "+254722000111", "destinationNumber": "+254711000100"}
STARTED = "2026-09-01 12:00:00"
RINGING = {"isActive": "1", "callSessionState": "Ringing", "callStartTime": STARTED}
FINAL = {"isActive": "0", "callSessionState": "Completed", "status": "Success", "hangupCause": "NORMAL_CLEARING", "callStartTime": STARTED}


def sent(after_s: int, **fields: str) -> Delivery:
    """A request received so many seconds after NOON."""
    return delivered(CALLER | fields, NOON + after_s * SECOND, account="at", provider="africastalking")


def journey(*came: Delivery) -> Journey:
    (one,) = told(list(came))
    return one


def test_a_dial_that_was_picked_up_is_talk_from_then_on() -> None:
    picked_up = {"isActive": "1", "dialDestinationNumber": "+254720000001"}
    before = journey(sent(0, **RINGING), sent(12, **picked_up))
    assert (before.outcome, before.state, before.calls[0].legs[1].ended_at) == ("answered", "open", None)
    over = {"dialDestinationNumber": "+254720000001", "dialDurationInSeconds": "48", "dialStartTime": "2026-09-01 12:00:12"}
    after = journey(sent(0, **RINGING), sent(12, **picked_up), sent(60, **FINAL, **over, durationInSeconds="60"))
    assert after.durations.talk_ms == 48_000
    assert [leg.agent for leg in after.calls[0].legs] == [None, "amina"]
    assert after.anomalies == []


def test_a_caller_is_taken_out_of_the_queue() -> None:
    taken = {"dequeuedToPhoneNumber": "+254711000200", "dequeuedToSessionId": "ATVId_2"}
    agent = delivered(
        {"isActive": "1", "sessionId": "ATVId_2", "callerNumber": "+254720000001", "callSessionState": "Ringing"},
        NOON + 30 * SECOND, account="at", provider="africastalking",
    )  # fmt: skip
    one = journey(
        sent(0, **RINGING),
        agent,
        sent(35, isActive="1", **taken),
        sent(95, **FINAL, **taken, durationInSeconds="95", queueDurationInSeconds="31"),
    )
    (visit,) = one.queue_visits
    assert (visit.queue, visit.outcome, visit.wait_ms) == ("+254711000100", "answered", 31_000)
    assert (visit.entered_at, visit.left_at) == (NOON + 4 * SECOND, NOON + 35 * SECOND)
    assert (one.outcome, one.durations.talk_ms) == ("answered", 60_000)
    assert {sid for call in one.calls for sid in (call.call_sid,)} == {"ATVId_1", "ATVId_2"}


def test_a_caller_hangs_up_in_the_queue() -> None:
    one = journey(sent(0, **RINGING), sent(95, **FINAL, durationInSeconds="95", queueDurationInSeconds="90", queueName="support"))
    (visit,) = one.queue_visits
    assert (visit.queue, visit.outcome, visit.wait_ms, one.outcome) == ("support", "abandoned", 90_000, "abandoned_in_queue")
    assert one.anomalies == []


@pytest.mark.parametrize(("cause", "reason"), [
    ("NORMAL_CLEARING", None), ("UNSPECIFIED", None), ("CALL_REJECTED", "rejected"), ("USER_BUSY", "busy"),
    ("NO_ANSWER", "no_answer"), ("NO ANSWER", "no_answer"), ("NO_USER_RESPONSE", "no_answer"), ("ORIGINATOR_CANCEL", "canceled"),
    ("LOSE_RACE", "canceled"), ("SUBSCRIBER_ABSENT", "network"), ("NORMAL_TEMPORARY_FAILURE", "network"),
    ("RECOVERY_ON_TIMER_EXPIRE", "network"), ("SERVICE_UNAVAILABLE", "network"), ("USER_NOT_REGISTERED", "network"),
    ("UNALLOCATED_NUMBER", "network"),
])  # fmt: skip
def test_every_documented_cause_of_a_call_of_no_length(cause: str, reason: str | None) -> None:
    body = urlencode(CALLER | FINAL | {"hangupCause": cause, "durationInSeconds": "0"}).encode()
    first = shown(PROVIDERS["africastalking"].parse(Delivered(body, "application/x-www-form-urlencoded", {}, NOON, "at"))[0])
    assert (first["type"], first.get("reason"), first["cause"]) == ("call.failed" if reason else "call.ended", reason, cause)


@pytest.mark.parametrize("cause", ["USER_BUSY", "NO_ANSWER", "CALL_REJECTED"])
def test_a_call_that_lasted_is_ended_whatever_the_cause(cause: str) -> None:
    """The cause of a dial that failed becomes that of the whole call, though the caller was there all the time."""
    one = journey(sent(0, **RINGING), sent(40, **FINAL | {"hangupCause": cause, "durationInSeconds": "40"}))
    assert (one.state, one.durations.total_ms) == ("ended", 40_000)
