"""`given(story)`: a call story as people would tell it, folded in every order that it could have come in.

A story has one event a line: `+00:10 queue.entered queue=support`. The time is minutes and seconds (or seconds) after NOON;
then the neutral type and its fields. Beside the type's own fields a line takes:

    @sid          the call it speaks of (else the story's first call, `call-1`)
    id=NAME       its event id (else its place in the story: two equal lines are two events)
    received=+T   when we received it (else the moment it happened)
    account=A     whose delivery it is (else `acme`)
    attr.NAME=X   an attribute

A line with bars is a row of an Asterisk queue_log, its time written the same way: `+00:10|c-1|support|NONE|ENTERQUEUE||4301|1`.
Lines that begin with `#` are remarks. `= path value` is an expectation about the journey's JSON (`expect` checks it).
"""

from __future__ import annotations

import itertools
import json
import random
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from calls.clock import Micros, parse_time, rfc3339
from calls.configuration import Configuration
from calls.envelope import digest
from calls.fold import fold
from calls.history import Delivery
from calls.journey import Journey, document
from calls.providers import PROVIDERS, Delivered, neutral
from calls.rating.plan import parse
from calls.rating.terms import Plan
from projections import PROJECTIONS

NOON: Micros = parse_time("2026-09-01T12:00:00Z") or 0
SECOND: Micros = 1_000_000
TENANT = "default"
NUMBERS = {"duration_ms", "priority", "position", "cost_minor", "size_bytes", "silence_ms"}
CONFIGURATION = Configuration(
    numbers={"acme": ["+254711000100"]},
    agents={"+254720000001": "amina", "sip:baraka@pbx.example.com": "baraka"},
    rate_plans={"acme": "acme-ke"},
)
PLANS = {
    "acme-ke": parse(
        """
        currency = "KES"
        timezone = "Africa/Nairobi"

        [[versions]]
        version = "2026-01"
        valid_from = 2026-01-01T00:00:00+03:00
        [[versions.rules]]
        applies = { direction = "inbound" }
        steps = [{ from_s = 0, rate_minor = 120, per_s = 60, increment_s = 1 }]
        [[versions.rules]]
        applies = { direction = "outbound", sip = true }
        steps = [{ from_s = 0, rate_minor = 50, per_s = 60, increment_s = 1 }]
        [[versions.rules]]
        applies = { direction = "outbound", prefix = "254", time_of_day = "22:00-06:00" }
        steps = [{ from_s = 0, rate_minor = "25/6", per_s = 1, increment_s = 6 }]
        grain = "call"
        [[versions.rules]]
        applies = { direction = "outbound", prefix = "254" }
        steps = [{ from_s = 0, rate_minor = "10/3", per_s = 1, increment_s = 1 }]
        setup_minor = 7
        unanswered = "ring_time"
        grain = "call"
        """,
        name="acme-ke",
    )
}  # what every story of acme is rated by


# ---------------------------------------------------------------- a story


def seconds(text: str) -> Micros:
    """`+01:30`, `+90`, `-2`, `+00:10.500` as microseconds after NOON."""
    sign, bare = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    minutes, _, rest = bare.rpartition(":")
    return sign * round((int(minutes or 0) * 60 + float(rest)) * SECOND)


def lines(story: str) -> tuple[list[str], list[str]]:
    """(events, expectations) of a story."""
    told = [line.strip() for line in story.splitlines() if line.strip() and not line.strip().startswith("#")]
    return [one for one in told if not one.startswith("=")], [one.removeprefix("=").strip() for one in told if one.startswith("=")]


def body(line: str, n: int = 0) -> tuple[dict[str, Any], Micros, str]:
    """(the neutral event, when it was received, its account) that a line tells."""
    when, kind, *words = shlex.split(line)
    at = NOON + seconds(when)
    event: dict[str, Any] = {"type": kind, "call_sid": "call-1", "occurred_at": rfc3339(at), "event_id": f"event-{n}"}
    received, account = at, "acme"
    if kind == "agent.state":
        del event["call_sid"]  # a state is of no call
    for word in words:
        name, _, value = word.partition("=")
        if word.startswith("@"):
            event["call_sid"] = word[1:]
        elif name == "received":
            received = NOON + seconds(value)
        elif name == "account":
            account = value
        elif name.startswith("attr."):
            event.setdefault("attributes", {})[name[5:]] = value
        else:
            event["event_id" if name == "id" else name] = _value(name, value)
    return event, received, account


def _value(name: str, text: str) -> object:
    return int(text) if name in NUMBERS else text == "true" if name == "timed_out" else text


def deliveries(story: str) -> list[Delivery]:
    """Each line as the journal would give it back."""
    return [row(line) if "|" in line.split()[0] else delivered(*body(line, n)) for n, line in enumerate(lines(story)[0])]


def row(line: str) -> Delivery:
    """A row of a queue_log, as it is imported."""
    when, _, rest = line.partition("|")
    at = NOON + seconds(when)
    return delivered(f"{at / SECOND:.6f}|{rest}".encode(), at, provider="asterisk-queue-log")


def delivered(event: dict[str, Any] | bytes, received: Micros, account: str = "acme", provider: str = "neutral") -> Delivery:
    """One delivery, through the provider's own reading of its body."""
    raw = event if isinstance(event, bytes) else json.dumps(event).encode()
    got = Delivered(raw, "application/json", {}, received, account)
    whose = PROVIDERS[provider].identify(got)
    assert whose.kind == "call", f"not an event of a call: {raw!r}"
    if provider == "neutral":
        neutral.check(raw)
    mark = digest(raw)
    facts = PROVIDERS[provider].parse(got)
    return Delivery(whose.stream, account, provider, whose.event_id or mark, bytes.fromhex(mark), received, facts)


