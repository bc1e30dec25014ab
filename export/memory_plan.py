"""The memory for feature maps, which are not all alive at the same time."""

from __future__ import annotations

from collections.abc import Iterable

ALIGNMENT = 64
"""LiteRT aligns tensors to multiples of this number of bytes."""


def placed_bytes(maps: Iterable[tuple[int, int, int]]) -> int:
    """Size in bytes of the memory that holds all maps while they are needed.

    As in LiteRT, the largest map is placed first, and each at the lowest address that is free while
    it is alive.

    Args:
        maps: (size in bytes, first operator, last operator) of each.
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
