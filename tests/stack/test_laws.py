"""The laws of the numbers: none is broken by any story, and no row of a derived table is lost, doubled or changed unnoticed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from asking import SETTINGS, Kafka, problem
from click.testing import CliRunner
from fastapi.testclient import TestClient
from projecting import Bench, delivery, settle, story, traffic
from psycopg import sql
from sqlalchemy.dialects import postgresql as pg

from api.analytics.invariants import EVERY_S, Watch
from api.app import build
from calls.clock import parse_time, rfc3339
from calls.metrics.laws import BY_ID, LAWS, Law
from cli import invariants, rebuild
from projections import generations
from projections.bisecting import project_bisecting
from projections.deferred import LARGE
from runtime import keys
from runtime.laws.check import QUESTIONS, Range, ask, broken, check, check_all
from runtime.problems import Retry
from tests.given import NOON, SECOND

# A morning of two queues and three agents: answered, abandoned, sent on, transferred, held, with bots, outgoing, still going on.
MORNING = """
+0 call.started @one direction=inbound from=+254712000001 to=+254711000100 id=one-0
+1 call.answered @one
+1 call.linked @one alias=ONE id=one-1
+1 menu.entered @one menu=main
+4 menu.digits @one menu=main digits=1
+5 queue.entered @one queue=support priority=2
+20 leg.started @one leg=a kind=agent agent=amina queue=support to=+254720000001
+25 queue.left @one queue=support reason=answered
+25 leg.answered @one leg=a kind=agent agent=amina queue=support
+60 hold.started @one leg=a
+80 hold.ended @one leg=a
+200 leg.ended @one leg=a ended_by=agent cause=hangup
+200 call.ended @one ended_by=agent attr.note=gold

+30 call.started @two direction=inbound from=+254712000002 to=+254711000100 id=two-0
+31 menu.entered @two menu=main
+33 menu.digits @two menu=sub digits=2 timed_out=true
+35 queue.entered @two queue=sales
+90 queue.left @two queue=sales reason=overflow
+90 queue.entered @two queue=support
+100 leg.started @two leg=b kind=agent agent=baraka queue=support
+110 queue.left @two queue=support reason=answered
+110 leg.answered @two leg=b kind=agent agent=baraka queue=support
+300 leg.ended @two leg=b
+290 queue.entered @two queue=sales
+310 leg.answered @two leg=c kind=agent agent=chao queue=sales
+310 queue.left @two queue=sales reason=answered
+700 leg.ended @two leg=c
+700 call.ended @two ended_by=caller

+40 call.started @three direction=inbound from=+254712000003 to=+254711000100 id=three-0
+41 queue.entered @three queue=sales
+77 queue.left @three queue=sales reason=abandoned
+77 call.ended @three ended_by=caller

+1000 call.started @four direction=inbound from=+254712000004 id=four-0
+1001 bot.started @four leg=bot
+1050 bot.ended @four leg=bot
+1051 call.ended @four ended_by=caller
+1100 call.started @five direction=inbound from=+254712000005 id=five-0
+1101 bot.started @five leg=bot
+1130 bot.handed_over @five leg=bot
+1131 queue.entered @five queue=support
+1140 queue.left @five queue=support reason=closed
+1141 call.ended @five

