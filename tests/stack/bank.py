"""The call centre of a bank in 1999: months of it as neutral events, and what its queues and agents came to in every hour.

The data are no part of the project (tests/outside.py); the tests that read them are skipped where they are absent.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from functools import cache

from tests.outside import HOME, needs

FOLDER = HOME / "anonymous_bank_1999"
NEEDED = needs("anonymous_bank_1999/to_events.py")
RAW = {1: "01_january.txt.gz", 2: "02_february.txt.gz"}


@cache
def events(month: int) -> list[bytes]:
    """NDJSON lines of one month, in order of time."""
    asked = [sys.executable, str(FOLDER / "to_events.py"), str(FOLDER / "raw" / RAW[month])]
    return subprocess.run(asked, capture_output=True, check=True).stdout.splitlines()


def reference(kind: str, month: int) -> list[dict[str, str]]:
    """Rows of hour_queue_MM or hour_agent_MM, as text."""
    with open(FOLDER / "reference" / f"hour_{kind}_{month:02}.csv", newline="") as file:
        return list(csv.DictReader(file))
