"""What the embedded stack takes when nothing happens, and what the receiver and the projector have grown to after many events.

The events come as signed webhooks over HTTP and go all the way. Of the whole tree the sum of RSS counts Postgres' shared memory
and shared code once for every process; PSS divides them among their users and is what the machine really gives away.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import psycopg

from benchmarks import load
from benchmarks.filled import POSITION
from benchmarks.measuring import Result, Size, Target, eventually, memory_mb, tree
from benchmarks.stack import Folder, first_line, start, stop
from runtime.kafka import Watcher

SETTLED_S = 10.0
WHOLE, ROLE = Target("≤", 600), Target("≤", 150)


def run(size: Size) -> list[Result]:
    amount = size.of(1_000_000, 100_000)
    with Folder() as folder:
        errors = folder / "errors.log"
        up = start([sys.executable, "-P", "-m", "cli", "up", "--port", "0", "--data-dir", str(folder / "data")],
                   env={"SAFIRI_CONFIG": str(folder / "safiri.toml")}, errors=errors)  # fmt: skip
        try:
            first_line(up, errors)
            return [_idle(up.pid, folder / "data"), *_grown(folder / "data", amount)]
        finally:
            stop(up)


def _idle(pid: int, data: Path) -> Result:
    time.sleep(SETTLED_S)  # nothing happens: that is what is measured
    parts = {name: tree(own) for name, (own, _) in _children(data).items()}
    parts["up"] = {pid}
    sizes = {name: [memory_mb(one) for one in pids] for name, pids in parts.items()}
    rss, pss = (sum(each[kind] for found in sizes.values() for each in found) for kind in ("rss", "pss"))
    shown = {
        "sum of RSS": f"{rss:.0f} MB",
        "PSS": ", ".join(f"{name} {sum(each['pss'] for each in found):.0f}" for name, found in sizes.items()),
    }
    return Result("memory idle", "the idle embedded stack, PSS", [pss], WHOLE, "MB", shown)


def _grown(data: Path, amount: int) -> list[Result]:
    where = json.loads((data / "run.json").read_text())
    loaded = load.own(int(where["http"].rsplit(":", 1)[1]), "--count", str(amount))
    watcher = Watcher(where["kafka"])
    wrong = f"{loaded.errors} answers were not 202" if loaded.errors else ""
    with psycopg.connect(where["database"], autocommit=True) as connection:

        def projected() -> bool:
            (here,) = connection.execute(POSITION).fetchone() or (0,)
            return bool(here >= sum(watcher.ends().values()))

        eventually(projected, "all is projected", 600, 0.5)
    watcher.close()
    children = _children(data)
    found = []
    for role in ("http", "projector"):
        sizes = memory_mb(children[role][0])
        shown = {
            "PSS": f"{sizes['pss']:.0f} MB",
            "at most": f"{sizes['peak']:.0f} MB",
            "taken in at": f"{loaded.rate:,.0f}/s, p99 {loaded.p99_ms:.0f} ms",
        }
        found.append(Result(f"memory {role}", f"{role} after {amount:,} events, RSS", [sizes["rss"]], ROLE, "MB", shown, 0, wrong))
    return found


def _children(data: Path) -> dict[str, tuple[int, int]]:
    """name -> (pid, when it began) of the parts that run."""
    found: dict[str, tuple[int, int]] = json.loads((data / "children.json").read_text())
    return {name: one for name, one in found.items() if tree(one[0]) and Path(f"/proc/{one[0]}").exists() and name != "migrate"}
