"""What somebody said should be done with a call: JSON or XML in, typed actions out, or every reason why not."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from calls.voice import markup
from calls.voice.actions import VERBS, Action, Dialect, Fault, GetDigits, Play, Say
from calls.voice.rules import Fields, check, verb_of
from calls.voice.shapes import Form
from calls.voice.values import called

MAX_BYTES = 256 * 1024
_BOM = b"\xef\xbb\xbf"


class BadActions(Exception):
    """Actions that cannot be used; `faults` says where and why."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = list(faults)
        super().__init__("; ".join(f"{one.field}: {one.detail}" for one in self.faults[:3]))


def read(actions: object, dialect: Dialect, *, form: Form = "json", unreached: bool = True) -> list[Action]:
    """Raw actions as structs. `unreached` False: what would never run is no fault (see `rules.check`)."""
    faults = check(actions, dialect, form=form, unreached=unreached)
    if faults or not isinstance(actions, list):
        raise BadActions(faults)
    return [_typed(one, dialect) for raw in actions if not isinstance(one := verb_of(raw, dialect), Fault)]


def read_body(body: bytes, content_type: str, dialect: Dialect) -> tuple[list[Action], bool]:
    """An application's reply: its actions, and whether it was XML. What it says decides, then its content type.

    Actions after one that ends the list are kept and not refused: the provider takes such a reply and never runs them.
    """
    if len(body) > MAX_BYTES:
        raise BadActions([Fault("actions", f"the reply has {len(body)} bytes; {MAX_BYTES} are allowed")])
    body = body.removeprefix(_BOM).lstrip()
    if body[:1] == b"<" or ("xml" in content_type.lower() and body[:1] != b"{"):
        if dialect == "minivoice":
            raise BadActions([Fault("actions", 'the reply is XML, MiniVoice takes JSON only: answer {"actions": […]}')])
        return read(_xml(body), dialect, form="xml", unreached=False), True
    return read(_json(body), dialect, unreached=False), False


def _xml(body: bytes) -> object:
    try:
        return markup.parse(body)
    except markup.BadMarkup as why:
        raise BadActions([Fault("actions", str(why))]) from None


def _json(body: bytes) -> object:
    try:
        whole: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as why:
        raise BadActions([Fault("actions", f"the reply is neither JSON nor XML: {why}")]) from None
    if not isinstance(whole, dict):
        raise BadActions([Fault("actions", f'the reply must be {{"actions": […]}}, not {called(whole)}')])
    if "actions" not in whole:
        raise BadActions([Fault("actions", 'is required: answer {"actions": […]}')])
    return whole["actions"]


def _typed(one: tuple[str, Fields], dialect: Dialect) -> Action:
    """One checked action as its struct."""
    verb, given = one
    fields = {name: value for name, value in given.items() if value is not None}
    if verb in ("transfer", "bridge") and "to" in fields:
        fields["destination"] = fields.pop("to")
    kind = VERBS[dialect][verb]
    return _get_digits(fields) if kind is GetDigits else msgspec.convert(fields, kind)


class _Asked(msgspec.Struct, rename="camel"):
    """GetDigits but for `nested`."""

    timeout: int | None = None
    num_digits: int | None = None
    finish_on_key: str | None = None
    action: str | None = None


def _get_digits(fields: Fields) -> GetDigits:
    """`nested` is apart: nothing in the fields of say and play says which of them it is."""
    inner, asked = fields.get("nested"), msgspec.convert(fields, _Asked)
    raw = [one for one in map(_sautikit, inner) if isinstance(one, Say | Play)] if isinstance(inner, list) else None
    return GetDigits(
        timeout=asked.timeout, num_digits=asked.num_digits, finish_on_key=asked.finish_on_key, action=asked.action, nested=raw
    )  # fmt: skip


def _sautikit(raw: object) -> Action | None:
    one = verb_of(raw, "sautikit")
    return None if isinstance(one, Fault) else _typed(one, "sautikit")
