"""One readable example of each cause: a call of 61 s at 300 a minute, KES 3.05, and what else the provider says of it."""

from __future__ import annotations

from fractions import Fraction

import msgspec
import pytest

from calls.rating.charge import RatedLeg
from calls.rating.rate import rate
from calls.reconciliation.causes import explain
from calls.reconciliation.rerating import rate_of
from calls.reconciliation.sides import Difference, Entry, OurLeg, Record, Unit
from tests.leaks import FREE, MAY, SECOND, a_minute, to, versions

KE = versions("main-ke", (a_minute(240, to("254")),), (a_minute(300, to("254")), a_minute(250, to("255"))))
LEG = RatedLeg(
    "outbound", "caller", "+254720000001", 61_000, 9000, MAY, MAY + 9 * SECOND, own="+254700000001", call_sid="c1", leg="caller"
)  # fmt: skip
RECORD = Record(
    "r1", "c1", direction="outbound", caller="+254700000001", called="+254720000001", started_at=MAY, answered_at=MAY + 9 * SECOND,
    ended_at=MAY + 70 * SECOND, duration_ms=61_000, status="completed", amount_minor=305, rate_per_minute="300",
)  # fmt: skip
LINE = Entry("e1", MAY + 70 * SECOND, 305, "c1", "debit", "Call")
Said = tuple[str, int]


def ours(*legs: RatedLeg, inside: bool = True) -> tuple[OurLeg, ...]:
    charges = rate(KE, legs)
    return tuple(
        OurLeg(
            "j1", leg, MAY + 70 * SECOND, charge.amount_minor, "main-ke", charge.version if charge.rule is not None else None, inside=inside
        )
        for leg, charge in zip(legs, charges, strict=True)
    )


def leg(**fields: object) -> RatedLeg:
    return msgspec.structs.replace(LEG, **fields)


def record(**fields: object) -> Record:
    return msgspec.structs.replace(RECORD, **fields)


def line(amount_minor: int = 305, **fields: object) -> Entry:
    return msgspec.structs.replace(LINE, amount_minor=amount_minor, **fields)


def differences(one: Unit, *, by_records: bool = False, records_kept: bool = True) -> list[Difference]:
    return explain(one, plans={"main-ke": KE}, zone="Africa/Nairobi", by_records=by_records, records_kept=records_kept)


def found(legs: tuple[OurLeg, ...] = (), records: list[Record] | None = None, lines: list[Entry] | None = None, **how: bool) -> list[Said]:
    """(cause, amount) of each row."""
    one = Unit(legs, tuple(records or ()), tuple(lines or ()), "call_id")
    return [(row.cause, row.amount_minor) for row in differences(one, **how)]


def working(*args: object) -> list[list[Said]]:
    rows = differences(Unit(*args, by="call_id"))
    return [[(what, int(exact)) for what, exact in row.working] for row in rows]


def test_what_agrees_has_no_row() -> None:
    assert found(ours(LEG), [RECORD], [LINE]) == []
    assert found(ours(LEG), [], [LINE]) == []
    assert found(ours(LEG), [RECORD], by_records=True) == []


# ---------------------------------------------------------------- no call


@pytest.mark.parametrize(
    ("cause", "amount", "kind", "text"),
    [
        ("top_up", -100_000, "credit", "M-Pesa top-up"),
        ("top_up", -100_000, "topup", None),
        ("top_up", -100_000, "credit", None),
        ("top_up", 100_000, "debit", "Top-up reversed"),
        ("top_up", -5000, "credit", "Payment received, monthly"),
        ("top_up", -30_000, "credit", "STK push 254722000000"),
        ("top_up", -70_000, "credit", "PesaLink from KCB"),
        ("top_up", -950, "credit", "Wallet load"),
        ("non_call_charge", 11_600, "debit", "Number rental +254700000001"),
        ("non_call_charge", 1000, "recording_storage", ""),
        ("non_call_charge", 1000, "debit", "Call recording storage 10 GB"),
        ("non_call_charge", 80, "debit", "SMS to +254720000001"),
        ("non_call_charge", 1600, "debit", "VAT on number"),
        ("non_call_charge", 5000, "debit", "Payment for subscription"),
        ("non_call_charge", -11_600, "credit", "Refund of number rental"),
        ("unexplained", 305, "debit", "Call to number +254720000001"),
        ("unexplained", -305, "credit", "Refund of a call"),
        ("unexplained", 48, "debit", "VAT on calls"),
        ("unexplained", 5, "debit", None),
        ("unexplained", -5, "credit", "Goodwill"),
    ],
)
def test_a_line_without_a_call_is_what_its_words_say(cause: str, amount: int, kind: str, text: str | None) -> None:
    assert found(lines=[line(amount, call_id=None, entry_type=kind, description=text)]) == [(cause, amount)]


