"""What a list is asked for: every filter of `GET /v1/journeys` by name, how its text is read, and how the OpenAPI describes it.

`parse` collects every fault before it refuses (422), each under the name of its parameter. An unknown name is a fault too:
a filter that is not understood must never mean "everything".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import msgspec

from api.cursors import Place, decode, filters_digest
from calls.clock import Micros
from calls.faults import Faults
from calls.journey import ANOMALIES, DIRECTIONS, OUTCOMES, STATES
from calls.parameters import ATTRIBUTE, LONGEST, named, one_of, plain, whole, zoned_time
from calls.parties import readable
from runtime.problems import invalid, refusal

Value: TypeAlias = str | int
MOST = 500
USUAL = 50
MOST_EVENTS = 10_000
BIGINT = 2**63 - 1


class Asked(msgspec.Struct, frozen=True):
    """One page of a list. `filters` are sorted by name; times are µs, `attr.NAME` keeps its prefix; `after` is None on the first page."""

    filters: dict[str, Value]
    digest: str
    limit: int = USUAL
    after: Place | None = None


class Filter(msgspec.Struct, frozen=True):
    """`read` gives the value or raises ValueError with what to write instead; `schema` is its JSON Schema."""

    read: Callable[[str, str], Value]
    says: str
    schema: dict[str, object]


def parse(items: Iterable[tuple[str, str]], *, tenant: str, country: str) -> Asked:
    """`items` are names and texts as they came. Raises Refused 422 that names every parameter at fault."""
    given, read = _read(items, lambda name, text: None if name == "cursor" else value_of(name, text, country))
    limit = int(read.pop("limit", USUAL))
    filters = dict(sorted(read.items()))
    digest = filters_digest(tenant, filters)
    return Asked(filters, digest, limit, decode(given["cursor"], digest) if "cursor" in given else None)


def read_all(items: Iterable[tuple[str, str]], known: Mapping[str, Filter], *, country: str = "") -> dict[str, Value]:
    """What a route with parameters of its own is asked, by name. Raises Refused 422 as `parse` does."""

    def value(name: str, text: str) -> Value:
        if name not in known:
            raise ValueError(f"unknown parameter; known are {', '.join(known)}")
        return known[name].read(plain(text), country)

    return _read(items, value)[1]


def _read(items: Iterable[tuple[str, str]], value: Callable[[str, str], Value | None]) -> tuple[dict[str, str], dict[str, Value]]:
    """(texts, values) by name. Raises Refused 422 with every parameter that is at fault."""
    given: dict[str, str] = {}
    read: dict[str, Value] = {}
    faults: list[tuple[str, str]] = []
    for name, text in items:
        try:
            if name in given:
                raise ValueError("given twice: give it once")
            given[name] = text
            found = value(name, text)
            if found is not None:
                read[name] = found
        except ValueError as error:
            faults.append((name or "(no name)", str(error)))
    if not faults and "from" in read and "to" in read and int(read["from"]) > int(read["to"]):
        faults = [("from", "from is later than to: exchange them")]
    if faults:
        raise refusal(Faults(faults))
    return given, read


def value_of(name: str, text: str, country: str) -> Value:
    """One parameter's value. Raises ValueError with a sentence for whoever wrote it."""
    known = FILTERS.get(named(name)) or (_ATTRIBUTE if name.startswith(ATTRIBUTE) and len(name) > len(ATTRIBUTE) else None)
    if known is None:
        raise ValueError(f"unknown parameter; known are {', '.join(FILTERS)}, {ATTRIBUTE}NAME and cursor")
    return known.read(plain(text), country)


def _time(text: str, country: str) -> Micros:
    return zoned_time(text)


def _party(text: str, country: str) -> str:
    party = readable(text, country)
    if party is None:
        raise ValueError("no phone number, short code, sip: address or `anonymous`: write a number such as +254712345678 or 0712345678")
    return party


def _text(text: str, country: str) -> str:
    return text


def _one_of(choices: tuple[str, ...]) -> Callable[[str, str], str]:
    def read(text: str, country: str) -> str:
        return one_of(text, choices)

    return read


def _whole(least: int, most: int) -> Callable[[str, str], int]:
    def read(text: str, country: str) -> int:
        return whole(text, least=least, most=most)

    return read


