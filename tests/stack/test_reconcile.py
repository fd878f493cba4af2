"""Reconciliations on a real Postgres: from events and statement lines to results that are kept as facts."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import psycopg
import pytest
import schemathesis
import sqlalchemy as sa
from asking import Kafka, problem
from fastapi.testclient import TestClient
from projecting import Bench, delivery
from test_statement_lines import line
from whole import Stack

from api.app import build
from calls.clock import parse_time, rfc3339
from calls.envelope import Envelope
from calls.reconciliation.sides import Entry, Record
from projections.schema import migrate
from runtime import keys
from runtime.posted_plans import append
from runtime.settings import Account, Settings, Tenant
from tests.leaks import FAULTS, MAY, PLANS, SECOND, Told, call, theirs_less_ours, unit

DAY_S = 86_400
MONTH = {"from": rfc3339(MAY), "to": rfc3339(MAY + 31 * DAY_S * SECOND)}
LATE = parse_time("2026-07-01T00:00:00Z") or 0
NEUTRAL = Account(provider="neutral", rate_plan="by-second")
SETTINGS = Settings(
    tenants={"default": Tenant(), "other": Tenant()},
    accounts=dict.fromkeys(("month", "late", "border", "moving"), NEUTRAL)
    | {"bare": Account(provider="neutral"), "rival": Account(provider="neutral", tenant="other", rate_plan="by-second")},
)


class Office:
    """One database, what was told to it, and the API on it."""

    def __init__(self, database_url: str) -> None:
        migrate(SETTINGS, database_url, now=1)
        self.bench = Bench(database_url)
        with psycopg.connect(database_url, autocommit=True) as connection:
            for tenant in ("default", "other"):
                append(connection, tenant, PLANS["by-second"], now=lambda: 1)
        self.app = app = build(SETTINGS, {"http": "", "database": database_url, "kafka": "", "virtual": "", "pid": 0}, log=Kafka())
        self.http = TestClient(app, raise_server_exceptions=False)
        made = sa.create_engine(sa.make_url(database_url).set(drivername="postgresql+psycopg"))
        with made.begin() as connection:
            self.keys = {
                (tenant, scope): keys.create(connection, name="t", tenant=tenant, scope=scope)
                for tenant in ("default", "other") for scope in ("read", "write")
            }  # fmt: skip
        made.dispose()

    def post(self, account: str, *, tenant: str = "default", scope: keys.Scope = "write", **period: Any) -> Any:
        key = self.keys[tenant, scope]
        return self.http.post(
            "/v1/reconciliations", json={"account": account, **(period or MONTH)}, headers={"Authorization": f"Bearer {key}"}
        )

    def run(self, account: str, **period: Any) -> Any:
        reply = self.post(account, **period)
        assert reply.status_code == 200, reply.text
        told = reply.json()
        assert told["ours_minor"] + sum(one["amount_minor"] for one in told["causes"].values()) == told["theirs_minor"]
        return told

    def get(self, path: str, *, tenant: str = "default", **query: Any) -> Any:
        return self.http.get(path, params=query, headers={"Authorization": f"Bearer {self.keys[tenant, 'read']}"})

    def differences(self, made: str, **query: Any) -> list[Any]:
        reply = self.get(f"/v1/reconciliations/{made}/differences", **query)
        assert reply.status_code == 200, reply.text
        rows: list[Any] = reply.json()["differences"]
        return rows


@pytest.fixture(scope="module")
def office(database_url: str) -> Iterator[Office]:
    made = Office(database_url)
    with made.http:
        yield made
    made.bench.close()


def events(told: Told, account: str) -> list[Envelope]:
    """Our side of a call with one leg."""
    leg = told.legs[0]
    began, sid, outbound = leg.started_at or 0, leg.call_sid or "", leg.direction == "outbound"
    parties = {"from": leg.own if outbound else "+254733000001", "to": leg.to}
    answered = began + leg.ring_ms * 1000
    facts: list[tuple[str, int, dict[str, Any]]] = [("call.started", began, {"direction": leg.direction, **parties})]
    if leg.talk_ms is None:
        facts.append(("call.failed", answered, {"reason": "no_answer"}))
    else:
        facts += [("call.answered", answered, {}), ("call.ended", answered + leg.talk_ms * 1000, {"ended_by": "caller"})]
    tenant = SETTINGS.accounts[account].tenant
    return [
        delivery(json.dumps({"type": kind, "call_sid": sid, "occurred_at": rfc3339(at), **more}).encode(), received=at, account=account, tenant=tenant)
        for kind, at, more in facts
    ]  # fmt: skip


def as_record(row: Record, account: str) -> Envelope:
    said = {
        "id": row.call_id, "direction": row.direction, "from": row.caller, "to": row.called, "started_at": rfc3339(row.started_at),
        "answered_at": rfc3339(row.answered_at), "ended_at": rfc3339(row.ended_at), "duration_seconds": (row.duration_ms or 0) // 1000,
        "status": row.status, "cost_minor": row.amount_minor, "currency": "KES", "rate_per_minute_minor": row.rate_per_minute,
    }  # fmt: skip
    return line("call_record", texts(said), received=LATE, account=account, tenant=SETTINGS.accounts[account].tenant)


def as_line(row: Entry, account: str, *, received: int = LATE) -> Envelope:
    said = {
        "id": row.row_id, "created_at": rfc3339(row.at), "call_id": row.call_id, "entry_type": row.entry_type,
        "amount_minor": abs(row.amount_minor), "currency": "KES", "description": row.description,
    }  # fmt: skip
    return line("ledger", texts(said), received=received, account=account, tenant=SETTINGS.accounts[account].tenant)


def texts(said: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in said.items() if value is not None}


def clean(serial: int, account: str, *, at: int | None = None) -> Told:
    """An outbound call of one leg that costs something; its id begins with the account's name."""
    drawn = random.Random(f"{account} {serial}")
    while True:
        told = call(drawn, PLANS["by-second"], serial=serial)
        if len(told.legs) == 1 and told.our_amount:
            (leg,) = told.legs
            began = (leg.started_at or 0) if at is None else at
            return replace(
                told,
                legs=(
                    msgspec.structs.replace(leg, call_sid=f"{account}-{serial}", started_at=began, answered_at=began + leg.ring_ms * 1000),
                ),
            )


