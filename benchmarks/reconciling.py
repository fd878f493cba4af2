"""A month of legs, their call records and their ledger reconciled, from three files of JSON lines to the causes: time and memory.

Beside it one `json.loads` of every line of these files. One call in a hundred has a fault; all must be found under their causes.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.measuring import Meter, Result, Round, Size, Target, medians, noisy, rounds
from benchmarks.reconciled import PERIOD, SIDES, Reconciled
from benchmarks.stack import ROOT, Folder
from calls.rating.charge import RatedLeg
from calls.rating.rate import rate
from runtime.plans import shipped

TIME, MEMORY = Target("≤", 2), Target("≤", 4)
PLAN = "sautikit-ke"
FAULTS = ("missing_theirs", "duplicate_theirs", "duration_theirs_longer", "missing_ours")
EVERY, LONGER_S, SEED, SECOND = 100, 10, 6, 1_000_000
Row = dict[str, object]


class Files(NamedTuple):
    folder: Path
    faults: Counter[str]

    @property
    def paths(self) -> list[Path]:
        return [self.folder / f"{name}.jsonl" for name in SIDES]

    @property
    def mb(self) -> float:
        return sum(path.stat().st_size for path in self.paths) / 2**20


def run(size: Size) -> list[Result]:
    wrong: list[str] = []
    calls = size.of(1_000_000, 100_000)
    with Folder() as folder:
        files = Files(folder, _write(folder, calls))
        found = rounds(size, lambda _: _round(files, wrong))
        size_mb = files.mb
    middle = medians(found)
    shown = {
        "reconciled": f"{middle['seconds']:.1f} s",
        "json.loads": f"{middle['parsing']:.1f} s",
        "of": f"{calls:,} legs a side, {size_mb:.0f} MB",
    }
    name = f"{calls:,} legs a side"
    noise, fault = noisy(found), "; ".join(wrong[:1])
    return [
        Result("reconciling", f"{name}: seconds ÷ json.loads of every line", [one.ratio for one in found], TIME, "", shown, noise, fault),
        Result("reconciling", f"{name}: peak memory ÷ files", [one.figures["peak"] / size_mb for one in found], MEMORY, "",
               {"peak": f"{middle['peak']:.0f} MB"}, 0, fault),
    ]  # fmt: skip


def _round(files: Files, wrong: list[str]) -> Round:
    with Meter({"reconciling": os.getpid()}) as meter:
        command = [sys.executable, "-m", "benchmarks.reconciled", str(files.folder)]
        said = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
        parsing = _parsing(files)
    found = msgspec.json.decode(said, type=Reconciled)
    if found.causes != files.faults:
        wrong.append(f"found {found.causes}, but there were {dict(files.faults)}")
    figures = {"seconds": found.seconds, "peak": found.peak_mb, "parsing": parsing}
    return Round(found.seconds / parsing, figures, meter.others)


def _parsing(files: Files) -> float:
    began = time.perf_counter()
    for path in files.paths:
        with path.open("rb") as lines:
            for line in lines:
                json.loads(line)
    return time.perf_counter() - began


# ---------------------------------------------------------------- the files


def _write(folder: Path, calls: int) -> Counter[str]:
    """The three files, their lines in different orders, and how many faults of each kind are in them."""
    drawn, encode, faults = random.Random(SEED), msgspec.json.encode, Counter[str]()
    prices = {talk: _price(talk) for talk in range(1, 601 + LONGER_S)}
    lines: dict[str, list[bytes]] = {name: [] for name in SIDES}
    for number in range(calls):
        fault = FAULTS[number // EVERY % len(FAULTS)] if number % EVERY == 0 else None
        faults.update([fault] if fault else [])
        for side, row in _call(drawn, number, fault, prices):
            lines[side].append(encode(row))
    for name, written in lines.items():
        drawn.shuffle(written)
        (folder / f"{name}.jsonl").write_bytes(b"\n".join(written) + b"\n")
    return faults


def _price(talk_s: int) -> int:
    leg = RatedLeg("outbound", "external", "+254700000000", talk_s * 1000, 5000, PERIOD[0], PERIOD[0] + 5 * SECOND)
    return rate(shipped()[PLAN], [leg])[0].amount_minor or 0


def _call(drawn: random.Random, number: int, fault: str | None, prices: dict[int, int]) -> Iterator[tuple[str, Row]]:
    sid, talk_s, ring_s = f"CA{drawn.getrandbits(128):032x}", drawn.randint(1, 600), drawn.randint(2, 30)
    start = PERIOD[0] + drawn.randrange((PERIOD[1] - PERIOD[0]) // SECOND - 3600) * SECOND
    caller, called = f"+2547000000{drawn.randrange(100):02}", f"+2547{drawn.randrange(10**8):08}"
    said: Row = {"caller": caller, "called": called, "direction": "outbound", "started_at": start, "answered_at": start + ring_s * SECOND}
    theirs_s = talk_s + (LONGER_S if fault == "duration_theirs_longer" else 0)
    ended = start + (ring_s + theirs_s) * SECOND
    if fault != "missing_ours":
        yield "ours", said | {
            "journey_id": sid, "call_sid": sid, "leg": "caller", "kind": "external", "to": called, "own": caller,
            "queue": "sales", "agent": f"agent-{drawn.randrange(200)}", "ended_at": start + (ring_s + talk_s) * SECOND,
            "talk_ms": talk_s * 1000, "ring_ms": ring_s * 1000, "received_at": start, "amount_minor": prices[talk_s], "currency": "KES",
            "plan": PLAN, "version": "2026-01",
        }  # fmt: skip
    if fault == "missing_theirs":
        return
    yield "records", said | {
        "row_id": sid, "call_id": sid, "ended_at": ended, "duration_ms": theirs_s * 1000, "status": "completed",
        "amount_minor": prices[theirs_s], "currency": "KES", "rate_per_minute": "300",
    }  # fmt: skip
    for copy in range(2 if fault == "duplicate_theirs" else 1):
        yield "ledger", {
            "row_id": f"entry-{number:08}-{copy}", "call_id": sid, "at": ended, "amount_minor": prices[theirs_s], "currency": "KES",
            "entry_type": "debit", "description": f"Call to {called}",
        }  # fmt: skip