def choice(says: str, choices: tuple[str, ...]) -> Filter:
    return Filter(_one_of(choices), says, {"type": "string", "enum": list(choices)})


_MS = Filter(_whole(0, BIGINT), "milliseconds", {"type": "integer", "minimum": 0, "maximum": BIGINT})
_PARTY: dict[str, object] = {"type": "string", "minLength": 1, "examples": ["+254712345678", "0712 345 678"]}
_WHEN: dict[str, object] = {"type": "string", "format": "date-time"}
_WORD: dict[str, object] = {"type": "string", "minLength": 1, "maxLength": LONGEST}
_ATTRIBUTE = Filter(_text, "The attribute NAME has this text (numbers and booleans as JSON writes them).", _WORD)

FILTERS: dict[str, Filter] = {
    "from": Filter(_time, "started_at is this or later (RFC 3339 with a zone).", _WHEN),
    "to": Filter(_time, "started_at is before this (RFC 3339 with a zone).", _WHEN),
    "caller": Filter(_party, "Who called, in any writing of the number.", _PARTY),
    "called": Filter(_party, "Who was called, in any writing of the number.", _PARTY),
    "number": Filter(_party, "Caller or called.", _PARTY),
    "agent": Filter(_text, "This agent had a leg or took the caller from a queue.", _WORD),
    "queue": Filter(_text, "The caller was in this queue, or a leg came from it.", _WORD),
    "outcome": choice("What became of the caller.", OUTCOMES),
    "direction": choice("Of the root call.", DIRECTIONS),
    "state": choice("Whether it is over.", STATES),
    "min_wait_ms": msgspec.structs.replace(_MS, says="The longest queue visit lasted at least this many milliseconds."),
    "min_duration_ms": msgspec.structs.replace(_MS, says="The whole lasted at least this many milliseconds."),
    "anomaly": choice("Something of this kind is odd about it.", ANOMALIES),
    "account": Filter(_text, "Of this account.", _WORD),
    "limit": Filter(_whole(1, MOST), "Rows a page.", {"type": "integer", "minimum": 1, "maximum": MOST, "default": USUAL}),
}
CURSOR = Filter(lambda text, _: text, "next_cursor of the page before.", {"type": "string", "minLength": 1})


def openapi_parameters() -> list[dict[str, object]]:
    """The parameters of the list as OpenAPI 3.1 has them; `attr.NAME` is in the description, for OpenAPI cannot say it."""
    return described({**FILTERS, "cursor": CURSOR})


def described(known: Mapping[str, Filter], *, required: bool = False) -> list[dict[str, object]]:
    """Query parameters as OpenAPI 3.1 has them."""
    return [
        {"name": name, "in": "query", "required": required, "description": one.says, "schema": one.schema} for name, one in known.items()
    ]


def page_of(items: Iterable[tuple[str, str]]) -> tuple[int | None, str | None]:
    """`limit` (1…10,000) and `cursor` of a list without filters. Raises Refused 422 as `parse` does."""
    given = dict(_only(items, ("limit", "cursor")))
    if "limit" not in given:
        return None, given.get("cursor")
    try:
        return _whole(1, MOST_EVENTS)(given["limit"], ""), given.get("cursor")
    except ValueError as error:
        raise invalid("limit", str(error)) from None


def period_of(items: Iterable[tuple[str, str]]) -> tuple[Micros | None, Micros | None]:
    """`from` and `to` of what takes nothing else, None where not given. Raises Refused 422 as `parse` does."""
    filters = parse(_only(items, ("from", "to")), tenant="", country="").filters
    begin, end = filters.get("from"), filters.get("to")
    return (None if begin is None else int(begin), None if end is None else int(end))


def refuse_all(items: Iterable[tuple[str, str]]) -> None:
    """For addresses that take no parameters: Refused 422 where one is given."""
    _only(items, ())


def _only(items: Iterable[tuple[str, str]], names: tuple[str, ...]) -> list[tuple[str, str]]:
    found = list(items)
    for at, (name, _) in enumerate(found):
        if name not in names:
            raise invalid(name or "(no name)", f"unknown parameter; known are {', '.join(names) or 'none'}")
        if name in (earlier for earlier, _ in found[:at]):
            raise invalid(name, "given twice: give it once")
    return found
