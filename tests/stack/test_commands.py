"""Commands that write, on a running stack: import, sign, redrive, rebuild, and the demo from end to end."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path

import pytest
from shell import command, shell
from whole import Stack
from wire import kept, marker

CARD = "4111 1111 1111 1111"


def neutral(sid: str, **more: object) -> str:
    return json.dumps({"type": "call.started", "call_sid": sid, "occurred_at": "2024-05-01T08:00:00Z", "direction": "inbound"} | more)


def delivery(sid: str, **more: object) -> str:
    return json.dumps(
        {"kind": "call.started", "occurred_at": "2024-05-01T08:00:00Z", "data": {"call_id": sid, "from": "+254700000006"}} | more
    )


def imported(stack: Stack, file: Path, account: str = "bank", code: int = 0) -> tuple[int, int, int, int]:
    """read, accepted, duplicate, quarantined."""
    got, out, err = shell(stack, "import", str(file), "--account", account, "--json")
    assert got == code, err
    counts = json.loads(out)
    return counts["read"], counts["accepted"], counts["duplicate"], counts["quarantined"]


def test_a_rebuild_finds_nothing_wrong_then_what_was_changed(stack: Stack, tmp_path: Path) -> None:
    sid = marker()
    stack.events(json.loads(neutral(sid)))
    stack.fresh()
    stack.cli("rebuild", "--verify")
    stack.execute(
        "UPDATE live.journeys SET outcome = 'busy' WHERE journey_id = (SELECT journey_id FROM live.calls WHERE call_sid = %s)", sid
    )
    code, out, err = shell(stack, "rebuild", "--verify")
    assert code == 1
    assert re.search(r"journeys \(.*journey_id=.*column outcome", out + err), out + err
    stack.cli("rebuild")
    stack.cli("rebuild", "--verify")


@pytest.mark.parametrize("zipped", [False, True])
def test_twice_is_once_plain_or_gzip(stack: Stack, tmp_path: Path, zipped: bool) -> None:
    name = marker()
    text = "\n\n".join(neutral(f"{name}-{n}") for n in range(300)).encode()
    file = tmp_path / "history.ndjson"
    file.write_bytes(gzip.compress(text) if zipped else text)
    assert imported(stack, file) == (300, 300, 0, 0)
    assert imported(stack, file) == (300, 0, 300, 0)


def test_broken_lines_are_counted_and_kept_once(stack: Stack, tmp_path: Path) -> None:
    mark = marker()
    file = tmp_path / "odd.ndjson"
    key = json.dumps({"type": "call.started", "call_sid": mark, "occurred_at": "2024-05-01T08:00:00Z", "attributes": {CARD + "\1": 1}})
    lines = [
        neutral(mark).encode(), neutral(mark)[:-3].encode(), b"\xff\x00" + mark.encode(), b"[]" + mark.encode(), key.encode(),
        b'{"a": "' + b"x" * 3_000_000 + b'"}', b"[" * 100_000 + mark.encode(),
    ]  # fmt: skip
    file.write_bytes(b"\n".join(lines))
    for accepted in (1, 0):
        assert imported(stack, file, code=1) == (7, accepted, 1 - accepted, 6)
    assert len(kept(stack, mark)) == 6  # the line of 3 MB has no mark at its beginning
    assert not any(re.search(r"4111.?1111", row[0]) for row in stack.execute("SELECT reason FROM safiri.quarantine"))


def test_archives_keep_headers_and_times_and_nothing_odd_hangs(stack: Stack, tmp_path: Path) -> None:
    mark = marker()
    lines = [
        {"body": delivery(mark), "received_at": "2024-05-01T08:00:02Z", "headers": {"X-Sautikit-Event-Id": "evt_1"}},
        {"body": json.loads(delivery(mark)), "received_at": "9999-12-31T23:59:59Z"},
        {"body": delivery(mark, n=1), "received_at": "1960-01-01T00:00:00Z"},
        {"body": delivery(mark, n=2), "content_type": "a\0b", "received_at": 1e300},
        {"body": f"sessionId=HD_{mark}&callerNumber=%2B254700000006&callSessionState=Ringing"},
        {"body": "", "headers": {"X": mark}}, {"body": None, "mark": mark}, [mark],
    ]  # fmt: skip
    file = tmp_path / "archive.ndjson"
    file.write_text("\n".join(map(json.dumps, lines)))
    read, accepted, duplicate, quarantined = imported(stack, file, account="acme", code=1)
    assert (read, quarantined, accepted + duplicate) == (8, 3, 5)
    [first] = [one for one in stack.get(f"/v1/journeys/{mark}/events")["events"] if one["received_at"].startswith("2024-05-01T08:00:02")]
    assert first["signature"] == "import"
    mini = {"event": "call.created", "created_at": "2024-05-01T08:00:00Z", "call": {"id": f"call_{mark}", "from": "+254700000006"}}
    file.write_text(json.dumps({"body": mini}))
    assert imported(stack, file, account="mini")[0] == 1


def test_a_queue_log_is_imported_line_by_line(stack: Stack, tmp_path: Path) -> None:
    sid, agent = marker(), f"Agent/{marker()}"
    log = f"""1788249600|NONE|NONE|NONE|QUEUESTART|
