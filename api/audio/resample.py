"""The same sound at another rate: 8 and 16 kHz of the telephone, 24 kHz of the models.

A windowed sinc, a few taps a sample, computed column by column: about 4 ms of one core for a second of audio in plain Python.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterable, Sequence
from math import gcd

SHIFT = 12  # weights are whole numbers of 1/4096: a sample times a weight stays one machine digit
TAPS = 6
TAPS_DOWN = 12  # where more than half of the samples go, what they alone could carry must go first


class Resampler:
    """S16LE mono in, S16LE mono out, piece by piece. What a piece ends with waits for the next one (under 1 ms)."""

    __slots__ = ("_down", "_kept", "_odd", "_phases", "_taps", "_up")

    def __init__(self, rate: int, to: int):
        shared = gcd(rate, to)
        self._up, self._down = to // shared, rate // shared
        self._taps = TAPS_DOWN if rate > 2 * to else TAPS
        self._phases = [_phase(p, self._up, self._down, self._taps) for p in range(self._up)]
        self._kept = array("h", [0] * (self._taps // 2 - 1))  # so that nothing is shifted
        self._odd = b""

    def __call__(self, pcm: bytes) -> bytes:
        if self._up == self._down:
            return pcm
        if self._odd or len(pcm) & 1:
            pcm = self._odd + pcm
            self._odd = pcm[len(pcm) & ~1 :]
            pcm = pcm[: len(pcm) & ~1]
        samples = self._kept + read(pcm)
        count = max(0, (len(samples) - self._taps + 1) // self._down)
        made = array("h", bytes(2 * count * self._up))
        for phase, (first, weights) in enumerate(self._phases):
            stop = first + count * self._down
            columns = [samples[first + k : stop + k : self._down] for k in range(self._taps)]
            made[phase :: self._up] = _weighed(columns, weights)
        self._kept = samples[count * self._down :]
        return write(made)


def _phase(phase: int, up: int, down: int, taps: int) -> tuple[int, list[int]]:
    """(first sample, weights) of the output at phase/up of a group of `down` inputs."""
    first, part = divmod(phase * down, up)
    pass_band = min(1.0, up / down)
    places = [k - (taps // 2 - 1) - part / up for k in range(taps)]
    raw = [_sinc(pass_band * x) * (0.5 + 0.5 * math.cos(2 * math.pi * x / (taps + 1))) for x in places]
    return first, [round((1 << SHIFT) * value / sum(raw)) for value in raw]


def _sinc(x: float) -> float:
    return math.sin(math.pi * x) / (math.pi * x) if x else 1.0


def _weighed(columns: Sequence[array[int]], weights: Sequence[int]) -> array[int]:
    if weights.count(0) == len(weights) - 1:  # falls on a sample: it is that sample
        return columns[next(k for k, weight in enumerate(weights) if weight)]
    values = _six(columns, weights) if len(weights) == TAPS else _twelve(columns, weights)
    try:
        return array("h", values)
    except OverflowError:  # a loud edge rings beyond what 16 bits hold
        return array("h", [max(-32768, min(32767, value)) for value in values])


def _six(columns: Sequence[Iterable[int]], weights: Sequence[int]) -> list[int]:
    u, v, w, x, y, z = weights
    return [(a * u + b * v + c * w + d * x + e * y + f * z) >> SHIFT for a, b, c, d, e, f in zip(*columns, strict=True)]


def _twelve(columns: Sequence[Iterable[int]], weights: Sequence[int]) -> list[int]:
    return [low + high for low, high in zip(_six(columns[:6], weights[:6]), _six(columns[6:], weights[6:]), strict=True)]


def read(pcm: bytes) -> array[int]:
    """S16LE as samples."""
    samples = array("h", pcm)
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def write(samples: array[int]) -> bytes:
    """Samples as S16LE."""
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()
