"""The neutral dialect: what is refused at the door and by which words, and that what is written is read back."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calls.events import TYPES, Event, Unrecognised
from calls.providers import PROVIDERS, Delivered, neutral


def delivery(raw: bytes) -> Delivered:
    """`raw` as it would be received."""
    return Delivered(body=raw, content_type="application/json", headers={}, received_at=1_788_251_400_000_000, account="acme")


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"type": None}, "type"),
        ({"type": 5}, "type"),
        ({"occurred_at": None}, "occurred_at"),
        ({"occurred_at": "soon"}, "occurred_at"),
        ({"call_sid": None}, "call_sid"),
        ({"call_sid": ""}, "call_sid"),
        ({"call_sid": "x" * 257}, "call_sid"),
        ({"call_sid": "a\x00"}, "call_sid"),
        ({"call_sid": ["c"]}, "call_sid"),
        ({"event_id": 7}, "event_id"),
        ({"event_id": "x" * 257}, "event_id"),
        ({"direction": "up"}, "direction"),
        ({"from": 254}, "from"),
        ({"attributes": {"a": [1]}}, "attributes"),
        ({"attributes": [1]}, "attributes"),
        ({"attributes": {"a": {}}}, "attributes"),
        ({"type": "queue.left", "queue": "q", "reason": "bored"}, "reason"),
        ({"type": "queue.left", "reason": "answered"}, "queue"),
        ({"type": "leg.started", "leg": ""}, "leg"),
        ({"type": "call.ended", "duration_ms": -1}, "duration_ms"),
        ({"from": "\x07"}, "from"),
        ({"type": "call.ended", "duration_ms": "10"}, "duration_ms"),
        ({"type": "menu.digits", "timed_out": "no"}, "timed_out"),
        ({"type": "agent.state", "agent": "amina", "state": "asleep"}, "state"),
        ({"type": "agent.state", "state": "paused"}, "agent"),
        ({"type": "call.linked"}, "to_call_sid"),
        ({"to": "9" * 10_000}, "to"),
        ({"type": "queue.entered", "queue": "q" * 501}, "queue"),
    ],
)
def test_a_wrong_event_is_refused_by_the_name_of_its_field(change: dict[str, object], names: str) -> None:
    event = {"type": "call.started", "call_sid": "c-1", "occurred_at": "2026-09-01T08:00:00Z"} | change
    body = json.dumps({name: value for name, value in event.items() if value is not None}).encode()
    with pytest.raises(ValueError, match=f"`{names}`") as refusal:
        neutral.check(body)
    assert str(refusal.value).count("\n") == 0
    facts = PROVIDERS["neutral"].parse(delivery(body))
    assert names in ("event_id", "call_sid") or isinstance(facts[0], Unrecognised)  # what is refused there is not believed here


def test_the_words_allowed_are_named() -> None:
    with pytest.raises(ValueError, match=r"one of abandoned, answered, callback, closed, full, overflow, timeout, transferred\."):
        neutral.check(b'{"type":"queue.left","call_sid":"c","occurred_at":"2026-09-01T08:00:00Z","queue":"q","reason":"bored"}')


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"7", b'{"type"', b"[" * 100_000, b"\xff", b'{"type":"call.answered","call_sid":"c","occurred_at":NaN}']
)
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="JSON|empty"):
        neutral.check(raw)


def test_what_may_be_left_out() -> None:
    for body in (
        {"type": "call.started", "call_sid": "c", "occurred_at": "2026-09-01T08:00:00Z", "from": None, "to": None},
        {"type": "agent.state", "agent": "amina", "state": "available", "occurred_at": "2026-09-01T08:00:00Z"},
        {"type": "call.levitated", "call_sid": "c", "occurred_at": "2026-09-01T08:00:00Z", "height": {"m": 3}},
        {"type": "wallet.top_up", "occurred_at": "2026-09-01T08:00:00Z", "amount_minor": 5},
    ):
        neutral.check(json.dumps(body).encode())


def plain(kind: type[Event]) -> st.SearchStrategy[Event]:
    """Any event of that type with valid fields."""
    words = st.text(alphabet="abcé+ 1", min_size=1, max_size=8)
    options: dict[str, st.SearchStrategy[object]] = {
        "attributes": st.none() | st.dictionaries(words, words | st.booleans() | st.integers(0, 9), min_size=1)
    }
    about = msgspec.inspect.type_info(kind)
    assert isinstance(about, msgspec.inspect.StructType)
    for field in about.fields:
        types = field.type.types if isinstance(field.type, msgspec.inspect.UnionType) else (field.type,)
        literal = [value for one in types if isinstance(one, msgspec.inspect.LiteralType) for value in one.values]
        if literal:
            options[field.name] = st.sampled_from(literal)
        elif any(isinstance(one, msgspec.inspect.StrType) for one in types):
            options[field.name] = words
        elif any(isinstance(one, msgspec.inspect.IntType) for one in types):
            options[field.name] = st.integers(0, 2**40)
        elif any(isinstance(one, msgspec.inspect.BoolType) for one in types):
            options[field.name] = st.booleans()
    options["at"] = st.integers(0, 4_000_000_000).map(lambda s: s * 1_000_000)
    options["call_sid"] = st.just("c-1")
    return st.builds(kind, **options)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([kind for kind in TYPES.values() if kind is not Unrecognised]).flatmap(plain))
def test_what_is_written_is_read_back(event: Event) -> None:
    body = neutral.write(event)
    neutral.check(body)
    assert PROVIDERS["neutral"].parse(delivery(body)) == [event]


def test_a_state_is_kept_under_the_agents_name_as_written() -> None:
    for name in ("amina", "  amina", "\u00a0名前 "):
        raw = json.dumps({"type": "agent.state", "agent": name, "state": "paused", "occurred_at": "2026-09-01T12:00:00Z"}).encode()
        assert neutral.identify(delivery(raw)).stream == name
        assert [fact.agent for fact in neutral.parse(delivery(raw)) if isinstance(fact, TYPES["agent.state"])] == [name]


def test_the_id_of_an_event_does_not_depend_on_how_it_is_written() -> None:
    event = {"type": "call.answered", "call_sid": "c", "occurred_at": "2026-09-01T08:00:00Z", "attributes": {"b": 1, "a": "é"}}
    turned = {**dict(reversed(event.items())), "attributes": {"a": "é", "b": 1}, "event_id": None}
    bodies = [json.dumps(event), json.dumps(turned, indent=2), json.dumps(event, ensure_ascii=False)]
    ids = {PROVIDERS["neutral"].identify(delivery(body.encode())).event_id for body in bodies}
    assert len(ids) == 1
    other = PROVIDERS["neutral"].identify(delivery(json.dumps(event | {"call_sid": "d"}).encode())).event_id
    assert other not in ids


@pytest.mark.parametrize("name", ["a" * 500, "😀" * 500, "=cmd|' /C calc'!A0", "O'Brien; DROP TABLE", "مبيعات", "100 %"])
def test_names_of_queues_and_agents_are_whatever_people_wrote(name: str) -> None:
    for event in ({"type": "queue.entered", "call_sid": "c-1", "queue": name}, {"type": "agent.state", "agent": name, "state": "paused"}):
        raw = json.dumps(event | {"occurred_at": "2026-09-01T12:00:00Z"}).encode()
        neutral.check(raw)
        (fact,) = neutral.parse(Delivered(raw, "application/json", {}, 0, "acme"))
        assert getattr(fact, "queue" if "queue" in event else "agent") == name
    assert neutral.identify(Delivered(raw, "application/json", {}, 0, "acme")).stream == name


@pytest.mark.parametrize("name", ["", "a" * 501])
def test_a_name_of_nothing_or_of_too_much_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="`queue` is"):
        neutral.check(
            json.dumps({"type": "queue.entered", "call_sid": "c-1", "queue": name, "occurred_at": "2026-09-01T12:00:00Z"}).encode()
        )
