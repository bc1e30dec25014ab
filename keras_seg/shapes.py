"""Shapes of images: as someone wrote them, checked; and what a map lacks of one."""

from __future__ import annotations

import numbers


def checked_shape(shape) -> tuple[int | None, int | None, int]:
    """(height, width, channels) in pixels, None for a free height or width.

    Raises: ValueError for another number of entries, or entries that are no numbers of pixels.
    """
    try:
        entries = tuple(shape)
    except TypeError:
        entries = ()
    if isinstance(shape, str) or len(entries) != 3:
        batch = " The batch is left out." if len(entries) == 4 else ""
        raise ValueError(
            "input_shape is (height, width, channels) in pixels, such as (256, 256, 3). Received: "
            f"{shape!r}.{batch}"
        )
    free = [entry is None for entry in entries]
    whole = [
        isinstance(entry, numbers.Integral) and not isinstance(entry, bool) and entry > 0
        for entry in entries
    ]
    if not all(a or b for a, b in zip(free, whole, strict=True)) or free[2]:
        raise ValueError(
            "input_shape is (height, width, channels): whole numbers of at least 1 pixel, and None "
            f"(not -1 or 0) for a free height or width. Received: {shape!r}. Write for example "
            "(256, 256, 3)."
        )
    return tuple(None if entry is None else int(entry) for entry in entries)


def lost_border(size: tuple[int, int], inner: tuple[int | None, ...]) -> tuple[int, int]:
    """(rows, columns) on each side of an image that a map lacks; (0, 0) for a coarser map."""
    if len(inner) != 2 or None in inner:
        return 0, 0
    rows, columns = (s - o for s, o in zip(size, inner, strict=True))
    small = any(2 * o <= s for s, o in zip(size, inner, strict=True))
    odd = rows % 2 or columns % 2 or min(rows, columns) < 0
    return (0, 0) if small or odd else (rows // 2, columns // 2)
