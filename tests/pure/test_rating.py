"""Which rule and which version rate a leg, what is unrated, and how the answer reads at the command line and the API."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from api import rates
from calls.clock import parse_time
from calls.faults import Faults
from calls.rating.charge import Charge, RatedLeg, leg_between
from calls.rating.legs import read_legs
from calls.rating.plain import rate_plainly
from calls.rating.plan import parse
from calls.rating.rate import rate
from calls.rating.terms import Plan
from cli.plans import command as plans_command
from cli.rate import command as rate_command
from runtime.problems import Refused


def plan(*rules: dict, **head: object) -> Plan:
    """One version; each rule's `minute` is its rate a minute by the second."""
    listed = [
        {**{k: v for k, v in one.items() if k != "minute"}, "steps": [{"rate_minor": one["minute"], "per_s": 60, "increment_s": 1}]}
        for one in rules
    ]
    version = {"version": "1", "valid_from": "2000-01-01T00:00:00Z", "rules": listed}
    return parse({"currency": "KES", "timezone": "UTC", "versions": [version], **head}, name="test-ke")


def one(by: Plan, leg: RatedLeg, zone: str = "UTC") -> Charge:
    (fast,), (plain,) = rate(by, [leg], zone=zone), rate_plainly(by, [leg], zone=zone)
    assert (fast.amount_minor, fast.rule, fast.working, fast.why) == (plain.amount_minor, plain.rule, plain.working, plain.why)
    return fast


def leg(to: str | None = "+254720000001", **fields: object) -> RatedLeg:
    return RatedLeg(**{"direction": "outbound", "kind": "external", "to": to, "talk_ms": 60_000} | fields)


def at(start: str, seconds: int = 60, **fields: object) -> RatedLeg:
    begun = parse_time(start) or 0
    return leg(started_at=begun, answered_at=begun, talk_ms=seconds * 1000, **fields)


def test_the_longest_prefix_wins_then_the_first_listed() -> None:
    by = plan(
        {"minute": 1, "applies": {"direction": "outbound", "prefix": "2"}},
        {"minute": 2, "applies": {"prefix": "254"}},
        {"minute": 3, "applies": {"prefix": "25472"}},
        {"minute": 4, "applies": {"prefix": "25472"}},
        {"minute": 5, "applies": {"sip": True}},
        {"minute": 6, "applies": {"direction": "inbound", "kind": "bot"}},
        {"minute": 7, "applies": {"direction": "inbound", "own": ["+254700000001"]}},
        {"minute": 8, "applies": {"direction": "inbound"}},
    )
    own = {"direction": "inbound", "kind": "caller"}
    legs = [
        leg(), leg("+254110000001"), leg("+255712000001"), leg("sip:amina@pbx.example.com"), leg("1001", kind="sip"),
        leg(None, direction="inbound", kind="bot"), leg(None, own="+254700000001", **own), leg(None, own="+254700000002", **own),
    ]  # fmt: skip
    assert [one(by, each).amount_minor for each in legs] == [3, 2, 1, 5, 5, 6, 7, 8]


def test_what_no_rule_covers_is_unrated_and_says_so() -> None:
    found = one(plan({"minute": 300, "applies": {"prefix": "254"}}), leg("+881612345678"))
    assert (found.amount_minor, found.tax_minor, found.lines, found.version) == (None, None, (), "1")
    assert "no rule of version 1" in found.why and "+881612345678" in found.why
    before = one(plan({"minute": 300}), at("1999-12-31T23:59:59Z"))
    assert (before.amount_minor, before.version) == (None, None)
    assert "no version" in before.why


