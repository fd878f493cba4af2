"""The lines a tariff is inferred from: what is read, what is refused by line and column; and the command around it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cli
from calls.faults import Faults
from calls.rating.infer_read import MOST_FAULTS, Line, decoded, read
from calls.rating.plan import parse

HEAD = "duration_s,charge_minor\n"
MINUTES = HEAD + "".join(f"{length},{5 * length}\n" for length in range(60, 3601, 60))


def faults(body: str | bytes) -> list[tuple[str, str]]:
    with pytest.raises(Faults) as found:
        read(decoded(body if isinstance(body, bytes) else body.encode()))
    return found.value.faults


def test_columns_are_found_by_name_and_lines_keep_their_numbers() -> None:
    text = '\ufeffat, Charge_Minor ,id,duration_s,direction\r\n2026-06-01T08:00:00+03:00,305,"a,b",61,Outbound\r\n\r\n2026-06-02,0,,0,inbound\r\n'
    assert read(decoded(text.encode())) == [
        Line(2, 61, 305, 1_780_290_000_000_000, "outbound"),
        Line(4, 0, 0, 1_780_358_400_000_000, "inbound"),
    ]


@pytest.mark.parametrize(("body", "field", "says"), [
    ("", "line 1, duration_s", "no such column"),
    ("duration_s\n1\n", "line 1, charge_minor", "no such column"),
    ("duration_s,amount\n1,2\n", "line 1, charge_minor", "no such column"),
    ("duration_s;charge_minor\n1;2\n", "line 1", "semicolons"),
    ("duration_s\tcharge_minor\n1\t2\n", "line 1", "tabs"),
    ("duration_s,charge_minor,duration_s\n1,2,3\n", "line 1, duration_s", "twice"),
    (HEAD, "line 2", "is missing"),
    (HEAD + "\n\n", "line 2", "is missing"),
    (HEAD + "61\n", "line 2, charge_minor", "''"),
    (HEAD + "61,3.05\n", "line 2, charge_minor", "'3.05' must be whole minor units"),
    (HEAD + "60,300\n\n-1,5\n", "line 4, duration_s", "'-1' must be whole seconds"),
    (HEAD + "1:01,305\n", "line 2, duration_s", "whole seconds"),
    (HEAD + "९,305\n", "line 2, duration_s", "whole seconds"),
    (HEAD + "9999999999,305\n", "line 2, duration_s", "whole seconds"),
    (HEAD + f"1,{'9' * 5000}\n", "line 2, charge_minor", "minor units"),
    ("duration_s,charge_minor,at\n1,5,1780000000\n", "line 2, at", "must be a time"),
    ("duration_s,charge_minor,at\n1,5,\n", "line 2, at", "must be a time"),
    ("duration_s,charge_minor,direction\n1,5,out\n", "line 2, direction", "inbound, outbound, internal"),
    (HEAD.encode() + b"1,5\n\xff,6\n", "line 3", "UTF-8"),
    ("duration_s,charge_minor\n1,2\n".encode("utf-16"), "line 1", "UTF-8"),
])  # fmt: skip
def test_what_cannot_be_read_is_named_by_line_and_column(body: str | bytes, field: str, says: str) -> None:
    found = faults(body)
    assert found[0][0] == field
    assert says in found[0][1]


def test_every_wrong_line_is_named_up_to_a_limit() -> None:
    assert [field for field, _ in faults(HEAD + "a,b\n1,2\n3,c\n")] == [
        "line 2, duration_s",
        "line 2, charge_minor",
        "line 4, charge_minor",
    ]
    many = faults(HEAD + "x,1\n" * 50)
    assert len(many) == MOST_FAULTS + 1
    assert many[-1] == ("file", "and 30 more faults")


@given(st.binary(max_size=80) | st.text(max_size=80).map(lambda text: (HEAD + text).encode()))
def test_any_file_is_read_or_refused_by_line(body: bytes) -> None:
    try:
        assert read(decoded(body))
    except Faults as found:
        assert all(field.startswith(("line ", "file")) for field, _ in found.faults)


# ---------------------------------------------------------------- the command


@pytest.fixture
def safiri(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(text: str, *args: str) -> tuple[int, str, str]:
        file = tmp_path / "calls.csv"
        file.write_text(text)
        with pytest.raises(SystemExit) as ended:
            cli.main(["infer-tariff", str(file), *args, "--data-dir", str(tmp_path)])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def test_the_command_prints_the_best_plan_and_what_would_tell_more(safiri: Any) -> None:
    code, out, err = safiri(MINUTES)
    assert code == 0
    assert parse(out).currency == "KES"
    assert "other rules explain as much" in err
    assert "would tell them apart" in err


def test_the_command_exits_1_and_names_the_lines_no_rule_explains(safiri: Any) -> None:
    code, out, err = safiri(MINUTES + "61,305\n62,310\n70,1\n", "--currency", "UGX")
    assert code == 1
    assert parse(out).currency == "UGX"
    assert "not explained: line 64" in err
    code, out, _ = safiri(MINUTES + "61,305\n62,310\n70,1\n", "--json")
    answer = json.loads(out)
    assert code == 1
    assert all(one["exceptions"] == [{"line": 64}] for one in answer["rules"])
    assert answer.keys() == {"rules", "tell_apart_s"}


@pytest.mark.parametrize(("text", "args", "says"), [
    ("duration_s;charge_minor\n1;2\n", (), "semicolons"),
    (HEAD + "61,3.05\n", ("--json",), "line 2, charge_minor"),
    (MINUTES, ("--currency", "shillings"), "three capital letters"),
])  # fmt: skip
def test_the_command_exits_2_where_it_cannot_read(safiri: Any, text: str, args: tuple[str, ...], says: str) -> None:
    code, out, err = safiri(text, *args)
    assert (code, out) == (2, "")
    assert says in err
