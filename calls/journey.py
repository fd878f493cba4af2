"""What a fold comes to: a journey with its calls, legs, segments, queue visits and menu path, and the JSON people see.

Times are microseconds since 1970 in UTC (None = not known), durations integer milliseconds, intervals half-open.
"""

from __future__ import annotations

import hashlib
from typing import Literal, TypeAlias, get_args

import msgspec

from calls.clock import Micros, milliseconds, rfc3339
from calls.events import Attributes, Direction, EndedBy

State: TypeAlias = Literal["open", "ended", "presumed_ended"]
Outcome: TypeAlias = Literal[
    "open", "answered", "voicemail", "abandoned_in_queue", "contained", "abandoned_in_menu", "callback",
    "no_answer", "busy", "rejected", "canceled", "failed",
]  # fmt: skip
AnomalyCode: TypeAlias = Literal[
    "conflicting_copy", "unknown_event", "missing_start", "missing_end", "impossible_order", "negative_interval", "clock_skew",
    "presumed_end", "unmatched_event", "too_many_events", "too_many_calls", "fold_failed",
    "delegate_failed", "bot_unavailable", "flow_fault", "unknown_step", "dial_result_unknown",
]  # fmt: skip
BotResult: TypeAlias = Literal["open", "contained", "handed_over"]
SegmentKind: TypeAlias = Literal["menu", "queue", "ring", "talk", "hold", "bot", "wrap_up"]
MainKind: TypeAlias = Literal["caller", "agent", "external", "sip", "bot"]

STATES: tuple[str, ...] = get_args(State)
OUTCOMES: tuple[str, ...] = get_args(Outcome)
ANOMALIES: tuple[str, ...] = get_args(AnomalyCode)
DIRECTIONS: tuple[str, ...] = get_args(Direction)


class Segment(msgspec.Struct, gc=False):
    kind: SegmentKind
    started_at: Micros
    ended_at: Micros | None = None
    queue: str | None = None
    agent: str | None = None
    cohort_at: Micros | None = None  # of a handled leg's: the leg's

    @property
    def duration_ms(self) -> int | None:
        return None if self.ended_at is None else milliseconds(self.started_at, self.ended_at)


class Leg(msgspec.Struct):
    """One party's connection within a call. `leg` is `caller` for the main one."""

    leg: str
    kind: MainKind
    started_at: Micros
    address: str | None = None
    agent: str | None = None
    queue: str | None = None
    answered_at: Micros | None = None
    ended_at: Micros | None = None
    ended_by: EndedBy | None = None
    cause: str | None = None
    segments: list[Segment] = []
    too_late: bool = False  # an agent who answered when the caller was gone: nobody talked
    cohort_at: Micros | None = None  # a person who answered: the entry of the queue visit they answered, else their answer
    menu: str | None = None  # the last menu before that
    received_at: Micros = 0  # of the first delivery that speaks of it (of the main one: of its call), while the fold rates it; then 0


class Call(msgspec.Struct):
    """Everything under one call SID. `caller` and `called` are E.164 where they can be read as numbers."""

    call_sid: str
    account: str
    provider: str
    started_at: Micros
    aliases: list[str] = []
    direction: Direction | None = None
    caller: str | None = None
    called: str | None = None
    answered_at: Micros | None = None
    ended_at: Micros | None = None
    legs: list[Leg] = []


class QueueVisit(msgspec.Struct):
    call_sid: str
    queue: str
    entered_at: Micros
    left_at: Micros | None
    outcome: str  # the reason it was left, or waiting
    agent: str | None = None
    priority: int | None = None
    menu: str | None = None  # the last menu before it

    @property
    def wait_ms(self) -> int | None:
        return None if self.left_at is None else milliseconds(self.entered_at, self.left_at)


class MenuStep(msgspec.Struct):
    call_sid: str
    at: Micros
    menu: str | None
    digits: str | None
    timed_out: bool = False


class Anomaly(msgspec.Struct, order=True):
    code: AnomalyCode
    detail: str
    event_ids: list[str] = []


class LegCharge(msgspec.Struct):
    """What a leg that is over costs. `amount_minor` None: unrated, and `why` says what no rule covers.

    `to`, `own`, `talk_ms`, `ring_ms`, `received_at`: what it was rated by (calls/rating/charge.py, RatedLeg).
    `working`: `(what, exact)`, minor units as a rational in text; they sum to the amount.
    """

    call_sid: str
    leg: str
    account: str
    direction: Direction | None
    kind: MainKind
    to: str | None
    own: str | None
    queue: str | None
    agent: str | None
    started_at: Micros
    answered_at: Micros | None
    ended_at: Micros
    talk_ms: int | None
    ring_ms: int
    received_at: Micros
    amount_minor: int | None
    tax_minor: int | None
    currency: str
    plan: str
    version: str | None
    rule: int | None
    why: str = ""
    working: list[tuple[str, str]] = []


class Durations(msgspec.Struct):
    """Integer ms; total is None until the end is known."""

    total_ms: int | None = None
    menu_ms: int = 0
    queue_ms: int = 0
    ring_ms: int = 0
    talk_ms: int = 0
    hold_ms: int = 0
    bot_ms: int = 0


