"""Checks of arguments that every subpackage shares: the value in its type, or a ValueError."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np


def number(value: Any, option: str) -> float:
    """A finite number, unchanged. Text such as "1e-3", which YAML leaves as text, is converted.

    Args:
        option: name of the argument, for the message.

    Raises: ValueError for anything else.
    """
    result = value
    if isinstance(value, str):
        try:
            result = float(value)
        except ValueError:
            result = math.nan
    is_number = isinstance(result, int | float | np.integer | np.floating)
    if not is_number or isinstance(result, bool) or not math.isfinite(result):
        raise ValueError(f"{option} must be a number. Received: {value!r}")
    return result.item() if isinstance(result, np.generic) else result


def whole_number(value: Any, option: str) -> int:
    """A number without a fraction, as int.

    Raises: ValueError for anything else.
    """
    result = number(value, option)
    if result != int(result):
        raise ValueError(f"{option} must be a whole number. Received: {value!r}")
    return int(result)


def flag(value: Any, option: str) -> bool:
    """True or False.

    Raises: ValueError for anything else, such as "no".
    """
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{option} must be True or False. Received: {value!r}")
    return bool(value)


def checked_shape(shape: Any) -> tuple[int | None, int | None, int]:
    """(height, width, channels) in pixels, None for a free height or width.

    Raises: ValueError for another number of entries, or entries that are no positive integers.
    """
    try:
        entries = tuple(shape)
    except TypeError:
        entries = ()
    if isinstance(shape, str) or len(entries) != 3:
        batch = " Leave the batch axis out." if len(entries) == 4 else ""
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
