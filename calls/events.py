"""Every kind of fact that a delivery may state: one struct a type, tagged by `type`.

These are the types of the neutral dialect (also what every provider's payloads are parsed into) and a few of our own.
`at` is when it happened by the clock of whoever said so, in microseconds since 1970 (UTC); shown as `occurred_at`.
A new type is one struct here; `RANK` gives its place among facts of the same instant.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

import msgspec

from calls.clock import Micros, rfc3339

Direction: TypeAlias = Literal["inbound", "outbound", "internal"]
EndedBy: TypeAlias = Literal["caller", "agent", "platform", "unknown"]
Failure: TypeAlias = Literal["no_answer", "busy", "rejected", "canceled", "network", "unknown"]
LeftReason: TypeAlias = Literal["answered", "abandoned", "timeout", "overflow", "transferred", "callback", "closed", "full"]
LegKind: TypeAlias = Literal["agent", "external", "sip", "bot"]
StateOfAgent: TypeAlias = Literal["offline", "available", "paused", "wrap_up", "ringing", "talking"]
Attributes: TypeAlias = dict[str, str | int | float | bool | None]


class Event(msgspec.Struct, kw_only=True, gc=False, omit_defaults=True, tag_field="type", rename={"from_": "from"}):
    """What all facts share. `call_sid` is the call it speaks of ("" for facts of an agent or an account)."""

    rank: ClassVar[int] = 50
    call_sid: str = ""
    at: Micros = 0
    attributes: Attributes | None = None


class CallStarted(Event, tag="call.started"):
    rank: ClassVar[int] = 0
    direction: Direction | None = None
    from_: str | None = None
    to: str | None = None
    parent_call_sid: str | None = None
    journey_id: str | None = None
    client_request_id: str | None = None


class CallAnswered(Event, tag="call.answered"):
    """The platform or the called side took the call."""

    rank: ClassVar[int] = 10


class CallEnded(Event, tag="call.ended"):
    rank: ClassVar[int] = 95
    ended_by: EndedBy = "unknown"
    cause: str | None = None
    duration_ms: int | None = None
    direction: Direction | None = None


class CallFailed(Event, tag="call.failed"):
    rank: ClassVar[int] = 95
    reason: Failure = "unknown"
    cause: str | None = None


class CallPresumedEnded(Event, tag="call.presumed_ended"):
    """Appended by our worker after a silence; it stands until the real end, or a later sign of life, is known."""

    rank: ClassVar[int] = 96
    rule: str = ""
    silence_ms: int = 0


class CallSeen(Event, tag="call.seen"):
    """Says that the call exists and who takes part, but no change of state (a PBX body with ids and numbers only)."""

    rank: ClassVar[int] = 5
    direction: Direction | None = None
    from_: str | None = None
    to: str | None = None
    state: str | None = None


class CallLinked(Event, tag="call.linked"):
    """`to_call_sid`: another call of the same journey. `alias`: another id of this very call."""

    rank: ClassVar[int] = 1
    to_call_sid: str | None = None
    alias: str | None = None


class CallUnlinked(Event, tag="call.unlinked"):
    rank: ClassVar[int] = 2
    to_call_sid: str | None = None
    alias: str | None = None


class MenuEntered(Event, tag="menu.entered"):
    rank: ClassVar[int] = 22
    menu: str


class MenuDigits(Event, tag="menu.digits"):
    """`digits` are masked where they are a card number or were typed at a sensitive step."""

    rank: ClassVar[int] = 20
    menu: str | None = None
    digits: str | None = None
    timed_out: bool = False


class MenuLeft(Event, tag="menu.left"):
    rank: ClassVar[int] = 21
    menu: str | None = None


class QueueEntered(Event, tag="queue.entered"):
    rank: ClassVar[int] = 32
    queue: str
    priority: int | None = None
    position: int | None = None


class QueueLeft(Event, tag="queue.left"):
    """`waited_ms`: how long it had been waited, where the sender knows; it serves only where no entry is known."""

    rank: ClassVar[int] = 31
    queue: str
    reason: LeftReason
    waited_ms: int | None = None


class LegStarted(Event, tag="leg.started"):
    rank: ClassVar[int] = 40
    leg: str
    kind: LegKind | None = None
    to: str | None = None
    agent: str | None = None
    queue: str | None = None


class LegAnswered(Event, tag="leg.answered"):
    rank: ClassVar[int] = 41
    leg: str
    kind: LegKind | None = None
    to: str | None = None
    agent: str | None = None
    queue: str | None = None


class LegEnded(Event, tag="leg.ended"):
    rank: ClassVar[int] = 90
    leg: str
    agent: str | None = None
    ended_by: EndedBy = "unknown"
    cause: str | None = None
    duration_ms: int | None = None


class HoldStarted(Event, tag="hold.started"):
    rank: ClassVar[int] = 51
    leg: str


class HoldEnded(Event, tag="hold.ended"):
    rank: ClassVar[int] = 50
    leg: str


class ConferenceJoined(Event, tag="conference.joined"):
    rank: ClassVar[int] = 45
    room: str
    leg: str | None = None


class ConferenceLeft(Event, tag="conference.left"):
    rank: ClassVar[int] = 85
    room: str
    leg: str | None = None


class BotStarted(Event, tag="bot.started"):
    rank: ClassVar[int] = 42
    leg: str


class BotTurn(Event, tag="bot.turn"):
    rank: ClassVar[int] = 55
    leg: str
    role: str | None = None
    text: str | None = None


class BotHandedOver(Event, tag="bot.handed_over"):
    rank: ClassVar[int] = 60
    leg: str
    to: str | None = None


class BotEnded(Event, tag="bot.ended"):
    rank: ClassVar[int] = 61
    leg: str


class RecordingReady(Event, tag="recording.ready"):
    rank: ClassVar[int] = 97
    recording_id: str | None = None
    url: str | None = None
    duration_ms: int | None = None
    size_bytes: int | None = None


class RecordingNotice(Event, tag="recording.notice"):
    """Any other state of a recording (started, failed)."""

    rank: ClassVar[int] = 56
    state: str
    recording_id: str | None = None


class CallReported(Event, tag="call.reported"):
    """The provider's CDR: an event, never the truth."""

    rank: ClassVar[int] = 98
    duration_ms: int | None = None
    cost_minor: int | None = None
    currency: str | None = None
    status: str | None = None