def theirs(told: Told, account: str, *, ledger: bool = True, records: bool = True) -> list[Envelope]:
    one = unit(told, ledger=ledger, records=records)
    entries = [msgspec.structs.replace(row, row_id=f"{row.call_id}:{row.row_id}") for row in one.entries]
    return [*(as_record(row, account) for row in one.records), *(as_line(row, account) for row in entries)]


NOT_SO = {"charged twice by us", "taken in the next period", "taken for the last period", "no rule of ours"}


def faulty(name: str, serial: int) -> Told | None:
    """A call that shows this fault, where one call in many does."""
    _, fault = FAULTS[name]
    drawn = random.Random(name)
    for _ in range(300):
        told = call(drawn, PLANS["by-second"], serial=serial)
        changed = fault(drawn, told) if len(told.legs) == 1 else None
        if changed is not None:
            return replace(changed, records=min(changed.records, 1))
    return None


def test_a_month_with_one_of_each_fault(office: Office) -> None:
    told = {name: faulty(name, n) for n, name in enumerate(FAULTS) if name not in NOT_SO}
    shown = {name: one for name, one in told.items() if one is not None}
    assert len(shown) > 15
    good = [clean(100 + n, "month") for n in range(20)]
    ours = [one for one in (*good, *shown.values()) if one.ours_known]
    office.bench.project([event for one in ours for event in events(one, "month")])
    office.bench.project([row for one in (*good, *shown.values()) for row in theirs(one, "month")])
    want: dict[str, tuple[int, int]] = {}
    for name, one in shown.items():
        count, amount = want.get(FAULTS[name][0], (0, 0))
        want[FAULTS[name][0]] = (count + 1, amount + theirs_less_ours(unit(one), by_records=False))
    found = office.run("month")
    assert {cause: (one["count"], one["amount_minor"]) for cause, one in found["causes"].items()} == want
    rows = office.differences(found["id"], limit=500)
    assert len(rows) == found["differences"] == sum(count for count, _ in want.values())
    assert [one["at"] for one in rows] == sorted(one["at"] for one in rows)
    assert found["kpis"]["clock_offset_ms"] == 0


def test_the_same_result_is_the_same_fact_and_another_one_says_what_moved(office: Office) -> None:
    calls = [clean(n, "late", at=MAY + n * 1000 * SECOND) for n in range(6)]
    office.bench.project([event for one in calls[:4] for event in events(one, "late")])
    office.bench.project([row for one in calls for row in theirs(one, "late", records=False)])
    first, second = office.post("late"), office.post("late")
    assert first.content == second.content
    told = first.json()
    assert (told["changed"], told["previous"], told["moved"]) == (False, None, None)
    missing = sum(one.our_amount for one in calls[4:])
    assert told["causes"] == {"missing_ours": {"count": 2, "amount_minor": missing}}
    office.bench.project([event for one in calls[4:] for event in events(one, "late")])
    third, fourth = office.run("late"), office.run("late")
    assert (third["changed"], third["previous"], third["causes"]) == (True, told["id"], {})
    assert third["moved"]["causes"] == {"missing_ours": {"count": -2, "amount_minor": -missing}}
    assert (third["moved"]["ours_minor"], third["moved"]["came"]["count"], third["moved"]["went"]["count"]) == (missing, 0, 2)
    assert fourth == third | {"changed": False}
    assert office.get(f"/v1/reconciliations/{told['id']}").json() == told  # what was found stays what was found
    listed = office.get("/v1/reconciliations", account="late").json()
    assert [one["id"] for one in listed["reconciliations"]] == [third["id"], told["id"]]
    page = office.get("/v1/reconciliations", account="late", limit=1).json()
    rest = office.get("/v1/reconciliations", account="late", limit=1, cursor=page["next_cursor"]).json()
    assert [one["id"] for one in rest["reconciliations"]] == [told["id"]]
    assert rest["next_cursor"] is None


