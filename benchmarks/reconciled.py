"""`python -m benchmarks.reconciled FOLDER`: what a program needs that reads three sides from files and reconciles them, as JSON."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import msgspec
import polars as pl

from benchmarks.measuring import memory_mb
from calls.clock import parse_time
from calls.reconciliation.run import Beside, reconcile
from calls.reconciliation.sides import LEDGER, NAMES, OURS, RECORDS, Sides
from runtime.plans import shipped

ZONE = "Africa/Nairobi"
PERIOD = (parse_time("2026-05-01T00:00:00+03:00") or 0, parse_time("2026-06-01T00:00:00+03:00") or 0)


class Reconciled(msgspec.Struct):
    """`peak_mb`: of all that the process ever had; `causes`: how many differences of each."""

    seconds: float
    peak_mb: float
    causes: dict[str, int]


def main(folder: Path) -> Reconciled:
    beside = Beside(zone=ZONE, plans=shipped(), currency="KES", ledger_dates=PERIOD)
    began = time.perf_counter()
    ours, records, ledger = (pl.read_ndjson(folder / f"{name}.jsonl", schema=schema) for name, schema in SIDES.items())
    found = reconcile(Sides(ours, pl.DataFrame(schema=NAMES), records, ledger), period=PERIOD, beside=beside)
    seconds = time.perf_counter() - began
    return Reconciled(seconds, memory_mb(os.getpid())["peak"], {cause: one.count for cause, one in found.causes.items() if one.count})


SIDES = {"ours": OURS, "records": RECORDS, "ledger": LEDGER}

if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(main(Path(sys.argv[1]))))
