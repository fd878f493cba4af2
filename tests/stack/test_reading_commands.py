"""The reading commands on a real Postgres, with Kafka away: what they print, and how they end."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from asking import CALLER, Desk, journey, neutral, opened

import cli
from calls.ladder import WIDTH
from cli.tail import Follower


@pytest.fixture(scope="module")
def desk(database_url: str) -> Iterator[Desk]:
    with opened(database_url) as made:
        made.tenant = "default"
        made.store(journey(made, sid="call-1", labels=["evil \x1b[2J"]), journey(made, labels=["twice"]), journey(made, labels=["twice"]))
        yield made


class Shell:
    """Runs commands in this process. `run` gives (exit code, stdout, stderr)."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def run(self, *args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(args))
        said = self._capture.readouterr()
        return int(ended.value.code or 0), said.out, said.err


@pytest.fixture
def shell(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.chdir(tmp_path)
    for name, value in (("DATABASE_URL", desk.url), ("KAFKA_BOOTSTRAP", "127.0.0.1:1"), ("DATA_DIR", str(tmp_path))):
        monkeypatch.setenv(f"SAFIRI_{name}", value)
    for module in ("journey", "calls"):
        monkeypatch.setattr(f"cli.{module}.complete_through", lambda *_: None)
    return Shell(capsys)


def test_a_journey_is_a_ladder_or_what_http_answers(desk: Desk, shell: Shell) -> None:
    code, text, _ = shell.run("journey", "call-1")
    assert code == 0
    assert "call-1" in text
    assert CALLER in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= WIDTH
    code, text, _ = shell.run("journey", "call-1", "--json")
    told = desk.get("/v1/journeys/call-1", desk.new_key("default")).json()
    assert code == 0
    assert json.loads(text) | {"complete_through": None} == told | {"complete_through": None}


@pytest.mark.parametrize(("args", "says"), [
    (["journey", "nobody"], "no call or journey"), (["journey", "twice"], "names 2 journeys"), (["journey", "x", "--tenant", "nosuch"], "known are default"),
    (["calls", "--caller", "nobody"], "caller: no phone number"), (["calls", "--outcome", "x"], "outcome: not one of"),
    (["keys", "create", "--name", "x", "--tenant", "nosuch"], "known are default"), (["keys", "create", "--name", "\x1b"], "printable"),
    (["keys", "revoke", "nobody00"], "no key"), (["quarantine", "show", "nosuch"], "quarantine ls"), (["quarantine", "show", str(uuid.uuid4())], "quarantine ls"),
    (["quarantine", "redrive"], "--all"), (["calls", "--cursor", "x"], "cursor"), (["tail", "--tenant", "nosuch"], "known are"),
])  # fmt: skip
def test_bad_input_is_2_and_says_what_to_do(shell: Shell, args: list[str], says: str) -> None:
    code, out, err = shell.run(*args)
    assert (code, out) == (2, "")
    assert says in err
    assert "Traceback" not in err


@pytest.mark.parametrize("args", [["journey", "x"], ["calls"], ["tail"], ["lag"], ["quarantine", "ls"], ["keys", "ls"]])
def test_where_nothing_runs_it_is_3(shell: Shell, monkeypatch: pytest.MonkeyPatch, args: list[str]) -> None:
    monkeypatch.delenv("SAFIRI_DATABASE_URL")
    code, out, err = shell.run(*args)
    assert (code, out) == (3, "")
    assert "safiri up" in err


def test_the_list_takes_the_filters_of_http(desk: Desk, shell: Shell) -> None:
    key = desk.new_key("default")
    local = "0" + CALLER[4:]
    code, text, _ = shell.run("calls", "--caller", local, "--limit", "2", "--min-wait-ms", "30000", "--json")
    told = desk.get("/v1/journeys", key, caller=local, limit=2, min_wait_ms=30_000).json()
    assert code == 0
    assert [row["journey_id"] for row in json.loads(text)["journeys"]] == [row["journey_id"] for row in told["journeys"]]
    assert json.loads(text)["next_cursor"] == told["next_cursor"]
    code, text, err = shell.run("calls", "--attr", "vip=no")
    assert (code, text) == (0, "")
    assert "no journeys" in err
    code, text, _ = shell.run("calls")
    assert len(text.splitlines()) == 4


def test_a_key_is_the_last_thing_on_stdout_and_opens_its_tenant(desk: Desk, shell: Shell) -> None:
    code, out, _ = shell.run("keys", "create", "--name", "till", "--scope", "admin")
    key = out.split()[-1]
    assert code == 0
    assert desk.get("/v1/journeys/call-1", key).status_code == 200
    code, listed, _ = shell.run("keys", "ls", "--json")
    row = next(row for row in json.loads(listed)["keys"] if row["id"] == key.split("_")[1])
    assert (row["name"], row["tenant"], row["scope"], row["revoked_at"]) == ("till", "default", "admin", None)
    assert key not in listed
    assert shell.run("keys", "revoke", key)[0] == 0
    assert json.loads(shell.run("keys", "ls", "--json")[1])["keys"][-1]["revoked_at"] is not None


def test_the_quarantine_shows_bodies_without_obeying_them(desk: Desk, shell: Shell) -> None:
    kept = {name: uuid.uuid4() for name in ("text", "bytes", "gone")}
    with psycopg.connect(desk.url) as connection:
        for name, body, redriven in (("text", b'{"a": "\x1b[2J"}', None), ("bytes", b"\xff\x00", None), ("gone", b"", "now")):
            connection.execute(
                'INSERT INTO safiri.quarantine (id, tenant, account, source, reason, received_at, body, topic, partition, "offset", redriven_at) '
                "VALUES (%s, 'default', 'acme', 'hook', 'names no \x1b call', now(), %s, 'quarantine', 0, 1, %s)",
                (kept[name], body, redriven),
            )
    code, text, _ = shell.run("quarantine", "ls", "--json")
    assert code == 0
    assert {row["id"]: row["bytes"] for row in json.loads(text)} == {str(kept["text"]): 13, str(kept["bytes"]): 2}
    code, text, _ = shell.run("quarantine", "show", str(kept["text"]))
    assert code == 0
    assert '{"a": "\\x1b[2J"}' in text
    assert "\x1b" not in text + shell.run("quarantine", "ls")[1]
    assert "\\xff\\x00" in shell.run("quarantine", "show", str(kept["bytes"]))[1]
    assert json.loads(shell.run("quarantine", "show", str(kept["bytes"]), "--json")[1])["body"] == {"base64": "/wA="}


def test_tail_shows_each_delivery_once_even_those_that_become_visible_late(desk: Desk) -> None:
    from api.database import reader

    engine, seen, follower = reader(desk.url), [], Follower("default")
    desk.journal("before", neutral("call.started", "before", 1))
    follower.begin(engine)
    done = threading.Event()

    def follow() -> None:
        for row in follower.rows(engine):
            if row is not None:
                seen.append(row.stream)
            if done.is_set():
                return

    thread = threading.Thread(target=follow)
    thread.start()
    with psycopg.connect(desk.url) as late:
        late.execute(
            "INSERT INTO safiri.journal (tenant, stream, account, event_id, digest, stream_kind, receipt, received_at, provider, source, signature, "
            "content_type, body, topic, partition, \"offset\") VALUES ('default', 'late', 'acme', 'e', 'd', 'call', 'r', now(), "
            "'neutral', 'events', 'key', '', '', 'call-events', 0, 0)"
        )
        desk.journal("early", neutral("call.started", "early", 1))
        time.sleep(0.7)
        assert seen == ["early"]
    time.sleep(0.7)
    done.set()
    thread.join(5)
    assert seen == ["early", "late"]
    engine.dispose()