1788249601|NONE|NONE|{agent}|AGENTLOGIN|SIP/1001
1788249610|{sid}|support|NONE|ENTERQUEUE||+254700000006|1
1788249610|{sid}|support|NONE|ENTERQUEUE||+254700000006|1
cut off|{sid}
1788249618 | {sid} | support | {agent} | CONNECT | 8 | 1788249614.2 | 4
"""
    file = tmp_path / "queue_log.gz"
    file.write_bytes(gzip.compress(log.encode()))
    form = ("--account", "at", "--format", "asterisk-queue-log", "--json")
    for accepted, duplicate in ((4, 1), (0, 5)):
        code, out, err = shell(stack, "import", str(file), *form)
        assert code in (0, 1), err
        counts = json.loads(out)
        assert [counts[name] for name in ("read", "accepted", "duplicate", "quarantined")] == [6, accepted, duplicate, 1]
    (visit,) = stack.get(f"/v1/journeys/{sid}")["queue_visits"]
    assert (visit["wait_ms"], visit["outcome"], visit["agent"]) == (8000, "answered", agent)
    assert stack.get(f"/v1/journeys/{sid}/events")["events"][0]["raw"]["text"].endswith("+254700000006|1")
    stack.fresh()
    spent = "SELECT state, extract(epoch FROM ended_at - started_at)::int FROM live.agent_intervals WHERE agent = %s ORDER BY started_at"
    assert stack.execute(spent, agent) == [("available", 13), ("ringing", 4), ("talking", None)]


@pytest.mark.parametrize(("content", "says"), [
    (None, "No such file"), ("folder", "Is a directory"), (gzip.compress(os.urandom(90_000))[:50_000], "ended before"),
    (b"\x1f\x8b\x08\x00" + b"\xff" * 1000, "f: "),
])  # fmt: skip
def test_a_file_that_cannot_be_read_is_2_and_one_line(stack: Stack, tmp_path: Path, content: object, says: str) -> None:
    file = tmp_path / "f"
    if content == "folder":
        file.mkdir()
    elif isinstance(content, bytes):
        file.write_bytes(content)
    code, out, err = shell(stack, "import", str(file), "--account", "bank")
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert says in err


def test_an_interrupted_import_goes_on_and_every_run_counts_its_lines(stack: Stack, tmp_path: Path) -> None:
    name = marker()
    file = tmp_path / "long.ndjson"
    file.write_text("\n".join(neutral(f"{name}-{n % 100}", event_id=str(n)) for n in range(20_000)))
    run = subprocess.Popen(command(stack, "import", str(file), "--account", "bank"), env=stack.up.env, stderr=subprocess.DEVNULL)
    marks = stack.up.data / "imports"
    while run.poll() is None and not any('"line":' in one.read_text() for one in marks.glob("*.json")):
        time.sleep(0.01)
    run.kill()
    run.wait()
    code, out, err = shell(stack, "import", str(file), "--account", "bank", "--json")
    counts = json.loads(out)
    assert code == 0
    assert "goes on after line" in err
    assert 0 < counts["read"] < 20_000
    assert counts["read"] == counts["accepted"] + counts["duplicate"]
    stack.fresh()
    count = "SELECT count(*) FROM safiri.journal WHERE stream LIKE %s"
    assert stack.execute(count, f"{name}-%") == [(20_000,)]
    assert not list(marks.glob("*.json"))


def test_two_imports_at_once_do_not_mix_their_counts(stack: Stack, tmp_path: Path) -> None:
    name = marker()
    file = tmp_path / "same.ndjson"
    file.write_text("\n".join(neutral(f"{name}-{n}") for n in range(3000)))
    runs = [
        subprocess.Popen(
            command(stack, "import", str(file), "--account", "bank", "--json"), env=stack.up.env, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    told = [json.loads(run.communicate(timeout=120)[0]) for run in runs]
    assert all(one["read"] == one["accepted"] + one["duplicate"] for one in told), told
    assert sum(one["accepted"] for one in told) == 3000


def test_signed_from_the_command_line_is_taken(stack: Stack, tmp_path: Path) -> None:
    sid = marker()
    file = tmp_path / "body"
    file.write_text(delivery(sid))
    code, out, _ = shell(stack, "sign", str(file), "--account", "acme")
    assert code == 0
    headers = dict(line.split(": ", 1) for line in out.splitlines())
    assert stack.http.post("/hooks/acme", content=file.read_bytes(), headers=headers).status_code == 202
    code, _, err = shell(stack, "sign", str(file), "--account", "acme", "--send", f"{stack.url}/hooks/acme")
    assert (code, "202" in err) == (0, True)
    stack.fresh()
    assert stack.get(f"/v1/journeys/{sid}/events")["events"][0]["copies"] == 2


def put_aside(stack: Stack, body: bytes, *, provider: str | None = "sautikit") -> str:
    """A row of quarantine, as a parser of yesterday would have left it."""
    identity = str(uuid.uuid4())
    stack.execute(
        "INSERT INTO safiri.quarantine (id, tenant, account, provider, source, reason, received_at, content_type, body, topic, partition, "
        "\"offset\") VALUES (%s, 'default', 'acme', %s, 'hook', 'not known yet', '2024-05-01T08:00:00Z', 'application/json', %s, 'quarantine', 0, 0)",
        identity, provider, body,
    )  # fmt: skip
    return identity


def test_what_is_understood_today_is_redriven_once_and_the_rest_stays(stack: Stack) -> None:
    sid = marker()
    good, bad, poison = put_aside(stack, delivery(sid).encode()), put_aside(stack, b"\xff{"), put_aside(stack, b"\0", provider=None)
    assert shell(stack, "quarantine", "redrive", good)[:2] == (0, "tried 1, redriven 1, kept 0\n")
    assert shell(stack, "quarantine", "redrive", bad, poison)[:2] == (1, "tried 2, redriven 0, kept 2\n")
    stack.fresh()
    [event] = stack.get(f"/v1/journeys/{sid}/events")["events"]
    assert (event["copies"], event["received_at"]) == (1, "2024-05-01T08:00:00.000Z")
    left = {row["id"]: row for row in json.loads(stack.cli("quarantine", "ls", "--json"))}
    assert good not in left
    assert left[bad]["attempts"] == left[poison]["attempts"] == 1
    assert left[bad]["reason"] != "not known yet"
    assert shell(stack, "quarantine", "redrive", good)[0] == 2  # it is there no more
    assert kept(stack, sid).count("event") == 1


CARDS = (
    "4111111111111111",
    CARD,
    "4111-1111-1111-1111",
    "4111%201111%201111%201111",
    "4111\\u00201111\\u00201111\\u00201111",
    "5500005555555559",
)


def test_card_numbers_reach_no_disk_and_no_answer(stack: Stack, tmp_path: Path) -> None:
    """Through every receiver and the import, while the broker is there and while it is not."""
    marks, bodies = [], []
    for n, card in enumerate(CARDS):
        marks.append(f"card-{marker()}")
        bodies.append(delivery(marks[-1], note=f"my card is @ {n}").replace("@", card).encode())
    form = "&".join(f"note{n}={card.replace(' ', '+')}" for n, card in enumerate(CARDS)).encode()
    broker = stack.up.pid("kafka")
    for stopped in (False, True):
        os.kill(broker, signal.SIGSTOP if stopped else signal.SIGCONT)
        try:
            for body in (*bodies, b"broken {" + bodies[0], b"\xff" + bodies[1]):
                for account in ("acme", "mini", "bank", "at"):
                    assert stack.post(account, body).status_code == 202
            assert (
                stack.post("at", b"sessionId=ATVId_1&" + form, headers={"content-type": "application/x-www-form-urlencoded"}).status_code
                == 202
            )
            assert not found(stack.up.data)
        finally:
            os.kill(broker, signal.SIGCONT)
    file = tmp_path / "cards.ndjson"
    file.write_bytes(b"\n".join(bodies) + b"\nbroken " + bodies[0])
    shell(stack, "import", str(file), "--account", "acme")
    stack.fresh()
    assert not found(stack.up.data)
    for mark in marks:
        assert not re.search(r"4111.{0,12}1111.{0,12}1111", json.dumps(stack.get(f"/v1/journeys/{mark}/events")))


def found(data: Path) -> list[Path]:
    """Files with a card number in them, however it is written."""
    card = re.compile(rb"4111(?:[ +-]|%20|\\+u0020)?1111(?:[ +-]|%20|\\+u0020)?1111(?:[ +-]|%20|\\+u0020)?1111")
    hits = []
    for path in data.rglob("*"):
        with suppress(OSError):  # gone meanwhile, or no file
            text = path.read_bytes()
            if b"5500005555555559" in text or card.search(text):
                hits.append(path)
    return hits


def test_the_demo_shows_a_journey_and_stops(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> None:
    """With databases of its own: it starts another whole stack."""
    with tempfile.TemporaryDirectory(prefix="safiri-demo-", dir="/tmp") as home:
        Path(home).chmod(0o755)
        env = {name: value for name, value in stack.up.env.items() if not name.startswith("SAFIRI_")} | {"NO_COLOR": "1"}
        args = [sys.executable, "-P", "-m", "cli", "demo", "--exit", "--data-dir", f"{home}/data", "--calls", "24"]
        if "--port" in subprocess.run([*args[:5], "--help"], check=False, capture_output=True, text=True, env=env, timeout=30).stdout:
            args += ["--port", "0"]
        done = subprocess.run(args, check=False, capture_output=True, text=True, env=env, timeout=170)
        assert done.returncode == 0, done.stderr[-2000:]
        assert "answered" in done.stdout
        table = done.stdout.partition("── the queues: safiri metrics queue.offered ")[2].partition("\n──")[0].splitlines()[2:]
        assert table[0].split()[:4] == ["from", "queue", "queue.offered", "queue.answered"]
        assert any(" support " in line and " % " in line for line in table[1:]), table
        bill = done.stdout.partition("── what it cost: safiri bill --account acme ")[2].partition("\n── by outcome")[0]
        assert "charged  KES " in bill and "by destination" in bill and "the dearest calls" in bill, bill
        assert "Traceback" not in done.stderr
