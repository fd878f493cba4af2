"""The ladder: all of the story, in order, on a hundred columns, and nothing from outside steers the terminal."""

from __future__ import annotations

import json
from zoneinfo import ZoneInfo

import pytest

from calls.clock import parse_time
from calls.journey import Anomaly, Call, Durations, Journey, Leg, MenuStep, QueueVisit, Segment, document
from calls.ladder import WIDTH, ladder, offset, plain, spoken
from calls.money import money

NOON = parse_time("2026-09-01T12:00:00Z") or 0
SECOND = 1_000_000
SID = "d6a1e0a6-9f1b-4f9e-8a8e-1a2b3c4d5e6f"


def at(seconds: float) -> int:
    return NOON + int(seconds * SECOND)


def story() -> Journey:
    """4 s to a menu, 30 s in queue support, 60 s with amina, 10 s of them on hold."""
    segments = [Segment("talk", at(40), at(60)), Segment("hold", at(60), at(70)), Segment("talk", at(70), at(100))]
    leg = Leg(leg="a", kind="agent", started_at=at(34), address="+254720000001", agent="amina", queue="support", answered_at=at(40),
              ended_at=at(100), ended_by="agent", cause="normal", segments=segments)  # fmt: skip
    call = Call(call_sid=SID, account="acme", provider="neutral", started_at=NOON, aliases=["HD_1"], caller="+254712345678", called="+254711000100",
                answered_at=at(2), ended_at=at(100), legs=[leg])  # fmt: skip
    return Journey(
        tenant="default", journey_id="jn_1", account="acme", provider="neutral", started_at=NOON, direction="inbound", caller="+254712345678",
        called="+254711000100", ended_at=at(100), state="ended", outcome="answered", ended_by="agent",
        durations=Durations(total_ms=100_000, queue_ms=30_000, talk_ms=50_000, hold_ms=10_000), calls=[call],
        queue_visits=[QueueVisit(SID, "support", at(10), at(40), "answered", "amina")], menu_path=[MenuStep(SID, at(4.5), "main", "1")],
        anomalies=[Anomaly("missing_start", "no start; " * 30)], complete=True, events=9, labels=["order-7"],
    )  # fmt: skip


def drawn(journey: Journey) -> list[str]:
    return ladder(json.dumps(document(journey)), ZoneInfo("Africa/Nairobi")).splitlines()


def test_it_tells_the_story_in_order() -> None:
    lines = drawn(story())
    text = "\n".join(lines)
    assert [" ".join(line.split()) for line in lines if line.lstrip().startswith("+0")] == [
        "+00:00.000 +254712345678 ──> +254711000100 call begins",
        "+00:02.000 +254712345678 <── +254711000100 answered",
        "+00:04.500 caller ──> menu main presses 1",
        "+00:10.000 caller ──> queue support",
        "+00:34.000 queue support ──> agent amina",
        "+00:40.000 queue support <── agent amina answered",
        "+00:40.000 caller <── queue support answered by amina after 30.0 s",
        "+01:00.000 agent amina ··· hold 10.0 s",
        "+01:40.000 agent amina ──x leaves after 1 min 00 s, normal, by agent",
        "+01:40.000 +254712345678 ──x +254711000100 call ends, by agent",
    ]
    for told in (SID, "HD_1", "jn_1", "answered (ended, ended by agent)", "2026-09-01 15:00:00.000 +03:00", "total 1 min 40 s", "order-7",
                 "! missing_start: no start;", "9, complete"):  # fmt: skip
        assert told in text, told
    assert max(map(len, lines)) <= WIDTH


def test_what_is_missing_is_left_out_or_said() -> None:
    bare = Journey(tenant="t", journey_id="jn_2", account="acme", provider="neutral", started_at=NOON,
                   calls=[Call(call_sid="x", account="acme", provider="neutral", started_at=NOON)],
                   queue_visits=[QueueVisit("x", "q", NOON, None, "waiting")], menu_path=[MenuStep("x", NOON, None, None, timed_out=True)])  # fmt: skip
    text = "\n".join(drawn(bare))
    for told in (
        "direction unknown",
        "unknown ──> unknown",
        "incomplete",
        "presses nothing (timed out)",
        "caller ──> queue q",
        "open (open)",
    ):
        assert told in text, told


