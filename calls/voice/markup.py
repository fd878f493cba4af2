"""XML actions as the raw JSON that would say the same.

Read with expat directly: a DOCTYPE is refused where it begins, so no entity is ever defined or fetched. Attributes that are not in the
tables are left out: the PBX may know them, Sautikit passes XML on unseen.
"""

from __future__ import annotations

from typing import TypeAlias
from xml.parsers import expat

import msgspec

from calls.voice.shapes import CONTENT, SHAPES, VERB_OF_TAG

Raw: TypeAlias = dict[str, object]

MAX_ELEMENTS, MAX_DEPTH = 500, 8
_VERBS = SHAPES["sautikit"]
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


class BadMarkup(Exception):
    """The document cannot be read as actions at all."""


class _Element(msgspec.Struct):
    tag: str
    attributes: dict[str, str]
    texts: list[str]  # comments split them
    children: list[_Element]


class _Reader:
    """Builds the tree of elements, of bounded depth and number."""

    def __init__(self) -> None:
        self.root: _Element | None = None
        self._open: list[_Element] = []
        self._count = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) >= MAX_DEPTH:
            raise BadMarkup(f"the XML has more than {MAX_ELEMENTS} elements or is nested deeper than {MAX_DEPTH}")
        element = _Element(tag, attributes, texts=[], children=[])
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self, tag: str) -> None:  # noqa: ARG002 - expat checks that it is the one that was opened
        self._open.pop()

    def text(self, text: str) -> None:
        self._open[-1].texts.append(text)


def _doctype(*_: object) -> None:
    raise BadMarkup("the XML has a DOCTYPE: leave it out")


def parse(body: bytes) -> list[Raw]:
    """`<Response>…</Response>` as a list of raw actions."""
    reader, parser = _Reader(), expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = reader.start, reader.end, reader.text
    parser.StartDoctypeDeclHandler = _doctype
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError, LookupError) as why:
        raise BadMarkup(f"the reply is no well-formed XML: {why}") from None
    if reader.root is None or reader.root.tag != "Response":
        raise BadMarkup(f"the XML's root must be <Response>, not <{reader.root.tag[:64] if reader.root else ''}>")
    return [_action(child) for child in reader.root.children]


def _action(element: _Element) -> Raw:
    verb = VERB_OF_TAG.get(element.tag)
    if verb is None:
        return {f"<{element.tag[:64]}>": {}}
    fields: Raw = {}
    for name, value in element.attributes.items():
        read = _attribute(verb, name, value=value)
        if read is not None:
            fields[name] = read
    text = "".join(element.texts).strip()
    if verb == "dial":
        _dialled(fields, text or element.attributes.get("phoneNumbers", "").strip())
    elif text and verb in CONTENT:
        fields[CONTENT[verb]] = text
    if element.children:
        fields["nested"] = [_action(child) for child in element.children]
    return {verb: fields}


def _attribute(verb: str, name: str, *, value: str) -> object:
    """An attribute as its field has it; None for one that is not in the tables or is empty where a number or a flag belongs."""
    rule = _VERBS[verb].xml.get(name) or _VERBS[verb].fields.get(name)
    kind = getattr(rule, "kind", "")
    if kind == "number":
        plain = value.strip()
        return int(plain) if plain.isascii() and plain.isdigit() and len(plain) < 16 else plain or None
    if kind == "flag":
        return _FLAGS.get(value.strip().lower(), value.strip() or None)
    if kind == "list":
        return _listed(value)
    return value if kind == "text" else None


def _listed(value: str) -> list[str]:
    return [one.strip() for one in value.split(",") if one.strip()]


def _dialled(fields: Raw, target: str) -> None:
    """Whom `<Dial>`'s text or `phoneNumbers` names: a SIP address, one number, or several rung together."""
    if target.startswith(("sip:", "sips:")):
        fields["sip"] = target
    elif "," in target:
        fields["numbers"] = _listed(target)
    elif target:
        fields["number"] = target
