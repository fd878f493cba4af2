"""Two clocks on one call: ours, and that of the PBX, which may count in whole seconds."""

from __future__ import annotations

import pytest

from calls import events as e
from calls.clock import rfc3339
from tests.given import NOON, SECOND
from tests.pure.test_voice_record import Line, desk, journey


@pytest.mark.parametrize(("behind_ms", "status", "talk_ms"), [(0, "completed", 3000), (900, "completed", 3000), (900, "no-answer", 0)])
def test_a_dial_that_the_pbx_says_began_before_we_ordered_it_is_still_one_dial(behind_ms: int, status: str, talk_ms: int) -> None:
    line = Line().ask("+0", e.CallAnswered(), e.MenuEntered(menu="menu"), callSessionState="Ringing")
    line.ask("+4", e.MenuLeft(menu="menu"), e.LegStarted(leg="dial", kind="external", to="+254720000009"), menu="menu", dtmfDigits="1")
    line.stands(waits="dial", dialled_at=NOON + 4 * SECOND + 1000, to="+254720000009")
    told = {"dialDestinationNumber": "+254720000009", "dialStartTime": rfc3339(NOON + 4 * SECOND - behind_ms * 1000),
            "dialDurationInSeconds": str(talk_ms // 1000), "dialCallStatus": status}  # fmt: skip
    line.ask("+8", kind="edge", callSessionState="DialCompleted", **told).stands(waits="over").over("+9", **told)
    found = journey(line)
    assert [leg.leg for leg in found.calls[0].legs] == ["caller", "dial"]
    assert (found.complete, found.durations.talk_ms, [(step.menu, step.digits) for step in found.menu_path]) == (
        True,
        talk_ms,
        [("menu", "1")],
    )


def test_a_stream_that_is_told_of_when_its_bot_has_handed_over_is_no_second_bot() -> None:
    line = Line().ask("+0", e.CallAnswered(), callSessionState="Ringing").stands(waits="bot", bot="handed_over")
    told = [
        desk(e.BotStarted(call_sid=line.sid, at=NOON + SECOND, leg="bot")),
        desk(e.BotHandedOver(call_sid=line.sid, at=NOON + 3 * SECOND, leg="bot")),
    ]
    line.ask("+3", e.LegStarted(leg="dial", kind="external", to="+254720000009")).stands(waits="dial", bot="", bot_told=True)
    line.ask("+4", kind="edge", callSessionState="StreamStarted").over("+9")
    assert [leg.leg for leg in journey(line, more=told).calls[0].legs if leg.kind == "bot"] == ["bot"]
