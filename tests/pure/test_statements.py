"""Statements of every style become the same lines, each under an id by which it counts once."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

import pytest
from statement_reading import as_json, reading, refused, said

from calls.clock import parse_time

NINE = parse_time("2026-06-01T09:00:00Z")
ROWS = (  # as the provider's REST has them
    "id,session_id,direction,local_e164,remote_e164,started_at,answered_at,ended_at,duration_seconds,status,cost_minor,cost_currency,rate_per_minute_minor,updated_at,metadata\n"
    "r-1,HD_1,outbound,+254700000001,+254720000001,2026-06-01T09:00:00.000Z,2026-06-01T09:00:05.000Z,2026-06-01T09:01:35.000Z,90,completed,450,KES,300,2026-06-01T09:02:00Z,"
    '"{""client_request_id"":""q-1""}"\n'
    "r-2,HD_2,inbound,+254700000001,+254720000002,2026-06-01T10:00:00.000Z,,2026-06-01T10:00:12.000Z,,no_answer,0,KES,,2026-06-01T10:02:00Z,\n"
)
AT = (
    "Date,sessionId,callerNumber,destinationNumber,direction,durationInSeconds,amount,currencyCode,status\n"
    "2026-06-01 12:00:00,ATVId_1,+254711000001,+254700000002,Inbound,61,KES 3.05,KES,Success\n"
)
ASTERISK = (
    "src,dst,calldate,answer,duration,billsec,disposition,uniqueid\n"
    "0711000001,0722000001,2026-06-01 12:00:00,2026-06-01 12:00:05,65,60,ANSWERED,1780304400.12\n"
    "0711000001,0722000001,2026-06-01 12:00:00,0000-00-00 00:00:00,65,0,NO ANSWER,1780304400.12\n"
)
MPESA = (
    "Receipt No.,Completion Time,Details,Transaction Status,Paid In,Withdrawn,Balance\n"
    'SLR1,2026-06-01 12:00:00,Pay Bill to 888,Completed,,"-1,000.00","5,000.00"\n'
    'SLR1,2026-06-01 12:00:00,Pay Bill Charge,Completed,,-15.00,"4,985.00"\n'
    'SLR2,2026-06-02 12:00:00,Funds received,Completed,500.00,,"5,485.00"\n'
    'SLR3,2026-06-02 12:00:00,Pay Bill to 888,Cancelled,,-10.00,"5,485.00"\n'
)
BANK = (
    "Date;Description;Debit;Credit;Balance\r\n01/06/2026;Opening balance;;;1.000,00\r\n01/06/2026;Call;4,50;-;995,50\r\n"
    "02/06/2026;Top-up;0,00;100,00;1.095,50\r\n"
)
BLOG = (
    "idempotency_key,created_at,call_id,entry_type,amount_kes_millicents\n"
    "m-1,2026-06-01T09:01:35Z,c-1,debit,450000\nm-2,2026-06-01T10:00:12Z,c-1,reversal,450000\nm-3,2026-06-01T10:00:12Z,,credit,100000000\n"
)  # fmt: skip


def test_rows_of_a_rest_answer() -> None:
    read = reading(ROWS)
    assert (read.kind, read.bad, read.ids) == ("call_record", {}, ["call_record:r-1", "call_record:r-2"])
    assert said(read.all[0]) == {
        "at": NINE, "started_at": NINE, "answered_at": NINE + 5_000_000, "ended_at": NINE + 95_000_000, "updated_at": NINE + 120_000_000, "call_id": "r-1",
        "session_id": "HD_1", "client_request_id": "q-1", "direction": "outbound", "caller": "+254700000001", "called": "+254720000001", "duration_ms": 90_000,
        "status": "completed", "amount_minor": 450, "currency": "KES", "rate_per_minute": "300",
    }  # fmt: skip
    missed = read.all[1]
    assert (missed.caller, missed.called, missed.duration_ms, missed.amount_minor) == ("+254720000002", "+254700000001", None, 0)


def test_an_export_of_africas_talking() -> None:
    (line,) = reading(AT).all
    assert said(line) == {
        "at": NINE, "started_at": NINE, "session_id": "ATVId_1", "direction": "inbound", "caller": "+254711000001", "called": "+254700000002",
        "duration_ms": 61_000, "amount_minor": 305, "currency": "KES", "status": "Success",
    }  # fmt: skip


def test_asterisks_records_count_from_the_answer_and_one_call_may_have_several() -> None:
    read = reading(ASTERISK)
    assert read.ids == ["call_record:1780304400.12", "call_record:1780304400.12~1"]
    answered, missed = read.all
    assert (answered.duration_ms, answered.answered_at, answered.caller, answered.called) == (
        60_000,
        NINE + 5_000_000,
        "+254711000001",
        "+254722000001",
    )
    assert (missed.duration_ms, missed.answered_at, missed.amount_minor, missed.call_id) == (0, None, None, "1780304400.12")


def test_a_payment_and_its_charge_share_a_receipt() -> None:
    read = reading(MPESA)
    assert read.ids == ["ledger:SLR1 Pay Bill to 888", "ledger:SLR1 Pay Bill Charge", "ledger:SLR2 Funds received"]
    assert [line.amount_minor for line in read.all] == [100_000, 1_500, -50_000]
    assert [line.balance_minor for line in read.all] == [500_000, 498_500, 548_500]
    assert read.bad == {5: "no money moved: it is Cancelled"}
    assert read.unbalanced == []


def test_a_banks_statement_with_semicolons_and_commas() -> None:
    read = reading(BANK)
    assert [(line.kind, line.amount_minor, line.description) for line in read.all] == [
        ("balance", None, "Opening balance"), ("ledger", 450, "Call"), ("ledger", -10_000, "Top-up")
    ]  # fmt: skip
    assert read.unbalanced == []


def test_a_ledger_with_types() -> None:
    read = reading(BLOG)
    assert [(line.amount_minor, line.call_id, line.entry_type) for line in read.all] == [
        (450, "c-1", "debit"), (-450, "c-1", "reversal"), (-100_000, None, "credit")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "amount", "minor"),
    [("debit", "4.50", 450), ("debit", "-4.50", 450), ("CREDIT", "4.50", -450), ("credit", "-4.50", -450), ("Top-up", "100", -10_000), ("refund", "4.50", -450),
     ("call charge", "4.50", 450), ("DR", "4.50", 450), ("", "4.50", 450), ("", "-4.50", -450), ("voice", "4.50", 450)],
)  # fmt: skip
def test_the_type_says_which_way_money_went_else_its_sign(entry: str, amount: str, minor: int) -> None:
    (line,) = reading(f"id,date,type,amount\n1,2026-06-01,{entry},{amount}\n").all
    assert line.amount_minor == minor


def test_a_reference_is_a_calls_id_unless_the_line_is_about_something_else() -> None:
    read = reading(
        "Date,Description,Reference,Debit,Credit\n2026-06-01,Call to +254720000001,c-1,4.50,\n2026-06-01,Number rental,N-7,116,\n"
        "2026-06-01,M-Pesa,SLR1,,1000.00\n2026-06-01,Payment,SLR2,5.00,\n"
    )
    assert [line.call_id for line in read.all] == ["c-1", None, None, None]


def test_what_a_call_cost_has_no_sign() -> None:
    assert reading("Call Sid,Start Time,Duration,Price\nCA1,2026-06-01 12:00:00,61,-0.05\n").all[0].amount_minor == 5


def test_a_day_and_its_hour_in_two_columns() -> None:
    (line,) = reading("Date,Time,From,To,Duration,Cost\n01/06/2026,12:00:00,0711,0722,1:30,4.50\n").all
    assert line.at == line.started_at == NINE
    (line,) = reading("Date,Start Time,Duration,Cost\n2026-06-01,12:00 PM,1:30,4.50\n").all
    assert line.started_at == NINE
    assert reading("Start Time,Duration,Cost\n12:00,1:30,4.50\n").bad == {2: "Start Time: '12:00' is a time of day without its date"}


def test_cells_that_a_spreadsheet_was_told_to_leave_alone() -> None:
    read = reading('Call ID,Start Time,From,To,Duration,Cost\n="c-1",2026-06-01 12:00:00,="+254711000001",\'0722000001,90,4.50\n')
    assert (read.ids, read.all[0].call_id, read.all[0].caller, read.all[0].called) == (
        ["call_record:c-1"],
        "c-1",
        "+254711000001",
        "+254722000001",
    )


def test_hours_in_another_zone_than_the_tenants() -> None:
    assert reading("Start Time (UTC),Duration (s)\n2026-06-01 09:00:00,9\n").all[0].at == NINE
    assert reading("Start Time,Duration (s)\n2026-06-01 05:00:00,9\n", zone="America/New_York").all[0].at == NINE


# ---------------------------------------------------------------- one line, however it comes


def test_the_same_rows_as_json_are_the_same_events() -> None:
    for text in (ROWS, AT, ASTERISK, MPESA, BLOG):
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [(event, line) for event, line in reading(as_json(rows)).lines.values()] == [
            (event, line) for event, line in reading(text).lines.values()
        ]
        for row in rows:
            row["more"], row["none"] = "", None  # type: ignore[assignment]
        assert reading(as_json(rows)).ids == reading(text).ids


def test_numbers_of_json_keep_their_digits() -> None:
    read = reading(
        '[{"id": "a", "date": 1780304400, "amount": 4.50}, {"id": "b", "date": "2026-06-01", "amount": 100000000000000.01}, {"id": 3, "date": "2026-06-01", "amount": true}]'
    )
    assert [line.amount_minor for line in read.all] == [450, 10_000_000_000_000_001]
    assert (read.ids, list(read.bad)) == (["ledger:a", "ledger:b"], [4])


def test_order_of_columns_spaces_ends_of_lines_and_separators_make_no_other_line() -> None:
    want = reading("id,date,amount,notes\n1,2026-06-01,4.50,x y\n")
    for text in ("notes,amount,id,date\nx y,4.50,1,2026-06-01\n", "id;date;amount;notes\r\n1;2026-06-01;4.50;x y\r\n", "\ufeffid\tdate\tamount\tnotes\n1\t2026-06-01\t4.50\tx y",
                 ' id , date , amount , notes \n 1 , "2026-06-01", 4.50 , x y \n', "sep=|\nid|date|amount|notes\n1|2026-06-01|4.50|x y\n", "id,date,amount,notes,,\n1,2026-06-01,4.50,x y,,\n",
                 "\n\nid,date,amount,notes\n\n,,,\n1,2026-06-01,4.50,x y\n\n"):  # fmt: skip
        assert reading(text).ids == want.ids
        assert reading(text).all == want.all


def test_lines_without_an_id_count_as_often_as_they_stand_there() -> None:
    text = "Date,Description,Amount\n2026-06-01,Call,4.50\n2026-06-01,Call,4.50\n2026-06-01,Call,5.50\n2026-06-01,Call,4.50\n"
    first = reading(text)
    assert len(set(first.ids)) == 4
    assert [event.rpartition("~")[2] for event in first.ids] == ["0", "1", "0", "2"]
    assert reading(text).ids == first.ids
    longer = reading(text + "2026-06-02,Call,4.50\n2026-06-01,Call,4.50\n")
    assert set(first.ids) < set(longer.ids)


def test_an_id_of_ones_own_makes_a_changed_line_a_version() -> None:
    text = "entry_id,date,amount\ne-1,2026-06-01,{}\n"
    assert reading(text.format("4.50")).ids == reading(text.format("5.50")).ids == ["ledger:e-1"]
    both = reading(
        "id,started_at,duration,cost,updated_at\nr-1,2026-06-01T09:00:00Z,,,2026-06-01T09:00:01Z\nr-1,2026-06-01T09:00:00Z,90,4.50,2026-06-01T09:02:00Z\n"
    )
    assert both.ids == ["call_record:r-1", "call_record:r-1"]


def test_the_same_line_under_a_shared_id_is_the_same_line() -> None:
    head = "Call ID,Start Time,Duration,Cost\n"
    one, other = "c-1,2026-06-01 12:00:00,60,3.00\n", "c-1,2026-06-01 12:05:00,60,3.00\n"
    assert reading(head + one + other + one).ids == ["call_record:c-1", "call_record:c-1~1", "call_record:c-1"]


def test_card_numbers_are_hidden_where_people_write_and_ids_are_left() -> None:
    read = reading("id,date,amount,description,Channel\n4111111111111111,2026-06-01,4.50,card 4111 1111 1111 1111,4111111111111111\n")
    assert read.ids == ["ledger:4111111111111111"]
    assert read.all[0].description == "card **** **** **** 1111"


# ---------------------------------------------------------------- headers


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("id,date,amount,Cost (KES)", {"amount", "Cost (KES)"}), ("id,date,cost_minor,cost_kes", {"cost_minor", "cost_kes"}), ("id,date,amount,Debit,Credit", {"amount", "Debit", "Credit"}),
        ("Call ID,call_id,start,duration,cost", {"Call ID", "call_id"}), ("id,start,duration_s,duration_ms,cost", {"duration_s", "duration_ms"}), ("id,id,date,amount", {"id"}),
        ("id,date,notes", {"amount"}), ("id,amount", {"date"}), ("id,Cost (credits),date", {"Cost (credits)"}), ("id,Cost (USD),date", {"Cost (USD)"}), ("id,cost_ugx,date", {"cost_ugx"}),
        ("start,Duration (fortnights),cost", {"Duration (fortnights)"}), ("id,Date (Mars),amount", {"Date (Mars)"}), ("a,b,c", {"header"}), ("id date amount", {"header"}), ("\n\n", {"header"}),
        ("id,date,started at,Start Time,amount", {"started at", "Start Time"}), ('"id,date,amount', {"header"}), ("id\rdate\ramount", {"header"}),
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_mapped_names_the_columns(header: str, columns: set[str]) -> None:
    faults = refused(header + "\n1,2,3,4\n" if header.strip() else header)
    assert set(faults) == columns
    assert all(faults.values())


def test_columns_that_stand_in_for_each_other_are_no_conflict() -> None:
    (line,) = reading(
        "id,call_id,created_at,started_at,updated_at,duration,billsec,cost\nr,c,2026-06-02,2026-06-01T09:00:00Z,2026-06-03,65,60,1\n"
    ).all
    assert (line.started_at, line.duration_ms, line.call_id) == (NINE, 60_000, "c")
    (line,) = reading("Transaction Date,Value Date,Amount\n,2026-06-01 12:00:00,1\n").all
    assert line.at == NINE


def test_what_kind_a_file_is() -> None:
    assert reading("id,date,amount,Duration\n").kind == reading("id,started_at,ended_at,cost\n").kind == "call_record"
    assert reading("Call ID,Start Time,Cost (KES)\n").kind == "ledger"
    (line,) = reading("Date,Balance (KES)\n2026-06-01 12:00:00,100.00\n").all
    assert (line.kind, line.balance_minor, line.at) == ("balance", 10_000, NINE)


def test_amounts_in_another_currency_are_bad_lines() -> None:
    read = reading(
        "id,date,amount,currency\n1,2026-06-01,1,KES\n2,2026-06-01,1,USD\n3,2026-06-01,UGX 1,\n4,2026-06-01,USD 1,KES\n5,2026-06-01,1,shells\n"
    )
    assert list(read.lines) == [2]
    assert read.bad[3] == "it is in USD, the account in KES"
    assert reading("id,date,amount,currency\n2,2026-06-01,1,USD\n", currency="USD").all[0].amount_minor == 100


def test_a_currency_without_minor_units_must_be_named() -> None:
    assert set(refused("id,date,amount\n", currency="UGX")) == {"amount"}
    assert reading("id,date,Amount (UGX)\n1,2026-06-01,4500\n", currency="UGX").all[0].amount_minor == 4500


# ---------------------------------------------------------------- bad lines, balances


def test_bad_lines_are_told_by_number_and_the_rest_is_in() -> None:
    text = (
        'id,date,amount,notes\n1,2026-06-01,4.50,ok\n2,2026-06-01,lots,ok\n\n3,the first of June,4.50,ok\n4,2026-06-01,1,234.50,ok\n5,2026-06-01,,ok\n6,2026-06-01,"4.50,ok\n'
        '7,2026-06-01,4.50,"two\nlines"\n8,2026-06-01,4.50,a "quote" inside\n9,2026-06-01,4.50,"a "quote" inside"\n10,,4.50,ok\n11,2026-06-01'
    )
    read = reading(text)
    assert [said(line).get("description") for line in read.all] == ["ok", "two\nlines", 'a "quote" inside']
    assert list(read.lines) == [2, 9, 11]
    assert list(read.bad) == [3, 5, 6, 7, 8, 12, 13, 14]
    assert "lots" in read.bad[3] and "amount" in read.bad[3]
    assert "5 cells" in read.bad[6] and "cut off" in read.bad[14] and "quote is opened" in read.bad[8]


def test_a_line_that_is_no_text_is_one_bad_line() -> None:
    read = reading(
        b"id,date,amount\n1,2026-06-01,1\n\xff\xfe,2026-06-01,1\n3,2026-06-01,1\n"
        + b"4" * (1 << 20)
        + b",2026-06-01,1\n5,2026-06-01,\x001\n6,2026-06-01,1\n"
    )
    assert (list(read.lines), list(read.bad)) == ([2, 4, 7], [3, 5, 6])


def test_balances_that_do_not_add_up_are_told_in_either_order() -> None:
    rows = ["1,2026-06-01,5.00,95.00", "2,2026-06-02,10.00,85.00", "3,2026-06-03,20.00,66.00", "4,2026-06-04,-50.00,116.00"]
    for order, wrong in ((rows, 4), (rows[::-1], 3)):
        read = reading("id,date,amount,balance\n" + "\n".join(order) + "\n")
        assert len(read.lines) == 4
        assert [line for line, _ in read.unbalanced] == [wrong]
    assert read.unbalanced[0][1] == "the balance 66.00 does not follow: 85.00 on line 4 and -20.00 here make 65.00"
    assert reading("id,date,amount,balance\n1,2026-06-01,5.00,95.00\n2,2026-06-01,?,90.00\n3,2026-06-01,5.00,85.00\n").unbalanced == []


def test_rows_of_json_that_are_no_objects_are_bad_lines() -> None:
    read = reading(json.dumps([{"id": 1, "date": "2026-06-01", "amount": "1"}, 5, None, [], {}, {"id": 2, "date": "2026-06-01"}]))
    assert (list(read.lines), list(read.bad)) == ([2], [3, 4, 5, 7])


@pytest.mark.parametrize("body", ["[", "[1", '[{"id": 1]', "[]", "[" * 5000])
def test_json_that_is_none(body: str) -> None:
    assert set(refused(body)) == {"body"}


def test_a_million_lines_are_a_stream() -> None:
    def lines() -> Iterator[bytes]:
        yield b"id,date,amount\n"
        for n in range(10**6):
            yield b"%d,2026-06-01,1\n" % n

    from calls.statements.read import csv_table

    rows = csv_table(lines()).rows
    assert [next(rows).line for _ in range(3)] == [2, 3, 4]
