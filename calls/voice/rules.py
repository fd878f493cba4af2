"""Would the provider take these actions? What it would refuse, by path, with what to do about it.

Works on raw JSON (what a configuration or somebody's application says), so that every fault can name its place. Numeric limits
are ours where the provider states none: wide enough for sense, narrow enough to catch a slip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import TypeAlias

from calls.voice.ability import cannot
from calls.voice.actions import Dialect, Fault
from calls.voice.shapes import SHAPES, TAGS, Form, Shape
from calls.voice.values import called

__all__ = ["ENDS", "MAX_ACTIONS", "Fields", "cannot", "check", "verb_of"]

Fields: TypeAlias = dict[str, object]

MAX_ACTIONS = 50
_NAME = 64  # what is shown of a name that somebody made up
_NESTED = ("say", "play")
_PROVIDERS: dict[Dialect, str] = {"sautikit": "Sautikit", "minivoice": "MiniVoice"}
# What follows these is never run; the AI agent alone is refused for it by the provider itself.
ENDS: dict[Dialect, frozenset[str]] = {
    "sautikit": frozenset({"hangup", "reject", "redirect", "aiAgent"}),
    "minivoice": frozenset({"transfer", "bridge", "conference"}),
}
# What the verbs of one provider are called by the other.
_ABROAD: dict[Dialect, dict[str, str]] = {
    "sautikit": {
        "gather": "write `getDigits`", "transfer": "write `dial`", "bridge": "write `dial`", "start_stream": "write `stream`",
        "start_recording": "write `record`, or `record` in `dial`",
    },
    "minivoice": {
        "getDigits": "write `gather` and a `redirect` after it", "dial": "write `transfer`", "stream": "write `start_stream`",
        "record": "write `start_recording`", "hangup": "leave it out: the call ends where the list ends", "play": "write `say`",
        "reject": "leave the list empty: the call ends",
    },
}  # fmt: skip


def check(actions: object, dialect: Dialect, *, form: Form = "json", unreached: bool = True) -> list[Fault]:
    """Every fault of a list of actions. `unreached` False lets pass what the provider takes but never runs."""
    if not isinstance(actions, list):
        return [Fault("actions", f"must be a list of actions, not {called(actions)}")]
    faults: list[Fault] = []
    if len(actions) > MAX_ACTIONS:
        faults.append(Fault("actions", f"has {len(actions)} actions; {MAX_ACTIONS} are allowed: go on at another address with a redirect"))
    verbs: list[str] = []
    for place, raw in enumerate(actions[:MAX_ACTIONS]):
        path = f"actions[{place}]"
        one = verb_of(raw, dialect)
        if isinstance(one, Fault):
            faults.append(Fault(path + one.field, one.detail))
            verbs.append("")
            continue
        verbs.append(one[0])
        faults.extend(_verb(one[0], one[1], dialect=dialect, path=f"{path}.{one[0][:_NAME]}", form=form))
    return faults + _order(verbs, dialect, unreached=unreached)


def verb_of(raw: object, dialect: Dialect) -> tuple[str, Fields] | Fault:
    """(verb, fields) of one action, keyed or (MiniVoice) typed; else what is wrong with it, `field` counted from the action."""
    if not isinstance(raw, dict):
        return Fault("", f'must be an object such as {{"say": {{"text": "…"}}}}, not {called(raw)}')
    kind = raw.get("type")
    if dialect == "minivoice" and isinstance(kind, str):
        return kind, {name: value for name, value in raw.items() if name != "type"}
    if len(raw) != 1:
        names = ", ".join(f"`{name}`" for name in list(raw)[:3])
        return Fault("", f"must have exactly one verb, not {len(raw)}{f' ({names})' if names else ''}: give each verb an object of its own")
    verb, fields = next(iter(raw.items()))
    if not isinstance(fields, dict):
        return Fault(f".{str(verb)[:_NAME]}", f"must be an object of fields ({{}} where it has none), not {called(fields)}")
    return str(verb), fields


def _verb(verb: str, fields: Fields, *, dialect: Dialect, path: str, form: Form) -> list[Fault]:
    shape = SHAPES[dialect].get(verb)
    if shape is None:
        return [Fault(path, _unknown_verb(verb, dialect, form=form))]
    own = {name: value for name, value in fields.items() if not (shape.nested and name == "nested")}
    faults = _fields(own, shape, path=path, form=form)
    if shape.nested and fields.get("nested") is not None:
        faults.extend(_nested(fields["nested"], f"{path}.nested", form=form))
    further = _FURTHER.get((dialect, verb))
    return faults if further is None else faults + [Fault(f"{path}{name}", detail) for name, detail in further(fields)]


def _unknown_verb(verb: str, dialect: Dialect, *, form: Form) -> str:
    provider, abroad = _PROVIDERS[dialect], _ABROAD[dialect].get(verb)
    if abroad:
        return f"is no verb of {provider}: {abroad}"
    tags = form == "xml"
    known = list(TAGS.values()) if tags else list(SHAPES[dialect])
    near = _near(verb.strip("<>"), known)
    shown = f"<{near}>" if tags else near
    return f"is no verb of {provider}" + (f": did you mean `{shown}`?" if near else f"; there are {', '.join(known)}")


def _near(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, whatever its case and underscores."""
    plain = {one.lower().replace("_", ""): one for one in known}
    found = get_close_matches(word[:_NAME].lower().replace("_", "").replace("-", ""), plain, n=1, cutoff=0.6)
    return plain[found[0]] if found else ""


