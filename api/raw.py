"""A body as people see it: the JSON object it is, a form's fields as an object, otherwise its text, or its bytes as base64."""

from __future__ import annotations

import base64
import json
from typing import NoReturn
from urllib.parse import parse_qsl

import msgspec


def raw_json(body: bytes, content_type: str) -> msgspec.Raw:
    """The JSON text of an object. A JSON object stands in it letter by letter: digits, order and repeated names as they came."""
    if (found := _object(body)) is not None:
        return msgspec.Raw(found)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return msgspec.Raw(msgspec.json.encode({"base64": base64.b64encode(body).decode()}))
    return msgspec.Raw(msgspec.json.encode(_fields(text) if "form-urlencoded" in content_type.lower() else {"text": text}))


def _object(body: bytes) -> bytes | None:
    """The bytes of a body that strict JSON readers take as an object."""
    bare = body.removeprefix(b"\xef\xbb\xbf").strip(b" \t\r\n")
    if not (bare.startswith(b"{") and bare.endswith(b"}")):
        return None
    try:
        json.loads(bare.decode(), parse_constant=_refuse, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return None
    return bare


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _fields(text: str) -> dict[str, str | list[str]]:
    """A form's fields; a repeated name has a list."""
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}
