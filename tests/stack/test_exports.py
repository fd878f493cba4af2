"""Exports on a real Postgres: three formats of the same rows, of one tenant, as they were at one moment."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
import schemathesis
from asking import NOON, Desk, opened, problem
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from projecting import Bench, delivery, priced, story
from schemathesis import checks
from test_statement_lines import line

import cli
from api.exports.datasets import DATASETS, Column, Dataset
from api.exports.download import MOST, Download, Exports
from api.exports.export import Export, Stopped
from api.exports.formats import CSV, FORMATS
from api.exports.statements import Asked
from api.money import reconciling
from api.money.periods import Period
from calls.clock import rfc3339
from runtime.problems import Retry
from runtime.settings import Account, Settings

SECOND = 1_000_000
NASTY = [
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "＝1",
    'say "so", or\nnot',
    "\\N",
    "\\.",
    "'=x",
    "café 😀 \u2028",
    "x" * 200,
]
CALL = """
+00:00 call.started direction=inbound from=+254712345678 to=+254711000100 attr.branch=Kisumu
+00:02 menu.entered menu=main
+00:05 menu.digits menu=main digits=1
+00:06 queue.entered queue=support priority=7
+00:36.000123 leg.answered leg=agent kind=agent agent=amina queue=support
+00:36.000123 queue.left queue=support reason=answered
+01:30 leg.ended leg=agent
+01:30 call.ended ended_by=caller
"""


def visit(sid: str, queue: str, at: int, *, tenant: str = "default") -> list[Any]:
    """A call that enters a queue and hangs up after 5 s."""
    events = [("call.started", 0, {"direction": "inbound"}), ("queue.entered", 1, {"queue": queue}), ("call.ended", 6, {})]
    told = [{"type": kind, "call_sid": sid, "occurred_at": rfc3339(at + s * SECOND), **rest} for kind, s, rest in events]
    return [delivery(json.dumps(one).encode(), received=at, tenant=tenant) for one in told]


def states(agent: str, *told: tuple[int, str]) -> list[Any]:
    """Reports of an agent's states, each so many minutes after NOON."""
    events = [{"type": "agent.state", "agent": agent, "state": state, "occurred_at": rfc3339(NOON + m * 60 * SECOND)} for m, state in told]
    return [delivery(json.dumps(one).encode(), received=NOON) for one in events]


@pytest.fixture(scope="module")
def bench(database_url: str) -> Iterator[Bench]:
    made = Bench(database_url)
    priced(made)
    made.project([*story(CALL), *visit("rival", "secret", NOON, tenant="other")])
    made.project([one for agent in ("amina", NASTY[0]) for one in states(agent, (-5, "available"), (30, "paused"), (70, "offline"))])
    made.project([one for n, queue in enumerate(NASTY) for one in visit(f"nasty-{n}", queue, NOON + (600 + n) * SECOND)])
    rent = {"id": "e1", "entry_type": "debit", "amount_minor": "600", "created_at": rfc3339(NOON), "description": "=Number rental"}
    made.project([line("ledger", rent)])
    settings = Settings(accounts={"acme": Account(provider="neutral", rate_plan="acme-ke")})
    reconciling.run(database_url, settings, "default", period=Period("acme", NOON - 3600 * SECOND, NOON + 3600 * SECOND))
    yield made
    made.close()


