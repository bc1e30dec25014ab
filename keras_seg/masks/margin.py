"""The margin that a network without padding loses on each side of an image."""

from __future__ import annotations


def lost_border(image: tuple[int, int], output: tuple[int | None, ...]) -> tuple[int, int]:
    """(rows, columns) on each side of an image that the output lacks; (0, 0) for a coarser map.

    Args:
        image, output: (height, width) in pixels.
    """
    if len(output) != 2 or None in output:
        return 0, 0
    rows, columns = (size - inner for size, inner in zip(image, output, strict=True))
    coarser = any(2 * inner <= size for size, inner in zip(image, output, strict=True))
    uneven = rows % 2 or columns % 2 or min(rows, columns) < 0
    return (0, 0) if coarser or uneven else (rows // 2, columns // 2)