def test_a_call_across_borders_of_time_pays_each_increment_by_its_rule() -> None:
    by = plan(
        {"minute": 600, "applies": {"date": ["2026-12-25"]}},
        {"minute": 120, "applies": {"weekday": ["sat", "sun"]}},
        {"minute": 60, "applies": {"time_of_day": "22:00-06:00"}},
        {"minute": 300, "applies": {"time_of_day": "06:00-22:00"}},
    )
    want = {
        "2026-12-25T12:00:00Z": 600, "2026-11-21T12:00:00Z": 120, "2026-11-24T23:30:00Z": 60, "2026-11-24T05:59:30Z": 180,
        "2026-11-24T06:00:00Z": 300, "2026-11-24T21:59:30Z": 180, "2026-11-24T23:59:30Z": 60, "2026-12-24T23:59:30Z": 330,
    }  # fmt: skip
    assert {start: one(by, at(start)).amount_minor for start in want} == want
    lines = [line.what for line in one(by, at("2026-11-24T21:59:30Z")).lines]
    assert lines[1:] == ["30 × 1 s at 300 a minute", "30 × 1 s at 60 a minute (rules[2] from 2026-11-24T22:00:00.000Z)"]


def test_a_call_into_a_time_without_a_rule_is_unrated() -> None:
    by = plan({"minute": 60, "applies": {"time_of_day": "06:00-22:00"}})
    assert [one(by, at("2026-11-24T21:59:00Z", s)).amount_minor for s in (60, 61)] == [60, None]


def test_the_clock_is_that_of_the_plan_and_else_of_the_tenant() -> None:
    rules = {"minute": 60, "applies": {"time_of_day": "22:00-06:00"}}, {"minute": 300}
    assert one(plan(*rules, timezone="Africa/Nairobi"), at("2026-11-24T19:00:00Z")).amount_minor == 60
    here = msgspec.structs.replace(plan(*rules), timezone=None)
    assert one(here, at("2026-11-24T19:00:00Z"), zone="Africa/Nairobi").amount_minor == 60
    assert one(here, at("2026-11-24T19:00:00Z"), zone="UTC").amount_minor == 300


def test_an_hour_that_the_clocks_repeat_is_repeated() -> None:
    by = plan({"minute": 60, "applies": {"time_of_day": "02:00-03:00"}}, {"minute": 0}, timezone="Europe/Berlin")
    assert one(by, at("2026-10-24T23:30:00Z", 3 * 3600)).amount_minor == 120 * 60  # 02:00 to 03:00 twice
    assert one(by, at("2026-03-29T00:30:00Z", 3600)).amount_minor == 0  # from 02:00 to 03:00 at once


def test_a_leg_without_times_cannot_be_rated_by_the_time_of_day() -> None:
    with pytest.raises(Faults, match=r"legs\[1\].started_at"):
        rate(plan({"minute": 1, "applies": {"prefix": "1"}}, {"minute": 1, "applies": {"weekday": ["sat"]}}), [leg("+1"), leg()])


def test_legs_of_one_call_share_its_rounding() -> None:
    by = parse({
        "currency": "KES",
        "versions": [{"version": "1", "valid_from": "2000-01-01T00:00:00Z", "rules": [
            {"steps": [{"rate_minor": "25/6", "per_s": 1, "increment_s": 1}], "rounding": "up", "grain": "call"},
        ]}],
    })  # fmt: skip
    legs = [leg(talk_ms=1000, call_sid=sid, leg=name) for sid, name in (("one", "b"), ("two", "c"), ("one", "a"), (None, "d"))]
    assert [each.amount_minor for each in rate(by, legs)] == [4, 5, 5, 5]
    assert [each.working for each in rate_plainly(by, legs)] == [each.working for each in rate(by, legs)]


# ---------------------------------------------------------------- versions


def versions(*dated: tuple[str, int, str | None]) -> Plan:
    """(valid_from, rate a minute, appended_at)."""
    return Plan("moving-ke", "KES", tuple(
        msgspec.structs.replace(
            plan({"minute": minute}).versions[0],
            version=str(number), valid_from=parse_time(begins) or 0, appended_at=parse_time(appended) if appended else None,
        )
        for number, (begins, minute, appended) in enumerate(dated, 1)
    ), "UTC")  # fmt: skip


