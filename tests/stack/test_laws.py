"""The laws of the numbers: none is broken by any story, and no row of a derived table is lost, doubled or changed unnoticed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from morning import STATES, projected, reported
from projecting import Bench, delivery, priced, settle, story, traffic
from psycopg import sql
from sqlalchemy.dialects import postgresql as pg

from calls.clock import parse_time, rfc3339
from calls.metrics.laws import BY_ID, LAWS, Law
from projections import ACCOUNT_TABLES, generations
from projections.bisecting import project_bisecting
from projections.deferred import LARGE
from runtime.laws.check import QUESTIONS, Range, ask, broken, check
from tests.given import NOON, SECOND

NOT_READ = {  # columns that no metric and no page reads
    ("journeys", "digest"): "tells the projector whether anything changed", ("journeys", "slots"): "what the projector added to queue_slots",
    ("journeys", "last_sign_at"): "tells the worker who fell silent", ("calls", "provider"): "the journey has its own",
    ("agent_states", "queue"): "kept as reported", ("agent_states", "received_at"): "orders copies", ("charges", "received_at"): "which version of a plan was known", ("agent_days", "digest"): "as of journeys",
}  # fmt: skip
UNTOLD = ("call_index", "labels", "statement_lines")  # the journal alone says what is in them: a rebuild compares them
NOT_READ |= {
    (one.name, str(column.name)): "what a parser makes of a line only a rebuild can tell"
    for one in ACCOUNT_TABLES for column in one.table.columns if column.name != "received_at"
}  # fmt: skip
TABLES = {table.name: table for table in generations.TABLES if table.name not in UNTOLD}
COLUMNS = [
    (table.name, column.name)
    for table in TABLES.values()
    for column in table.columns
    if not column.primary_key and (table.name, column.name) not in NOT_READ
]


@pytest.fixture(scope="module")
def morning(database_url: str) -> Iterator[Bench]:
    made = projected(database_url)
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
    priced(bench, acme="acme-ke", bank="acme-ke")
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


def test_times_of_ranges_are_whole_quarters_for_sums() -> None:
    at = parse_time("2026-09-01T12:07:00Z")
    bound = Range(at, at).bound()
    assert (str(bound["slots_since"]), str(bound["slots_until"])) == ("2026-09-01 12:15:00+00:00", "2026-09-01 12:00:00+00:00")
    assert Range(parse_time("9999-12-31T23:59:59Z")).bound()["slots_since"] == "infinity"
