"""What a person gets wrong: arguments, files, configuration, a stack that does not run. One clear line, the right exit code, no traceback."""

from __future__ import annotations

import random
import uuid
from pathlib import Path

import pytest
from forked import FORKED
from shell import shell
from whole import Stack


@pytest.mark.parametrize(("args", "code", "says"), [
    (["sign", "FILE", "--account", "nosuch"], 2, "known: "), (["sign", "FILE", "--account", "at"], 2, "no signing_secrets"),
    (["sign", "missing", "--account", "acme"], 2, "No such file"), (["sign", "FILE", "--account", "acme", "--send", "http://[::1"], 2, "--send"),
    (["sign", "FILE", "--account", "acme", "--send", "http://127.0.0.1:1"], 3, "does not answer"), (["import", "FILE", "--account", "nosuch"], 2, "known: "),
    (["import", "FILE", "--account", "bank", "--format", "nosuch"], 2, "known: "), (["rebuild", "--projection", "nosuch"], 2, "known: "),
    (["url", "hook", "nosuch"], 2, "known: "), (["url", "hook"], 2, "account"), (["quarantine", "redrive", "nosuch"], 2, "quarantine ls"),
    (["quarantine", "redrive", str(uuid.uuid4())], 2, "quarantine ls"), (["serve", "nosuch"], 2, "projector"), (["up"], 2, "another `safiri up`"),
])  # fmt: skip
def test_what_is_wrong_is_said_in_a_line(stack: Stack, tmp_path: Path, args: list[str], code: int, says: str) -> None:
    file = tmp_path / "FILE"
    file.write_text("{}")
    got, out, err = shell(stack, *(str(file) if arg == "FILE" else arg for arg in args))
    assert got == code, err
    assert says in err
    assert "sign" in args or not out


@pytest.mark.parametrize(("config", "says"), [
    ("[accounts.a", "safiri.toml"), ("\xff", "safiri.toml"), ('[accounts.a]\nprovider = "nosuch"', "accounts.a.provider"), ("accounts = 5", "accounts"),
    ('[tenants.default]\ntimezone = "Mars/Base"', "IANA"), ('[accounts.a]\nprovider = "sautikit"\nsigning_secrets = [{ env = "SAFIRI_NO_SUCH" }]', "SAFIRI_NO_SUCH"),
    ('[accounts.a]\nprovider = "sautikit"\nsigning_secrets = [{ env = "SAFIRI_EMPTY" }]', "empty"), ('[accounts.a]\nprovider = "sautikit"\nsigning_secrets = [""]', "empty"),
    ('[accounts.a]\nprovider = "sautikit"\nsigning_secrets = [{ file = "/no/such" }]', "/no/such"), ('[accounts.a]\nprovider = "sautikit"\nsigning_secrets = [{}]', "env"),
    ('http_port = "x"', "http_port"), ("[accounts.a]\nprovider = 'sautikit'\npresume_ended_after_s = 0", "presume_ended_after_s"),
])  # fmt: skip
def test_a_broken_configuration_is_2_and_names_the_field(stack: Stack, tmp_path: Path, config: str, says: str) -> None:
    file = tmp_path / "safiri.toml"
    file.write_bytes(config.encode("latin-1"))
    code, out, err = shell(stack, "config", "check", "--config", str(file), SAFIRI_EMPTY="")
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert says in err


@pytest.mark.parametrize(
    "args",
    [["import", "FILE", "--account", "bank"], ["quarantine", "redrive", "--all"], ["rebuild"], ["rebuild", "--verify"], ["url", "http"]],
)
def test_where_nothing_runs_it_is_3(stack: Stack, tmp_path: Path, args: list[str]) -> None:
    file = tmp_path / "FILE"
    file.write_text("{}")
    ran = [*(str(file) if arg == "FILE" else arg for arg in args), "--data-dir", str(tmp_path)]
    done = FORKED.run(ran, env=stack.up.env, timeout=60)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1), done.stderr
    assert "safiri up" in done.stderr


def test_random_arguments_never_end_in_a_traceback(stack: Stack) -> None:
    """A few words in any order: usage errors are exit 2, whatever they are."""
    dice = random.Random(7)
    words = [
        "import",
        "sign",
        "rebuild",
        "quarantine",
        "redrive",
        "url",
        "hook",
        "--json",
        "--all",
        "-",
        "\x1b[31m",
        "--account",
        "",
        "é" * 300,
        "%00",
        "--nosuch",
    ]
    for _ in range(6):
        args = [dice.choice(words[:6]), *dice.choices(words, k=3)]
        done = FORKED.run(args, env=stack.up.env, timeout=60)
        assert done.returncode in (0, 1, 2, 3), (args, done.returncode, done.stderr[-500:])
        assert "Traceback" not in done.stderr