class VoicemailLeft(Event, tag="voicemail.left"):
    """A `record` step of a flow got its message. `menu`: the step's name."""

    rank: ClassVar[int] = 57
    menu: str | None = None
    recording_id: str | None = None


class VoiceRequest(Event, tag="voice.request"):
    """The provider asked a flow what to do, or told it something. `kind`: ask, edge or over; `state` is the sender's word."""

    rank: ClassVar[int] = 3
    flow: str | None = None
    step: str | None = None
    visit: int | None = None
    kind: str | None = None
    state: str | None = None


class VoiceAnswer(Event, tag="voice.answer"):
    """What the provider was told. `fallback` says why it is not what the flow would have answered; `replay`: said before."""

    rank: ClassVar[int] = 4
    flow: str | None = None
    step: str | None = None
    visit: int | None = None
    verbs: list[str] | None = None
    took_ms: int | None = None
    replay: bool = False
    fallback: str | None = None
    fault: str | None = None  # the anomaly's code where there is a fallback


class DispatchOffered(Event, tag="dispatch.offered"):
    """An agent is rung for a waiting caller. `offer` names this attempt."""

    rank: ClassVar[int] = 33
    offer: str
    queue: str | None = None
    agent: str | None = None
    to: str | None = None


class DispatchTaken(Event, tag="dispatch.taken"):
    """The agent answered and is told to join the caller."""

    rank: ClassVar[int] = 34
    offer: str
    queue: str | None = None
    agent: str | None = None
    agent_call_sid: str | None = None


class DispatchFailed(Event, tag="dispatch.failed"):
    """The agent was not reached, or the caller was gone before."""

    rank: ClassVar[int] = 35
    offer: str
    queue: str | None = None
    agent: str | None = None
    reason: str | None = None


class AgentState(Event, tag="agent.state"):
    """`lasts_ms`: the state is over after so long without a word (a wrap-up of fixed length), and the agent available again."""

    agent: str
    state: StateOfAgent
    reason: str | None = None
    queue: str | None = None
    lasts_ms: int | None = None


class WalletTopUp(Event, tag="wallet.top_up"):
    amount_minor: int | None = None
    currency: str | None = None
    balance_minor: int | None = None
    reference: str | None = None


class WalletLowBalance(Event, tag="wallet.low_balance"):
    balance_minor: int | None = None
    currency: str | None = None
    threshold_minor: int | None = None


class NumberProvisioned(Event, tag="number.provisioned"):
    number: str | None = None
    number_id: str | None = None


class NumberReleased(Event, tag="number.released"):
    number: str | None = None
    number_id: str | None = None


class StorageTierChanged(Event, tag="storage.tier_changed"):
    previous_gb: int | None = None
    new_gb: int | None = None


class Unrecognised(Event, tag="unrecognised"):
    """Kept as it came: `name` is what the sender called it, `reason` says what we could not do with it."""

    rank: ClassVar[int] = 70
    name: str | None = None
    reason: str = ""


TYPES: dict[str, type[Event]] = {cls.__struct_config__.tag: cls for cls in Event.__subclasses__()}  # type: ignore[misc]
RANK: dict[str, int] = {name: cls.rank for name, cls in TYPES.items()}


def name_of(event: Event) -> str:
    """The neutral type, e.g. `call.ended`."""
    return event.__struct_config__.tag  # type: ignore[return-value]


def shown(event: Event) -> dict[str, object]:
    """The JSON object people see: `type`, `call_sid`, `occurred_at` and the fields that are known."""
    fields: dict[str, object] = msgspec.to_builtins(event)
    at = fields.pop("at", 0)
    head = {"type": fields.pop("type"), "call_sid": fields.pop("call_sid", None), "occurred_at": rfc3339(int(str(at)))}
    return head | fields