def test_lines_far_from_their_calls_are_found_by_their_ids(office: Office) -> None:
    """A call of the last evening, debited three days later; and one of May, debited before."""
    far = clean(1, "border", at=MAY - 3 * DAY_S * SECOND)
    office.bench.project(events(far, "border"))
    late = MAY + 5 * SECOND
    entry = Entry("far", late, far.our_amount, far.legs[0].call_sid, "debit", "Call")
    office.bench.project([as_line(entry, "border"), as_record(unit(far).records[0], "border")])
    found = office.run("border")
    assert found["causes"] == {"period_boundary": {"count": 1, "amount_minor": far.our_amount}}
    (row,) = office.differences(found["id"])
    assert row["ours"]["legs"][0]["inside"] is False
    assert row["theirs"]["records"][0]["inside"] is False
    before = {"from": rfc3339(MAY - 4 * DAY_S * SECOND), "to": rfc3339(MAY - 2 * DAY_S * SECOND)}
    assert office.run("border", **before)["theirs_minor"] == far.our_amount  # by its record: no ledger reaches back so far


def test_a_ledger_line_that_changes_is_told(office: Office) -> None:
    told = clean(1, "moving")
    office.bench.project(events(told, "moving"))
    entry = unit(told).entries[0]
    office.bench.project(
        [
            as_line(Entry("m1", entry.at, amount, entry.call_id, "debit", "Call"), "moving", received=LATE + amount)
            for amount in (1, told.our_amount)
        ]
    )
    found = office.run("moving")
    assert found["causes"] == {}
    assert found["kpis"]["changed_lines"] == {"count": 1, "ids": ["m1"]}


