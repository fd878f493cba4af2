"""Attributes that a sender gives its calls are kept as they are and can be asked for, however the journey came to be written."""

from __future__ import annotations

import uuid

from whole import Stack


def test_a_journey_is_found_by_its_attributes_first_written_and_rewritten(stack: Stack) -> None:
    call, campaign = f"attributed-{uuid.uuid4()}", uuid.uuid4().hex
    start = {"type": "call.started", "call_sid": call, "occurred_at": "2026-09-01T08:00:00Z", "direction": "inbound"}
    stack.events(start | {"attributes": {"campaign": campaign, "priority": 2}})
    stack.fresh()
    assert [one["attributes"] for one in stack.get("/v1/journeys", **{"attr.campaign": campaign})["journeys"]] == [
        {"campaign": campaign, "priority": 2}
    ]
    stack.events({"type": "call.ended", "call_sid": call, "occurred_at": "2026-09-01T08:01:00Z", "attributes": {"paid": True}})
    stack.fresh()
    for name, value in (("campaign", campaign), ("priority", "2")):
        (found,) = stack.get("/v1/journeys", **{"attr.campaign": campaign, f"attr.{name}": value})["journeys"]
        assert (found["outcome"], found["attributes"]["paid"]) == ("no_answer", True)
    kinds = stack.execute("SELECT DISTINCT jsonb_typeof(attributes) FROM live.journeys")
    assert kinds == [("object",)]
