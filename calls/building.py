"""A call while its facts are read: what `fold_call` fills in and `finish_call` closes."""

from __future__ import annotations

import msgspec

from calls import events as e
from calls.clock import Micros
from calls.configuration import Configuration
from calls.journey import Anomaly, AnomalyCode, Leg, MenuStep, QueueVisit, Segment

MAIN = "caller"  # the leg that every call has
PERSON = ("agent", "external", "sip")
UNREPORTED = "reported"  # an attribute of leg.started and call.ended: false where the provider tells nothing of that leg, of that end
PARTICIPANT = "participant"  # an attribute of conference.joined and left: whose number it was
FAULTS = ("delegate_failed", "bot_unavailable", "flow_fault", "unknown_step")


class Building(msgspec.Struct):
    """A call while its facts are read. `sid` is the id under which they are reported."""

    sid: str
    configuration: Configuration
    first_at: Micros
    received_at: Micros  # the earliest receipt of all its deliveries
    heard_at: Micros = 0  # the receipt of what is being read
    started_at: Micros | None = None
    started: e.CallStarted | None = None
    seen: e.CallSeen | None = None
    direction: e.Direction | None = None
    answered_at: Micros | None = None
    ended: e.Event | None = None  # CallEnded | CallFailed | CallPresumedEnded
    ended_by: e.EndedBy = "unknown"
    last_at: Micros = 0
    legs: dict[str, Leg] = {}
    current: dict[str, str] = {}  # the sender's leg id -> ours (a leg id used again is another leg)
    uses: dict[str, int] = {}  # the sender's leg id -> the number of its last leg
    open_segments: dict[str, Segment] = {}  # our leg id + kind
    visits: list[QueueVisit] = []
    left_early: dict[str, list[e.QueueLeft]] = {}  # left at the very instant of an entry that reads after it
    menu: Segment | None = None
    menu_name: str | None = None
    menu_left_early: dict[str | None, Micros] = {}
    menus: list[Segment] = []
    steps: list[MenuStep] = []
    waiting_step: MenuStep | None = None
    joined_at: Micros | None = None
    failure: e.CallFailed | None = None
    handed_over: bool = False
    flow: str | None = None
    hints: set[str] = set()
    unreported: set[str] = set()  # legs of whose answer nobody will tell
    types: set[str] = set()
    anomalies: list[Anomaly] = []
    whole: bool = True

    @property
    def unsure_of_end(self) -> bool:
        """The end was presumed or concluded: it stands until more is heard of the call."""
        end = self.ended
        return isinstance(end, e.CallPresumedEnded) or bool(end and end.attributes and end.attributes.get(UNREPORTED) is False)


def note(building: Building, code: AnomalyCode, detail: str, *event_ids: str) -> None:
    building.anomalies.append(Anomaly(code, detail, [one for one in event_ids if one]))
