"""One step as it was written -> a step, or what is wrong with each of its fields."""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime
from typing import Literal, TypeAlias, Union, get_args, get_origin

import msgspec

from calls.voice import hours
from calls.voice.actions import Dialect
from calls.voice.answers import BadActions, read
from calls.voice.check_provider import cannot_do, refused
from calls.voice.enter import FINAL
from calls.voice.flow import KINDS, READ, Actions, Bot, Delegate, DialStep, Hours, Menu, QueueRules, QueueStep, RecordStep, Step
from calls.voice.mini import translated
from calls.voice.values import WEB, called, text, url

Wrong: TypeAlias = tuple[str, str]
"""(field, what is wrong with it)"""
KEYS = frozenset("0123456789*#ABCD")
MOST_RETRIES, MOST_KEYS = 100, 64
_AUDIO, _SPOKEN = url("ws", "wss"), text()
_WORDS: dict[object, str] = {
    str: "a text", int: "a whole number", float: "a number", bool: "true or false", type(None): "nothing", list[str]: "a list of texts",
    dict[str, str]: 'a table of texts such as { "1" = "sales" }', list[dict[str, object]]: 'a list such as [{ say = { text = "…" } }]',
}  # fmt: skip


def word_for(value: object) -> str:
    """What a value of TOML is, in words."""
    if isinstance(value, dict):
        return "a table"
    return "a date" if isinstance(value, date) else called(value)


def near(name: str, known: Collection[str]) -> str:
    """The end of a sentence that names what was probably meant, else what there is."""
    found = difflib.get_close_matches(name[:64], known, n=1, cutoff=0.6)
    if found:
        return f": did you mean {found[0]!r}?"
    return f"; there are {', '.join(sorted(known)[:20])}" if known else ""


def read_step(
    name: str, raw: Mapping[str, object], *, dialect: Dialect, timezone: str, queues: Mapping[str, QueueRules]
) -> tuple[Step | None, list[Wrong]]:
    """The step, and its faults; a step that has some is None."""
    kind = raw.get("kind")
    if not isinstance(kind, str):
        return None, [("kind", "is required: " + ", ".join(KINDS) if kind is None else f"must be a text, not {word_for(kind)}")]
    cls = KINDS.get(kind)
    if cls is None:
        return None, [("kind", f"there is no kind {kind[:64]!r}{near(kind, KINDS)}")]
    values, wrong = _values(cls, kind, raw)
    if wrong:
        return None, wrong
    step = cls(kind=kind, **values)
    if cls in _HOLDING:
        wrong = _HOLDING[cls](step)
    elif cls in _MEANING:
        step, wrong = _MEANING[cls](step, _Around(raw, dialect, timezone))
    wrong = wrong or cannot_do(step, raw, dialect)
    wrong = wrong or refused(name, step, dialect=dialect, queues=queues)
    return (None if wrong else step), wrong


def _values(cls: type[Step], kind: str, raw: Mapping[str, object]) -> tuple[dict[str, object], list[Wrong]]:
    """Each field as its type, and those that have another, are unknown or missing."""
    fields = {field.name: field for field in msgspec.structs.fields(cls) if field.name not in READ}
    values: dict[str, object] = {}
    wrong: list[Wrong] = []
    for name, value in raw.items():
        if name == "kind":
            continue
        field = fields.get(name)
        if field is None:
            wrong.append((str(name)[:64], f"is no field of a {kind} step{near(str(name), fields)}"))
            continue
        try:
            values[name] = msgspec.convert(_plain(value), field.type)
        except (msgspec.ValidationError, ValueError, OverflowError, RecursionError):
            wrong.append((name, f"must be {_wanted(field.type)}, not {_shown(value)}"))
    wrong += [(name, "is required") for name, field in fields.items() if field.required and name not in raw]
    return values, wrong


def _plain(value: object) -> object:
    """Dates, which TOML knows, as the texts we take."""
    if isinstance(value, list):
        return [one.isoformat() if isinstance(one, date) and not isinstance(one, datetime) else one for one in value]
    return value


def _wanted(type_: object) -> str:
    if get_origin(type_) is Literal:
        return " or ".join(f'"{word}"' for word in get_args(type_))
    if get_origin(type_) in (Union, types.UnionType):
        return " or ".join(_wanted(one) for one in get_args(type_) if one is not type(None))
    return _WORDS.get(type_, "of another type")


def _shown(value: object) -> str:
    return repr(value[:40]) if isinstance(value, str) else word_for(value)


# ---------------------------------------------------------------- what the type does not say


class _Around(msgspec.Struct, frozen=True):
    """What else it takes to read a step; `raw` tells what was written from what is a default."""

    raw: Mapping[str, object]
    dialect: Dialect
    timezone: str


def _between(value: int, least: int, most: int) -> str:
    return "" if least <= value <= most else f"must be between {least} and {most}"


def _faults(*found: tuple[str, str]) -> list[Wrong]:
    """Those that say something."""
    return [(field, why) for field, why in found if why]