def test_a_leg_follows_the_version_valid_at_its_start() -> None:
    by = versions(("2000-01-01T00:00:00Z", 240, None), ("2026-03-01T00:00:00Z", 300, None))
    found = [one(by, at(start, 61)) for start in ("2026-02-28T23:59:50Z", "2026-03-01T00:00:00Z")]
    assert [(each.amount_minor, each.version) for each in found] == [(244, "1"), (305, "2")]
    assert one(by, leg()).version == "2", "without a start, the latest"


def test_a_version_appended_later_changes_no_charge() -> None:
    by = versions(("2026-01-01T00:00:00Z", 240, "2026-01-01T00:00:00Z"), ("2026-02-10T00:00:00Z", 601, "2026-04-01T00:00:00Z"))
    received = {"received_at": parse_time("2026-02-20T10:00:00Z")}
    assert one(by, at("2026-02-20T10:00:00Z", **received)).version == "1"
    assert one(by, at("2026-02-20T10:00:00Z")).version == "2", "asked today, the version that is there today"
    assert one(by, at("2026-02-20T10:00:00Z", received_at=parse_time("2026-04-01T00:00:01Z"))).version == "2"


def test_a_leg_that_no_known_version_covers_takes_the_first_that_does() -> None:
    by = versions(("2026-01-01T00:00:00Z", 240, "2026-03-01T00:00:00Z"), ("2026-02-10T00:00:00Z", 601, "2026-02-25T00:00:00Z"))
    assert one(by, at("2026-02-20T10:00:00Z", received_at=parse_time("2026-02-20T10:00:00Z"))).version == "2"
    assert one(by, at("2026-02-01T10:00:00Z", received_at=parse_time("2026-02-20T10:00:00Z"))).version == "1"


# ---------------------------------------------------------------- legs as written


def test_legs_by_clock_and_by_length() -> None:
    common = {"direction": "outbound", "kind": "external", "to": "+254720000001"}
    start, answer, end = "2026-03-02T08:00:00Z", "2026-03-02T08:00:05Z", "2026-03-02T11:01:06.500+03:00"
    clocked, measured, missed, short = read_legs([
        {**common, "started_at": start, "answered_at": answer, "ended_at": end},
        {**common, "started_at": start, "talk_s": 61.5, "ring_s": 5},
        {**common, "started_at": start, "answered_at": None, "ended_at": answer},
        {**common, "talk_s": 0, "ring_s": "27"},
    ])  # fmt: skip
    begun = parse_time(start) or 0
    ended = parse_time(end) or 0
    assert clocked == measured == leg_between(
        "outbound", "external", to="+254720000001", started_at=begun, answered_at=begun + 5_000_000, ended_at=ended
    )  # fmt: skip
    assert (missed.talk_ms, missed.ring_ms, short.talk_ms, short.ring_ms) == (None, 5000, None, 27_000)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "legs"),
        ([3], "legs[0]"),
        ([{"kind": "bot", "talk_s": 1}], "legs[0].direction"),
        ([{"direction": "outbound", "kind": "cat", "talk_s": 1}], "legs[0].kind"),
        ([{"direction": "outbound", "kind": "bot"}], "legs[0].talk_s"),
        ([{"direction": "outbound", "kind": "bot", "talk_s": -1}], "legs[0].talk_s"),
        ([{"direction": "outbound", "kind": "bot", "talk_s": True}], "legs[0].talk_s"),
        ([{"direction": "outbound", "kind": "bot", "talk_s": 1e300}], "legs[0].talk_s"),
        ([{"direction": "outbound", "kind": "bot", "talk_s": 1.2345}], "legs[0].talk_s"),
        ([{"direction": "outbound", "kind": "bot", "started_at": "9999-12-31T23:59:59Z", "talk_s": 1}], "legs[0].started_at"),
        ([{"direction": "outbound", "kind": "bot", "ended_at": "2026-01-01T00:00:00Z"}], "legs[0].started_at"),
        (
            [{"direction": "outbound", "kind": "bot", "started_at": "2026-01-01T00:00:01Z", "ended_at": "2026-01-01T00:00:00Z"}],
            "legs[0].ended_at",
        ),
        ([{"direction": "outbound", "kind": "bot", "talk_s": 1, "colour": "red"}], "legs[0].colour"),
    ],
)
def test_a_wrong_leg_names_its_field(given: object, field: str) -> None:
    with pytest.raises(Faults) as caught:
        read_legs(given)
    assert field in dict(caught.value.faults)


