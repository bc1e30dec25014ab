"""Checks the shape of an image, and measures the border that a network without padding loses."""

from __future__ import annotations

import numbers


def checked_shape(shape: object) -> tuple[int | None, int | None, int]:
    """(height, width, channels) in pixels; None for a free height or width.

    Raises: ValueError unless there are three entries, all of them whole numbers of at least 1.
    """
    try:
        entries = tuple(shape)
    except TypeError:
        entries = ()
    if isinstance(shape, str) or len(entries) != 3:
        batch = " Leave out the batch." if len(entries) == 4 else ""
        raise ValueError(
            "input_shape must be (height, width, channels) in pixels, such as (256, 256, 3), with "
            f"None for a free height or width. Received: {shape!r}.{batch}"
        )
    *sides, channels = entries
    if not _is_count(channels) or not all(side is None or _is_count(side) for side in sides):
        raise ValueError(
            "input_shape must be (height, width, channels): whole numbers of at least 1 pixel, and "
            f"None (not -1 or 0) for a free height or width. Received: {shape!r}. Write for "
            "example (256, 256, 3)."
        )
    return tuple(None if entry is None else int(entry) for entry in entries)


def channels_last_shape(shape: object) -> tuple[int | None, int | None, int]:
    """As `checked_shape`, for the image of a network; also refuses (channels, height, width)."""
    height, width, channels = checked_shape(shape)
    if height in (1, 3, 4) and channels > 16 and (width is None or width > 16):
        raise ValueError(
            f"input_shape is (height, width, channels). Received: {shape!r}, in which the channels "
            f"seem to come first. Write {(width, channels, height)!r}."
        )
    return height, width, channels


def _is_count(entry: object) -> bool:
    return isinstance(entry, numbers.Integral) and not isinstance(entry, bool) and entry > 0


def lost_border(size: tuple[int, int], inner: tuple[int | None, ...]) -> tuple[int, int]:
    """(rows, columns) that a map lacks on each side of the image; (0, 0) for a coarser map."""
    if len(inner) != 2 or None in inner:
        return 0, 0
    rows, columns = (s - o for s, o in zip(size, inner, strict=True))
    small = any(2 * o <= s for s, o in zip(size, inner, strict=True))
    odd = rows % 2 or columns % 2 or min(rows, columns) < 0
    return (0, 0) if small or odd else (rows // 2, columns // 2)
