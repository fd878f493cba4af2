"""Which keys have been seen: millions of them, at 32 bytes each where a dict takes two hundred."""

from __future__ import annotations

import hashlib
from array import array


class Seen:
    """A map from 64-bit keys, which are marks and so well spread, to 64-bit values. It only grows: open addressing in two arrays."""

    def __init__(self) -> None:
        self._size, self._used = 1024, 0
        self._keys, self._values = _zeros(self._size), _zeros(self._size)

    def first(self, key: int, value: int) -> int | None:
        """The value that `key` was first seen with; None where that is now."""
        key = key or 1  # 0 is an empty place
        place = self._place(key)
        if self._keys[place] == key:
            return self._values[place]
        self._keys[place], self._values[place] = key, value
        self._used += 1
        if 2 * self._used > self._size:
            self._grow()
        return None

    def _place(self, key: int) -> int:
        keys, last = self._keys, self._size - 1
        place = key & last
        while keys[place] not in (0, key):
            place = (place + 1) & last
        return place

    def _grow(self) -> None:
        keys, values = self._keys, self._values
        self._size *= 2
        self._keys, self._values = _zeros(self._size), _zeros(self._size)
        for key, value in zip(keys, values, strict=True):
            if key:
                place = self._place(key)
                self._keys[place], self._values[place] = key, value


def _zeros(count: int) -> array[int]:
    return array("Q", bytes(8 * count))


def mark(text: str) -> int:
    """64 bits of `text`."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
