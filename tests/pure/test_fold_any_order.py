"""Random sets of deliveries, mostly nonsense: the fold never raises, and order, copies and lateness change nothing.

Times, ids and names come from small pools, so that instants, event ids and names of legs collide all the time.
"""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given as drawing
from hypothesis import settings
from hypothesis import strategies as st

from calls.clock import rfc3339
from calls.envelope import digest
from calls.events import TYPES
from calls.fold import fold
from calls.history import Delivery
from calls.journey import document, journey_id
from calls.providers import Delivered, neutral
from tests.given import CONFIGURATION, NOON, PLANS, SECOND, TENANT, hold, told

SIDS = ["a", "b", "HD_c", "queue-0123456789ab", "call_d"]
NAMES = ["a", "a#2", "caller", "bot", "x", "\ufffd", "é", "'; DROP TABLE journeys; --"]
POOLS: dict[str, list[Any]] = {
    "call_sid": SIDS, "to_call_sid": SIDS, "alias": SIDS, "parent_call_sid": SIDS, "leg": NAMES, "agent": NAMES[:3], "queue": NAMES[:3],
    "menu": NAMES[:3], "room": ["queue-call_d", "queue-HD_c", "sales", "queue-"], "from": ["+254712345678", "0711000100", "sip:x@y", ""],
    "to": ["+254720000001", "+254711000100", "sip:baraka@pbx.example.com", "anonymous"], "digits": ["1", "2", None], "text": ["x" * 5000, None],
    "attributes": [{"line": "1"}, {"line": "2", "vip": True, "n": -(2**63)}, {}], "client_request_id": ["order-7", "order-8"],
}  # fmt: skip


def _field(field: msgspec.inspect.Field) -> st.SearchStrategy[Any]:
    if field.encode_name in POOLS:
        return st.sampled_from(POOLS[field.encode_name])
    options = field.type.types if isinstance(field.type, msgspec.inspect.UnionType) else (field.type,)
    words = [word for one in options if isinstance(one, msgspec.inspect.LiteralType) for word in one.values]
    if words:
        return st.sampled_from(words)
    if any(isinstance(one, msgspec.inspect.IntType) for one in options):
        return st.sampled_from([0, 1, 2**63 - 1])
    if any(isinstance(one, msgspec.inspect.BoolType) for one in options):
        return st.booleans()
    return st.sampled_from(["x", "y"])


def _event(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    about = msgspec.inspect.type_info(TYPES[kind])
    assert isinstance(about, msgspec.inspect.StructType)
    fields = {one.encode_name: one for one in about.fields if one.encode_name not in ("at", "call_sid")}
    needed = {name: _field(one) for name, one in fields.items() if one.required}
    others = {name: _field(one) for name, one in fields.items() if not one.required}
    return st.fixed_dictionaries({"type": st.just(kind), "call_sid": st.sampled_from(SIDS), **needed}, optional=others)


OF_CALLS = sorted(kind for kind in TYPES if not kind.startswith(("agent.", "wallet.", "number.", "storage.")) and kind != "unrecognised")
EVENTS = st.sampled_from([*OF_CALLS, *["call.linked", "call.unlinked", "conference.joined", "queue.entered", "queue.left"] * 2]).flatmap(
    _event
)


@st.composite
def _delivery(draw: st.DrawFn) -> Delivery:
    fields = draw(EVENTS) | {"occurred_at": rfc3339(NOON + draw(st.integers(0, 6)) * SECOND)}
    raw = json.dumps(fields).encode()
    account = draw(st.sampled_from(["acme", "other"]))
    received = NOON + draw(st.sampled_from([-10_000, 0, 1, 2])) * SECOND
    facts = neutral.parse(Delivered(raw, "application/json", {}, received, account))
    return Delivery(fields["call_sid"], account, "neutral", f"e{draw(st.integers(0, 12))}", bytes.fromhex(digest(raw)), received, facts)


SETS = st.lists(_delivery(), min_size=1, max_size=14)


@drawing(came=SETS)
@settings(max_examples=120)
def test_any_order_and_any_copies_are_one_story(came: list[Delivery]) -> None:
    told(came)


@drawing(came=SETS, seed=st.integers(0, 2**32))
@settings(max_examples=60)
def test_what_came_of_a_story_so_far_is_forgotten_when_more_comes(came: list[Delivery], seed: int) -> None:
    """A fold keeps nothing: the same deliveries again, after others, are the same journeys."""
    before = [msgspec.msgpack.encode(one) for one in fold(TENANT, came, [CONFIGURATION], PLANS)]
    rng = random.Random(seed)
    fold(TENANT, rng.sample(came, rng.randint(1, len(came))), [CONFIGURATION], PLANS)
    assert [msgspec.msgpack.encode(one) for one in fold(TENANT, came, [CONFIGURATION], PLANS)] == before


@drawing(came=SETS)
@settings(max_examples=60)
def test_an_address_is_the_roots_and_the_page_is_json(came: list[Delivery]) -> None:
    found = fold(TENANT, came, [CONFIGURATION], PLANS)
    hold(found, came)
    for journey in found:
        assert journey.journey_id == journey_id(TENANT, journey.calls[0].call_sid)
        assert json.loads(msgspec.json.encode(document(journey)))["journey_id"] == journey.journey_id


@drawing(came=SETS, other=SETS)
@settings(max_examples=60)
def test_calls_that_nothing_ties_do_not_touch_each_other(came: list[Delivery], other: list[Delivery]) -> None:
    """Folded together or apart, calls without a link between them come to the same."""
    free = [one for one in came if not any(type(fact).__name__ in ("CallLinked", "CallUnlinked", "ConferenceJoined") for fact in one.facts)]
    free = [one for one in free if not any(getattr(fact, "parent_call_sid", None) for fact in one.facts)]
    if free:
        together = sorted(msgspec.msgpack.encode(one) for one in fold(TENANT, free, [CONFIGURATION], PLANS))
        streams = {one.stream for one in free}
        apart = [fold(TENANT, [one for one in free if one.stream == stream], [CONFIGURATION], PLANS)[0] for stream in streams]
        assert sorted(map(msgspec.msgpack.encode, apart)) == together


@pytest.mark.parametrize("at", ["1970-01-01T00:00:00Z", "2199-12-31T23:59:59.999999Z"])
def test_the_first_and_the_last_instant_that_is_a_time(at: str) -> None:
    raw = [
        json.dumps({"type": kind, "call_sid": "a", "occurred_at": at, "leg": "x"}).encode()
        for kind in ("call.started", "leg.answered", "call.ended")
    ]
    facts = [neutral.parse(Delivered(one, "application/json", {}, NOON, "acme")) for one in raw]
    came = [Delivery("a", "acme", "neutral", f"e{n}", bytes(16), NOON, one) for n, one in enumerate(facts)]
    found = told([msgspec.structs.replace(one, digest=bytes([n]) * 16) for n, one in enumerate(came)])
    assert (found[0].state, found[0].durations.total_ms) == ("ended", 0)