class Journey(msgspec.Struct):
    """One caller's whole story. `call_sids` are all ids of all its calls, aliases included."""

    tenant: str
    journey_id: str
    account: str
    provider: str
    started_at: Micros
    direction: Direction | None = None
    caller: str | None = None
    called: str | None = None
    answered_at: Micros | None = None
    ended_at: Micros | None = None
    state: State = "open"
    outcome: Outcome = "open"
    ended_by: EndedBy | None = None
    durations: Durations = msgspec.field(default_factory=Durations)
    calls: list[Call] = []
    queue_visits: list[QueueVisit] = []
    menu_path: list[MenuStep] = []
    anomalies: list[Anomaly] = []
    attributes: Attributes = {}
    labels: list[str] = []  # client request ids and other names given from outside: searchable, they link nothing
    flow: str | None = None  # the first flow that answered for it
    bot: BotResult | None = None  # what became of it with a bot; None: no bot took part
    complete: bool = False
    events: int = 0
    last_sign_at: Micros = 0
    call_sids: list[str] = []
    charges: list[LegCharge] = []  # of legs that are over, where the account has a rate plan


def journey_id(tenant: str, call_sid: str) -> str:
    """The address of the journey whose root is `call_sid`; every member's own is a valid address for ever."""
    return "jn_" + hashlib.blake2b(f"{tenant}\0{call_sid}".encode("utf-8", "surrogatepass"), digest_size=15).hexdigest()


def document(journey: Journey) -> dict[str, object]:
    """The JSON object of `GET /v1/journeys/{id}`, without `complete_through`, which is known when asked."""
    return {
        "journey_id": journey.journey_id, "tenant": journey.tenant, "account": journey.account, "provider": journey.provider,
        "direction": journey.direction, "caller": journey.caller, "called": journey.called,
        "started_at": rfc3339(journey.started_at), "answered_at": rfc3339(journey.answered_at), "ended_at": rfc3339(journey.ended_at),
        "state": journey.state, "outcome": journey.outcome, "ended_by": journey.ended_by,
        "durations": msgspec.to_builtins(journey.durations),
        "calls": [_call(call) for call in journey.calls],
        "queue_visits": [_visit(visit) for visit in journey.queue_visits],
        "menu_path": [_step(step) for step in journey.menu_path],
        "charges": [_charge(charge) for charge in journey.charges],
        "anomalies": msgspec.to_builtins(journey.anomalies),
        "flow": journey.flow, "attributes": journey.attributes,
        "labels": journey.labels, "complete": journey.complete, "events": journey.events,
    }  # fmt: skip


def _call(call: Call) -> dict[str, object]:
    return {
        "call_sid": call.call_sid, "aliases": call.aliases, "account": call.account, "direction": call.direction,
        "caller": call.caller, "called": call.called, "started_at": rfc3339(call.started_at),
        "answered_at": rfc3339(call.answered_at), "ended_at": rfc3339(call.ended_at), "legs": [_leg(leg) for leg in call.legs],
    }  # fmt: skip


def _leg(leg: Leg) -> dict[str, object]:
    return {
        "leg": leg.leg, "kind": leg.kind, "address": leg.address, "agent": leg.agent, "queue": leg.queue,
        "started_at": rfc3339(leg.started_at), "answered_at": rfc3339(leg.answered_at), "ended_at": rfc3339(leg.ended_at),
        "ended_by": leg.ended_by, "cause": leg.cause, "segments": [_segment(segment) for segment in leg.segments],
    }  # fmt: skip


def _segment(segment: Segment) -> dict[str, object]:
    return {
        "kind": segment.kind, "started_at": rfc3339(segment.started_at), "ended_at": rfc3339(segment.ended_at),
        "duration_ms": segment.duration_ms, "queue": segment.queue, "agent": segment.agent,
    }  # fmt: skip


def _visit(visit: QueueVisit) -> dict[str, object]:
    return {
        "call_sid": visit.call_sid, "queue": visit.queue, "entered_at": rfc3339(visit.entered_at), "left_at": rfc3339(visit.left_at),
        "wait_ms": visit.wait_ms, "outcome": visit.outcome, "agent": visit.agent, "priority": visit.priority,
    }  # fmt: skip


def _charge(one: LegCharge) -> dict[str, object]:
    said: dict[str, object] = {
        "call_sid": one.call_sid, "leg": one.leg, "plan": one.plan, "version": one.version, "rule": one.rule,
        "amount_minor": one.amount_minor, "tax_minor": one.tax_minor, "currency": one.currency or None,
        "working": [{"what": what, "exact": exact} for what, exact in one.working],
    }  # fmt: skip
    return said if one.amount_minor is not None else said | {"unrated": one.why}


def _step(step: MenuStep) -> dict[str, object]:
    return {"menu": step.menu, "digits": step.digits, "at": rfc3339(step.at), "timed_out": step.timed_out, "call_sid": step.call_sid}
