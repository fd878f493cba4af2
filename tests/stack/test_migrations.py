"""The schema: up, down and up again; idempotent; safe from several processes at once; a generation of another shape is rebuilt."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from projecting import Bench, story
from whole import Databases

from projections import generations
from projections.schema import alembic, migrate
from runtime.settings import Account, Agent, Settings


@pytest.fixture
def empty(databases: Databases) -> Iterator[str]:
    """A database with nothing in it."""
    with databases.fresh(template="template0") as url:
        yield url


def schemas(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1"
        )
        return [name for (name,) in found]


def shape(url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT table_schema, table_name, column_name, data_type, is_nullable FROM information_schema.columns "
            "WHERE table_schema IN ('safiri', 'live') ORDER BY 1, 2, ordinal_position"
        ).fetchall()


def test_up_down_up(empty: str) -> None:
    migrate(Settings(), empty, now=1)
    first = shape(empty)
    assert schemas(empty) == ["g1", "live", "public", "safiri"]
    Bench(empty).project(story("+0 call.started"))
    command.downgrade(alembic(empty), "base")
    assert schemas(empty) == ["public"]
    migrate(Settings(), empty, now=1)
    assert shape(empty) == first


def test_every_step_goes_up_and_down(empty: str) -> None:
    steps = list(ScriptDirectory.from_config(alembic(empty)).walk_revisions())
    assert len(ScriptDirectory.from_config(alembic(empty)).get_heads()) == 1
    for step in reversed(steps):
        command.upgrade(alembic(empty), step.revision)
        command.downgrade(alembic(empty), step.down_revision or "base")  # type: ignore[arg-type]
        command.upgrade(alembic(empty), step.revision)


def test_twice_is_once_and_several_at_once_are_one(empty: str) -> None:
    failed: list[BaseException] = []

    def up() -> None:
        try:
            migrate(Settings(), empty, now=1)
        except BaseException as error:  # noqa: BLE001  told by the test's own thread
            failed.append(error)

    threads = [threading.Thread(target=up) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with psycopg.connect(empty) as connection:
        assert connection.execute("SELECT count(*) FROM safiri.configuration").fetchone() == (1,)
        assert connection.execute("SELECT n, state FROM safiri.generations").fetchall() == [(1, "live")]


def test_the_configuration_is_appended_where_it_changed(bench: Bench) -> None:
    def known() -> int:
        return int(bench.rows("SELECT count(*) FROM safiri.configuration")[0][0])

    before = known()
    own = Settings(accounts={"acme": Account(provider="neutral", numbers=["0711 000 100"])}, agents={"amina": Agent(number="0720000001")})
    for now, settings, added in ((10, own, 1), (20, own, 1), (30, Settings(), 2), (40, own, 3)):
        migrate(settings, bench.url, now=now)
        assert known() - before == added


def test_what_was_configured_later_does_not_rewrite_history(bench: Bench) -> None:
    bench.project(story("+0 call.started @before from=+254712345678 to=+254711000100"))
    own = Settings(accounts={"acme": Account(provider="neutral", numbers=["+254711000100"])})
    migrate(own, bench.url, now=1_788_264_000_000_000 + 60_000_000)  # a minute after noon
    bench.project(story("+10 call.ended @before\n+02:00 call.started @after from=+254712345678 to=+254711000100"))
    told = {one["calls"][0]["call_sid"]: one["direction"] for one in bench.journeys()}
    assert told == {"before": None, "after": "inbound"}
    bench.true()


def test_a_fold_of_another_version_rebuilds_before_it_is_shown(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.project(story("+0 call.started\n+9 call.ended"))
    before = bench.tables()
    monkeypatch.setattr(generations, "VERSION", 999)
    migrate(Settings(), bench.url, now=1)
    assert bench.rows("SELECT n, state FROM safiri.generations") == [(2, "live")]
    assert bench.tables() == before
    bench.project(story("+20 recording.ready id=r"))
    assert bench.journey()["events"] == 3
