"""Data that nobody here wrote, and that is no part of the project: tests on it read the folder named by SAFIRI_OUTSIDE_DATA.

Its default is `../shared/data` beside the checkout; where a file is absent its tests are skipped, with the reason.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HOME = Path(os.environ.get("SAFIRI_OUTSIDE_DATA") or Path(__file__).parents[2] / "shared" / "data")


def needs(path: str) -> pytest.MarkDecorator:
    """Skips what it marks where `path` (below HOME) is not there."""
    return pytest.mark.skipif(
        not (HOME / path).exists(), reason=f"no {path} in {HOME}: SAFIRI_OUTSIDE_DATA names the folder of outside data"
    )
