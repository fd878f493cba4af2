"""Everything that is wrong with what somebody wrote, said at once: each fault names its field and what to write there."""

from __future__ import annotations


class Faults(Exception):
    """What is wrong: (field or parameter, what to do), in the order of what was written."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{field}: {detail}" for field, detail in faults))
        self.faults = faults