def test_pages_of_differences(office: Office) -> None:
    found = office.run("month")
    every = office.differences(found["id"], limit=500)
    cursor, rows = None, []
    while True:
        page = office.get(f"/v1/reconciliations/{found['id']}/differences", limit=4, **({"cursor": cursor} if cursor else {})).json()
        rows += page["differences"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert rows == every
    assert {one["cause"] for one in office.differences(found["id"], cause="rate_version")} == {"rate_version"}
    told = office.get(f"/v1/reconciliations/{found['id']}/differences", cursor=page_cursor(office, found["id"]), cause="rate_version")
    assert problem(told, 422)["errors"][0]["field"] == "cursor"
    told = problem(office.get(f"/v1/reconciliations/{found['id']}/differences", cause="bad luck", colour="red"), 422)
    assert [one["field"] for one in told["errors"]] == ["cause", "colour"]


def page_cursor(office: Office, made: str) -> str:
    return str(office.get(f"/v1/reconciliations/{made}/differences", limit=1).json()["next_cursor"])


def test_an_export_has_the_latest_result_of_each_period(office: Office) -> None:
    found = office.run("month")
    office.run("late")
    rows = [json.loads(one) for one in office.get("/v1/exports/differences.ndjson").text.splitlines()]
    mine = [one for one in rows if one["reconciliation"] == found["id"]]
    assert [one["content"] for one in mine] == office.differences(found["id"], limit=500)
    assert sum(one["amount_minor"] for one in mine) == found["theirs_minor"] - found["ours_minor"]
    assert not [one for one in rows if one["account"] == "late"]  # its first result had two, its last has none


def test_answers_are_as_described(office: Office) -> None:
    found = office.run("month")
    document = schemathesis.openapi.from_asgi("/openapi.json", office.app)
    key = {"Authorization": f"Bearer {office.keys['default', 'write']}"}
    for path in ("/v1/reconciliations", "/v1/reconciliations/{id}", "/v1/reconciliations/{id}/differences"):
        case = document[path]["GET"].Case(path_parameters={"id": found["id"]} if "{id}" in path else {})
        case.validate_response(case.call(headers=key))
    posted = document["/v1/reconciliations"]["POST"].Case(body={"account": "month", **MONTH}, media_type="application/json")
    posted.validate_response(posted.call(headers=key))


def test_each_tenant_has_its_own(office: Office) -> None:
    told = clean(1, "rival")
    office.bench.project([*events(told, "rival"), *theirs(told, "rival")])
    made = office.run("rival", tenant="other", **MONTH)
    assert (made["ours_minor"], made["causes"]) == (told.our_amount, {})
    assert problem(office.post("rival"), 422)["errors"][0]["field"] == "account"
    for path in (f"/v1/reconciliations/{made['id']}", f"/v1/reconciliations/{made['id']}/differences"):
        assert office.get(path, tenant="other").status_code == 200
        problem(office.get(path), 404)
    assert [one["id"] for one in office.get("/v1/reconciliations", tenant="other").json()["reconciliations"]] == [made["id"]]
    assert made["id"] not in office.get("/v1/reconciliations", limit=500).text


@pytest.mark.parametrize(("account", "period", "field"), [
    ("nobody", MONTH, "account"),
    ("bare", MONTH, "account"),
    ("month", {"from": MONTH["to"], "to": MONTH["from"]}, "to"),
    ("month", {"from": MONTH["from"], "to": MONTH["from"]}, "to"),
    ("month", {"from": "2025-01-01T00:00:00Z", "to": "2026-06-01T00:00:00Z"}, "to"),
    ("month", {"from": "2026-05-01", "to": MONTH["to"]}, "from"),
    ("month", {"from": MONTH["from"]}, "to"),
    ("month", MONTH | {"colour": "red"}, "colour"),
])  # fmt: skip
def test_what_is_wrong_is_named(office: Office, account: str, period: dict[str, str], field: str) -> None:
    told = problem(office.post(account, **period), 422)
    assert field in [one["field"] for one in told["errors"]]


def test_a_list_of_an_account_nobody_knows_is_refused(office: Office) -> None:
    (error,) = problem(office.get("/v1/reconciliations", account="nobody's"), 422)["errors"]
    assert error["field"] == "account"


def test_a_key_that_may_only_read_runs_nothing(office: Office) -> None:
    problem(office.post("month", scope="read"), 403)
    problem(office.get("/v1/reconciliations/rc_none"), 404)
    problem(office.get("/v1/reconciliations", limit=0), 422)


# ---------------------------------------------------------------- a running stack


def test_a_bill_is_reconciled_by_request_and_by_command(stack: Stack) -> None:
    """61 s by the second are KES 3.05; the provider takes whole minutes for one call, and 7 cents more than anything explains for another."""
    for n, sid in enumerate(("priced-1", "priced-2")):
        start = {"type": "call.started", "direction": "outbound", "from": "+254711000100", "to": "+254720000001"}
        for type_, second, more in (("call.started", 0, start), ("call.answered", 5, {}), ("call.ended", 66, {})):
            at = f"2026-05-01T09:{n + second // 60:02}:{second % 60:02}Z"
            stack.events({"type": type_, "call_sid": sid, "occurred_at": at, **more}, account="priced")
    stack.fresh()
    ledger = "id,created_at,call_id,entry_type,amount_minor,currency,description\n"
    ledger += "".join(
        f"{sid}-e,2026-05-01T09:03:00Z,{sid},debit,{amount},KES,Call\n" for sid, amount in (("priced-1", 600), ("priced-2", 312))
    )
    headers = {"authorization": f"Bearer {stack.key}"}
    reply = stack.http.post("/v1/statements", params={"account": "priced"}, content=ledger, headers=headers | {"content-type": "text/csv"})
    assert reply.status_code == 200, reply.text
    stack.fresh()
    period = {"account": "priced", "from": "2026-04-30T21:00:00Z", "to": "2026-05-31T21:00:00Z"}
    reply = stack.http.post("/v1/reconciliations", json=period, headers=headers)
    assert reply.status_code == 200, reply.text
    told = reply.json()
    assert (told["ours_minor"], told["theirs_minor"], told["unexplained_minor"], told["changed"]) == (610, 912, 7, False)
    assert told["causes"] == {
        "increment_rule": {"count": 1, "amount_minor": 295},
        "unexplained": {"count": 1, "amount_minor": 7},
    }
    printed = json.loads(stack.cli("reconcile", "--account", "priced", "--month", "2026-05", "--json", code=1))
    assert printed == told  # the month of Nairobi
    shown = stack.cli("reconcile", "--account", "priced", "--from", "2026-05-01", "--to", "2026-05-02", "--differences", "1", code=1)
    for said in ("increment_rule", "+2.95", "9.12", "matched 2 of 2 calls (100.00 %)", "UNEXPLAINED: 1, +0.07", "priced-2"):
        assert said in shown
    stack.cli("reconcile", "--account", "priced", "--month", "2026-04", code=0)
    stack.cli("reconcile", "--account", "nobody", "--month", "2026-05", code=2)
    stack.cli("reconcile", "--account", "priced", "--month", "May", code=2)
