"""How much of the bare server's rate is left when a webhook is verified, masked, keyed and acknowledged by Kafka."""

from __future__ import annotations

import re
import sys
import urllib.request
from contextlib import ExitStack
from typing import NamedTuple

from benchmarks import load
from benchmarks.measuring import Meter, Result, Round, Size, Target, medians, noisy, rounds
from benchmarks.stack import Stack, serving
from runtime.embedded.home import is_free
from runtime.kafka import Watcher

SERVER, REST = 0, 1  # cores
TARGET = Target("≥", 0.30, 0.48)
PORTS = range(23000, 24000)


class Arms(NamedTuple):
    stack: Stack
    watcher: Watcher
    safiri: int  # port
    safiri_pid: int
    noop: int
    noop_pid: int


def run(size: Size) -> list[Result]:
    with ExitStack() as opened:
        arms = _start(opened)
        _arm(arms, size, bare=True, seconds=1)
        _arm(arms, size, bare=False, seconds=2)  # warm: the first idempotent acknowledgements of a broker are slow
        wrong: list[str] = []
        found = rounds(size, lambda _: _round(arms, size, wrong))
        middle = medians(found)
    shown = {
        "safiri": f"{middle['safiri']:,.0f}/s, p50 {middle['safiri p50']:.1f} p99 {middle['safiri p99']:.1f} ms",
        "no-op": f"{middle['no-op']:,.0f}/s, p50 {middle['no-op p50']:.1f} p99 {middle['no-op p99']:.1f} ms",
        "CPU µs/request": ", ".join(f"{name[4:]} {value:.0f}" for name, value in middle.items() if name.startswith("cpu ")),
        "load": f"{load.by()}, {load.CONNECTIONS} connections",
    }
    return [
        Result(
            "accept",
            "webhooks accepted ÷ no-op on the same server",
            [one.ratio for one in found],
            TARGET,
            "",
            shown,
            noisy(found),
            "; ".join(wrong[:1]),
        )
    ]


def _start(opened: ExitStack) -> Arms:
    stack = opened.enter_context(Stack(core=REST))
    ports = (port for port in PORTS if is_free(port))
    safiri, noop = next(ports), next(ports)
    served = stack.role("http", env=stack.env(stack.database_url, SAFIRI_HTTP_PORT=str(safiri)), core=SERVER)
    bare = stack.program("benchmarks.noop", str(noop), env={}, core=SERVER)
    serving(f"http://127.0.0.1:{safiri}", served)
    serving(f"http://127.0.0.1:{noop}", bare)
    watcher = Watcher(stack.kafka)
    opened.callback(watcher.close)
    return Arms(stack, watcher, safiri, served.pid, noop, bare.pid)


def _round(arms: Arms, size: Size, wrong: list[str]) -> Round:
    seconds = size.of(6.0, 4.0)
    limit, bare, others = _arm(arms, size, bare=True, seconds=seconds)
    before = sum(arms.watcher.ends().values()), _counted(arms.safiri)
    ours, cpu, more = _arm(arms, size, bare=False, seconds=seconds)
    records, answered = sum(arms.watcher.ends().values()) - before[0], _counted(arms.safiri) - before[1]
    if ours.errors or limit.errors:
        wrong.append(f"{ours.errors + limit.errors} answers were not 202")
    if not (ours.requests <= answered == records <= ours.requests + load.CONNECTIONS):
        wrong.append(f"{ours.requests} replies seen, {answered} times 202 counted, {records} records in Kafka")
    figures = {"safiri": ours.rate, "safiri p50": ours.p50_ms, "safiri p99": ours.p99_ms, "no-op": limit.rate, "no-op p50": limit.p50_ms,
               "no-op p99": limit.p99_ms, **{f"cpu {name}": used for name, used in cpu.items()}, "cpu no-op": bare["server"]}  # fmt: skip
    return Round(ours.rate / limit.rate, figures, max(others, more))


def _arm(arms: Arms, size: Size, *, bare: bool, seconds: float) -> tuple[load.Loaded, dict[str, float], float]:
    pids = {
        "server": arms.noop_pid if bare else arms.safiri_pid,
        "kafka": arms.stack.pids["kafka"],
        "postgres": arms.stack.pids["postgres"],
    }
    with Meter(pids) as meter:
        loaded = load.run(arms.noop if bare else arms.safiri, seconds=seconds, folder=arms.stack.path, core=REST)
    return loaded, meter.micros(loaded.requests), meter.others


def _counted(port: int) -> int:
    """Deliveries that the service itself says it answered with 202."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    return int(sum(float(value) for value in re.findall(r'^safiri_deliveries_total\{[^}]*status="202"[^}]*\} (\S+)$', text, re.MULTILINE)))


if __name__ == "__main__":
    print(run(Size(quick=True)), file=sys.stderr)