def _fields(fields: Fields, shape: Shape, *, path: str, form: Form) -> list[Fault]:
    """Unknown, missing and wrong fields. None stands for a field left out."""
    faults = [Fault(f"{path}.{name}", "is required") for name in shape.needs if fields.get(name) is None]
    for name, value in fields.items():
        rule = shape.xml.get(name) if form == "xml" and name in shape.xml else shape.fields.get(name)
        if rule is None:
            faults.append(Fault(f"{path}.{str(name)[:_NAME]}", _unknown_field(str(name), shape)))
        elif value is None:
            continue
        elif isinstance(rule, Shape):
            faults.extend(_object(value, rule, path=f"{path}.{name}", form=form))
        elif why := rule.wrong(value):
            faults.append(Fault(f"{path}.{name}", why))
    return faults


def _object(value: object, shape: Shape, *, path: str, form: Form) -> list[Fault]:
    if not isinstance(value, dict):
        return [Fault(path, f"must be an object, not {called(value)}")]
    return _fields(value, shape, path=path, form=form)


def _unknown_field(name: str, shape: Shape) -> str:
    if name in shape.xml:
        return "exists only in the XML form: leave it out"
    known = [*shape.fields, *(["nested"] if shape.nested else [])]
    near = _near(name, known)
    if near:
        return f"is no field of it: did you mean `{near}`?"
    return f"is no field of it; there are {', '.join(known)}" if known else "is no field of it: it has none"


def _nested(value: object, path: str, *, form: Form) -> list[Fault]:
    if not isinstance(value, list) or len(value) > MAX_ACTIONS:
        return [Fault(path, f"must be a list of at most {MAX_ACTIONS} say and play")]
    faults: list[Fault] = []
    for place, raw in enumerate(value):
        one, here = verb_of(raw, "sautikit"), f"{path}[{place}]"
        if isinstance(one, Fault):
            faults.append(Fault(here + one.field, one.detail))
        elif one[0] not in _NESTED:
            faults.append(Fault(f"{here}.{one[0][:_NAME]}", "cannot be inside getDigits, only say and play can: put it after getDigits"))
        else:
            faults.extend(_verb(one[0], one[1], dialect="sautikit", path=f"{here}.{one[0]}", form=form))
    return faults


def _order(verbs: list[str], dialect: Dialect, *, unreached: bool) -> list[Fault]:
    """The first action after which others stand that would never run."""
    for place, verb in enumerate(verbs[:-1]):
        if verb in ENDS[dialect] and (unreached or verb == "aiAgent"):
            return [Fault(f"actions[{place}].{verb}", "must be the last action: what follows it would never run, take it out")]
    return []


# ---------------------------------------------------------------- what concerns several fields at once


def _only(fields: Fields, names: tuple[str, ...], *, needed: bool = True) -> list[tuple[str, str]]:
    """Exactly one of these; the fault names the one too many."""
    given, wanted = [name for name in names if fields.get(name) is not None], " or ".join(names)
    if len(given) > 1:
        return [(f".{given[-1]}", f"cannot stand beside {given[0]}: give exactly one of {wanted}")]
    return [(f".{names[0]}", f"is required: give exactly one of {wanted}")] if needed and not given else []


def _whole(fields: Fields, name: str) -> int | None:
    value = fields.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _gather(fields: Fields) -> list[tuple[str, str]]:
    least, most = _whole(fields, "min_digits"), _whole(fields, "max_digits")
    return [(".min_digits", "is more than max_digits")] if least is not None and most is not None and least > most else []


def _ai_agent(fields: Fields) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    handover, unavailable = fields.get("handover"), fields.get("onUnavailable")
    if isinstance(handover, dict):
        found += [(f".handover{name}", why) for name, why in _only(handover, ("callbackUrl", "forward", "voicemail"))]
    if isinstance(unavailable, str) and unavailable in ("voicemail", "forward") and fields.get(unavailable) is None:
        found.append((f".{unavailable}", f'is required where onUnavailable is "{unavailable}"'))
    return found


_FURTHER: dict[tuple[Dialect, str], Callable[[Fields], list[tuple[str, str]]]] = {
    ("sautikit", "dial"): lambda fields: _only(fields, ("number", "numbers", "sip")),
    ("sautikit", "aiAgent"): _ai_agent,
    ("minivoice", "gather"): _gather,
    ("minivoice", "transfer"): lambda fields: _only(fields, ("destination", "to")),
    ("minivoice", "bridge"): lambda fields: _only(fields, ("destination", "to")),
}