def test_a_line_of_a_call_may_be_for_something_else() -> None:
    assert found(ours(LEG), [RECORD], [LINE, line(200, row_id="e2", description="Storage of the recording")]) == [("non_call_charge", 200)]
    assert found(ours(LEG), [], [line(300, description="Rental of a voice line")]) == [("unexplained", -5)], "no other line is the call's"


def test_lines_of_another_period_are_not_told() -> None:
    assert found(lines=[line(-5, call_id=None, inside=False)]) == []
    assert found(ours(LEG, inside=False), [record(inside=False)], [line(inside=False)]) == []
    assert found((), [record(inside=False)], [line(inside=False)]) == []


# ---------------------------------------------------------------- one side knows nothing


def test_they_know_nothing_of_our_call() -> None:
    assert found(ours(LEG)) == [("missing_theirs", -305)]
    free = ours(leg(direction="inbound", to="+254700000001"))
    assert found(free) == [("missing_theirs", 0)]
    assert found(free, records_kept=False) == [], "without call records nobody keeps what costs nothing"
    assert working(ours(LEG)) == [[("our 61 s by version new of main-ke", -305)]]


def test_they_have_a_record_and_took_nothing() -> None:
    assert found(ours(LEG), [RECORD]) == [("missing_theirs", -305)]
    assert working(ours(LEG), (RECORD,)) == [
        [("our 61 s by version new of main-ke: nothing was taken, though their record says 305", -305)]
    ]
    assert found(ours(LEG), [record(amount_minor=None)]) == [("missing_theirs", -305)]
    assert found(ours(LEG), [record(amount_minor=0)]) == [("unexplained", -305)], "they know it, and say that it costs nothing"
    assert found(ours(LEG), [record(amount_minor=0, duration_ms=0, answered_at=None, status="no-answer")]) == [
        ("duration_ours_longer", -305)
    ]


def test_we_know_nothing_of_their_call() -> None:
    assert found((), [RECORD], [LINE]) == [("missing_ours", 305)]
    assert found((), [RECORD], by_records=True) == [("missing_ours", 305)]
    assert found((), [], [LINE]) == [("missing_ours", 305)]
    assert found((), [record(amount_minor=0, duration_ms=0)]) == [("missing_ours", 0)]
    assert found((), [RECORD]) == [("missing_ours", 0)], "their record charges, their ledger did not"
    assert found((), [RECORD], [LINE, line(row_id="e2")]) == [("missing_ours", 305), ("duplicate_theirs", 305)]
    assert found((), [RECORD], [line(610)]) == [("missing_ours", 305), ("duplicate_theirs", 305)]
    assert found((), [record(amount_minor=610)], [LINE, line(row_id="e2")]) == [("missing_ours", 610)], "two legs of one price"
    assert found((), [RECORD], [LINE, line(-305, row_id="e2", at=MAY + 80 * SECOND)]) == [("missing_ours", 0)]


# ---------------------------------------------------------------- the border of the period


def test_a_call_of_one_period_whose_money_is_of_another() -> None:
    assert found(ours(LEG), [RECORD], [line(inside=False)]) == [("period_boundary", -305)]
    assert found(ours(LEG, inside=False), [record(inside=False)], [LINE]) == [("period_boundary", 305)]
    assert found(ours(LEG), [], [line(400, inside=False)]) == [("period_boundary", -305)], "its price is a matter of the other period"
    assert found(ours(LEG), [record(inside=False)], by_records=True) == [("period_boundary", -305)]


