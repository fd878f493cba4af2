"""`safiri demo`: the stack, a morning of the virtual provider, copied and out of order, what became of the calls, queues, and the bill."""

from __future__ import annotations

import datetime
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from cli.options import places, settings_of
from cli.simulate import chosen, line_of, simulate, summary
from runtime.problems import Missing, Refused
from runtime.settings import Settings, default_data_dir

CONFIG = Path(__file__).with_name("demo.toml")
SEED = 7
RATE = 300  # calls a minute: now and then both agents are busy
QUEUES = ("queue.offered", "queue.answered", "queue.abandoned", "sl.negative", "queue.asa", "handle.aht")
HOUR_S = 3600
READY_WITHIN_S = 600


@click.command("demo")
@click.option("--exit", "leave", is_flag=True, help="Stop when all is shown.")
@click.option("--calls", type=click.IntRange(1, 100_000), default=60, help="How many people call, or are called (60).")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="HTTP port (a free one).")
@places
def command(leave: bool, calls: int, port: int, config: Path | None, data_dir: Path | None) -> int:
    """Start everything, let a morning of calls ring, show one call of each kind, the queues, the list, the bill and the counts."""
    folder = data_dir or Path(os.environ.get("SAFIRI_DATA_DIR") or default_data_dir() / "demo")
    settings = settings_of(config or CONFIG, folder)
    with _stack(settings, port) as (up, url):
        began = time.time()
        _show(settings, url, _morning(settings, calls), began=began)
        if leave:
            return 0
        click.echo(f"\nIt is running at {url} on {settings.data_dir}. Ctrl-C stops it. In another terminal:", err=True)
        click.echo(f"  export SAFIRI_CONFIG={settings.config_path} SAFIRI_DATA_DIR={settings.data_dir}", err=True)
        click.echo("  safiri calls | safiri tail | safiri journey ID", err=True)
        return up.wait()


@contextmanager
def _stack(settings: Settings, port: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`safiri up` as a child, from its ready line to its clean end."""
    asked = [sys.executable, "-m", "cli", "up", *_where(settings), "--port", str(port)]
    up = subprocess.Popen(asked, stdout=subprocess.PIPE, text=True)
    give_up = threading.Timer(READY_WITHIN_S, up.terminate)
    give_up.start()
    signal.signal(signal.SIGTERM, lambda *_: up.terminate())
    try:
        line = up.stdout.readline() if up.stdout else ""
        give_up.cancel()
        if not line.startswith("ready "):
            raise Missing(f"the stack did not start (exit code {up.wait()}); what it needs is said above")
        yield up, line.split()[1]
    except KeyboardInterrupt:
        pass
    finally:
        give_up.cancel()
        up.terminate()
        up.wait()


def _morning(settings: Settings, calls: int) -> dict[str, Any]:
    """The virtual provider's callers; copies and wrong order among what it sends. Returns what it knows of them."""
    order = {"accounts": chosen(settings, ()), "calls": calls, "seed": SEED, "rate": RATE, "faults": ["duplicates", "reorder"]}
    told = simulate(settings, order, say=lambda line: click.echo(line, err=True))
    if told["refused"]:
        raise Refused(502, "Not taken", f"the virtual provider could not use an answer: {told['refused'][0]}")
    click.echo(line_of(summary(told)))
    return told


def _where(settings: Settings) -> list[str]:
    return ["--config", str(settings.config_path), "--data-dir", str(settings.data_dir)]


def _show(settings: Settings, url: str, told: dict[str, Any], *, began: float) -> None:
    """One journey of each kind as a ladder, the queues, the newest calls, the bill, and the counts, by the commands a person would use."""
    _caught_up(settings)
    shown = [(title, ["journey", sid]) for title, sid in _remarkable(told["truth"]["journeys"])]
    for title, asked in (*shown, ("the queues", _queues(began)), ("the newest calls", ["calls", "--limit", "10"]), *_bill(settings, began)):
        click.echo(f"\n── {title}: safiri {' '.join(asked)}\n")
        said = subprocess.run([sys.executable, "-m", "cli", *asked, *_where(settings)], check=True, capture_output=True, text=True)
        click.echo(said.stdout.rstrip())
    click.echo(f"\n── by outcome\n\n{_counts(settings)}")
    click.echo(f"\nready {url}")


def _queues(began: float) -> list[str]:
    """Six numbers of each queue in the hours of this morning."""
    since, until = (time.gmtime(at - at % HOUR_S) for at in (began, time.time() + HOUR_S))
    hours = [time.strftime("%Y-%m-%dT%H:00:00Z", at) for at in (since, until)]
    return ["metrics", *QUEUES, "--group-by", "queue", "--from", hours[0], "--to", hours[1]]


def _bill(settings: Settings, began: float) -> Iterator[tuple[str, list[str]]]:
    """Of the first account with a rate plan, for the month in which this morning is."""
    for name, account in settings.accounts.items():
        if account.rate_plan:
            month = datetime.datetime.fromtimestamp(began, ZoneInfo(settings.tenant(account.tenant).timezone)).strftime("%Y-%m")
            yield "what it cost", ["bill", "--account", name, "--month", month, "--tenant", account.tenant]
            return


def _remarkable(journeys: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """(what it shows, its call SID) of one call of each kind that this morning had."""
    kinds: list[tuple[str, Callable[[dict[str, Any]], bool]]] = [
        ("a call that found its way through the menu", lambda one: not one["queue_visits"] and not _bots(one)),
        ("a caller who waited and was joined by an agent", lambda one: len(one["calls"]) > 1),
        ("a bot that handed its call over", lambda one: _bots(one) > 0),
    ]
    found = []
    for title, fits in kinds:
        good = [one for one in journeys if one["outcome"] == "answered" and one["menu_path"] and fits(one)]
        found += [(title, one["calls"][0]["call_sid"]) for one in good[:1]]
    return found


def _bots(journey: dict[str, Any]) -> int:
    return sum(leg["kind"] == "bot" for leg in journey["calls"][0]["legs"])


def _caught_up(settings: Settings, within_s: float = 60) -> None:
    import json

    end = time.monotonic() + within_s
    while time.monotonic() < end:
        said = subprocess.run(
            [sys.executable, "-m", "cli", "lag", "--json", *_where(settings)], capture_output=True, text=True, check=False
        )
        if said.returncode == 0 and json.loads(said.stdout)["unprojected"] == 0:
            return
        time.sleep(0.2)
    raise Missing(f"the projector did not catch up within {within_s:.0f} s; see {settings.data_dir}/logs/projector.log")


def _counts(settings: Settings) -> str:
    """Journeys by account and outcome, straight from the tables."""
    from runtime.addresses import find
    from runtime.postgres import connect

    with connect(find(settings)["database"], name="demo", autocommit=True) as connection:
        rows = connection.execute(
            "SELECT account, outcome, count(*), sum(events) FROM live.journeys GROUP BY 1, 2 ORDER BY 1, 3 DESC"
        ).fetchall()
    return "\n".join(f"{account:8} {outcome:20} {count:6} journeys {events:7} deliveries" for account, outcome, count, events in rows)
