"""Agents' time in the tables: what comes late, twice, in two workers or in a rebuild comes to the same days."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import psycopg
import pytest
from projecting import Bench, copy, cut, delivery, patiently, settle
from whole import Databases

from api.freshness import put_off
from calls.agents import State, Stretch, days
from calls.clock import Micros, parse_time, rfc3339
from calls.envelope import Envelope
from calls.events import AgentState
from calls.own import own
from projections import agent_facts, agent_fold, generations
from projections.rebuild import rebuild
from projections.schema import migrate
from runtime.postgres import engine
from runtime.settings import Settings, Tenant

MIDNIGHT = parse_time("2026-06-30T21:00:00Z") or 0  # 1 July in Nairobi
MINUTE: Micros = 60_000_000
HOUR = 60 * MINUTE
AGENT_TABLES = ("agent_states", "agent_days", "agent_intervals", "agent_slots")
NUMBER = count()


@pytest.fixture(scope="module")
def shared(databases: Databases) -> Iterator[Bench]:
    """One log and database; each test has agents of its own."""
    with databases.fresh() as url:
        made = Bench(url)
        yield made
        made.close()


@pytest.fixture
def agent() -> str:
    return f"agent-{next(NUMBER)}"


def at(clock: str, day: int = 0) -> Micros:
    """`08:30` of a day in Nairobi."""
    hours, minutes = clock.split(":")
    return MIDNIGHT + day * 24 * HOUR + int(hours) * HOUR + int(minutes) * MINUTE


def state(agent: str, clock: str, state: str, day: int = 0, *, received: Micros | None = None, **fields: Any) -> Envelope:
    when = at(clock, day)
    event = {"type": "agent.state", "agent": agent, "state": state, "occurred_at": rfc3339(when), **fields}
    return delivery(json.dumps(event).encode(), received=when if received is None else received)


def states(agent: str, text: str, day: int = 0) -> list[Envelope]:
    return [state(agent, *one.split(), day) for one in text.split(",")]  # type: ignore[arg-type]


def talk(agent: str | None, sid: str, start: str, end: str | None, day: int = 0) -> list[Envelope]:
    """A call that rings for a minute and is answered by `agent`."""
    began, over = at(start, day), at(end, day) if end else None

    def said(type_: str, when: Micros, **fields: Any) -> Envelope:
        return delivery(json.dumps({"type": type_, "call_sid": sid, "occurred_at": rfc3339(when), **fields}).encode(), received=when)

    leg = {"leg": "a", "kind": "agent", "agent": agent, "queue": "q"}
    told = [
        said("call.started", began - 2 * MINUTE, direction="inbound"),
        said("leg.started", began - MINUTE, **leg),
        said("leg.answered", began, **leg),
    ]
    return told if over is None else [*told, said("leg.ended", over, leg="a"), said("call.ended", over)]


def shown(bench: Bench, agent: str) -> list[str]:
    """`01 08:00-08:30 paused lunch`, with the call's SID."""
    found = bench.rows(
        "SELECT started_at, ended_at, state, reason, call_sid FROM live.agent_intervals WHERE agent = %s ORDER BY started_at", agent
    )
    return [" ".join(filter(None, [f"{clock(start, '%d ')}{clock(start)}-{clock(end)}", *rest])) for start, end, *rest in found]


def clock(when: datetime | None, form: str = "%H:%M") -> str:
    return "" if when is None else (when.astimezone(UTC) + timedelta(hours=3)).strftime(form)


def shifts(bench: Bench, agent: str) -> list[str]:
    found = bench.rows("SELECT day, shift_started_at, shift_ended_at FROM live.agent_days WHERE agent = %s ORDER BY day", agent)
    return [f"{day:%d} {clock(start)}-{clock(end)}" for day, start, end in found]


