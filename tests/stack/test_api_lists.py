"""The list of journeys: filters and pages, on a real Postgres."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from asking import DID, NOON, SECOND, Desk, journey, opened, problem

from calls.clock import rfc3339
from calls.journey import Anomaly, Durations


@pytest.fixture(scope="module")
def desk(database_url: str) -> Iterator[Desk]:
    with opened(database_url) as made:
        yield made


def test_filters_find_what_they_say_and_nothing_else(desk: Desk) -> None:
    caller = f"+2547{uuid.uuid4().int % 10**8:08d}"
    short = journey(desk, at=NOON, caller=caller, outcome="abandoned_in_queue", queue_visits=[], calls=[], state="ended",
                    durations=Durations(total_ms=5_000), attributes={"branch": "Kisumu", "n": 7, "vip": False})  # fmt: skip
    long = journey(desk, at=NOON + 3600 * SECOND, caller=caller, direction="outbound", anomalies=[Anomaly("presumed_end", "x")],
                   state="presumed_ended", account="bank")  # fmt: skip
    desk.store(short, long)
    both, first, second = [long.journey_id, short.journey_id], [short.journey_id], [long.journey_id]
    for written in (caller, "0" + caller[4:], caller[1:], f"{caller[:4]} {caller[4:7]} {caller[7:]}", " " + caller[1:]):
        assert desk.ids(caller=written) == both, written
        assert desk.ids(number=written) == both, written
    for query, want in (
        ({"called": caller}, []), ({"called": DID}, both), ({"outcome": "answered"}, second), ({"direction": "inbound"}, first),
        ({"state": "presumed_ended"}, second), ({"state": "open"}, []), ({"queue": "support"}, second), ({"agent": "amina"}, second),
        ({"agent": "brian"}, []), ({"min_wait_ms": 30_000}, second), ({"min_wait_ms": 30_001}, []), ({"min_duration_ms": 5_001}, second),
        ({"min_duration_ms": 2**63 - 1}, []), ({"anomaly": "presumed_end"}, second), ({"anomaly": "missing_end"}, []),
        ({"account": "bank"}, second), ({"account": "acme"}, first), ({"attr.branch": "Kisumu"}, first), ({"attr.n": "7"}, first),
        ({"attr.vip": "false"}, first), ({"attr.branch": "'; drop table x --"}, []), ({"attr.%": "x"}, []),
        ({"from_": rfc3339(NOON)}, both), ({"to": rfc3339(NOON)}, []), ({"from_": "2026-09-01T12:00:00.000001Z"}, second),
        ({"from_": "2026-09-01T15:00:00+03:00", "to": "2026-09-01 16:00:00+03:00"}, first), ({"limit": 1}, second),
    ):  # fmt: skip
        assert desk.ids(**({"number": caller} | query)) == want, query


@pytest.mark.parametrize(("query", "field"), [
    ("colour=red", "colour"), ("outcome=splendid", "outcome"), ("direction=sideways", "direction"), ("state=solid", "state"),
    ("from=yesterday", "from"), ("to=2026-01-01T00:00:00", "to"), ("min_wait_ms=long", "min_wait_ms"), ("min_wait_ms=-1", "min_wait_ms"),
    ("min_duration_ms=9223372036854775808", "min_duration_ms"), ("limit=0", "limit"), ("limit=501", "limit"), ("limit=two", "limit"),
    ("cursor=%27%3Bdrop", "cursor"), ("caller=nobody", "caller"), ("caller=", "caller"), ("caller=%00", "caller"), ("agent=a%00", "agent"),
    ("attr.=1", "attr."), ("from=2026-02-02T00:00:00Z&to=2026-02-01T00:00:00Z", "from"), ("anomaly=odd", "anomaly"),
    ("account=nosuch", "account"), ("outcome=answered&outcome=busy", "outcome"), ("account=rival", "account"),
])  # fmt: skip
def test_a_query_that_means_nothing_is_422_and_names_the_field(desk: Desk, query: str, field: str) -> None:
    told = problem(desk.http.get(f"/v1/journeys?{query}", headers={"Authorization": f"Bearer {desk.key}"}), 422)
    assert [error["field"] for error in told["errors"]] == [field]
    assert told["errors"][0]["detail"]


def test_pages_show_each_row_once_while_rows_arrive(desk: Desk) -> None:
    caller = f"+2547{uuid.uuid4().int % 10**8:08d}"
    rows = [journey(desk, at=NOON + (n // 3) * SECOND, caller=caller) for n in range(11)]  # threes tie
    desk.store(*rows)
    seen: list[str] = []
    cursor = None
    while True:
        told = desk.get("/v1/journeys", caller=caller, limit=3, cursor=cursor).json()
        seen += [row["journey_id"] for row in told["journeys"]]
        cursor = told["next_cursor"]
        if cursor is None:
            break
        desk.store(journey(desk, at=NOON + 60 * SECOND, caller=caller))
    want = sorted(rows, key=lambda one: (one.started_at, one.journey_id), reverse=True)
    assert seen == [one.journey_id for one in want]


def test_a_cursor_belongs_to_its_filters_and_tenant(desk: Desk) -> None:
    caller = f"+2547{uuid.uuid4().int % 10**8:08d}"
    desk.store(*(journey(desk, caller=caller) for _ in range(3)))
    cursor = desk.get("/v1/journeys", caller=caller, limit=1).json()["next_cursor"]
    assert len(desk.ids(caller="0" + caller[4:], limit=2, cursor=cursor)) == 2  # the same filter in another writing
    problem(desk.get("/v1/journeys", caller=caller, outcome="answered", cursor=cursor), 422)
    problem(desk.get("/v1/journeys", desk.other_key, caller=caller, cursor=cursor), 422)
