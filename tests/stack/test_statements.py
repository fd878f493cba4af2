"""Statements into a running stack, by request and by command: counts, duplicates, bad lines, refusals, and what the tables then say."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from whole import Stack

from ingest.counting import Counts, counted_within

LEDGER = "id,created_at,call_id,entry_type,amount_minor,currency,description,Balance (KES)\n"
LINE = "{id},2026-06-01T09:0{n}:00Z,c-{n},debit,{amount},KES,Call,{balance}\n"


@pytest.fixture
def mark() -> str:
    return uuid.uuid4().hex[:12]


def ledger(mark: str, *amounts: int) -> str:
    """Lines of a wallet that had KES 100."""
    left, text = 10_000, LEDGER
    for n, amount in enumerate(amounts):
        left -= amount
        text += LINE.format(id=f"{mark}-{n}", n=n, amount=amount, balance=f"{left / 100:.2f}")
    return text


def post(stack: Stack, body: str | bytes, *, kind: str = "text/csv", key: str | None = None, **query: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {key or stack.key}", "content-type": kind}
    return stack.http.post("/v1/statements", params={"account": "bank"} | query, content=body, headers=headers, timeout=120)


def taken(stack: Stack, body: str | bytes, **more: Any) -> dict[str, Any]:
    reply = post(stack, body, **more)
    assert reply.status_code == 200, reply.text
    counts: dict[str, Any] = reply.json()
    assert counts["accepted"] + counts["duplicate"] + len(counts["rejected"]) == counts["read"]
    return counts


def imported(stack: Stack, path: Path, *, account: str = "bank") -> dict[str, Any]:
    counts: dict[str, Any] = json.loads(stack.cli("statements", "import", str(path), "--account", account, "--json"))
    return counts


def rows(stack: Stack, mark: str) -> list[tuple[Any, ...]]:
    return stack.execute("SELECT kind, call_id, amount_minor FROM live.statement_lines WHERE row_id LIKE %s ORDER BY row_id", f"{mark}%")


def refused(reply: httpx.Response, status: int = 422) -> set[str]:
    """The fields that are named."""
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json"), reply.text
    return {error["field"] for error in reply.json().get("errors", [])}


# ---------------------------------------------------------------- in


def test_a_statement_is_taken_once_however_it_comes(stack: Stack, mark: str, tmp_path: Path) -> None:
    text = ledger(mark, 450, 35)
    nothing = {"rejected": [], "unbalanced": []}
    assert taken(stack, text) == {"read": 2, "accepted": 2, "duplicate": 0, **nothing}
    again = {"read": 2, "accepted": 0, "duplicate": 2, **nothing}
    assert taken(stack, text) == again
    assert taken(stack, json.dumps(list(csv.DictReader(io.StringIO(text)))), kind="application/json") == again
    assert taken(stack, "\ufeff" + text.replace(",", ";").replace("\n", "\r\n")) == again
    plain, zipped = tmp_path / "june.csv", tmp_path / "june.csv.gz"
    plain.write_text(text)
    zipped.write_bytes(gzip.compress(text.encode("utf-16")))
    assert imported(stack, plain) == imported(stack, zipped) == again
    assert rows(stack, mark) == [("ledger", "c-0", 450), ("ledger", "c-1", 35)]


def test_the_command_reads_a_pipe_and_more_comes_on_top(stack: Stack, mark: str) -> None:
    command = [sys.executable, "-m", "cli", "statements", "import", "-", "--account", "bank", "--data-dir", str(stack.up.data)]
    done = subprocess.run(command, check=False, input=ledger(mark, 1, 2, 3), capture_output=True, text=True, env=stack.up.env, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "read 3  accepted 3  duplicate 0  rejected 0\n", "")
    assert taken(stack, ledger(mark, 1, 2, 3, 4)) == {"read": 4, "accepted": 1, "duplicate": 3, "rejected": [], "unbalanced": []}


def test_call_records_keep_what_they_say(stack: Stack, mark: str) -> None:
    taken(
        stack,
        f"Call ID,Direction,From,To,Start Time,Duration (s),Cost (KES)\n{mark},Outbound,0700000001,+254720000001,2026-06-01 12:00:00,90,4.50\n",
    )
    (row,) = stack.execute(
        "SELECT kind, caller, called, direction, extract(epoch FROM started_at)::int, duration_ms, amount_minor, currency "
        "FROM live.statement_lines WHERE call_id = %s", mark,
    )  # fmt: skip
    assert row == ("call_record", "+254700000001", "+254720000001", "outbound", 1_780_304_400, 90_000, 450, "KES")


def test_a_changed_line_is_another_version_of_it(stack: Stack, mark: str) -> None:
    taken(stack, ledger(mark, 450))
    assert taken(stack, ledger(mark, 455))["accepted"] == 1
    assert rows(stack, mark) == [("ledger", "c-0", 450), ("ledger", "c-0", 455)]


# ---------------------------------------------------------------- bad lines


def test_bad_lines_are_listed_and_kept_aside_once_and_the_rest_is_in(stack: Stack, mark: str, tmp_path: Path) -> None:
    good = ledger(mark, 100, 100, 100).splitlines(keepends=True)
    bad = good[2].replace(",100,", f",lots {mark},")
    text = "".join([*good[:2], bad, good[3], "\n", f"{mark}-9,2026-06-01T09"])
    counts = taken(stack, text)
    assert (counts["read"], counts["accepted"]) == (4, 2)
    assert [one["line"] for one in counts["rejected"]] == [3, 6]
    assert counts["rejected"][0]["detail"] == f"amount_minor: 'lots {mark}' is no amount such as 4.50"
    assert counts["rejected"][1]["detail"] == "it has 2 cells, the header 8: it is cut off"
    path = tmp_path / "half.csv"
    path.write_text(text)
    assert imported(stack, path) == counts | {"accepted": 0, "duplicate": 2}
    aside = stack.execute(
        "SELECT reason, source, account FROM safiri.quarantine WHERE encode(body, 'escape') LIKE %s ORDER BY reason", f"%{mark}%"
    )
    assert aside == [(f"line {one['line']}: {one['detail']}", "statement", "bank") for one in counts["rejected"]]


def test_balances_that_do_not_add_up_are_told_and_the_lines_are_in(stack: Stack, mark: str) -> None:
    text = ledger(mark, 100, 200, 300).replace(",94.00", ",95.00")
    counts = taken(stack, text)
    assert (counts["accepted"], [one["line"] for one in counts["unbalanced"]]) == (3, [4])


def test_a_card_number_is_hidden_before_it_is_kept(stack: Stack, mark: str) -> None:
    taken(stack, f"id,date,amount,description\n{mark},2026-06-01,1,paid by 4111 1111 1111 1111\n")
    assert stack.execute("SELECT description FROM live.statement_lines WHERE row_id = %s", mark) == [("paid by **** **** **** 1111",)]


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ("id,date,amount,Cost (KES)\n1,2026-06-01,1,1\n", {"amount", "Cost (KES)"}), ("id,date,notes\n1,2026-06-01,x\n", {"amount"}), ("id:date:amount\n1:2026-06-01:1\n", {"header"}),
        ("id,date,Cost (USD)\n", {"Cost (USD)"}), ("", {"body"}), ("\n \n", {"header"}), ("[", {"body"}), ("[]", {"body"}), ('[{"id": 1, "amount": 2}]', {"date"}),
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_mapped_takes_nothing(stack: Stack, body: str, fields: set[str]) -> None:
    before = stack.execute("SELECT count(*) FROM safiri.imports")
    assert refused(post(stack, body)) == fields
    assert stack.execute("SELECT count(*) FROM safiri.imports") == before


def test_whose_account_it_is(stack: Stack, tmp_path: Path) -> None:
    text = "id,date,amount\n1,2026-06-01,1\n"
    for account in ("nobody", "rival", ""):  # rival is another tenant's
        reply = post(stack, text, account=account)
        assert refused(reply) == {"account"}
        assert "rival" not in reply.json()["detail"].partition("known:")[2]
    assert refused(stack.http.post("/v1/statements", content=text, headers={"authorization": f"Bearer {stack.key}"})) == {"account"}
    assert refused(post(stack, text, kinds="x")) == {"kinds"}
    path = tmp_path / "one.csv"
    path.write_text(text)
    stack.cli("statements", "import", str(path), "--account", "nobody", code=2)
    stack.cli("statements", "import", str(tmp_path / "none.csv"), "--account", "bank", code=2)
    path.write_text("a,b\n1,2\n")
    stack.cli("statements", "import", str(path), "--account", "bank", code=2)
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(text.encode() * 50)[:40])
    stack.cli("statements", "import", str(tmp_path / "cut.csv.gz"), "--account", "bank", code=2)


def test_who_may_send_one_and_how_much(stack: Stack) -> None:
    reader = stack.cli("keys", "create", "--name", "reader", "--scope", "read").split()[-1]
    assert post(stack, LEDGER, key=reader).status_code == 403
    assert post(stack, LEDGER, key="sfr_no").status_code == 401
    assert refused(post(stack, b"x" * ((64 << 20) + 1)), 413) == set()
    zipped = stack.http.post(
        "/v1/statements?account=bank",
        content=gzip.compress(LEDGER.encode()),
        headers={"authorization": f"Bearer {stack.key}", "content-encoding": "gzip"},
    )
    assert zipped.status_code == 415


def test_many_lines_with_a_count_for_each(stack: Stack, mark: str, tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    path.write_text(
        "Date,Description,Amount\n"
        + "".join(f"2026-06-01,Call {mark} {n % 2000},{'x' if n % 1000 == 7 else '4.50'}\n" for n in range(6000))
    )
    counts = imported(stack, path)
    assert (counts["read"], counts["accepted"], counts["duplicate"], len(counts["rejected"])) == (6000, 5994, 0, 6)
    assert taken(stack, path.read_bytes()) == counts | {"accepted": 0, "duplicate": 5994}


def test_a_line_that_is_understood_today_is_redriven(stack: Stack, mark: str) -> None:
    taken(stack, f"id,date,amount\n{mark}-1,2026-06-01,lots\n{mark}-2,2026-06-01,some\n")
    aside = stack.execute(
        "SELECT id::text, reason FROM safiri.quarantine WHERE encode(body, 'escape') LIKE %s ORDER BY reason", f"%{mark}%"
    )
    assert [reason for _, reason in aside] == [
        "line 2: amount: 'lots' is no amount such as 4.50",
        "line 3: amount: 'some' is no amount such as 4.50",
    ]
    stack.execute(
        "UPDATE safiri.quarantine SET body = replace(encode(body, 'escape'), 'lots', 'KES 4.50')::bytea WHERE id = %s::uuid", aside[0][0]
    )
    stack.cli("quarantine", "redrive", aside[0][0], aside[1][0], code=1)
    stack.fresh()
    assert rows(stack, mark) == [("ledger", None, 450)]
    assert stack.execute("SELECT reason, attempts FROM safiri.quarantine WHERE id = %s::uuid", aside[1][0]) == [
        ("amount: 'some' is no amount such as 4.50", 1)
    ]


def test_a_request_waits_for_the_projector_and_then_says_how_far_it_is(database_url: str) -> None:
    some = asyncio.run(counted_within(database_url, "an import that nobody projects", 3, 0.1))
    assert (some, some.pending) == (Counts(read=3), 3)
    gone = asyncio.run(counted_within("postgresql://127.0.0.1:9/none", "x", 1, 0.1))
    assert gone.pending == 1
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO safiri.imports (import_id, partition, accepted, duplicate, quarantined) VALUES ('one', 0, 1, 1, 0), ('one', 3, 0, 0, 1)"
        )
    assert asyncio.run(counted_within(database_url, "one", 3, 5)) == Counts(3, 1, 1, 1)
