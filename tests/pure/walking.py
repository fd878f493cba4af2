"""Walks a flow as a provider would, with nothing around it: `flow("…toml…")`, then `Walk(flow).ask().press("1")…`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

import msgspec

from calls.events import name_of
from calls.voice.check_flow import compile_flow
from calls.voice.decide import decide, told
from calls.voice.flow import Flow, FlowFault, QueueRules
from calls.voice.position import Ask, Decision, Delegated, Gathered, InQueue, Known, Request, State
from calls.voice.render import render

SECOND = 1_000_000
NOON = 1_788_253_200_000_000  # Tuesday, 1 September 2026, 12:00 in Nairobi
SID = "HD_walk00000001"
QUEUES = {"support": QueueRules(music="https://cdn.example.com/hold.mp3", announce="Please hold.", max_wait_s=60)}


def compiled(
    text: str, *, dialect: Any = "sautikit", start: str = "a", form: str = "json", queues: Mapping[str, QueueRules] = QUEUES
) -> tuple[Flow | None, list[FlowFault]]:
    """The flow whose steps `text` says: `[a]` begins step a."""
    raw = {"account": "acme", "start": start, "format": form, "steps": tomllib.loads(text)}
    return compile_flow("line", raw, dialect=dialect, timezone="Africa/Nairobi", queues=queues)


def flow(text: str, **how: Any) -> Flow:
    made, faults = compiled(text, **how)
    assert made is not None, [str(fault) for fault in faults]
    return made


def faults(text: str, **how: Any) -> list[tuple[str, str]]:
    """(step, field) of everything that is wrong."""
    return [(fault.step, fault.field) for fault in compiled(text, **how)[1]]


def address(step: str, visit: int, tries: int) -> str:
    return f"https://voice.example.com/voice/line/{step}?v={visit}&r={tries}"


class Walk:
    """One call in one flow. The last decision is `last`; what the outside says when it is asked is `outside`."""

    def __init__(self, of: Flow, **request: Any) -> None:
        self.flow, self.now, self.state, self.last = of, NOON, None, None  # type: ignore[assignment]
        self.state: State | None
        self.last: Decision
        self.outside: dict[str, Any] = {}
        self.asked: list[Ask] = []
        self.common = {"call_sid": SID, "called": "+254700000001", "direction": "inbound"} | request

    # what the provider does

    def ask(self, **more: Any) -> Walk:
        """A request at the flow's own address."""
        request = Request(**(self.common | {"at": self.now} | more))
        known = Known(
            now=self.now,
            address=address,
            events="https://voice.example.com/voice/line/events",
            audio=lambda step: f"wss://voice.example.com/audio/line?s={step}",
            caller_id="+254700000001",
        )
        for _ in range(12):
            found = decide(self.flow, self.state, request, known)
            assert found == decide(self.flow, self.state, request, known), "asked twice it says two things"
            if isinstance(found, Decision):
                self.last = found
                self.state = self.state if found.replay else found.state
                return self
            self.asked.append(found)
            known = told(known, found, self._found(found))
        raise AssertionError("it asks in circles")

    def _found(self, ask: Ask) -> InQueue | Delegated | Gathered:
        usual: dict[str, Any] = {"queue": InQueue(), "delegate": Delegated(fault="away"), "digits": Gathered()}
        return self.outside.get(ask.queue or ask.what, self.outside.get(ask.what, usual[ask.what]))

    def go(self, **more: Any) -> Walk:
        """The request at the address that the last answer ended with."""
        assert self.state is not None
        return self.ask(**({"step": self.state.step, "visit": self.state.visit, "tries": self.state.tries} | more))

    def press(self, digits: str, *, by_action: bool = True) -> Walk:
        return self.go(digits=digits) if by_action else self.ask(digits=digits)

    def after(self, seconds: float) -> Walk:
        self.now += round(seconds * SECOND)
        return self

    def knows(self, **changes: Any) -> Walk:
        """What is learnt of the call between two requests."""
        assert self.state is not None
        self.state = msgspec.structs.replace(self.state, **changes)
        return self

    # what it was told

    @property
    def actions(self) -> list[dict[str, Any]]:
        body, _ = render(self.last.actions, "minivoice" if self.flow.dialect == "minivoice" else "json")
        found: list[dict[str, Any]] = msgspec.json.decode(body)["actions"]
        return found

    @property
    def verbs(self) -> list[str]:
        return [str(action.get("type") or next(iter(action))) for action in self.actions]

    @property
    def said(self) -> list[str]:
        """The texts that the caller hears, those of a menu included."""
        nested = [one for action in self.actions for one in action.get("getDigits", {}).get("nested", [])]
        return [action["say"]["text"] for action in [*self.actions, *nested] if "say" in action]

    @property
    def facts(self) -> list[str]:
        return [name_of(fact) for fact in self.last.facts]

    def fact(self, name: str) -> Any:
        return next(fact for fact in self.last.facts if name_of(fact) == name)