def sums(bench: Bench, agent: str) -> dict[str, int]:
    """Minutes by column of agent_slots."""
    names = [column.name for column in agent_fold.agent_slots.TABLE.columns if str(column.type) == "BIGINT"]
    asked = ", ".join(f"sum({name}) / 60000" for name in names)
    (row,) = bench.rows(f"SELECT {asked} FROM live.agent_slots WHERE agent = %s", agent)
    return {name: int(value) for name, value in zip(names, row, strict=True) if value}


SHIFT = "08:00 available,08:30 paused,08:45 available,09:25 wrap_up,09:28 available,10:00 offline"


def test_a_shift(shared: Bench, agent: str) -> None:
    shared.project([*states(agent, SHIFT), *talk(agent, f"{agent}-1", "09:10", "09:25")])
    assert shown(shared, agent) == [
        "01 08:00-08:30 available", "01 08:30-08:45 paused", "01 08:45-09:09 available", f"01 09:09-09:10 ringing {agent}-1",
        f"01 09:10-09:25 talking {agent}-1", f"01 09:25-09:28 wrap_up {agent}-1", "01 09:28-10:00 available",
    ]  # fmt: skip
    assert shifts(shared, agent) == ["01 08:00-10:00"]
    assert sums(shared, agent) == {"talking": 15, "ringing": 1, "wrap_up": 3, "paused": 15, "available": 86, "logged_in": 120, "talk": 15}
    assert shared.rows(
        "SELECT DISTINCT queue, cohort_at = '2026-07-01 06:10+00' FROM live.agent_intervals WHERE agent = %s AND journey_id IS NOT NULL AND state <> 'ringing'",
        agent,
    ) == [("q", True)]


def test_an_agent_without_any_state_is_logged_in_while_talking(shared: Bench, agent: str) -> None:
    shared.project(
        [
            *talk(agent, f"{agent}-1", "10:00", "10:10"),
            *talk(agent, f"{agent}-2", "10:05", "10:15"),
            *talk(agent, f"{agent}-3", "10:15", "10:16"),
        ]
    )
    assert sums(shared, agent) == {"talking": 16, "logged_in": 16, "talk": 21}
    assert shifts(shared, agent) == ["01 10:00-10:16"]


def test_over_midnight_in_nairobi(shared: Bench, agent: str) -> None:
    shared.project([*states(agent, "22:00 available"), *states(agent, "02:00 offline", 1)])
    assert shown(shared, agent) == ["01 22:00-00:00 available", "02 00:00-02:00 available"]
    assert shifts(shared, agent) == ["01 22:00-00:00", "02 00:00-02:00"]


def test_a_late_state_changes_its_day_and_what_it_carries_into(shared: Bench, agent: str) -> None:
    shared.project([*states(agent, "08:00 available"), *talk(agent, f"{agent}-1", "09:00", "09:10", 2), *states(agent, "12:00 offline", 4)])
    assert [line[:24] for line in shown(shared, agent)] == [
        "01 08:00-00:00 available", "03 00:00-08:59 available", f"03 08:59-09:00 ringing {agent}"[:24], f"03 09:00-09:10 talking {agent}"[:24],
        "03 09:10-00:00 available", "05 00:00-12:00 available",
    ]  # fmt: skip
    shared.project([state(agent, "10:00", "paused", 1, reason="late")])
    assert shown(shared, agent)[:4] == [
        "01 08:00-00:00 available",
        "02 00:00-10:00 available",
        "02 10:00-00:00 paused late",
        "03 00:00-08:59 paused late",
    ]
    assert shown(shared, agent)[-1] == "05 00:00-12:00 paused late"
    assert sums(shared, agent)["paused"] == 14 * 60 + 24 * 60 + 24 * 60 - 11 + 12 * 60


