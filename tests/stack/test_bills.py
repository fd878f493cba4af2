"""The bill of a month: every section adds up to one total, and a person can read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from asking import NOON, SECOND, Desk, opened, problem
from costs import charge, charged

import cli.bill
from calls.clock import to_datetime
from cli.bill import lines

HOUR = 3600 * SECOND
SEPTEMBER = NOON - 15 * HOUR  # it begins in Nairobi
OCTOBER = SEPTEMBER + 30 * 24 * HOUR


WHY = "no rule of version 2026-01 covers the leg (outbound, agent) to +14155550100 at 2026-09-01T12:00:00.000Z"


@pytest.fixture(scope="module")
def desk(database_url: str) -> Iterator[Desk]:
    with opened(database_url) as made:
        made.tenant = "default"
        made.key = made.new_key("default")
        made.store(
            charged(made, "one", charge("one", amount=120, tax_minor=17), charge("one", "a", 305), charge("one", "b", None, to="+14155550100", agent=None, why=WHY)),
            *(charged(made, f"call-{n:02}", charge(f"call-{n:02}", amount=n, started_at=NOON + n * SECOND)) for n in range(12)),
            charged(made, "first", charge("first", amount=1, started_at=SEPTEMBER)),
            charged(made, "before", charge("before", amount=10**6, started_at=SEPTEMBER - SECOND)),
            charged(made, "after", charge("after", amount=10**6, started_at=OCTOBER)),
            charged(made, "rival", charge("rival", amount=10**6), tenant="other"),
            charged(made, "bank", charge("bank", amount=10**6, account="bank"), account="bank"),
        )  # fmt: skip
        for n, (kind, call, minor) in enumerate([("rental", None, 11600), ("call", "one", 425), ("topup", None, -50000)]):
            line(made, f"line-{n}", entry_type=kind, call_id=call, amount_minor=minor, description=f"{kind} of September")
        line(made, "line-0", received_at=NOON + HOUR, amount_minor=11601, entry_type="rental", description="rental, put right")
        line(made, "line-9", at=OCTOBER, amount_minor=999)
        yield made


def line(desk: Desk, row_id: str, **given: Any) -> None:
    """A line of the provider's ledger."""
    fields: dict[str, Any] = {
        "tenant": "default", "account": "acme", "kind": "ledger", "row_id": row_id, "digest": str(given).encode()[:16], "at": NOON,
        "received_at": NOON, "currency": "KES",
    } | given  # fmt: skip
    fields |= {name: to_datetime(fields[name]) for name in ("at", "received_at")}
    with psycopg.connect(desk.url) as connection:
        names = ", ".join(f'"{name}"' for name in fields)
        connection.execute(f"INSERT INTO g1.statement_lines ({names}) VALUES ({', '.join(['%s'] * len(fields))})", list(fields.values()))


def told(desk: Desk, **query: Any) -> Any:
    reply = desk.get("/v1/bills", **({"account": "acme", "month": "2026-09"} | query))
    assert reply.status_code == 200, reply.text
    return reply.json()


TOTAL = 120 + 305 + sum(range(12)) + 1


def test_every_section_adds_up_to_the_total_of_the_month(desk: Desk) -> None:
    bill = told(desk)
    assert (bill["total_minor"], bill["tax_minor"], bill["currency"]) == (TOTAL, 17, "KES")
    assert (bill["calls"], bill["charges"], bill["unrated"]) == (14, 16, 1)
    assert (bill["from"], bill["to"]) == ("2026-08-31T21:00:00.000Z", "2026-09-30T21:00:00.000Z")
    for name, rows in bill["by"].items():
        assert sum(row["amount_minor"] for row in rows) == TOTAL, name
        assert (sum(row["charges"] for row in rows), sum(row["unrated"] for row in rows)) == (16, 1), name
    assert set(bill["by"]) == {"number", "queue", "agent", "destination", "direction"}
    assert {row["group"]["agent"]: row["amount_minor"] for row in bill["by"]["agent"]} == {"amina": 305, None: TOTAL - 305}
    assert bill["reasons"] == [{"why": WHY.partition(" at ")[0], "unrated": 1}], "legs that lack the same rule are told as one"


def test_the_ten_dearest_calls_come_with_the_working_of_each_leg(desk: Desk) -> None:
    dearest = told(desk)["dearest"]
    assert [one["call_sid"] for one in dearest] == ["one", *(f"call-{n:02}" for n in range(11, 2, -1))]
    one = dearest[0]
    assert (one["amount_minor"], one["started_at"], one["to"], one["talk_ms"]) == (425, "2026-09-01T12:00:00.000Z", "+254711000100", 61_000)
    assert [(leg["leg"], leg["amount_minor"]) for leg in one["legs"]] == [("caller", 120), ("a", 305), ("b", None)]
    assert one["legs"][1]["working"][-1] == {"what": "61 × 1 s at 300 a minute", "exact": "305"}