def test_part_of_its_money_is_of_another_period() -> None:
    parts = [line(200), line(105, row_id="e2", inside=False)]
    assert found(ours(LEG), [RECORD], parts) == [("period_boundary", -105)]
    twice = [line(inside=False), line(row_id="e2", at=MAY + 80 * SECOND)]
    assert found(ours(LEG, inside=False), [], twice) == [("duplicate_theirs", 305)], "the first was taken in the last period"
    back = [line(inside=False), line(-305, row_id="e2", at=MAY + 80 * SECOND)]
    assert found(ours(LEG, inside=False), [], back) == [("period_boundary", -305)]


# ---------------------------------------------------------------- repetitions


def test_taken_more_than_once() -> None:
    assert found(ours(LEG), [RECORD], [LINE, line(row_id="e2")]) == [("duplicate_theirs", 305)]
    assert found(ours(LEG), [], [LINE, line(row_id="e2"), line(row_id="e3")]) == [("duplicate_theirs", 610)]
    assert found(ours(LEG), [RECORD, record(row_id="r2")], by_records=True) == [("duplicate_theirs", 305)]
    assert found(ours(LEG), [RECORD], [line(610)]) == [("duplicate_theirs", 305)]
    assert working(ours(LEG), (RECORD,), (LINE, line(row_id="e2"))) == [[("ledger line e2, once more", 305)]]


def test_what_was_given_back_was_not_taken() -> None:
    back = line(-305, row_id="e3", at=MAY + 90 * SECOND, entry_type="credit")
    assert found(ours(LEG), [RECORD], [LINE, line(row_id="e2"), back]) == []
    assert found(ours(LEG), [RECORD], [LINE, back]) == [("missing_theirs", -305)]
    assert found(ours(LEG), [RECORD], [LINE, back, line(300, row_id="e4", at=MAY + 95 * SECOND)]) == [("unexplained", -5)]


def test_two_legs_of_one_price_are_no_repetition() -> None:
    far = leg(kind="external", leg="far", to="+254720000002")
    both = ours(LEG, far)
    assert found(both, [], [LINE, line(row_id="e2")]) == []
    assert found(both, [], [LINE, line(row_id="e2"), line(row_id="e3")]) == [("duplicate_theirs", 305)]


def test_they_took_nothing_for_one_leg() -> None:
    agent = leg(leg="a1", kind="agent", to="+254722000001", talk_ms=40_000)
    inbound = leg(direction="inbound", to="+254700000001")
    free = msgspec.structs.replace(ours(inbound)[0], amount_minor=0, version="2")
    assert found((free, *ours(agent)), [record(direction="inbound", amount_minor=0, rate_per_minute="0")]) == [("missing_theirs", -200)]
    assert found((*ours(LEG), *ours(agent)), [RECORD], [LINE]) == [("missing_theirs", -200)]
    assert found((*ours(LEG), *ours(agent)), None, [line(200)]) == [("missing_theirs", -305)]


def test_an_agent_who_did_not_answer_is_charged_for_the_ringing() -> None:
    silent = leg(leg="a1", kind="agent", to="+254722000001", talk_ms=None, ring_ms=24_000, answered_at=None)
    other = leg(leg="a2", kind="agent", to="+254722000002", talk_ms=None, ring_ms=10_000, answered_at=None)
    legs = (*ours(LEG), *ours(silent), *ours(other))
    assert found(legs, [record(amount_minor=425)], [line(425)]) == [("unanswered_charged", 120)]
    assert found(legs, None, [line(475)]) == [("unanswered_charged", 170)]
    assert found(legs, None, [line(426)]) == [("unexplained", 121)]


def test_charged_by_us_more_than_once() -> None:
    twice = (*ours(LEG), *ours(leg(call_sid="c2")))
    assert found(twice, [RECORD], [LINE]) == [("duplicate_ours", -305)]
    assert found(twice, [RECORD], by_records=True) == [("duplicate_ours", -305)]
    assert found(twice, [RECORD, record(row_id="r2", call_id="c2")], [LINE, line(row_id="e2", call_id="c2")]) == []


# ---------------------------------------------------------------- what their record says otherwise


