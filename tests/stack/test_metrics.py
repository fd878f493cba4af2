"""Numbers from real tables: what belongs to which interval, thresholds at the boundary, sums that add up, and whose rows they are."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from numbers_asked import HOUR, Numbers, clock, visit
from projecting import Bench, traffic

from calls.clock import rfc3339
from calls.faults import Faults
from calls.metrics.catalogue import METRICS
from runtime.problems import Refused
from tests.given import NOON

PUBLISHED = """
    # two talks of the Genesys forum, 12:35 to 13:05 and 12:16 to 12:32
    +35:00 call.started @forum-1 direction=inbound
    +35:00 leg.answered @forum-1 leg=a kind=agent agent=forum
    +65:00 leg.ended @forum-1 leg=a
    +65:00 call.ended @forum-1
    +16:00 call.started @forum-2 direction=inbound
    +16:00 leg.answered @forum-2 leg=a kind=agent agent=forum
    +32:00 leg.ended @forum-2 leg=a
    +32:00 call.ended @forum-2
    # one of Amazon Connect's documentation, 12:23 to 13:15
    +23:00 call.started @connect direction=inbound
    +23:00 leg.answered @connect leg=a kind=agent agent=connect
    +75:00 leg.ended @connect leg=a
    +75:00 call.ended @connect
    """
STATES = """
    +00:00 agent.state agent=amina state=available
    +30:00 agent.state agent=amina state=paused reason=lunch
    +47:30 agent.state agent=amina state=available
    +58:20 agent.state agent=amina state=wrap_up
    +61:00 agent.state agent=amina state=talking
    +75:00 agent.state agent=amina state=offline
    +05:00 agent.state agent=mixed state=available
    +42:00 agent.state agent=mixed state=wrap_up
    +44:00 agent.state agent=mixed state=available
    +170:00 agent.state agent=mixed state=offline
    +20:00 agent.state agent=forum state=available
    """
ODD = """
    # five hours in a queue, and a talk of sixty hours
    -18000 call.started @slow direction=inbound
    -18000 queue.entered @slow queue=odd
    +10:00 queue.left @slow queue=odd reason=answered
    +10:00 leg.answered @slow leg=a kind=agent agent=odd queue=odd
    +15:00 leg.ended @slow leg=a
    +15:00 call.ended @slow
    -214800 call.started @endless direction=inbound
    -214800 leg.answered @endless leg=a kind=agent agent=endless
    +20:00 leg.ended @endless leg=a
    +20:00 call.ended @endless
    """
MINUTE = 60_000


@pytest.fixture(scope="module")
def numbers(database_url: str) -> Iterator[Numbers]:
    made = Numbers(Bench(database_url))
    made.told(PUBLISHED + STATES)
    made.told(ODD)
    made.told(visit("mixed", "+28:00", 240, queue="mixed", agent="mixed", talk=600))
    made.told(visit("edge-1", "+90:00", 20, queue="edge") + visit("edge-2", "+90:00", 20.001, queue="edge"))
    made.told(visit("edge-3", "+90:00", 20, queue="edge", reason="abandoned"))
    made.bench.project(traffic(7, 60))
    yield made
    made.close()


@pytest.mark.parametrize(("agent", "rule", "want"), [
    ("forum", "emit", {30: 16, 60: 30}), ("forum", "split", {0: 14, 30: 27, 60: 5}), ("forum", "start", {0: 16, 30: 30}),
    ("connect", "end", {60: 52}), ("connect", "split", {0: 7, 30: 30, 60: 15}), ("connect", "start", {0: 52}),
    ("connect", None, {0: 7, 30: 30, 60: 15}),
])  # fmt: skip
def test_published_examples_of_talk_are_booked_by_each_rule(numbers: Numbers, agent: str, rule: str | None, want: dict[int, int]) -> None:
    found: dict[int, int] = {}
    for (minute,), amount in numbers.by("agent.talk", agent=agent, interval="15m", attribution=rule).items():
        found[minute // 30 * 30] = found.get(minute // 30 * 30, 0) + amount // MINUTE
    assert found == want


def test_emit_posts_an_offer_at_the_entry_and_an_answer_at_the_answer(numbers: Numbers) -> None:
    mixed = {"queue": "mixed", "interval": "15m"}
    assert numbers.by("queue.offered", attribution="emit", **mixed) == {(15,): 1}
    assert numbers.by("queue.answered", attribution="emit", **mixed) == {(30,): 1}
    assert numbers.by("handle.count", attribution="emit", **mixed) == {(30,): 1}
    assert numbers.by("queue.answered", **mixed) == {(15,): 1}
    assert numbers.by("queue.wait_answered", attribution="split", **mixed) == {(15,): 2 * MINUTE, (30,): 2 * MINUTE}


def test_what_is_very_long_is_found_by_every_rule(numbers: Numbers) -> None:
    for raw in (False, True):
        assert numbers.by("queue.answered", queue="odd", attribution="end", raw=raw) == {(0,): 1}
        assert numbers.by("queue.wait_answered", queue="odd", attribution="split", raw=raw) == {(0,): 10 * MINUTE}
        assert numbers.by("handle.talk", agent="odd", attribution="emit", raw=raw) == {(0,): 5 * MINUTE}
        assert numbers.by("handle.talk", agent="odd", raw=raw) == {}  # it belongs to the entry
        assert numbers.by("agent.talk", agent="endless", interval="15m", raw=raw) == {(0,): 15 * MINUTE, (15,): 5 * MINUTE}
        assert numbers.by("agent.busy", agent="endless", interval="15m", raw=raw) == {(0,): 15 * MINUTE, (15,): 5 * MINUTE}
        assert numbers.by("handle.count", agent="endless", attribution="end", raw=raw) == {(0,): 1}


def test_threshold_posts_when_the_visit_ends_or_the_threshold_is_reached(numbers: Numbers) -> None:
    for threshold, minute in ((100, 15), (120, 30), (239, 30), (240, 30), (500, 30)):
        assert numbers.by("queue.answered", queue="mixed", interval="15m", attribution="threshold", threshold_s=threshold) == {(minute,): 1}


def test_a_wait_of_exactly_the_threshold_is_within(numbers: Numbers) -> None:
    for threshold, answered, abandoned in ((19, 0, 0), (19.999, 0, 0), (20, 1, 1), ("20.001", 2, 1), (21, 2, 1)):
        assert numbers.total("queue.answered_within", queue="edge", threshold_s=threshold)[0] == answered
        assert numbers.total("queue.abandoned_within", queue="edge", threshold_s=threshold)[0] == abandoned
        assert numbers.total("queue.short_abandoned", queue="edge", short_abandon_s=threshold)[0] == abandoned


def test_a_queue_has_its_own_thresholds_unless_the_question_gives_one(numbers: Numbers) -> None:
    scope, numbers.scope = numbers.scope, msgspec.structs.replace(numbers.scope, queues={"mixed": (240_000, None), "edge": (None, 30_000)})
    try:
        told = numbers.ask("queue.answered_within,queue.short_abandoned", group_by="queue")
        rows = {row["group"]["queue"]: [one["value"] for one in row["values"].values()] for row in told["rows"]}
        assert (rows["mixed"], rows["edge"]) == ([1, 0], [1, 1])
        definition = told["definitions"]["queue.answered_within"]
        assert (definition["threshold_s"], definition["threshold_s_by_queue"]) == (20, {"mixed": 240})
        assert numbers.total("queue.answered_within", queue="mixed", threshold_s=239)[0] == 0
    finally:
        numbers.scope = scope


# ---------------------------------------------------------------- sums

ADDITIVE = [one.id for one in METRICS.values() if one.kind in ("sum", "ratio") and one.terms]
RULES = [None, "start", "end", "emit", "split", "threshold"]


def allowed(rule: str | None) -> str:
    return ",".join(name for name in ADDITIVE if rule is None or rule in METRICS[name].attributions)


def sums(told: Any) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for row in told["rows"]:
        for name, value in row["values"].items():
            before = found.get(name, (0, 0))
            found[name] = before[0] + value["numerator"], before[1] + (value["denominator"] or 0)
    return found


@pytest.mark.parametrize("rule", RULES)
def test_intervals_groups_and_both_ways_of_counting_give_one_total(numbers: Numbers, rule: str | None) -> None:
    metrics = allowed(rule)
    total = sums(numbers.ask(metrics, attribution=rule))
    assert sum(1 for top, _ in total.values() if top) > len(total) // 3
    assert sums(numbers.ask(metrics, attribution=rule, raw=True)) == total
    for question in ({"interval": "15m"}, {"interval": "1h", "tz": "Asia/Kathmandu"}, {"interval": "1d", "tz": "America/New_York"},
                     {"group_by": "hour"}, {"group_by": "hour,weekday", "interval": "1d"}, {"group_by": "agent"}):  # fmt: skip
        told = numbers.ask(metrics, attribution=rule, **question)
        assert sums(told) == total, question
        assert numbers.ask(metrics, attribution=rule, raw=True, **question) == told, question


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("group", ["queue", "queue,agent", "menu,attr.note", "direction,account,outcome", "flow,queue,hour"])
def test_groups_of_calls_add_up(numbers: Numbers, group: str, rule: str | None) -> None:
    metrics = ",".join(name for name in allowed(rule).split(",") if METRICS[name].dimensions is None)
    total = sums(numbers.ask(metrics, attribution=rule))
    told = numbers.ask(metrics, attribution=rule, group_by=group, interval="1h")
    assert sums(told) == total
    assert numbers.ask(metrics, attribution=rule, group_by=group, interval="1h", raw=True) == told
    assert len(told["rows"]) > 1


def test_a_filter_gives_what_its_group_gives(numbers: Numbers) -> None:
    for name in ("queue", "agent", "direction", "account", "outcome", "menu", "hour"):
        for (_, value), amount in numbers.by("queue.offered", group_by=name).items():
            if value is not None:
                assert numbers.total("queue.offered", **{name: value}) == (amount, None)


def test_opening_hours_keep_what_is_attributed_to_them(numbers: Numbers) -> None:
    whole = numbers.by("queue.offered", interval="15m")
    within = {place: amount for place, amount in whole.items() if 30 <= place[0] < 90}
    assert numbers.by("queue.offered", interval="15m", hours="tue 12:30-13:30") == within  # 1 September 2026 is a Tuesday
    assert numbers.by("queue.offered", interval="15m", hours="tue 15:30-16:30", tz="Africa/Nairobi") == within
    assert numbers.by("queue.offered", hours="mon 12:30-13:30") == {}


def test_empty_intervals_come_with_fill_and_the_period_before_with_compare(numbers: Numbers) -> None:
    plain, filled = (numbers.ask("queue.offered", queue="mixed", interval="1h", fill=fill)["rows"] for fill in (None, "zero"))
    assert [row["interval_start"][11:16] for row in plain] == ["12:00"]
    assert [row["values"]["queue.offered"]["value"] for row in filled] == [1, 0, 0, 0]
    told = numbers.ask("queue.offered", from_=clock("14"), to=clock("16"), queue="mixed", compare="previous")
    assert (told["rows"], told["previous"]["from"], told["previous"]["to"]) == ([], rfc3339(NOON), rfc3339(NOON + 2 * HOUR))
    assert [row["values"]["queue.offered"]["value"] for row in told["previous"]["rows"]] == [1]


def test_an_answer_has_an_end(numbers: Numbers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.analytics.tally.MOST_ROWS", 3)
    assert numbers.ask("queue.offered", interval="1h", queue="mixed")["rows"]
    for question, field in (({"interval": "15m"}, "interval"), ({"group_by": "agent,queue"}, "group_by")):
        with pytest.raises(Refused) as refused:
            numbers.ask("queue.offered", **question)
        assert [error["field"] for error in refused.value.errors] == [field]


# ---------------------------------------------------------------- what is open, and whose it is


def test_an_open_visit_counts_up_to_complete_through_and_the_answer_is_not_final(numbers: Numbers) -> None:
    numbers.told("""
        +150:00 call.started @open direction=inbound
        +150:00 queue.entered @open queue=open
        +150:00 call.started @talking direction=inbound
        +150:00 leg.answered @talking leg=a kind=agent agent=open queue=open""")
    known = numbers.known
    try:
        for after, wait in ((60, 60_000), (600, 600_000), (-60, 0)):
            numbers.known = msgspec.structs.replace(known, complete_through=rfc3339(NOON + (9000 + after) * 1_000_000))
            for raw in (False, True):
                told = numbers.ask(
                    "queue.offered,queue.waiting,queue.answered,queue.wait_all,handle.talk,queue.wait_max", queue="open", raw=raw
                )
                assert [one["value"] for one in told["rows"][0]["values"].values()] == [1, 1, 0, wait, wait, wait]
                assert told["final"] is False
            assert numbers.by("queue.answered", queue="open", attribution="end") == {}
            assert (numbers.by("queue.offered", queue="open", attribution="threshold") == {(0,): 1}) == (after >= 20)
    finally:
        numbers.known = known
    assert numbers.ask("queue.offered", queue="open")["final"] is False
    assert numbers.ask("queue.offered", queue="mixed")["final"] is True


HOSTILE = ["o'brien", '"; DROP TABLE x; --', "=cmd|' /C calc'!A0", "x" * 256, "🙂 naïve 名前", "%s {0} :p1 \\", "a,b", " lead"]


def test_names_of_any_letters_are_only_names(numbers: Numbers) -> None:
    for n, name in enumerate(HOSTILE):
        quoted = shlex.quote(name)
        numbers.told(visit(f"hostile-{n}", "+200:00", 5, queue=quoted, agent=quoted))
    found = {row["group"]["queue"] for row in numbers.ask("queue.offered", from_=clock("15"), group_by="queue,agent")["rows"]}
    assert set(HOSTILE) <= found
    for name in HOSTILE:
        assert numbers.total("queue.offered", queue=name, agent=name) == (1, None)
        assert numbers.total("queue.offered", **{f"attr__{name.strip()[:50]}": name}) == (0, 0)
        told = numbers.explain("queue.offered", group_by="queue,agent", group__queue=name, group__agent=name)
        assert (told["value"], [one["queue"] for one in told["contributions"]]) == (1, [name])


def test_an_empty_attribute_is_none_and_a_blank_name_is_a_name(numbers: Numbers) -> None:
    numbers.told(visit("blank", "+220:00", 5, queue="'  '") + "\n+220:00 call.answered @blank attr.tier=")
    question = {"from_": clock("15:40"), "to": clock("15:41"), "group_by": "queue,attr.tier"}
    assert numbers.by("queue.offered", **question) == {(220, "  ", None): 1}
    assert numbers.explain("queue.offered", group__queue="  ", **question)["value"] == 1
    assert numbers.total("queue.offered", queue="  ") == (1, None)


def test_rows_are_the_tenants_own(numbers: Numbers) -> None:
    numbers.told(visit("theirs", "+10:00", 5, queue="theirs"), tenant="other")
    assert numbers.total("queue.offered", queue="theirs") == (0, 0)
    scope, numbers.scope = numbers.scope, msgspec.structs.replace(numbers.scope, tenant="other")
    try:
        assert numbers.by("queue.offered", group_by="queue") == {(0, "theirs"): 1}
        assert numbers.total("calls.started") == (1, None)
    finally:
        numbers.scope = scope


@pytest.mark.parametrize(("metrics", "query", "fields"), [
    ("queue.nonsense", {}, ["metrics"]), ("agent.paused", {"attribution": "threshold"}, ["attribution"]),
    ("agent.busy", {"group_by": "queue"}, ["group_by"]), ("agent.busy", {"queue": "x"}, ["queue"]),
    ("queue.offered", {"interval": "15m", "to": "2027-09-01T00:00:00Z"}, ["interval"]),
    ("queue.offered", {"to": clock("11"), "colour": "red"}, ["colour", "from"]),
])  # fmt: skip
def test_a_question_that_means_nothing_names_its_fields(numbers: Numbers, metrics: str, query: dict[str, str], fields: list[str]) -> None:
    with pytest.raises(Faults) as wrong:
        numbers.ask(metrics, **query)
    assert sorted(field for field, _ in wrong.value.faults) == fields
