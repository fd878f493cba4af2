"""A flow as data: named steps, each of one kind, whose targets are other steps. `check_flow.compile_flow` is the only way to make one."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

import msgspec

from calls.voice.actions import Action, Dialect, Method
from calls.voice.hours import Opening

Engine: TypeAlias = Literal["scripted", "openai-realtime", "gemini-live", "url"]


class Step(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What every step has. `TARGETS` names the fields that hold step names (besides a menu's `choices`)."""

    TARGETS: ClassVar[tuple[str, ...]] = ()
    kind: str


class Menu(Step, kw_only=True, frozen=True):
    TARGETS = ("on_no_input", "on_invalid", "on_exhausted")
    prompt: str | None = None
    play: str | None = None
    language: str | None = None
    voice: str | None = None
    digits: int = 1
    timeout_s: int = 5
    finish_on_key: str = "#"
    choices: dict[str, str] = {}
    on_no_input: str | None = None
    on_invalid: str | None = None
    retries: int = 3
    on_exhausted: str | None = None
    sensitive: bool = False


class SayStep(Step, kw_only=True, frozen=True):
    TARGETS = ("next",)
    text: str
    language: str | None = None
    voice: str | None = None
    next: str | None = None


class PlayStep(Step, kw_only=True, frozen=True):
    TARGETS = ("next",)
    url: str
    loop: int | None = None
    next: str | None = None


class Hours(Step, kw_only=True, frozen=True):
    TARGETS = ("if_open", "if_closed")
    open: list[str] = []
    closed_on: list[str] = []
    timezone: str | None = None  # None: the tenant's
    if_open: str | None = None
    if_closed: str | None = None
    opening: Opening | None = None  # what the texts were read as


class DialStep(Step, kw_only=True, frozen=True):
    TARGETS = ("next", "on_no_answer")
    to: str | list[str]
    caller_id: str | None = None
    timeout_s: int = 30
    record: bool | str | None = None
    next: str | None = None
    on_no_answer: str | None = None


class QueueStep(Step, kw_only=True, frozen=True):
    TARGETS = ("on_timeout", "on_full")
    queue: str
    on_timeout: str | None = None
    on_full: str | None = None


class Bot(Step, kw_only=True, frozen=True):
    TARGETS = ("hand_over_to",)
    engine: Engine = "scripted"
    url: str | None = None  # somebody's own audio socket
    sampling_rate: int = 16000
    hand_over_after_ms: int = 5000  # scripted
    hand_over_to: str | None = None
    fallback_text: str | None = None
    instructions: str | None = None  # what a model is told to be
    voice: str | None = None
    model: str | None = None


class RecordStep(Step, kw_only=True, frozen=True):
    TARGETS = ("next",)
    prompt: str | None = None
    language: str | None = None
    voice: str | None = None
    max_length_s: int | None = None
    timeout_s: int | None = None
    finish_on_key: str | None = None
    next: str | None = None
    sensitive: bool = False


class RedirectStep(Step, kw_only=True, frozen=True):
    url: str
    method: Method | None = None


class RejectStep(Step, kw_only=True, frozen=True):
    reason: Literal["rejected", "busy"] | None = None


class HangupStep(Step, kw_only=True, frozen=True):
    pass


class Actions(Step, kw_only=True, frozen=True):
    """Raw actions, as the account's provider has them; `parsed` is what they were read as."""

    TARGETS = ("next",)
    actions: list[dict[str, object]]
    next: str | None = None
    parsed: list[Action] = []


class Delegate(Step, kw_only=True, frozen=True):
    TARGETS = ("fallback",)
    url: str
    timeout_ms: int = 2000
    fallback: str | None = None


# What is not written in a configuration but read out of it.
READ = frozenset({"kind", "opening", "parsed"})
KINDS: dict[str, type[Step]] = {
    "menu": Menu, "say": SayStep, "play": PlayStep, "hours": Hours, "dial": DialStep, "queue": QueueStep, "bot": Bot,
    "record": RecordStep, "redirect": RedirectStep, "reject": RejectStep, "hangup": HangupStep, "actions": Actions, "delegate": Delegate,
}  # fmt: skip


class FlowFault(msgspec.Struct, frozen=True):
    """What is wrong with a flow. `step` "" where it is the flow's own; `field` may be "" (an unreachable step)."""

    flow: str
    step: str
    field: str
    detail: str

    @property
    def where(self) -> str:
        """As one would write it in the configuration: `flows.ivr.steps.menu.choices`."""
        return f"flows.{self.flow}" + (f".steps.{self.step}" if self.step else "") + (f".{self.field}" if self.field else "")

    def __str__(self) -> str:
        return f"{self.where}: {self.detail}"


class Flow(msgspec.Struct, frozen=True):
    """A checked flow. `dialect` is that of the account's provider; `timezone` the tenant's."""

    name: str
    account: str
    start: str
    steps: dict[str, Step]
    dialect: Dialect
    form: Literal["json", "xml"] = "json"
    timezone: str = "Africa/Nairobi"
    queues: dict[str, QueueRules] = {}  # of every queue step, with defaults


class QueueRules(msgspec.Struct, frozen=True):
    """What a caller who enters a queue is told and offered (from `[queues.NAME]`)."""

    music: str | None = None
    announce: str | None = None
    max_wait_s: float | None = None
    max_waiting: int | None = None


def shown(step: Step) -> dict[str, object]:
    """The fields of a step as one would write them: kind first, what is left out or only read out of others left out."""
    given = {name: getattr(step, name) for name in step.__struct_fields__ if name not in READ}
    return {"kind": step.kind} | {name: value for name, value in given.items() if value is not None}
