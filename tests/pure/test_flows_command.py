"""`safiri flows`: what is wrong with them, what they are, what a caller would hear; and who refuses to start on a broken one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import cli

CONFIG = """
[tenants.default]
[tenants.other]
[accounts.acme]
provider = "sautikit"
signing_secrets = ["whsec_test"]
[accounts.rival]
provider = "sautikit"
signing_secrets = ["whsec_rival"]
tenant = "other"
[flows.ivr]
account = "acme"
start = "menu"
[flows.ivr.steps.menu]
kind = "menu"
prompt = "Press 1."
choices = { "1" = "sales" }
[flows.ivr.steps.sales]
kind = "dial"
to = "+254720000001"
[flows.theirs]
account = "rival"
start = "bye"
[flows.theirs.steps.bye]
kind = "hangup"
"""
BROKEN = CONFIG.replace('"1" = "sales"', '"1" = "slaes", "x" = "menu"')


@pytest.fixture
def safiri(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*args: str, config: str = CONFIG) -> tuple[int, str, str]:
        file = tmp_path / "safiri.toml"
        file.write_text(config)
        with pytest.raises(SystemExit) as ended:
            cli.main([*args, "--config", str(file), "--data-dir", str(tmp_path)])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def test_flows_that_hold_are_ok_in_one_line(safiri: Any) -> None:
    assert safiri("flows", "check") == (0, "ok: 2 flows: ivr, theirs\n", "")


def test_every_fault_is_a_line_and_the_code_is_1(safiri: Any) -> None:
    code, out, _ = safiri("flows", "check", config=BROKEN)
    assert code == 1 and out.splitlines() == [
        "flows.ivr.steps.menu.choices: 'x' cannot be pressed: a choice is made of 0-9 * # A-D",
        "flows.ivr.steps.menu.choices: there is no step 'slaes': did you mean 'sales'?",
        "flows.ivr.steps.sales: cannot be reached: no other step leads to it",
    ]
    code, out, _ = safiri("flows", "check", "--json", config=BROKEN)
    assert code == 1 and [(one["step"], one["field"]) for one in json.loads(out)["faults"]] == [
        ("menu", "choices"),
        ("menu", "choices"),
        ("sales", ""),
    ]


@pytest.mark.parametrize("command", [("config", "check"), ("up", "--port", "0"), ("flows", "show"), ("flows", "try", "ivr")])
def test_a_broken_flow_stops_whatever_would_use_it(safiri: Any, command: tuple[str, ...]) -> None:
    code, out, err = safiri(*command, config=BROKEN)
    assert (code, out) == (2, "") and "flows.ivr.steps.menu.choices" in err


def test_config_check_names_the_flows(safiri: Any) -> None:
    code, out, _ = safiri("config", "check")
    assert code == 0 and out.endswith("accounts: acme, rival; flows: ivr, theirs\n")


def test_flows_are_shown(safiri: Any) -> None:
    assert safiri("flows", "show")[1].splitlines() == [
        "ivr  account acme, 2 steps, starts at menu",
        "theirs  account rival, 1 step, starts at bye",
    ]
    shown = safiri("flows", "show", "ivr")[1]
    assert '    choices = {"1": "sales"}\n' in shown and "  sales: dial\n" in shown
    assert json.loads(safiri("flows", "show", "--json")[1])["ivr"]["steps"]["sales"]["to"] == "+254720000001"
    assert safiri("flows", "show", "irv")[0] == 2


def test_a_flow_is_walked_at_the_command_line(safiri: Any) -> None:
    code, out, _ = safiri("flows", "try", "ivr", "--digits", "", "--digits", "1")
    lines = out.splitlines()
    assert code == 0 and [line for line in lines if line[0] == ">"] == ["> the call begins", "> (nothing pressed)", "> 1"]
    assert json.loads(lines[-2]) == {"dial": {"number": "+254720000001", "callerId": "+254700000000", "timeout": 30}}
    walked = json.loads(safiri("flows", "try", "ivr", "--digits", "1", "--json")[1])
    assert [next(iter(one["actions"][0])) for one in walked] == ["getDigits", "dial"]
