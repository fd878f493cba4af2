"""`python -m benchmarks [name…] [--quick] [--json FILE] [--markdown] [--strict]`: measures and prints one line a figure."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import signal
import sys
import time
from pathlib import Path

import msgspec

from benchmarks.measuring import Result, Size

NAMES = (
    "accept", "projecting", "framework", "summing", "importing", "freshness", "rolling", "answered", "exporting", "voicing",
    "audio", "dispatch", "simulating", "starting", "memory", "inferring", "rating", "reconciling", "micro",
)  # fmt: skip


class Report(msgspec.Struct):
    """All of one run."""

    machine: str
    quick: bool
    seconds: float
    results: list[Result]


def main() -> int:
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that everything is stopped and removed
    asked = _asked()
    if asked.read:
        report = msgspec.json.decode(asked.read.read_bytes(), type=Report)
    else:
        report = _measure(asked.names or list(NAMES), Size(asked.quick))
    if asked.json:
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
    if asked.markdown:
        print(table(report))
    missed = [one.name for one in report.results if not one.passed]
    return 1 if asked.strict and missed else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", choices=[[], *NAMES], help=f"what to measure: {', '.join(NAMES)} (all)")
    parser.add_argument("--quick", action="store_true", help="less of everything, and noisy rounds are not done again: for trying it out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--read", type=Path, metavar="FILE", help="measure nothing: show what --json wrote")
    parser.add_argument("--markdown", action="store_true", help="print a table for docs/benchmarks.md as well")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a target is missed")
    return parser.parse_args()


def _measure(names: list[str], size: Size) -> Report:
    began = time.monotonic()
    results: list[Result] = []
    for name in names:
        for result in importlib.import_module(f"benchmarks.{name}").run(size):
            print(line(result), flush=True)
            results.append(result)
    machine = f"{os.cpu_count()} cores, {_processor()}, Python {platform.python_version()}"
    print(f"{time.monotonic() - began:.0f} s on {machine}", file=sys.stderr)
    return Report(machine, size.quick, time.monotonic() - began, results)


def _processor() -> str:
    named = [row.partition(":")[2].strip() for row in Path("/proc/cpuinfo").read_text().splitlines() if row.startswith("model name")]
    return named[0] if named else platform.machine()


def number(value: float, unit: str) -> str:
    return f"{value:.0f} {unit}" if unit == "MB" else f"{value:.2f}{' ' + unit if unit else ''}"


def verdict(result: Result) -> str:
    if result.wrong:
        return f"WRONG ({result.wrong})"
    return "" if result.target is None else "pass" if result.passed else "MISS"


def spread(result: Result) -> str:
    return f"{min(result.values):.2f}–{max(result.values):.2f}" if len(result.values) > 1 else ""


def line(result: Result) -> str:
    """name, value, target, pass or miss, spread, absolutes."""
    parts = [f"{result.name:16}", f"{number(result.value, result.unit):>8}", str(result.target or ""), verdict(result), spread(result)]
    if result.noisy:
        parts.append(f"{result.noisy} of {len(result.values)} rounds noisy")
    shown = "; ".join(f"{name}: {value}" for name, value in result.absolutes.items())
    return "  ".join(part for part in [*parts, f"[{result.what}]", shown] if part)


def table(report: Report) -> str:
    """The results as Markdown."""
    rows = [f"Measured on {report.machine}{', quickly' if report.quick else ''}, in {report.seconds:.0f} s.", "",
            "| benchmark | what | value | target | | spread | beside it |", "|---|---|---|---|---|---|---|"]  # fmt: skip
    for one in report.results:
        shown = "; ".join(f"{name}: {value}" for name, value in one.absolutes.items())
        noise = f" ({one.noisy} noisy)" if one.noisy else ""
        cells = (
            one.name,
            one.what,
            number(one.value, one.unit),
            str(one.target or "–"),
            verdict(one) or "–",
            f"{spread(one)}{noise}",
            shown,
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
