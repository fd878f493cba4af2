"""Asterisk's queue_log: a row is a delivery (docs/queue-log.md has the table of events; `queue_log_lines` the forms of a row).

A row is read by itself. What it leaves open the fold concludes: the entry of a call of which only the exit is there, from the wait
that the exit names; whether a call whose agent hung up went on, from what follows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from calls.building import UNREPORTED
from calls.clock import Micros
from calls.envelope import StreamKind
from calls.events import (
    AgentState,
    Attributes,
    CallEnded,
    CallFailed,
    CallSeen,
    EndedBy,
    Event,
    LeftReason,
    LegAnswered,
    LegEnded,
    LegStarted,
    QueueEntered,
    QueueLeft,
    StateOfAgent,
    Unrecognised,
)
from calls.providers import signatures
from calls.providers.interface import Delivered, Identity, NotUnderstood, Provider
from calls.providers.queue_log_lines import Row, mask_row, read_row
from calls.providers.reading import count, phone, seconds_ms

Read: TypeAlias = Callable[[Row], list[Event]]
NAMELESS = "agent"  # the leg of an agent whom a row does not name


def identify(delivered: Delivered) -> Identity:
    """The agent for what an agent does, else the call, else the agent or the account that it may be about."""
    row = read_row(delivered.body)
    kind = _kind(row)
    if kind == "agent":
        return Identity(kind=kind, stream=row.agent or "", event_id=row.mark)
    if kind == "call":
        return Identity(kind=kind, stream=row.call or "", event_id=row.mark)
    if row.event in _OF_AGENTS or row.event in _OF_CALLS:
        raise NotUnderstood(f"The {row.event} {_nobodys(row)}.")
    return Identity(kind="account", stream=delivered.account, event_id=row.mark)


def _kind(row: Row) -> StreamKind:
    if row.agent is not None and (row.event in _OF_AGENTS or row.call is None):
        return "agent"
    return "account" if row.call is None else "call"


def parse(delivered: Delivered) -> list[Event]:
    """The facts of one row; the first is what its event is called, and has its time."""
    try:
        row = read_row(delivered.body)
    except NotUnderstood as why:
        return [Unrecognised(at=delivered.received_at, reason=str(why))]
    if row.event in _OF_AGENTS and row.agent is not None:
        return _OF_AGENTS[row.event](row)
    if row.event in _OF_CALLS and row.call is not None:
        return _OF_CALLS[row.event](row)
    known = row.event in _OF_AGENTS or row.event in _OF_CALLS
    return [_unrecognised(row, _nobodys(row) if known else _SILENT.get(row.event, "this event is not known"))]


def _nobodys(row: Row) -> str:
    return "names no agent" if row.event in _OF_AGENTS else "names no call"


def _unrecognised(row: Row, reason: str) -> Event:
    return Unrecognised(call_sid=(row.call or "") if _kind(row) == "call" else "", at=row.at, name=row.event, reason=reason)


def _of_a_queue(read: Callable[[Row, str, str], list[Event]]) -> Read:
    """`read` with the row's call and queue."""

    def with_queue(row: Row) -> list[Event]:
        return read(row, row.call or "", row.queue) if row.queue is not None else [_unrecognised(row, "names no queue")]

    return with_queue


# ---------------------------------------------------------------- waiting


def _entered(row: Row, call: str, queue: str) -> list[Event]:
    """ENTERQUEUE url|callerid|position."""
    entered = QueueEntered(call_sid=call, at=row.at, queue=queue, position=count(row.said(3)))
    return [entered, CallSeen(call_sid=call, at=row.at, direction="inbound", from_=phone(row.said(2)))]


def _left(reason: LeftReason, *, waited: int | None = None) -> Read:
    """An exit; `waited`: which data has the seconds of the wait."""

    def read(row: Row, call: str, queue: str) -> list[Event]:
        return [_exit(row, queue, reason, waited)]

    return _of_a_queue(read)


def _exit(row: Row, queue: str, reason: LeftReason, waited: int | None) -> QueueLeft:
    ms = seconds_ms(row.said(waited)) if waited else None
    return QueueLeft(call_sid=row.call or "", at=row.at, queue=queue, reason=reason, waited_ms=ms)