def test_long_and_hostile_texts_stay_within_their_line() -> None:
    evil = story()
    evil.caller = evil.calls[0].caller = "\x1b[2J" + "9" * 300
    evil.queue_visits[0].queue = "a\nb\u202e" + "q" * 300
    evil.calls[0].call_sid = "s" * 500
    lines = drawn(evil)
    assert max(map(len, lines)) <= WIDTH
    text = "\n".join(lines)
    assert not any(letter in text for letter in "\x1b\u202e")
    assert "\\x1b[2J" in text


@pytest.mark.parametrize(
    ("micros", "shown"), [(0, "+00:00.000"), (12_345_678, "+00:12.345"), (3_600_000_000 * 30, "+30:00:00.000"), (-1_500_000, "-00:01.500")]
)
def test_offsets(micros: int, shown: str) -> None:
    assert offset(micros) == shown


@pytest.mark.parametrize(
    ("ms", "said"), [(None, "-"), (0, "0 ms"), (999, "999 ms"), (12_340, "12.3 s"), (245_000, "4 min 05 s"), (7_380_000, "2 h 03 min")]
)
def test_lengths(ms: int | None, said: str) -> None:
    assert spoken(ms) == said


def test_plain_keeps_letters_of_every_script() -> None:
    assert plain("Nya\u0303 \u6771\u4eac \U0001f600") == "Nya\u0303 \u6771\u4eac \U0001f600"
    assert plain("a\tb\ud800") == "a\\tb\\ud800"


# ---------------------------------------------------------------- what it cost


def costing(*charges: dict[str, object]) -> list[str]:
    """The lines after the story."""
    usual = {"call_sid": SID, "plan": "sautikit-ke", "version": "2026-01", "currency": "KES"}
    told = {**document(story()), "anomalies": [], "charges": [usual | one for one in charges]}
    return [" ".join(line.split()) for line in ladder(json.dumps(told)).split("call ends")[1].splitlines()[2:]]


def test_it_tells_what_each_leg_cost_and_the_whole() -> None:
    lines = costing({"leg": "caller", "amount_minor": 0}, {"leg": "a", "amount_minor": 123_450})
    assert lines == ["KES 0.00 caller, sautikit-ke 2026-01", "KES 1,234.50 agent amina, sautikit-ke 2026-01", "KES 1,234.50 in all"]


def test_what_no_rule_covers_is_unrated_and_never_free() -> None:
    unrated = {"leg": "a", "amount_minor": None, "version": None, "unrated": "no rule covers +1\x1b[2J"}
    lines = costing(unrated, {"leg": "b", "amount_minor": 5, "currency": "USD"}, {"leg": "caller", "amount_minor": 305})
    assert lines == [
        "unrated agent amina, sautikit-ke: no rule covers +1\\x1b[2J",
        "USD 0.05 b, sautikit-ke 2026-01",
        "KES 3.05 caller, sautikit-ke 2026-01",
        "KES 3.05 + USD 0.05 in all, without 1 unrated leg",
    ]
    assert costing(unrated)[-1] == "- in all, without 1 unrated leg"


def test_a_story_without_charges_says_nothing_of_money() -> None:
    assert "in all" not in "\n".join(drawn(story()))


@pytest.mark.parametrize(("minor", "shown"), [
    (0, "KES 0.00"), (5, "KES 0.05"), (450, "KES 4.50"), (-450, "KES -4.50"), (123_456_789, "KES 1,234,567.89"), (2**70, "KES 11,805,916,207,174,113,034.24"),
])  # fmt: skip
def test_money_is_told_in_hundredths_and_never_rounded(minor: int, shown: str) -> None:
    assert (money(minor, "KES"), money(minor, None)) == (shown, shown.removeprefix("KES "))