def _menu(step: Step) -> list[Wrong]:
    assert isinstance(step, Menu)
    wrong = _faults(
        ("prompt", "is required: what the caller hears (or play)" if step.prompt is None and step.play is None else ""),
        ("play", "cannot stand beside prompt: give one of them" if step.prompt is not None and step.play is not None else ""),
        ("choices", "" if step.choices else 'is empty: a menu that leads nowhere is a dead end; write { "1" = "step" }'),
        ("retries", _between(step.retries, 0, MOST_RETRIES)),
        ("digits", _between(step.digits, 0, MOST_KEYS)),
    )
    return wrong + [("choices", why) for keys in step.choices if (why := _keys(keys, step))]


def _keys(keys: str, step: Menu) -> str:
    """Why nobody can press this choice."""
    if not 0 < len(keys) <= MOST_KEYS or not KEYS.issuperset(keys):
        return f"{keys[:40]!r} cannot be pressed: a choice is made of 0-9 * # A-D"
    if step.digits and len(keys) > step.digits:
        return f"{keys!r} has {len(keys)} keys, and the menu waits for {step.digits}: set digits"
    if step.finish_on_key and step.finish_on_key in keys:
        return f'{keys!r} contains {step.finish_on_key!r}, which ends the input: set finish_on_key = ""'
    return ""


def _hours(step: Step, around: _Around) -> tuple[Step, list[Wrong]]:
    assert isinstance(step, Hours)
    opening, wrong = hours.read(step.open, step.closed_on, timezone=around.timezone if step.timezone is None else step.timezone)
    if not step.open:
        wrong = [("open", 'is empty: write when it is open, such as ["mon-fri 08:00-17:00"]'), *wrong]
    return msgspec.structs.replace(step, opening=opening), wrong


def _dial(step: Step) -> list[Wrong]:
    assert isinstance(step, DialStep)
    several = step.to if isinstance(step.to, list) else []
    alone = next((one for one in several if one.startswith(("sip:", "sips:"))), None) if len(several) > 1 else None
    return _faults(
        ("to", "is empty: name a number or a sip: address" if not step.to else ""),
        ("to", f"{alone[:64]!r} cannot ring together with others: a SIP address is dialled alone" if alone else ""),
        ("timeout_s", _between(step.timeout_s, 1, 3600)),
    )


def _queue(step: Step) -> list[Wrong]:
    assert isinstance(step, QueueStep)
    return _faults(("queue", "" if step.queue.strip() else "is empty: name a queue"))


def _bot(step: Step, around: _Around) -> tuple[Step, list[Wrong]]:
    """`url` alone says that the audio is somebody else's."""
    assert isinstance(step, Bot)
    if step.url is not None and "engine" not in around.raw:
        step = msgspec.structs.replace(step, engine="url")
    apart = step.url is not None and step.engine != "url"
    return step, _faults(
        ("url", "is required: the address of the audio socket" if step.engine == "url" and step.url is None else ""),
        ("url", f"cannot stand beside engine {step.engine!r}: leave one of them out" if apart else ""),
        ("url", "" if step.url is None else _AUDIO.wrong(step.url)),
        ("sampling_rate", "" if step.sampling_rate in (8000, 16000) else "must be 8000 or 16000"),
        ("hand_over_after_ms", _between(step.hand_over_after_ms, 0, 3_600_000)),
        ("fallback_text", "" if step.fallback_text is None else _SPOKEN.wrong(step.fallback_text)),
    )


def _actions(step: Step, around: _Around) -> tuple[Step, list[Wrong]]:
    assert isinstance(step, Actions)
    try:
        step = msgspec.structs.replace(step, parsed=read(step.actions, around.dialect))
    except BadActions as bad:
        return step, [(fault.field, fault.detail) for fault in bad.faults]
    last = step.parsed[-1] if step.parsed else None
    if around.dialect == "minivoice" and last is not None:
        last = translated(last)
    return step, _faults(
        ("actions", "" if step.parsed else "is empty: write at least one action"),
        ("next", "is never reached: the last action leads the call away" if step.next is not None and isinstance(last, FINAL) else ""),
    )


def _delegate(step: Step) -> list[Wrong]:
    assert isinstance(step, Delegate)
    return _faults(("url", WEB.wrong(step.url)), ("timeout_ms", _between(step.timeout_ms, 1, 9000)))


def _record(step: Step) -> list[Wrong]:
    assert isinstance(step, RecordStep)
    return _faults(("max_length_s", "" if step.max_length_s is None else _between(step.max_length_s, 1, 86_400)))


_HOLDING: dict[type[Step], Callable[[Step], list[Wrong]]] = {
    Menu: _menu, DialStep: _dial, QueueStep: _queue, Delegate: _delegate, RecordStep: _record,
}  # fmt: skip
_MEANING: dict[type[Step], Callable[[Step, _Around], tuple[Step, list[Wrong]]]] = {Hours: _hours, Bot: _bot, Actions: _actions}
