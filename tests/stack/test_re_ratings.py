"""Periods rated again and periods closed, on a real Postgres: facts beside facts, and what is closed stands."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from asking import DID, NOON, SECOND, Desk, opened, problem
from costs import charge, charged
from shell import shell
from whole import Stack

from api.money.charged import COLUMNS
from calls.clock import rfc3339
from calls.journey import Journey

HOUR = 3600 * SECOND
DAY = {"from": "2026-09-01T00:00:00Z", "to": "2026-09-02T00:00:00Z"}
HEAD = 'currency = "KES"\ntimezone = "UTC"\n'


@pytest.fixture(scope="module")
def desk(database_url: str) -> Iterator[Desk]:
    with opened(database_url) as made:
        yield made


@pytest.fixture
def office(desk: Desk) -> Office:
    """A tenant of the test's own."""
    return Office(desk)


class Office:
    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        desk.tenant = self.tenant = f"t-{uuid.uuid4().hex[:8]}"
        self.key, self.reads = desk.new_key(self.tenant, "write"), desk.new_key(self.tenant)

    def post(self, path: str, key: str | None = None, **body: Any) -> Any:
        return self.desk.http.post(path, json=body, headers={"Authorization": f"Bearer {key or self.key}"})

    def get(self, path: str, key: str | None = None, **query: Any) -> Any:
        return self.desk.get(path, key or self.reads, **query)

    def plan(self, name: str, minute: int, *, plan: str = "mine-ke", currency: str = "KES", more: str = "") -> None:
        step = f"{{ from_s = 0, rate_minor = {minute}, per_s = 60, increment_s = 1 }}"
        begins = f"20{minute % 80 + 10}-01-01T00:00:00Z"
        text = f'[[versions]]\nversion = "{name}"\nvalid_from = {begins}\n[[versions.rules]]\n{more}\nsteps = [{step}]\n'
        reply = self.post("/v1/rate-plans", plan=plan, plan_toml=HEAD.replace("KES", currency) + text)
        assert reply.status_code == 200, reply.text

    def re_rate(self, version: str, *, plan: str = "mine-ke", **more: Any) -> Any:
        reply = self.post("/v1/re-ratings", **({"account": "acme", **DAY, "plan": plan, "version": version} | more))
        assert reply.status_code == 200, reply.text
        return reply.json()

    def close(self, **more: Any) -> Any:
        return self.post("/v1/closed-periods", **({"account": "acme", **DAY} | more))

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.desk.url) as connection:
            done = connection.execute(statement, (*values, self.tenant))
            return done.fetchall() if done.description else []

    def store(self, *journeys: Journey) -> None:
        """Their legs are over."""
        self.desk.store(*journeys)
        self.sql("UPDATE live.legs SET ended_at = now() WHERE tenant = %s")

    def total(self) -> int:
        """Of the charges of the day."""
        reply = self.get("/v1/charges", account="acme", from_=DAY["from"], to=DAY["to"])
        assert reply.status_code == 200, reply.text
        total: int = reply.json()["total_minor"]
        return total


def test_a_period_under_another_version_is_a_fact_beside_the_charges(office: Office) -> None:
    office.plan("1", 300)
    office.plan("2", 360)
    office.store(
        charged(office.desk, "one", charge("one", amount=305), charge("one", "a", 305)),
        charged(office.desk, "two", charge("two", amount=366)),  # what it costs under the second version already
        charged(office.desk, "before", charge("before", started_at=NOON - 12 * HOUR - SECOND)),
        charged(office.desk, "at-the-end", charge("at-the-end", started_at=NOON + 12 * HOUR)),
    )
    there = office.re_rate("2")
    assert (there["before_minor"], there["after_minor"], there["difference_minor"], there["currency"]) == (976, 1098, 122, "KES")
    assert [(one["call_sid"], one["leg"], one["before_minor"], one["after_minor"], one["difference_minor"]) for one in there["legs"]] == [
        ("one", "a", 305, 366, 61), ("one", "caller", 305, 366, 61),
    ]  # fmt: skip
    assert there["by_queue"] == [
        {"queue": "support", "before_minor": 305, "after_minor": 366, "difference_minor": 61},
        {"queue": None, "before_minor": 671, "after_minor": 732, "difference_minor": 61},
    ]
    assert {one["number"]: one["difference_minor"] for one in there["by_number"]} == {DID: 61, "+254712345678": 61}
    assert (there["re_rated"], there["differing"], there["unrated"], there["correction"], there["corrects"]) == (3, 2, 0, False, [])
    back = office.re_rate("1", against=there["id"])
    assert (back["difference_minor"], len(back["legs"])) == (-183, 3)
    assert back["against"] == there["id"]
    assert office.total() == 976
    assert office.get(f"/v1/re-ratings/{there['id']}").json() == there
    listed = office.get("/v1/re-ratings", account="acme", limit=1).json()
    assert [one["id"] for one in listed["re_ratings"]] == [back["id"]]
    rest = office.get("/v1/re-ratings", account="acme", cursor=listed["next_cursor"]).json()
    assert ([one["id"] for one in rest["re_ratings"]], rest["next_cursor"]) == ([there["id"]], None)


