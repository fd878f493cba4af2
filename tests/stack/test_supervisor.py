"""`safiri up` as a supervisor: order, deaths, back-off, endings. The addresses are external, so nothing heavy is started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running import Up, alive, eventually

ADDRESSES = {"SAFIRI_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "SAFIRI_KAFKA_BOOTSTRAP": "127.0.0.1:1"}

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")


@pytest.fixture
def up() -> Iterator[Callable[..., Up]]:
    made: list[Up] = []
    with tempfile.TemporaryDirectory(prefix="safiri-up-") as home:

        def make(**env: str) -> Up:
            made.append(Up(Path(home) / "data", "--stack", "external", env=ADDRESSES | env))
            return made[-1]

        yield make
        for one in made:
            one.close()


def test_roles_start_after_the_schema_and_stop_in_order(up: Callable[..., Up]) -> None:
    one = up().start()
    assert one.out.read_text() == f"ready {one.json('run')['http']}\n"
    assert one.json("run") | {"http": ""} == {
        "http": "", "database": ADDRESSES["SAFIRI_DATABASE_URL"], "kafka": "127.0.0.1:1", "virtual": "", "pid": one.own_pid
    }  # fmt: skip
    all_started(one)
    assert one.trace()[0] == "migrate started"
    assert one.stop() < 5
    assert one.trace()[4:] == ["http stopped", "worker stopped", "projector stopped"]
    assert not (one.data / "run.json").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_other_signals_stop_it_as_well(up: Callable[..., Up], number: signal.Signals) -> None:
    up().start().stop(number)


def test_what_dies_is_started_again_and_counted(up: Callable[..., Up]) -> None:
    one = up().start()
    for name in ("http", "http", "worker"):
        dies(one, name)
    assert one.json("restarts") == {"migrate": 0, "http": 2, "projector": 0, "worker": 1}


def all_started(one: Up) -> None:
    """Ready is what HTTP is; the others may still be on their way."""
    eventually(lambda: len(one.trace()) == 4, "schema and all roles started")


def dies(one: Up, name: str) -> None:
    dead = one.pid(name)
    os.kill(dead, signal.SIGKILL)
    eventually(lambda: one.pid(name) != dead and alive(one.pid(name)), "started again", 5)


def test_sigkill_leaves_nothing_and_the_next_start_works(up: Callable[..., Up]) -> None:
    one = up().start()
    first = one.json("run")
    one.stop(signal.SIGKILL)
    assert (one.data / "run.json").exists()
    one.start()
    assert one.json("run")["http"] == first["http"]
    assert one.json("run")["pid"] != first["pid"]


@pytest.mark.parametrize("code", [2, 3])
def test_a_role_that_cannot_run_ends_it_with_its_code_and_last_words(up: Callable[..., Up], code: int) -> None:
    got, said = up(PART_WORKER=f"exit:{code}").launch().ended()
    assert got == code
    assert "worker cannot go on: nobody told it the word" in said.splitlines()


def test_a_role_that_never_comes_up_ends_it(up: Callable[..., Up]) -> None:
    one = up(PART_HTTP="exit:1")
    got, said = one.launch().ended()
    assert got == 4
    assert "http cannot run (exit code 1)" in said
    assert not alive(one.own_pid)


def test_a_wrong_schema_ends_it_at_once(up: Callable[..., Up]) -> None:
    one = up(PART_MIGRATE="exit:3")
    assert one.launch().ended()[0] == 3
    assert "http started" not in one.trace()


def test_who_ignores_sigterm_is_killed(up: Callable[..., Up]) -> None:
    one = up(PART_WORKER="deaf", PART_STOP_S="1").start()
    all_started(one)
    assert one.stop() < 5
    assert one.trace()[-2:] == ["http stopped", "projector stopped"]


def test_a_second_up_on_the_same_data_is_refused(up: Callable[..., Up]) -> None:
    one = up().start()
    code, said = Up(one.data, "--stack", "external", env=ADDRESSES).launch().ended()
    assert (code, len(said.splitlines())) == (2, 1)
    assert "another `safiri up` runs" in said
    assert alive(one.pid("http"))


def test_a_taken_port_is_said(up: Callable[..., Up], monkeypatch: pytest.MonkeyPatch) -> None:
    one = up().start()
    port = one.json("run")["http"].rsplit(":", 1)[1]
    other = Up(one.data.parent / "other", "--stack", "external", "--port", port, env=ADDRESSES)
    code, said = other.launch().ended()
    assert code == 2
    assert f"port {port} of 127.0.0.1 is taken" in said


def test_external_needs_both_addresses(tmp_path: Path) -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("SAFIRI_")}
    for env in ({}, {"SAFIRI_DATABASE_URL": "postgresql://x"}):
        done = subprocess.run(
            [sys.executable, "-m", "cli", "up", "--stack", "external", "--data-dir", str(tmp_path / "data")],
            env=bare | env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert "SAFIRI_KAFKA_BOOTSTRAP" in done.stderr
        assert not (tmp_path / "data").exists()