def test_a_late_talk_and_one_that_moves(shared: Bench, agent: str) -> None:
    shared.project(states(agent, "08:00 available,18:00 offline"))
    late = talk(agent, f"{agent}-1", "09:00", "10:00")
    shared.project(late)
    assert sums(shared, agent) == {"ringing": 1, "talking": 60, "available": 539, "logged_in": 600, "talk": 60}
    end = json.loads(late[3].body) | {"occurred_at": rfc3339(at("09:30")), "event_id": "end"}
    shared.project([delivery(json.dumps(end).encode(), received=at("09:30"))])  # the leg's earlier end, said by another event
    assert sums(shared, agent)["talk"] == 30
    other = f"{agent}-other"
    shared.project(
        [
            delivery(
                json.dumps(
                    {
                        "type": "leg.answered",
                        "call_sid": f"{agent}-1",
                        "leg": "a",
                        "agent": other,
                        "kind": "agent",
                        "occurred_at": rfc3339(at("09:00") - MINUTE),
                    }
                ).encode(),
                received=at("09:00"),
            )
        ]
    )
    found = {who: sums(shared, who) for who in (agent, other)}
    assert sum(one.get("talk", 0) for one in found.values()) == 31  # whoever it was, one of them, and from a minute earlier
    shared.true()


def test_an_open_state_and_an_open_talk(shared: Bench, agent: str) -> None:
    shared.project([*states(agent, "08:00 available"), *talk(agent, f"{agent}-1", "09:00", None)])
    assert [line for line in shown(shared, agent) if line.endswith(("available", "-1"))][-1] == f"01 09:00- talking {agent}-1"
    assert shifts(shared, agent) == ["01 08:00-"]
    assert sums(shared, agent) == {"ringing": 1, "available": 59, "logged_in": 60}
    shared.project(states(agent, "08:00 paused", 3))
    assert shared.rows("SELECT day::text FROM live.agent_intervals WHERE agent = %s AND ended_at IS NULL", agent) == [("2026-07-04",)]


def test_years_without_an_event_are_few_rows(shared: Bench, agent: str) -> None:
    shared.project([state(agent, "08:00", "paused", -4000), state(agent, "08:00", "offline")])
    assert shared.rows(
        "SELECT count(*), sum(extract(epoch FROM ended_at - started_at))::int FROM live.agent_intervals WHERE agent = %s", agent
    ) == [(2, 4000 * 86400)]
    assert shared.rows("SELECT in_slots FROM live.agent_intervals WHERE agent = %s ORDER BY started_at", agent) == [(False,), (True,)]


def test_of_conflicting_copies_the_first_received_stands(shared: Bench, agent: str) -> None:
    later, first = (state(agent, clock, "available", event_id="same", received=at(clock)) for clock in ("09:00", "08:00"))
    shared.project([later, *states(agent, "10:00 offline")])
    assert shown(shared, agent) == ["01 09:00-10:00 available"]
    shared.project([first])
    assert shown(shared, agent) == ["01 08:00-10:00 available"]
    shared.project([copy(later, later=-3 * HOUR)])  # a receipt of it that is older than all
    assert shown(shared, agent) == ["01 09:00-10:00 available"]
    shared.true()


def wraps(bench: Bench, agent: str) -> list[str]:
    return [line for line in shown(bench, agent) if "wrap_up" in line]


def test_wrap_up_after_midnight_is_of_a_talk_that_was_told_later(shared: Bench, agent: str) -> None:
    shared.project([*states(agent, "22:00 available"), *states(agent, "00:05 wrap_up,00:10 available", 1)])
    assert wraps(shared, agent) == ["02 00:05-00:10 wrap_up"]
    shared.project(talk(agent, f"{agent}-1", "23:50", "23:58"))
    assert wraps(shared, agent) == [f"02 00:05-00:10 wrap_up {agent}-1"]