def test_their_call_is_longer_or_shorter() -> None:
    assert found(ours(LEG), [record(duration_ms=64_000, amount_minor=320)], [line(320)]) == [("duration_theirs_longer", 15)]
    assert found(ours(LEG), [record(duration_ms=60_000, amount_minor=300)], [line(300)]) == [("duration_ours_longer", -5)]
    assert working(ours(LEG), (record(duration_ms=64_000, amount_minor=320),), (line(320),)) == [
        [("our 61 s by version new of main-ke", -305), ("their 64 s by the same rule", 320)]
    ]


def test_a_length_that_costs_no_more_is_not_told() -> None:
    assert found(ours(leg(talk_ms=60_400)), [RECORD], [LINE]) == []
    one_rate_for_all = [record(duration_ms=61_000, rate_per_minute="240", amount_minor=244)]
    assert found(ours(leg(talk_ms=60_400)), one_rate_for_all, [line(244)]) == [("rate_version", -61)]


def test_a_length_with_the_ringing_in_it_is_the_talk() -> None:
    assert found(ours(LEG), [record(duration_ms=70_000, amount_minor=600)], [line(600)]) == [("increment_rule", 295)]


def test_the_other_direction() -> None:
    incoming = ours(leg(direction="inbound", own="+254720000001"))
    assert found(incoming, [RECORD], [LINE]) == [("direction", 305)]
    assert found(ours(LEG), [record(direction="inbound", amount_minor=0)]) == [("direction", -305)]
    longer = record(duration_ms=64_000, amount_minor=320)
    assert found(incoming, [longer], [line(320)]) == [("direction", 305), ("duration_theirs_longer", 15)]
    abroad = record(called="+4930123456", amount_minor=122, rate_per_minute="120")
    assert found(incoming, [abroad], [line(122)]) == [("direction", 122)], "by the rate it states"


def test_nobody_answered_and_it_costs() -> None:
    rung = ours(leg(talk_ms=None, answered_at=None))
    silent = record(answered_at=None, duration_ms=0, status="no_answer", amount_minor=45)
    assert found(rung, [silent], [line(45)]) == [("unanswered_charged", 45)]
    assert found(rung, [], [line(45)]) == [("unanswered_charged", 45)]
    assert found(rung, [RECORD], [LINE]) == [("duration_theirs_longer", 305)], "their record says that somebody did"
    assert found(rung, [silent], [line(50)]) == [("unanswered_charged", 45), ("unexplained", 5)]


# ---------------------------------------------------------------- their tariff


@pytest.mark.parametrize(
    ("cause", "amount", "fields", "said"),
    [
        ("rate_version", 244, {}, "the same by version old of main-ke"),
        ("rate_version", 244, {"rate_per_minute": "240"}, "the same by version old of main-ke"),
        ("rate_value", 343, {"rate_per_minute": "337"}, "the same at 337 a minute, as their record says"),
        ("increment_rule", 600, {}, "the same by started minutes"),
        ("increment_rule", 330, {}, "the same by started 6 s"),
        ("tax_basis", 354, {}, "the same with tax of 16 % on top, rounded up"),
        ("tax_basis", 263, {}, "the same without tax of 16 %, rounded up"),
        ("currency_unit", 30_500, {}, "the same in another unit: times 100"),
        ("currency_unit", 3, {}, "the same in another unit: divided by 100, rounded down"),
        ("currency_unit", 305_000, {}, "the same in another unit: times 1000"),
    ],
)
def test_another_tariff(cause: str, amount: int, fields: dict, said: str) -> None:
    theirs = (record(amount_minor=amount, **fields),)
    assert found(ours(LEG), list(theirs), [line(amount)]) == [(cause, amount - 305)]
    (told,) = working(ours(LEG), theirs, (line(amount),))
    assert told == [("our 61 s by version new of main-ke", -305), (said, amount)]


def test_another_rounding() -> None:
    tanzania = ours(leg(to="+255720000001"))  # 61 s at 250: 254 1/6
    assert tanzania[0].amount_minor == 254
    assert found(tanzania, [record(amount_minor=255, rate_per_minute="250")], [line(255)]) == [("rounding_mode", 1)]
    assert found(tanzania, [], [line(305)]) == [("rounding_mode", 51)], "each second rounded up"


