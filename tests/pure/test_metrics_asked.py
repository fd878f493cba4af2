"""Questions about numbers are read strictly: every fault is named, with what may stand there."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.clock import parse_time
from calls.faults import Faults
from calls.metrics.asked import Explanation, Scope, bridge, explain, query
from calls.metrics.catalogue import METRICS, PRESETS, attribution_of
from calls.metrics.parameters import EXPLAIN
from calls.metrics.question import Parameters, Question

SCOPE = Scope("default", "Africa/Nairobi", {"sales": (10_000, None), "support": (None, None), "vip": (5_000, 2_000)})
DAY = "from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z"
ONE = f"{DAY}&metrics=queue.offered"
BRIDGED = f"{DAY}&metric=sl&from_preset=genesys&to_preset=wazo"
NEW_YEAR = parse_time("2026-01-01T00:00:00Z")


def items(text: str) -> list[tuple[str, str]]:
    return parse_qsl(text, keep_blank_values=True)


def ask(text: str, scope: Scope = SCOPE) -> Question:
    return query(items(text), scope)


def cell(text: str) -> Explanation:
    return explain(items(text), SCOPE)


def faults(text: str, read=query) -> dict[str, str]:
    with pytest.raises(Faults) as refused:
        read(items(text), SCOPE)
    assert all(detail for _, detail in refused.value.faults)
    return dict(refused.value.faults)


# ---------------------------------------------------------------- what is understood


def test_a_plain_question_is_of_the_whole_range_in_the_tenants_zone() -> None:
    asked = ask(ONE)
    assert (asked.tenant, asked.zone, asked.interval, asked.metrics) == ("default", "Africa/Nairobi", "all", ("queue.offered",))
    assert (asked.since, asked.until - asked.since) == (NEW_YEAR, 86_400_000_000)
    assert (asked.group_by, asked.filters, asked.attribution, asked.hours, asked.fill, asked.compare) == ((), (), None, None, False, False)


def test_everything_can_be_said_at_once() -> None:
    asked = ask(
        f"{DAY}&metrics=queue.offered,queue.asa&interval=15m&group_by=queue,hour,attr.a,%20weekday&tz=Asia/Kathmandu&attribution=emit&fill=zero"
        "&compare=previous&queue=PS&attr.priority=2&weekday=3&hour=08&direction=inbound&outcome=answered&hours=mon-fri%2008:00-17:00&hours=sat%2009:00-12:30"
    )
    assert asked.group_by == ("queue", "hour", "attr.a", "weekday") and asked.groups == ("queue", "attr.a")
    assert dict(asked.filters) == {
        "queue": "PS",
        "attr.priority": "2",
        "weekday": "3",
        "hour": "8",
        "direction": "inbound",
        "outcome": "answered",
    }
    assert "hour" not in dict(asked.facts_filters) and dict(asked.facts_filters)["queue"] == "PS"
    assert asked.hours is not None and asked.hours.week[0] == ((480, 1020),) and asked.hours.week[5] == ((540, 750),)
    assert (asked.interval, asked.zone, asked.attribution, asked.fill, asked.compare) == ("15m", "Asia/Kathmandu", "emit", True, True)


@pytest.mark.parametrize(("text", "want"), [
    ("", Parameters(by_queue={"sales": (10_000, 5_000), "vip": (5_000, 2_000)})),
    ("&threshold_s=17", Parameters(17_000, 5_000, 7, {"vip": (17_000, 2_000)})),
    ("&threshold_s=17.5&short_abandon_s=0", Parameters(17_500, 0)),
    ("&threshold_s=0.001&short_abandon_s=86400&window_days=30", Parameters(1, 86_400_000, 30)),
    ("&preset=twilio-flex&short_abandon_s=5", Parameters(60_000, 5_000, 7, {"sales": (10_000, 5_000), "vip": (5_000, 5_000)})),
    ("&preset=cisco-ignore&threshold_s=20", Parameters(20_000, 10_000, 7, {"vip": (20_000, 2_000)})),
])  # fmt: skip
def test_a_threshold_is_the_querys_else_the_queues_else_the_presets(text: str, want: Parameters) -> None:
    assert ask(ONE + text).parameters == want


def test_a_preset_brings_its_metrics_and_leaves_the_rule() -> None:
    asked = ask(f"{DAY}&preset=aws")
    assert asked.metrics == PRESETS["aws"].metrics and asked.preset == "aws"
    assert attribution_of("sl.positive", asked) == "start"
    assert attribution_of("agent.busy", asked) == "split"  # a state allows no other
    assert attribution_of("sl.positive", ask(f"{DAY}&preset=aws&attribution=end")) == "end"
    assert ask(f"{DAY}&preset=aws&metrics=agent.busy").metrics == ("agent.busy",)


def test_a_plus_that_came_as_a_space_is_a_plus() -> None:
    assert ask("from=2026-01-01T03:00:00+03:00&to=2026-01-02T00:00:00Z&metrics=queue.offered").since == NEW_YEAR


# ---------------------------------------------------------------- what is not


@pytest.mark.parametrize(("text", "field"), [
    ("&metrics=", "metrics"), ("&metrics=queue.nonsense", "metrics"), ("&metrics=queue.offered,' OR 1=1", "metrics"),
    ("&metrics=queue.offered,queue.offered", "metrics"), ("&metrics=queue.offered,", "metrics"), ("", "metrics"),
    ("&metrics=queue.offered&group_by=nonsense", "group_by"), ("&metrics=queue.offered&group_by=queue,queue", "group_by"),
    ("&metrics=queue.offered&group_by=attr.", "group_by"), ("&metrics=queue.offered&group_by=attr.%00", "group_by"),
    ("&metrics=agent.busy&group_by=queue", "group_by"), ("&metrics=agent.busy&group_by=attr.x", "group_by"),
    ("&metrics=agent.busy&queue=PS", "queue"), ("&metrics=occupancy.aws&attr.x=1", "attr.x"), ("&metrics=utilisation.shift&account=a", "account"),
    ("&metrics=agent.paused&attribution=threshold", "attribution"), ("&metrics=agent.busy&attribution=start", "attribution"),
    ("&metrics=calls.started&attribution=split", "attribution"), ("&metrics=queue.offered&attribution=split", "attribution"),
    ("&metrics=handle.aht&attribution=threshold", "attribution"),
    *((f"&metrics=queue.offered&{name}={value}", name) for name, value in [
        ("nonsense", "1"), ("interval", "7m"), ("tz", "Mars/Olympus"), ("tz", "../etc/passwd"), ("tz", "Africa"), ("attribution", "nonsense"),
        ("threshold_s", "-1"), ("threshold_s", "x"), ("threshold_s", "1e3"), ("threshold_s", "86400.001"), ("threshold_s", "0.0001"),
        ("threshold_s", "NaN"), ("threshold_s", "%D9%A1"), ("short_abandon_s", "-0.5"), ("short_abandon_s", "9999999"), ("window_days", "0"),
        ("window_days", "367"), ("preset", "nonsense"), ("fill", "nonsense"), ("compare", "next"), ("direction", "sideways"),
        ("outcome", "splendid"), ("hour", "24"), ("hour", "-1"), ("weekday", "0"), ("weekday", "8"), ("weekday", "mon"), ("queue", ""),
        ("queue", "%00"), ("agent", "x" * 2000), ("attr.", "x"), ("hours", ""), ("hours", "mon-fri"),
        ("hours", "mon-fri 8-17"), ("hours", "noday 08:00-17:00"), ("hours", "mon 08:00-08:00"), ("hours", "mon 08:00-25:00"),
        ("queue", "\ud800"), ("limit", "5"), ("cursor", "x"), ("group.queue", "PS"), ("QUEUE", "PS"),
    ]),
])  # fmt: skip
def test_what_is_wrong_is_named(text: str, field: str) -> None:
    assert list(faults(DAY + text)) == [field]


@pytest.mark.parametrize(("text", "fields"), [
    ("", ["from", "to"]), ("from=2026-01-01T00:00:00Z", ["to"]), ("from=yesterday&to=2026-01-01T00:00:00Z", ["from"]),
    ("from=2026-01-01&to=2026-01-02T00:00:00Z", ["from"]), ("from=2026-01-01T00:00:00&to=2026-01-02T00:00:00Z", ["from"]),
    ("from=1767225600&to=2026-01-02T00:00:00Z", ["from"]), ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", ["from"]),
    ("from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", ["to"]), ("from=0001-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", ["from"]),
    ("from=2026-01-01T00:00:00Z&to=9999-12-31T00:00:00Z", ["to"]), (f"{DAY}&from=2026-01-01T00:00:00Z", ["from"]),
    ("from=2011-03-01T00:00:00Z&to=2012-03-01T00:00:00Z&interval=15m", ["interval"]),
    ("from=1950-01-01T00:00:00Z&to=2020-03-01T00:00:00Z&group_by=hour", ["to"]),
])  # fmt: skip
def test_a_range_must_be_one(text: str, fields: list[str]) -> None:
    assert list(faults(text + "&metrics=queue.offered")) == fields


def test_a_comma_too_many_is_told_as_such() -> None:
    for text in (",", "queue.offered,", ",,queue"):
        assert faults(f"{DAY}&metrics={text}")["metrics"].startswith("a comma too many")
        assert faults(f"{ONE}&group_by={text}")["group_by"].startswith("a comma too many")


def test_all_faults_are_told_at_once_with_what_may_stand_there() -> None:
    found = faults("from=x&metrics=a,b&group_by=c&interval=2h&preset=d&hours=never&colour=red&threshold_s=-3")
    assert list(found) == ["from", "metrics", "group_by", "interval", "preset", "colour", "threshold_s", "to", "hours"]
    for field, allowed in [
        ("metrics", "queue.offered"),
        ("group_by", "weekday"),
        ("interval", "15m"),
        ("preset", "wazo"),
        ("colour", "threshold_s"),
    ]:
        assert allowed in found[field]
    assert faults(f"{ONE}&attribution=sideways")["attribution"] == "not one of start, end, emit, split, threshold"
    assert faults(f"{DAY}&metrics=agent.busy&attribution=end")["attribution"].endswith("by end: split")


@given(
    st.lists(st.tuples(st.sampled_from([*EXPLAIN, "attr.x", "group.queue", "?"]) | st.text(max_size=5), st.text(max_size=12)), max_size=8)
)
def test_no_text_is_too_odd_to_be_answered(found: list[tuple[str, str]]) -> None:
    for read in (query, explain, bridge):
        with pytest.raises(Faults) as refused:
            read(found, SCOPE)
        assert all(field and detail for field, detail in refused.value.faults)


def test_every_metric_can_be_asked_for_at_once() -> None:
    assert ask(f"{DAY}&metrics={','.join(METRICS)}&group_by=agent").metrics == tuple(METRICS)


# ---------------------------------------------------------------- explanations and bridges


def test_a_cell_is_named_by_its_interval_and_group() -> None:
    found = cell(
        f"{ONE}&interval=1h&tz=UTC&interval_start=2026-01-01T10:00:00Z&group_by=queue,agent,hour&group.queue=PS&group.hour=10&side=denominator&limit=7"
    )
    assert found.metric == "queue.offered" and found.interval_start == parse_time("2026-01-01T10:00:00Z")
    assert found.group == (("queue", "PS"), ("agent", None), ("hour", "10"))  # an absent group.agent: the group without an agent
    assert (found.side, found.limit, found.cursor, found.journey_id) == ("denominator", 7, None, None)


def test_a_name_may_be_empty_or_anything_else() -> None:
    assert cell(f"{ONE}&group_by=queue&group.queue=").group == (("queue", ""),)
    assert cell(f"{ONE}&group_by=queue&group.queue=%20").group == (("queue", " "),)
    assert cell(f"{ONE}&group_by=queue&group.queue=%3Dcmd%7C%27%22").group == (("queue", "=cmd|'\""),)


@pytest.mark.parametrize(("text", "fields"), [
    (f"{DAY}&metrics=queue.offered,queue.asa", ["metrics"]), (f"{DAY}&preset=wazo", ["metrics"]), (DAY, ["metrics"]),
    (f"{ONE}&side=left", ["side"]), (f"{ONE}&limit=0", ["limit"]), (f"{ONE}&limit=1001", ["limit"]), (f"{ONE}&known_since=now", ["known_since"]),
    (f"{ONE}&group.queue=PS", ["group.queue"]), (f"{ONE}&group_by=queue&group.nonsense=PS", ["group.nonsense"]),
    (f"{ONE}&group_by=hour", ["group.hour"]), (f"{ONE}&group_by=hour&group.hour=08", ["group.hour"]), (f"{ONE}&cursor=", ["cursor"]),
    (f"{ONE}&interval=1h&interval_start=2026-01-01T10:01:00Z", ["interval_start"]), (f"{ONE}&interval_start=2026-01-01T00:00:01Z", ["interval_start"]),
    (f"{ONE}&group_by=queue&group.queue=%00", ["group.queue"]), (f"{ONE}&journey_id=", ["journey_id"]),
])  # fmt: skip
def test_what_is_wrong_with_an_explanation_is_named(text: str, fields: list[str]) -> None:
    assert list(faults(text, explain)) == fields


def test_a_bridge_is_two_questions_of_one_range() -> None:
    crossing = bridge(items(f"{BRIDGED}&queue=PS"), SCOPE)
    assert (crossing.start.preset, crossing.start.metrics) == ("genesys", ("sl.negative",))
    assert (crossing.end.preset, crossing.end.metrics) == ("wazo", ("sl.answered_only",))
    assert crossing.start.filters == crossing.end.filters == (("queue", "PS"),) and crossing.start.since == crossing.end.since == NEW_YEAR


@pytest.mark.parametrize(("text", "fields"), [
    (f"{DAY}&metric=sl&from_preset=genesys", ["to_preset"]), (f"{DAY}&from_preset=x&to_preset=wazo", ["from_preset"]),
    (f"{BRIDGED}&interval=1h", ["interval"]), (BRIDGED.replace("=sl", "=asa"), ["metric"]), ("from_preset=aws&to_preset=wazo", ["from", "to"]),
])  # fmt: skip
def test_what_is_wrong_with_a_bridge_is_named(text: str, fields: list[str]) -> None:
    assert list(faults(text, bridge)) == fields