def test_what_the_ledger_has_beside_calls_is_listed_once_as_it_stands(desk: Desk) -> None:
    ledger = told(desk)["ledger"]
    assert (ledger["lines"], ledger["amount_minor"], ledger["rest_millicents"], ledger["currency"]) == (2, 11601 - 50000, 0, "KES")
    assert [(one["row_id"], one["amount_minor"], one["description"]) for one in ledger["listed"]] == [
        ("line-0", 11601, "rental, put right"), ("line-2", -50000, "topup of September"),
    ]  # fmt: skip


def test_it_says_whether_it_can_still_change(desk: Desk) -> None:
    closing = (
        "INSERT INTO safiri.closed_periods (tenant, id, account, from_at, to_at, closed_at, document) "
        "VALUES ('default', %s, %s, %s, %s, now(), '{}')"
    )
    with psycopg.connect(desk.url) as connection:
        connection.execute("UPDATE g1.journeys SET state = 'open' WHERE tenant = 'default' AND document LIKE '%call-07%'")
    bill = told(desk)
    assert (bill["open"], bill["closed"], bill["final"]) == (1, False, False)
    with psycopg.connect(desk.url) as connection:
        connection.execute("UPDATE g1.journeys SET state = 'ended'")
        connection.execute(closing, ("cp_0", "acme", "2026-08-31T00:00:00Z", "2026-09-10T00:00:00Z"))
    assert told(desk)["closed"] is False, "only a part of it is"
    with psycopg.connect(desk.url) as connection:
        connection.execute("DELETE FROM safiri.closed_periods")
        for n, (begin, end) in enumerate(
            [("2026-08-31T21:00:00Z", "2026-09-10T00:00:00Z"), ("2026-09-10T00:00:00Z", "2026-10-10T00:00:00Z")]
        ):
            connection.execute(closing, (f"bank_{n}", "bank", begin, end))
    closed = told(desk, account="bank")
    assert (closed["closed"], closed["final"], closed["total_minor"]) == (True, True, 0)


def test_a_month_without_calls_is_a_bill_of_nothing(desk: Desk) -> None:
    bill = told(desk, month="2020-02")
    assert (bill["total_minor"], bill["currency"], bill["dearest"], bill["by"]["queue"], bill["ledger"]["lines"]) == (0, None, [], [], 0)
    only = told(desk, month="2026-10", account="acme")["ledger"]
    assert (only["amount_minor"], only["currency"]) == (999, "KES"), "the ledger's own, also where no call was charged"


@pytest.mark.parametrize(("query", "field", "says"), [
    ({"month": None}, "month", "missing"), ({"account": None}, "account", "missing"), ({"month": "2026-13"}, "month", "no such day"),
    ({"month": "2026-09-01"}, "month", "no month"), ({"account": "nobody's"}, "account", "no account"), ({"year": "2026"}, "year", "unknown parameter"),
])  # fmt: skip
def test_what_is_asked_wrongly_is_refused(desk: Desk, query: dict[str, Any], field: str, says: str) -> None:
    (error,) = problem(desk.get("/v1/bills", **({"account": "acme", "month": "2026-09"} | query)), 422)["errors"]
    assert error["field"] == field
    assert says in error["detail"]


# ---------------------------------------------------------------- as text


def test_a_person_can_read_it(desk: Desk) -> None:
    text = [line.rstrip() for line in lines(told(desk))]
    assert text[0] == "acme, 2026-09: from 2026-09-01 to before 2026-10-01, Africa/Nairobi"
    assert "charged  KES 4.92  for 14 calls, 15 legs" in text
    assert "         1 × no rule of version 2026-01 covers the leg (outbound, agent) to +14155550100" in text
    spaced = [" ".join(line.split()) for line in text]
    assert spaced.count("total KES 4.92 16 1") == 5
    for wanted in (
        "by destination amount legs unrated", "no destination KES 1.87 14 0", "+254 KES 3.05 1 0", "+1 KES 0.00 1 1",
        "KES 4.25 2026-09-01 15:00:00 to +254711000100, 1 min 01 s one", "KES 3.05 amina, sautikit-ke 2026-01", "305 61 × 1 s at 300 a minute",
        f"unrated b, sautikit-ke: {WHY}", "2026-09-01 rental rental, put right KES 116.01", "total KES -383.99",
    ):  # fmt: skip
        assert wanted in spaced, wanted


def test_the_command_prints_what_the_route_answers(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("DATABASE_URL", desk.url), ("KAFKA_BOOTSTRAP", "127.0.0.1:1"), ("DATA_DIR", str(tmp_path))):
        monkeypatch.setenv(f"SAFIRI_{name}", value)
    document = told(desk)
    monkeypatch.setattr(cli.bill, "complete_through", lambda *_: document["complete_through"])

    def run(*args: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["bill", *args])
        return int(ended.value.code or 0), capsys.readouterr().out

    asked = ("--account", "acme", "--month", "2026-09")
    code, text = run(*asked, "--json")
    assert (code, json.loads(text)) == (0, document)
    assert run(*asked)[1].splitlines() == list(lines(document))
    assert run("--account", "acme", "--month", "September")[0] == 2