def test_unrated_legs_are_told_and_count_as_nothing(office: Office) -> None:
    office.plan("in", 300, more='applies = { direction = "inbound" }')
    office.store(charged(office.desk, "one", charge("one", amount=None), charge("one", "a", 305)))
    found = office.re_rate("in")
    assert (found["before_minor"], found["after_minor"], found["unrated"], found["unrated_before"]) == (305, 305, 1, 1)
    by_leg = {one["leg"]: one for one in found["legs"]}
    assert (by_leg["caller"]["before_minor"], by_leg["caller"]["after_minor"]) == (None, 305)
    assert (by_leg["a"]["after_minor"], by_leg["a"]["difference_minor"]) == (None, -305)
    assert [one["why"] for one in found["unrated_legs"]] == [by_leg["a"]["why"]]
    assert "outbound" in by_leg["a"]["why"]


def test_a_call_that_is_rounded_as_one_takes_its_legs_outside_the_period_into_account(office: Office) -> None:
    office.plan("call", 250, more='grain = "call"\nrounding = "up"')
    legs = [
        charge("one", leg, amount, talk_ms=1000, started_at=at) for leg, amount, at in (("caller", 5, NOON - 13 * HOUR), ("b", 4, NOON))
    ]
    office.store(charged(office.desk, "one", *legs))
    found = office.re_rate("call")
    assert (found["re_rated"], found["before_minor"], found["after_minor"], found["legs"]) == (1, 4, 4, [])


def test_what_is_wrong_with_a_request_is_named(office: Office) -> None:
    office.plan("1", 300)
    office.plan("1", 300, plan="mine-ug", currency="UGX")
    office.store(charged(office.desk, "one", charge("one", amount=305)))
    first = office.re_rate("1")
    good = {"account": "acme", **DAY, "plan": "mine-ke", "version": "1"}
    for change, status, field in (
        ({"plan": "nosuch"}, 404, "plan"), ({"plan": None}, 422, "plan"), ({"version": "9"}, 422, "version"), ({"plan": "mine-ug"}, 422, "plan"),
        ({"account": "nosuch"}, 422, "account"), ({"account": 1}, 422, "account"), ({"to": DAY["from"]}, 422, "to"),
        ({"from": "2026-09-01"}, 422, "from"), ({"against": "rr_nosuch"}, 422, "against"), ({"colour": 1}, 422, "colour"),
        ({"against": first["id"], "to": "2026-09-03T00:00:00Z"}, 422, "against"), ({"against": first["id"], "plan": "mine-ug"}, 422, "plan"),
    ):  # fmt: skip
        told = problem(office.post("/v1/re-ratings", **(good | change)), status)
        assert [error["field"] for error in told["errors"]] == [field], told
    problem(office.post("/v1/re-ratings", office.reads, **good), 403)
    problem(office.get(f"/v1/re-ratings/{first['id']}", office.desk.other_key), 404)
    problem(office.get("/v1/re-ratings", colour=1), 422)
    for listing in ("/v1/re-ratings", "/v1/closed-periods"):
        (error,) = problem(office.get(listing, account="nobody's"), 422)["errors"]
        assert error["field"] == "account", listing
    assert office.get("/v1/re-ratings", office.desk.other_key).json()["re_ratings"] == []
    assert len(office.get("/v1/re-ratings").json()["re_ratings"]) == 1


def test_a_closed_period_stands_and_a_re_rating_of_it_is_a_correction(office: Office) -> None:
    office.plan("1", 300)
    office.store(charged(office.desk, "one", charge("one", amount=305)), charged(office.desk, "moved", charge("moved", amount=305)))
    closed = office.close()
    assert closed.status_code == 200, closed.text
    document = closed.json()
    assert (document["total_minor"], document["currency"], document["legs"], document["calls"], document["unrated"]) == (
        610,
        "KES",
        2,
        2,
        0,
    )
    assert office.close().json() == document
    office.store(charged(office.desk, "late", charge("late", amount=305)))
    office.sql("UPDATE live.charges SET amount_minor = 600 WHERE call_sid = %s AND tenant = %s", "one")
    office.sql("UPDATE live.charges SET started_at = %s WHERE call_sid = 'moved' AND tenant = %s", "2026-09-02T10:00:00Z")
    assert office.total() == 610
    since = office.get(f"/v1/closed-periods/{document['id']}").json()
    assert since["late"] == {"legs": 3, "new": 1, "gone": 1, "changed": 1, "difference_minor": 600 + 305 - 610}
    assert since["total_minor"] == 610
    correction = office.re_rate("1")
    assert (correction["correction"], correction["corrects"]) == (
        True,
        [{"from": rfc3339(NOON - 12 * HOUR), "to": rfc3339(NOON + 12 * HOUR)}],
    )
    legs = {one["call_sid"]: (one["before_minor"], one["after_minor"], one["difference_minor"]) for one in correction["legs"]}
    assert legs == {"late": (None, 305, 305), "moved": (305, None, -305)}
    assert (correction["before_minor"], correction["after_minor"], correction["new"], correction["gone"]) == (610, 610, 1, 1)
    whole = office.re_rate("1", to="2026-09-03T00:00:00Z")  # over both days the leg that moved was charged twice: it is one leg
    assert {one["call_sid"]: one["difference_minor"] for one in whole["legs"]} == {"late": 305, "moved": -305}
    assert office.total() == 610
    listed = office.get("/v1/closed-periods", account="acme").json()["closed_periods"]
    assert [one["id"] for one in listed] == [document["id"]]
    second = office.close(**{"from": DAY["to"], "to": "2026-09-03T00:00:00Z"})
    assert second.json()["total_minor"] == 305  # the leg is charged where it really began, and a correction takes it out of the first day


