"""Asterisk's queue_log: what its rows come to. The cases that others wrote are read from the folder of outside data; the rest is ours."""

from __future__ import annotations

import json
from typing import Any

import pytest

from calls.clock import Micros, milliseconds, parse_time
from calls.journey import Journey, QueueVisit
from tests.outside import HOME, needs
from tests.queue_logs import RECEIVED, agents, deliveries, journeys, lines, logins, rows, seconds, sums

SMALL, WAZO = "queue_log/small_cases.json", "wazo/queue_log_definitions.json"
HOUR: Micros = 3_600_000_000
# The words of Wazo for why a queue was left, in ours. A caller whom a queue without agents did not take is refused by it.
OURS = {"leaveempty": "overflow", "joinempty": "closed"}


def at(text: str) -> Micros:
    found = parse_time(text)
    assert found is not None
    return found


# ---------------------------------------------------------------- ours, which always run


def test_one_is_answered_one_gives_up_and_one_is_turned_away() -> None:
    found = journeys(
        lines("""
        1788249600|c.1|support|NONE|ENTERQUEUE||4301|1
        1788249603|c.1|support|Agent/1|CONNECT|3|c.11|3
        1788249605|c.1|support|Agent/1|COMPLETECALLER|3|2|1
        1788249610|c.2|support|NONE|ENTERQUEUE||4302|1
        1788249612|c.2|support|NONE|ABANDON|1|1|2
        1788249620|c.3|support|NONE|JOINEMPTY
    """)
    )
    (only,) = sums(found).values()
    assert only | {"offered": 3, "answered": 1, "abandoned": 1, "refused": 1, "talk": 2000, "wait_all": 5000} == only


def test_a_shift_of_an_agent_with_a_pause() -> None:
    (only,) = agents(
        lines("""
        1788249600|NONE|NONE|Agent/1|AGENTCALLBACKLOGIN|1001@default
        1788249600|MANAGER|support|Agent/1|ADDMEMBER
        1788249602|NONE|NONE|Agent/1|PAUSEALL|lunch
        1788249604|NONE|NONE|Agent/1|UNPAUSEALL
        1788249606|MANAGER|support|Agent/1|REMOVEMEMBER
        1788249607|NONE|NONE|Agent/1|AGENTCALLBACKLOGOFF|1001@default|7|CommandLogoff
    """)
    ).values()
    assert [(one.state, one.reason, milliseconds(one.started_at, one.ended_at or 0)) for one in only] == [
        ("available", None, 2000), ("paused", "lunch", 2000), ("available", None, 3000),
    ]  # fmt: skip


def test_a_member_who_is_no_agent_logs_in_by_joining_a_queue() -> None:
    (only,) = agents(
        lines("""
        1788249600|MANAGER|support|SIP/1001|ADDMEMBER|
        1788249602|NONE|support|SIP/1001|PAUSE|
        1788249604|NONE|support|SIP/1001|UNPAUSE|
        1788249610|MANAGER|support|SIP/1001|REMOVEMEMBER|
        1788249700|MANAGER|support|SIP/1001|ADDMEMBER|PAUSED
    """)
    ).values()
    assert logins(only, 0, RECEIVED) == [(1788249600_000000, 1788249610_000000), (1788249700_000000, RECEIVED)]
    assert seconds([one for one in only if one.ended_at], "paused") == 2


def test_wrap_up_is_over_after_its_length_or_when_something_else_begins() -> None:
    (only,) = agents(
        lines("""
        1788249600|NONE|NONE|Agent/1|AGENTLOGIN|SIP/1
        1788249610|c.1|support|NONE|ENTERQUEUE||4301|1
        1788249611|c.1|support|Agent/1|CONNECT|1|c.11|1
        1788249613|c.1|support|Agent/1|COMPLETEAGENT|1|2|1
        1788249613|c.1|support|Agent/1|WRAPUPSTART|2
        1788249620|c.2|sales|NONE|ENTERQUEUE||4302|1
        1788249621|c.2|sales|Agent/1|CONNECT|1|c.12|1
        1788249624|c.2|sales|Agent/1|COMPLETECALLER|1|3|1
        1788249630|c.3|support|NONE|ENTERQUEUE||4302|1
        1788249631|c.3|support|Agent/1|CONNECT|1|c.12|1
        1788249641|c.3|support|Agent/1|COMPLETECALLER|1|10|1
        1788249641|c.3|support|Agent/1|WRAPUPSTART|30
        1788249645|NONE|NONE|Agent/1|AGENTLOGOFF|SIP/1|45
    """)
    ).values()
    assert seconds(only, "wrap_up") == 2 + 4
    assert seconds(only, "talking") == 2 + 3 + 10
    assert only[-1].ended_at == 1788249645_000000, "a wrap-up cut short by the logout does not log in again"