# ---------------------------------------------------------------- at the door


def asked(**body: object) -> dict:
    answer: dict = json.loads(msgspec.json.encode(rates._rated(json.dumps(body).encode(), "UTC")))
    return answer


def test_the_api_answers_with_amounts_and_the_working() -> None:
    legs = [{"direction": "outbound", "kind": "external", "to": to, "talk_s": 61} for to in ("+254720000001", "+881612345678")]
    answer = asked(plan="sautikit-ke-minute", legs=legs)
    first, second = answer["charges"]
    assert first == {
        "amount_minor": 600, "tax_minor": 0, "currency": "KES", "plan": "sautikit-ke-minute", "version": "2026-01", "rule": 0,
        "working": [{"what": "61 s from the answer to the end", "exact": "0"}, {"what": "2 × 60 s at 300 a minute", "exact": "600"}],
    }  # fmt: skip
    assert (second["amount_minor"], second["tax_minor"], second["working"]) == (None, None, [])
    assert (answer["total_minor"], answer["currency"], answer["unrated"]) == (600, "KES", 1)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"legs": []}, 422, "plan"),
        ({"plan": "sautikit-ke", "plan_toml": "", "legs": []}, 422, "plan"),
        ({"plan": "nobody-ke", "legs": []}, 404, None),
        ({"plan": 3, "legs": []}, 422, "plan"),
        ({"plan": "sautikit-ke"}, 422, "legs"),
        ({"plan": "sautikit-ke", "legs": [], "colour": 1}, 422, "colour"),
        ({"plan_toml": "currency = 'KES'", "legs": []}, 422, "versions"),
    ],
)
def test_the_api_says_what_is_wrong(body: dict, status: int, field: str | None) -> None:
    with pytest.raises(Refused) as caught:
        asked(**body)
    assert caught.value.status == status
    assert field is None or field in [error["field"] for error in caught.value.errors]


def test_the_command_rates_a_file_and_one_leg(tmp_path: Path) -> None:
    file = tmp_path / "legs.csv"
    file.write_text("\ufeffdirection,kind,to,talk_s\noutbound,external,+254720000001,61\noutbound,external,+4930123456,61\n")
    said = CliRunner().invoke(rate_command, [str(file), "--plan", "sautikit-ke", "--json"], standalone_mode=False)
    assert said.return_value == 1, "one is unrated"
    assert [each["amount_minor"] for each in json.loads(said.stdout)["charges"]] == [305, None]
    said = CliRunner().invoke(rate_command, ["--plan", "sautikit-ke", "--to", "+254720000001", "--talk-s", "61"], standalone_mode=False)
    assert said.return_value == 0
    assert "61 × 1 s at 300 a minute" in said.stdout


def test_the_command_lists_shows_and_checks_plans(tmp_path: Path) -> None:
    run = CliRunner().invoke
    assert "sautikit-ke-minute" in run(plans_command, ["list"], standalone_mode=False).stdout
    shown = run(plans_command, ["show", "example"], standalone_mode=False).stdout
    (tmp_path / "mine.toml").write_text(shown)
    (tmp_path / "bad.toml").write_text(shown.replace("half_up", "sideways"))
    assert run(plans_command, ["check", str(tmp_path / "mine.toml")], standalone_mode=False).return_value == 0
    bad = run(plans_command, ["check", str(tmp_path / "bad.toml")], standalone_mode=False)
    assert bad.return_value == 1
    assert "versions[0].rules[3].rounding" in bad.stdout
