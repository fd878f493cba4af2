"""The door: one command, `safiri`. A command's module is imported when it is asked for, so that `--help` stays quick.

Exit codes: 0 ok, 1 found wrong, 2 bad usage or input, 3 something needed is not there, 4 a bug. A command may return its
code; it raises `Refused` for 2 and `Missing` for 3.
"""

from __future__ import annotations

import datetime
import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from runtime.problems import Missing, Refused, Retry

# name -> (module, attribute, one line for --help). The order is that of --help.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "up": ("cli.up", "command", "Start everything here: Postgres, Kafka, HTTP, projector, worker."),
    "demo": ("cli.demo", "command", "Start it with sample calls and show what becomes of them."),
    "serve": ("cli.serve", "command", "Run one role, for compose and production."),
    "migrate": ("cli.migrate", "command", "Create or upgrade the schema and the topics."),
    "doctor": ("cli.doctor", "command", "One line a dependency and setting: ok, or how to mend it."),
    "config": ("cli.config", "command", "Check the configuration."),
    "flows": ("cli.flows", "command", "Check, show and walk the flows that answer calls."),
    "numbers": ("cli.numbers", "command", "The numbers at the provider, and which flow answers them."),
    "url": ("cli.url", "command", "Print an address of the running stack."),
    "keys": ("cli.keys", "command", "Create and list API keys."),
    "import": ("cli.import_", "command", "Bring history in through the same log."),
    "sign": ("cli.sign", "command", "The headers a provider would send for a body."),
    "journey": ("cli.journey", "command", "One call's story, from any id of the call."),
    "metrics": ("cli.metrics", "command", "Numbers of queues, agents and calls."),
    "explain": ("cli.explain", "command", "The calls behind a number, or why one is not in it."),
    "calls": ("cli.calls", "command", "List journeys."),
    "export": ("cli.export", "command", "A whole dataset as CSV, NDJSON or Parquet."),
    "invariants": ("cli.invariants", "command", "Check the laws that the numbers obey."),
    "rate": ("cli.rate", "command", "What legs cost under a rate plan, line by line."),
    "re-rate": ("cli.re_rate", "command", "What a period would cost under another version of a plan."),
    "close-period": ("cli.close_period", "command", "The charges of a period stand for good."),
    "bill": ("cli.bill", "command", "What an account's month cost, as a bill to read."),
    "plans": ("cli.plans", "command", "List, show and check rate plans."),
    "statements": ("cli.statements", "command", "A provider's call records and ledger into the log."),
    "infer-tariff": ("cli.infer_tariff", "command", "The tariff behind what calls were charged, as a rate plan."),
    "reconcile": ("cli.reconcile", "command", "Whether the provider's bill is right, and why not."),
    "tail": ("cli.tail", "command", "Follow calls as they come."),
    "lag": ("cli.lag", "command", "What is not yet projected."),
    "quarantine": ("cli.quarantine", "command", "What could not be understood, why, and again."),
    "asyncapi": ("cli.asyncapi", "command", "Print the AsyncAPI document of the log."),
    "simulate": ("cli.simulate", "command", "The virtual provider rings this stack, and tells the truth."),
    "rebuild": ("cli.rebuild", "command", "Refold the journal beside the live tables, compare, switch."),
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        found: click.Command = getattr(importlib.import_module(module), attribute)
        return found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=2)
            hint = f" Did you mean {' or '.join(near)}?" if near else " `safiri --help` lists them."
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


root = LazyGroup(
    "safiri",
    help="What happened on every phone call, what it cost, and whether the bill is right.",
    epilog="Every command takes --config and --data-dir, or SAFIRI_CONFIG and SAFIRI_DATA_DIR.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Runs one command and exits with the code the contract gives its outcome."""
    seen: dict[str, Any] = {}
    code = _run(args, seen)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = _quiet_pipe()
    sys.exit(code)


def _run(args: Sequence[str] | None, seen: dict[str, Any]) -> int:
    color = False if os.environ.get("NO_COLOR") else None
    try:
        result = root.main(args, prog_name="safiri", standalone_mode=False, obj=seen, color=color)
        return result if isinstance(result, int) else 0
    except Exception as error:
        return _outcome(error, seen.get("data_dir"))


def _outcome(error: Exception, data_dir: Path | None) -> int:
    """Says what went wrong, as shortly as its kind allows; returns its exit code."""
    match error:
        case click.Abort():  # click's word for Ctrl-C
            return 130
        case click.ClickException():
            error.show()
            return 2
        case Refused():
            return _say(error.detail, 2)
        case Missing() | Retry():
            return _say(str(error), 3)
        case BrokenPipeError():
            return _quiet_pipe()
    return _bug(error, data_dir)


def _say(line: str, code: int) -> int:
    click.echo(f"safiri: {line}", err=True)
    return code


def _quiet_pipe() -> int:
    """The reader went away (`safiri calls | head`): nothing more to say, not even at interpreter exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


def _bug(error: Exception, data_dir: Path | None) -> int:
    """One line for the person; the traceback goes to a file beside the other logs, or after the line where there is none."""
    text = "".join(traceback.format_exception(error))
    try:
        if data_dir is None or not data_dir.is_dir():
            raise FileNotFoundError
        (data_dir / "logs").mkdir(mode=0o700, exist_ok=True)
        log = data_dir / "logs" / "bugs.log"
        with log.open("a") as out:
            out.write(f"{datetime.datetime.now(datetime.UTC).isoformat()} safiri {' '.join(sys.argv[1:])}\n{text}\n")
        where = f"details in {log}"
    except OSError:
        where = f"details:\n{text}"
    return _say(f"a bug: {type(error).__name__}: {error}; {where}", 4)
