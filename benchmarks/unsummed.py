"""The projector without sums by quarter of an hour: journeys say that they add nothing. Only to be measured.

`SAFIRI_… python -m benchmarks.unsummed`, with the environment of `safiri serve projector`.
"""

from __future__ import annotations

from calls.journey import Journey
from projections import consumer, journeys
from runtime.settings import load


def nothing(_: Journey) -> bytes:
    return b""


if __name__ == "__main__":
    journeys.packed = nothing
    consumer.run(load())
