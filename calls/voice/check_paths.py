"""Where the steps of a flow lead: targets that are none, steps that nobody reaches, walks that never ask, answers too long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from calls.voice.check_provider import own_actions
from calls.voice.check_steps import near
from calls.voice.enter import FINAL, WAITING
from calls.voice.flow import KINDS, Actions, Bot, Delegate, FlowFault, Hours, PlayStep, QueueStep, SayStep, Step
from calls.voice.rules import MAX_ACTIONS

Raws: TypeAlias = Mapping[str, Mapping[str, object]]
Steps: TypeAlias = Mapping[str, Step]
_END = 2  # a word of farewell and a hangup
_QUIET: dict[type[Step], tuple[str, ...]] = {
    SayStep: ("next",), PlayStep: ("next",), Hours: ("if_open", "if_closed"), Delegate: ("fallback",), QueueStep: ("on_full",),
}  # fmt: skip


def check_paths(flow: str, steps: Steps, raws: Raws, *, start: str) -> list[FlowFault]:
    """`steps` are those that could be read, `raws` all of them: also a step with a fault leads somewhere."""
    faults = [
        FlowFault(flow, name, field, f"there is no step {target[:64]!r}{near(target, raws)}")
        for name, raw in raws.items()
        for field, target in _targets(raw, raws)
        if target not in raws
    ]
    if start in raws:
        reached = _reached(raws, start)
        faults += [FlowFault(flow, name, "", "cannot be reached: no other step leads to it") for name in raws if name not in reached]
    loops = list(_loops(flow, steps))
    return faults + (loops or list(_too_long(flow, steps)))


def _targets(raw: Mapping[str, object], raws: Raws) -> Iterator[tuple[str, str]]:
    """(field, step) of every target. Of a step whose kind is unknown, whatever names a step."""
    kind = raw.get("kind")
    cls = KINDS.get(kind) if isinstance(kind, str) else None
    for field, value in raw.items():
        if field == "choices" and isinstance(value, dict) and (cls is None or cls is KINDS["menu"]):
            yield from (("choices", target) for target in value.values() if isinstance(target, str))
        elif isinstance(value, str) and (field in cls.TARGETS if cls else value in raws and field != "kind"):
            yield field, value


def _reached(raws: Raws, start: str) -> set[str]:
    reached, left = {start}, [start]
    while left:
        for _, target in _targets(raws[left.pop()], raws):
            if target in raws and target not in reached:
                reached.add(target)
                left.append(target)
    return reached


def _quiet(step: Step) -> tuple[str, ...]:
    """The targets that are answered together with the step, without anybody being asked in between."""
    if isinstance(step, Actions):
        last = type(step.parsed[-1]) if step.parsed else None
        return () if last in WAITING or last in FINAL else ("next",)
    return _QUIET.get(type(step), ())


def _on(step: Step, steps: Steps) -> list[tuple[str, str]]:
    """(field, step) of the quiet targets that are there."""
    found = ((field, getattr(step, field)) for field in _quiet(step))
    return [(field, target) for field, target in found if target in steps]


def _loops(flow: str, steps: Steps) -> Iterator[FlowFault]:
    """Every quiet target that leads back to a step on the way to it."""
    done: set[str] = set()
    for first in steps:
        way: list[tuple[str, list[tuple[str, str]]]] = [(first, _on(steps[first], steps))] if first not in done else []
        while way:
            name, left = way[-1]
            if not left:
                done.add(name)
                way.pop()
                continue
            field, target = left.pop(0)
            if any(target == one for one, _ in way):
                yield FlowFault(flow, name, field, f"leads back to {target!r} without asking the caller anything: a dead end")
            elif target not in done:
                way.append((target, _on(steps[target], steps)))


def _too_long(flow: str, steps: Steps) -> Iterator[FlowFault]:
    """The steps at which an answer would become longer than a provider takes."""
    longest: dict[str, int] = {}
    for name in _last_first(steps):
        step = steps[name]
        own = len(own_actions(name, step, dialect="sautikit", queues={})) + (1 if isinstance(step, QueueStep) else 0)
        passing = 0 if isinstance(step, QueueStep) else own
        ways = [(passing + longest[target], field) for field, target in _on(step, steps)]
        worst = max([(own + _END, ""), *ways])
        longest[name] = worst[0]
        if worst[0] > MAX_ACTIONS and worst[1]:
            yield FlowFault(
                flow, name, worst[1], f"makes one answer of {worst[0]} actions; {MAX_ACTIONS} are allowed: ask something between"
            )
            longest[name] = own
    for name, step in steps.items():
        if isinstance(step, Bot) and step.hand_over_to in longest and longest[step.hand_over_to] >= MAX_ACTIONS:
            yield FlowFault(flow, name, "hand_over_to", f"makes one answer of more than {MAX_ACTIONS} actions")


def _last_first(steps: Steps) -> list[str]:
    """Every step after the ones that it quietly leads to. There are no loops."""
    order: dict[str, None] = {}
    for first in steps:
        way = [first]
        while way:
            name = way[-1]
            ahead = [target for _, target in _on(steps[name], steps) if target not in order]
            if ahead:
                way += ahead
            else:
                order[name] = None
                way.pop()
    return list(order)