+1200 call.started @six direction=outbound from=+254711000100 to=+254712000006 id=six-0
+1210 leg.started @six leg=x kind=external to=+254712000007
+1220 leg.answered @six leg=x
+1300 leg.ended @six leg=x cause=normal
+1300 call.failed @six reason=busy
+1400 call.started @seven direction=inbound from=+254712000008 id=seven-0
+1401 queue.entered @seven queue=support
"""
STATES = """
-600 amina available
-500 baraka available
-400 chao paused tea
201 amina wrap_up
240 amina available
300 baraka wrap_up mail ~20
330 baraka paused lunch
600 baraka available
640 chao available
900 chao talking
1000 chao offline
4000 amina offline
4000 baraka offline
90000 amina available
94000 amina offline
"""
NOT_READ = {  # columns that no metric and no page reads
    ("journeys", "digest"): "tells the projector whether anything changed", ("journeys", "slots"): "what the projector added to queue_slots",
    ("journeys", "last_sign_at"): "tells the worker who fell silent", ("calls", "provider"): "the journey has its own",
    ("agent_states", "queue"): "kept as reported", ("agent_states", "received_at"): "orders copies", ("agent_days", "digest"): "as of journeys",
}  # fmt: skip
TABLES = {table.name: table for table in generations.TABLES if table.name not in ("call_index", "labels")}
COLUMNS = [
    (table.name, column.name)
    for table in TABLES.values()
    for column in table.columns
    if not column.primary_key and (table.name, column.name) not in NOT_READ
]


def reported(text: str) -> Iterator[Any]:
    """Deliveries of agents' states: seconds after noon, agent, state, reason; `~20` for a state that lasts 20 s."""
    for line in text.strip().splitlines():
        after, agent, state, *rest = line.split()
        at = NOON + int(after) * SECOND
        event = {"type": "agent.state", "agent": agent, "state": state, "occurred_at": rfc3339(at), "event_id": f"{agent} {after}"}
        extra = [{"lasts_ms": int(word[1:]) * 1000} if word.startswith("~") else {"reason": word} for word in rest]
        yield delivery(json.dumps(event | {name: value for one in extra for name, value in one.items()}).encode(), received=at)


@pytest.fixture(scope="module")
def morning(database_url: str) -> Iterator[Bench]:
    """Two tenants: the morning, and another one's single call."""
    made = Bench(database_url)
    other = {"type": "call.started", "call_sid": "other-1", "direction": "inbound", "occurred_at": rfc3339(NOON)}
    made.project([*story(MORNING), *reported(STATES), delivery(json.dumps(other).encode(), tenant="other", account="rival")], batches=3)
    yield made
    made.close()


# ---------------------------------------------------------------- they hold


def test_every_law_is_asked_and_says_what_it_is() -> None:
    assert set(QUESTIONS) == set(BY_ID)
    assert all(law.says.startswith(law.left) and law.per in law.says for law in LAWS)
    assert BY_ID["legs.parts"].holds(1, 2)
    assert not BY_ID["queue.offered"].holds(1, 2)


def test_untouched_no_law_is_broken_and_nearly_all_count_something(morning: Bench) -> None:
    found = check(morning.url, "default")
    assert broken(found) == []
    assert [one.law.id for one in found if not one.left and not one.right] == []
    assert all(one.law.holds(one.left, one.right) for one in found)


@pytest.mark.parametrize(("since", "until"), [(-900, 100), (100, 1000), (7, 7.5), (900, None), (None, 900), (80_000, 200_000)])
def test_no_law_is_broken_in_any_range(morning: Bench, since: float | None, until: float | None) -> None:
    """Wherever it cuts through calls, talks, days and quarters of an hour."""
    edges = (None if at is None else NOON + int(at * SECOND) for at in (since, until))
    assert broken(check(morning.url, "default", Range(*edges))) == []


def test_no_law_is_broken_by_calls_that_make_no_sense(bench: Bench) -> None:
    bench.project([*traffic(5, 60), *reported("5 amina available\n1800 amina talking\n1900 amina paused\n3000 amina offline")], batches=5)
    assert broken(check(bench.url, "default")) == []


def test_what_is_still_to_be_folded_breaks_no_law(bench: Bench) -> None:
    """A large journey that waits for its fold, calls that are tied to it meanwhile, agents whose time waits."""
    visit = "+{} queue.entered @large queue=q\n+{} queue.left @large queue=q reason=timeout"
    large = "\n".join(visit.format(n, n + 1) for n in range(0, LARGE + 100, 2))
    tied = "+7 call.linked @large alias=HA id=a\n+8 call.linked @small to_call_sid=large id=b\n+9 call.linked @small alias=HB id=c"
    projector = bench.projector()
    small = "+5 call.started @small id=d\n+6 queue.entered @small queue=q id=e"
    for told in (story(large), story(small), story(tied), [*traffic(4, 30), *reported(STATES)]):
        project_bisecting(projector, bench.log(told))
        assert broken(check(bench.url, "default")) == []
    assert bench.rows("SELECT count(*) > 0 FROM safiri.deferred") == bench.rows("SELECT count(*) > 0 FROM safiri.dirty_days") == [(True,)]
    settle(projector)
    assert broken(check(bench.url, "default")) == []