def _refused(reason: LeftReason) -> Read:
    """FULL, CLOSED, JOINEMPTY, DIVERT_…: the caller was turned away at the entry, of which there is no other row."""

    def read(row: Row, call: str, queue: str) -> list[Event]:
        entered = QueueEntered(call_sid=call, at=row.at, queue=queue)
        return [
            entered,
            QueueLeft(call_sid=call, at=row.at, queue=queue, reason=reason),
            CallSeen(call_sid=call, at=row.at, direction="inbound"),
        ]

    return _of_a_queue(read)


def _abandoned(row: Row, call: str, queue: str) -> list[Event]:
    """ABANDON position|original position|wait: the caller hung up."""
    return [_exit(row, queue, "abandoned", 3), CallEnded(call_sid=call, at=row.at, ended_by="caller")]


def _keyed(row: Row, call: str, queue: str) -> list[Event]:
    """EXITWITHKEY key|position|original position|wait: the key is worth keeping, where it leads only the dialplan knows."""
    left = _exit(row, queue, "transferred", 4)
    left.attributes = {"exit_key": key} if (key := row.said(1)) else None
    return [left]


def _incompatible(row: Row, call: str, queue: str) -> list[Event]:
    """SYSCOMPAT: an agent answered, but the channels could not be joined, and the caller's was hung up."""
    return [_exit(row, queue, "overflow", None), CallFailed(call_sid=call, at=row.at, reason="network", cause=row.event)]


# ---------------------------------------------------------------- agents of a call


def _connected(row: Row, call: str, queue: str) -> list[Event]:
    """CONNECT wait|channel|ring seconds."""
    leg, ring = row.agent or NAMELESS, seconds_ms(row.said(3))
    facts: list[Event] = [
        _exit(row, queue, "answered", 1),
        LegAnswered(call_sid=call, at=row.at, leg=leg, kind="agent", agent=row.agent, queue=queue),
    ]
    if ring:
        facts.append(LegStarted(call_sid=call, at=_before(row.at, ring), leg=leg, kind="agent", agent=row.agent, queue=queue))
    return facts


def _rang(cause: str) -> Read:
    """RINGNOANSWER, RINGCANCELED ring milliseconds; AGENTDUMP. Each ringing is a leg of its own: the same agent may yet answer."""

    def read(row: Row) -> list[Event]:
        leg, ring = f"{row.agent or NAMELESS} rang {row.at // 1_000_000}", min(count(row.said(1)) or 0, 86_400_000)
        by: EndedBy = "agent" if cause == "rejected" else "caller" if cause == "canceled" else "unknown"
        ended = LegEnded(call_sid=row.call or "", at=row.at, leg=leg, agent=row.agent, ended_by=by, cause=cause)
        begun = _before(row.at, ring)
        return [ended, LegStarted(call_sid=row.call or "", at=begun, leg=leg, kind="agent", agent=row.agent, queue=row.queue)]

    return read


def _completed(by: EndedBy) -> Read:
    """COMPLETECALLER, COMPLETEAGENT wait|talk|position. A caller whose agent hung up may go on in the dialplan, of which no row tells."""

    def read(row: Row) -> list[Event]:
        call, leg = row.call or "", row.agent or NAMELESS
        ended = LegEnded(call_sid=call, at=row.at, leg=leg, agent=row.agent, ended_by=by, duration_ms=seconds_ms(row.said(2)))
        unsure: Attributes | None = {UNREPORTED: False} if by == "agent" else None
        return [ended, CallEnded(call_sid=call, at=row.at, ended_by=by, attributes=unsure)]

    return read


def _transferred(row: Row) -> list[Event]:
    """TRANSFER, BLINDTRANSFER extension|context|wait|talk|position; ATTENDEDTRANSFER BRIDGE|id, APP|name or LINK|a|b, then the same.

    The agent is out of it, the call goes on: its end is in no row.
    """
    blind, how = row.event != "ATTENDEDTRANSFER", row.said(1)
    to = how if blind else row.said(2) if how == "APP" else None  # what is joined otherwise are channels
    talk = seconds_ms(row.said(4 if blind or how != "LINK" else 5))
    known: Attributes | None = {"transferred_to": to} if to else None
    leg = row.agent or NAMELESS
    return [
        LegEnded(
            call_sid=row.call or "", at=row.at, leg=leg, agent=row.agent, ended_by="agent", cause="transferred", duration_ms=talk,
            attributes=known,
        )
    ]  # fmt: skip