@pytest.fixture(scope="module")
def desk(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with opened(bench.url) as made:
        made.tenant = "default"
        made.key = made.new_key("default")
        made.app.state.exports = Exports(bench.url, tmp_path_factory.mktemp("data") / "exports")
        yield made


def read(form: str, body: bytes) -> list[dict[str, Any]]:
    if form == "csv":
        return list(csv.DictReader(io.StringIO(body.decode())))
    return [json.loads(line) for line in body.splitlines()] if form == "ndjson" else pl.read_parquet(body).to_dicts()


def rows(desk: Desk, name: str, form: str = "ndjson", **query: Any) -> list[dict[str, Any]]:
    reply = desk.get(f"/v1/exports/{name}.{form}", **query)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == FORMATS[form].media_type
    return read(form, reply.content)


def as_csv(value: Any, kind: str) -> str:
    """A cell of NDJSON as CSV has it."""
    if value is None:
        return ""
    if kind in ("texts", "json"):
        return json.dumps(value)
    text = str(value).lower() if kind == "flag" else str(value)
    return f"'{text}" if kind == "text" and text and text[0] in "=+-@\t＝" else text


def as_json(value: Any, kind: str) -> Any:
    """A cell of Parquet as NDJSON has it."""
    if value is None:
        return None
    if kind == "time":
        return rfc3339(round(value.timestamp() * 1e6))
    return json.loads(value) if kind == "json" else value.isoformat() if kind == "date" else value


@pytest.mark.parametrize("name", DATASETS)
def test_all_formats_say_the_same(desk: Desk, name: str) -> None:
    told = rows(desk, name)
    kinds = {column.name: column.kind for column in DATASETS[name].columns}
    assert told
    assert all(list(row) == list(kinds) for row in told)
    sheet = rows(desk, name, "csv")
    assert len(sheet) == len(told)
    for row, cells in zip(told, sheet, strict=True):
        for column, kind in kinds.items():
            want, got = as_csv(row[column], kind), cells[column]
            assert (json.loads(want), row[column]) == (json.loads(got), row[column]) if kind in ("texts", "json") else want == got
    for row, columns in zip(told, rows(desk, name, "parquet"), strict=True):
        for column, kind in kinds.items():
            got = columns[column]
            assert as_json(got, kind) == row[column], column


def test_rows_are_what_happened(desk: Desk) -> None:
    one = rows(desk, "queue_visits", to="2026-09-01T12:01:00Z")
    assert [row | {"journey_id": ""} for row in one] == [
        {"journey_id": "", "call_sid": "call-1", "n": 0, "queue": "support", "entered_at": "2026-09-01T12:00:06.000Z",
         "left_at": "2026-09-01T12:00:36.000123Z", "wait_ms": 30000, "outcome": "answered", "agent": "amina", "priority": 7, "menu": "main"}
    ]  # fmt: skip
    (journey,) = rows(desk, "journeys", to="2026-09-01T12:01:00Z")
    assert (journey["attributes"], journey["anomalies"], journey["complete"]) == ({"branch": "Kisumu"}, [], True)
    told = [
        (row["state"], row["started_at"][11:16], row["ended_at"][11:16]) for row in rows(desk, "agent_intervals") if row["agent"] == "amina"
    ]
    assert told == [
        ("available", "11:55", "12:00"),
        ("talking", "12:00", "12:01"),
        ("available", "12:01", "12:30"),
        ("paused", "12:30", "13:10"),
    ]
    spent = [(row["logged_in_ms"], row["paused_ms"]) for row in rows(desk, "agent_interval_15m") if row["agent"] == "amina"]
    assert [sum(column) for column in zip(*spent, strict=True)] == [75 * 60_000, 40 * 60_000]
    (slot,) = [row for row in rows(desk, "queue_interval_15m") if row["queue"] == "support"]
    assert [slot[name] for name in ("interval_start", "offered", "answered_within_20s", "answered_within_30s", "wait_all_ms")] == [
        "2026-09-01T12:00:00.000Z", 1, 0, 1, 30000
    ]  # fmt: skip
    schema = pl.read_parquet(desk.get("/v1/exports/queue_visits.parquet").content).schema
    assert schema["entered_at"] == pl.Datetime("us", "UTC")
    assert (schema["wait_ms"], schema["n"], schema["queue"]) == (pl.Int64, pl.Int64, pl.String)


def test_no_cell_of_a_spreadsheet_begins_a_formula(desk: Desk) -> None:
    for name in DATASETS:
        for row in rows(desk, name, "csv"):
            live = {column: cell for column, cell in row.items() if cell[:1] in tuple("=+-@\t\r\n＝")}
            assert live == {}
    assert {row["queue"] for row in rows(desk, "queue_visits")} == {"support", *NASTY}  # the others have texts as they are
    assert [row["caller"] for row in rows(desk, "calls", "csv", to="2026-09-01T12:01:00Z")] == ["'+254712345678"]


def test_the_period_is_half_open_and_of_the_journeys_start(desk: Desk) -> None:
    first, second = rfc3339(NOON + 600 * SECOND), rfc3339(NOON + 601 * SECOND)
    assert [row["queue"] for row in rows(desk, "queue_visits", from_=first, to=second)] == NASTY[:1]
    assert rows(desk, "queue_visits", from_=second, to=second) == []
    assert [row["queue"] for row in rows(desk, "queue_visits", from_=rfc3339(NOON), to=rfc3339(NOON + 1))] == ["support"]  # entered later
    told = rows(desk, "queue_visits")
    assert [row["entered_at"] for row in told] == sorted(row["entered_at"] for row in told)


def test_others_rows_are_not_there(desk: Desk) -> None:
    for name in DATASETS:
        reply = desk.get(f"/v1/exports/{name}.ndjson")
        assert "secret" not in reply.text
        assert "rival" not in reply.text
        assert desk.get(f"/v1/exports/{name}.ndjson", desk.other_key).text == ""
    empty = desk.get("/v1/exports/calls.csv", desk.other_key)
    assert empty.text.startswith("journey_id,call_sid,")
    assert pl.read_parquet(desk.get("/v1/exports/calls.parquet", desk.other_key).content).is_empty()
    problem(desk.http.get("/v1/exports/calls.csv"), 401)


@pytest.mark.parametrize("form", FORMATS)
def test_a_broken_download_goes_on(desk: Desk, form: str) -> None:
    address, until = f"/v1/exports/queue_visits.{form}", rfc3339(NOON + 3600 * SECOND)
    whole = desk.get(address, to=until)
    tag = whole.headers["etag"]
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-disposition"] == f'attachment; filename="queue_visits_2026-09-01.{form}"'

    def ask(**headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return desk.http.get(address, params={"to": until}, headers={"Authorization": f"Bearer {desk.key}"} | named)

    rest = ask(Range="bytes=100-", If_Range=tag)
    size = len(whole.content)
    assert (rest.status_code, rest.headers["content-range"]) == (206, f"bytes 100-{size - 1}/{size}")
    assert whole.content[:100] + rest.content == whole.content
    same = ask(If_None_Match=tag)
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    if form == "csv":
        assert ask(Range="bytes=-4").content == whole.content[-4:]
        assert ask(Range="bytes=100-", If_Range='"of yesterday"').content == whole.content
        beyond = ask(Range=f"bytes={size}-")
        assert problem(beyond, 416)
        assert beyond.headers["content-range"] == f"bytes */{size}"


def test_the_etag_changes_with_the_rows_of_the_period_and_with_nothing_else(desk: Desk, bench: Bench) -> None:
    def tags(**query: Any) -> list[str]:
        headers = {"Authorization": f"Bearer {desk.key}", "If-None-Match": "*"}  # whatever it is, it need not be made
        names = [f"{name}.{form}" for name in ("queue_visits", "legs") for form in FORMATS]
        found = [desk.http.get(f"/v1/exports/{name}", params=query, headers=headers) for name in names]
        assert {one.status_code for one in found} == {304}
        return [one.headers["etag"] for one in found]

    until, later = {"to": "2026-09-02T00:00:00Z"}, {"from": "2026-09-02T00:00:00Z"}
    before, empty = tags(**until), tags(**later)
    assert len(set(before)) == len(before)
    bench.project(visit("tomorrow", "support", NOON + 86_400 * SECOND))
    assert tags(**until) == before
    assert tags(**later)[:3] != empty[:3]
    bench.project([one for one in visit("nasty-0", "another", NOON + 700 * SECOND) if b"queue.entered" in one.raw])
    assert not set(tags(**until)[:3]) & set(before)


@pytest.mark.parametrize(
    ("address", "status", "field"),
    [
        ("nosuch.csv", 404, None), ("calls.xls", 404, None), ("calls.CSV", 404, None), ("calls", 404, None), ("a.b.csv", 404, None),
        ("calls.csv?from=monday", 422, "from"), ("calls.csv?to=2026-01-01T00:00:00", 422, "to"), ("calls.csv?limit=5", 422, "limit"),
        ("calls.csv?queue=support", 422, "queue"), ("calls.csv?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", 422, "from"),
        ("calls.csv?from=", 422, "from"), ("calls.csv?to=%00", 422, "to"), ("calls.csv?from=2026-01-01T00:00:00Z&from=x", 422, "from"),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused(desk: Desk, address: str, status: int, field: str | None) -> None:
    told = problem(desk.http.get(f"/v1/exports/{address}", headers={"Authorization": f"Bearer {desk.key}"}), status)
    assert [one["field"] for one in told.get("errors", [])] == ([field] if field else [])


@pytest.mark.parametrize("mode", [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE])
@given(drawn=st.data())
@settings(max_examples=12, phases=[Phase.generate])  # each may write a file: none is spent on making a fault smaller
def test_every_answer_is_as_described(desk: Desk, mode: schemathesis.GenerationMode, drawn: st.DataObject) -> None:
    described = schemathesis.openapi.from_asgi("/openapi.json", desk.app)["/v1/exports/{dataset}.{format}"]["GET"]
    case = drawn.draw(described.as_strategy(generation_mode=mode))
    headers = {"Authorization": f"Bearer {desk.key}"}
    # a header that says nothing is no fault, and a time without a zone is one
    excluded = [checks.positive_data_acceptance, checks.negative_data_rejection]
    case.call_and_validate(headers=headers, excluded_checks=excluded)


# ---------------------------------------------------------------- who goes away, who comes too many


def endless(rows: int) -> Dataset:
    source = f"(SELECT %(tenant)s::text AS tenant, i AS n, md5(i::text) AS filler FROM generate_series(1, {rows}) i) t"
    return Dataset("endless", source, (Column("n", "whole", "t.n"), Column("filler", "text", "t.filler")), "t.n", ("t.n",))


def connections(url: str) -> int:
    with psycopg.connect(url) as connection:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'safiri export' AND datname = current_database()"
        return int((connection.execute(asked).fetchone() or (0,))[0])


def freed(url: str) -> bool:
    end = time.monotonic() + 5
    while connections(url) and time.monotonic() < end:
        time.sleep(0.02)
    return connections(url) == 0


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_whoever_goes_away_frees_the_connection(bench: Bench, tmp_path: Path, form: str) -> None:
    """While rows are counted, and while they are sent."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def leave(after: Callable[[], bool], count: int) -> None:
        async def receive() -> dict[str, Any]:
            while not after():  # noqa: ASYNC110  what is waited for is elsewhere
                await asyncio.sleep(0.005)
            return {"type": "http.disconnect"}

        download = Download(Exports(bench.url, tmp_path), Asked(endless(count), FORMATS[form], "x"), name="x")
        await asyncio.wait_for(download({"type": "http", "headers": []}, receive, send), 20)

    asyncio.run(leave(lambda: connections(bench.url) > 0, 2_000_000_000))
    assert freed(bench.url)
    assert sent == []
    asyncio.run(leave(lambda: len(sent) > 1, 600_000))
    assert freed(bench.url)
    assert sent[-1].get("more_body", True)  # it never came to its end
    assert list(tmp_path.iterdir()) == []


def test_closing_ends_whatever_is_under_way(bench: Bench) -> None:
    export = Export(Asked(endless(100_000), CSV, "x"), bench.url)
    assert export.open().rows == 100_000
    begun = threading.Event()

    class Slow(io.BytesIO):
        def write(self, piece: Any) -> int:
            begun.set()
            time.sleep(0.05)
            return len(piece)

    ends: list[BaseException] = []

    def work() -> None:
        try:
            export.write(Slow())
        except Stopped as stopped:
            ends.append(stopped)

    worker = threading.Thread(target=work)
    worker.start()
    begun.wait(10)
    export.close()
    worker.join(10)
    assert len(ends) == 1
    assert freed(bench.url)
    with pytest.raises(Stopped):
        export.open()


def test_a_written_export_holds_no_snapshot(bench: Bench, tmp_path: Path) -> None:
    """However long somebody takes to read it."""
    for form in FORMATS:
        export = Export(Asked(DATASETS["calls"], FORMATS[form], "default"), bench.url)
        export.open()
        assert connections(bench.url) == 1
        with open(tmp_path / form, "wb") as out:
            export.write(out)
        assert freed(bench.url)
        export.close()


def test_too_many_at_once_are_asked_to_come_back(bench: Bench, tmp_path: Path) -> None:
    async def crowd() -> None:
        exports, asked = Exports(bench.url, tmp_path), Asked(DATASETS["calls"], CSV, "default")
        taken = [exports.taken(asked) for _ in range(MOST)]
        for one in taken:
            await one.__aenter__()
        with pytest.raises(Retry, match="under way"):
            await exports.taken(asked).__aenter__()
        await taken[0].__aexit__(None, None, None)
        async with exports.taken(asked):
            pass
        for one in taken[1:]:
            await one.__aexit__(None, None, None)

    asyncio.run(crowd())


def test_a_database_that_is_away_is_503(tmp_path: Path, desk: Desk) -> None:
    state = desk.app.state
    there, state.exports = state.exports, Exports("postgresql://nobody@127.0.0.1:1/x", tmp_path)
    assert problem(desk.get("/v1/exports/calls.csv"), 503)
    state.exports = there


def test_memory_does_not_grow_with_the_rows(bench: Bench) -> None:
    program = f"""
import resource, sys
sys.path[:0] = {sys.path!r}
from api.exports.datasets import Column, Dataset
from api.exports.export import Export
from api.exports.formats import CSV
from api.exports.statements import Asked
def peak(rows):
    source = f"(SELECT %(tenant)s::text AS tenant, i AS n, md5(i::text) AS filler FROM generate_series(1, {{rows}}) i) t"
    dataset = Dataset("endless", source, (Column("n", "whole", "t.n"), Column("filler", "text", "t.filler")), "t.n", ("t.n",))
    export = Export(Asked(dataset, CSV, "x"), {bench.url!r})
    export.open()
    with open("/dev/null", "wb") as out:
        export.write(out)
    export.close()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(peak(5_000), peak(200_000))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert not done.returncode, done.stderr
    few, many = map(int, done.stdout.split())
    assert many - few < 5, f"{few} MB after 5,000 rows, {many} MB after 200,000"  # 8 MB of rows went through


# ---------------------------------------------------------------- the command


class Shell:
    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def run(self, *args: str) -> tuple[int, str, str]:
        """(exit code, stdout, stderr)."""
        with pytest.raises(SystemExit) as ended:
            cli.main(["export", *args])
        said = self._capture.readouterr()
        return int(ended.value.code or 0), said.out, said.err


@pytest.fixture
def shell(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.chdir(tmp_path)
    for name, value in (("DATABASE_URL", desk.url), ("KAFKA_BOOTSTRAP", "127.0.0.1:1"), ("DATA_DIR", str(tmp_path))):
        monkeypatch.setenv(f"SAFIRI_{name}", value)
    return Shell(capfd)


def test_the_command_writes_what_http_answers(desk: Desk, shell: Shell) -> None:
    period = {"from": rfc3339(NOON), "to": rfc3339(NOON + 900 * SECOND)}
    options = [word for name, value in period.items() for word in (f"--{name}", value)]
    for form in FORMATS:
        code, out, err = shell.run("queue_visits", *options, "-o", f"visits.{form}")
        want = desk.get(f"/v1/exports/queue_visits.{form}", **period).content
        assert (code, out, Path(f"visits.{form}").read_bytes()) == (0, "", want)
        assert "rows" in err
    code, out, _ = shell.run("queue_visits", *options, "--format", "ndjson")
    assert (code, out) == (0, Path("visits.ndjson").read_text())
    code, out, _ = shell.run("queue_visits", *options, "--json", "-o", "again.parquet")
    told = json.loads(out)
    assert told == {"file": "again.parquet", "dataset": "queue_visits", "format": "parquet", "rows": len(read("ndjson", Path("visits.ndjson").read_bytes())),
                    "bytes": Path("again.parquet").stat().st_size}  # fmt: skip
    assert Path("again.parquet").stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_file_is_whole_or_as_it_was(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("kept.csv").write_text("as it was")

    def fails(*_: Any) -> None:
        raise Retry("Postgres does not answer")

    monkeypatch.setattr(Export, "write", fails)
    code, _, err = shell.run("calls", "-o", "kept.csv")
    assert (code, "does not answer" in err, Path("kept.csv").read_text()) == (3, True, "as it was")
    assert [one.name for one in Path.cwd().iterdir()] == ["kept.csv"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["nosuch"], "there are journeys, calls"), (["calls", "--format", "xls"], "there are csv, ndjson, parquet"), (["calls", "--from", "x"], "no time"),
        (["calls", "--json"], "-o FILE"), (["calls", "-o", "."], "is a folder"), (["calls", "-o", "no/such/file.csv"], "no folder"),
        (["calls", "--tenant", "nobody"], "no tenant"),
    ],
)  # fmt: skip
def test_wrong_usage_is_exit_2(shell: Shell, args: list[str], says: str) -> None:
    code, out, err = shell.run(*args)
    assert (code, out) == (2, "")
    assert says in err
