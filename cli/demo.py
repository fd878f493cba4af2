"""`safiri demo`: the stack with sample calls, sent as signed webhooks over HTTP with copies and out of order, and what became of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from cli.options import places, settings_of
from runtime.problems import Missing, Refused
from runtime.settings import Settings, default_data_dir

CONFIG = Path(__file__).with_name("demo.toml")
SEED = 7
SENDERS = 8
READY_WITHIN_S = 600


@click.command("demo")
@click.option("--exit", "leave", is_flag=True, help="Stop when all is shown.")
@click.option("--calls", type=click.IntRange(1, 100_000), default=300, help="How many calls to generate (300).")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="HTTP port (a free one).")
@places
def command(leave: bool, calls: int, port: int, config: Path | None, data_dir: Path | None) -> int:
    """Start everything, send a morning of calls, show one journey, the list and the counts."""
    folder = data_dir or Path(os.environ.get("SAFIRI_DATA_DIR") or default_data_dir() / "demo")
    settings = settings_of(config or CONFIG, folder)
    with _stack(settings, port) as (up, url):
        _show(settings, url, _send(settings, url, calls))
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


def _send(settings: Settings, url: str, calls: int) -> str:
    """Sends the morning and one call-centre call; returns that call's SID."""
    from calls.clock import Micros
    from calls.sample import SECOND, disordered, morning, support_call

    now: Micros = time.time_ns() // 1000
    start = now - now % (3600 * SECOND) - 5 * 3600 * SECOND
    samples = morning(SEED, calls=calls, start=start)
    sent = disordered(samples, SEED)
    told = support_call(now, start + 3600 * SECOND)
    began = time.monotonic()
    post = _Sender(settings, url)
    with ThreadPoolExecutor(SENDERS) as threads:
        statuses = Counter(threads.map(post.deliver, sent))
    statuses[post.events(told)] += 1
    took = time.monotonic() - began
    answered = ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))
    copies = len(sent) - len(samples)
    click.echo(f"sent {len(sent)} signed deliveries of {calls} calls ({copies} of them copies, none in order) in {took:.1f} s: {answered}")
    if set(statuses) != {202}:
        raise Refused(502, "Not taken", f"some deliveries were not taken: {answered}")
    return told[0].call_sid


class _Sender:
    """Posts samples as their providers would."""

    def __init__(self, settings: Settings, url: str):
        import httpx

        self.settings, self.url = settings, url
        self.client = httpx.Client(timeout=30)

    def deliver(self, sample: Any) -> int:
        from calls.providers import PROVIDERS

        account = self.settings.accounts[sample.account]
        secret = account.signing_secrets[0].get_secret_value()
        signed = PROVIDERS[account.provider].sign(sample.body, secret, int(time.time()), sample.call_sid)
        headers = signed | {"Content-Type": sample.content_type}
        return self.client.post(f"{self.url}/hooks/{sample.account}", content=sample.body, headers=headers).status_code

    def events(self, samples: list[Any]) -> int:
        key = subprocess.run(
            [sys.executable, "-m", "cli", "keys", "create", "--name", "demo", "--scope", "write", *_where(self.settings)],
            check=True, capture_output=True, text=True,
        ).stdout.split()[-1]  # fmt: skip
        body = b"\n".join(sample.body for sample in samples)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson"}
        return self.client.post(f"{self.url}/v1/events", content=body, headers=headers).status_code


def _where(settings: Settings) -> list[str]:
    return ["--config", str(settings.config_path), "--data-dir", str(settings.data_dir)]


def _show(settings: Settings, url: str, call_sid: str) -> None:
    """One journey's ladder, the newest calls, and the counts, by the commands a person would use."""
    _caught_up(settings)
    for title, asked in (("one journey", ["journey", call_sid]), ("the newest calls", ["calls", "--limit", "10"])):
        click.echo(f"\n── {title}: safiri {' '.join(asked)}\n")
        said = subprocess.run([sys.executable, "-m", "cli", *asked, *_where(settings)], check=True, capture_output=True, text=True)
        click.echo(said.stdout.rstrip())
    click.echo(f"\n── by outcome\n\n{_counts(settings)}")
    click.echo(f"\nready {url}")


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