def test_waits_fall_on_their_side_of_each_threshold() -> None:
    waits = [("CONNECT", 3), ("CONNECT", 11), ("CONNECT", 13), ("CONNECT", 18), ("ABANDON", 6), ("ABANDON", 6), ("ABANDON", 18)]
    text = []
    for n, (event, wait) in enumerate(waits):
        text.append(f"{1788249600 + n}|c.{n}|support|NONE|ENTERQUEUE||43{n}|1")
        text.append(f"{1788249600 + n + wait}|c.{n}|support|{'Agent/1' if event == 'CONNECT' else 'NONE'}|{event}|{wait}||{wait}")
    (only,) = sums(journeys(lines("\n".join(text)))).values()
    cumulated = {edge: (only.get(f"answered_{edge}", 0), only.get(f"abandoned_{edge}", 0)) for edge in (5, 10, 15)}
    assert cumulated == {5: (1, 0), 10: (1, 2), 15: (3, 2)}
    assert (only["answered"], only["abandoned"]) == (4, 3)


def test_every_row_of_a_log_is_somebodys() -> None:
    kinds = [
        kind
        for kind, _ in deliveries(
            lines("""
        1788249600|NONE|NONE|NONE|QUEUESTART|
        1788249600|c.1|support|NONE|SURVEY|4
        1788249600|MANAGER|support|SIP/1|PENALTY|3
    """)
        )
    ]
    assert kinds == ["account", "call", "agent"]


# ---------------------------------------------------------------- small logs of others


def small() -> list[Any]:
    path = HOME / SMALL
    return list(json.loads(path.read_text())["cases"]) if path.exists() else []


@needs(SMALL)
@pytest.mark.parametrize("case", small(), ids=lambda case: "-".join(case["expected"]))
def test_small_logs_come_to_what_others_expect(case: dict[str, Any]) -> None:
    bodies = [line.encode() for line in case["lines"]]
    found = journeys(bodies)
    assert {name: _said(name, found, bodies) for name in case["expected"]} == case["expected"]


def _said(name: str, found: list[Journey], bodies: list[bytes]) -> Any:
    first, times = found[0], sorted(one.at for kind, one in deliveries(bodies) if kind == "call")
    visit, talk = first.queue_visits[0], first.durations.talk_ms
    connected = visit.left_at if visit.outcome == "answered" and visit.left_at is not None else times[0]
    answers = {
        "answered": first.outcome == "answered",
        "in_progress": first.state == "open",
        "talk_s": talk / 1000 if first.outcome == "answered" else None,
        "wait_s": (visit.wait_ms or 0) / 1000,
        "first_to_connect_s": (connected - times[0]) / 1e6,
        "first_event": times[0] / 1e6,
        "last_event": times[-1] / 1e6,
        "answered_calls": sum(one.outcome == "answered" for one in found),
        "abandoned_calls": sum(one.outcome == "abandoned_in_queue" for one in found),
    }
    return answers[name]


# ---------------------------------------------------------------- the definitions of Wazo


def wazo(*functions: str) -> list[Any]:
    """(rows, the function's range and its answer, the names of agents) of every call of these functions that has an answer."""
    path = HOME / WAZO
    found = []
    for test in json.loads(path.read_text())["tests"] if path.exists() else []:
        for call in test["reference_calls"]:
            if call["fn"].split(".")[1] in functions and ("result" in call or "stat_call_on_queue_after" in call):
                found.append(pytest.param(test, call, id=test["id"].rpartition("::")[2]))
    return found


def visits(test: dict[str, Any]) -> list[tuple[Journey, QueueVisit]]:
    return [(journey, visit) for journey in journeys(rows(test["queue_log"])) for visit in journey.queue_visits]


