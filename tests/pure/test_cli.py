"""The command's door: help, names, exit codes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

import cli
from cli.options import common
from runtime.children import ending
from runtime.embedded import java
from runtime.problems import Missing, Refused, Retry
from runtime.settings import Settings


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs one command whose body is given; returns (exit code, stdout, stderr)."""

    def tell(body: Any, *args: str) -> tuple[int, str, str]:
        @click.command("probe")
        @common
        def command(settings: Settings) -> Any:
            return body(settings)

        module = type("module", (), {"command": command})
        monkeypatch.setitem(cli.COMMANDS, "probe", ("probe", "command", "For the test."))
        monkeypatch.setitem(sys.modules, "probe", module)
        with pytest.raises(SystemExit) as ended:
            cli.main(["probe", "--data-dir", str(tmp_path), *args])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return tell


def fails(error: BaseException) -> Any:
    def body(_: Settings) -> None:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (Refused(422, "Not so", "the field x is wrong"), 2, "safiri: the field x is wrong\n"),
        (Missing("no Java"), 3, "safiri: no Java\n"),
        (Retry("Kafka is away"), 3, "safiri: Kafka is away\n"),
        (click.UsageError("no such flag"), 2, None),
        (click.Abort(), 130, None),
        (BrokenPipeError(), 0, ""),
    ],
)
def test_each_kind_of_fault_has_its_exit_code(told: Any, error: BaseException, code: int, line: str | None) -> None:
    got, _, said = told(fails(error))
    assert got == code
    assert "Traceback" not in said
    if line is not None:
        assert said == line


def test_a_bug_is_one_line_and_a_traceback_in_the_logs(told: Any, tmp_path: Path) -> None:
    code, _, said = told(fails(ZeroDivisionError("by nothing")))
    assert (code, said.count("\n")) == (4, 1)
    assert "ZeroDivisionError: by nothing" in said
    assert "Traceback" in (tmp_path / "logs/bugs.log").read_text()


def test_a_command_may_return_its_exit_code(told: Any) -> None:
    assert told(lambda _: 1)[0] == 1
    assert told(lambda _: None)[0] == 0
    assert told(lambda _: None, "--nonsense")[0] == 2


def test_settings_come_from_the_options(told: Any, tmp_path: Path) -> None:
    (tmp_path / "safiri.toml").write_text('[accounts.acme]\nprovider = "sautikit"\nsigning_secrets = ["x"]\n')
    code, out, _ = told(
        lambda settings: click.echo(f"{settings.data_dir} {list(settings.accounts)}"), "--config", str(tmp_path / "safiri.toml")
    )
    assert (code, out) == (0, f"{tmp_path} ['acme']\n")


def test_no_color_is_respected(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert told(lambda _: click.secho("plain", fg="red"))[1] == "plain\n"


def run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "cli", *args], capture_output=True, text=True, env={**os.environ, **env}, check=False)


def test_help_lists_every_command_without_importing_any() -> None:
    heavy = "[name for name in sys.modules if name.startswith('cli.') or name == 'pydantic']"
    program = f"import cli, sys\ntry: cli.main(['--help'])\nexcept SystemExit: print({heavy})"
    took = []
    for _ in range(3):
        before = processor_s()
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        took.append(processor_s() - before)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(f"\n  {name} " in done.stdout for name in cli.COMMANDS)
    assert min(took) < 0.3


def processor_s() -> float:
    """What our children have used: unlike the clock, nearly the same on a busy machine."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_an_unknown_command_is_met_with_a_near_one() -> None:
    done = run("quarantin")
    assert done.returncode == 2
    assert "Did you mean quarantine?" in done.stderr


def test_configuration_is_checked_by_field(tmp_path: Path) -> None:
    file = tmp_path / "safiri.toml"
    file.write_text('[accounts.acme]\nprovider = "sautikit"\n')
    good = run("config", "check", "--config", str(file))
    assert (good.returncode, good.stdout) == (0, f"ok: {file}; accounts: acme\n")
    assert "no signing_secrets" in good.stderr
    file.write_text('[accounts.acme]\nprovider = "telegraph"\n')
    bad = run("config", "check", "--config", str(file))
    assert (bad.returncode, bad.stdout) == (2, "")
    assert "accounts.acme.provider" in bad.stderr


def test_a_plan_that_does_not_come_with_safiri_is_a_note(tmp_path: Path) -> None:
    file = tmp_path / "safiri.toml"
    for plan, says in (("sautikit-ke", False), ("mine-ke", True)):
        file.write_text(f'[accounts.acme]\nprovider = "neutral"\nrate_plan = "{plan}"\n')
        done = run("config", "check", "--config", str(file))
        assert (done.returncode, "note: accounts.acme.rate_plan: 'mine-ke'" in done.stderr) == (0, says)


def test_what_needs_a_running_stack_exits_3_without_one(tmp_path: Path) -> None:
    done = run("url", "http", "--data-dir", str(tmp_path))
    assert (done.returncode, done.stdout) == (3, "")
    assert "safiri up" in done.stderr


def test_url_prints_configured_addresses(tmp_path: Path) -> None:
    done = run("url", "kafka", "--data-dir", str(tmp_path), SAFIRI_DATABASE_URL="postgresql://x", SAFIRI_KAFKA_BOOTSTRAP="kafka:9092")
    assert (done.returncode, done.stdout) == (0, "kafka:9092\n")


def test_doctor_says_how_to_mend(tmp_path: Path) -> None:
    done = run(
        "doctor", "--data-dir", str(tmp_path), SAFIRI_DATABASE_URL="postgresql://127.0.0.1:1/x", SAFIRI_KAFKA_BOOTSTRAP="127.0.0.1:1"
    )
    assert done.returncode == 1
    for name in ("postgres", "kafka"):
        assert any(line.startswith("wrong") and f" {name} " in line for line in done.stdout.splitlines()), done.stdout


@pytest.mark.parametrize(
    ("release", "version"),
    [('JAVA_VERSION="17.0.15"', 17), ('IMPLEMENTOR="x"\nJAVA_VERSION="25"', 25), ('JAVA_VERSION="1.8.0_402"', 8), ("", 0)],
)
def test_java_tells_its_version_by_its_release_file(tmp_path: Path, release: str, version: int) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "release").write_text(release)
    assert java.version_of(tmp_path / "bin/java") == version


def test_endings_in_words() -> None:
    assert (ending(-9), ending(2)) == ("killed by SIGKILL", "exit code 2")
