"""A queue_log as text or rows → its journeys, the sums of its queues, and the time of its agents. Pure, like the fold."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from calls.agents import Interval, State, Stretch, days
from calls.clock import Micros
from calls.events import AgentState
from calls.history import Delivery
from calls.journey import Journey
from calls.metrics.slots import COLUMNS, SLOT_US, contributions
from calls.providers import PROVIDERS, Delivered
from tests.given import told

RECEIVED: Micros = 1_788_264_000_000_000
ASTERISK = PROVIDERS["asterisk-queue-log"]


def lines(text: str) -> list[bytes]:
    return [line.strip().encode() for line in text.splitlines() if line.strip()]


def rows(listed: Iterable[Sequence[Any]]) -> list[bytes]:
    """Rows of the realtime table."""
    return [json.dumps(list(row)).encode() for row in listed]


def deliveries(bodies: Iterable[bytes]) -> list[tuple[str, Delivery]]:
    """(stream kind, delivery) of each."""
    found = []
    for body in bodies:
        got = Delivered(body, "text/plain", {}, RECEIVED, "pbx")
        whose = ASTERISK.identify(got)
        assert whose.event_id
        mark = bytes.fromhex(whose.event_id)
        found.append((whose.kind, Delivery(whose.stream, "pbx", ASTERISK.name, whose.event_id, mark, RECEIVED, ASTERISK.parse(got))))
    return found


def journeys(bodies: Iterable[bytes]) -> list[Journey]:
    """In any order, with copies, the same."""
    return told([one for kind, one in deliveries(bodies) if kind == "call"])


def sums(found: Iterable[Journey], *, queue: str | None = None, every: Micros = SLOT_US) -> dict[Micros, dict[str, int]]:
    """What is not 0 of the queues' columns, by the slot of the entry; `every` slots of another length."""
    total: dict[Micros, dict[str, int]] = defaultdict(lambda: dict.fromkeys(COLUMNS, 0))
    for journey in found:
        for slot in contributions(journey):
            if queue in (None, slot.queue):
                for name, amount in zip(COLUMNS, slot.amounts, strict=True):
                    total[slot.start - slot.start % every][name] += amount
    return {start: {name: amount for name, amount in amounts.items() if amount} for start, amounts in sorted(total.items())}


def agents(bodies: Iterable[bytes], *, legs: bool = True) -> dict[str, list[Interval]]:
    """What each agent did, as intervals in order; `legs` False: as far as it was reported."""
    came = deliveries(list(bodies))
    states: dict[str, list[State]] = defaultdict(list)
    for _, one in came:
        for fact in one.facts:
            if isinstance(fact, AgentState):
                lasts = -1 if fact.lasts_ms is None else fact.lasts_ms
                states[fact.agent].append(State(fact.at, one.event_id, one.account, fact.state, fact.reason or "", lasts))
    ran = _stretches(told([one for kind, one in came if kind == "call"])) if legs and any(kind == "call" for kind, _ in came) else {}
    return {
        agent: [part for day in days(states.get(agent, []), ran.get(agent, []), zone="UTC") for part in day.intervals]
        for agent in sorted({*states, *ran})
    }


def _stretches(found: Iterable[Journey]) -> dict[str, list[Stretch]]:
    ran: dict[str, list[Stretch]] = defaultdict(list)
    for journey in found:
        for call in journey.calls:
            for leg in call.legs:
                for one in leg.segments:
                    if one.agent and one.kind in ("talk", "hold", "ring"):
                        ran[one.agent].append(Stretch(one.kind, one.started_at, one.ended_at, journey.journey_id, call.call_sid, leg.leg))  # type: ignore[arg-type]
    return ran


def logins(intervals: Iterable[Interval], start: Micros, end: Micros) -> list[tuple[Micros, Micros]]:
    """When somebody was logged in within [start, end], as stretches without a gap; who still is counts up to `end`."""
    found: list[tuple[Micros, Micros]] = []
    for one in intervals:
        low, high = max(one.started_at, start), min(end if one.ended_at is None else one.ended_at, end)
        if low >= high:
            continue
        if found and found[-1][1] == low:
            low = found.pop()[0]
        found.append((low, high))
    return found


def seconds(intervals: Iterable[Interval], state: str) -> float:
    return sum((one.ended_at or 0) - one.started_at for one in intervals if one.state == state) / 1_000_000