@needs(WAZO)
@pytest.mark.parametrize(("test", "call"), wazo("fill_answered_calls", "fill_simple_calls", "fill_leaveempty_calls"))
def test_calls_of_a_queue(test: dict[str, Any], call: dict[str, Any]) -> None:
    """Whole seconds of Asterisk's own arithmetic there, the difference of the rows' times here: equal when rounded."""
    wanted = {
        (one["callid"], OURS.get(one["status"], one["status"]), one["waittime"], one["talktime"])
        for one in call["stat_call_on_queue_after"]
    }
    start, end = (at(text) for text in call["args"])
    talks = {"answered": lambda journey: round(journey.durations.talk_ms / 1000)}
    said = {
        (visit.call_sid, visit.outcome, round((visit.wait_ms or 0) / 1000), talks.get(visit.outcome, lambda _: 0)(journey))
        for journey, visit in visits(test)
        if visit.left_at is not None and start <= (visit.left_at if visit.outcome != "answered" else journey.ended_at or 0) <= end
    }
    only = {"fill_answered_calls": {"answered"}, "fill_simple_calls": {"full", "closed"}, "fill_leaveempty_calls": {"overflow"}}
    assert {one for one in said if one[1] in only[call["fn"].split(".")[1]]} == wanted


@needs(WAZO)
@pytest.mark.parametrize(("test", "call"), wazo("get_queue_abandoned_call"))
def test_abandoned_calls_are_those_that_entered_in_the_range(test: dict[str, Any], call: dict[str, Any]) -> None:
    start, end = (at(text) for text in call["args"])
    wanted = [(one["callid"], one["queue_name"], at(one["time"]), one["waittime"] * 1000) for one in call["result"]]
    entered = [visit for _, visit in visits(test) if visit.outcome == "abandoned" and start <= visit.entered_at <= end]
    assert [(one.call_sid, one.queue, one.entered_at, one.wait_ms) for one in entered] == wanted


@needs(WAZO)
@pytest.mark.parametrize(("test", "call"), wazo("get_queue_names_in_range"))
def test_queues_of_a_range(test: dict[str, Any], call: dict[str, Any]) -> None:
    start, end = (at(text) for text in call["args"])
    assert sorted({visit.queue for _, visit in visits(test) if start <= visit.entered_at <= end}) == sorted(call["result"])


@needs(WAZO)
@pytest.mark.parametrize(("test", "call"), wazo("get_periodic_stats_quarter_hour", "get_periodic_stats_hour"))
def test_queues_by_quarter_of_an_hour_and_by_hour(test: dict[str, Any], call: dict[str, Any]) -> None:
    start, end = (at(text) for text in call["args"])
    bodies = [body for one in test["stat_call_on_queue_rows"] for body in _logged(one)]
    hourly = call["fn"].endswith("_hour") and not call["fn"].endswith("quarter_hour")
    found = {
        when: {"total": made["offered"], "full": made.get("full", 0), "abandoned": made.get("abandoned", 0),
               "closed": made.get("refused", 0) - made.get("full", 0)}
        for when, made in sums(journeys(bodies), every=HOUR if hourly else HOUR // 4).items() if start <= when <= end
    }  # fmt: skip
    wanted = {at(when): counted for when, [(_, counted)] in call["result"]}
    assert {when: {name: n for name, n in counts.items() if n} for when, counts in found.items()} == wanted


def _logged(one: dict[str, Any]) -> list[bytes]:
    """The rows that Asterisk would have written of a call that is told by its result."""
    when, events = at(one["time"]) / 1e6, {"full": ["FULL"], "closed": ["CLOSED"], "abandoned": ["ENTERQUEUE", "ABANDON"]}
    return [f"{when:.6f}|{one['callid']}|q|NONE|{event}||".encode() for event in events[one["status"]]]


@needs(WAZO)
@pytest.mark.parametrize(("test", "call"), wazo("get_login_intervals_in_range", "_get_completed_logins", "_get_ongoing_logins"))
def test_agents_are_logged_in_when_they_say_so(test: dict[str, Any], call: dict[str, Any]) -> None:
    """To the millisecond. Logins by queue are left out: an agent's time is not told apart by the queues that they are a member of."""
    start, end = (at(text) for text in call["args"])
    kind = call["fn"].split(".")[1]
    found = agents(rows(test["queue_log"]), legs=False)
    logged = {number: logins(found.get(name, []), start, end) for number, name in test["agents"].items()}
    if kind != "get_login_intervals_in_range":
        over = kind == "_get_completed_logins"
        logged = {number: [one for one in times if (one[1] < end) is over] for number, times in logged.items()}
    assert {number: [_ms(*one) for one in times] for number, times in logged.items() if times} == _wanted(call["result"])


def _wanted(result: Any) -> dict[str, list[tuple[int, int]]]:
    wanted = {}
    for agent, times in result or []:
        number, queue = agent if isinstance(agent, list) else (agent, None)
        if queue is None:
            wanted[str(number)] = [_ms(at(low), at(high)) for low, high in times]
    return wanted


def _ms(low: Micros, high: Micros) -> tuple[int, int]:
    return low // 1000, high // 1000