def test_wrap_up_of_days_stays_that_of_its_talk(shared: Bench, agent: str) -> None:
    shared.project([*states(agent, "23:58 wrap_up"), *states(agent, "10:00 offline", 6), *talk(agent, f"{agent}-2", "09:00", "09:10", 5)])
    shared.project(talk(agent, f"{agent}-1", "23:50", "23:57"))
    first, second = f"wrap_up {agent}-1", f"wrap_up {agent}-2"
    want = [f"01 23:58-00:00 {first}", f"06 00:00-08:59 {first}", f"06 09:10-00:00 {second}", f"07 00:00-10:00 {second}"]
    assert wraps(shared, agent) == want
    shared.project(talk(agent, f"{agent}-3", "12:00", "12:05", 5))
    assert wraps(shared, agent)[:3] == [*want[:2], f"06 09:10-11:59 {second}"]


def test_a_day_of_which_nothing_is_known_any_more(shared: Bench, agent: str) -> None:
    later, first = (state(agent, "09:00", "paused", day, event_id="same", received=at("00:00", 9 - day)) for day in (1, 3))
    shared.project([*states(agent, "08:00 available"), later, *states(agent, "10:00 available", 2), *states(agent, "10:00 offline", 5)])
    assert shown(shared, agent)[:3] == ["01 08:00-00:00 available", "02 00:00-09:00 available", "02 09:00-00:00 paused"]
    shared.project([first])  # it was day 4, and day 2 says nothing: what day 1 says reaches further
    assert shown(shared, agent)[1:4] == ["03 00:00-00:00 available", "04 00:00-09:00 available", "04 09:00-00:00 paused"]
    assert [day for (day,) in shared.rows("SELECT extract(day FROM day)::int FROM live.agent_days WHERE agent = %s ORDER BY 1", agent)] == [
        1,
        3,
        4,
        6,
    ]
    (until,) = shared.rows("SELECT max(ended_at) FROM live.agent_intervals WHERE agent = %s AND day = '2026-07-01'", agent)
    assert clock(until[0], "%d %H") == "03 00"
    shared.true()


def test_what_is_no_state_counts_for_nothing(shared: Bench, agent: str) -> None:
    shared.project([
        *states(agent, "08:00 available,09:00 offline"), state(agent, "08:10", "dancing"), state(agent, "08:15", "paused", lasts_ms="x"),
        delivery(json.dumps({"type": "agent.state", "agent": agent, "state": "paused", "occurred_at": "noon"}).encode(), received=at("08:20")),
    ])  # fmt: skip
    assert shown(shared, agent) == ["01 08:00-09:00 available"]


def test_states_of_fixed_length_and_those_of_our_own_desk(shared: Bench, agent: str) -> None:
    shared.project([state(agent, "08:00", "wrap_up", lasts_ms=600_000), state(agent, "09:00", "wrap_up", lasts_ms=9 * 10**17)])
    ours = AgentState(agent=agent, at=at("09:30"), state="paused", reason="dispatch")
    shared.project([own(ours, tenant="default", account="", provider="neutral", receipt=f"{next(NUMBER):032x}", received_at=at("09:30"))])
    assert shown(shared, agent) == [
        "01 08:00-08:10 wrap_up",
        "01 08:10-09:00 available",
        "01 09:00-09:30 wrap_up",
        "01 09:30- paused dispatch",
    ]


def test_nothing_is_written_where_nothing_changes(shared: Bench, agent: str) -> None:
    shared.project([*states(agent, SHIFT), *talk(agent, f"{agent}-1", "09:10", "09:25")])

    def versions() -> list[Any]:
        return [
            shared.rows(f"SELECT xmin::text, * FROM g{live(shared)}.{name} WHERE agent = %s ORDER BY 1, 4", agent) for name in AGENT_TABLES
        ]

    before = versions()
    shared.project([copy(one) for one in states(agent, SHIFT)])
    with psycopg.connect(shared.url) as connection:
        connection.execute(
            "INSERT INTO safiri.dirty_days (generation, tenant, agent, from_at) VALUES (%s, 'default', %s, now() - interval '9 years')",
            (live(shared), agent),
        )
    settle(shared.made[0])
    assert versions() == before


