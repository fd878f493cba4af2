"""Actions as the bytes that a provider reads: Sautikit's JSON, the PBX's XML, MiniVoice's JSON.

On the hot path: no checks (`rules` has made them), never an exception. What a form has no word for is left out; ask
`ability.cannot` beforehand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import msgspec

from calls.voice import actions as act
from calls.voice.actions import SAUTIKIT, Action, GetDigits
from calls.voice.mini import steps
from calls.voice.shapes import CONTENT, TAGS
from calls.voice.values import UNSPEAKABLE

Target: TypeAlias = Literal["json", "xml", "minivoice"]
_Attributes: TypeAlias = tuple[tuple[str, str], ...]

JSON, XML = "application/json", "application/xml"
_KEY = {kind: verb for verb, kind in SAUTIKIT.items()}
_encode = msgspec.json.Encoder().encode


def render(actions: Sequence[Action], form: Target) -> tuple[bytes, str]:
    """(body, content type) of an answer with these actions."""
    if form == "xml":
        return _xml(actions), XML
    return _bytes({"actions": steps(actions) if form == "minivoice" else _json(actions)}), JSON


def _bytes(whole: object) -> bytes:
    try:
        return _encode(whole)
    except UnicodeEncodeError:  # half a surrogate pair in some text
        return _encode(_clean(msgspec.to_builtins(whole)))


def _clean(value: object) -> object:
    if isinstance(value, str):
        return UNSPEAKABLE.sub("", value)
    if isinstance(value, list):
        return [_clean(one) for one in value]
    return {_clean(name): _clean(one) for name, one in value.items()} if isinstance(value, dict) else value


# ---------------------------------------------------------------- Sautikit's JSON


def _json(actions: Sequence[Action]) -> list[object]:
    found: list[object] = []
    for one in actions:
        kind = type(one)
        verb, odd = _KEY.get(kind), _ODD.get(kind)
        if verb is not None:
            found.append({verb: one if odd is None else odd(one)})
    return found


def _get_digits(one: Action) -> object:
    assert isinstance(one, GetDigits)
    if not one.nested:
        return one
    fields: dict[str, object] = {name: value for name, field in _ASKING if (value := getattr(one, field)) is not None}
    fields["nested"] = _json(one.nested)
    return fields


def _dial(one: Action) -> object:
    """`record="true"` is the XML's word."""
    assert isinstance(one, act.Dial)
    if one.record in ("true", "false"):
        return msgspec.structs.replace(one, record="record-from-answer" if one.record == "true" else None)
    return one


def _record(one: Action) -> object:
    assert isinstance(one, act.Record)
    return msgspec.structs.replace(one, play_beep=None, trim=None) if one.play_beep is not None or one.trim is not None else one


def _redirect(one: Action) -> object:
    assert isinstance(one, act.Redirect)
    return msgspec.structs.replace(one, max_redirects=None) if one.max_redirects is not None else one


_ODD: dict[type[Action], Callable[[Action], object]] = {
    GetDigits: _get_digits, act.Dial: _dial, act.Record: _record, act.Redirect: _redirect,
}  # fmt: skip


# ---------------------------------------------------------------- XML

_ESCAPED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "&#10;", "\t": "&#9;", "\r": "&#13;"}
_SPECIAL = re.compile(f'[&<>"\n\t\r]|{UNSPEAKABLE.pattern}')


def _escape(text: str) -> str:
    """For text and attributes alike. What XML cannot carry is left out."""
    return _SPECIAL.sub(lambda found: _ESCAPED.get(found.group(), ""), text) if _SPECIAL.search(text) else text


def _columns(kind: type[Action], but: str) -> _Attributes:
    pairs = zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True)
    return tuple((name, field) for name, field in pairs if name not in (but, "nested", "number", "numbers", "sip", "max_redirects"))


_ASKING = _columns(GetDigits, "")
# (tag, attributes, the field between the tags) of each verb
_ELEMENTS: dict[type[Action], tuple[str, _Attributes, str]] = {
    SAUTIKIT[verb]: (tag, _columns(SAUTIKIT[verb], CONTENT.get(verb, "")), CONTENT.get(verb, "")) for verb, tag in TAGS.items()
}


def _xml(actions: Sequence[Action]) -> bytes:
    inner = _elements(actions)
    return f"<Response>{inner}</Response>".encode() if inner else b"<Response/>"


def _elements(actions: Sequence[Action]) -> str:
    return "".join([_element(one) for one in actions if type(one) in _ELEMENTS])


def _element(one: Action) -> str:
    tag, columns, field = _ELEMENTS[type(one)]
    opened = f"<{tag}"
    for name, attribute in columns:
        value = getattr(one, attribute)
        if value is not None:
            opened += f' {name}="{_shown(value)}"'
    inner = _escape(getattr(one, field)) if field else ""
    if isinstance(one, GetDigits):
        inner = _elements(one.nested or ())
    elif isinstance(one, act.Dial):
        if one.numbers is not None:
            opened += f' phoneNumbers="{_escape(",".join(one.numbers))}"'
        inner = _escape(one.number or one.sip or "")
    return f"{opened}>{inner}</{tag}>" if inner else f"{opened}/>"


def _shown(value: object) -> str:
    if value is True or value is False:
        return "true" if value else "false"
    return _escape(value) if isinstance(value, str) else str(value)
