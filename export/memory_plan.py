"""How much memory maps need that are not all alive at once."""

from __future__ import annotations

from collections.abc import Iterable

ALIGNMENT = 64
"""Bytes at whose multiples LiteRT places tensors."""


def placed_bytes(maps: Iterable[tuple[int, int, int]]) -> int:
    """Bytes that hold (size in bytes, first operator, last operator) each while it is alive.

    Places are given to the largest first, the lowest that is free all that time, as LiteRT does.
    """
    placed: list[tuple[int, int, int, int]] = []  # (first byte, end, first operator, last)
    for size_bytes, first, last in sorted(maps, key=lambda entry: -entry[0]):
        size = -(-size_bytes // ALIGNMENT) * ALIGNMENT
        place = 0
        for begin, end, other_first, other_last in sorted(placed):
            if other_first > last or other_last < first:
                continue
            if begin - place >= size:
                break
            place = max(place, end)
        placed.append((place, place + size, first, last))
    return max((end for _, end, _, _ in placed), default=0)