def test_what_is_not_ready_is_not_closed(office: Office) -> None:
    office.store(charged(office.desk, "one", charge("one", amount=None), charge("one", "a", 305)))
    office.sql("UPDATE live.legs SET ended_at = NULL WHERE tenant = %s")
    for change, field, says in (
        ({}, "anyway", "not ended"), ({"to": "2999-01-01T00:00:00Z"}, "to", "not over"), ({"account": "nosuch"}, "account", "no account"),
        ({"anyway": "yes"}, "anyway", "true or false"), ({"to": DAY["from"]}, "to", "later"), ({"colour": 1}, "colour", "no field"),
    ):  # fmt: skip
        told = problem(office.close(**change), 422)
        assert [error["field"] for error in told["errors"]] == [field], told
        assert says in told["detail"]
    office.sql("UPDATE live.legs SET ended_at = now() WHERE tenant = %s")
    assert "1 of its legs are unrated" in problem(office.close(), 422)["detail"]
    assert office.sql("SELECT count(*) FROM safiri.closed_charges WHERE tenant = %s") == [(0,)]
    document = office.close(anyway=True).json()
    assert (document["legs"], document["unrated"], document["total_minor"]) == (2, 1, 305)
    told = problem(office.close(**{"from": "2026-09-01T12:00:00Z", "to": "2026-09-03T00:00:00Z"}), 422)
    assert [error["field"] for error in told["errors"]] == ["from"]
    problem(office.post("/v1/closed-periods", office.reads, account="acme", **DAY), 403)
    problem(office.get(f"/v1/closed-periods/{document['id']}", office.desk.other_key), 404)


def test_closed_charges_have_the_columns_of_charges(office: Office) -> None:
    statement = "SELECT column_name FROM information_schema.columns WHERE table_schema = 'safiri' AND table_name = 'closed_charges'"
    with psycopg.connect(office.desk.url) as connection:
        assert {name for (name,) in connection.execute(statement)} == set(COLUMNS)


def test_the_commands_take_days_and_months_of_the_tenants_zone(stack: Stack) -> None:
    plan = ("--plan", "sautikit-ke", "--version", "2026-01")
    told = json.loads(stack.cli("re-rate", "--account", "bank", "--month", "2019-05", *plan, "--json"))
    assert (told["from"], told["to"], told["legs"], told["re_rated"]) == ("2019-04-30T21:00:00.000Z", "2019-05-31T21:00:00.000Z", [], 0)
    back = ("--from", "2019-05-01", "--to", "2019-06", "--against", told["id"])
    assert "by sautikit-ke 2026-01" in stack.cli("re-rate", "--account", "bank", *back, *plan)
    closed = json.loads(stack.cli("close-period", "--account", "bank", "--from", "2019-05", "--json"))
    assert (closed["from"], closed["to"], closed["total_minor"]) == (told["from"], told["to"], 0)
    assert closed["id"] in stack.cli("close-period", "--account", "bank", "--month", "2019-05")
    assert json.loads(stack.cli("re-rate", "--account", "bank", "--month", "2019-05", *plan, "--json"))["correction"] is True


@pytest.mark.parametrize(("args", "says"), [
    (["re-rate", "--month", "2019-13"], "--month"), (["re-rate", "--month", "2019-05", "--from", "2019-05"], "--month"),
    (["re-rate"], "--from is missing"), (["re-rate", "--from", "2019-05-01T00:00:00Z"], "give the end too"), (["close-period", "--from", "May"], "--from"),
    (["close-period", "--month", "2999-01"], "not over"), (["close-period", "--month", "2019-05", "--account", "nosuch"], "no account"),
    (["close-period", "--month", "2019-06", "--tenant", "nosuch"], "no tenant"), (["re-rate", "--from", "2019-06", "--to", "2019-05"], "later than from"),
])  # fmt: skip
def test_what_is_wrong_with_a_command_is_one_line(stack: Stack, args: list[str], says: str) -> None:
    plan = ["--plan", "sautikit-ke", "--version", "2026-01"] if args[0] == "re-rate" else []
    account = [] if "--account" in args else ["--account", "bank"]
    code, out, err = shell(stack, *args, *plan, *account)
    assert (code, out) == (2, ""), err
    assert says in err