def test_a_text_with_a_nul_in_it_breaks_no_law(bench: Bench) -> None:
    named = {"type": "queue.entered", "call_sid": "c", "occurred_at": rfc3339(NOON), "queue": "q \0 \\u0000 \\\0"}
    bench.project([delivery(json.dumps(named).encode())])
    assert bench.rows("SELECT count(*) FROM live.journeys WHERE strpos(document, '\\u0000') > 0") in ([(1,)], [(0,)])
    assert broken(check(bench.url, "default")) == []


# ---------------------------------------------------------------- they notice


class Tried:
    """Changes tables in a transaction that is rolled back, and says which law notices; the one that noticed last is asked first."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.order: list[Law] = [BY_ID["journeys.told"], *(law for law in LAWS if law.id != "journeys.told")]

    def noticed(self, statement: sql.Composed) -> str | None:
        try:
            assert self.connection.execute(statement).rowcount == 1, statement.as_string(self.connection)
            found = next((law for law in self.order if ask(self.connection, law, "default").broken), None)
        finally:
            self.connection.rollback()
        if found is None:
            return None
        self.order.remove(found)
        self.order.insert(0, found)
        return found.id


@pytest.fixture(scope="module")
def tried(morning: Bench) -> Iterator[Tried]:
    with psycopg.connect(morning.url) as connection:
        yield Tried(connection)


def one_row(table: sa.Table, *, place: str = "first", having: str | None = None) -> sql.Composed:
    """A condition that chooses one row of the tenant: the first or last in order of the key; one that has a value in `having`, if any."""
    keys = sql.SQL(", ").join(
        sql.Identifier(column.name) + sql.SQL(" DESC" if place == "last" else "") for column in table.primary_key.columns
    )
    first = sql.SQL("{} IS NULL, ").format(sql.Identifier(having)) if having else sql.SQL("")
    return sql.SQL("ctid = (SELECT ctid FROM {} WHERE tenant = 'default' ORDER BY {}{} LIMIT 1)").format(place_of(table), first, keys)


def place_of(table: sa.Table) -> sql.Identifier:
    return sql.Identifier("g1", table.name)


@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize("name", TABLES)
def test_a_lost_row_is_noticed(tried: Tried, name: str, place: str) -> None:
    assert tried.noticed(sql.SQL("DELETE FROM {} WHERE {}").format(place_of(TABLES[name]), one_row(TABLES[name], place=place)))


@pytest.mark.parametrize("name", TABLES)
def test_a_doubled_row_is_noticed(tried: Tried, name: str) -> None:
    table = TABLES[name]
    last = list(table.primary_key.columns)[-1]
    columns = [changed(column) if column is last else sql.Identifier(column.name) for column in table.columns]
    assert tried.noticed(
        sql.SQL("INSERT INTO {} SELECT {} FROM {} WHERE {}").format(
            place_of(table), sql.SQL(", ").join(columns), place_of(table), one_row(table)
        )
    )


@pytest.mark.parametrize(("name", "column"), COLUMNS)
def test_a_swapped_value_is_noticed(tried: Tried, name: str, column: str) -> None:
    table = TABLES[name]
    assert tried.noticed(
        sql.SQL("UPDATE {} SET {} = {} WHERE {}").format(
            place_of(table), sql.Identifier(column), changed(table.columns[column]), one_row(table, having=column)
        )
    )


OF_ANOTHER = "(SELECT min(o.{0}) FROM {1} o WHERE o.{0} <> {2}.{0} AND o.tenant = {2}.tenant)"
CHANGED = (  # (type, how another value is made of one in a key, and in another column)
    (sa.Text, "{0} || ' again'", f"coalesce({OF_ANOTHER}, {{0}} || ' other', 'other')"),
    (sa.TIMESTAMP, "{0} + interval '40 days'", "{0} + interval '15 minutes'"),
    (sa.Boolean, "", "NOT {0}"),
    (pg.ARRAY, "", "{0} || 'other'::text"),
    (pg.JSONB, "", "{0} || '{{\"other\": 1}}'"),
    (sa.LargeBinary, "", "{0} || '\\x00'"),
    ((sa.Integer, sa.Date), "{0} + 40", "{0} + 1"),
)  # fmt: skip


def changed(column: sa.Column[Any]) -> sql.Composable:
    """Another value of the same kind; of a text, one that another row has, where there is one."""
    kinds = [(in_key, elsewhere) for kind, in_key, elsewhere in CHANGED if isinstance(column.type, kind)]
    assert kinds, f"{column.table.name}.{column.name}: say in CHANGED how a value of this kind becomes another"
    in_key, elsewhere = kinds[0]
    table = sql.Identifier(column.table.name)
    return sql.SQL(in_key if column.primary_key else elsewhere).format(sql.Identifier(column.name), place_of(column.table), table)


def test_a_violation_says_where(morning: Bench) -> None:
    with psycopg.connect(morning.url) as connection:
        connection.execute("UPDATE g1.queue_visits SET queue = 'sales' WHERE queue = 'support' AND n = 0 AND call_sid = 'one'")
        found = ask(connection, BY_ID["queue.slots"], "default")
        connection.rollback()
    assert found.broken == len(found.violations)
    places = {(one.where["queue"], one.where["of"]): (one.left, one.right) for one in found.violations}
    assert places["support", "offered"] == (2, 1)
    assert places["sales", "offered"] == (3, 4)
    assert found.violations[0].where["slot"].startswith("2026-09-01T12:00:00")


def test_fifty_violations_are_shown_and_all_are_counted(bench: Bench) -> None:
    bench.project(traffic(2, 70))
    with psycopg.connect(bench.url) as connection:
        connection.execute("UPDATE g1.journeys SET visits = visits + 1")
    found = {one.law.id: one for one in check(bench.url, "default")}["journeys.counts"]
    assert found.broken > len(found.violations) == 50


def test_agents_of_whom_something_waits_are_left_out(morning: Bench) -> None:
    """Their rows are of before what waits, and the rest of the tables is not."""
    with psycopg.connect(morning.url) as connection:
        connection.execute("DELETE FROM g1.agent_intervals WHERE agent = 'baraka'")
        assert ask(connection, BY_ID["agents.busy"], "default").broken == 1
        connection.execute("INSERT INTO safiri.dirty_days (generation, tenant, agent, from_at) VALUES (1, 'default', 'baraka', now())")
        agents = [ask(connection, law, "default") for law in LAWS if law.id.startswith("agents.")]
        assert broken(agents) == []
        connection.rollback()


# ---------------------------------------------------------------- they are told


@pytest.fixture(scope="module")
def http(morning: Bench) -> Iterator[TestClient]:
    app = build(SETTINGS, {"http": "", "database": morning.url, "kafka": "", "virtual": "", "pid": 0}, log=Kafka())
    with TestClient(app, raise_server_exceptions=False) as made:
        yield made


@pytest.fixture(scope="module")
def headers(morning: Bench) -> dict[str, dict[str, str]]:
    """Tenant -> what a request carries."""
    engine = sa.create_engine(sa.make_url(morning.url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        made = {tenant: keys.create(connection, name="test", tenant=tenant, scope="read") for tenant in ("default", "other")}
    engine.dispose()
    return {tenant: {"Authorization": f"Bearer {key}"} for tenant, key in made.items()}


def test_the_route_tells_every_law_of_the_keys_tenant(http: TestClient, headers: dict[str, Any]) -> None:
    answer = http.get("/v1/invariants", headers=headers["default"]).json()
    assert set(answer) == {"laws", "violations", "complete_through"}
    assert [law["law"] for law in answer["laws"]] == [law.id for law in LAWS]
    assert answer["violations"] == []
    offered = answer["laws"][0]
    assert {name: offered[name] for name in ("law", "relation", "left", "right", "broken", "violations")} == {
        "law": "queue.offered", "relation": "=", "left": 7, "right": 7, "broken": 0, "violations": [],
    }  # fmt: skip
    others = http.get("/v1/invariants", headers=headers["other"]).json()["laws"]
    assert {law["law"]: law["left"] for law in others if law["law"] in ("queue.offered", "calls.outcomes")} == {
        "queue.offered": 0, "calls.outcomes": 1,
    }  # fmt: skip


def test_the_route_counts_within_a_range(http: TestClient, headers: dict[str, Any]) -> None:
    asked = {"from": "2026-09-01T12:00:00Z", "to": "2026-09-01T15:01:00+03:00"}
    laws = {law["law"]: law for law in http.get("/v1/invariants", headers=headers["default"], params=asked).json()["laws"]}
    assert laws["queue.offered"]["left"] == 3  # one, two into sales, three
    assert laws["calls.outcomes"]["left"] == 3


@pytest.mark.parametrize(("query", "field"), [
    ("from=yesterday", "from"), ("to=2026-09-01T12:00:00", "to"), ("from=2026-09-02T00:00:00Z&to=2026-09-01T00:00:00Z", "from"),
    ("from=", "from"), ("queue=support", "queue"), ("to=2026-09-01T00:00:00Z&to=2026-09-02T00:00:00Z", "to"),
])  # fmt: skip
def test_a_range_that_is_none_is_refused(http: TestClient, headers: dict[str, Any], query: str, field: str) -> None:
    body = problem(http.get(f"/v1/invariants?{query}", headers=headers["default"]), 422)
    assert body["errors"][0]["field"] == field
    problem(http.get("/v1/invariants"), 401)


def test_prometheus_has_the_laws_and_waits_for_none(morning: Bench) -> None:
    now = [1000.0]
    watch = Watch(morning.url, ticks=lambda: now[0])
    assert list(watch.collect()) == []
    watch._asking.ask().result(60)
    found = {metric.name: metric for metric in watch.collect()}
    assert {sample.labels["law"]: sample.value for sample in found["safiri_law_violations"].samples} == dict.fromkeys(BY_ID, 0.0)
    (checked,) = found["safiri_laws_checked_at"].samples
    before = checked.value
    now[0] += EVERY_S + 1
    list(watch.collect())
    watch._asking.ask().result(60)
    (checked,) = {metric.name: metric for metric in watch.collect()}["safiri_laws_checked_at"].samples
    assert checked.value > before


def test_who_asks_while_another_check_runs_is_told_so(morning: Bench) -> None:
    from runtime.laws import check as module

    with module._alone(0), pytest.raises(Retry, match="somebody else"):
        check(morning.url, "default", wait_s=0)


def test_all_tenants_are_checked(morning: Bench) -> None:
    assert list(check_all(morning.url)) == ["default", "other"]


# ---------------------------------------------------------------- the command line


@pytest.fixture
def cli(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command of ours on a database of one call; returns its result."""
    bench.project(
        story("+0 call.started direction=inbound\n+5 queue.entered queue=q\n+9 queue.left queue=q reason=abandoned\n+9 call.ended")
    )
    monkeypatch.setenv("SAFIRI_DATABASE_URL", bench.url)
    monkeypatch.setenv("SAFIRI_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.delenv("SAFIRI_CONFIG", raising=False)

    def run(command: Any, *args: str) -> Any:
        return CliRunner().invoke(command, list(args), standalone_mode=False)

    return run


def test_the_command_line_says_which_law_is_broken(bench: Bench, cli: Any) -> None:
    good = cli(invariants.command)
    assert good.return_value == 0, good.output
    assert good.output.startswith("ok      queue.offered        1 = 1\n")
    with psycopg.connect(bench.url) as connection:
        connection.execute("UPDATE g1.queue_visits SET outcome = 'vanished'")
    wrong = cli(invariants.command, "--from", "2026-09-01T00:00:00Z")
    assert wrong.return_value == 1
    assert "broken  queue.offered        1 = 0\n" in wrong.output
    assert "queue=q, quarter=2026-09-01T12:00:00+00:00: 1 = 0" in wrong.output
    assert cli(invariants.command, "--from", "2027-01-01T00:00:00Z").return_value == 0


def test_a_rebuild_checks_the_laws(bench: Bench, cli: Any) -> None:
    with psycopg.connect(bench.url) as connection:
        connection.execute("UPDATE g1.queue_visits SET outcome = 'vanished'")
    assert f"laws: {len(LAWS)} of {len(LAWS)} hold for tenant default" in cli(rebuild.command).stderr
    done = cli(rebuild.command, "--json")
    assert done.return_value == 0
    assert {law["broken"] for law in json.loads(done.stdout)["laws"]["default"]} == {0}


def test_times_of_ranges_are_whole_quarters_for_sums() -> None:
    at = parse_time("2026-09-01T12:07:00Z")
    bound = Range(at, at).bound()
    assert (str(bound["slots_since"]), str(bound["slots_until"])) == ("2026-09-01 12:15:00+00:00", "2026-09-01 12:00:00+00:00")
    assert Range(parse_time("9999-12-31T23:59:59Z")).bound()["slots_since"] == "infinity"
