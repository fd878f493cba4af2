"""Rebuilding: the same tables from the journal, one changed cell is named, live traffic goes on, a killed run leaves nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from projecting import CLUSTER, TOPIC_IDS, Bench, cut, patiently, settle, story, traffic

from projections import generations, positions
from projections import rebuild as rebuilding
from projections.rebuild import rebuild
from runtime.problems import Refused

STORY = (
    "+0 call.started direction=inbound from=+254712345678\n+5 queue.entered queue=q\n+9 queue.left queue=q reason=abandoned\n+9 call.ended"
)


def generations_of(bench: Bench) -> list[tuple[Any, ...]]:
    """(schemas, rows of safiri.generations)."""
    return [
        *bench.rows("SELECT nspname FROM pg_namespace WHERE nspname ~ '^g[0-9]+$' ORDER BY 1"),
        *bench.rows("SELECT n, state FROM safiri.generations ORDER BY 1"),
    ]


@pytest.fixture
def busy(bench: Bench) -> Bench:
    bench.project(traffic(3, 25), batches=4)
    return bench


def test_a_rebuild_says_the_same_and_switches(busy: Bench) -> None:
    before = busy.tables()
    report = rebuild(busy.url)
    assert (report.switched, report.differences, report.broken) == (True, [], 0)
    assert busy.tables() == before
    assert generations_of(busy) == [("g2",), (2, "live")]
    assert report.roots == rebuild(busy.url, verify=True).roots
    busy.project(story(STORY))  # and goes on in the new generation
    busy.true()


@pytest.mark.parametrize(("table", "column", "value"), [
    ("journeys", "talk_ms", 1), ("journeys", "document", "{}"), ("segments", "duration_ms", 7), ("call_index", "journey_id", "jn_x"),
])  # fmt: skip
def test_one_changed_cell_is_named(bench: Bench, table: str, column: str, value: object) -> None:
    bench.project(story(STORY))
    with psycopg.connect(bench.url) as connection:
        connection.execute(f"UPDATE g1.{table} SET {column} = %s WHERE ctid = (SELECT max(ctid) FROM g1.{table})", (value,))
    (found,) = rebuild(bench.url, verify=True).differences
    assert (found.table, found.column, found.live) == (table, column, value)
    assert found.key["tenant"] == "default"
    assert generations_of(bench) == [("g1",), (1, "live")]
    assert rebuild(bench.url).switched
    bench.true()


def test_rows_too_few_and_too_many_are_named(bench: Bench) -> None:
    bench.project(story(STORY))
    with psycopg.connect(bench.url) as connection:
        connection.execute("DELETE FROM g1.queue_visits")
        connection.execute("INSERT INTO g1.legs (tenant, journey_id, call_sid, leg) VALUES ('default', 'x', 'y', 'z')")
    found = {(one.table, one.column, one.live, one.rebuilt) for one in rebuild(bench.url, verify=True).differences}
    assert found == {("queue_visits", "", None, "row"), ("legs", "", "row", None)}


@pytest.mark.parametrize("name", [table.name for table in generations.TABLES])
def test_one_projection_alone(bench: Bench, name: str) -> None:
    bench.project(story(STORY))
    before = bench.tables()
    with psycopg.connect(bench.url) as connection:
        connection.execute(f"DELETE FROM g1.{name}")
    rebuild(bench.url, projection=name)
    assert bench.tables() == before
    assert generations_of(bench) == [("g1",), (1, "live")]
    bench.project(story("+20 call.answered id=late"))
    bench.true()


def test_a_projection_that_does_not_exist(bench: Bench) -> None:
    with pytest.raises(Refused, match="known: "):
        rebuild(bench.url, projection="nonsense")


def test_the_index_rebuilt_alone_leaves_no_memory_that_lies(bench: Bench) -> None:
    """The index counts folds, and what a projector remembers is only worth something at that count."""
    first, second = bench.projector(), bench.projector()
    log = bench.log(story("+0 call.started\n+1 call.answered\n+2 menu.entered menu=a\n+3 menu.left\n+9 call.ended"))
    first.project(log[:1])
    first.project(log[1:2])  # `first` remembers two events at the count of two
    rebuild(bench.url, projection="call_index")
    second.project(log[2:3])  # three events; counted anew, this would be the second fold
    first.project(log[3:])
    assert bench.journey()["events"] == 5
    bench.true()


# ---------------------------------------------------------------- while traffic goes on


@pytest.mark.parametrize("verify", [False, True])
def test_while_traffic_goes_on(bench: Bench, verify: bool) -> None:
    log = bench.log(traffic(5, 60))
    batches = cut(log, 60)
    for batch in batches[:20]:
        patiently(bench.projector() if not bench.made else bench.made[0], batch)
    failed: list[BaseException] = []

    def go_on() -> None:
        try:
            for batch in batches[20:]:
                patiently(bench.made[0], batch)
        except BaseException as error:  # noqa: BLE001  told by the test's own thread
            failed.append(error)

    worker = threading.Thread(target=go_on)
    worker.start()
    reports = [rebuild(bench.url, verify=verify)]
    while worker.is_alive():
        reports.append(rebuild(bench.url, verify=verify))
    worker.join()
    assert failed == []
    assert [one.differences for one in reports] == [[]] * len(reports)
    settle(bench.made[0])
    bench.true()
    assert bench.rows("SELECT count(*) FROM live.calls")[0][0] >= 60


def test_what_a_large_journey_still_waits_for_is_no_difference(bench: Bench) -> None:
    bench.project(story("+0 call.started\n" + "".join(f"+{n} bot.turn leg=bot\n" for n in range(600))))
    bench.made[0].project(bench.log(story("+700 call.ended id=last")))
    bench.true()


def test_an_older_shape_goes_though_a_large_journey_still_waits_in_it(bench: Bench) -> None:
    bench.project(story("+0 call.started\n" + "".join(f"+{n} bot.turn leg=bot\n" for n in range(600))))
    bench.made[0].project(bench.log(story("+700 call.ended id=last")))
    with psycopg.connect(bench.url) as connection:
        connection.execute("DROP VIEW live.journeys")
        connection.execute("ALTER TABLE g1.journeys DROP COLUMN slots")
    assert rebuild(bench.url).switched
    assert bench.journey()["state"] == "ended"
    bench.true()


def test_a_link_that_came_after_its_call_was_folded_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    log = bench.log(story("+0 call.started @a\n+1 call.started @b\n+2 call.linked @b to_call_sid=a"))
    bench.projector().project(log[:2])
    real = rebuilding.Rebuild._fill

    def fill(self: Any) -> None:
        real(self)
        bench.made[0].project(log[2:])

    with monkeypatch.context() as patched:
        patched.setattr(rebuilding.Rebuild, "_fill", fill)
        rebuild(bench.url)
    assert [one["call_sid"] for one in bench.journey()["calls"]] == ["a", "b"]
    bench.true()


# ---------------------------------------------------------------- what goes wrong


class Killed(BaseException):
    """As SIGKILL would: nothing of ours runs any more."""


def test_a_killed_rebuild_leaves_nothing_and_the_next_works(busy: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    before = busy.tables()
    with monkeypatch.context() as patched:
        patched.setattr(generations, "drop", lambda *_: None)  # killed: it cannot clean up
        patched.setattr(rebuilding.Rebuild, "_last", lambda *_, **__: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            rebuild(busy.url)
    assert (2, "building") in generations_of(busy)
    busy.project(story(STORY.replace("call.started", "call.started @late-one", 1)))  # noted for a rebuild that will never come
    assert rebuild(busy.url, verify=True).differences == []
    assert generations_of(busy) == [("g1",), (1, "live")]
    assert before.keys() == busy.tables().keys()


def test_killed_right_after_the_switch_the_new_tables_live_and_the_old_go_later(busy: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    before, real = busy.tables(), generations.drop

    def killed(connection: Any, n: int) -> None:
        if n == 1:
            raise Killed
        real(connection, n)

    with monkeypatch.context() as patched:
        patched.setattr(generations, "drop", killed)
        with pytest.raises(Killed):
            rebuild(busy.url)
    assert busy.tables() == before
    busy.true()
    assert generations_of(busy) == [("g2",), (2, "live")]


def test_a_failure_in_the_middle_cleans_up(busy: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> Any:
        raise RuntimeError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(rebuilding, "root", fails)
        with pytest.raises(RuntimeError, match="disk full"):
            rebuild(busy.url)
    assert generations_of(busy) == [("g1",), (1, "live")]
    busy.true()


def test_one_rebuild_at_a_time(bench: Bench) -> None:
    with psycopg.connect(bench.url) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (generations.MAKING,))
        with pytest.raises(Refused, match="another rebuild"):
            rebuild(bench.url)
    bench.true()


# ---------------------------------------------------------------- positions


def test_another_kafka_is_refused_until_it_is_adopted(bench: Bench) -> None:
    bench.project(story(STORY))
    with psycopg.connect(bench.url) as connection:
        positions.check(connection, cluster_id=CLUSTER, topic_ids=TOPIC_IDS)
        wiped = {topic: f"new-{one}" for topic, one in TOPIC_IDS.items()}
        for cluster, topics in (("another", TOPIC_IDS), (CLUSTER, wiped), ("another", wiped)):
            with pytest.raises(positions.AnotherKafka, match="adopt-new-kafka"):
                positions.check(connection, cluster_id=cluster, topic_ids=topics)
        assert positions.adopt(connection, cluster_id=CLUSTER, topic_ids=wiped) > 0
        positions.check(connection, cluster_id=CLUSTER, topic_ids=wiped)
        begun = positions.take(connection, [("call-events", 0)], cluster_id=CLUSTER, topic_ids=wiped, oldest={("call-events", 0): 7})
        assert begun == {("call-events", 0): 7}
    assert bench.journey()["state"] == "ended"


def test_positions_never_go_back_and_skip_only_what_kafka_has_removed(bench: Bench) -> None:
    where = ("call-events", 0)
    with psycopg.connect(bench.url) as connection:

        def take(oldest: int) -> int:
            return positions.take(connection, [where], cluster_id=CLUSTER, topic_ids=TOPIC_IDS, oldest={where: oldest})[where]

        assert [take(0), take(9), take(3), take(9), take(12)] == [0, 9, 9, 9, 12]


def test_two_logs_one_after_the_other_tell_one_story(bench: Bench) -> None:
    """The journal outlives a Kafka: what came through the old one and comes again through the new one counts once."""
    events = story(STORY)
    bench.project(events)
    with psycopg.connect(bench.url) as connection:
        positions.adopt(connection, cluster_id="new", topic_ids=TOPIC_IDS)
    made: Callable[[], Bench] = lambda: Bench(bench.url, cluster="new")  # noqa: E731
    new = made()
    new.project([*events, *story("+20 recording.ready recording_id=r id=r")])
    assert new.journey()["events"] == 5
    new.true()
    new.close()
