"""A flow as somebody wrote it -> a flow that can be walked, or everything that is wrong with it, by step and field.

Whatever stands in a configuration is a fault here, never an exception. What a step's fields may hold is in `check_steps`, where
the steps lead in `check_paths`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from calls.voice.actions import Dialect
from calls.voice.check_paths import check_paths
from calls.voice.check_steps import near, read_step, word_for
from calls.voice.flow import Flow, FlowFault, QueueRules, QueueStep, Step

NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.\-]{1,64}", re.ASCII)
RESERVED = frozenset({"events"})  # /voice/{flow}/events is where status callbacks go
FIELDS = ("account", "start", "format", "steps")
_NAMED = "must be 1 to 64 letters, digits, dots, hyphens or underscores: it stands in addresses"


def compile_flow(
    name: str, raw: object, *, dialect: Dialect, timezone: str, queues: Mapping[str, QueueRules]
) -> tuple[Flow | None, list[FlowFault]]:
    """`raw` as the configuration has it; `queues` are the rules of those that it names. The flow is None where there are faults."""
    faults: list[FlowFault] = []
    if not NAME.fullmatch(name):
        faults.append(FlowFault(name, "", "", f"the name of a flow {_NAMED}"))
    if not isinstance(raw, dict):
        return None, [*faults, FlowFault(name, "", "", f"must be a table with account, start and steps, not {word_for(raw)}")]
    steps, raws = _steps(name, raw, faults, dialect=dialect, timezone=timezone, queues=queues)
    account, start, form = _head(name, raw, faults, dialect=dialect, known=tuple(raws))
    faults += check_paths(name, steps, raws, start=start)
    if faults:
        return None, faults
    used = {step.queue: queues.get(step.queue, QueueRules()) for step in steps.values() if isinstance(step, QueueStep)}
    return Flow(name, account, start, steps, dialect, form, timezone, used), []


def _head(
    name: str, raw: Mapping[str, object], faults: list[FlowFault], *, dialect: Dialect, known: tuple[str, ...]
) -> tuple[str, str, Literal["json", "xml"]]:
    """The flow's own fields: account, start, format."""

    def fault(field: str, detail: str) -> None:
        faults.append(FlowFault(name, "", field, detail))

    for field in raw:
        if field not in FIELDS:
            fault(str(field)[:64], f"is no field of a flow{near(str(field), FIELDS)}")
    for field in ("account", "start"):
        if not isinstance(raw.get(field), str) or not raw[field]:
            fault(field, "is required" if field not in raw else f"must be a text, not {word_for(raw[field])}")
    start = str(raw.get("start") or "")
    if isinstance(raw.get("start"), str) and start and known and start not in known:
        fault("start", f"there is no step {start!r}{near(start, known)}")
    form = raw.get("format", "json")
    if why := _no_form(form, dialect):
        fault("format", why)
    return str(raw.get("account") or ""), start, "xml" if form == "xml" else "json"


def _no_form(form: object, dialect: Dialect) -> str:
    if form not in ("json", "xml"):
        return f'must be "json" or "xml", not {repr(form[:40]) if isinstance(form, str) else word_for(form)}'
    return "MiniVoice takes JSON only: leave it out" if form == "xml" and dialect == "minivoice" else ""


def _steps(
    name: str, raw: Mapping[str, object], faults: list[FlowFault], *, dialect: Dialect, timezone: str, queues: Mapping[str, QueueRules]
) -> tuple[dict[str, Step], dict[str, Mapping[str, object]]]:
    """(the steps that can be read, all of them as they were written)."""
    written = raw.get("steps")
    if not isinstance(written, dict) or not written:
        faults.append(FlowFault(name, "", "steps", "is required: a flow has at least one step"))
        return {}, {}
    steps: dict[str, Step] = {}
    raws: dict[str, Mapping[str, object]] = {}
    for step, fields in written.items():
        if not NAME.fullmatch(step) or step in RESERVED:
            why = "is kept for status callbacks: choose another name" if step in RESERVED else _NAMED
            faults.append(FlowFault(name, step, "", f"the name of a step {why}"))
        if not isinstance(fields, dict):
            faults.append(FlowFault(name, step, "", f"must be a table with a kind, not {word_for(fields)}"))
            continue
        raws[step] = fields
        read, wrong = read_step(step, fields, dialect=dialect, timezone=timezone, queues=queues)
        faults += [FlowFault(name, step, field, detail) for field, detail in wrong]
        if read is not None:
            steps[step] = read
    return steps, raws