def _dialled(row: Row) -> list[Event]:
    """DID number: written by many dialplans beside ENTERQUEUE."""
    return [CallSeen(call_sid=row.call or "", at=row.at, to=phone(row.said(1)))]


def _before(at: Micros, ms: int) -> Micros:
    return max(0, at - ms * 1000)


_OF_CALLS: dict[str, Read] = {
    "ENTERQUEUE": _of_a_queue(_entered),
    "ABANDON": _of_a_queue(_abandoned),
    "EXITWITHTIMEOUT": _left("timeout", waited=3),
    "EXITEMPTY": _left("overflow", waited=3),
    "LEAVEEMPTY": _left("overflow"),
    "EXITWITHKEY": _of_a_queue(_keyed),
    "SYSCOMPAT": _of_a_queue(_incompatible),
    "FULL": _refused("full"),
    "CLOSED": _refused("closed"),
    "JOINEMPTY": _refused("closed"),
    "DIVERT_CA_RATIO": _refused("overflow"),
    "DIVERT_HOLDTIME": _refused("overflow"),
    "CONNECT": _of_a_queue(_connected),
    "RINGNOANSWER": _rang("no_answer"),
    "RINGCANCELED": _rang("canceled"),
    "AGENTDUMP": _rang("rejected"),
    "COMPLETECALLER": _completed("caller"),
    "COMPLETEAGENT": _completed("agent"),
    "TRANSFER": _transferred,
    "BLINDTRANSFER": _transferred,
    "ATTENDEDTRANSFER": _transferred,
    "DID": _dialled,
}


# ---------------------------------------------------------------- agents


def _state(state: StateOfAgent, *, reason: int | None = None) -> Read:
    """`reason`: which data has it."""

    def read(row: Row) -> list[Event]:
        return [AgentState(at=row.at, agent=row.agent or "", state=state, reason=row.said(reason) if reason else None, queue=row.queue)]

    return read


def _wraps_up(row: Row) -> list[Event]:
    """WRAPUPSTART seconds."""
    length = seconds_ms(row.said(1))
    return [AgentState(at=row.at, agent=row.agent or "", state="wrap_up", queue=row.queue, lasts_ms=length)]


def _member(row: Row) -> list[Event]:
    """ADDMEMBER, REMOVEMEMBER: how channels log in and out. An `Agent/…` has events of its own for that, and may join and leave queues
    in between."""
    agent = row.agent or ""
    if agent.lower().startswith("agent/"):
        return [_unrecognised(row, "an Agent/ logs in by other events; which queues it is a member of is no state")]
    paused = (row.said(1) or "").upper() == "PAUSED"  # so newer versions add a member
    state: StateOfAgent = "offline" if row.event == "REMOVEMEMBER" else "paused" if paused else "available"
    return [AgentState(at=row.at, agent=agent, state=state, queue=row.queue)]


_OF_AGENTS: dict[str, Read] = {
    **dict.fromkeys(("AGENTLOGIN", "AGENTCALLBACKLOGIN"), _state("available")),
    "AGENTLOGOFF": _state("offline"),
    "AGENTCALLBACKLOGOFF": _state("offline", reason=3),
    **dict.fromkeys(("PAUSE", "PAUSEALL"), _state("paused", reason=1)),
    **dict.fromkeys(("UNPAUSE", "UNPAUSEALL"), _state("available", reason=1)),
    **dict.fromkeys(("ADDMEMBER", "REMOVEMEMBER"), _member),
    "WRAPUPSTART": _wraps_up,
}
# Known, and of no call's or agent's state.
_SILENT = {
    "QUEUESTART": "the log was opened; it says nothing of calls or agents",
    "CONFIGRELOAD": "the configuration was read; it says nothing of calls or agents",
    "PENALTY": "a member's penalty is no state of an agent",
    "RINGINUSE": "a member's setting is no state of an agent",
}

PROVIDER = Provider(
    name="asterisk-queue-log",
    verify=signatures.verify_token,
    sign=signatures.sign_token,
    identify=identify,
    parse=parse,
    mask=mask_row,
    line_type="text/plain",
    exempt=frozenset({"time", "callid", "queuename", "agent", "event"}),
    sid_rank=lambda _: 0,
    starts=frozenset({"queue.entered"}),
)