# ---------------------------------------------------------------- folding it in every order


def given(story: str, *more: Delivery, configuration: Configuration = CONFIGURATION, plans: Mapping[str, Plan] = PLANS) -> Journey:
    """The one journey of a story."""
    told = journeys(story, *more, configuration=configuration, plans=plans)
    assert len(told) == 1, f"{len(told)} journeys: {[one.call_sids for one in told]}"
    return told[0]


def journeys(story: str, *more: Delivery, configuration: Configuration = CONFIGURATION, plans: Mapping[str, Plan] = PLANS) -> list[Journey]:
    """All journeys of a story, by their start; whatever order and however many copies, the same."""
    return told([*deliveries(story), *more], configuration, plans)


def told(came: Sequence[Delivery], configuration: Configuration = CONFIGURATION, plans: Mapping[str, Plan] = PLANS) -> list[Journey]:
    """Folds `came`; asserts that order and copies change nothing and that every invariant holds."""
    found = fold(TENANT, list(came), [configuration], plans)
    want = _same(found)
    for order in _orders(came):
        assert _same(fold(TENANT, order, [configuration], plans)) == want, "another order, another story"
    hold(found, came)
    return sorted(found, key=lambda one: (one.started_at, one.journey_id))


def _orders(came: Sequence[Delivery]) -> Iterable[list[Delivery]]:
    """All permutations of a short story, some of a long one; then with copies that were received later."""
    if len(came) <= 5:
        yield from map(list, itertools.permutations(came))
    rng = random.Random(len(came))
    later = [again(one) for one in came]
    yield from (list(reversed(came)), [*came, *came], [*later, *came])
    for _ in range(5):
        several = [*came, *rng.sample(later, rng.randint(0, len(later)))]
        rng.shuffle(several)
        yield several


def again(one: Delivery, after: Micros = 33 * 3600 * SECOND) -> Delivery:
    """A copy that came later. What a body says without a time of its own moves with its receipt, so only those with one may come so."""
    timed = one.provider in ("neutral", "asterisk-queue-log")
    return msgspec.structs.replace(one, received_at=one.received_at + after) if timed else msgspec.structs.replace(one)


def _same(found: list[Journey]) -> list[bytes]:
    return sorted(map(msgspec.msgpack.encode, found))


# ---------------------------------------------------------------- what holds of every fold


def hold(found: list[Journey], came: Sequence[Delivery]) -> None:
    """Every delivery in exactly one journey; no negative length; rows that the tables can take."""
    sids = [sid for journey in found for sid in journey.call_sids]
    assert len(sids) == len(set(sids)), "a call in two journeys"
    assert {one.stream for one in came} <= set(sids), "a call in none"
    assert sum(one.events for one in found) == len({(one.identity, one.digest) for one in came}), "events do not add up"
    assert len({one.journey_id for one in found}) == len(found)
    for journey in found:
        _sound(journey)
        _tables(journey)


def _sound(journey: Journey) -> None:
    spent = msgspec.structs.asdict(journey.durations)
    assert all(ms is None or ms >= 0 for ms in spent.values()), spent
    assert all(visit.wait_ms is None or visit.wait_ms >= 0 for visit in journey.queue_visits)
    assert all(visit.outcome != "waiting" for visit in journey.queue_visits if journey.state == "ended"), "still waiting, though over"
    assert (journey.state == "open") == any(call.ended_at is None for call in journey.calls)
    members = {sid for call in journey.calls for sid in (call.call_sid, *call.aliases)}
    assert members <= set(journey.call_sids)
    for call in journey.calls:
        assert call.legs[0].leg == "caller"
        names = [leg.leg for leg in call.legs]
        assert len(names) == len(set(names)), f"two legs of one name: {names}"
        for leg in call.legs:
            talk = sum(one.duration_ms or 0 for one in leg.segments if one.kind == "talk")
            if leg.answered_at is not None and leg.ended_at is not None:
                assert talk <= max(0, leg.ended_at - leg.answered_at) // 1000 + 1, f"talks longer than it lasts: {leg}"


def _tables(journey: Journey) -> None:
    for projection in PROJECTIONS:
        names = [column.name for column in projection.table.columns]
        keys = [names.index(column.name) for column in projection.table.primary_key.columns]
        rows = list(projection.rows(journey))
        assert all(len(row) == len(names) for row in rows), f"{projection.name}: rows of another shape"
        assert len({tuple(row[n] for n in keys) for row in rows}) == len(rows), f"{projection.name}: two rows of one key"


# ---------------------------------------------------------------- expectations


def expect(found: Sequence[Journey], wanted: Iterable[str]) -> None:
    """`path value` each: a path into the (first) journey's JSON, `*` for all of a list; `journeys N` says how many there are."""
    for line in wanted:
        path, _, value = line.partition(" ")
        got = len(found) if path == "journeys" else _at(document(found[0]), path.split("."))
        try:
            want = json.loads(value)
        except ValueError:
            want = value.strip()
        assert got == want, f"{path}: got {json.dumps(got)}, want {json.dumps(want)}"


def _at(value: Any, path: Sequence[str]) -> Any:
    for n, name in enumerate(path):
        if name == "*":
            return [_at(one, path[n + 1 :]) for one in value]
        value = value[int(name)] if isinstance(value, list) else value[name]
    return value


def codes(journey: Journey) -> list[str]:
    """Which anomalies it has."""
    return [one.code for one in journey.anomalies]


def segments(journey: Journey, leg: str = "caller", call: int = 0) -> list[tuple[str, int | None]]:
    """(kind, seconds) of a leg's segments."""
    legs = {one.leg: one for one in journey.calls[call].legs}
    return [(one.kind, None if one.duration_ms is None else one.duration_ms // 1000) for one in legs[leg].segments]
