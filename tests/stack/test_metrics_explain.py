"""Every number is explained to the call: what is listed adds up to it, what is not listed says why, and two products' levels are bridged."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from asking import Desk, opened, problem
from numbers_asked import Numbers, clock, visit
from projecting import Bench, traffic

import cli
from calls.journey import journey_id
from calls.metrics.catalogue import METRICS, PRESETS
from runtime.problems import Refused

STORY = f"""
    {visit("quick", "+00:05", 12, agent="kazav", talk=245)}
    {visit("slow", "+10:00", 50, agent="kazav", talk=60)}
    {visit("gone", "+20:00", 33, reason="abandoned")}
    {visit("brief", "+21:00", 3, reason="abandoned")}
    {visit("shut", "+22:00", 0, reason="closed")}
    {visit("sent", "+23:00", 40, reason="overflow")}
    {visit("sales", "+65:00", 5, queue="sales", agent="nimrod")}
    +30:00 call.started @menu direction=inbound
    +30:01 menu.entered @menu menu=main
    +30:09 call.ended @menu ended_by=caller
    +40:00 call.started @waiting direction=inbound
    +40:00 queue.entered @waiting queue=support
    +00:00 agent.state agent=kazav state=available
    +30:00 agent.state agent=kazav state=paused reason=lunch
    +50:00 agent.state agent=kazav state=offline
    """


@pytest.fixture(scope="module")
def numbers(database_url: str) -> Iterator[Numbers]:
    made = Numbers(Bench(database_url))
    made.told(STORY)
    made.told(visit("other", "+01:00", 5), tenant="other")
    made.bench.project(msgspec.structs.replace(one, tenant="busy") for one in traffic(11, 50))
    yield made
    made.close()


@pytest.fixture
def busy(numbers: Numbers) -> Iterator[Numbers]:
    """The same, asked by a tenant with many calls of every kind."""
    mine, numbers.scope = numbers.scope, msgspec.structs.replace(numbers.scope, tenant="busy")
    yield numbers
    numbers.scope = mine


def id_of(sid: str) -> str:
    return journey_id("default", sid)


def amounts(told: Any) -> dict[str | None, int]:
    return {one["call_sid"]: one["amount"] for one in told["contributions"]}


# ---------------------------------------------------------------- what is in a number


def test_a_contribution_says_its_call_its_figures_and_why(numbers: Numbers) -> None:
    told = numbers.explain("queue.answered", group_by="queue", group__queue="support", interval="1h", interval_start=clock("12"))
    first = told["contributions"][0]
    assert (told["value"], told["numerator"], told["final"], told["next_cursor"]) == (2, 2, False, None)  # one is still waiting
    assert first["why"] == (
        "waited 12.0 s in queue support, entered 2026-09-01 12:00:05, answered by kazav: counts 1 as answered, in the interval of its entry"
    )
    assert {name: first[name] for name in ("journey_id", "call_sid", "amount", "wait_ms", "queue", "agent", "outcome", "open")} == {
        "journey_id": id_of("quick"), "call_sid": "quick", "amount": 1, "wait_ms": 12_000, "queue": "support", "agent": "kazav",
        "outcome": "answered", "open": False,
    }  # fmt: skip
    assert first["at"] == first["entered_at"] == clock("12").replace(":00.000", ":05.000")
    assert first["known_at"] is not None


def test_both_sides_of_a_ratio_are_told_apart(numbers: Numbers) -> None:
    question = {"group_by": "queue", "group__queue": "support", "threshold_s": 20, "short_abandon_s": 5}
    assert amounts(numbers.explain("sl.exclude_short", **question)) == {"quick": 1}
    assert amounts(numbers.explain("sl.exclude_short", side="denominator", **question)) == {"quick": 1, "slow": 1, "gone": 1}
    credit = numbers.explain("sl.credit_short", **question)
    assert amounts(credit) == {"quick": 1, "brief": 1}
    assert "counts 1 as abandoned within 5.0 s" in credit["contributions"][1]["why"]
    assert amounts(numbers.explain("handle.aht", agent="kazav")) == {"quick": 245_000, "slow": 60_000}


def test_talk_is_cut_at_the_interval_and_says_so(numbers: Numbers) -> None:
    told = numbers.explain("agent.talk", interval="15m", interval_start=clock("12:00"), from_=clock("12"), to=clock("12:15"))
    assert amounts(told) == {"quick": 245_000, "slow": 60_000}
    cut = numbers.explain("agent.talk", from_=clock("12:01"), to=clock("12:02"))
    assert amounts(cut) == {"quick": 60_000}
    assert "talked for 4 min 05 s" in cut["contributions"][0]["why"]
    assert "adds 1 min 00 s as agent talk, the part of it within the interval" in cut["contributions"][0]["why"]


def test_time_of_an_agent_has_a_call_where_it_is_of_one(numbers: Numbers) -> None:
    told = numbers.explain("agent.logged_in", group_by="agent", group__agent="kazav")
    spans = [(one["state"], one["call_sid"], one["amount"] // 1000) for one in told["contributions"]]
    assert spans == [
        ("available", None, 17), ("talking", "quick", 245), ("available", None, 388), ("talking", "slow", 60), ("available", None, 1090),
        ("paused", None, 1200),
    ]  # fmt: skip
    assert told["contributions"][-1]["why"].startswith("kazav was paused (lunch) for 20 min 00 s, from 2026-09-01 12:30:00 to")
    assert all(one["known_at"] for one in told["contributions"])


def test_a_maximum_and_a_percentile_are_the_wait_that_they_are(numbers: Numbers) -> None:
    known, numbers.known = numbers.known, msgspec.structs.replace(numbers.known, complete_through=clock("12:41"))
    try:
        assert amounts(numbers.explain("queue.wait_max", outcome="answered")) == {"slow": 50_000}
        assert amounts(numbers.explain("queue.wait_p50")) == {"quick": 12_000}
        longest = numbers.explain("queue.wait_max")
        assert (amounts(longest), longest["contributions"][0]["open"]) == ({"waiting": 60_000}, True)
        assert "still waiting" in longest["contributions"][0]["why"]
    finally:
        numbers.known = known


KINDS = ("calls.started", "calls.transferred", "queue.offered", "queue.wait_all", "queue.wait_max", "queue.wait_p90", "sl.exclude_short",
         "sl.with_flowouts", "abandonment.adjusted", "average_wait.wazo", "handle.count", "handle.hold", "handle.aht", "agent.talk",
         "agent.busy", "occupancy.logged_in", "utilisation.shift")  # fmt: skip
CELLS: list[dict[str, Any]] = [
    {"interval": "15m"}, {"group_by": "agent", "interval": "1h"}, {"group_by": "hour,weekday", "hours": "tue 12:10-12:50"},
    {"interval": "1h", "attribution": "emit"}, {"interval": "15m", "attribution": "threshold"}, {"attribution": "end", "group_by": "agent"},
]  # fmt: skip


@pytest.mark.parametrize("question", CELLS, ids=str)
def test_what_is_listed_adds_up_to_every_number(busy: Numbers, question: dict[str, Any]) -> None:
    for metric in KINDS:
        if question.get("attribution", METRICS[metric].attributions[0]) in METRICS[metric].attributions:
            _adds_up(busy, metric, question)


def test_what_is_listed_adds_up_by_all_that_calls_are_grouped_by(busy: Numbers) -> None:
    for metric in ("calls.started", "queue.wait_all", "sl.exclude_short", "abandonment.adjusted", "handle.aht", "handle.count"):
        _adds_up(busy, metric, {"group_by": "queue,outcome,attr.note", "interval": "1h"})


def _adds_up(numbers: Numbers, metric: str, question: dict[str, Any]) -> None:
    rows = numbers.ask(metric, **question)["rows"]
    for row in rows[len(rows) // 3 :: max(1, len(rows) // 2)]:
        value = row["values"][metric]
        cell = question | {"interval_start": row["interval_start"], "limit": 1000}
        cell |= {f"group__{name}": text for name, text in row["group"].items()}
        told = numbers.explain(metric, **cell)
        assert {name: told[name] for name in value} == value, (metric, cell)
        assert sum(one["amount"] for one in told["contributions"]) == value["numerator"], (metric, cell)
        assert all(one["amount"] and one["why"] for one in told["contributions"] if METRICS[metric].kind in ("sum", "ratio"))
        if value["denominator"] is not None:
            below = numbers.explain(metric, side="denominator", **cell)
            assert sum(one["amount"] for one in below["contributions"]) == value["denominator"], (metric, cell)


def test_pages_list_each_fact_once(busy: Numbers) -> None:
    whole = busy.explain("handle.aht", limit=1000)["contributions"]
    found: list[Any] = []
    cursor = None
    while cursor or not found:
        page = busy.explain("handle.aht", limit=7, cursor=cursor)
        assert len(page["contributions"]) <= 7
        found, cursor = found + page["contributions"], page["next_cursor"]
    assert found == whole
    assert len(found) > 14


def test_a_cursor_belongs_to_its_question(busy: Numbers) -> None:
    cursor = busy.explain("queue.offered", limit=2)["next_cursor"]
    for question in ({"cursor": cursor, "queue": "sales"}, {"cursor": "'; DROP TABLE"}, {"cursor": cursor, "side": "denominator"}):
        with pytest.raises(Refused) as wrong:
            busy.explain("queue.offered", **question)
        assert [one["field"] for one in wrong.value.errors] == ["cursor"]


# ---------------------------------------------------------------- what is not

HERE = {"group_by": "queue", "group__queue": "support", "interval": "1h", "interval_start": clock("12")}
MISSING: list[tuple[str, str, dict[str, Any], list[str]]] = [
    ("gone", "queue.answered", HERE, ["waited 33.0 s in queue support", "its outcome is abandoned, and counted is answered"]),
    ("slow", "queue.answered_within", HERE, ["answered by kazav: it waited longer than 20.0 s"]),
    ("slow", "queue.answered_within", HERE | {"threshold_s": 49}, ["it waited longer than 49.0 s"]),
    ("sales", "queue.answered", HERE, ["its queue is sales, and asked for is support", "in the interval of 2026-09-01 13:00:00"]),
    ("menu", "queue.offered", HERE, ["the call entered no queue"]),
    ("menu", "handle.talk", {}, ["nobody talked in this call"]),
    ("menu", "handle.count", {}, ["no person answered in this call"]),
    ("quick", "queue.answered", {"hours": "tue 14:00-15:00"}, ["not in the hours and days asked for"]),
    ("quick", "queue.answered", {"from": clock("13")}, ["it belongs to 2026-09-01 12:00:05, outside 2026-09-01 13:00:00 to"]),
    ("quick", "queue.answered", {"direction": "outbound"}, ["its direction is inbound, and asked for is outbound"]),
    ("quick", "queue.answered", {"attr.vip": "1"}, ["it has no attr.vip, and asked for is 1"]),
    ("quick", "agent.talk", {"from": clock("13")}, ["no part of it lies in this interval"]),
    ("quick", "agent.paused", {}, ["it is talking, and counted is paused"]),
    ("waiting", "queue.wait_answered", {}, ["still waiting", "its outcome is waiting"]),
    ("waiting", "queue.wait_all", {"attribution": "end"}, ["it is not over yet, and is counted when it is"]),
    ("quick", "bot.contained", {}, ["no bot took part as counted here"]),
    ("quick", "calls.transferred", {}, ["fewer than two people answered"]),
    ("quick", "cost.charged", {}, ["it has no charges: its account names no rate plan"]),
    (
        "brief",
        "abandonment.adjusted",
        {"side": "denominator"},
        ["counts 1 as offered, takes away 1 as abandoned within 5.0 s, which comes to 0"],
    ),
    ("quick", "queue.wait_max", {"outcome": "answered"}, ["the value is 50.0 s and stands for visits that waited just so long"]),
    ("quick", "handle.hold", {}, ["it is talk, and counted is hold"]),
]


@pytest.mark.parametrize(("sid", "metric", "question", "want"), MISSING)
def test_a_call_that_is_not_in_it_says_why(numbers: Numbers, sid: str, metric: str, question: dict[str, Any], want: list[str]) -> None:
    told = numbers.explain(metric, journey_id=sid, **question)
    assert told["contributions"] == []
    for words in want:
        assert words in told["why"]


def test_where_it_is_counted_by_threshold_is_said_as_it_was(numbers: Numbers) -> None:
    for sid, words in (("quick", "in the interval of its end"), ("slow", "in the interval in which it had waited 20.0 s")):
        (told,) = numbers.explain("queue.answered", journey_id=sid, attribution="threshold")["contributions"]
        assert told["why"].endswith(words)


def test_a_call_that_is_in_it_is_found_by_any_of_its_ids(numbers: Numbers) -> None:
    for name in ("quick", id_of("quick")):
        told = numbers.explain("queue.answered", journey_id=name, **HERE)
        assert (amounts(told), told["value"], "why" in told) == ({"quick": 1}, 2, False)


def test_others_ids_are_unknown(numbers: Numbers) -> None:
    for name in ("other", journey_id("other", "other"), "nobody"):
        with pytest.raises(Refused) as refused:
            numbers.explain("queue.answered", journey_id=name)
        assert refused.value.status == 404


def test_late_news_changes_a_number_by_the_calls_it_names(numbers: Numbers) -> None:
    question = {"queue": "late"}
    numbers.told(visit("on-time", "+70:00", 5, queue="late") + visit("changed", "+71:00", 5, queue="late", reason="abandoned"))
    ((since,),) = numbers.bench.rows("SELECT clock_timestamp()")
    numbers.told(visit("late", "+72:00", 33, queue="late"))
    numbers.told("+100 call.linked @changed alias=another")
    told = numbers.explain("queue.offered", known_since=since.isoformat(), **question)
    assert (told["value"], set(amounts(told))) == (3, {"late", "changed"})
    events = {one["call_sid"]: [event["event_id"] for event in one["events"]] for one in told["contributions"]}
    assert (len(events["late"]), len(events["changed"])) == (6, 1)
    whole = numbers.explain("queue.offered", **question)["contributions"]
    assert [one["call_sid"] for one in whole if one["known_at"] >= since.isoformat()] == ["changed", "late"]


# ---------------------------------------------------------------- from one product to another


@pytest.mark.parametrize("start", PRESETS)
def test_the_steps_from_one_level_to_another_add_up(busy: Numbers, start: str) -> None:
    for end in PRESETS:
        told = busy.bridge(start, end, to=clock("12:40"))
        for side in ("numerator", "denominator"):
            assert told["from"][side] + sum(step[side] for step in told["steps"]) == told["to"][side]
        one = told["to"]
        rows = busy.ask("", preset=end, to=clock("12:40"))["rows"]
        assert rows[0]["values"][one["metric"]] == {name: one[name] for name in ("value", "numerator", "denominator")}
        assert all(step["journeys"] and step["visits"] >= len(step["journeys"]) for step in told["steps"])


def test_a_step_names_its_calls_and_its_rule(numbers: Numbers) -> None:
    told = numbers.bridge("genesys", "wazo", queue="support")
    assert [told[name]["numerator"] for name in ("from", "to")] == [1, 1]
    assert [told[name]["denominator"] for name in ("from", "to")] == [4, 2]
    assert told["steps"] == [
        {"rule": f"abandoned {wait}: a failure by genesys, left out by wazo", "numerator": 0, "denominator": -1, "visits": 1, "journeys": [id_of(sid)]}
        for wait, sid in (("after more than 20.0 s", "gone"), ("within 20.0 s", "brief"))
    ]  # fmt: skip


# ---------------------------------------------------------------- over HTTP


def test_http_answers_the_same_to_the_key_of_the_tenant(database_url: str, numbers: Numbers) -> None:
    with opened(database_url) as desk:
        desk.tenant, desk.key = "default", desk.new_key("default")
        asked: dict[str, Any] = {"metrics": "queue.answered", "from_": clock("12"), "to": clock("16"), "tz": "UTC", "group_by": "queue"}
        told = _json(desk, "/v1/metrics/query", **asked)
        assert told["rows"] == numbers.ask("queue.answered", group_by="queue")["rows"]
        assert {"definitions", "complete_through", "final"} <= set(told)
        cell = asked | {"group.queue": "support"}
        assert _json(desk, "/v1/metrics/explain", **cell)["numerator"] == 2
        bridged = {"from_preset": "genesys", "to_preset": "wazo", "from_": clock("12"), "to": clock("16")}
        assert _json(desk, "/v1/metrics/bridge", **bridged)["steps"]
        catalogue = _json(desk, "/v1/metrics")
        assert {one["id"] for one in catalogue["metrics"]} == set(METRICS)
        assert [one["id"] for one in catalogue["presets"]] == list(PRESETS)
        assert desk.get("/v1/metrics/query", desk.other_key, **asked).json()["rows"] == []
        for wrong, field in (
            ({"threshold_s": "-1"}, "threshold_s"),
            ({"preset": "nonsense"}, "preset"),
            ({"account": "nosuch"}, "account"),
        ):
            told = problem(desk.get("/v1/metrics/query", **asked, **wrong), 422)
            assert [error["field"] for error in told["errors"]] == [field]
        problem(desk.get("/v1/metrics/explain", **asked, journey_id="nobody"), 404)
        problem(desk.http.get("/v1/metrics/query"), 401)


def _json(desk: Desk, path: str, **query: Any) -> Any:
    reply = desk.get(path, **query)
    assert reply.status_code == 200, reply.text
    return json.loads(reply.text)


def test_the_commands_print_what_the_api_answers(
    database_url: str, numbers: Numbers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("DATABASE_URL", database_url), ("KAFKA_BOOTSTRAP", "127.0.0.1:1"), ("DATA_DIR", str(tmp_path))):
        monkeypatch.setenv(f"SAFIRI_{name}", value)
    for module in ("metrics", "explain"):
        monkeypatch.setattr(importlib.import_module(f"cli.{module}"), "complete_through", lambda *_: numbers.known.complete_through)

    def run(*args: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(args))
        return int(ended.value.code or 0), capsys.readouterr().out

    period = ("--from", clock("12"), "--to", clock("13"), "--tz", "UTC", "--group-by", "queue")
    asked = {"to": clock("13"), "group_by": "queue"}
    code, text = run("metrics", "queue.offered", "sl.negative", *period, "--json")
    assert (code, json.loads(text)) == (0, numbers.ask("queue.offered,sl.negative", **asked))
    assert run("metrics", "queue.asa", "sl.negative", *period)[1].splitlines() == [
        "from              queue    queue.asa  sl.negative", "2026-09-01 12:00  support     31.0 s      25.00 %",
    ]  # fmt: skip
    code, text = run("explain", "queue.answered", *period, "--group", "queue=support", "--json")
    assert (code, json.loads(text)) == (0, numbers.explain("queue.answered", **asked, group__queue="support"))
    assert "answered by kazav" in run("explain", "queue.answered", *period, "--group", "queue=support")[1]
    assert "not counted: waited 33.0 s" in run("explain", "queue.answered", *period, "--group", "queue=support", "--journey-id", "gone")[1]
    assert "sl.negative" in run("metrics")[1]
    assert run("metrics", "queue.nonsense", *period)[0] == 2
