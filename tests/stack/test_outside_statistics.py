"""Queue statistics that another project expects of its own rows: what can be said in our words comes out the same, over HTTP.

A case has sums by hour (`stat_queue_periodic`) and single calls (`stat_call_on_queue`), and what its API or its SQL must give. Rows
become visits; what is expected is asked for by the same range, hours and weekdays. Left out: what is of another tenant or deleted,
refusals for which we have no reason (an empty queue, a diversion), and lists of queues.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from asking import Desk
from projecting import Bench, delivery
from test_bank import asked

from calls.clock import parse_time
from tests.outside import HOME, needs

FILE = "wazo/queue_statistics.json"
REASONS = ("answered", "abandoned", "timeout", "full", "closed")
NOT_OURS = {"tenant_uuid", "deleted", "leaveempty", "joinempty", "divert_ca_ratio", "divert_waittime"}
COUNTS = {"received": "queue.offered", "answered": "queue.answered", "abandoned": "queue.abandoned"}
RATES = {  # what it is called there -> metric, factor, by how much it is rounded
    "answered_rate": ("answered_rate.wazo", 100, 0.005), "average_waiting_time": ("average_wait.wazo", 0.001, 1),
    "quality_of_service": ("qos.wazo", 100, 0.005), "qos": ("qos.wazo", 100, 0.005),
}  # fmt: skip
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
TIME = re.compile(r"(\d+)-(\d+)-(\d+)[ T]0*(\d+):(\d+):(\d+)\s*(?:([+-]\d\d):?(\d\d))?")


class Visit(NamedTuple):
    queue: str
    entered: datetime
    reason: str
    wait_s: int


class Case(NamedTuple):
    """One of theirs. `asks`: (their parameters, what one row of their answer must have)."""

    name: str
    visits: list[Visit]
    asks: list[tuple[dict[str, Any], dict[str, Any]]]


def cases() -> list[Case]:
    """Those that can be said in our words."""
    if not (HOME / FILE).exists():
        return []
    found = []
    for n, case in enumerate(json.loads((HOME / FILE).read_text())["tests"]):
        rows = [row for given in case["inputs"] for row in given.values()]
        asks = list(_asks(case["steps"], f"case {n}"))
        visits = list(_visits(case, f"case {n}")) if asks and not any(NOT_OURS & row.keys() for row in rows) else []
        if visits:
            found.append(Case(case["id"].rpartition("::")[2], visits, asks))
    return found


def _visits(case: dict[str, Any], prefix: str) -> Iterable[Visit]:
    """Single calls where buckets of waits are asked for; else the sums, with the waits of single calls where they are as many."""
    kinds = {kind: [one[kind] for one in case["inputs"] if kind in one] for kind in ("stat_queue_periodic", "stat_call_on_queue")}
    single = [
        Visit(f"{prefix}/{one.get('queue_id', 1)}", when(one["time"]), one.get("status", "answered"), one.get("waittime", 0))
        for one in kinds["stat_call_on_queue"]
    ]
    if any("get_qos" in str(step.get("do")) for step in case["steps"]):
        yield from single
        return
    for row in kinds["stat_queue_periodic"]:
        queue, hour = f"{prefix}/{row.get('queue_id', 1)}", when(row["time"])
        for reason in (reason for reason in REASONS if row.get(reason)):
            known = [one.wait_s for one in single if (one.queue, one.entered.replace(minute=0), one.reason) == (queue, hour, reason)]
            waits = known if len(known) == row[reason] else [0] * row[reason]
            yield from (Visit(queue, hour + timedelta(seconds=n), reason, wait) for n, wait in enumerate(waits))


def _asks(steps: list[dict[str, Any]], prefix: str) -> Iterable[tuple[dict[str, Any], dict[str, Any]]]:
    params: dict[str, Any] = {}
    for step in steps:
        if "do" in step:
            params = {name: value for name, value in step["params"].items() if name != "**"} | step["params"].get("**", {})
            params |= {"queue_id": step["args"][1]} if len(step["args"]) > 1 else {}
        elif "stmt" in step:  # a parameter is changed between two questions
            changed = re.match(r"kwargs\['(\w+)'\] = (\d+)", step["stmt"])
            params = params | ({changed[1]: int(changed[2])} if changed else {})
        for item in _items(step.get("expected")):
            yield {**params, "queue": f"{prefix}/{item.get('queue_id', params.get('queue_id', 1))}"}, item


def _items(expected: Any) -> list[dict[str, Any]]:
    """The rows of an expectation that have figures."""
    if isinstance(expected, dict):
        expected = expected.get("items", expected)
    if isinstance(expected, dict):
        expected = next((expected[name] for name in ("$at_least", "$exactly_any_order") if name in expected), [expected])
    rows = [row for row in expected if isinstance(row, dict)] if isinstance(expected, list) else []
    return [row for row in rows if {*COUNTS, *RATES} & row.keys()]


def when(text: str, zone: str = "UTC") -> datetime:
    """`2020-10-30T011:00:00-04:00`, `2020-10-06 4:00:00`."""
    match = TIME.match(text)
    assert match, text
    numbers = [int(one) for one in match.groups()[:6]]
    offset = timezone(timedelta(hours=int(match[7]))) if match[7] else ZoneInfo(zone)
    return datetime(*numbers, tzinfo=offset).astimezone(UTC)  # type: ignore[arg-type, misc]


# ---------------------------------------------------------------- asked of us


CASES = cases()


@pytest.fixture(scope="module")
def desk(database_url: str) -> Desk:
    bench = Bench(database_url)
    bench.project(one for n, case in enumerate(CASES) for visit in case.visits for one in _told(f"call-{n}-{id(visit)}", visit))
    bench.close()
    return asked(database_url)


def _told(sid: str, visit: Visit) -> Iterable[Any]:
    left = visit.entered + timedelta(seconds=visit.wait_s)
    events: list[tuple[datetime, str, dict[str, object]]] = [
        (visit.entered, "call.started", {"direction": "inbound"}), (visit.entered, "queue.entered", {"queue": visit.queue}),
        (left, "queue.left", {"queue": visit.queue, "reason": visit.reason}), (left, "call.ended", {}),
    ]  # fmt: skip
    for at, kind, fields in events:
        body = {"type": kind, "event_id": f"{sid}/{kind}", "call_sid": sid, "occurred_at": at.isoformat().replace("+00:00", "Z"), **fields}
        yield delivery(json.dumps(body).encode(), received=parse_time(body["occurred_at"]) or 0, account="bank")


def parameters(params: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
    """The same range, hours and weekdays in our words."""
    zone = params.get("timezone", "UTC")
    since = item.get("from") or params.get("from_") or "2020-01-01 00:00:00"
    until = item["until"] if isinstance(item.get("until"), str) else params.get("until") or "2021-01-01 00:00:00"
    first, last = (
        str(params.get("day_start_time", params.get("start_time", 0))),
        str(params.get("day_end_time", params.get("end_time", 24))),
    )
    closes = int(last[:2]) + ("end_time" in params)  # their SQL takes the hour that it names as well
    days = params.get("week_days", range(1, 8))
    named = [DAYS[int(day) - 1] for day in (days.split(",") if isinstance(days, str) else days)]
    hours = f"{','.join(named)} {int(first[:2]):02}:00-{closes:02}:00"
    found = {"from_": when(since, zone).isoformat(), "to": when(until, zone).isoformat(), "tz": zone, "queue": params["queue"]}
    return found | ({} if hours.endswith("00:00-24:00") and len(named) == 7 else {"hours": hours})


def figure(desk: Desk, metric: str, **query: Any) -> tuple[int, int]:
    reply = desk.get("/v1/metrics/query", metrics=metric, **query)
    assert reply.status_code == 200, reply.text
    values = [row["values"][metric] for row in reply.json()["rows"]]
    return sum(one["numerator"] for one in values), sum(one["denominator"] or 0 for one in values)


@needs(FILE)
def test_most_of_what_they_count_can_be_said_here() -> None:
    assert len(CASES) > 15


@needs(FILE)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.removeprefix("test_"))
def test_their_statistics(desk: Desk, case: Case) -> None:
    for params, item in case.asks:
        query = parameters(params, item)
        if "qos_min" in params:
            buckets = [{"min": params["qos_min"], "max": params["qos_max"], **item}]
        else:
            told = item.get("quality_of_service")
            buckets = told["$at_least"] if isinstance(told, dict) else []
            for name in COUNTS.keys() & item.keys():
                assert figure(desk, COUNTS[name], **query)[0] == item[name], (name, item)
        for name in RATES.keys() & item.keys():
            if isinstance(item[name], int | float):
                metric, factor, rounded = RATES[name]
                top, bottom = figure(
                    desk, metric, **query, **({"threshold_s": params["qos_threshold"]} if "qos_threshold" in params else {})
                )
                assert bottom and abs(top / bottom * factor - item[name]) <= rounded, (name, top, bottom, item)
        for bucket in buckets:
            for side in ("answered", "abandoned"):
                assert _between(desk, side, bucket, query) == bucket[side], (side, bucket, item.get("from"))


def _between(desk: Desk, side: str, bucket: dict[str, Any], query: dict[str, Any]) -> int:
    """Waits of whole seconds in [min, max) are those of at most max − 1 without those of at most min − 1."""
    metric = f"queue.{side}_within"
    below = figure(desk, metric, **query, threshold_s=bucket["min"] - 1)[0] if bucket["min"] else 0
    upto = figure(desk, metric, **query, threshold_s=bucket["max"] - 1) if bucket["max"] else figure(desk, f"queue.{side}", **query)
    return upto[0] - below
