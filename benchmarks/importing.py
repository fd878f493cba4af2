"""A month of a real call centre from file to tables: `safiri import` to its counts, beside folding the same journal again.

The month is no part of the project (tests/outside.py says where it is looked for); without it there is nothing to measure.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measuring import Meter, Result, Round, Size, Target, medians, noisy, rounds
from benchmarks.whole import Whole
from projections.rebuild import rebuild

TARGET = Target("≥", 0.4)
HOME = Path(os.environ.get("SAFIRI_OUTSIDE_DATA") or Path(__file__).parents[2] / "shared" / "data") / "anonymous_bank_1999"
CONFIG = """
[accounts.bank]
provider = "neutral"
signing_secrets = ["measured"]
"""


def run(size: Size) -> list[Result]:
    if not HOME.exists():
        print(f"importing: left out, no month in {HOME}; SAFIRI_OUTSIDE_DATA names the folder of outside data", file=sys.stderr)
        return []
    found = rounds(size, lambda number: _round(size, number))
    middle = medians(found)
    shown = {
        "import": f"{middle['events'] / middle['import']:,.0f} events/s, {middle['import']:.1f} s",
        "folded again": f"{middle['events'] / middle['rebuild']:,.0f} events/s, {middle['rebuild']:.1f} s",
        "of": f"{middle['events']:,.0f} events",
    }
    ratios = [one.ratio for one in found]
    wrong = "" if all(one.figures["differences"] == 0 for one in found) else "a rebuild differs"
    return [Result("importing", "import of a month ÷ folding its journal again", ratios, TARGET, "", shown, noisy(found), wrong)]


def _round(size: Size, number: int) -> Round:
    """A stack of its own, so that each import is the first."""
    with Whole(CONFIG) as whole:
        file = whole.path / "month.ndjson"
        events = _month(file, size)
        with Meter({"safiri": whole.process.pid}) as meter:
            began = time.monotonic()
            told = json.loads(whole.safiri("import", str(file), "--account", "bank", "--format", "neutral", "--json"))
            imported = time.monotonic() - began
            report = rebuild(str(whole.where["database"]), verify=True)
            began = time.monotonic()
            rebuild(str(whole.where["database"]))
            rebuilt = time.monotonic() - began
        assert told["accepted"] == events, told
        figures = {"events": events, "import": imported, "rebuild": rebuilt, "differences": len(report.differences)}
        return Round(rebuilt / imported, {name: float(value) for name, value in figures.items()}, meter.others)


def _month(file: Path, size: Size) -> int:
    """January, or the calls of its first days. Returns how many events there are."""
    asked = [sys.executable, str(HOME / "to_events.py"), str(HOME / "raw" / "01_january.txt.gz")]
    lines = subprocess.run(asked, capture_output=True, check=True).stdout.splitlines(keepends=True)
    lines = lines[: size.of(len(lines), 40_000)]
    file.write_bytes(b"".join(lines))
    return len(lines)
