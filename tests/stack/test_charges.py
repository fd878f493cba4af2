"""GET /v1/charges: what legs cost by any of their groups, adding up exactly; unrated ones are counted and never free."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import psycopg
import pytest
from asking import NOON, SECOND, Desk, opened, problem
from costs import charge, charged

from api.money.charged import COLUMNS
from api.money.charges import GROUPS

HOUR = 3600 * SECOND
MIDNIGHT = NOON + 9 * HOUR  # of Nairobi


@pytest.fixture(scope="module")
def desk(database_url: str) -> Iterator[Desk]:
    with opened(database_url) as made:
        made.store(
            charged(made, "one", charge("one", amount=120), charge("one", "a", 305), charge("one", "b", 50, to="sip:baraka@pbx.example.com", kind="sip", agent="baraka")),
            charged(made, "two", charge("two", amount=0), charge("two", "a", None, to="+14155550100", queue="sales", agent=None)),
            charged(made, "late", charge("late", amount=7, started_at=MIDNIGHT)),
            charged(made, "early", charge("early", amount=5, started_at=MIDNIGHT - SECOND)),
            charged(made, "bank", charge("bank", "a", 11, account="bank", plan="bank-ke", tax_minor=2, to="40345"), account="bank"),
            charged(made, "rival", charge("rival", amount=10**6), tenant=made.other),
        )  # fmt: skip
        yield made


def told(desk: Desk, **query: Any) -> Any:
    reply = desk.get("/v1/charges", **query)
    assert reply.status_code == 200, reply.text
    return reply.json()


def by(desk: Desk, name: str, **query: Any) -> dict[str | None, tuple[int, int, int]]:
    """{group: (amount, legs, unrated ones)}"""
    rows = told(desk, group_by=name, **query)["rows"]
    return {row["group"][name]: (row["amount_minor"], row["charges"], row["unrated"]) for row in rows}


def test_the_total_is_of_what_is_rated_and_says_how_much_is_not(desk: Desk) -> None:
    answer = told(desk)
    assert (answer["total_minor"], answer["currency"], answer["charges"], answer["unrated"]) == (498, "KES", 8, 1)
    assert answer["rows"] == [{"group": {}, "amount_minor": 498, "tax_minor": 2, "charges": 8, "unrated": 1}]
    assert answer["complete_through"]


@pytest.mark.parametrize(("name", "groups"), [
    ("queue", {None: (132, 4, 0), "support": (366, 3, 0), "sales": (0, 1, 1)}),
    ("agent", {None: (132, 5, 1), "amina": (316, 2, 0), "baraka": (50, 1, 0)}),
    ("kind", {"caller": (132, 4, 0), "agent": (316, 3, 1), "sip": (50, 1, 0)}),
    ("account", {"acme": (487, 7, 1), "bank": (11, 1, 0)}),
    ("day", {"2026-09-01": (491, 7, 1), "2026-09-02": (7, 1, 0)}),
    ("direction", {"inbound": (132, 4, 0), "outbound": (366, 4, 1)}),
    ("plan", {"sautikit-ke": (487, 7, 1), "bank-ke": (11, 1, 0)}),
    ("number", {"+254711000100": (132, 4, 0), "+254712345678": (366, 4, 1)}),
    ("destination", {None: (132, 4, 0), "+254": (305, 1, 0), "sip": (50, 1, 0), "other": (11, 1, 0), "+1": (0, 1, 1)}),
])  # fmt: skip
def test_a_charge_belongs_to_its_own_legs_group(desk: Desk, name: str, groups: dict[str | None, tuple[int, int, int]]) -> None:
    assert by(desk, name) == groups


def test_groups_add_up_whatever_they_are(desk: Desk) -> None:
    for names in [*combinations(GROUPS, 2), tuple(GROUPS)]:
        answer = told(desk, group_by=",".join(names))
        assert all(list(row["group"]) == list(names) for row in answer["rows"])
        assert len({tuple(row["group"].values()) for row in answer["rows"]}) == len(answer["rows"])
        sums = [sum(row[what] for row in answer["rows"]) for what in ("amount_minor", "charges", "unrated")]
        assert sums == [498, 8, 1] == [answer["total_minor"], answer["charges"], answer["unrated"]]


def test_a_period_is_of_legs_starts_and_cut_in_two_it_is_the_whole(desk: Desk) -> None:
    at = "2026-09-02T00:00:00+03:00"
    assert (told(desk, to=at)["total_minor"], told(desk, from_=at)["total_minor"]) == (491, 7)
    assert told(desk, from_="2026-09-03T00:00:00Z") | {"complete_through": None} == {
        "total_minor": 0, "currency": None, "rows": [], "charges": 0, "unrated": 0, "complete_through": None,
    }  # fmt: skip
    assert told(desk, account="bank")["total_minor"] == 11


def test_another_tenants_charges_are_never_seen(desk: Desk) -> None:
    assert told(desk, key=desk.other_key)["total_minor"] == 10**6
    problem(desk.get("/v1/charges", key=desk.other_key, account="bank"), 422)


def test_two_currencies_are_not_added(desk: Desk) -> None:
    with psycopg.connect(desk.url) as connection:
        connection.execute("UPDATE g1.charges SET currency = 'USD' WHERE account = 'bank'")
    try:
        (error,) = problem(desk.get("/v1/charges"), 422)["errors"]
        assert error["field"] == "account"
        assert "KES, USD" in error["detail"]
        assert told(desk, account="bank")["currency"] == told(desk, currency="USD", account="bank")["currency"] == "USD"
        dollars = told(desk, currency="USD")
        assert (dollars["total_minor"], dollars["currency"], dollars["unrated"]) == (11, "USD", 1)
        assert told(desk, currency="KES")["total_minor"] == 487
    finally:
        with psycopg.connect(desk.url) as connection:
            connection.execute("UPDATE g1.charges SET currency = 'KES'")


def test_amounts_are_whole_beyond_what_a_float_or_a_bigint_holds(desk: Desk) -> None:
    great = 2**63 - 1
    tenant = f"{desk.tenant}-great"
    desk.store(*(charged(desk, f"great-{n}", charge(f"great-{n}", amount=great - n), tenant=tenant) for n in range(3)))
    answer = desk.get("/v1/charges", key=desk.new_key(tenant), group_by="queue").json()
    assert answer["total_minor"] == answer["rows"][0]["amount_minor"] == 3 * great - 3


def test_a_closed_periods_charges_are_those_it_was_closed_with(desk: Desk) -> None:
    tenant = f"{desk.tenant}-closed"
    key = desk.new_key(tenant)
    desk.store(
        *(charged(desk, sid, charge(sid, amount=305, started_at=at), tenant=tenant) for sid, at in (("in", NOON), ("after", NOON + HOUR)))
    )
    with psycopg.connect(desk.url) as connection:
        names = ", ".join(f'"{name}"' for name in COLUMNS)
        connection.execute(
            f"INSERT INTO safiri.closed_charges ({names}) SELECT {names} FROM live.charges WHERE tenant = %s AND call_sid = 'in'", (tenant,)
        )
        period = [tenant, "cp_1", "acme", "2026-09-01T12:00:00Z", "2026-09-01T13:00:00Z", "2026-10-01T00:00:00Z", "{}"]
        connection.execute(
            "INSERT INTO safiri.closed_periods (tenant, id, account, from_at, to_at, closed_at, document) VALUES (%s, %s, %s, %s, %s, %s, %s)",
            period,
        )
        connection.execute("UPDATE g1.charges SET amount_minor = 999 WHERE tenant = %s", (tenant,))
    assert desk.get("/v1/charges", key=key).json()["total_minor"] == 305 + 999


@pytest.mark.parametrize(("query", "field", "says"), [
    ({"group_by": "colour"}, "group_by", "'colour'"), ({"group_by": "queue,queue"}, "group_by", "twice"), ({"group_by": "queue,"}, "group_by", "''"),
    ({"from_": "yesterday"}, "from", "no time"), ({"from_": "2026-09-02T00:00:00Z", "to": "2026-09-01T00:00:00Z"}, "from", "later than to"),
    ({"account": "nobody's"}, "account", "no account"), ({"currency": "kes"}, "currency", "capital"), ({"queue": "support"}, "queue", "unknown parameter"),
])  # fmt: skip
def test_what_is_asked_wrongly_is_refused(desk: Desk, query: dict[str, str], field: str, says: str) -> None:
    (error,) = problem(desk.get("/v1/charges", **query), 422)["errors"]
    assert error["field"] == field
    assert says in error["detail"]
