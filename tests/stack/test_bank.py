"""What a bank's queues and agents came to in every hour of 1999, over HTTP; and small stories of the same kind, which always run.

January is in the suite; February as well where SAFIRI_OUTSIDE_DATA names the folder. The reference counts a call that was answered
without waiting as offered at the moment of its answer, a talk with its queue visit (queues) or clipped to hours of the clock (agents).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import bank
import msgspec
import pytest
from asking import Desk
from projecting import Bench, delivery, settle, story

from calls.clock import parse_time
from projections.bisecting import project_bisecting

MONTHS = (1, 2) if os.environ.get("SAFIRI_OUTSIDE_DATA") else (1,)
QUEUES: dict[str, tuple[str, int, dict[str, Any]]] = {  # column of the reference -> metric, its unit, parameters
    "offered": ("queue.offered", 1, {}), "answered": ("queue.answered", 1, {}), "abandoned": ("queue.abandoned", 1, {}),
    "wait_answered_s": ("queue.wait_answered", 1000, {}), "wait_abandoned_s": ("queue.wait_abandoned", 1000, {}),
    "talk_s": ("handle.talk", 1000, {}), "answered_within_20s": ("queue.answered_within", 1, {"threshold_s": 20}),
    "answered_within_60s": ("queue.answered_within", 1, {"threshold_s": 60}),
}  # fmt: skip
AGENTS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "answered": ("handle.count", 1, {"attribution": "emit"}), "talk_s": ("agent.talk", 1000, {}), "busy_s": ("agent.busy", 1000, {}),
}  # fmt: skip
Cells = dict[tuple[str, str], int]  # (hour, queue or agent) -> what it came to; zero is left out


class Moment(msgspec.Struct):
    occurred_at: str


@pytest.fixture(scope="module")
def desk(database_url: str) -> Desk:
    bench, moment = Bench(database_url), msgspec.json.Decoder(Moment)
    projector = bench.projector()
    for month in MONTHS:
        told = bank.events(month)
        made = [delivery(line, received=parse_time(moment.decode(line).occurred_at) or 0, account="bank") for line in told]
        for n in range(0, len(made), 5000):
            project_bisecting(projector, bench.log(made[n : n + 5000]))
    settle(projector)
    bench.close()
    return asked(database_url)


def asked(url: str) -> Desk:
    desk = Desk(url)
    desk.key = desk.new_key("default")
    return desk


def cells(desk: Desk, metric: str, *, by: str, since: str, to: str, unit: int = 1, **parameters: Any) -> Cells:
    """Hours in which something was counted; calls that nobody named answered are nobody's."""
    query = {"metrics": metric, "from_": f"{since}T00:00:00Z", "to": f"{to}T00:00:00Z", "interval": "1h", "tz": "UTC", "group_by": by}
    reply = desk.get("/v1/metrics/query", **query, **parameters)
    assert reply.status_code == 200, reply.text
    found: Cells = {}
    for row in reply.json()["rows"]:
        amount, name = row["values"][metric]["numerator"], row["group"][by]
        assert amount % unit == 0, row
        if amount and name is not None:
            found[row["interval_start"][:16].replace("T", " "), name] = amount // unit
    return found


def wanted(kind: str, column: str) -> Cells:
    rows = [row for month in MONTHS for row in bank.reference(kind, month)]
    return {(row["hour"], row[kind]): int(row[column]) for row in rows if row[column] != "0"}


def differing(got: Cells, want: Cells) -> list[str]:
    return [
        f"{key}: {got.get(key, 0)}, not {want.get(key, 0)}" for key in sorted(got.keys() | want.keys()) if got.get(key) != want.get(key)
    ]


@bank.NEEDED
@pytest.mark.timeout(300)
@pytest.mark.parametrize("column", QUEUES)
def test_every_hour_of_every_queue(desk: Desk, column: str) -> None:
    metric, unit, parameters = QUEUES[column]
    got, want = cells(desk, metric, by="queue", since="1999-01-01", to="1999-03-02", unit=unit, **parameters), wanted("queue", column)
    assert len(want) > 500
    assert differing(got, want)[:5] == []