def test_a_fold_that_fails_is_told_and_stops_nobody_else(shared: Bench, agent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other, real = f"{agent}-other", agent_fold.days

    def fails(told: list[State], *more: Any, **options: Any) -> Any:
        if any(one.reason == "poison" for one in told):
            raise ValueError("a bug")
        return real(told, *more, **options)

    with monkeypatch.context() as patched:
        patched.setattr(agent_fold, "days", fails)
        shared.project([state(agent, "08:00", "paused", reason="poison"), *states(other, "08:00 paused")])
    assert (shown(shared, agent), shown(shared, other)) == ([], ["01 08:00- paused"])
    assert shared.rows("SELECT call_sid, reason FROM safiri.broken") == [(f"agent {agent}", "ValueError: a bug")]
    shared.project(states(agent, "09:00 offline"))
    assert (shown(shared, agent), shared.rows("SELECT * FROM safiri.broken")) == (["01 08:00-09:00 paused poison"], [])


def live(bench: Bench) -> int:
    return int(bench.rows("SELECT n FROM safiri.generations WHERE state = 'live'")[0][0])


def test_freshness_counts_what_waits_for_the_second_fold(shared: Bench, agent: str) -> None:
    made = engine(shared.url, name="test")
    waiting = put_off(made)
    assert waiting() == (0, None)
    shared.made[0].project(shared.log(states(agent, "08:00 available")))
    assert waiting() == (1, at("08:00"))
    settle(shared.made[0])
    assert waiting() == (0, None)
    made.dispose()


# ---------------------------------------------------------------- whatever comes, however


def busy_month(seed: int, agents: list[str], events: int = 120) -> list[Envelope]:
    """States and calls of a month, in no order; some copies, some conflicts."""
    rng = random.Random(seed)
    made: list[Envelope] = []
    for n in range(events):
        who, day, hour = rng.choice(agents), rng.choice([0, 1, 2, 3, 9, 20]), rng.randrange(24)
        if n % 2:
            made.append(
                state(
                    who,
                    f"{hour}:{rng.randrange(60)}",
                    rng.choice(["available", "paused", "wrap_up", "offline", "talking"]),
                    day,
                    event_id=f"{n % 50}",
                )
            )
        else:
            start = rng.randrange(60)
            made += talk(
                who,
                f"{seed}-{n}",
                f"{hour}:{start}",
                rng.choice([f"{hour}:{start + rng.randrange(90)}", f"{hour + rng.randrange(30)}:59", None]),
                day,
            )
    made += [copy(one, later=rng.randrange(-90, 90) * MINUTE) for one in rng.sample(made, len(made) // 8)]
    rng.shuffle(made)
    return made


def agents_tables(bench: Bench) -> dict[str, Any]:
    return {name: rows for name, rows in bench.tables().items() if name in AGENT_TABLES}


@pytest.mark.parametrize("at_once", [3000, 4])
def test_any_order_and_any_batches_come_to_the_same_days(
    another: Callable[[], Bench], monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(agent_facts, "_BOUND", agent_facts._BOUND.replace("3000", str(at_once)))
    events = busy_month(1, ["amina", "baraka"])
    whole, parts = another(), another()
    whole.project(events)
    shuffled = [*events]
    random.Random(2).shuffle(shuffled)
    projector = parts.projector()
    for batch in cut(parts.log(shuffled), 40, 3):
        projector.project(list(batch))
        if len(batch) % 3:
            projector.fold_agents()
    settle(projector)
    assert agents_tables(parts) == agents_tables(whole)
    assert agents_tables(whole)["agent_intervals"] == straight(whole)
    parts.true()


def straight(bench: Bench) -> list[tuple[Any, ...]]:
    """The rows of agent_intervals by one fold over all that the tables know."""
    found = []
    for (agent,) in bench.rows("SELECT DISTINCT agent FROM live.agent_days ORDER BY 1"):
        told = [
            State(micros(when), event, account, state, reason or "", -1 if lasts is None else lasts)
            for when, event, account, state, reason, lasts in bench.rows(
                "SELECT at, event_id, account, state, reason, lasts_ms FROM live.agent_states WHERE agent = %s", agent
            )
        ]
        ran = [
            Stretch(kind, micros(start), None if end is None else micros(end), *names, None if cohort is None else micros(cohort))
            for kind, start, end, *names, cohort in bench.rows(
                "SELECT kind, started_at, ended_at, journey_id, call_sid, leg, queue, cohort_at FROM live.segments WHERE agent = %s AND kind IN ('talk', 'hold', 'ring')",
                agent,
            )
        ]
        for day in days(told, ran, zone="Africa/Nairobi"):
            rows: agent_fold.Rows = []
            agent_fold._rows(("default", agent), day, b"", ([], rows, []))
            found += [tuple(from_micros(value) if n in (5, 6, 12) else value for n, value in enumerate(row)) for row in rows]
    return found


def micros(when: datetime) -> Micros:
    return round(when.timestamp() * 1_000_000)


def from_micros(value: Any) -> Any:
    return None if value is None else datetime.fromtimestamp(value // 1_000_000, UTC) + timedelta(microseconds=value % 1_000_000)


def test_two_projectors_at_once(bench: Bench) -> None:
    events = busy_month(5, ["amina", "baraka", "chebet"], 200)
    first, second = bench.projector(), bench.projector()
    log = bench.log(events)
    halves = [[one for one in log if one.partition % 2 == n] for n in (0, 1)]
    failed: list[BaseException] = []

    def work(projector: Any, records: list[Any]) -> None:
        try:
            for batch in cut(records, 25):
                patiently(projector, batch)
                projector.fold_agents()
        except BaseException as error:  # noqa: BLE001  told by the test's own thread
            failed.append(error)

    workers = [threading.Thread(target=work, args=one) for one in zip((first, second), halves, strict=True)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert failed == []
    settle(first)
    assert bench.rows("SELECT count(*) FROM safiri.dirty_days") == [(0,)]
    assert agents_tables(bench)["agent_intervals"] == straight(bench)
    bench.true()


def test_a_rebuild_says_the_same_of_agents_while_more_comes(bench: Bench) -> None:
    log = bench.log(busy_month(7, ["amina", "baraka"]))
    batches = cut(log, 12)
    projector = bench.projector()
    for batch in batches[:6]:
        projector.project(list(batch))  # nothing of it is folded yet
    worker = threading.Thread(target=lambda: [patiently(projector, batch) for batch in batches[6:]])
    worker.start()
    assert rebuild(bench.url).differences == []
    worker.join()
    assert rebuild(bench.url, verify=True).differences == []
    settle(projector)
    before = agents_tables(bench)
    assert before["agent_intervals"] == straight(bench)
    for name in AGENT_TABLES:
        with psycopg.connect(bench.url) as connection:
            connection.execute(f"DELETE FROM g{live(bench)}.{name}")
        rebuild(bench.url, projection=name)
        assert agents_tables(bench) == before
    bench.true()


def test_another_time_zone_makes_other_days(bench: Bench) -> None:
    migrate(Settings(tenants={"default": Tenant()}), bench.url, now=1)
    bench.project([*states("amina", "22:00 available"), *states("amina", "02:00 offline", 1), *states("amina", "09:00 paused", 2)])
    assert [line[:2] for line in shifts(bench, "amina")] == ["01", "02", "03"]
    migrate(Settings(tenants={"default": Tenant(timezone="America/New_York")}), bench.url, now=2)
    settle(bench.made[0])
    assert [f"{day:%d}" for (day,) in bench.rows("SELECT day FROM live.agent_days ORDER BY 1")] == ["01", "03"]
    bench.true()
    assert generations.fingerprint()  # the tables' shape is the same: no rebuild was needed
    assert bench.rows("SELECT n FROM safiri.generations") == [(1,)]