def test_a_rate_that_explains_nothing_is_no_cause() -> None:
    assert found(ours(LEG), [record(amount_minor=312, rate_per_minute="337")], [line(312)]) == [("unexplained", 7)]


def test_a_fact_and_another_tariff() -> None:
    theirs = record(duration_ms=64_000, rate_per_minute="337", amount_minor=359)
    assert found(ours(LEG), [theirs], [line(359)]) == [("duration_theirs_longer", 15), ("rate_value", 39)]
    twice = [line(359), line(359, row_id="e2")]
    assert found(ours(LEG), [theirs], twice) == [("duplicate_theirs", 359), ("duration_theirs_longer", 15), ("rate_value", 39)]


# ---------------------------------------------------------------- what is left, and the clock


def test_what_nothing_explains_is_said_to_be_so() -> None:
    assert found(ours(LEG), [RECORD], [line(312)]) == [("unexplained", 7)]
    longer = record(duration_ms=64_000, amount_minor=320)
    assert found(ours(LEG), [longer], [line(327)]) == [("duration_theirs_longer", 15), ("unexplained", 7)]
    assert working(ours(LEG), (longer,), (line(327),))[1] == [
        ("ledger line e1", 327),
        ("our charge", -305),
        ("explained by other causes", -15),
    ]


def test_a_leg_that_no_rule_covers() -> None:
    unrated = ours(leg(to="+4930123456"))
    assert unrated[0].amount_minor is None
    assert found(unrated, [record(amount_minor=900)], [line(900)]) == [("unexplained", 900)]
    assert working(unrated, (record(amount_minor=900),), (line(900),)) == [
        [("ledger line e1", 900), ("no rule of main-ke covers our leg (outbound to +4930123456): it has no price, not a price of 0", 0)]
    ]
    unknown = ours(leg(direction=None))
    assert found(unknown, [RECORD], [LINE]) == [("direction", 305)], "their record says which it was"


def test_their_clock() -> None:
    late = record(started_at=MAY + 90 * SECOND)
    assert found(ours(LEG), [late], [LINE]) == [("clock_skew", 0)]
    assert found(ours(LEG), [record(started_at=MAY - 31 * SECOND)], [LINE]) == [("clock_skew", 0)]
    assert found(ours(LEG), [record(started_at=MAY + 30 * SECOND)], [LINE]) == []
    assert found(ours(LEG), [late], [LINE, line(row_id="e2")]) == [("duplicate_theirs", 305), ("clock_skew", 0)]
    assert working(ours(LEG), (late,), (LINE,)) == [[("their clock says 90 s later than ours", 0)]]


# ---------------------------------------------------------------- calls of several legs


def test_each_leg_has_the_length_of_its_own_record() -> None:
    far = leg(kind="external", leg="far", to="+254720000002", talk_ms=40_000)
    longer = [RECORD, record(row_id="r2", call_id="far", called="+254720000002", duration_ms=44_000, amount_minor=220)]
    assert found(ours(LEG, far), longer, [LINE, line(220, row_id="e2", call_id="far")]) == [("duration_theirs_longer", 20)]


def test_a_calls_record_is_its_main_legs() -> None:
    incoming, far = leg(direction="inbound", to="+254700000001"), leg(kind="external", leg="far", talk_ms=40_000)
    one = ours(incoming, far)
    assert found(one, [record(direction="inbound", amount_minor=200, rate_per_minute=None)], [line(200)]) == []
    assert found(one, [record(direction="inbound", amount_minor=300, rate_per_minute=None)], [line(300)]) == [("increment_rule", 100)]


def test_a_plan_that_is_not_known_any_more() -> None:
    gone = tuple(msgspec.structs.replace(each, plan="gone") for each in ours(LEG))
    assert found(gone, [record(duration_ms=64_000, amount_minor=320)], [line(320)]) == [("unexplained", 15)]
    assert found(gone, [], [line(30_500)]) == [("currency_unit", 30_195)]


def test_rates_that_records_state() -> None:
    assert [rate_of(text) for text in ("300", " 4.5 ", "25/6")] == [300, Fraction(9, 2), Fraction(25, 6)]
    assert [rate_of(text) for text in (None, "", "1/0", "-3", "1e9", "x")] == [None] * 6
    assert FREE.steps[0].rate_minor == 0