@bank.NEEDED
@pytest.mark.timeout(300)
@pytest.mark.parametrize("column", AGENTS)
def test_every_hour_of_every_agent(desk: Desk, column: str) -> None:
    metric, unit, parameters = AGENTS[column]
    got, want = cells(desk, metric, by="agent", since="1999-01-01", to="1999-03-02", unit=unit, **parameters), wanted("agent", column)
    assert len(want) > 1000
    assert differing(got, want)[:5] == []


# ---------------------------------------------------------------- of the same kind, small

STORY = """
+59:40 call.started @a direction=inbound
+59:50 queue.entered @a queue=PS
+60:10 queue.left @a queue=PS reason=answered
+60:10 leg.answered @a leg=agent kind=agent queue=PS agent=MICHAL
+125:00 leg.ended @a leg=agent agent=MICHAL
+125:00 call.ended @a
# nobody waits, and the agent talks already
+90:00 call.started @b direction=inbound
+90:00 queue.entered @b queue=PS
+90:00 queue.left @b queue=PS reason=answered
+90:00 leg.answered @b leg=agent kind=agent queue=PS agent=MICHAL
+100:00 leg.ended @b leg=agent agent=MICHAL
+100:00 call.ended @b
+69:00 call.started @c direction=inbound
+70:00 queue.entered @c queue=PS
+71:00 queue.left @c queue=PS reason=abandoned
+71:00 call.ended @c ended_by=caller
# the answer comes a second before the queue is left
+119:00 call.started @d direction=inbound
+119:30 queue.entered @d queue=PS
+120:30 leg.answered @d leg=agent kind=agent queue=PS agent=BASCH
+120:31 queue.left @d queue=PS reason=answered
+121:30 leg.ended @d leg=agent agent=BASCH
+121:30 call.ended @d
# answered by nobody who is named
+130:00 call.started @e direction=inbound
+130:00 queue.entered @e queue=PS
+130:05 queue.left @e queue=PS reason=answered
+130:05 leg.answered @e leg=agent kind=agent queue=PS
+132:05 leg.ended @e leg=agent
+132:05 call.ended @e
"""
OF_PS = {  # column -> what it is at 12, 13 and 14 o'clock
    "offered": (1, 3, 1), "answered": (1, 2, 1), "abandoned": (0, 1, 0), "wait_answered_s": (20, 61, 5), "wait_abandoned_s": (0, 60, 0),
    "talk_s": (3890, 660, 120), "answered_within_20s": (1, 1, 1), "answered_within_60s": (1, 1, 1),
}  # fmt: skip
OF_AGENTS = {
    "answered": {"MICHAL": (0, 2, 0), "BASCH": (0, 0, 1)}, "talk_s": {"MICHAL": (0, 4190, 300), "BASCH": (0, 0, 60)},
    "busy_s": {"MICHAL": (0, 3590, 300), "BASCH": (0, 0, 60)},
}  # fmt: skip


def by_hand(name: str, amounts: tuple[int, int, int]) -> Cells:
    return {(f"2026-09-01 {12 + n}:00", name): amount for n, amount in enumerate(amounts) if amount}


def test_a_few_calls_over_the_hour_worked_out_by_hand(fresh_database: Callable[[], str]) -> None:
    url = fresh_database()
    bench = Bench(url)
    bench.project(story(STORY), batches=5)
    bench.close()
    desk = asked(url)
    day = {"since": "2026-09-01", "to": "2026-09-02"}
    for column, (metric, unit, parameters) in QUEUES.items():
        assert cells(desk, metric, by="queue", **day, unit=unit, **parameters) == by_hand("PS", OF_PS[column]), column
    for column, (metric, unit, parameters) in AGENTS.items():
        want = {key: amount for name, amounts in OF_AGENTS[column].items() for key, amount in by_hand(name, amounts).items()}
        assert cells(desk, metric, by="agent", **day, unit=unit, **parameters) == want, column
